"""Bringing back the windows that a publication changes, before it changes them.

Not here: how a window comes back (``restore``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.bars.identity import are_unchanged
from chandlery.bars.rows import Rows, column_of, pair_keys, split_keys
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import window_starts
from chandlery.database.arrays import Column
from chandlery.lake.read import read_entry
from chandlery.tiers.restore import find_cold_windows, restore_window
from chandlery.tiers.warehouse import Warehouse


def restore_on_write(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    rows: Rows,
    *,
    timeframe: Timeframe,
    derived: Mapping[str, int],
) -> Rows:
    """Bring back the cold windows that ``rows`` would change; return the rows that still have to be merged.

    A window of which every row leaves the archived bar as it is stays in the lake, and its rows are left out of the
    answer. Part of the publishing transaction, which holds the instruments' locks.

    Args:
        connection: in that transaction.
        warehouse: to which ``connection`` belongs.
        rows: about to be published.
        timeframe: of the rows.
        derived: ids by name of the sources of days that were rolled up from minutes; see ``bars.identity``.

    Raises:
        LakeError: a file is missing or damaged; names it.
    """
    starts = window_starts(timeframe, rows.ts)
    ids, days = split_keys(np.unique(pair_keys(rows.ids, starts)))
    keys = set(zip(ids.tolist(), days.astype("datetime64[D]").tolist(), strict=True))
    to_merge = np.ones(len(rows), np.bool_)
    to_restore = []
    for window in find_cold_windows(connection, timeframe, keys):
        state = window.state
        of_window = (rows.ids == state.instrument_id) & (starts == np.datetime64(state.start))
        archived = read_entry(warehouse.lake, window.entry, [state], {state.instrument_id: window.symbol})
        if _changes_nothing(rows.where(of_window), archived, derived):
            to_merge[of_window] = False
        else:
            to_restore.append(window)
    for window in to_restore:
        restore_window(connection, warehouse, window)
    return rows.where(to_merge) if to_merge.any() else rows.none()


def _changes_nothing(rows: Rows, archived: pa.Table, derived: Mapping[str, int]) -> bool:
    """Return whether every one of ``rows``, all of one window, is in ``archived``, sorted by ``ts``, and unchanged."""
    ts = archived["ts"].to_numpy().astype("datetime64[us]")
    places = np.searchsorted(ts, rows.ts)
    if not len(ts) or places.max() >= len(ts) or not (ts[places] == rows.ts).all():
        return False
    stored = {name: _take(column_of(archived[name]), places) for name in VALUES}
    stored["source"] = _take(_derived_sources(archived["source"].combine_chunks(), derived), places)
    return bool(are_unchanged(rows.columns, stored, derived.values()).all())


def _derived_sources(sources: pa.DictionaryArray, derived: Mapping[str, int]) -> Column:
    """Return the id of each bar's source where it is one of ``derived``, and 0, which is nobody's, elsewhere."""
    ids = np.array([derived.get(name, 0) for name in sources.dictionary.to_pylist()], np.int16)
    return Column(ids[sources.indices.to_numpy()])


def _take(column: Column, places: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Column:
    return Column(column.values[places], None if column.valid is None else column.valid[places])
