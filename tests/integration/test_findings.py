"""Findings: recorded once, closed by later bars or by a person, and open again only for something new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.quality.findings import (
    Audited,
    Finding,
    Noticed,
    check_timeframe,
    dismiss,
    list_findings,
    record_findings,
)
from chandlery.quality.findings_table import TABLE
from chandlery.tiers.warehouse import Warehouse
from tests.support import every_row, register, utc

pytestmark = pytest.mark.every_edition

D1 = Timeframe.D1
DAY = 86_400_000_000
RULES = ("price_jump", "extra_sessions")


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, {"AAA": "XNYS", "BBB": "24/7"})


def noticed(*days: str, rule: str = "price_jump") -> Noticed:
    starts = [int(utc(day).timestamp()) * 1_000_000 for day in days]
    return Noticed(rule, [(start, start + DAY) for start in starts], {"detail": " ".join(days)})


def record(
    warehouse: Warehouse, owner: int, *found: Noticed, start: str = "2024-01-01", end: str = "2025-01-01"
) -> dict[tuple[int, str], int]:
    audited = Audited(owner, "2024", utc(start), utc(end), found)
    with warehouse.connection() as connection, connection.transaction():
        return record_findings(connection, D1, RULES, [audited])


def findings(warehouse: Warehouse, state: str | None = None) -> list[Finding]:
    with warehouse.connection() as connection:
        return list_findings(connection, state=state)


def everything(warehouse: Warehouse) -> dict[str, list[str]]:
    with warehouse.connection() as connection:
        return every_row(connection)


def spans(finding: Finding) -> tuple[datetime, datetime, int]:
    return finding.start, finding.end, finding.span_count


def test_the_same_again_changes_nothing(warehouse: Warehouse, ids: dict[str, int]) -> None:
    found = noticed("2024-03-05", "2024-03-06", "2024-07-01"), noticed("2024-01-06", rule="extra_sessions")
    assert record(warehouse, ids["AAA"], *found) == {(ids["AAA"], "2024"): 2}
    extra, jump = findings(warehouse, "open")
    assert (extra.rule, extra.symbol, extra.timeframe, extra.scope) == ("extra_sessions", "AAA", "1d", "2024")
    assert spans(jump) == (utc("2024-03-05"), utc("2024-07-02"), 2)  # two days in a row are one range
    assert jump.detail == "2024-03-05 2024-03-06 2024-07-01"
    before = everything(warehouse)
    assert record(warehouse, ids["AAA"], *found) == {(ids["AAA"], "2024"): 2}
    assert everything(warehouse) == before


def test_what_is_gone_is_dismissed_by_the_gate_and_open_again_when_it_comes_back(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    record(warehouse, ids["AAA"], noticed("2024-03-05"))
    assert record(warehouse, ids["AAA"]) == {}
    (gone,) = findings(warehouse)
    assert (gone.state, gone.closed_by, gone.reason) == ("dismissed", "gate", "no longer so")
    assert spans(gone) == (utc("2024-03-05"), utc("2024-03-06"), 1)
    before = everything(warehouse)
    record(warehouse, ids["AAA"])
    assert everything(warehouse) == before
    record(warehouse, ids["AAA"], noticed("2024-04-01"))
    (back,) = findings(warehouse)
    assert (back.state, back.closed_by, spans(back)) == ("open", None, (utc("2024-04-01"), utc("2024-04-02"), 1))


def test_what_lies_outside_of_the_audited_range_stays(warehouse: Warehouse, ids: dict[str, int]) -> None:
    record(warehouse, ids["AAA"], noticed("2024-03-05", "2024-11-05"))
    record(warehouse, ids["AAA"], noticed("2024-12-02"), start="2024-11-01")
    (finding,) = findings(warehouse)
    assert spans(finding) == (utc("2024-03-05"), utc("2024-12-03"), 2)
    record(warehouse, ids["AAA"], start="2024-11-01")
    (finding,) = findings(warehouse)
    assert (finding.state, spans(finding)) == ("open", (utc("2024-03-05"), utc("2024-03-06"), 1))


def test_what_a_person_dismissed_stays_so_until_it_is_about_other_times(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    record(warehouse, ids["AAA"], noticed("2024-03-05", "2024-03-07"))
    (finding,) = findings(warehouse)
    with warehouse.connection() as connection:
        said = dismiss(connection, finding.finding_id, " a split ", by="Ann")
        with pytest.raises(UsageError, match="was dismissed already, by Ann: a split"):
            dismiss(connection, finding.finding_id, "again", by="Bob")
        with pytest.raises(UsageError, match="reason is blank"):
            dismiss(connection, finding.finding_id, " ", by="Bob")
        for number in (999, 10**20):
            with pytest.raises(UsageError, match=f"there is no finding {number}"):
                dismiss(connection, number, "none", by="Bob")
        with pytest.raises(UsageError, match="timeframe='5m' is derived: nothing is noticed of it; allowed: 1m 1d"):
            check_timeframe(Timeframe.M5)
    assert (said.state, said.closed_by, said.reason) == ("dismissed", "Ann", "a split")
    for found in (["2024-03-05", "2024-03-07"], ["2024-03-07"], []):
        assert record(warehouse, ids["AAA"], *([noticed(*found)] if found else [])) == {}
        (finding,) = findings(warehouse)
        assert (finding.state, finding.closed_by) == ("dismissed", "Ann")
    record(warehouse, ids["AAA"], noticed("2024-03-07", "2024-03-11"))
    (finding,) = findings(warehouse)
    assert (finding.state, finding.closed_by, finding.reason) == ("open", None, None)


def test_a_rule_that_was_not_audited_and_another_instrument_are_left_alone(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    record(warehouse, ids["BBB"], noticed("2024-03-05"))
    record(warehouse, ids["AAA"], noticed("2024-03-05"))
    with warehouse.connection() as connection:
        record_findings(connection, D1, ["zero_volume_run"], [audit_of(ids["AAA"])])
        record_findings(connection, Timeframe.M1, RULES, [audit_of(ids["AAA"])])
    assert {finding.symbol: finding.state for finding in findings(warehouse)} == {"AAA": "open", "BBB": "open"}


def audit_of(owner: int, found: Sequence[Noticed] = ()) -> Audited:
    return Audited(owner, "2024", utc("2024-01-01"), utc("2025-01-01"), found)


def test_the_interface_returns_them_as_a_table(warehouse: Warehouse, ids: dict[str, int]) -> None:
    record(warehouse, ids["BBB"], noticed("2024-03-05"))
    record(warehouse, ids["AAA"], noticed("2024-03-06", "2024-05-01"))
    api = DataAPI(warehouse)
    table = api.findings(output="arrow")
    assert table.schema.equals(TABLE)
    assert table["symbol"].to_pylist() == ["AAA", "BBB"]
    assert table["times"].to_pylist() == [2, 1]
    frame = api.findings(["BBB"], "1d", state=None)
    assert frame.index.name == "finding"
    assert frame["detail"].tolist() == ["2024-03-05"]
    assert api.findings(state="confirmed").empty
    for wrong in ({"state": "closed"}, {"output": "csv"}, {"timeframe": "7m"}, {"symbols": ["NOPE"]}):
        with pytest.raises(UsageError):
            api.findings(**wrong)  # type: ignore[call-overload,arg-type]
