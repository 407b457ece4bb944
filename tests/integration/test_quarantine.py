"""Quarantine, case by case: what goes in comes out as it was, once, and only for a reason."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa
import pytest

from chandlery.api.data import DataAPI
from chandlery.bars.origin import Origin
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.database.migrate import migrate
from chandlery.errors import GateError, UsageError
from chandlery.ingest import quarantine, rejected_rows
from chandlery.ingest.decided import read_decided
from chandlery.ingest.gate import REJECTED, Check, Verdict
from chandlery.ingest.release import release
from chandlery.publishing.publish import publish
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, Traded, every_row, get, put, register, rows, table, utc, wait_until_blocked

pytestmark = pytest.mark.every_edition

START = utc("2024-06-03T14:30")
TIMEFRAME = Timeframe.M1
GOOD = [Bar("AAA", START + timedelta(minutes=n)) for n in range(3)]
HIGH_BELOW_LOW = Bar("AAA", START + timedelta(minutes=3), high=8.0)
NO_CLOSE = Bar("AAA", START + timedelta(minutes=4), close=None)


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    ids = register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    assert ids["AAA"] == 1  # as verdicts have it
    return ids


def rejected(bars: Sequence[Bar], reasons: Sequence[Sequence[str]]) -> pa.Table:
    return table(bars).append_column("reasons", pa.array(reasons, pa.list_(pa.string()))).cast(REJECTED)


def verdict(bars: Sequence[Bar], reasons: Sequence[Sequence[str]], *, passed: bool = False) -> Verdict:
    window = TIMEFRAME.window("2024-06")
    partition = Partition.of(Traded("AAA", instrument_id=1), TIMEFRAME, window)
    broken = sorted({reason for row in reasons for reason in row})
    checks = [Check(name, "critical", passed=False, failed_rows=1) for name in broken]
    return Verdict(partition, passed, 100, checks, rejected(bars, reasons))


def set_aside(warehouse: Warehouse, what: Verdict) -> quarantine.QuarantineEntry:
    with warehouse.connection() as connection:
        return rejected_rows.store_rejected(connection, what, "simulated")


def waiting(warehouse: Warehouse, **options: bool) -> list[quarantine.QuarantineEntry]:
    with warehouse.connection() as connection:
        return quarantine.list_entries(connection, **options)


def answer_anew(
    warehouse: Warehouse, ids: dict[str, int], *ranges: str, provider: str = "simulated", of: int = 0
) -> None:
    """Note an answer for these dates, of which entry ``of`` holds what was rejected."""
    with warehouse.connection() as connection:
        quarantine.mark_replaced(connection, TIMEFRAME, provider, {ids["AAA"]: ranges}, [of])


def decided(warehouse: Warehouse) -> list[tuple[int, datetime, bool]]:
    with warehouse.connection() as connection:
        found = read_decided(connection, TIMEFRAME, [WHOLE.partition])
    return list(zip(*(found[name].to_pylist() for name in ("quarantine_id", "ts", "released")), strict=True))


def everything(warehouse: Warehouse) -> dict[str, list[str]]:
    with warehouse.connection() as connection:
        return every_row(connection)


WHOLE = verdict([*GOOD, HIGH_BELOW_LOW], [[], [], [], ["high_is_highest"]])


def test_an_entry_keeps_the_rows_and_the_reason(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, WHOLE)
    assert (entry.symbol, entry.timeframe, entry.window_key, entry.kind) == ("AAA", "1m", "2024-06", "batch")
    assert (entry.provider, entry.reason, entry.row_count) == ("simulated", "high_is_highest: 1 row", 4)
    assert (entry.released_at, entry.release_reason, entry.good_rows_only) == (None, None, False)
    with warehouse.connection() as connection:
        shown, bars = rejected_rows.read_entry(connection, entry.quarantine_id)
    assert shown == entry
    assert bars.schema == REJECTED
    assert bars.to_pylist() == WHOLE.rejected.to_pylist()


def test_the_same_rows_again_in_any_order_are_the_same_entry(warehouse: Warehouse, ids: dict[str, int]) -> None:
    twice = Bar("AAA", START, high=20.0)  # the same time and prices as another row but for its high
    bars, reasons = [twice, *GOOD, NO_CLOSE], [["key_is_unique"]] * 5
    first = set_aside(warehouse, verdict(bars, reasons))
    again = set_aside(warehouse, verdict(bars[::-1], reasons))
    assert again == first
    assert waiting(warehouse) == [first]


def test_other_values_are_another_entry(warehouse: Warehouse, ids: dict[str, int]) -> None:
    first = set_aside(warehouse, verdict([NO_CLOSE], [["close_is_there"]], passed=True))
    second = set_aside(warehouse, verdict([NO_CLOSE._replace(volume=None)], [["close_is_there"]], passed=True))
    assert [entry.kind for entry in waiting(warehouse)] == ["rows", "rows"]
    assert first.quarantine_id != second.quarantine_id


def test_a_release_publishes_once_and_records_who_said_why(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, WHOLE)
    report = release(warehouse, entry.quarantine_id, "  the exchange confirmed it ", released_by="Ann")
    assert report.inserted == 4
    assert rows(get(warehouse, TIMEFRAME, ids)) == [*GOOD, HIGH_BELOW_LOW]
    assert waiting(warehouse) == []
    (released,) = waiting(warehouse, everything=True)
    assert (released.release_reason, released.released_by) == ("the exchange confirmed it", "Ann")
    assert released.released_at is not None
    with warehouse.connection() as connection:
        origins = connection.execute("SELECT origin FROM ops.publication").fetchall()
    assert origins == [(f"release of quarantine {entry.quarantine_id}",)]
    before = everything(warehouse)
    with pytest.raises(UsageError, match=f"entry {entry.quarantine_id} was released on .* already"):
        release(warehouse, entry.quarantine_id, "again")
    assert everything(warehouse) == before


def test_of_two_people_who_release_at_once_one_does_and_the_other_hears_of_it(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    entry = set_aside(warehouse, WHOLE)

    def try_to_release(reason: str) -> str:
        try:
            return f"{reason}: {release(warehouse, entry.quarantine_id, reason).inserted}"
        except UsageError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        with warehouse.connection() as connection, connection.transaction():
            # Nobody else publishes bars of this instrument until the transaction ends.
            publish(connection, warehouse, TIMEFRAME, table([Bar("AAA", START - timedelta(minutes=1))]))
            releases = [pool.submit(try_to_release, reason) for reason in ("Ann", "Ben")]
            wait_until_blocked(warehouse.database.dsn, 2)
        first, second = sorted(release.result() for release in releases)
    assert first in {"Ann: 4", "Ben: 4"}
    assert second.startswith(f"entry {entry.quarantine_id} was released on")
    (released,) = waiting(warehouse, everything=True)
    assert released.release_reason == first[:3]
    with warehouse.connection() as connection:
        origins = connection.execute("SELECT origin FROM ops.publication ORDER BY 1").fetchall()
    assert origins == [("ingest",), (f"release of quarantine {entry.quarantine_id}",)]


def test_good_rows_only_leaves_the_bad_ones_in_the_entry(warehouse: Warehouse, ids: dict[str, int]) -> None:
    batch = verdict([*GOOD, HIGH_BELOW_LOW, NO_CLOSE], [[], [], [], ["high_is_highest"], ["close_is_there"]])
    entry = set_aside(warehouse, batch)
    release(warehouse, entry.quarantine_id, "the rest is fine", good_rows_only=True)
    assert rows(get(warehouse, TIMEFRAME, ids)) == GOOD
    with warehouse.connection() as connection:
        released, kept = rejected_rows.read_entry(connection, entry.quarantine_id)
    assert released.good_rows_only
    assert kept.num_rows == 5
    said = [True, True, True, False, False]
    assert [good for _, _, good in decided(warehouse)] == said


@pytest.mark.parametrize(
    ("bars", "text"),
    [
        ([*GOOD, NO_CLOSE], "1 row has no finite close"),
        ([*GOOD, GOOD[0]._replace(open=float("inf"))], "1 row has no finite open"),
        ([*GOOD, GOOD[1]._replace(close=9.5)], "2024-06-03T14:31:00.000000Z occurs 2 times"),
    ],
)
def test_rows_that_cannot_be_stored_are_not_released_and_nothing_changes(
    warehouse: Warehouse, ids: dict[str, int], bars: list[Bar], text: str
) -> None:
    put(warehouse, TIMEFRAME, [Bar("BBB", START)])
    entry = set_aside(warehouse, verdict(bars, [[], [], [], ["broken"]]))
    before = everything(warehouse)
    with pytest.raises(GateError, match=text):
        release(warehouse, entry.quarantine_id, "I insist")
    assert everything(warehouse) == before


def test_a_batch_without_a_good_row_has_none_to_release(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, verdict([HIGH_BELOW_LOW], [["high_is_highest"]]))
    with pytest.raises(GateError, match="has no row that broke no rule"):
        release(warehouse, entry.quarantine_id, "the rest is fine", good_rows_only=True)


@pytest.mark.parametrize(("number", "reason", "text"), [(1, " ", "reason is blank"), (99, "fine", "has no entry 99")])
def test_a_release_needs_an_entry_and_a_reason(
    warehouse: Warehouse, ids: dict[str, int], number: int, reason: str, text: str
) -> None:
    set_aside(warehouse, WHOLE)
    with pytest.raises(UsageError, match=text):
        release(warehouse, number, reason)
    assert len(waiting(warehouse)) == 1


def test_rows_released_before_are_recognised_when_they_come_again(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, WHOLE)
    assert decided(warehouse) == []
    release(warehouse, entry.quarantine_id, "fine")
    assert decided(warehouse) == [(entry.quarantine_id, bar.ts, True) for bar in (*GOOD, HIGH_BELOW_LOW)]


TWO_DAYS = verdict([HIGH_BELOW_LOW, Bar("AAA", START + timedelta(days=1), high=8.0)], [["high_is_highest"]] * 2)


def test_an_entry_waits_until_its_provider_sends_something_else_for_all_of_it(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    entry = set_aside(warehouse, TWO_DAYS)
    answer_anew(warehouse, ids, "[2024-06-03,2024-06-05)", of=entry.quarantine_id)  # it is of this very answer
    answer_anew(warehouse, ids, "[2024-06-03,2024-06-05)", provider="another")
    answer_anew(warehouse, ids, "[2024-05-01,2024-06-03)", "[2024-06-05,2024-07-01)")
    answer_anew(warehouse, ids, "[2024-06-03,2024-06-04)")
    assert waiting(warehouse) == [entry]
    before = everything(warehouse)
    answer_anew(warehouse, ids, "[2024-06-03,2024-06-04)")
    assert everything(warehouse) == before
    answer_anew(warehouse, ids, "[2024-06-04,2024-06-05)")
    assert waiting(warehouse) == []
    (kept,) = waiting(warehouse, everything=True)
    assert (kept.quarantine_id, kept.replaced) == (entry.quarantine_id, True)
    with warehouse.connection() as connection:
        assert quarantine.count_waiting(connection) == 0
        _, bars = rejected_rows.read_entry(connection, entry.quarantine_id)
    assert bars.to_pylist() == TWO_DAYS.rejected.to_pylist()


def test_what_comes_again_waits_again(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, TWO_DAYS)
    answer_anew(warehouse, ids, "[2024-06-03,2024-06-05)")
    assert set_aside(warehouse, TWO_DAYS) == entry
    assert waiting(warehouse) == [entry]


def test_bars_of_extended_hours_are_of_no_session(warehouse: Warehouse, ids: dict[str, int]) -> None:
    early = verdict([Bar("AAA", START - timedelta(hours=4), high=8.0)], [["high_is_highest"]], passed=True)
    entry = set_aside(warehouse, early)
    answer_anew(warehouse, ids, "[2024-06-01,2024-07-01)")
    assert waiting(warehouse) == [entry]


def test_what_waited_before_sessions_were_kept_waits_for_its_window(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, TWO_DAYS)
    with warehouse.connection() as connection:
        migrate(connection, "0004")
        connection.execute("DROP TABLE ops.kept_quarantine")  # which a database that was never newer does not have
        migrate(connection)
        sessions = connection.execute("SELECT sessions::text FROM ops.quarantine").fetchall()
    assert sessions == [("{[2024-06-01,2024-07-01)}",)]
    answer_anew(warehouse, ids, "[2024-06-01,2024-06-30)")
    assert waiting(warehouse) == [entry]
    answer_anew(warehouse, ids, "[2024-06-30,2024-07-01)")
    assert waiting(warehouse) == []


def test_a_released_bar_that_broke_a_rule_is_marked_until_another_value_comes(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    entry = set_aside(warehouse, WHOLE)
    release(warehouse, entry.quarantine_id, "checked", released_by="Ann")
    read = partial(DataAPI(warehouse).get_ohlc, "AAA", START, START + timedelta(hours=1), "1m", output="arrow")
    marked = read(columns=["released", "high"])
    assert marked["released"].to_pylist() == [False, False, False, True]
    assert "released" not in read().column_names
    with warehouse.connection() as connection:
        found = connection.execute(
            "SELECT symbol, timeframe, ts, broken, released_by, release_reason FROM market.released_bar"
        ).fetchall()
    assert found == [("AAA", "1m", HIGH_BELOW_LOW.ts, ["high_is_highest"], "Ann", "checked")]
    then = get(warehouse, TIMEFRAME, ids)["known_at"].to_pylist()[-1]
    put(warehouse, TIMEFRAME, [Bar("AAA", HIGH_BELOW_LOW.ts)])
    assert read(columns=["released"])["released"].to_pylist() == [False] * 4
    assert read(columns=["released"], as_of=then)["released"].to_pylist() == [False, False, False, True]
    assert DataAPI(warehouse).get_ohlc("AAA", START, START + timedelta(hours=1), "1m", limit=1, columns=["released"])[
        "released"
    ].tolist() == [False]


def test_good_rows_of_a_released_batch_are_not_marked(warehouse: Warehouse, ids: dict[str, int]) -> None:
    entry = set_aside(warehouse, WHOLE)
    release(warehouse, entry.quarantine_id, "the rest is right", good_rows_only=True)
    read = DataAPI(warehouse).get_ohlc("AAA", START, START + timedelta(hours=1), "1m", columns=["released"])
    assert read["released"].tolist() == [False] * 3


def test_the_reasons_of_the_same_rows_are_those_of_the_rules_of_now(warehouse: Warehouse, ids: dict[str, int]) -> None:
    first = set_aside(warehouse, WHOLE)
    again = verdict([*GOOD, HIGH_BELOW_LOW], [[], [], [], ["low_is_lowest"]], passed=True)
    with warehouse.connection() as connection:
        entry = rejected_rows.store_rejected(connection, again, "simulated", Origin(rules="2-new"))
        shown, bars = rejected_rows.read_entry(connection, first.quarantine_id)
    assert (entry.quarantine_id, entry.kind, entry.reason) == (first.quarantine_id, "rows", "low_is_lowest: 1 row")
    assert (shown.rules, shown.arrived_at) == ("2-new", first.arrived_at)
    assert bars["reasons"].to_pylist() == [[], [], [], ["low_is_lowest"]]
    before = everything(warehouse)
    with warehouse.connection() as connection:
        rejected_rows.store_rejected(connection, again, "simulated", Origin(rules="2-new"))
    assert everything(warehouse) == before
