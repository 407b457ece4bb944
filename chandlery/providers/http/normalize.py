"""How what a vendor sent becomes bars in the canonical shape. Not here: any vendor's format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.schema import BARS, PRICES, VALUES, conform, empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.errors import ProviderBadDataError
from chandlery.providers.base import BarRequest


def shape_bars(
    request: BarRequest,
    symbol: str,
    ts: Int64s,
    values: Mapping[str, npt.NDArray[np.generic]],
    *,
    source: str,
    provider: str,
) -> pa.Table:
    """Return the bars of one symbol that ``request`` is for, ascending, each start once.

    Where a start came more than once (a page sent twice, a bar corrected between pages), the last one counts.

    Args:
        request: bars that start outside of its ``[start, end)`` are dropped.
        symbol: as the request spells it.
        ts: starts of the bars, µs since the epoch, UTC, in the order in which they came.
        values: ``open``, ``high``, ``low``, ``close``, ``volume`` and, where there are any, ``vwap`` and ``trades``, as
            floats; NaN where there is none.
        source: of the rows; see ``base.source_name``.
        provider: name for an error.

    Raises:
        ProviderBadDataError: the columns are not of one length, or hold what cannot be (half a trade).
    """
    lengths = {len(ts), *(len(column) for column in values.values())}
    if len(lengths) != 1:
        raise ProviderBadDataError(f"columns of {sorted(lengths)} values", provider=provider, symbol=symbol)
    order = np.argsort(ts, kind="stable")
    starts = ts[order]
    last = np.r_[starts[1:] != starts[:-1], np.ones(min(len(starts), 1), np.bool_)]
    inside = (starts >= microseconds(request.start)) & (starts < microseconds(request.end))
    picked = order[last & inside]
    columns: dict[str, pa.Array] = {
        "symbol": pa.array([symbol] * len(picked), pa.string()).dictionary_encode(),
        "ts": pa.array(ts[picked]).view(BARS.field("ts").type),
        "source": pa.array([source] * len(picked), pa.string()).dictionary_encode(),
    }
    for name in VALUES:
        if name in values:
            column = np.asarray(values[name], np.float64)[picked]
            columns[name] = pa.array(column, pa.float64(), mask=np.isnan(column) if name not in PRICES else None)
            try:
                columns[name] = columns[name].cast(BARS.field(name).type)
            except pa.ArrowInvalid as error:
                raise ProviderBadDataError(f"{name}: {error}", provider=provider, symbol=symbol) from error
    return conform(pa.table(columns))


def join_bars(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the bars of several symbols as one table."""
    return pa.concat_tables(parts).unify_dictionaries() if parts else empty_bars()


def label_days(ts: Int64s, timezone: str) -> Int64s:
    """Return 00:00 UTC of the date that it is at each instant in ``timezone``, µs since the epoch.

    This is how bars of a day are labelled; vendors stamp them with midnight or with the session's open.
    """
    zone = ZoneInfo(timezone)
    days = [datetime.fromtimestamp(int(at) // 1_000_000, UTC).astimezone(zone).date().toordinal() for at in ts]
    return (np.array(days, np.int64) - _EPOCH_DAY) * DAY_US


def windows(request: BarRequest, bars: int) -> Iterator[BarRequest]:
    """Yield requests for the parts of the range that hold at most so many starts each, oldest first, in UTC."""
    step = timedelta(microseconds=request.timeframe.microseconds) * bars
    start, end = request.start.astimezone(UTC), request.end.astimezone(UTC)
    while start < end:
        yield replace(request, start=start, end=min(start + step, end))
        start += step


def describe(request: BarRequest) -> str:
    """Return what is requested, for people: symbols, timeframe, first and last day."""
    names = ", ".join(request.symbols[:3]) + (
        f" and {len(request.symbols) - 3} more" if len(request.symbols) > 3 else ""
    )
    day = f"{request.start:%Y-%m-%d}..{request.end:%Y-%m-%d}"
    return f"{names} {request.timeframe.value} {day if request.timeframe is Timeframe.D1 else _exact(request)}"


def _exact(request: BarRequest) -> str:
    return f"{request.start:%Y-%m-%d %H:%M}..{request.end:%Y-%m-%d %H:%M}"


_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC).date().toordinal()
