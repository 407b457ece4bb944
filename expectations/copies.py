"""Identical copies of a row: all but the first are dropped before anything is measured.

Not here: rows of one symbol and ts that differ; each of them is bad (``evidence``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from chandlery.core.calendars import Int64s
from chandlery.core.schema import VALUES
from expectations.layout import Bools, Layout, floats, nulls


def drop_copies(layout: Layout) -> tuple[Layout, Sequence[Int64s]]:
    """Return ``layout`` without identical copies, and for each partition the ts of those that were dropped, µs.

    Rows of one symbol and ts are copies where all of them are equal in everything; null and NaN equal themselves.
    """
    repeats = (layout.ts[1:] == layout.ts[:-1]) & (layout.symbol[1:] == layout.symbol[:-1])
    if not repeats.any():
        return layout, [layout.ts[:0]] * len(layout.partitions)
    later = np.flatnonzero(repeats) + 1
    key = np.cumsum(np.append(True, ~repeats)) - 1  # rows of one key are adjacent
    differs = np.zeros(key[-1] + 1, dtype=np.bool_)
    differs[key[later[~_same_as_before(layout.table, later)]]] = True
    dropped = later[~differs[key[later]]]
    keep = np.ones(len(layout.ts), dtype=np.bool_)
    keep[dropped] = False
    before = np.concatenate(([0], np.cumsum(keep)))
    kept = replace(
        layout,
        table=layout.table.filter(pa.array(keep)),
        ts=layout.ts[keep],
        symbol=layout.symbol[keep],
        first=before[layout.first],
        stop=before[layout.stop],
    )
    starts, stops = np.searchsorted(dropped, layout.first), np.searchsorted(dropped, layout.stop)
    return kept, [layout.ts[dropped[start:stop]] for start, stop in zip(starts, stops, strict=True)]


def _same_as_before(table: pa.Table, rows: Int64s) -> Bools:
    """Whether each of ``rows`` equals the row before it in everything but its key."""
    same = np.ones(len(rows), dtype=np.bool_)
    for name in (*VALUES, "source"):
        here, before = table.column(name).take(rows), table.column(name).take(rows - 1)
        if name == "source":
            here, before = (column.combine_chunks().dictionary_decode() for column in (here, before))
            same &= here.to_numpy(zero_copy_only=False) == before.to_numpy(zero_copy_only=False)
        else:
            value, value_before = floats(here), floats(before)
            equal = (value == value_before) | (np.isnan(value) & np.isnan(value_before))
            same &= equal & (nulls(here) == nulls(before))
    return same
