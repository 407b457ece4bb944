"""An ingest that would change nothing takes no run; one that may change something always does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chandlery.app.installation import Installation
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.request import IngestRequest
from chandlery.ingest.result import PartitionResult
from chandlery.ingest.unchanged import find_unchanged
from tests.integration.test_cli import Run, after_init, ready, write_days  # noqa: F401 - fixtures

DAYS = [f"2024-01-{day:02},10,12,9,{close},100" for day, close in ((2, 10), (3, 10.5), (4, 11), (5, 11.5), (8, 11))]
#: The close is ten times that of the day before.
JUMP = [*DAYS, "2024-01-09,100,120,90,110,100"]
#: The high is the lowest of the prices.
SPOILED = [*DAYS, "2024-01-09,11,5,9,10,100"]
BOTH = ("AAA", "BBB")
NUMBER_OF_BBB = "(SELECT instrument_id FROM market.instrument WHERE symbol = 'BBB')"


@pytest.fixture
def folder(ready: Run, tmp_path: Path) -> Path:  # noqa: F811
    """A folder with the days of two instruments, which were ingested."""
    for symbol in BOTH:
        write_days(tmp_path, symbol, DAYS)
    load(ready, tmp_path)
    return tmp_path


def load(run: Run, folder: Path, *more: str) -> None:
    done = run("ingest", *BOTH, "--path", str(folder), "--calendar", "XNYS", "--yes", *more)
    assert done.exit_code in {0, 3}, done.output


def look(folder: Path, *symbols: str, rules: str | None = None, **more: object) -> list[PartitionResult] | None:
    """Return what becomes of an ingest of the folder, where no run is needed to know."""
    installation = Installation.open()
    try:
        options: dict[str, Any] = {"options": {"path": str(folder)}, "provider": "files", **more}
        request = IngestRequest(Timeframe.D1, symbols or BOTH, **options)
        with installation.warehouse.connection() as connection:
            (used,) = connection.execute("SELECT max(rules) FROM ops.publication").fetchone() or (None,)
        plan = installation.plan_ingest(request).plan
        return find_unchanged(installation.warehouse, installation.providers, plan, rules=rules or str(used))
    finally:
        installation.warehouse.close()


def change(statement: str) -> None:
    installation = Installation.open()
    with installation.warehouse.connection() as connection:
        connection.execute(statement)
    installation.warehouse.close()


def counts(found: list[PartitionResult] | None) -> list[tuple[str, str, int, int]]:
    assert found is not None
    return [(each.partition.symbol, each.status, each.unchanged, each.warnings) for each in found]


def test_what_is_there_already_is_unchanged(folder: Path) -> None:
    assert counts(look(folder)) == [("AAA", "complete", 5, 0), ("BBB", "complete", 5, 0)]
    assert counts(look(folder, "BBB")) == [("BBB", "complete", 5, 0)]


@pytest.mark.parametrize("symbol", BOTH)
def test_a_change_of_one_file_is_one_of_all(folder: Path, symbol: str) -> None:
    write_days(folder, symbol, [*DAYS[:-1], DAYS[-1].replace(",100", ",101")])
    assert look(folder) is None
    assert look(folder, *{*BOTH} - {symbol}) is not None


def test_other_rules_audit_anew(folder: Path) -> None:
    assert look(folder, rules="99-other") is None


def test_what_one_instrument_was_audited_by_says_nothing_of_another(ready: Run, folder: Path) -> None:  # noqa: F811
    change(f"UPDATE ops.publication SET instrument_ids = array_remove(instrument_ids, {NUMBER_OF_BBB})")
    assert look(folder, "AAA") is not None
    assert look(folder, "BBB") is None
    assert look(folder) is None
    load(ready, folder)
    assert look(folder, "BBB") is None, "nothing was published, so nothing says that it was audited"


def test_one_instrument_by_older_rules_is_enough_for_a_run(ready: Run, folder: Path) -> None:  # noqa: F811
    change("UPDATE ops.publication SET rules = '0-old'")
    write_days(folder, "BBB", [*DAYS, "2024-01-09,11,12,9,11,100"])
    load(ready, folder)
    assert look(folder) is None
    assert look(folder, "AAA") is None


def test_another_calendar_audits_anew(ready: Run, folder: Path) -> None:  # noqa: F811
    assert ready("instruments", "set", "BBB", "--calendar", "24/7").exit_code == 0
    assert look(folder) is None
    assert look(folder, "BBB") is None


def test_another_provider_is_another_question(folder: Path) -> None:
    assert look(folder, "AAA", provider="simulated", options={}) is None


@pytest.mark.parametrize("base", ["1d", "1m"])
def test_a_day_that_waits_for_being_rolled_up_takes_a_run(folder: Path, base: str) -> None:
    change(
        "INSERT INTO ops.rollup_pending (timeframe, instrument_id, day, noted_at)"
        f" VALUES ('{base}', {NUMBER_OF_BBB}, '2024-01-03', now())"
    )
    assert (look(folder) is None) is (base == "1d")


def test_a_finding_that_a_person_dismissed_is_no_warning_any_more(ready: Run, folder: Path) -> None:  # noqa: F811
    write_days(folder, "AAA", JUMP)
    load(ready, folder)
    (finding,) = json.loads(ready("findings", "list", "AAA", "--json").stdout)
    assert counts(look(folder)) == [("AAA", "complete", 6, 1), ("BBB", "complete", 5, 0)]
    dismissed = ready("findings", "dismiss", str(finding["finding_id"]), "--reason", "it was a reverse split")
    assert dismissed.exit_code == 0
    assert counts(look(folder)) == [("AAA", "complete", 6, 0), ("BBB", "complete", 5, 0)]


def test_what_waits_takes_a_run_and_what_was_released_takes_none(ready: Run, folder: Path) -> None:  # noqa: F811
    write_days(folder, "AAA", SPOILED)
    load(ready, folder)
    assert look(folder) is None
    (entry,) = json.loads(ready("quarantine", "list", "--json").stdout)
    released = ready("quarantine", "release", str(entry["quarantine_id"]), "--reason", "it was so")
    assert released.exit_code == 0
    before = look(folder)
    load(ready, folder)
    assert json.loads(ready("quarantine", "list", "--json").stdout) == []
    assert before is None or counts(before)[0][:3] == ("AAA", "complete", 6)


def test_what_vanished_takes_a_run_until_it_is_back(ready: Run, folder: Path) -> None:  # noqa: F811
    write_days(folder, "AAA", [*DAYS[:2], *DAYS[3:]])
    assert look(folder) is None
    load(ready, folder)
    write_days(folder, "AAA", DAYS)
    assert look(folder) is None, "the finding is open"
    load(ready, folder)
    assert look(folder) is not None
