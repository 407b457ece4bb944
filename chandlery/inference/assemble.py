"""Puts a frame together from what was known. Not here: what was known (``reader``), and the frame (``frame``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import numpy_of
from chandlery.core.windows import instant
from chandlery.inference.frame import InferenceDataFrame, Tables
from chandlery.inference.parts import Known, context_of, last_of
from chandlery.inference.reader import Seen
from chandlery.inference.request import Request


def make_frame(
    named: tuple[int, str],
    request: Request,
    seen: Seen,
    *,
    after: pa.Table | None,
    data_source: Mapping[str, str],
    query_latency_ms: float,
    output: str,
) -> InferenceDataFrame:
    """Return the frame of one instrument."""
    (owner, symbol), columns = named, ["ts", *request.columns]
    bars, indicators, parts = {}, {}, {}
    available: dict[str, datetime | None] = {}
    for width in request.widths:
        known = seen.known[width.name]
        place = last_of(known, owner, request.limit)
        bars[width.name] = _rows(known.bars, place).select(columns)
        available[f"bars.{width.name}"] = _available(known, place)
        if known.indicators is not None:
            ts = _rows(known.bars, place)["ts"]
            values = _rows(known.indicators, place)
            indicators[width.name] = pa.table([ts, *values.columns], ["ts", *values.column_names])
            available[f"indicators.{width.name}"] = _available(known, place)
    if "1m" in seen.known:
        known = seen.known["1m"]
        place = context_of(known, owner, seen.view, request.context)
        parts["context"] = _rows(known.bars, place).select(columns)
        available["context"] = _available(known, place)
    if after is not None:
        part = _part(after, owner)
        parts["after"] = _rows(after, part).select(columns)
    return InferenceDataFrame(
        symbol=symbol,
        timestamp=request.moment,
        knowledge=seen.view.knowledge,
        latency=seen.view.latency,
        bars=Tables(bars, output),
        indicators=Tables(indicators, output),
        available_at=available,
        data_source=data_source,
        query_latency_ms=query_latency_ms,
        parts=Tables(parts, output),
        price=_price(owner, list(seen.known.values())),
    )


def _rows(table: pa.Table, place: slice) -> pa.Table:
    return table.slice(place.start, place.stop - place.start)


def _part(table: pa.Table, owner: int) -> slice:
    ids = numpy_of(table["instrument_id"])
    return slice(int(np.searchsorted(ids, owner)), int(np.searchsorted(ids, owner, "right")))


def _available(known: Known, place: slice) -> datetime | None:
    return instant(int(known.available[place].max())) if place.stop > place.start else None


def _price(owner: int, widths: Sequence[Known]) -> float | None:
    """Return the close of the bar that ended last; of those that ended together, of the narrowest."""
    last = []
    for known in widths:
        if part := known.places.get(owner):
            at = part.stop - 1
            start = int(numpy_of(known.bars["ts"].slice(at, 1)).view(np.int64)[0])
            last.append((int(known.ends[at]), start, float(known.bars["close"][at].as_py())))
    return max(last)[2] if last else None
