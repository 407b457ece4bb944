"""Processing again what providers answered before, launched from the UI: the op of the job ``replay_landed``.

Not here: what is kept of answers (``chandlery.ingest.landing``), and new requests (``assets.bars``).
"""

from collections.abc import Iterator
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.choices import choices_of_run
from assets.events import IngestEvent, IngestEvents
from chandlery.app.orchestrator import Listener
from chandlery.core.moments import parse_moment
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import IngestPlan
from chandlery.ingest.replay import plan_replay, planned_partitions
from chandlery.instruments.registry import load_instruments
from resources.gate import GateResource
from resources.providers import ProvidersResource
from resources.store import StoreResource


class ReplayConfig(dg.Config):
    """Which answers are processed again."""

    provider: str = Field(description="Whose answers: a name in providers.yaml.")
    timeframe: Literal["1m", "1d"] = Field(default="1d", description="Of the bars: 1m or 1d.")
    symbols: list[str] = Field(default_factory=list, description="Only these symbols; all that landed by default.")
    since: str | None = Field(
        default=None, description="Only answers that came at this instant or later, in ISO 8601, UTC; all by default."
    )


@dg.op(out={}, tags={"kind": "postgres"})
def replay_answers(  # noqa: PLR0917 - Dagster passes them by name
    context: dg.OpExecutionContext,
    config: ReplayConfig,
    store: StoreResource,
    providers: ProvidersResource,
    gate: GateResource,
    listener: dg.ResourceParam[Listener],
) -> Iterator[IngestEvent]:
    """Audits and publishes again what landed, for example because a rule of the gate changed. Calls no provider."""
    with choices_of_run(context):
        plan = _plan(store, config)
    if not plan.ranges:
        context.log.info(f"nothing landed of {config.timeframe} from {config.provider}")
        return
    partitions = planned_partitions(plan)
    with store.warehouse.connection() as connection:
        instruments = load_instruments(connection)
    pipeline = IngestPipeline(
        store.warehouse, gate.get(), instruments, landing=store.installation.landing, run_id=context.run.run_id
    )
    events = IngestEvents(context, plan.timeframe, listener, store.warehouse, partitions)
    events.tag_run(partitions, [config.provider])
    for result in pipeline.run(
        partitions, providers.get(store.rate_limiters), plan.options, on_progress=events.progress
    ):
        yield from events.of(result)
    yield from events.at_the_end()


def _plan(store: StoreResource, config: ReplayConfig) -> IngestPlan:
    installation = store.installation
    installation.configuration.providers.provider(config.provider)
    since = parse_moment(config.since, name="since") if config.since else None
    return plan_replay(
        store.warehouse,
        installation.landing,
        config.provider,
        Timeframe(config.timeframe),
        since=since,
        symbols=config.symbols,
    )
