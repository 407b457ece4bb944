"""What becomes of an answer where there is nothing to expect, and of what was rejected of it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.test_cli import Run, after_init, ready, write_days  # noqa: F401 - fixtures

DAYS = [f"2024-01-{day:02},10,12,9,{close},100" for day, close in ((2, 10), (3, 10.5), (4, 11), (5, 11.5), (8, 11))]


def ingest(run: Run, folder: Path, *more: str) -> str:
    done = run("ingest", "AAA", "--path", str(folder), "--calendar", "XNYS", "--yes", *more)
    assert done.exit_code in {0, 3}, done.output
    return done.output


def test_days_without_a_session_are_not_called_empty_and_days_with_one_are(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    folder = write_days(tmp_path, "AAA", DAYS)
    ingest(ready, folder)
    nothing = "the provider has nothing of"
    assert nothing not in ingest(ready, folder, "--start", "2024-01-06", "--end", "2024-01-08", "--refresh")
    assert nothing in ingest(ready, folder, "--start", "2024-02-05", "--end", "2024-02-07", "--refresh")


def test_what_is_rejected_of_an_answer_waits_and_is_not_replaced_by_that_very_answer(
    ready: Run,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = write_days(tmp_path, "AAA", [*DAYS, "2024-01-09,11,5,9,10,100"])
    for _ in range(2):
        ingest(ready, folder)
        (entry,) = json.loads(ready("quarantine", "list", "--json").stdout)
        assert not entry["replaced"]
    write_days(tmp_path, "AAA", [*DAYS, "2024-01-09,11,12,9,10,100"])
    ingest(ready, folder)
    assert json.loads(ready("quarantine", "list", "--json").stdout) == []
    (entry,) = json.loads(ready("quarantine", "list", "--all", "--json").stdout)
    assert entry["replaced"]
