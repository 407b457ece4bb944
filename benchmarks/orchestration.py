"""Dagster at size: 500 symbols over ten years, on PostgreSQL, with a full history of materializations.

Not here: what a run does with the bars (``pipeline``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import numpy as np
import psycopg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.cli import execute_query

from assets.reference import SYMBOLS
from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.world import World, months, reset, symbols
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import SilentListener
from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column
from chandlery.database.dsn import dagster_dsn
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import IngestPlan, partitions_between
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.providers.simulated.provider import SimulatedProvider
from chandlery.rollups.refresh import catch_up
from expectations.gate import BarGate
from pipelines.definitions import build_defs
from pipelines.instance import open_instance
from pipelines.jobs import ingest_job_name
from pipelines.orchestrator import DagsterOrchestrator
from pipelines.partitions import range_tags

_SYMBOLS, _YEARS, _LOADED, _STALE_DAYS = 500, 10, 50, 6
_SOON = 10.0  # seconds within which a person or the daemon waits without noticing
_PAGE = """
query Partitions($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode {
    id
    partitionKeysByDimension { name partitionKeys }
    partitionStats { numMaterialized numPartitions numFailed numMaterializing }
    assetPartitionStatuses { ... on MultiPartitionStatuses {
      primaryDimensionName
      ranges { primaryDimStartKey primaryDimEndKey secondaryDim {
        ... on DefaultPartitionStatuses { materializedPartitions failedPartitions }
        ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }
  } }
}
"""
# Clones a real materialization for every partition that has none: only its row is read when statuses are summed up.
_CLONE = """
INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
SELECT e.run_id, e.event, e.dagster_event_type, e.timestamp, e.step_key, e.asset_key, k.key
FROM unnest(%s::text[]) AS k (key)
CROSS JOIN (SELECT * FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND asset_key = %s
            ORDER BY id DESC LIMIT 1) AS e
"""


def run(world: World) -> Iterator[Section]:
    """Yield the results: loading through Dagster, then what grows with the number of partitions."""
    year = datetime.now(UTC).year - _YEARS + 1
    world.configure(symbols(_SYMBOLS), f"{year}-01", str(year))
    installation, _ = Installation.create(world.settings)
    try:
        say(f"registering {_SYMBOLS} symbols took {stopwatch(DagsterOrchestrator(installation).prepare):.2f} s")
        yield _loading(world, installation)
        yield _size(world, installation)
    finally:
        installation.warehouse.close()


def _loading(world: World, installation: Installation) -> Section:
    """Compare loading through Dagster with the library alone, roll-ups included."""
    start, end = months(max(world.rows // 250_000, 1))
    warehouse, orchestrator = installation.warehouse, DagsterOrchestrator(installation)
    with warehouse.connection() as connection:
        known = list_instruments(connection)
    gate = BarGate()

    def library(chosen: list[Instrument], end: datetime) -> None:
        planned = partitions_between(chosen, Timeframe.M1, start, end)
        for _ in IngestPipeline(warehouse, gate, {}).ingest(SimulatedProvider(), planned):
            pass
        for _ in catch_up(warehouse, Timeframe.M1, chosen, start, end):
            pass

    def dagster(chosen: list[Instrument], end: datetime) -> None:
        records = orchestrator.ingest(IngestPlan(Timeframe.M1, dict.fromkeys(chosen, (start, end))), SilentListener())
        if not all(record.succeeded for record in records):
            raise AssertionError(f"a run failed: {[record.error for record in records]}")

    def emptied(work: Callable[[list[Instrument], datetime], None], chosen: list[Instrument], end: datetime) -> float:
        with warehouse.connection() as connection:
            reset(connection)
        return stopwatch(lambda: work(chosen, end))

    one, many = (known[:1], months(1)[1]), (known[:_LOADED], end)
    for work in (library, dagster):
        emptied(work, *one)  # imports, and makes the partitions of the tables
    count = _LOADED * len(list(Timeframe.M1.windows(start, end)))
    seconds = take_turns(
        {
            "library, 1": lambda: emptied(library, *one),
            "Dagster, 1": lambda: emptied(dagster, *one),
            f"library, {count}": lambda: emptied(library, *many),
            f"Dagster, {count}": lambda: emptied(dagster, *many),
        },
        world.repeat,
    )
    of = {name: Measure(name, taken, int(name.split()[1]), "partitions") for name, taken in seconds.items()}
    section = Section(f"orchestration: loading 1 and {count} partitions of minutes and deriving from them")
    section.add(of)
    section.compare(of[f"Dagster, {count}"], of[f"library, {count}"])
    fixed = np.subtract(seconds["Dagster, 1"], seconds["library, 1"])
    extra = np.subtract(seconds[f"Dagster, {count}"], seconds[f"library, {count}"])
    section.facts["Dagster's own time per load"] = f"{np.median(fixed):.1f} s"
    each = np.median(extra - fixed) / (count - 1) * 1000
    section.facts["Dagster's own time per further partition"] = f"{each:.0f} ms (one ingested and five derived)"
    section.facts["Dagster's share of the larger load"] = f"{np.median(extra / seconds[f'Dagster, {count}']):.0%}"
    section.facts["runs by partitions"] = _count_runs(orchestrator, known)
    return section


def _count_runs(orchestrator: DagsterOrchestrator, known: list[Instrument]) -> dict[str, int]:
    """Return how many runs loads of different sizes take, ingestion and derivation together."""
    start, end = datetime(2022, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    counts = {}
    for chosen in (known[:1], known):
        records = orchestrator.ingest(IngestPlan(Timeframe.D1, dict.fromkeys(chosen, (start, end))), SilentListener())
        counts[f"{len(chosen)} of days"] = len(records)
    if len(set(counts.values())) > 1:
        raise AssertionError(f"the number of runs grows with the partitions: {counts}")
    return counts


def _size(world: World, installation: Installation) -> Section:
    """Measure what the UI and the daemon ask over and over."""
    defs = build_defs(installation.configuration)
    repository = defs.get_repository_def()
    section = Section(f"orchestration at size: {_SYMBOLS} symbols x {_YEARS} years")
    with open_instance(world.settings) as instance:
        automation = _Automation(defs, instance)
        automation.tick()
        for base in (Timeframe.M1, Timeframe.D1):
            keys = _materialize_all(world, repository, instance, base)
            section.facts[f"partitions of {base.table}"] = f"{keys:,}, all materialized"
        section.measures += [
            Measure("automation tick, every partition updated", [stopwatch(lambda: automation.tick(requested=2))]),
            Measure("automation tick, nothing updated", [stopwatch(automation.tick) for _ in range(3)]),
            *_page(instance),
        ]
        section.measures += _ticks(installation, repository, instance)
        section.measures += _start_up(repository, instance)
    for measure in section.measures:
        section.limit(measure, _SOON)
    return section


def _materialize_all(
    world: World, repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, base: Timeframe
) -> int:
    definition = repository.asset_graph.get(dg.AssetKey(base.table)).partitions_def
    if definition is None:
        raise AssertionError(f"{base.table} has no partitions")
    keys = definition.get_partition_keys(dynamic_partitions_store=instance)
    with psycopg.connect(dagster_dsn(world.settings), autocommit=True) as connection:
        *missing, last = sorted(set(keys) - instance.get_materialized_partitions(dg.AssetKey(base.table)))
        connection.execute(_CLONE, (missing, dg.AssetKey(base.table).to_string()))
        # The last one through Dagster, which keeps beside its events when an asset was last updated.
        instance.report_runless_asset_event(dg.AssetMaterialization(base.table, partition=last))
        connection.execute("ANALYZE")
    say(f"{len(keys):,} partitions of {base.table}")
    return len(keys)


def _page(instance: dg.DagsterInstance) -> list[Measure]:
    """Ask what the UI asks to show an asset's partitions: first, and again."""
    target = ModuleTarget("pipelines.definitions", None, None, "chandlery")
    found = []
    with WorkspaceProcessContext(instance, target, code_server_log_level="WARNING") as workspace:
        for base in (Timeframe.M1, Timeframe.D1):

            def ask(table: str = base.table) -> None:
                answer = execute_query(workspace, _PAGE, {"key": {"path": [table]}})
                stats = answer["data"]["assetNodeOrError"]["partitionStats"]
                if stats["numMaterialized"] != stats["numPartitions"]:
                    raise AssertionError(f"{table}: {stats}")

            first = stopwatch(ask)
            again = [stopwatch(ask) for _ in range(3)]
            found.append(Measure(f"UI: partitions of {base.table}, first", [first]))
            found.append(Measure(f"UI: partitions of {base.table}, again", again))
    return found


class _Automation:
    """The automation sensor, which remembers between its ticks what it has seen."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._defs = defs
        self._instance = instance
        self._cursor: Any = None

    def tick(self, *, requested: int | None = None) -> None:
        """Evaluate; where ``requested`` is given, so many assets must be asked for."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            result = dg.evaluate_automation_conditions(
                self._defs, self._instance, asset_selection=dg.AssetSelection.groups("quality"), cursor=self._cursor
            )
        self._cursor = result.cursor
        say(f"automation asked for {result.total_requested} assets")
        if requested is not None and result.total_requested != requested:
            raise AssertionError(f"automation asked for {result.total_requested} assets, not {requested}")


def _note_stale(connection: psycopg.Connection, *, scattered: bool) -> None:
    """Note stale days: the same of every symbol, as after a provider's correction, or scattered."""
    reset(connection)
    ids = np.array([stock.instrument_id for stock in list_instruments(connection)], np.int32)
    shape = (len(ids), _STALE_DAYS) if scattered else (1, _STALE_DAYS)
    days = np.broadcast_to(np.random.default_rng(7).integers(0, 3000, shape), (len(ids), _STALE_DAYS)).ravel()
    first = np.datetime64(f"{datetime.now(UTC).year - _YEARS + 1}-01-01", "us")
    connection.execute(
        "INSERT INTO ops.rollup_pending (timeframe, instrument_id, day, noted_at)"
        " SELECT '1m', id, ts::date, now() FROM unnest(%s::int4[], %s::timestamptz[]) AS stale (id, ts)"
        " ON CONFLICT DO NOTHING",
        (Column(np.repeat(ids, _STALE_DAYS)), Column(first + days.astype("timedelta64[D]"))),
    )


def _ticks(
    installation: Installation, repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> list[Measure]:
    resources: dict[str, Any] = {"store": repository.get_top_level_resources()["store"]}
    asked: dict[str, int] = {}

    def sensor(name: str) -> None:
        context = dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources)
        with context:
            tick = repository.get_sensor_def("follow_1m").evaluate_tick(context)
        asked[name] = len(tick.run_requests or ())

    def schedule() -> None:
        context = dg.build_schedule_context(
            instance=instance,
            repository_def=repository,
            resources=resources,
            scheduled_execution_time=datetime(2024, 6, 5, 20, 30, tzinfo=UTC),
        )
        with context:
            tick = repository.get_schedule_def("xnys_1m_after_close").evaluate_tick(context)
        if not tick.run_requests:
            raise AssertionError("the schedule asked for no run")

    _serve_all(installation, "remote")
    measures = [Measure("schedule tick, all symbols", [stopwatch(schedule) for _ in range(3)])]
    _serve_all(installation, "simulated")
    for kind in ("common", "scattered"):
        with installation.warehouse.connection() as connection:
            _note_stale(connection, scattered=kind == "scattered")
        name = f"sensor tick, {_SYMBOLS * _STALE_DAYS:,} stale days, {kind}"
        seconds = stopwatch(lambda name=name: sensor(name))  # type: ignore[misc]
        say(f"{name}: {seconds:.1f} s")
        measures.append(Measure(name, [seconds], note=f"asked for {asked[name]:,} runs"))
    return measures


def _serve_all(installation: Installation, provider: str) -> None:
    with installation.warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET provider = %s", (provider,))


def _start_up(repository: dg.RepositoryDefinition, instance: dg.DagsterInstance) -> list[Measure]:
    """Ingest nothing of many partitions: what is left is what any run over so many costs, events and all."""
    names = instance.get_dynamic_partitions(SYMBOLS)
    job = repository.get_job(ingest_job_name(Timeframe.M1))
    nothing = {name: ["2020-02-01", "2020-02-02"] for name in names}  # after the window
    config = {
        "ops": {Timeframe.M1.table: {"config": {"ranges": nothing}}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }

    def run(count: int) -> None:
        tags = range_tags(names[0], names[count - 1], "2020-01", "2020-01")
        if not job.execute_in_process(instance=instance, tags=tags, run_config=config).success:
            raise AssertionError("the run failed")

    measures = []
    for count in (len(names) // 5, len(names)):
        seconds = stopwatch(lambda count=count: run(count))  # type: ignore[misc]
        measures.append(Measure(f"a run over {count} empty partitions", [seconds], count, "partitions"))
    return measures
