"""Indicators of the bars that a frame shows. Not here: the indicators (``indicators``), and the frame (``frame``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.arrow import number_array
from chandlery.core.calendars import Int64s
from chandlery.indicators.registry import Chosen


def compute_shown(
    bars: pa.Table,
    places: Mapping[int, slice],
    indicators: Sequence[Chosen],
    *,
    breaks: npt.NDArray[np.bool_],
    sessions: Int64s | None,
    shown: int,
) -> pa.Table:
    """Return indicators of ``bars``, a row for each; those before the last ``shown`` of an instrument may be null.

    What counts from where a session began is computed for each session by itself, so sessions that are not shown are
    left out.

    Args:
        bars: sorted by (instrument_id, ts).
        places: where the bars of each instrument are.
        indicators: which.
        breaks: for each bar, whether it must not be used.
        sessions: for each bar, the number of its session, ascending for each instrument; None of a day and wider.
        shown: how many bars of each instrument count.
    """
    from chandlery.indicators.compute import compute_many  # noqa: PLC0415 - slow to import

    counted = [each for each in indicators if each.indicator.counted_from != "warm-up"]
    if sessions is None or not counted:
        return compute_many(bars, indicators, breaks=breaks, sessions=sessions)
    others = [each for each in indicators if each not in counted]
    before = shown + max(each.warmup for each in counted)
    rows = [np.empty(0, np.int64)]
    for part in places.values():
        first = sessions[max(part.start, part.stop - before)]
        begin = part.start + int(np.searchsorted(sessions[part], first))
        rows.append(np.arange(begin, part.stop))
    kept = np.sort(np.concatenate(rows))
    tail = compute_many(bars.take(number_array(kept)), counted, breaks=breaks[kept], sessions=sessions[kept])
    place = np.full(bars.num_rows, -1, np.int64)
    place[kept] = np.arange(len(kept))
    spread = tail.take(pa.array(place, mask=place < 0))
    if not others:
        return spread
    whole = compute_many(bars, others, breaks=breaks, sessions=sessions)
    columns = {name: table[name] for table in (whole, spread) for name in table.column_names}
    return pa.table({name: columns[name] for each in indicators for name in each.columns})
