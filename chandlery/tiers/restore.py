"""Bringing windows back from the lake into the store.

Not here: how windows leave (``retention``), and which come back because a publication changes them
(``restore_on_write``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

from chandlery.bars.bookkeeping import forget_days
from chandlery.bars.replace import replace_range
from chandlery.bars.window_states import WindowState, advance_epoch, find_windows, mark_hot
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.locks import lock_instruments
from chandlery.instruments.registry import symbols_of
from chandlery.lake.identity import claim_lake
from chandlery.lake.manifest import ManifestEntry, find_entries
from chandlery.lake.read import read_entry, read_revisions_of
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class ColdWindow:
    """A window that left the store, the manifest's entry that holds it, and its instrument's canonical symbol."""

    state: WindowState
    entry: ManifestEntry
    symbol: str


def restore(
    warehouse: Warehouse,
    timeframe: Timeframe,
    windows: Sequence[str],
    *,
    symbols: Sequence[str] | None = None,
    keep_until: datetime | None = None,
) -> dict[tuple[str, str], int]:
    """Bring windows back into the store; return how many bars each has, by (symbol, window's key).

    Each window is a transaction of its own. One that never left stays as it is and is not in the answer.

    Args:
        warehouse: which.
        timeframe: ``1m`` or ``1d``.
        windows: keys, as ``2024-01`` (of ``1m``) or ``2024`` (of ``1d``).
        symbols: canonical; all by default.
        keep_until: until when retention leaves them alone, UTC.

    Raises:
        UsageError: a key is not of the right form.
        LakeError: the lake is not the database's, or a file is missing or damaged. Windows before it are back.
    """
    restored: dict[tuple[str, str], int] = {}
    claimed = False
    for key in windows:
        start = timeframe.window(key).start.date()
        with warehouse.connection() as connection:
            states = find_windows(connection, timeframe, start, window_end(timeframe, start).date(), cold=True)
            if states and not claimed:
                claim_lake(connection, warehouse.lake)
                claimed = True
            symbol_of = symbols_of(connection, {state.instrument_id for state in states})
            for state in states:
                if symbols is not None and symbol_of[state.instrument_id] not in symbols:
                    continue
                with connection.transaction():
                    lock_instruments(connection, timeframe, [state.instrument_id])
                    for window in find_cold_windows(connection, timeframe, {(state.instrument_id, start)}):
                        count = restore_window(connection, warehouse, window, keep_until=keep_until)
                        restored[window.symbol, key] = count
    return restored


def restore_window(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    window: ColdWindow,
    *,
    keep_until: datetime | None = None,
) -> int:
    """Put a cold window's bars and their earlier values into the store as they were; return how many bars.

    Part of the caller's transaction, which holds the instrument's lock.

    Args:
        connection: in that transaction.
        warehouse: to which ``connection`` belongs.
        window: which.
        keep_until: until when retention leaves it alone, UTC.
    """
    entry, state, symbols = window.entry, window.state, {window.state.instrument_id: window.symbol}
    timeframe = entry.timeframe
    advance_epoch(connection, timeframe)
    start, end = midnight(state.start), window_end(timeframe, state.start)
    bars = read_entry(warehouse.lake, entry, [state], symbols, start=start, end=end)
    revisions = read_revisions_of(warehouse.lake, entry, [state], symbols, start=start, end=end)
    warehouse.edition.prepare(connection, timeframe, start, bars["ts"].to_pylist()[-1] if bars.num_rows else start)
    replace_range(connection, timeframe, state.instrument_id, (start, end), bars=bars, revisions=revisions)
    if timeframe is Timeframe.D1:
        forget_days(connection, state.instrument_id, start, end)
    mark_hot(connection, timeframe, state, keep_until)
    return int(bars.num_rows)


def find_cold_windows(
    connection: psycopg.Connection, timeframe: Timeframe, keys: Collection[tuple[int, date]]
) -> list[ColdWindow]:
    """Return those of the windows, given as (instrument id, first day), that are cold."""
    if not keys:
        return []
    ids, starts = {instrument_id for instrument_id, _ in keys}, [start for _, start in keys]
    until = window_end(timeframe, max(starts)).date()
    states = [
        state
        for state in find_windows(connection, timeframe, min(starts), until, ids=ids, cold=True)
        if (state.instrument_id, state.start) in keys
    ]
    entries = find_entries(connection, {state.manifest_id for state in states if state.manifest_id is not None})
    symbols = symbols_of(connection, ids)
    return [
        ColdWindow(state, entries[state.manifest_id], symbols[state.instrument_id])
        for state in states
        if state.manifest_id is not None
    ]
