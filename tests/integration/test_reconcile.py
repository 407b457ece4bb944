"""Dagster's records of partitions follow the store, both ways: whatever was killed, published elsewhere, or is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from assets.versions import DATA_VERSION, version_tag
from chandlery.app.installation import Installation
from chandlery.app.maintenance import archive_due
from chandlery.core.timeframe import Timeframe
from chandlery.database.dsn import dagster_dsn
from pipelines.instance import open_instance
from pipelines.partitions import range_tags
from pipelines.reconcile import ReconcileLimits, build_reconcile
from pipelines.unfinished_runs import process_tag
from tests.pipeline import Workbench, install, new_database, open_workbench
from tests.support import Bar, every_row, forget_bars, put, table, utc, wait_until

ROOT = Path(__file__).parent.parent.parent
UNIVERSE = [{"symbol": symbol, "calendar": "XNYS", "provider": "sample"} for symbol in ("AAPL", "IBM", "MSFT")]
BARS = dg.AssetKey("bars_1d")
LIMITS = ReconcileLimits()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("reconcile")
    with pytest.MonkeyPatch.context() as patch, new_database(server) as url:
        yield install(folder, url, patch, UNIVERSE)


def forget_all(installation: Installation) -> None:
    """Empty the store and the lake, which belong together."""
    with installation.warehouse.connection() as connection:
        forget_bars(connection)
    shutil.rmtree(installation.warehouse.lake.root, ignore_errors=True)


@pytest.fixture
def bench(shared: Installation) -> Iterator[Workbench]:
    """A workbench with nothing in its store, and Dagster's records in memory."""
    forget_all(shared)
    with dg.DagsterInstance.ephemeral() as instance, open_workbench(shared, instance) as bench:
        yield bench


class Sensor:
    """The sensor as Dagster's daemon runs it: with a cursor, and what it returns is recorded."""

    def __init__(self, bench: Workbench, limits: ReconcileLimits = LIMITS) -> None:
        self._bench = bench
        self._sensor = build_reconcile(limits)
        self.cursor: str | None = None

    def tick(self) -> list[str]:
        """Return the partitions that a tick recorded, as ``bars_1d AAPL|2012``, sorted."""
        with dg.build_sensor_context(
            self._bench.instance, cursor=self.cursor, resources=self._bench.resources, definitions=self._bench.defs
        ) as context:
            result = self._sensor(context)
        if isinstance(result, dg.SkipReason):
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for event in result.asset_events:
            self._bench.instance.report_runless_asset_event(event)
        return sorted(f"{event.asset_key.to_user_string()} {event.partition}" for event in result.asset_events)

    def settle(self) -> list[str]:
        """Tick until nothing is recorded any more, and once again; return what was."""
        recorded = []
        while some := self.tick():
            recorded += some
        self.tick()
        return recorded


def publish(bench: Workbench, *bars: tuple[str, str, float]) -> datetime:
    """Publish days outside of any run; return from when they are known."""
    rows = [
        (symbol, utc(session), close, close, close, close, 1.0, None, None, "test") for symbol, session, close in bars
    ]
    report = put(bench.installation.warehouse, Timeframe.D1, table(rows))  # type: ignore[arg-type]
    return report.known_at


def version(bench: Workbench, partition: str, key: dg.AssetKey = BARS) -> str | None:
    """Return the data version of the newest materialization of a partition."""
    records = bench.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=[partition]), limit=1
    ).records
    found = records[0].asset_materialization if records else None
    return (found.tags or {}).get(DATA_VERSION) if found else None


def test_what_was_published_and_not_recorded_is_recorded_once(bench: Workbench) -> None:
    sensor = Sensor(bench)
    sensor.settle()
    known_at = publish(bench, ("AAPL", "2012-01-03", 1.0), ("AAPL", "2013-01-03", 1.0), ("IBM", "2012-01-03", 1.0))
    assert sensor.tick() == ["bars_1d AAPL|2012", "bars_1d AAPL|2013", "bars_1d IBM|2012"]
    assert bench.materialized("bars_1d") == {"AAPL|2012", "AAPL|2013", "IBM|2012"}
    assert version(bench, "IBM|2012") == known_at.isoformat(timespec="microseconds")
    assert sensor.settle() == []
    assert bench.scalar("SELECT count(*) FROM ops.bar_window WHERE recorded_change IS DISTINCT FROM changed_at") == 0


def test_what_a_run_recorded_itself_is_not_recorded_again(bench: Workbench) -> None:
    sensor = Sensor(bench)
    assert bench.materialize("bars_1d", "AAPL|2012").success
    changed_at = bench.scalar("SELECT max(known_at) FROM ops.publication")
    assert version(bench, "AAPL|2012") == changed_at.isoformat(timespec="microseconds")
    assert bench.run(dg.RunRequest(job_name="derive_from_1d")).success
    assert sensor.settle() == []
    # Nor after a run that changed nothing.
    assert bench.materialize("bars_1d", "AAPL|2012").success
    assert version(bench, "AAPL|2012") is not None
    assert sensor.settle() == []


def test_derived_partitions_are_reconciled_too(bench: Workbench) -> None:
    assert bench.materialize("bars_1d", "AAPL|2012").success
    assert bench.run(dg.RunRequest(job_name="derive_from_1d")).success
    derived = bench.materialized("bars_1mo"), bench.materialized("bars_1w")
    bench.instance.wipe_assets([dg.AssetKey("bars_1mo"), dg.AssetKey("bars_1w")])
    assert bench.materialized("bars_1mo") == set()
    recorded = Sensor(bench).settle()
    assert (bench.materialized("bars_1mo"), bench.materialized("bars_1w")) == derived
    assert recorded == ["bars_1mo AAPL|2012", *(f"bars_1w {key}" for key in sorted(derived[1]))]


def test_what_the_store_does_not_hold_is_taken_off_the_records(bench: Workbench) -> None:
    sensor = Sensor(bench)
    result = bench.materialize("bars_1d", "AAPL|2012")
    bench.materialize("bars_1d", "IBM|2012")
    sensor.settle()
    for partition in ("MSFT|2012", "IBM|2011"):  # as a recovery of an older state leaves it
        bench.instance.report_runless_asset_event(dg.AssetMaterialization(BARS, partition=partition))
    with bench.installation.warehouse.connection() as connection:
        connection.execute(
            "DELETE FROM ops.bar_window USING market.instrument AS i"
            " WHERE i.instrument_id = bar_window.instrument_id AND symbol = 'AAPL'"
        )
    assert sensor.settle() == []
    assert bench.materialized("bars_1d") == {"AAPL|2012", "IBM|2012"}  # it looked at what was new
    sensor.cursor = None  # as once a day
    assert sensor.settle() == []
    assert bench.materialized("bars_1d") == {"IBM|2012"}
    assert version(bench, "AAPL|2012") is None
    kept = [entry.dagster_event_type for entry in bench.instance.all_logs(result.run_id)]
    assert dg.DagsterEventType.ASSET_MATERIALIZATION in kept, "the log of the run is as it was"


def test_a_partition_that_was_requested_and_has_no_bars_stays_on_record(bench: Workbench) -> None:
    bench.instance.report_runless_asset_event(
        dg.AssetMaterialization(BARS, partition="MSFT|2012", tags=version_tag(None))
    )
    assert Sensor(bench).settle() == []
    assert bench.materialized("bars_1d") == {"MSFT|2012"}


def test_events_that_come_out_of_order_leave_the_newest_publication_on_record(bench: Workbench) -> None:
    sensor = Sensor(bench)
    first = publish(bench, ("AAPL", "2012-01-03", 1.0))
    second = publish(bench, ("AAPL", "2012-01-03", 2.0))

    def record(changed_at: datetime) -> None:
        bench.instance.report_runless_asset_event(
            dg.AssetMaterialization(BARS, partition="AAPL|2012", tags=version_tag(changed_at))
        )

    record(second)
    assert sensor.settle() == []
    record(first)  # by a run that was slow to say so
    assert version(bench, "AAPL|2012") == first.isoformat(timespec="microseconds")
    assert sensor.settle() == ["bars_1d AAPL|2012"]
    assert version(bench, "AAPL|2012") == second.isoformat(timespec="microseconds")


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
def test_what_a_living_run_published_is_left_to_it(status: dg.DagsterRunStatus, bench: Workbench) -> None:
    sensor = Sensor(bench)
    run = bench.instance.create_run_for_job(bench.defs.resolve_job_def("ingest_1d"), status=status, tags=process_tag())
    known_at = publish(bench, ("AAPL", "2012-01-03", 1.0))
    publish(bench, ("IBM", "2012-01-03", 1.0))
    with bench.installation.warehouse.connection() as connection:
        connection.execute("UPDATE ops.publication SET run_id = %s WHERE known_at = %s", (run.run_id, known_at))
    assert sensor.settle() == ["bars_1d IBM|2012"]
    bench.instance.report_run_failed(run)
    assert sensor.settle() == ["bars_1d AAPL|2012"]


def test_symbols_that_nobody_registered_become_partitions(bench: Workbench) -> None:
    bench.instance.delete_dynamic_partition("symbol", "MSFT")
    publish(bench, ("MSFT", "2012-01-03", 1.0))
    assert Sensor(bench).settle() == ["bars_1d MSFT|2012"]
    assert bench.instance.has_dynamic_partition("symbol", "MSFT")


def test_many_are_recorded_little_by_little(bench: Workbench) -> None:
    sensor = Sensor(bench, ReconcileLimits(events=2))
    publish(bench, *(("AAPL", f"{year}-01-03", 1.0) for year in (2008, 2011, 2012, 2013, 2014)))
    assert [len(sensor.tick()) for _ in range(4)] == [2, 2, 1, 0]
    assert len(bench.materialized("bars_1d")) == 5


# --- archived partitions


def archive(bench: Workbench) -> None:
    """Archive what is due outside of Dagster, as ``chandlery archive`` does."""
    assert list(archive_due(bench.installation))


def publish_and_record(bench: Workbench, *bars: tuple[str, str, float]) -> None:
    publish(bench, *bars)
    Sensor(bench).settle()


def test_what_was_archived_and_not_recorded_is_recorded_once_and_again_when_its_file_is_another(
    bench: Workbench,
) -> None:
    publish_and_record(bench, ("AAPL", "2012-01-03", 1.0), ("IBM", "2013-01-03", 1.0))
    sensor = Sensor(bench)
    sensor.settle()
    archive(bench)
    assert sensor.tick() == ["archive_1d 2012", "archive_1d 2013"]
    assert sensor.settle() == []
    put(
        bench.installation.warehouse,
        Timeframe.M1,
        [Bar("AAPL", utc("2012-02-03T15:00")), Bar("IBM", utc("2012-03-05T15:00"))],
    )
    sensor.settle()
    archive(bench)
    assert sensor.settle() == ["archive_1m AAPL|2012-02", "archive_1m IBM|2012-03"]
    publish_and_record(bench, ("AAPL", "2012-01-03", 2.0))  # a correction: the file gets another version
    archive(bench)
    assert sensor.settle() == ["archive_1d 2012"]
    assert Path(str(version(bench, "2012", dg.AssetKey("archive_1d")))).stem.endswith("_v2")


def test_what_a_run_archived_and_recorded_itself_is_not_recorded_again(bench: Workbench) -> None:
    publish_and_record(bench, ("AAPL", "2012-01-03", 1.0))
    assert bench.materialize("archive_1d", "2012").success
    assert Sensor(bench).settle() == []


def test_what_the_lake_does_not_hold_is_taken_off_the_records(bench: Workbench) -> None:
    publish_and_record(bench, ("AAPL", "2012-01-03", 1.0))
    archive(bench)
    sensor = Sensor(bench)
    sensor.settle()
    for key, partition in (("archive_1d", "2011"), ("archive_1m", "AAPL|2012-01")):  # as a recovery leaves it
        bench.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
    assert sensor.settle() == []
    assert (bench.materialized("archive_1d"), bench.materialized("archive_1m")) == ({"2012"}, set())
    with bench.installation.warehouse.connection() as connection:  # as a recovery of an older state leaves it
        connection.execute("UPDATE ops.bar_window SET manifest_id = NULL, archived_change = NULL")
        connection.execute("DELETE FROM ops.manifest")
    assert sensor.settle() == []
    assert bench.materialized("archive_1d") == set()


@pytest.fixture
def stored(shared: Installation) -> Iterator[Workbench]:
    """A workbench with nothing in its store, and Dagster's records in PostgreSQL."""
    forget_all(shared)
    with open_instance(shared.settings) as instance:
        instance.wipe_all_schedules()
        with open_workbench(shared, instance) as bench:
            yield bench


def rows_of_dagster(bench: Workbench) -> dict[str, list[str]]:
    with closing(psycopg.connect(dagster_dsn(bench.installation.settings), autocommit=True)) as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, relname), n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables"
        ).fetchall()
        return {
            name: [row[0] for row in connection.execute(f"SELECT t::text FROM {name} AS t ORDER BY 1")]  # type: ignore[call-overload]
            for name, _ in names
        }


def test_an_idle_tick_writes_nothing(stored: Workbench) -> None:
    sensor = Sensor(stored)
    stored.materialize("bars_1d", "AAPL|2012")
    publish(stored, ("IBM", "2012-01-03", 1.0))
    sensor.settle()
    cursor, dagster = sensor.cursor, rows_of_dagster(stored)
    with stored.installation.warehouse.connection() as connection:
        ours = every_row(connection)
        assert sensor.tick() == []
        assert every_row(connection) == ours
    assert sensor.cursor == cursor
    assert rows_of_dagster(stored) == dagster
    assert len(dagster["public.event_logs"]) > 10


def test_a_person_can_wipe_single_partitions(stored: Workbench) -> None:
    stored.materialize("bars_1d", tags=range_tags("AAPL", "AAPL", "2011", "2013"))
    stored.instance.wipe_asset_partitions(BARS, ["AAPL|2011", "AAPL|2013", "IBM|1999"])
    assert {key for key in stored.materialized("bars_1d") if key.startswith("AAPL")} == {"AAPL|2012"}


INGEST = """
from chandlery.app.installation import Installation
from pipelines.orchestrator import DagsterOrchestrator
from tests.pipeline import Heard, Workbench
installation = Installation.open()
order = Workbench(installation, None).order("1d", ["MSFT"], "2011-01-01", "2013-01-01")
DagsterOrchestrator(installation).ingest(order, Heard())
"""
#: Holds up whoever records that a partition was ingested, until the lock is free.
HOLD_UP = """
CREATE OR REPLACE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_advisory_xact_lock(42); RETURN new; END$$;
CREATE OR REPLACE TRIGGER hold_up BEFORE INSERT ON event_logs FOR EACH ROW
WHEN (new.dagster_event_type IN ('ASSET_CHECK_EVALUATION', 'ASSET_MATERIALIZATION') AND new.asset_key LIKE '%')
EXECUTE FUNCTION hold_up();
"""


ARCHIVE = """
import dagster as dg
from chandlery.app.installation import Installation
from pipelines.definitions import build_defs
from pipelines.instance import open_instance
from pipelines.unfinished_runs import process_tag
installation = Installation.open()
defs = build_defs(installation.configuration)
with open_instance(installation.settings) as instance:
    defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("archive_1d")], partition_key="2012", tags=process_tag()
    )
"""


@contextmanager
def killed_before_it_says_so(stored: Workbench, code: str, asset: str = "") -> Iterator[None]:
    """Let ``code`` run in a process that is held up when it wants to record what it did, and killed after the block.

    With ``asset``, when it wants to record that of this one.
    """
    with closing(psycopg.connect(dagster_dsn(stored.installation.settings), autocommit=True)) as connection:
        connection.execute(HOLD_UP.replace("'%'", f"'%\"{asset}\"%'" if asset else "'%'"))
        connection.execute("SELECT pg_advisory_lock(42)")
        run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ, start_new_session=True)
        try:
            held_up = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 42"
            wait_until(lambda: connection.execute(held_up).fetchone() is not None, "it wants to say so", 300)
            yield
        finally:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        connection.execute("SELECT pg_advisory_unlock(42)")
        connection.execute("DROP TRIGGER hold_up ON event_logs")


def test_a_run_that_is_killed_after_it_archived_and_before_it_said_so_is_made_up_for(stored: Workbench) -> None:
    publish(stored, ("IBM", "2012-01-03", 1.0))
    sensor = Sensor(stored)
    sensor.settle()
    with killed_before_it_says_so(stored, ARCHIVE):
        assert stored.scalar("SELECT count(*) FROM ops.manifest") == 1
        assert stored.materialized("archive_1d") == set()
        assert sensor.settle() == [], "the run is still alive"
    assert sensor.settle() == ["archive_1d 2012"]
    assert stored.materialized("archive_1d") == {"2012"}


def test_a_run_that_is_killed_after_it_published_and_before_it_said_so_is_made_up_for(stored: Workbench) -> None:
    sensor = Sensor(stored)
    before = stored.materialized("bars_1d")
    with killed_before_it_says_so(stored, INGEST):
        assert stored.scalar("SELECT count(*) FROM market.bars_1d") > 0
        assert stored.materialized("bars_1d") == before
        assert sensor.settle() == [], "the run is still alive"
    assert sensor.settle() == ["bars_1d MSFT|2011", "bars_1d MSFT|2012"]
    assert stored.materialized("bars_1d") - before == {"MSFT|2011", "MSFT|2012"}
    newest = stored.instance.get_runs(dg.RunsFilter(job_name="ingest_1d"), limit=1)[0]
    assert newest.status is dg.DagsterRunStatus.FAILURE


def run_to_its_end(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=True)


def test_the_next_ingest_makes_up_for_one_that_was_killed_before_it_said_so(stored: Workbench) -> None:
    ingest = INGEST.replace("MSFT", "IBM")
    with killed_before_it_says_so(stored, ingest):
        assert stored.scalar("SELECT count(*) FROM market.bars_1d") > 0
        assert not {"IBM|2011", "IBM|2012"} & stored.materialized("bars_1d")
    run_to_its_end(ingest)  # though it finds that the provider has nothing new
    assert {"IBM|2011", "IBM|2012"} <= stored.materialized("bars_1d")
    assert {"IBM|2011", "IBM|2012"} <= stored.materialized("bars_1w") & stored.materialized("bars_1mo")
    assert Sensor(stored).settle() == []


def test_derived_bars_are_made_up_for_where_the_next_ingest_has_nothing_to_do(stored: Workbench) -> None:
    ingest = INGEST.replace("2011-01-01", "2005-01-01").replace("2013-01-01", "2006-01-01")
    with killed_before_it_says_so(stored, ingest, "bars_1mo"):
        assert stored.scalar("SELECT count(*) FROM market.bars_1mo") > 0
        assert "MSFT|2005" not in stored.materialized("bars_1mo")
    run_to_its_end(ingest)
    Sensor(stored).settle()
    assert "MSFT|2005" in stored.materialized("bars_1mo")
