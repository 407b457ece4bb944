"""The daily maintenance in Dagster, and the assets it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from chandlery.bars.read import BarRange
from chandlery.core.timeframe import Timeframe
from chandlery.reading.bars import read_bars
from tests.pipeline import Workbench, failure_text, install, open_workbench
from tests.support import Bar, put, utc

INSTRUMENTS = [{"symbol": "AAA", "provider": "simulated"}, {"symbol": "BBB", "provider": "simulated"}]


@pytest.fixture
def bench(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    with open_workbench(install(tmp_path, database_url, monkeypatch, INSTRUMENTS)) as bench:
        _fill(bench)
        yield bench


def _fill(bench: Workbench) -> None:
    for symbol in ("AAA", "BBB"):
        for day in ("2023-11-28T15:00", "2023-12-05T15:00"):
            put(
                bench.installation.warehouse,
                Timeframe.M1,
                [Bar(symbol, utc(day)), Bar(symbol, utc(day).replace(minute=1))],
            )
        put(bench.installation.warehouse, Timeframe.D1, [Bar(symbol, utc("2023-05-05"))])


def run(bench: Workbench) -> dg.ExecuteInProcessResult:
    return bench.defs.resolve_job_def("maintain").execute_in_process(instance=bench.instance, raise_on_error=False)


def last(bench: Workbench, asset: str) -> dict[str, object]:
    event = bench.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def bars(bench: Workbench) -> list[dict[str, object]]:
    year = BarRange(bench.instrument("AAA").instrument_id, utc("2023-01-01"), utc("2024-01-01"))
    return read_bars(bench.installation.warehouse, Timeframe.M1, [year]).to_pylist()


def test_daily_maintenance_archives_and_lets_go_and_again_changes_nothing(bench: Workbench) -> None:
    before = bars(bench)
    assert run(bench).success
    assert bench.materialized("archive_1m") == {f"{s}|2023-{m}" for s in ("AAA", "BBB") for m in ("11", "12")}
    assert bench.materialized("archive_1d") == {"2023"}
    assert bench.scalar("SELECT count(*) FROM market.bars_1m") == 0
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 2  # days stay for good
    assert bars(bench) == before
    shown = last(bench, "retention")
    assert (shown["windows released"], shown["windows refused"], shown["partitions dropped"]) == (4, 0, 2)
    assert shown["bytes after"] < shown["bytes before"]  # type: ignore[operator]
    assert last(bench, "archive_1m")["bars in the file"] == 4
    assert "does not compress" in str(last(bench, "compression")["note"]) or last(bench, "compression")["chunks"] == 0

    assert run(bench).success
    assert last(bench, "retention")["windows released"] == 0
    assert bench.scalar("SELECT count(*) FROM ops.manifest") == 3


def test_a_damaged_file_keeps_its_bars_in_the_store_and_the_run_is_red(bench: Workbench, tmp_path: Path) -> None:
    assert bench.materialize("archive_1m", "AAA|2023-11").success
    assert bench.materialized("archive_1m") == {"AAA|2023-11"}
    lake = bench.installation.warehouse.lake
    assert lake is not None
    [file] = Path(lake.root).glob("bars_1m/symbol=AAA/*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    result = run(bench)
    assert not result.success
    hot = "SELECT array_agg(DISTINCT instrument_id) FROM ops.bar_window WHERE timeframe = '1m' AND NOT cold"
    assert bench.scalar(hot) == [bench.instrument("AAA").instrument_id]
    assert len(bars(bench)) == 4
    assert last(bench, "retention")["windows refused"] == 2
    assert "symbol=AAA" in failure_text(result)
