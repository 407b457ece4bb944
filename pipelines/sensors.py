"""The sensors: what follows what.

Derived bars follow every correction of any window, because the publishing transaction itself notes which days became
stale; the sensor only launches the runs. Not here: what a run does (``assets``).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from chandlery.store.pending import stale_version
from chandlery.timeframe import INGESTED
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


def build_sensors(derive_jobs: Sequence[dg.JobDefinition]) -> list[dg.SensorDefinition]:
    """Return the sensors.

    Args:
        derive_jobs: the jobs that derive, one for each ingested timeframe.
    """

    @dg.sensor(jobs=derive_jobs, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
    def derived_bars_follow(
        context: dg.SensorEvaluationContext, store: StoreResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """Derives again whatever became stale, in one run, whoever published it."""
        asked = False
        for base in INGESTED:
            recent = datetime.now(UTC) - _PATIENCE
            running = dg.RunsFilter(job_name=derive_job_name(base), statuses=_UNFINISHED, created_after=recent)
            if context.instance.get_runs_count(running):
                continue  # it takes along what is stale now; what comes later is seen by a later tick
            with store.database.connection() as connection:
                version = stale_version(connection, base)
            if version is not None:
                asked = True
                # The same staleness is asked for once: a run that failed is tried again when something new arrives.
                yield dg.RunRequest(run_key=f"{base.value}/{version}", job_name=derive_job_name(base))
        if not asked:
            yield dg.SkipReason("nothing is stale, or it is being derived")

    automation = dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.groups("quality"), default_status=dg.DefaultSensorStatus.RUNNING
    )
    return [derived_bars_follow, automation]
