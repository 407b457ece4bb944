"""The sensors: what follows what.

Derived bars follow every correction of any window, because the publishing transaction itself notes which days became
stale; the sensor only launches the runs. Not here: what a run does (``assets``).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.reference import SYMBOLS
from assets.rollups import ONLY_STALE
from chandlery.timeframe import INGESTED, Timeframe
from pipelines.jobs import derive_job_name
from pipelines.partitions import RANGE_END, RANGE_START, cover
from resources.store import StoreResource

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]

#: A run whose machine went down never ends in Dagster's books; after so long nobody waits for it.
_PATIENCE = timedelta(hours=1)


def build_sensors(derive_jobs: Sequence[UnresolvedAssetJobDefinition]) -> list[dg.SensorDefinition]:
    """Return the sensors.

    Args:
        derive_jobs: the jobs that derive, one for each ingested timeframe.
    """

    @dg.sensor(jobs=derive_jobs, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
    def derived_bars_follow(
        context: dg.SensorEvaluationContext, store: StoreResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """Derives again whatever became stale, in as few runs as can be, whoever published it."""
        order = list(context.instance.get_dynamic_partitions(SYMBOLS))
        asked = False
        for base in INGESTED:
            recent = datetime.now(UTC) - _PATIENCE
            running = dg.RunsFilter(job_name=derive_job_name(base), statuses=_UNFINISHED, created_after=recent)
            if context.instance.get_runs_count(running):
                continue  # it takes along what is stale now; what comes later is seen by a later tick
            with store.database.connection() as connection:
                requests = stale_runs(connection, base, order)
            asked = asked or bool(requests)
            yield from requests
        if not asked:
            yield dg.SkipReason("nothing is stale, or it is being derived")

    automation = dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.groups("quality"), default_status=dg.DefaultSensorStatus.RUNNING
    )
    return [derived_bars_follow, automation]


def stale_runs(connection: psycopg.Connection, base: Timeframe, order: Sequence[str]) -> list[dg.RunRequest]:
    """Return the runs that derive all that is stale, over few rectangles of partitions.

    Args:
        connection: to the market database.
        base: the timeframe whose bars changed.
        order: all symbols, in Dagster's order.
    """
    rows = connection.execute(
        "SELECT i.symbol, date_trunc(%s, p.day::timestamp)::date, max(p.noted_at), count(*)"
        " FROM ops.rollup_pending AS p JOIN market.instrument AS i USING (instrument_id)"
        " WHERE p.timeframe = %s AND i.symbol = ANY(%s) GROUP BY 1, 2",
        (base.window_kind, base.value, list(order)),
    ).fetchall()
    state = {(symbol, base.window_of(start).key): (noted_at, days) for symbol, start, noted_at, days in rows}
    requests = []
    for rectangle in cover([(symbol, base.window_of(start)) for symbol, start, _, _ in rows], order):
        # The same staleness is asked for once: a run that failed is tried again when something new arrives.
        held = [found for key, found in state.items() if rectangle.holds(*key)]
        version = f"{max(noted_at for noted_at, _ in held).isoformat()}/{sum(days for _, days in held)}"
        requests.append(
            dg.RunRequest(
                run_key=f"{base.value}/{rectangle.tags[RANGE_START]}/{rectangle.tags[RANGE_END]}/{version}",
                job_name=derive_job_name(base),
                tags={**rectangle.tags, ONLY_STALE: "true"},
            )
        )
    return requests
