"""Bringing all windows of instruments back into the store, because the files name another symbol than they bear next.

Files of the lake name symbols. So whoever renames an instrument brings its windows back first; they are archived anew,
under its next symbol. Not here: renaming (``ops.registrations``), and single windows that come back (``restore``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import psycopg

from chandlery.bars.window_states import find_windows, forget_files
from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_archive, lock_instruments
from chandlery.lake.manifest import retire_entries
from chandlery.tiers.restore import find_cold_windows, restore_window
from chandlery.tiers.warehouse import Warehouse

#: The archived timeframes, in the order in which everybody locks them, each with whether a file has one instrument.
_ARCHIVED = ((Timeframe.M1, True), (Timeframe.D1, False))


def bring_back(connection: psycopg.Connection, warehouse: Warehouse, ids: Sequence[int]) -> int:
    """Bring every window of some instruments back into the store, and let no file hold any; return how many came back.

    The instruments are locked in all timeframes until the caller's transaction ends, of which this is a part.

    Raises:
        LakeError: a file is missing or damaged; names it.
    """
    for timeframe, alone in _ARCHIVED:  # before the instruments, as archiving does
        for instrument_id in sorted(ids) if alone else [0]:
            lock_archive(connection, timeframe, instrument_id)
    for timeframe in Timeframe:
        lock_instruments(connection, timeframe, ids)
    count = 0
    for timeframe, _ in _ARCHIVED:
        states = find_windows(connection, timeframe, date.min, date.max, ids=ids, cold=True)
        for window in find_cold_windows(connection, timeframe, {(each.instrument_id, each.start) for each in states}):
            restore_window(connection, warehouse, window)
            count += 1
    for instrument_id in ids:
        forget_files(connection, instrument_id)
    for timeframe, alone in _ARCHIVED:
        for holder in ids if alone else [None]:
            retire_entries(connection, timeframe, holder)
    return count
