"""The sensors: what follows what.

Derived bars follow every correction of any window, because the publishing transaction itself notes which days became
stale; the sensor only launches the runs. Not here: what a run does (``assets``).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from chandlery.store.pending import stale_version
from chandlery.timeframe import INGESTED, Timeframe
from pipelines.jobs import derive_job_name
from resources.store import StoreResource

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]

#: A run whose machine went down never ends in Dagster's books; after so long nobody waits for it.
_PATIENCE = timedelta(hours=1)


def sensor_name(base: Timeframe) -> str:
    """Return the name of the sensor that keeps what derives from ``base`` in step with it."""
    return f"follow_{base.value}"


def build_sensors() -> list[dg.SensorDefinition]:
    """Return the sensors."""
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.groups("quality"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps coverage up to date.",
    )
    return [*(_follow(base) for base in INGESTED), automation]


def _follow(base: Timeframe) -> dg.SensorDefinition:
    job = derive_job_name(base)

    @dg.sensor(
        name=sensor_name(base),
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Derives again whatever became stale because {base.value} bars changed, whoever published them.",
    )
    def follow(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.RunRequest | dg.SkipReason:
        recent = datetime.now(UTC) - _PATIENCE
        running = dg.RunsFilter(job_name=job, statuses=_UNFINISHED, created_after=recent)
        if context.instance.get_runs_count(running):
            # It takes along what is stale now; what comes later is seen by a later tick.
            return dg.SkipReason("what is stale is being derived")
        with store.database.connection() as connection:
            version = stale_version(connection, base)
        if version is None:
            return dg.SkipReason("nothing is stale")
        # The same staleness is asked for once: a run that failed is tried again when something new arrives.
        return dg.RunRequest(run_key=version, job_name=job)

    return follow
