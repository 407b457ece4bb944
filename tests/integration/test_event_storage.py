"""Dagster's event log, written in batches: the same rows as Dagster's own storage makes, whatever happens meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster_postgres import PostgresEventLogStorage
from dagster_shared.error import SerializableErrorInfo
from psycopg import conninfo, sql
from sqlalchemy.exc import OperationalError

from chandlery.settings import Settings
from pipelines.event_storage import BatchedEventLogStorage
from pipelines.instance import open_instance
from tests.interpreter import run_python
from tests.servers.postgres_proxy import Link, Message, PostgresProxy
from tests.support import wait_until

#: All that the log holds, without the moments at which PostgreSQL wrote it.
TABLES = {
    "event_logs": "*",
    "asset_keys": "asset_key, last_materialization, last_run_id, last_materialization_timestamp, tags",
    "asset_event_tags": "event_id, asset_key, key, value, event_timestamp",
    "asset_check_executions": "asset_key, check_name, partition, run_id, execution_status, evaluation_event,"
    " evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id",
}
KEYS = [f"S{number}" for number in range(40)]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    with empty_database(server) as url:
        yield url


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    name = f"events_{uuid4().hex}"
    parts = conninfo.conninfo_to_dict(server)
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield f"postgresql+psycopg2://{parts['user']}@/{name}?host={parts['host']}"
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.replace("+psycopg2", ""), autocommit=True) as connection:
        yield connection


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    with connect(url) as connection:
        return {
            table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()  # type: ignore[call-overload]
            for table, columns in TABLES.items()
        }


def stored(url: str) -> list[str | None]:
    """Return the partitions of the materializations that are stored."""
    with connect(url) as connection:
        found = connection.execute(
            "SELECT partition FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY id"
        )
        return [partition for (partition,) in found]


@pytest.fixture(scope="module")
def events() -> list[dg.EventLogEntry]:
    """Everything that a run of many partitions logs, one of which fails; and what is reported without a run."""
    days = dg.StaticPartitionsDefinition(KEYS)
    first, second = dg.AssetSpec("first", partitions_def=days, skippable=True), dg.AssetSpec("second", skippable=True)
    checks = [dg.AssetCheckSpec(name, asset="first") for name in ("gate", "other")]

    @dg.multi_asset(specs=[first, second], check_specs=checks, can_subset=True)
    def work(context: dg.AssetExecutionContext) -> Iterator[object]:
        for key in KEYS:
            passed = key != "S7"
            yield dg.AssetCheckEvaluation(asset_key=first.key, check_name="gate", passed=passed, partition=key)
            if passed:
                yield dg.AssetMaterialization("first", partition=key, tags={"dagster/data_version": key})
            context.log.info(key)
            yield dg.AssetObservation("second", metadata={"key": key})
        yield dg.AssetCheckEvaluation(asset_key=first.key, check_name="other", passed=True)
        yield dg.AssetCheckEvaluation(asset_key=first.key, check_name="gate", passed=True, partition="S7")
        yield dg.AssetMaterialization("second")
        raise dg.Failure("at the end")

    tags = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[-1]}
    job = dg.Definitions(assets=[work], jobs=[dg.define_asset_job("load", [work])]).resolve_job_def("load")
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        instance.report_runless_asset_event(dg.AssetMaterialization("first", partition="S7"))
        reported = instance.fetch_materializations(dg.AssetKey("first"), limit=1).records[0].event_log_entry
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=first.key, check_name="gate", passed=False, partition="S9")
        )
        (checked,) = instance.event_log_storage.get_asset_check_execution_history(checks[0].key, limit=1)
        assert checked.event is not None
        return [*instance.all_logs(run.run_id), checked.event, reported]


def of_kind(events: Sequence[dg.EventLogEntry], kind: dg.DagsterEventType) -> list[dg.EventLogEntry]:
    return [event for event in events if event.is_dagster_event and event.dagster_event_type == kind]


# --- what is stored


@pytest.mark.parametrize("left_out", [None, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED])
def test_the_same_events_make_the_same_rows_as_in_the_storage_of_dagster(
    server: str, url: str, events: list[dg.EventLogEntry], left_out: dg.DagsterEventType | None
) -> None:
    events = [event for event in events if left_out is None or event not in of_kind(events, left_out)]
    ours = BatchedEventLogStorage(url)
    for event in events:
        ours.store_event(event)
    ours.dispose()
    with empty_database(server) as other:
        theirs = PostgresEventLogStorage(other)
        for event in events:
            theirs.store_event(event)
        assert content(url) == content(other)
    assert len(content(url)["event_logs"]) == len(events)


def test_the_installation_records_its_runs_in_this_storage(tmp_path: Path, database_url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))
        patch.setenv("CHANDLERY_DATABASE_URL", database_url)
        for name in ("DAGSTER_HOME", "CHANDLERY_DAGSTER_STORAGE"):
            patch.setenv(name, "")
        with open_instance(Settings()) as instance:
            assert isinstance(instance.event_log_storage, BatchedEventLogStorage)
            instance.report_runless_asset_event(dg.AssetMaterialization("external"))
            assert instance.get_latest_materialization_event(dg.AssetKey("external")) is not None


# --- when it is stored


def test_what_waits_is_read_by_this_process_and_soon_by_every_other(url: str, events: list[dg.EventLogEntry]) -> None:
    storage, other = BatchedEventLogStorage(url), PostgresEventLogStorage(url)
    (first, second, *_) = of_kind(events, dg.DagsterEventType.ASSET_MATERIALIZATION)
    storage.store_event(first)
    assert [entry.dagster_event for entry in storage.get_logs_for_run(first.run_id)] == [first.dagster_event]
    storage.store_event(second)
    wait_until(lambda: len(other.get_logs_for_run(first.run_id)) == 2, "the event was not written by itself")
    storage.dispose()


@pytest.mark.parametrize("kind", [dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE])
def test_the_end_of_a_step_or_a_run_is_stored_at_once_with_all_before_it(
    url: str, events: list[dg.EventLogEntry], kind: dg.DagsterEventType
) -> None:
    storage = BatchedEventLogStorage(url)
    (end,) = of_kind(events, kind)
    for event in events[: events.index(end) + 1]:
        storage.store_event(event)
    assert len(content(url)["event_logs"]) == events.index(end) + 1
    storage.dispose()


def test_events_without_a_run_are_stored_at_once(url: str, events: list[dg.EventLogEntry]) -> None:
    storage = BatchedEventLogStorage(url)
    storage.store_event(events[-1])
    assert stored(url) == ["S7"]
    storage.dispose()


# --- what may go wrong


def test_a_lost_connection_loses_no_event(url: str, events: list[dg.EventLogEntry]) -> None:
    storage = BatchedEventLogStorage(url)
    some = of_kind(events, dg.DagsterEventType.ASSET_MATERIALIZATION)
    for event in some[:20]:
        storage.store_event(event)
    storage.flush()
    with connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    for event in some[20:]:
        storage.store_event(event)
    storage.dispose()
    assert stored(url) == [event.get_dagster_event().partition for event in some]


@pytest.mark.parametrize("came_through", [True, False])
def test_a_connection_that_is_lost_at_the_commit_neither_doubles_a_batch_nor_loses_it(
    server: str, url: str, events: list[dg.EventLogEntry], came_through: bool
) -> None:
    some = of_kind(events, dg.DagsterEventType.ASSET_MATERIALIZATION)
    struck, last = threading.Event(), b"COMMIT" if came_through else b"INSERT"

    def strike(message: Message, _link: Link) -> bool:
        """Cut the connection of the first batch, once: before its commit, or before that is confirmed to the end."""
        if struck.is_set():
            return False
        if message.side == "server" and message.kind == b"C" and message.body.startswith(last):
            struck.set()
        return struck.is_set()

    with PostgresProxy(server) as proxy:
        host = conninfo.conninfo_to_dict(proxy.dsn)["host"]
        storage = BatchedEventLogStorage(f"{url.partition('?')[0]}?host={host}&port=5432")
        proxy.arm(strike)
        for event in some[:20]:
            storage.store_event(event)
        with pytest.raises(OperationalError):
            storage.flush()
        assert struck.is_set()
        for event in some[20:]:
            storage.store_event(event)
        storage.dispose()
    assert stored(url) == [event.get_dagster_event().partition for event in some]


def test_an_event_that_the_server_refuses_takes_no_other_with_it(url: str, events: list[dg.EventLogEntry]) -> None:
    storage = BatchedEventLogStorage(url)
    first, second, third, *_ = of_kind(events, dg.DagsterEventType.ASSET_MATERIALIZATION)
    storage.store_event(first)
    storage.store_event(second._replace(run_id="\0"))
    storage.store_event(third)
    with pytest.raises(ValueError, match="NUL"):
        storage.flush()
    assert stored(url) == ["S0", "S2"]
    storage.dispose()


def test_a_forked_child_leaves_alone_what_its_parent_has_yet_to_store(url: str, events: list[dg.EventLogEntry]) -> None:
    storage = BatchedEventLogStorage(url)
    first, second, *_ = of_kind(events, dg.DagsterEventType.ASSET_MATERIALIZATION)
    storage.store_event(first)
    child = os.fork()
    if not child:
        storage.store_event(second)
        storage.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    storage.dispose()
    assert sorted(str(partition) for partition in stored(url)) == ["S0", "S1"]


_RUN = """
import signal, sys
import dagster as dg
from dagster._core.storage.runs import InMemoryRunStorage

@dg.asset(partitions_def=dg.StaticPartitionsDefinition([str(n) for n in range(50)]))
def many(context) -> None:
    for n in range(50):
        context.log_event(dg.AssetMaterialization("many", partition=str(n)))
    print("ready", flush=True)
    {then}

if __name__ == "__main__":
    with dg.DagsterInstance.get() as instance:
        tags = {{"dagster/asset_partition_range_start": "0", "dagster/asset_partition_range_end": "49"}}
        job = dg.Definitions(assets=[many], executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()
        job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
"""
_HOME = """
event_log_storage:
  module: pipelines.event_storage
  class: BatchedEventLogStorage
  config: {{postgres_url: "{url}"}}
telemetry: {{enabled: false}}
"""


@contextmanager
def run_in_process(folder: Path, url: str, then: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run of fifty partitions in a process of its own, and wait until all are recorded or wait to be."""
    (folder / "dagster.yaml").write_text(_HOME.format(url=url))
    (folder / "run.py").write_text(_RUN.format(then=then))
    with subprocess.Popen(
        [sys.executable, str(folder / "run.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "DAGSTER_HOME": str(folder)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.parametrize(
    ("then", "number"),
    [
        ("signal.pause()", signal.SIGTERM),
        ("raise ValueError", None),
    ],
)
def test_however_a_run_ends_all_its_events_are_stored(
    tmp_path: Path, url: str, then: str, number: signal.Signals | None
) -> None:
    with run_in_process(tmp_path, url, then) as process:
        if number is not None:
            process.send_signal(number)
    assert stored(url) == [str(number) for number in range(50)]
    with connect(url) as connection:
        found = connection.execute(
            "SELECT dagster_event_type FROM event_logs WHERE dagster_event_type LIKE 'PIPELINE%'"
        )
        assert {"PIPELINE_START", "PIPELINE_FAILURE"} <= {kind for (kind,) in found}


def test_a_killed_run_has_stored_the_first_of_its_events(tmp_path: Path, url: str) -> None:
    with run_in_process(tmp_path, url, "signal.pause()") as process:
        process.kill()
    assert stored(url) == [str(number) for number in range(len(stored(url)))]


def test_a_process_that_ends_by_itself_stores_what_waits(url: str) -> None:
    code = f"""
import dagster as dg
from dagster import DagsterEvent, EventLogEntry, DagsterEventType
from pipelines.event_storage import BatchedEventLogStorage
storage = BatchedEventLogStorage({url!r})
storage.store_event(EventLogEntry(
    error_info=None, level=20, user_message="a line", run_id="r", timestamp=1.0, step_key=None, job_name="j",
    dagster_event=None))
"""
    run_python(code)
    with connect(url) as connection:
        assert connection.execute("SELECT run_id FROM event_logs").fetchall() == [("r",)]


def test_no_secret_is_stored_with_an_event_or_a_tick(
    url: str, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In metadata, in an error and in what it was raised from, in a line of the log, in a sensor's error."""
    secret = 'Gr0ss/Geh"im'
    monkeypatch.setenv("SOME_API_KEY", secret)
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)

    @dg.asset
    def leaky(context: dg.AssetExecutionContext) -> None:
        context.add_output_metadata({"note": f"it is {secret}", "number": 7})
        context.log.info("it is %s", secret)
        raise ValueError(f"cannot use {secret}") from OSError(f"refused: {secret}")

    @dg.asset
    def talkative() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"note": f"it is {secret}", "password=abc": 7})

    with open_instance(Settings(home_override=tmp_path)) as instance:
        for asset in (leaky, talkative):
            dg.materialize([asset], instance=instance, raise_on_error=False)
        instance.create_tick(TickData("o", "broken", InstigatorType.SENSOR, TickStatus.STARTED, 1.0, selector_id="s"))
        (tick,) = instance.get_ticks("o", "s")
        error = SerializableErrorInfo(f"ValueError: cannot use {secret}", [], "ValueError")
        instance.update_tick(tick.with_status(TickStatus.FAILURE, error=error))
        (tick,) = instance.get_ticks("o", "s")
        assert tick.error is not None
        assert tick.error.message.strip() == "ValueError: cannot use ***"
        storage = instance.event_log_storage
        note = instance.get_latest_materialization_event(talkative.key)
    assert isinstance(storage, BatchedEventLogStorage)
    assert note is not None
    assert note.asset_materialization is not None
    assert note.asset_materialization.metadata["note"].value == "it is ***"
    with connect(storage.postgres_url) as connection:
        everything = str([rows for table in TABLES for rows in connection.execute(f"TABLE {table}").fetchall()])  # type: ignore[call-overload]
    assert "cannot use ***" in everything
    assert "refused: ***" in everything
    assert "Geh" not in everything
