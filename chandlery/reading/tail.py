"""The last bars of each instrument, without reading all bars before them.

Where they begin is looked up in the store, and guessed where windows left it; then a read of everything from there on
shows whether it was far enough. Not here: the reading itself (``bars``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from chandlery.bars.read import BarRange, sort_by_key
from chandlery.core.arrow import empty_table, number_array, numpy_of
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.named_queries import query
from chandlery.reading.bars import BarReader, columns_of, read_bars, wait_for_writers
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.planner import Plan, read_planned
from chandlery.reading.windows import State, look_at
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
    state: State | None = None,
    files: LakeFiles | None = None,
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
        state: as in ``read_bars``.
        files: as in ``read_bars``.

    Returns:
        As ``read_bars`` does.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    if not ranges:
        return read_bars(warehouse, timeframe, [], columns=columns)
    if state is None:
        if as_of is not None:
            wait_for_writers(warehouse, timeframe, {each.instrument_id for each in ranges})
        state = look_at(warehouse, timeframe, ranges)
    reader = BarReader(warehouse, as_of, columns_of(columns), files)
    # Of a few bars, the store is asked: it finds them by their key.
    cold_only = files is None or limit * len(ranges) < files.worthwhile
    work = _Tails(reader, ranges, limit, accept)
    return read_planned(warehouse, state, ranges, work.read, files or LakeFiles(), cold_only=cold_only)


class _Tails(NamedTuple):
    """What is read of plans; see ``read_tail``."""

    reader: BarReader
    ranges: Sequence[BarRange]
    limit: int
    accept: Callable[[pa.Table], npt.NDArray[np.bool_]] | None

    def read(self, plan: Plan) -> pa.Table:
        """Return the last bars of each range."""
        tables = [empty_table(STORED).select(self.reader.columns)]
        pending, depth = list(self.ranges), 1
        while pending:
            starts = self._find_starts(plan, pending, depth)
            tails = [replace(each, start=starts[each.instrument_id]) for each in pending]
            table = self.reader.read(plan.narrowed(tails))
            if self.accept is not None:
                table = table.filter(number_array(self.accept(table)))
            ids = numpy_of(table["instrument_id"])
            unfinished = []
            for requested, tail in zip(pending, tails, strict=True):
                first, after = (int(np.searchsorted(ids, tail.instrument_id, side)) for side in ("left", "right"))
                if after - first < self.limit and tail.start > requested.start:
                    unfinished.append(requested)
                    continue
                first = max(first, after - self.limit)
                tables.append(table.slice(first, after - first))
            pending, depth = unfinished, depth * _GROWTH
        return sort_by_key(pa.concat_tables(tables).unify_dictionaries().combine_chunks())

    def _find_starts(self, plan: Plan, ranges: Sequence[BarRange], depth: int) -> Mapping[int, datetime]:
        """Return, by instrument, from where on its range has ``depth`` times as many bars, as far as that is known.

        The store knows of its own bars alone. If more than ``depth`` windows from there on left it, the last ``depth``
        of them are where to begin: they may have enough bars, or not.
        """
        count = self.limit * depth
        statement = _statement(plan.timeframe, ranges, count, self.reader.as_of)
        with plan.connection(self.reader.warehouse) as connection:
            stored = {row[0]: row[1:] for row in connection.execute(statement).fetchall()}
        starts: dict[int, datetime] = {}
        for each in ranges:
            begin, known = stored[each.instrument_id]
            starts[each.instrument_id] = begin.astimezone(UTC) if known == count else each.start
        cold: dict[int, list[datetime]] = defaultdict(list)
        for window in plan.state.windows:
            start = starts.get(window.instrument_id)
            if window.cold and start is not None and window_end(plan.timeframe, window.start) > start:
                cold[window.instrument_id].append(midnight(window.start))
        for each in ranges:
            behind = [start for start in cold[each.instrument_id] if start < each.end]
            if len(behind) > depth:
                starts[each.instrument_id] = max(starts[each.instrument_id], behind[-depth])
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
