"""The page about speed shows every row of a run, also those in which we lose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from benchmarks.harness import Measure, Section
from benchmarks.page import BEGIN, END, PAGE, find_whole, replace_rows


def section() -> Section:
    ours, theirs = Measure("ours | fast", [0.2, 0.4, 0.3], 100, "rows"), Measure("theirs", [0.1, 0.1, 0.2], 100, "rows")
    made = Section("reading")
    made.add({"a": ours, "b": theirs})
    made.compare(ours, theirs, aim=1.0)
    made.compare(ours, theirs)
    made.limit(ours, 3.0)
    made.facts["bytes"] = {"lake": 8.64812}
    return made


def run(*names: str) -> dict[str, object]:
    results = {name: [section().as_json()] for name in names}
    when = "2026-11-27T10:00:00+00:00"
    about = {"measured_at": when, "python": "3.13.1", "machine": "x86_64", "rows": 500_000, "repeat": 3}
    return json.loads(json.dumps(about | {"results": results}))  # type: ignore[no-any-return]


def test_every_row_is_shown_and_the_rest_of_the_page_stays() -> None:
    page = replace_rows(f"above\n{BEGIN}\nold\n{END}\nbelow\n", run("read"))
    assert page.startswith(f"above\n{BEGIN}\n\nMeasured on 2026-11-27 with Python 3.13.1 on x86_64: 500,000 bars")
    assert page.endswith(f"{END}\nbelow\n")
    assert "old" not in page
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    assert rows == [
        r"| ours \| fast | theirs | 0.50 | 0.25, 0.67 | 1.00 or more | missed |",
        r"| ours \| fast | theirs | 0.50 | 0.25, 0.67 |  |  |",
        r"| ours \| fast | 3.00 s at most | 10 | 7.50, 15 | 1.00 or more | met |",
        r"| ours \| fast | 300 ms | 200 ms, 400 ms | 333 rows/s |",
        "| theirs | 100 ms | 100 ms, 200 ms | 1,000 rows/s |",
    ]
    assert "- bytes: lake: 8.648" in page
    assert replace_rows(page, run("read")) == page


def test_the_newest_whole_run_is_chosen(tmp_path: Path) -> None:
    for name, parts in (("1", ["read", "publish"]), ("2", ["read", "publish"]), ("3", ["read"])):
        (tmp_path / f"{name}.json").write_text(json.dumps(run(*parts)))
    assert find_whole(tmp_path).name == "2.json"
    with pytest.raises(typer.BadParameter, match="make bench"):
        find_whole(tmp_path / "nowhere")


def test_the_page_has_rows_and_keeps_those_that_were_lost() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = page.partition(BEGIN)[2].partition(END)[0]
    for other in ("ADBC by hand", "Polars", "polars.read_parquet of the file", "pyarrow.write_table alone, zstd"):
        assert f"| {other} | 0." in rows
