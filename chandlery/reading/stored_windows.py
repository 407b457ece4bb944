"""Windows as they were read from the store, kept under their version: what changed since is another version.

So bars that are in no file, because they were not archived yet or are derived, need not travel again. Not here: files
of the lake (``lake_files``), and which windows the store answers for (``planner``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.cache.cache import Cache
from chandlery.core.arrow import numpy_of
from chandlery.core.calendars import microseconds
from chandlery.core.schema import STORED
from chandlery.core.windows import midnight, window_end
from chandlery.reading.planner import Plan
from chandlery.reading.windows import Window

#: A read of more windows than this is not taken apart: to do so would take longer than it saves.
_MOST_WINDOWS = 64
#: Fewer bars than this are read again as fast.
_FEWEST_BARS = 500
_ALL = STORED.names


def whole_windows(plan: Plan) -> list[Window]:
    """Return the windows that the store answers for as a whole; none where there are too many to keep."""
    spans: dict[int, list[BarRange]] = {}
    for requested in plan.hot:
        spans.setdefault(requested.instrument_id, []).append(requested)
    whole = [
        window
        for window in plan.state.windows
        if any(
            each.start <= midnight(window.start) and window_end(plan.timeframe, window.start) <= each.end
            for each in spans.get(window.instrument_id, ())
        )
    ]
    return whole if len(whole) <= _MOST_WINDOWS else []


def find_kept(cache: Cache, plan: Plan, windows: Sequence[Window], columns: Sequence[str]) -> dict[Window, pa.Table]:
    """Return those of ``windows`` that are kept, with these columns."""
    sets = [columns, *([_ALL] if list(columns) != _ALL else [])]
    keys = {window: [_key(plan, window, each) for each in sets] for window in windows}
    found = cache.get_many([key for several in keys.values() for key in several])
    firsts = {window: next((found[key] for key in several if key in found), None) for window, several in keys.items()}
    return {window: each.table.select(columns) for window, each in firsts.items() if each is not None}


def keep(cache: Cache, plan: Plan, tables: Mapping[Window, pa.Table], columns: Sequence[str]) -> None:
    """Keep windows that were read in the plan's state. Whose database has no name of its own, in this process alone."""
    place = cache.put if plan.state.origin is not None else getattr(cache.memory, "put", None)
    for window, table in tables.items():
        if place is not None and table.num_rows >= _FEWEST_BARS:
            place(_key(plan, window, columns), table)


def cut(plan: Plan, bars: pa.Table, windows: Sequence[Window]) -> Iterator[tuple[Window, pa.Table]]:
    """Yield the bars of each of ``windows``, of bars that are sorted by (instrument_id, ts)."""
    ids, ts = numpy_of(bars["instrument_id"]), numpy_of(bars["ts"]).view(np.int64)
    for window in windows:
        first, after = (int(np.searchsorted(ids, window.instrument_id, side)) for side in ("left", "right"))
        edges = microseconds(midnight(window.start)), microseconds(window_end(plan.timeframe, window.start))
        start, end = (first + int(place) for place in np.searchsorted(ts[first:after], edges))
        yield window, bars.slice(start, end - start)


def _key(plan: Plan, window: Window, columns: Sequence[str]) -> str:
    origin = plan.state.origin or "here"
    changed = microseconds(window.changed_at)
    parts = ["window", origin, plan.timeframe.value, str(window.instrument_id), window.start.isoformat(), str(changed)]
    return "/".join([*parts, *columns])
