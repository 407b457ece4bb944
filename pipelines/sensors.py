"""The sensors: deriving what became stale, requesting missing bars again, reconciling, and keeping coverage up to date.

Derived bars follow every correction of any window, because the publishing transaction itself notes which days became
stale; the sensor only launches the runs. Not here: what a run does (``assets``), what is missing
(``chandlery.coverage.repair``), and how Dagster's records are reconciled (``reconcile``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.reference import SYMBOLS
from assets.rollups import follow_name
from assets.tags import run_tags
from chandlery.bars.bookkeeping import FIRST_PAUSE, LONGEST_PAUSE
from chandlery.core.text import counted
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.coverage.repair import plan_backfills, record_launch
from chandlery.rollups.stale import Staleness, read_staleness
from pipelines.freshness import build_freshness_sensor
from pipelines.jobs import derive_job_name, ingest_job_name
from pipelines.partitions import range_tags, rectangles, run_config
from pipelines.reconcile import build_reconcile
from resources.store import StoreResource

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]

#: A window that is requested again takes so many runs at most, each for one rectangle of partitions.
_RUNS = 4
#: Tag of the runs that derive: what was stale when they were launched.
_STALE = "chandlery/stale"
#: After so many runs that did not come to their end, the pause is as long as it gets.
_COUNTED_RUNS = 10
#: Tag of the runs that request missing bars again.
_REPAIR = "chandlery/repair"


@dataclass(frozen=True, slots=True)
class SensorLimits:
    """How long sensors wait.

    Attributes:
        unfinished_run: a run whose machine went down never ends in Dagster's books; a sensor waits this long for it.
        killed_run: after a run that derives was killed, the next is launched after this long; twice as long after each
            further one, up to ``longest_pause``.
        longest_pause: see ``killed_run``.
    """

    unfinished_run: timedelta = timedelta(hours=1)
    killed_run: timedelta = FIRST_PAUSE
    longest_pause: timedelta = LONGEST_PAUSE


def sensor_name(base: Timeframe) -> str:
    """Return the name of the sensor that keeps what derives from ``base`` in step with it."""
    return f"follow_{base.value}"


def build_sensors(limits: SensorLimits = SensorLimits()) -> list[dg.SensorDefinition]:
    """Return the sensors."""
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.groups("quality"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps coverage up to date.",
    )
    follow, repair = ([build(base, limits) for base in INGESTED] for build in (_follow, _repair))
    return [*follow, *repair, build_reconcile(), build_freshness_sensor(), automation]


def repair_sensor_name(base: Timeframe) -> str:
    """Return the name of the sensor that requests missing bars of ``base`` again."""
    return f"repair_{base.value}"


def _repair(base: Timeframe, limits: SensorLimits) -> dg.SensorDefinition:
    job = ingest_job_name(base)

    @dg.sensor(
        name=repair_sensor_name(base),
        job_name=job,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks remote providers again for {base.value} bars that are missing or were not final.",
    )
    def repair(context: dg.SensorEvaluationContext, store: StoreResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        recent = datetime.now(UTC) - limits.unfinished_run
        # Not only runs of repairs: what a schedule or a person requests may be the same sessions.
        running = dg.RunsFilter(job_name=job, statuses=_UNFINISHED, created_after=recent)
        if context.instance.get_runs_count(running):
            yield dg.SkipReason("bars are being requested")
            return
        current = store.installation.current_instruments()
        remote, turn = store.installation.providers.remote_limits(), int(context.cursor or 0)
        order = context.instance.get_dynamic_partitions(SYMBOLS)
        with store.warehouse.connection() as connection:
            known = [instrument for instrument in current if instrument.symbol in set(order)]
            backfills = plan_backfills(connection, known, base, limits=remote, turn=turn)
            for backfill in backfills:
                record_launch(connection, backfill)
        context.update_cursor(str(turn + 1))
        if not backfills:
            yield dg.SkipReason("nothing is missing that may be had")
        providers = {instrument.symbol: instrument.provider for instrument in known}
        for backfill in backfills:
            for group in rectangles(list(backfill.ranges), order, _RUNS):
                ranges = {symbol: [at.isoformat() for at in backfill.ranges[symbol]] for symbol in group}
                yield dg.RunRequest(
                    job_name=job,
                    tags=range_tags(group[0], group[-1], backfill.window, backfill.window)
                    | run_tags(base, group, [providers[symbol] for symbol in group])
                    | {_REPAIR: base.value},
                    run_config=run_config(base, group, order, ranges=ranges, refresh=True),
                )

    return repair


def _follow(base: Timeframe, limits: SensorLimits) -> dg.SensorDefinition:
    job = derive_job_name(base)

    @dg.sensor(
        name=sensor_name(base),
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Derives again whatever became stale because {base.value} bars changed, whoever published them.",
    )
    def follow(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.RunRequest | dg.SkipReason:
        recent = datetime.now(UTC) - limits.unfinished_run
        running = dg.RunsFilter(job_name=job, statuses=_UNFINISHED, created_after=recent)
        if context.instance.get_runs_count(running):
            # It takes along what is stale now; what comes later is seen by a later tick.
            return dg.SkipReason("what is stale is being derived")
        with store.warehouse.connection() as connection:
            stale = read_staleness(connection, base)
        if not stale.due:
            return dg.SkipReason(_describe_waiting(stale) if stale.waiting else "nothing is stale")
        # A run that failed has said so in the store, and what it left is due after a pause. One that was killed has
        # not: it is launched again, and the more often that happened, the later.
        killed = context.instance.get_run_records(
            dg.RunsFilter(job_name=job, tags={_STALE: stale.version}), limit=_COUNTED_RUNS
        )
        if killed:
            again = killed[0].create_timestamp + min(limits.killed_run * 2 ** (len(killed) - 1), limits.longest_pause)
            if datetime.now(UTC) < again:
                return dg.SkipReason(f"the run that derives did not come to its end; tried again at {again:%H:%M:%S}Z")
        return dg.RunRequest(
            run_key=f"{stale.version}/{len(killed)}",
            job_name=job,
            tags={_STALE: stale.version},
            run_config={"ops": {follow_name(base): {"config": {"only_due": True}}}},
        )

    return follow


def _describe_waiting(stale: Staleness) -> str:
    return f"{counted(stale.waiting, 'stale day')} failed; tried again at {stale.next_try:%Y-%m-%d %H:%M:%S}Z"
