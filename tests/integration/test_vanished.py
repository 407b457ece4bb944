"""Rows that a newer version of a file lacks: reported, kept as findings, and retracted on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.test_cli import Run, after_init, line_of, ready, write_days  # noqa: F401 - fixtures

DAYS = [f"2024-01-{day:02},10,12,9,{close},100" for day, close in ((2, 10), (3, 10.5), (4, 11), (5, 11.5), (8, 11))]
MINUTES = [f"2024-01-02T{clock}Z,10,12,9,11,100" for clock in ("15:00", "15:01", "15:07", "15:08", "15:20", "15:21")]


def write_minutes(folder: Path, symbol: str, rows: Sequence[str]) -> str:
    target = folder / "bars_1m"
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{symbol}.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    return str(folder)


def closes(run: Run, *more: str) -> list[tuple[str, float]]:
    rows = json.loads(run("query", "GONE", *more, "--json").stdout)
    return [(row["ts"][:16], row["close"]) for row in rows]


def counts(run: Run, *arguments: str) -> list[str]:
    result = run("ingest", *arguments)
    assert result.exit_code == 0, result.output
    return line_of(result, "total").split()[1:]


def findings(run: Run, *more: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("findings", "list", *more, "--json").stdout)
    return [each for each in found if each["rule"] == "vanished_rows"]


class TestDays:
    def test_a_row_that_is_gone_is_reported_and_stays_until_it_is_retracted(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "GONE", DAYS))
        counts(ready, "--path", folder)
        write_days(tmp_path, "GONE", [DAYS[0], *DAYS[2:]])
        looked = ready("ingest", "--path", folder, "--dry-run")
        assert "vanished  1 bar that was read before is in the file no longer" in looked.stdout
        for _ in range(2):
            said = ready("ingest", "--path", folder)
            assert line_of(said, "total").split()[1:] == [
                *("inserted=0", "revised=0", "unchanged=4", "quarantined=0", "warnings=1", "vanished=1")
            ]
            assert "1 bar that was read before is in the files no longer, and stays" in said.stderr
        (finding,) = findings(ready)
        assert finding["evidence"]["rows"][0]["close"] == 10.5  # type: ignore[index]
        assert finding["evidence"]["rows"][0]["ts"].startswith("2024-01-03")  # type: ignore[index]
        assert len(closes(ready)) == 5

        before = json.loads(ready("query", "GONE", "--json").stdout)
        assert counts(ready, "--path", folder, "--retract")[-1] == "retracted=1"
        assert [day for day, _ in closes(ready)] == ["2024-01-02T00:00", *(f"2024-01-{n:02}T00:00" for n in (4, 5, 8))]
        assert findings(ready) == []
        assert findings(ready, "--all")[0]["reason"] == "no longer so"
        assert counts(ready, "--path", folder, "--retract") == [
            *("inserted=0", "revised=0", "unchanged=4", "quarantined=0", "warnings=1")
        ]
        assert len(before) == 5
        revisions = json.loads(ready("revisions", "GONE", "--json").stdout)
        gone = [row for row in revisions if row["ts"].startswith("2024-01-03")]
        assert [row["close"] for row in gone] == [10.5]
        as_of = gone[0]["superseded_at"].replace("+00:00", "Z")
        assert closes(ready, "--as-of", gone[0]["known_at"]) == [(row["ts"][:16], row["close"]) for row in before]
        assert len(closes(ready, "--as-of", as_of)) == 4
        assert [week for week, _ in closes(ready, "--timeframe", "1w")] == ["2024-01-02T00:00", "2024-01-08T00:00"]
        assert "provider_gap" in ready("coverage", "GONE").stdout or "no_trades" in ready("coverage", "GONE").stdout

    def test_a_row_that_comes_back_is_no_finding_any_more(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "GONE", DAYS))
        counts(ready, "--path", folder)
        write_days(tmp_path, "GONE", [DAYS[0], *DAYS[2:]])
        counts(ready, "--path", folder)
        write_days(tmp_path, "GONE", DAYS)
        assert counts(ready, "--path", folder)[-1].startswith("warnings=")
        assert findings(ready) == []
        write_days(tmp_path, "GONE", [DAYS[0], *DAYS[2:]])
        counts(ready, "--path", folder, "--retract")
        write_days(tmp_path, "GONE", DAYS)
        assert counts(ready, "--path", folder)[0] == "inserted=1"
        assert len(closes(ready)) == 5

    @pytest.mark.parametrize("rows", [DAYS[1:], DAYS[:-1], DAYS[2:4]])
    def test_a_part_says_nothing_of_the_rest(self, ready: Run, tmp_path: Path, rows: list[str]) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "GONE", DAYS))
        counts(ready, "--path", folder)
        write_days(tmp_path, "GONE", rows)
        assert counts(ready, "--path", folder, "--retract")[-1].startswith("warnings=")
        assert len(closes(ready)) == 5

    def test_bars_of_another_source_stay(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "AAPL", DAYS))
        counts(ready, "AAPL", "--provider", "sample", "--start", "2012-01-03", "--end", "2012-01-10")
        late = [f"2012-01-{day},400,420,390,410,100" for day in ("03", "09")]
        write_days(tmp_path, "AAPL", late)
        said = line_of(ready("ingest", "AAPL", "--path", folder, "--retract"), "total").split()
        assert not any("retracted" in each or "vanished" in each for each in said)


class TestMinutes:
    def test_what_derives_from_them_and_coverage_follow(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = write_minutes(tmp_path, "GONE", MINUTES)
        counts(ready, "--path", folder, "-t", "1m")
        assert [ts[11:] for ts, _ in closes(ready, "-t", "5m")] == ["15:00", "15:05", "15:20"]
        write_minutes(tmp_path, "GONE", [*MINUTES[:2], *MINUTES[4:]])
        assert counts(ready, "--path", folder, "-t", "1m")[-1] == "vanished=2"
        retracted = ready("ingest", "--path", folder, "-t", "1m", "--retract")
        assert line_of(retracted, "total").split()[-1] == "retracted=2"
        assert "rolled up: 5m 1, 15m 1, 30m 1, 1h 1, 4h 1, 1d 1, 1w 1, 1mo 1 bars changed" in retracted.stderr
        assert [ts[11:] for ts, _ in closes(ready, "-t", "1m")] == ["15:00", "15:01", "15:20", "15:21"]
        assert [ts[11:] for ts, _ in closes(ready, "-t", "5m")] == ["15:00", "15:20"]
        (day,) = json.loads(ready("query", "GONE", "--json").stdout)
        assert day["volume"] == 400
        (row,) = json.loads(ready("coverage", "GONE", "-t", "1m", "--json").stdout)
        assert row["rows"] == 4

    def test_a_window_that_is_in_the_lake_comes_back(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        rows = [row.replace("2024-01-02", "2015-01-05") for row in MINUTES]
        folder = write_minutes(tmp_path, "GONE", rows)
        counts(ready, "--path", folder, "-t", "1m")
        assert ready("archive").exit_code == 0
        assert ready("prune").exit_code == 0
        write_minutes(tmp_path, "GONE", [rows[0], *rows[2:]])
        assert counts(ready, "--path", folder, "-t", "1m", "--retract")[-1] == "retracted=1"
        assert len(closes(ready, "-t", "1m")) == 5
        assert ready("archive").exit_code == 0
        assert len(closes(ready, "-t", "1m")) == 5
        as_of = next(row["known_at"] for row in json.loads(ready("revisions", "GONE", "-t", "1m", "--json").stdout))
        assert len(closes(ready, "-t", "1m", "--as-of", as_of)) == 6


def test_parquet_and_several_files_are_covered_each_from_its_first_row_to_its_last(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    import pandas as pd

    target = tmp_path / "bars_1d"
    target.mkdir()

    def write(name: str, rows: list[str]) -> None:
        cells = [row.split(",") for row in rows]
        frame = pd.DataFrame(cells, columns=["date", "open", "high", "low", "close", "volume"])
        frame = frame.astype(dict.fromkeys(frame.columns[1:], float))
        frame.to_parquet(target / name)

    later = [row.replace("2024-01", "2024-04") for row in DAYS]
    write("GONE_a.parquet", DAYS)
    write("GONE_b.parquet", [*later[:2], *later[2:]])
    arguments = "--path", str(tmp_path), "--pattern", "{symbol}_*"
    assert counts(ready, *arguments)[0] == "inserted=10"
    write("GONE_a.parquet", [DAYS[0], *DAYS[2:]])
    write("GONE_b.parquet", later[1:])  # its first row is gone, which nobody can tell from a file of a part
    assert counts(ready, *arguments)[-1] == "vanished=1"
    assert counts(ready, *arguments, "--retract")[-1] == "retracted=1"
    assert len(closes(ready)) == 9
