"""Bars with a wrong year: they wait in quarantine with a reason, and make no gap of the time between."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.integration.test_cli import Run, after_init, line_of, ready, write_days  # noqa: F401 - fixtures
from tests.integration.test_released_rows import DAYS, rows


def spoilt(*years: int, count: int = 100) -> list[str]:
    return sorted([*rows(count), *(f"{year}-01-02,10,12,9,11,100" for year in years)])


@pytest.mark.parametrize(
    ("years", "reason"), [((2030,), "not_in_future"), ((9999, 2031), "not_in_future"), ((1900,), "")]
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_they_wait_with_their_reason_and_the_others_are_published(
    ready: Run,  # noqa: F811
    tmp_path: Path,
    years: tuple[int, ...],
    reason: str,
    kind: str,
) -> None:
    folder = write_days(tmp_path, "AAA", spoilt(*years))
    if kind == "parquet":
        file = folder / "bars_1d" / "AAA.csv"
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(file), file.with_suffix(".parquet"), row_group_size=20)
        file.unlink()
    done = ready("ingest", "--path", str(folder))
    assert done.exit_code == 3
    assert line_of(done, "AAA").split()[1:5] == [
        "inserted=100",
        "revised=0",
        "unchanged=0",
        f"quarantined={len(years)}",
    ]
    (entry,) = json.loads(ready("quarantine", "list", "--json").stdout)
    assert (entry["row_count"], entry["window_key"]) == (len(years), "2024")
    assert "inside_window" in entry["reason"]
    assert reason in entry["reason"]
    known = ready("coverage", "AAA", "--json").stdout
    assert json.loads(known)
    for text in ("provider_gap", "1900", "2025", "2026", "2030", "9999", "not_requested"):
        assert text not in known, known
    assert json.loads(ready("findings", "list", "--rule", "session_count", "--json").stdout) == []
    if kind == "csv":
        write_days(tmp_path, "AAA", rows(100))
        assert ready("ingest", "--path", str(folder)).exit_code == 0
        assert json.loads(ready("quarantine", "list", "--json").stdout) == []


def test_a_file_of_few_years_far_apart_is_no_mistake(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    folder = write_days(tmp_path, "AAA", ["2010-01-04,10,12,9,11,100", f"{DAYS[0]},10,12,9,11,100"])
    assert line_of(ready("ingest", "--path", str(folder)), "AAA").split()[1] == "inserted=2"
