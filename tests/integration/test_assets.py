"""The assets, run in this process as the web UI, the command line and the sensors run them, on a real database."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.checks import FINDINGS, GATE, PARTITIONS
from chandlery.api.data import DataAPI
from chandlery.app.installation import Installation
from chandlery.bars.bookkeeping import note_failed_days
from chandlery.bars.read import BarRange
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UnknownSymbolError
from chandlery.ingest import quarantine
from chandlery.ingest.plan import IngestPlan
from chandlery.reading.bars import read_bars
from chandlery.rollups.stale import count_stale
from expectations.limits import GateLimits
from expectations.rules import rules_version
from pipelines.command_runs import run_ingest
from pipelines.instance import open_instance
from pipelines.orchestrator import DagsterOrchestrator
from pipelines.partitions import range_tags
from pipelines.sensors import SensorLimits, build_sensors
from tests.pipeline import (
    Heard,
    Tick,
    Workbench,
    failure_text,
    install,
    new_database,
    open_workbench,
    requests,
    simulate,
    write_file,
)
from tests.support import EVER, utc, wait_until

ROOT = Path(__file__).parent.parent.parent


def equity(symbol: str, provider: str = "sample", **more: object) -> dict[str, object]:
    return {"symbol": symbol, "calendar": "XNYS", "provider": provider, **more}


UNIVERSE = [
    *(equity(symbol) for symbol in ("AAPL", "GOOG", "IBM", "MSFT")),
    equity("META", listed=date(2012, 5, 18)),
    equity("SIM", "simulated", timeframes=["1m"]),
    *(equity(symbol, "files") for symbol in ("BAD", "GOOD", "GONE")),
]


@pytest.fixture(scope="module")
def shared(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A workbench for all tests, because setting one up takes longer than most of them."""
    folder = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch, new_database(server) as url:
        installation = install(folder, url, patch, UNIVERSE)
        with dg.DagsterInstance.ephemeral() as instance, open_workbench(installation, instance) as bench:
            yield bench


@pytest.fixture
def bench(shared: Workbench) -> Iterator[Workbench]:
    """The workbench with nothing in its store, and nothing in Dagster's books."""
    tables = [
        "ops.finding",
        "ops.released_bar",
        "ops.quarantine",
        "ops.coverage",
        "ops.publication",
        "ops.rollup_pending",
        "ops.bar_window",
    ]
    tables.append("market.bars_revision")
    with shared.installation.warehouse.connection() as connection:
        for table in [*tables, *(f"market.{timeframe.table}" for timeframe in Timeframe)]:
            connection.execute(f"DELETE FROM {table}")  # type: ignore[call-overload]
    shared.heard.forget()
    with dg.DagsterInstance.ephemeral() as shared.instance:
        shared.register()
        yield shared


def follow(bench: Workbench, base: str = "1d", limits: SensorLimits | None = None) -> Tick:
    """Let the sensor look; with ``limits``, one that keeps to these."""
    context = dg.build_sensor_context(
        instance=bench.instance, repository_def=bench.repository, resources={"store": bench.resources["store"]}
    )
    with context:
        if limits is None:
            return bench.repository.get_sensor_def(f"follow_{base}").evaluate_tick(context)
        (sensor,) = (sensor for sensor in build_sensors(limits) if sensor.name == f"follow_{base}")
        return sensor.evaluate_tick(context)


def evaluations(instance: dg.DagsterInstance, run_id: str) -> dict[str | None, dg.AssetCheckEvaluation]:
    """Return what the gate's check said of each partition in a run."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.dagster_event.asset_check_evaluation_data for entry in logged if entry.dagster_event]
    assert {evaluation.check_name for evaluation in found} <= {GATE, PARTITIONS, FINDINGS}
    return {evaluation.partition: evaluation for evaluation in found if evaluation.check_name == GATE}


def rejected(bars: pa.Table, rows: int) -> pa.Table:
    """Return ``bars`` of which the first rows have a low above everything else."""
    lows = bars["low"].to_pylist()
    lows[:rows] = [low * 10 for low in lows[:rows]]
    return bars.set_column(bars.schema.get_field_index("low"), bars.schema.field("low"), pa.array(lows, pa.float64()))


# --- one partition, as the web UI launches it


def test_a_partition_is_published_without_any_configuration(bench: Workbench) -> None:
    result = bench.materialize("bars_1d", "AAPL|2011")
    assert result.success
    assert bench.materialized("bars_1d") == {"AAPL|2011"}
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 252
    (event,) = result.asset_materializations_for_node("bars_1d")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert (shown["inserted"], shown["revised"], shown["unchanged"], shown["quarantined"]) == (252, 0, 0, 0)
    assert (shown["source"], shown["dagster/partition_row_count"], shown["dagster/row_count"]) == (
        "sample:bokeh",
        252,
        252,
    )
    assert (shown["publication"], shown["calendar"]) == ("1", get_calendar("XNYS").label)
    assert shown["rules"] == f"version {rules_version(GateLimits())}"
    (value,) = DataAPI(bench.installation.warehouse).lineage("AAPL", "2011-06-01").values
    assert value.publication is not None
    assert (value.publication.publication_id, value.publication.run_id) == (1, result.run_id)
    assert str(shown["candles"]).startswith("![AAPL 1d 2011](candles.png?timeframe=1d&symbol=AAPL&window=2011&as_of=")
    check = evaluations(bench.instance, result.run_id)["AAPL|2011"]
    assert check.passed
    assert check.metadata["rows"].value == 252


def test_the_same_again_changes_nothing_and_says_so(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2011")
    before = bench.scalar("SELECT max(known_at) FROM market.bars_1d")
    (event,) = bench.materialize("bars_1d", "AAPL|2011").asset_materializations_for_node("bars_1d")
    shown = {name: event.metadata[name].value for name in ("inserted", "revised", "unchanged")}
    assert shown == {"inserted": 0, "revised": 0, "unchanged": 252}
    assert bench.scalar("SELECT max(known_at) FROM market.bars_1d") == before


def test_a_rejected_partition_is_not_materialized_and_waits_in_quarantine(bench: Workbench) -> None:
    folder = bench.installation.settings.config.parent
    write_file(folder, "BAD", Timeframe.D1, rejected(simulate(["BAD"], Timeframe.D1, "2023-01-01", "2024-01-01"), 10))
    result = bench.materialize("bars_1d", "BAD|2023")
    assert not result.success
    assert bench.materialized("bars_1d") == set()
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 0
    check = evaluations(bench.instance, result.run_id)["BAD|2023"]
    assert (check.passed, check.blocking, check.partition) == (False, True, "BAD|2023")
    assert "low_is_lowest" in str(check.metadata["reason"].value)
    with bench.installation.warehouse.connection() as connection:
        (entry,) = quarantine.list_entries(connection)
    assert (entry.symbol, entry.window_key, entry.kind, entry.row_count) == ("BAD", "2023", "batch", 250)
    assert f"entry {entry.quarantine_id}" in failure_text(result)


def test_a_few_bad_rows_are_set_aside_and_the_rest_is_published(bench: Workbench) -> None:
    folder = bench.installation.settings.config.parent
    write_file(folder, "BAD", Timeframe.D1, rejected(simulate(["BAD"], Timeframe.D1, "2023-01-01", "2024-01-01"), 2))
    result = bench.materialize("bars_1d", "BAD|2023")
    assert result.success
    event, quarantined = result.asset_materializations_for_node("bars_1d")
    assert (event.asset_key.path, quarantined.asset_key.path) == (["bars_1d"], ["quarantine"])
    assert (event.metadata["inserted"].value, event.metadata["quarantined"].value) == (248, 2)
    check = evaluations(bench.instance, result.run_id)["BAD|2023"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert len(check.metadata["rejected"].records) == 2


def test_a_symbol_its_provider_does_not_have_fails_and_says_so(bench: Workbench) -> None:
    result = bench.materialize("bars_1d", "GONE|2023")
    assert not result.success
    assert bench.materialized("bars_1d") == set()
    assert "GONE: 2023 was not delivered" in failure_text(result)
    check = evaluations(bench.instance, result.run_id)["GONE|2023"]
    assert not check.passed
    assert "no file for GONE" in str(check.metadata["error"].value)


def test_a_window_before_the_listing_is_not_requested_and_no_failure(bench: Workbench) -> None:
    result = bench.materialize("bars_1d", "META|2011")
    assert result.success
    assert [outcome.status for outcome in bench.heard.outcomes] == ["unlisted"]
    assert bench.materialized("bars_1d") == set()  # nothing was published, and no check calls it red
    assert all(found.passed for found in result.get_asset_check_evaluations())
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 0


def test_a_window_of_which_the_provider_has_nothing_is_no_rejection(bench: Workbench) -> None:
    result = bench.materialize("bars_1d", "AAPL|2020")  # the sample ends in 2013
    assert result.success
    assert [outcome.status for outcome in bench.heard.outcomes] == ["empty"]
    assert bench.materialized("bars_1d") == set()
    found = evaluations(bench.instance, result.run_id)["AAPL|2020"]
    assert (found.passed, "the provider has nothing" in str(found.metadata["note"].value)) == (True, True)
    assert bench.scalar("SELECT count(*) FROM ops.quarantine") == 0
    assert bench.scalar("SELECT bool_or(date '2020-06-01' <@ sessions) FROM ops.requested")


def test_the_window_under_way_is_asked_for_until_now(bench: Workbench) -> None:
    year = f"{datetime.now(UTC):%Y}"
    result = bench.materialize("bars_1d", f"SIM|{year}")
    assert result.success
    assert bench.scalar("SELECT max(ts) < now() AND max(ts) > now() - interval '6 days' FROM market.bars_1d")


def test_a_window_of_the_future_is_refused_before_anything_runs(bench: Workbench) -> None:
    with pytest.raises(dg.DagsterUnknownPartitionError, match="2099"):
        bench.materialize("bars_1d", "AAPL|2099")
    assert bench.scalar("SELECT count(*) FROM ops.publication") == 0


def test_a_run_reads_no_configuration_file_again(bench: Workbench) -> None:
    assert bench.materialize("bars_1d", "AAPL|2011").success
    config = bench.installation.settings.config
    away = config.rename(config.with_name("away"))
    try:
        for asset, partition in (("bars_1d", "AAPL|2010"), ("instruments", None), ("coverage_1d", None)):
            assert bench.materialize(asset, partition).success
    finally:
        away.rename(config)


def test_what_dagster_shows_of_the_resources_is_no_secret_and_no_place(bench: Workbench) -> None:
    shown = {name: resource.config_schema.as_field() for name, resource in bench.resources.items()}
    fields = {name: set(getattr(field.config_type, "fields", {})) for name, field in shown.items()}
    limits = {"max_rejected_share", "max_rejected_rows"}
    assert fields == {"store": set(), "providers": set(), "gate": limits, "listener": set()}


# --- many partitions


def test_a_rectangle_is_one_run(bench: Workbench) -> None:
    result = bench.materialize("bars_1d", tags=range_tags("AAPL", "IBM", "2009", "2010"))
    assert result.success
    expected = {f"{symbol}|{year}" for symbol in ("AAPL", "GOOG", "IBM") for year in (2009, 2010)}
    assert bench.materialized("bars_1d") == expected
    assert set(evaluations(bench.instance, result.run_id)) == expected
    assert bench.heard.partitions == 6
    assert len(bench.instance.get_runs()) == 1
    assert all("candles" in event.metadata for event in result.asset_materializations_for_node("bars_1d"))


def test_a_rectangle_takes_the_neighbours_of_a_bad_symbol(bench: Workbench) -> None:
    folder = bench.installation.settings.config.parent
    for symbol, spoiled in (("BAD", 10), ("GOOD", 0)):
        bars = simulate([symbol], Timeframe.D1, "2023-01-01", "2024-01-01")
        write_file(folder, symbol, Timeframe.D1, rejected(bars, spoiled))
    result = bench.materialize("bars_1d", tags=range_tags("BAD", "GONE", "2023", "2023"))
    assert not result.success
    assert bench.materialized("bars_1d") == {"GOOD|2023"}
    passed = {partition: found.passed for partition, found in evaluations(bench.instance, result.run_id).items()}
    assert passed == {"BAD|2023": False, "GOOD|2023": True, "GONE|2023": False}
    text = failure_text(result)
    assert "BAD: " in text
    assert "GONE: " in text
    assert "GOOD" not in text


def test_the_provider_can_be_overridden_for_a_run(bench: Workbench) -> None:
    assert bench.materialize("bars_1d", "AAPL|2020", config={"provider": "simulated", "options": {"seed": 3}}).success
    year = BarRange(bench.instrument("AAPL").instrument_id, utc("2020-01-01"), utc("2021-01-01"))
    stored = read_bars(bench.installation.warehouse, Timeframe.D1, [year])
    assert stored["close"].equals(simulate(["AAPL"], Timeframe.D1, "2020-01-01", "2021-01-01", seed=3)["close"])
    assert stored["source"].unique().to_pylist() == ["simulated"]


def test_a_range_narrows_what_a_partition_asks_for(bench: Workbench) -> None:
    narrowed = {"ranges": {"AAPL": ["2011-03-01", "2011-04-01T00:00:00Z"]}}
    assert bench.materialize("bars_1d", "AAPL|2011", config=narrowed).success
    with bench.installation.warehouse.connection() as connection:
        row = connection.execute("SELECT min(ts), max(ts), count(*) FROM market.bars_1d").fetchone()
    assert row == (utc("2011-03-01"), utc("2011-03-31"), 23)


def test_a_symbol_that_was_renamed_since_the_run_was_planned_fails_alone(bench: Workbench) -> None:
    old = {"ranges": {"AAPL": ["2011-03-01", "2011-04-01"], "NOWHERE": ["2011-03-01", "2011-04-01"]}}
    result = bench.materialize("bars_1d", "AAPL|2011", config=old)
    assert not result.success
    assert "NOWHERE: it was renamed or removed since the run was planned" in failure_text(result)
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 23


def test_a_command_whose_symbol_was_renamed_meanwhile_says_so(bench: Workbench) -> None:
    ghost = replace(bench.instrument("AAPL"), symbol="GHOST")
    plan = IngestPlan(Timeframe.D1, {ghost: (utc("2011-03-01"), utc("2011-04-01"))})
    with pytest.raises(UnknownSymbolError, match="GHOST: renamed or removed while this command began"):
        run_ingest(bench.installation, bench.instance, plan, Heard())
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 0


def test_the_limit_of_rejected_rows_can_be_overridden_for_a_run(bench: Workbench) -> None:
    folder = bench.installation.settings.config.parent
    write_file(folder, "BAD", Timeframe.D1, rejected(simulate(["BAD"], Timeframe.D1, "2023-01-01", "2024-01-01"), 10))
    assert bench.materialize("bars_1d", "BAD|2023", config={"max_rejected_share": 0.05}).success
    assert bench.scalar("SELECT count(*) FROM market.bars_1d") == 240


def test_a_provider_nobody_configured_fails_the_run_and_says_which_there_are(bench: Workbench) -> None:
    result = bench.materialize("bars_1d", "AAPL|2011", config={"provider": "nobody"})
    assert not result.success
    assert "'nobody' is not configured" in failure_text(result)


# --- derived bars


def test_the_sensor_asks_for_what_a_publication_made_stale_and_the_job_clears_it(bench: Workbench) -> None:
    bench.materialize("bars_1d", tags=range_tags("AAPL", "GOOG", "2009", "2011"))
    bench.materialize("bars_1d", "MSFT|2010")
    (request,) = requests(follow(bench))
    assert request.job_name == "derive_from_1d"
    assert bench.run(request).success
    with bench.installation.warehouse.connection() as connection:
        assert count_stale(connection) == {}
    expected = {f"{s}|{y}" for s in ("AAPL", "GOOG") for y in (2009, 2010, 2011)} | {"MSFT|2010"}
    assert bench.materialized("bars_1mo") == expected
    # The week of 2 January 2009 began in the year before, by which it is labelled.
    assert bench.materialized("bars_1w") == expected | {"AAPL|2008", "GOOG|2008"}
    assert bench.scalar("SELECT count(*) FROM market.bars_1mo") == 12 * 7
    tick = follow(bench)
    assert (requests(tick), tick.skip_message) == ([], "nothing is stale")


def test_with_nothing_stored_the_sensor_skips(bench: Workbench) -> None:
    tick = follow(bench)
    assert (requests(tick), tick.skip_message) == ([], "nothing is stale")


def test_the_same_staleness_is_asked_for_under_the_same_key(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2010")
    first, second = requests(follow(bench)), requests(follow(bench))
    assert [request.run_key for request in first] == [request.run_key for request in second]
    bench.materialize("bars_1d", "AAPL|2011")
    assert requests(follow(bench))[0].run_key != first[0].run_key


def test_what_failed_is_requested_again_after_a_pause_and_the_sensor_says_when(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2010")
    first, *_ = requests(follow(bench))
    with bench.installation.warehouse.connection() as connection:
        note_failed_days(connection, Timeframe.D1, [bench.instrument("AAPL").instrument_id], *EVER, "no room")
        days = count_stale(connection)[Timeframe.D1]
    tick = follow(bench)
    assert requests(tick) == []
    assert re.fullmatch(rf"{days} stale days failed; tried again at \d{{4}}-\d\d-\d\d .*Z", tick.skip_message or "")
    with bench.installation.warehouse.connection() as connection:
        connection.execute("UPDATE ops.rollup_pending SET next_try = clock_timestamp()")
    (again,) = requests(follow(bench))
    assert again.run_key != first.run_key
    assert bench.run(again).success
    assert follow(bench).skip_message == "nothing is stale"


def test_a_run_that_was_killed_is_launched_again_and_later_each_time(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2010")
    (request,) = requests(follow(bench))
    at_once, soon = (SensorLimits(killed_run=timedelta(seconds=pause)) for pause in (0, 1000))
    keys = {request.run_key}
    for killed in range(1, 4):
        run = bench.instance.create_run_for_job(
            bench.defs.resolve_job_def("derive_from_1d"), tags=request.tags, run_config=request.run_config
        )
        bench.instance.report_run_failed(run, "killed")
        tick = follow(bench, limits=soon)
        assert requests(tick) == []
        assert "did not come to its end; tried again at" in (tick.skip_message or "")
        (request,) = requests(follow(bench, limits=at_once))
        keys.add(request.run_key)
        assert len(keys) == killed + 1
    assert bench.run(request).success


def test_while_a_run_derives_the_sensor_waits(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2010")
    running = bench.instance.create_run_for_job(bench.defs.resolve_job_def("derive_from_1d"))
    assert requests(follow(bench)) == []
    bench.instance.delete_run(running.run_id)
    assert len(requests(follow(bench))) == 1


def test_the_sensor_does_not_wait_for_ever_for_a_run_whose_machine_went_down(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2010")
    bench.instance.create_run_for_job(bench.defs.resolve_job_def("derive_from_1d"))
    assert requests(follow(bench)) == []
    assert len(requests(follow(bench, limits=SensorLimits(unfinished_run=timedelta(0))))) == 1


def test_a_correction_of_an_old_month_leads_to_a_run_that_changes_exactly_that_window(bench: Workbench) -> None:
    folder = bench.installation.settings.config.parent
    good = simulate(["GOOD"], Timeframe.M1, "2023-01-01", "2023-04-01")
    write_file(folder, "GOOD", Timeframe.M1, good)
    assert bench.materialize("bars_1m", tags=range_tags("GOOD", "GOOD", "2023-01", "2023-03")).success
    (request,) = requests(follow(bench, "1m"))
    assert bench.run(request).success
    before = bench.scalar("SELECT count(*) FROM market.bars_revision")
    volumes = good["volume"].to_pylist()
    at = good["ts"].to_pylist().index(utc("2023-02-03 15:00"))
    volumes[at] += 1000
    position = good.schema.get_field_index("volume")
    corrected = good.set_column(position, good.schema.field("volume"), pa.array(volumes, pa.float64()))
    write_file(folder, "GOOD", Timeframe.M1, corrected)
    result = bench.materialize("bars_1m", tags=range_tags("GOOD", "GOOD", "2023-01", "2023-03"))
    revised = {e.partition: e.metadata["revised"].value for e in result.asset_materializations_for_node("bars_1m")}
    assert revised == {"GOOD|2023-01": 0, "GOOD|2023-02": 1, "GOOD|2023-03": 0}

    (request,) = requests(follow(bench, "1m"))
    result = bench.run(request)
    recorded = [event.materialization for event in result.all_events if event.is_step_materialization]
    # No provider gives days of it, so that they are rolled up as well, and what derives from them.
    intraday, wider = ("5m", "15m", "30m", "1h", "4h"), ("1d", "1w", "1mo")
    assert {(made.asset_key.to_user_string(), made.partition) for made in recorded} == {
        *((f"bars_{timeframe}", "GOOD|2023-02") for timeframe in intraday),
        *((f"bars_{timeframe}", "GOOD|2023") for timeframe in wider),
    }
    for made in recorded:
        shown = made.metadata
        assert (shown["inserted"].value, shown["revised"].value) == (0, 1)
        assert ("note" in shown) == (made.asset_key == dg.AssetKey("bars_1d"))
    assert bench.scalar("SELECT count(*) FROM market.bars_revision") == before + 9
    assert requests(follow(bench, "1d")) == []
    assert requests(follow(bench, "1m")) == []


def test_a_run_over_derived_bars_with_nothing_stale_changes_nothing(bench: Workbench) -> None:
    bench.materialize("bars_1d", "AAPL|2010")
    (request,) = requests(follow(bench))
    bench.run(request)
    published = bench.scalar("SELECT count(*) FROM ops.publication")
    assert bench.run(request).success
    assert bench.scalar("SELECT count(*) FROM ops.publication") == published


# --- instruments and coverage


def test_instruments_follow_the_configuration(bench: Workbench) -> None:
    bench.instance.delete_dynamic_partition("symbol", "META")
    result = bench.materialize("instruments")
    assert result.success
    (event,) = result.asset_materializations_for_node("instruments")
    assert event.metadata["instruments"].value == len(UNIVERSE)
    assert event.metadata["added"].value == "-"
    known = bench.instance.get_dynamic_partitions("symbol")
    assert sorted(known) == sorted(str(instrument["symbol"]) for instrument in UNIVERSE)
    assert known[-1] == "META"  # those there keep their place


@pytest.mark.parametrize("asset", ["coverage_1m", "coverage_1d"])
def test_coverage_can_be_materialized_empty_and_full(bench: Workbench, asset: str) -> None:
    assert bench.materialize(asset).success
    bench.materialize("bars_1d", "AAPL|2011")
    bench.materialize("bars_1m", "SIM|2023-01")
    assert bench.materialize(asset).success


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of the function that evaluates conditions
def test_automation_asks_for_coverage_after_bars_and_only_then(bench: Workbench) -> None:
    def requested(cursor: Any = None) -> tuple[set[str], Any]:  # noqa: ANN401 - opaque to us
        result = dg.evaluate_automation_conditions(defs=bench.defs, instance=bench.instance, cursor=cursor)
        names = {name for name in ("coverage_1d", "coverage_1m") if result.get_num_requested(dg.AssetKey(name))}
        return names, result.cursor

    bench.materialize("coverage_1d")
    bench.materialize("coverage_1m")
    _, cursor = requested()
    again, cursor = requested(cursor)
    assert again == set()
    bench.materialize("bars_1d", "AAPL|2011")
    after, cursor = requested(cursor)
    assert after == {"coverage_1d"}
    again, cursor = requested(cursor)
    assert again == set()


# --- through the orchestrator


@pytest.fixture
def many(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """An installation of 200 symbols in files, of which three are spoiled and one is absent."""
    symbols = [f"S{number:03d}" for number in range(200)]
    installation = install(tmp_path, database_url, monkeypatch, [equity(symbol, "files") for symbol in symbols])
    bars = simulate(symbols, Timeframe.D1, "2023-01-01", "2024-01-01")
    for index, symbol in enumerate(symbols):
        if symbol != "S150":
            mine = bars.slice(index * 250, 250)
            assert mine["symbol"].unique().to_pylist() == [symbol]
            write_file(tmp_path, symbol, Timeframe.D1, rejected(mine, 25 if symbol in SPOILED else 0))
    yield installation
    installation.warehouse.close()


SPOILED = {"S007", "S080", "S199"}


@pytest.mark.slow
def test_200_symbols_of_which_four_fail_publish_the_other_196(many: Installation) -> None:
    with open_instance(many.settings) as instance:
        bench = Workbench(many, instance)
        symbols = [f"S{number:03d}" for number in range(200)]
        order = bench.order("1d", symbols, "2023-01-01", "2024-01-01")
        heard = Heard()
        records = DagsterOrchestrator(many).ingest(order, heard)

        good = {f"{symbol}|2023" for symbol in symbols} - {f"{symbol}|2023" for symbol in SPOILED | {"S150"}}
        assert len(good) == 196
        assert bench.materialized("bars_1d") == good
        assert bench.scalar("SELECT count(DISTINCT instrument_id) FROM market.bars_1d") == 196
        assert (heard.partitions, heard.total("inserted")) == (200, 196 * 250)

        first, *derived = records
        assert not first.succeeded
        assert instance.get_run_by_id(first.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
        assert first.error is not None
        assert {line.split(":")[0] for line in first.error.splitlines()[1:]} == SPOILED | {"S150"}
        found = evaluations(instance, first.run_id)
        assert {partition for partition, check in found.items() if check.passed} == good
        for symbol in SPOILED:
            check = found[f"{symbol}|2023"]
            assert not check.passed
            rows = check.metadata["rejected"].records
            assert {record.data["symbol"] for record in rows} == {symbol}
            assert "low_is_lowest" in str(rows[0].data["reasons"])
        assert "no file for S150" in str(found["S150|2023"].metadata["error"].value)

        assert all(record.succeeded for record in derived)
        assert bench.materialized("bars_1mo") == good
        assert bench.scalar("SELECT count(*) FROM ops.rollup_pending") == 0

        again = Heard()
        records = DagsterOrchestrator(many).ingest(order, again)
        assert [record.succeeded for record in records] == [False]
        assert [again.total(name) for name in ("inserted", "revised", "unchanged")] == [0, 0, 196 * 250]
        assert again.steps == []
        with many.warehouse.connection() as connection:
            assert {entry.symbol for entry in quarantine.list_entries(connection)} == SPOILED
            assert len(quarantine.list_entries(connection)) == 3
        assert bench.materialized("bars_1d") == good


def test_the_orchestrator_leaves_nothing_stale_and_the_second_time_nothing_to_do(bench: Workbench) -> None:
    orchestrator = DagsterOrchestrator(bench.installation)
    orchestrator.prepare()
    order = bench.order("1d", ["AAPL", "MSFT"], "2011-01-01", "2012-03-01")
    first, second = Heard(), Heard()
    records = orchestrator.ingest(order, first)
    # AAPL and MSFT are no neighbours: a run each, and one that derives.
    assert [record.succeeded for record in records] == [True] * 3
    assert first.total("inserted") == 2 * (252 + 40)
    assert {step.timeframe for step in first.steps} == {Timeframe.W1, Timeframe.MO1}
    assert bench.scalar("SELECT count(*) FROM ops.rollup_pending") == 0
    assert orchestrator.ingest(order, second) == []  # nothing changed at the provider, so there is no run
    assert (second.total("inserted"), second.total("unchanged"), second.steps) == (0, 2 * (252 + 40), [])
    again = Heard()
    records = orchestrator.ingest(replace(order, options=replace(order.options, refresh=True)), again)
    assert [record.succeeded for record in records] == [True, True]
    assert (again.total("inserted"), again.total("unchanged"), again.steps) == (0, 2 * (252 + 40), [])
    with open_instance(bench.installation.settings) as instance:
        runs = {run.run_id for run in instance.get_runs()}
    assert {record.run_id for record in records} <= runs


def test_an_error_that_stops_a_run_is_told_in_its_record(bench: Workbench) -> None:
    order = bench.order("1d", ["AAPL"], "2011-01-01", "2012-01-01", provider="nobody")
    (record,) = DagsterOrchestrator(bench.installation).ingest(order, Heard())
    assert not record.succeeded
    assert record.error is not None
    assert "'nobody' is not configured" in record.error


KILLED = """
import sys
from chandlery.api.data import DataAPI
from chandlery.app.installation import Installation
from pipelines.orchestrator import DagsterOrchestrator
from tests.pipeline import Heard, Workbench
installation = Installation.open()
bench = Workbench(installation, None)
DagsterOrchestrator(installation).ingest(bench.order("1m", ["SIM"], "2022-01-01", "2025-01-01"), Heard())
"""


@pytest.mark.slow
def test_a_run_that_is_killed_keeps_its_finished_batches_and_the_next_completes(bench: Workbench) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, env=os.environ, start_new_session=True)
    try:
        published = "SELECT count(*) FROM ops.publication"
        wait_until(lambda: bench.scalar(published) or process.poll() is not None, "it publishes something", 300)
        assert process.poll() is None, "it ended before it was killed"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = bench.scalar("SELECT count(*) FROM market.bars_1m")
    whole = simulate(["SIM"], Timeframe.M1, "2022-01-01", "2025-01-01").num_rows
    assert 0 < kept < whole
    heard = Heard()
    order = bench.order("1m", ["SIM"], "2022-01-01", "2025-01-01")
    records = DagsterOrchestrator(bench.installation).ingest(order, heard)
    assert all(record.succeeded for record in records)
    assert (heard.total("unchanged"), heard.total("inserted")) == (kept, whole - kept)
    assert bench.scalar("SELECT count(*) FROM market.bars_1m") == whole
    assert bench.scalar("SELECT sum(volume) FROM market.bars_1m") == bench.scalar(
        "SELECT sum(volume) FROM market.bars_4h"
    )
    assert bench.scalar("SELECT count(*) FROM ops.rollup_pending") == 0
