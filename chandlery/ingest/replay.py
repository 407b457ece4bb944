"""Which landed answers are processed again, without a call to their provider.

Not here: processing them (``pipeline``), and how they are kept (``landing``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.ingest.landing import LandedAnswer, Landing
from chandlery.ingest.plan import IngestOptions, IngestPlan, partitions_between
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.tiers.warehouse import Warehouse


def plan_replay(
    warehouse: Warehouse,
    landing: Landing,
    provider: str,
    timeframe: Timeframe,
    *,
    since: datetime | None = None,
    symbols: Collection[str] = (),
) -> IngestPlan:
    """Return the plan that processes again what landed; without ranges where nothing did.

    Args:
        warehouse: whose instruments are meant.
        landing: where answers are kept.
        provider: name of a configured provider.
        timeframe: ``1m`` or ``1d``.
        since: only answers that came at this instant (UTC) or later.
        symbols: canonical symbols; all that landed by default.

    Raises:
        UsageError: nothing landed of one of ``symbols``.
    """
    begin = since or EVER[0]
    landed = landing.find(provider, timeframe, begin)
    with warehouse.connection() as connection:
        ranges = _ranges(landed, load_instruments(connection))
    if unknown := sorted(set(symbols) - {instrument.symbol for instrument in ranges}):
        raise UsageError(f"symbols={' '.join(unknown)}: nothing landed of {timeframe.value} from {provider}")
    requested = {instrument: ranges[instrument] for instrument in ranges if not symbols or instrument.symbol in symbols}
    return IngestPlan(timeframe, requested, IngestOptions(provider=provider, replay_since=begin))


def planned_partitions(plan: IngestPlan) -> list[Partition]:
    """Return the partitions of a plan."""
    return [
        partition
        for instrument, (start, end) in plan.ranges.items()
        for partition in partitions_between([instrument], plan.timeframe, start, end)
    ]


def _ranges(
    landed: list[LandedAnswer], instruments: dict[str, Instrument]
) -> dict[Instrument, tuple[datetime, datetime]]:
    """Return what landed of each registered instrument, from the first requested instant to the last."""
    ranges: dict[Instrument, tuple[datetime, datetime]] = {}
    for answer in landed:
        for symbol in answer.symbols:
            if symbol in instruments:
                start, end = ranges.get(instruments[symbol], (answer.start_ts, answer.end_ts))
                ranges[instruments[symbol]] = min(start, answer.start_ts), max(end, answer.end_ts)
    return ranges
