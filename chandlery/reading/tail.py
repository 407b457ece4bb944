"""The last bars of each instrument, without reading all bars before them.

Where they begin is looked up in the store, and guessed where windows left it; then a read of everything from there on
shows whether it was far enough. Not here: the reading itself (``bars``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from chandlery.bars.read import BarRange, sort_by_key
from chandlery.bars.window_states import find_windows
from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.named_queries import query
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

#: Each attempt looks at so many times as many bars, and windows that left the store, as the one before.
_GROWTH = 4


def read_tail(
    warehouse: Warehouse,
    timeframe: Timeframe,
    ranges: Sequence[BarRange],
    limit: int,
    *,
    as_of: datetime | None = None,
    columns: Collection[str] = STORED.names,
    accept: Callable[[pa.Table], npt.NDArray[np.bool_]] | None = None,
) -> pa.Table:
    """Return the last ``limit`` bars of each of ``ranges``, sorted by (instrument_id, ts).

    Args:
        warehouse: where they are.
        timeframe: of the bars.
        ranges: each of another instrument.
        limit: 1 or more. A range with fewer bars gives all of them.
        as_of: as in ``read_bars``.
        columns: as in ``read_bars``.
        accept: which rows of a table of these columns count; the others are left out. All by default.

    Returns:
        As ``read_bars`` does.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    tables = [read_bars(warehouse, timeframe, [], columns=columns)]
    pending, depth = list(ranges), 1
    while pending:
        starts = _find_starts(warehouse, timeframe, pending, count=limit * depth, windows=depth, as_of=as_of)
        tails = [replace(each, start=starts[each.instrument_id]) for each in pending]
        table = read_bars(warehouse, timeframe, tails, as_of=as_of, columns=columns)
        if accept is not None:
            table = table.filter(number_array(accept(table)))
        ids = numpy_of(table["instrument_id"])
        unfinished = []
        for requested, tail in zip(pending, tails, strict=True):
            first, after = (int(np.searchsorted(ids, tail.instrument_id, side)) for side in ("left", "right"))
            if after - first < limit and tail.start > requested.start:
                unfinished.append(requested)
                continue
            first = max(first, after - limit)
            tables.append(table.slice(first, after - first))
        pending, depth = unfinished, depth * _GROWTH
    return sort_by_key(pa.concat_tables(tables).unify_dictionaries().combine_chunks())


def _find_starts(
    warehouse: Warehouse,
    timeframe: Timeframe,
    ranges: Sequence[BarRange],
    *,
    count: int,
    windows: int,
    as_of: datetime | None,
) -> Mapping[int, datetime]:
    """Return, by instrument, from where on its range has ``count`` bars, as far as that is known.

    The store knows of its own bars alone. If more than ``windows`` windows from there on left it, the last ``windows``
    of them are where to begin: they may have enough bars, or not.
    """
    with warehouse.connection() as connection:
        statement = _statement(timeframe, ranges, count, as_of)
        stored = {row[0]: row[1:] for row in connection.execute(statement).fetchall()}
        starts: dict[int, datetime] = {}
        for each in ranges:
            begin, known = stored[each.instrument_id]
            starts[each.instrument_id] = begin.astimezone(UTC) if known == count else each.start
        if not timeframe.is_ingested:  # derived bars never leave the store
            return starts
        first = timeframe.window_of(min(starts.values())).start.date()
        after = window_end(timeframe, max(each.end for each in ranges).date()).date()
        cold: dict[int, list[datetime]] = defaultdict(list)
        for window in find_windows(connection, timeframe, first, after, ids=starts, cold=True):
            if window_end(timeframe, window.start) > starts[window.instrument_id]:
                cold[window.instrument_id].append(midnight(window.start))
    for each in ranges:
        behind = [start for start in cold[each.instrument_id] if start < each.end]
        if len(behind) > windows:
            starts[each.instrument_id] = max(starts[each.instrument_id], behind[-windows])
    return starts


def _statement(timeframe: Timeframe, ranges: Sequence[BarRange], count: int, as_of: datetime | None) -> sql.Composed:
    variables: dict[str, object] = {
        "bars": sql.Identifier("market", timeframe.table),
        "range_ids": [each.instrument_id for each in ranges],
        "starts": [each.start for each in ranges],
        "ends": [each.end for each in ranges],
        "first": min(each.start for each in ranges),
        "last": max(each.end for each in ranges),
        "n": count,
    }
    if as_of is None:
        return query("reading/tail_starts", **variables)
    return query("reading/tail_starts_as_of", **variables, as_of=as_of, timeframe=timeframe.value)
