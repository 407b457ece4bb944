"""Bringing windows back from the lake into the store: because a person asks, or because a publication changes them.

Not here: how windows leave (``retention``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.bars.rows import Rows, column_of, pair_keys, split_keys
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end, window_starts
from chandlery.database.arrays import Column
from chandlery.instruments.registry import symbols_of
from chandlery.lake.manifest import Entry, WindowState, advance_epoch, find_entries, find_windows, mark_hot
from chandlery.lake.read import read_entry, read_revisions_of
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class ColdWindow:
    """A window that left the store, the entry of the lake that holds it, and its instrument's canonical symbol."""

    state: WindowState
    entry: Entry
    symbol: str


def restore_on_write(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    rows: Rows,
    *,
    timeframe: Timeframe,
) -> Rows:
    """Bring back the windows that ``rows`` would change; return the rows that are left to be compared with the store.

    Rows of a window that leave it as it is are dropped, and it stays in the lake. Part of the publishing transaction,
    which holds the instruments' locks.

    Args:
        connection: in that transaction.
        warehouse: to which ``connection`` belongs.
        rows: about to be published.
        timeframe: of the rows.

    Raises:
        LakeError: a file is missing or damaged; names it.
    """
    starts = window_starts(timeframe, rows.ts)
    kept = np.ones(len(rows), np.bool_)
    back = []
    owners, days = split_keys(np.unique(pair_keys(rows.ids, starts)))
    touched = set(zip(owners.tolist(), days.astype("datetime64[D]").tolist(), strict=True))
    for window in find_cold_windows(connection, timeframe, touched):
        state = window.state
        mine = (rows.ids == state.instrument_id) & (starts == np.datetime64(state.start))
        present = read_entry(warehouse.lake, window.entry, [state], {state.instrument_id: window.symbol})
        if _leaves_as_it_is(rows.where(mine), present):
            kept[mine] = False
        else:
            back.append(window)
    for window in back:
        restore_window(connection, warehouse, window)
    return rows.where(kept) if kept.any() else rows.none()


def restore_window(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    cold: ColdWindow,
    *,
    keep_until: datetime | None = None,
) -> int:
    """Put a cold window's bars and revisions into the store as they were; return how many bars.

    Part of the caller's transaction, which holds the instrument's lock.

    Args:
        connection: in that transaction.
        warehouse: to which ``connection`` belongs.
        cold: which.
        keep_until: until when retention leaves it alone, UTC.
    """
    entry, window, symbols = cold.entry, cold.state, {cold.state.instrument_id: cold.symbol}
    timeframe = entry.timeframe
    advance_epoch(connection, timeframe)
    first, after = midnight(window.start), window_end(timeframe, window.start)
    bars = read_entry(warehouse.lake, entry, [window], symbols, start=first, end=after)
    revisions = read_revisions_of(warehouse.lake, entry, [window], symbols, start=first, end=after)
    warehouse.edition.prepare(connection, timeframe, first, bars["ts"].to_pylist()[-1] if bars.num_rows else first)
    forget(connection, timeframe, [window.instrument_id], first, after)
    forget_revisions(connection, timeframe, [window.instrument_id], first, after)
    table = sql.Identifier("market", timeframe.table)
    _insert(connection, table, window.instrument_id, bars)
    _insert(connection, sql.Identifier("market", "bars_revision"), window.instrument_id, revisions, timeframe)
    if timeframe is Timeframe.D1:
        connection.execute(
            "DELETE FROM ops.coverage WHERE timeframe = '1d' AND instrument_id = %s AND session >= %s AND session < %s",
            (window.instrument_id, first.date(), after.date()),
        )
    mark_hot(connection, timeframe, window.instrument_id, window.start, keep_until)
    return int(bars.num_rows)


def forget(
    connection: psycopg.Connection, timeframe: Timeframe, ids: Sequence[int], first: datetime, after: datetime
) -> None:
    """Delete what the store still holds of windows that left it."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE instrument_id = ANY(%s) AND ts >= %s AND ts < %s").format(
            sql.Identifier("market", timeframe.table)
        ),
        (list(ids), first, after),
    )


def forget_revisions(
    connection: psycopg.Connection, timeframe: Timeframe, ids: Sequence[int], first: datetime, after: datetime
) -> None:
    """Delete the earlier values that the store holds of windows that leave it."""
    connection.execute(
        "DELETE FROM market.bars_revision WHERE timeframe = %s AND instrument_id = ANY(%s) AND ts >= %s AND ts < %s",
        (timeframe.value, list(ids), first, after),
    )


def find_cold_windows(
    connection: psycopg.Connection, timeframe: Timeframe, keys: Collection[tuple[int, date]]
) -> list[ColdWindow]:
    """Return those of the windows, given as (instrument id, first day), that are cold."""
    if not keys:
        return []
    owners, days = {owner for owner, _ in keys}, [day for _, day in keys]
    after = window_end(timeframe, max(days)).date()
    states = [
        state
        for state in find_windows(connection, timeframe, min(days), after, ids=owners, cold=True)
        if (state.instrument_id, state.start) in keys
    ]
    entries = find_entries(connection, {state.entry for state in states if state.entry is not None})
    symbols = symbols_of(connection, owners)
    return [
        ColdWindow(state, entries[state.entry], symbols[state.instrument_id])
        for state in states
        if state.entry is not None
    ]


def _leaves_as_it_is(rows: Rows, present: pa.Table) -> bool:
    """Whether every row is in ``present`` with the same values; the source does not count."""
    ts = present["ts"].to_numpy().astype("datetime64[us]")
    places = np.searchsorted(ts, rows.ts)
    if not len(ts) or places.max() >= len(ts) or not (ts[places] == rows.ts).all():
        return False
    for name in VALUES:
        new, old = rows.columns[name], column_of(present[name])
        known = np.ones(len(rows), np.bool_) if new.valid is None else new.valid
        believed = np.ones(len(ts), np.bool_) if old.valid is None else old.valid
        same = (known == believed[places]) & (~known | (new.values == old.values[places]))
        if not same.all():
            return False
    return True


def _insert(
    connection: psycopg.Connection,
    table: sql.Identifier,
    instrument_id: int,
    bars: pa.Table,
    timeframe: Timeframe | None = None,
) -> None:
    """Insert rows as they are. As arrays, because COPY cannot be sent together with other statements."""
    if not bars.num_rows:
        return
    columns = {name: column_of(bars[name]) for name in bars.column_names if name not in {"symbol", "source"}}
    columns["source"] = Column(_source_ids(connection, bars["source"]))
    kinds = {"trades": "int4", "source": "int2"} | dict.fromkeys(("ts", "known_at", "superseded_at"), "timestamptz")
    fixed: dict[str, object] = {"instrument_id": instrument_id}
    if timeframe is not None:
        fixed["timeframe"] = timeframe.value
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {}, n.* FROM unnest({}) AS n").format(
        table,
        sql.SQL(", ").join(map(sql.Identifier, [*fixed, *columns])),
        sql.SQL(", ").join(map(sql.Literal, fixed.values())),
        sql.SQL(", ").join(sql.SQL(f"%s::{kinds.get(name, 'float8')}[]") for name in columns),
    )
    connection.execute(statement, list(columns.values()), prepare=False)


def _source_ids(connection: psycopg.Connection, names: pa.ChunkedArray) -> npt.NDArray[np.int16]:
    coded = names.combine_chunks()
    connection.execute(
        "INSERT INTO market.source (name) SELECT unnest(%s::text[]) EXCEPT SELECT name FROM market.source"
        " ON CONFLICT DO NOTHING",
        (coded.dictionary.to_pylist(),),
    )
    known: dict[str, int] = dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
    table = np.array([known[name] for name in coded.dictionary.to_pylist()], np.int16)
    return np.asarray(table[coded.indices.to_numpy()], np.int16)
