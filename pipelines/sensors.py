"""The sensors: what follows what.

Derived bars follow every correction of any window, because the publishing transaction itself notes which days became
stale; the sensor only launches the runs. Not here: what a run does (``assets``).
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import dagster as dg
import psycopg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.reference import SYMBOLS
from chandlery.timeframe import INGESTED, Timeframe
from pipelines.jobs import derive_job_name
from pipelines.partitions import neighbours, range_tags
from resources.store import StoreResource

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def build_sensors(derive_jobs: Sequence[UnresolvedAssetJobDefinition]) -> list[dg.SensorDefinition]:
    """Return the sensors.

    Args:
        derive_jobs: the jobs that derive, one for each ingested timeframe.
    """

    @dg.sensor(
        jobs=derive_jobs, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING
    )
    def derived_bars_follow(
        context: dg.SensorEvaluationContext, store: StoreResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """Derives again whatever became stale, in as few runs as can be, whoever published it."""
        order = list(context.instance.get_dynamic_partitions(SYMBOLS))
        asked = False
        for base in INGESTED:
            running = dg.RunsFilter(job_name=derive_job_name(base), statuses=_UNFINISHED)
            if context.instance.get_runs_count(running):
                continue  # it takes along what is stale now; what comes later is seen by a later tick
            with store.database.connection() as connection:
                requests = list(rectangles(connection, base, order))
            asked = asked or bool(requests)
            yield from requests
        if not asked:
            yield dg.SkipReason("nothing is stale, or it is being derived")

    automation = dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.groups("quality"), default_status=dg.DefaultSensorStatus.RUNNING
    )
    return [derived_bars_follow, automation]


def rectangles(connection: psycopg.Connection, base: Timeframe, order: list[str]) -> Iterator[dg.RunRequest]:
    """Yield a run for each group of neighbouring symbols with stale days, over the windows from first to last."""
    rows = connection.execute(
        "SELECT i.symbol, min(p.day), max(p.day), max(p.noted_at), count(*) FROM ops.rollup_pending AS p"
        " JOIN market.instrument AS i USING (instrument_id) WHERE p.timeframe = %s GROUP BY i.symbol",
        (base.value,),
    ).fetchall()
    stale: dict[str, tuple[date, date, datetime, int]] = {row[0]: row[1:] for row in rows if row[0] in set(order)}
    for group in neighbours(list(stale), order):
        found = [stale[symbol] for symbol in group]
        first, last = min(row[0] for row in found), max(row[1] for row in found)
        # The same staleness is asked for once: a run that failed is tried again when something new arrives, or by hand.
        state = f"{max(row[2] for row in found).isoformat()}/{sum(row[3] for row in found)}"
        yield dg.RunRequest(
            run_key=f"{base.value}/{group[0]}/{group[-1]}/{state}",
            job_name=derive_job_name(base),
            tags=range_tags(group[0], group[-1], base.window_of(first).key, base.window_of(last).key),
        )
