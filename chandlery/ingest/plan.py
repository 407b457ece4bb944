"""From ranges of time, or from the partition keys of an orchestrator, to partitions.

Not here: which keys there are (``pipelines.partitions``).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from chandlery.core.partition import Listing, Partition
from chandlery.core.timeframe import Timeframe, Window
from chandlery.errors import UnknownSymbolError
from chandlery.instruments.registry import Instrument


def split_keys(keys: Iterable[str], timeframe: Timeframe) -> list[tuple[str, Window]]:
    """Return (symbol, window) of each key, as in ``AAPL|2024-01``."""
    # A symbol never holds a pipe sign; Dagster sorts the dimensions by name, so "symbol" comes before "window".
    pairs = (key.rsplit("|", 1) for key in keys)
    return [(symbol, timeframe.window(window)) for symbol, window in pairs]


def plan_partitions(
    keys: Sequence[str],
    timeframe: Timeframe,
    instruments: Mapping[str, Instrument],
    clip: Mapping[str, tuple[datetime, datetime]],
    now: datetime,
) -> list[Partition]:
    """Return what ``keys`` ask for: each window as far as it is past, and within the symbol's range in ``clip``.

    Raises:
        UnknownSymbolError: a key's symbol is not a registered instrument.
    """
    planned = []
    for symbol, window in split_keys(keys, timeframe):
        if symbol not in instruments:
            raise UnknownSymbolError(
                f"partition {symbol}|{window.key}: {symbol!r} is not registered; run `chandlery init`"
            )
        first, last = clip.get(symbol, (window.start, window.end))
        past = min(last, max(now, window.start))
        planned.append(Partition.of(instruments[symbol], timeframe, window, first, past))
    return planned


def partitions_between(
    instruments: Iterable[Listing], timeframe: Timeframe, start: datetime, end: datetime
) -> list[Partition]:
    """Return the partitions that make up ``[start, end)``, UTC, of each instrument, in the order of ``instruments``."""
    return [
        Partition.of(instrument, timeframe, window, start, end)
        for instrument in instruments
        for window in timeframe.windows(start, end)
    ]
