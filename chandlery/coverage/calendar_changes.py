"""Bringing instruments and sessions to what is configured, together with what follows where a calendar changes.

A session that comes, goes or has other hours, and an instrument that trades by another calendar: its weeks, months and
days from minutes are stale then, and its sessions of minutes are counted anew. All of it is one transaction. Not here:
what is configured (``instruments``), and deriving what is stale (``rollups``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import partial

import numpy as np
import psycopg

from chandlery.bars import bookkeeping
from chandlery.bars.read import BarRange
from chandlery.bars.session_counts import count_sessions
from chandlery.config.universe import InstrumentConfig
from chandlery.core.calendars import get_calendar
from chandlery.core.listing import session_edges
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER, instant
from chandlery.database.locks import lock_instruments
from chandlery.database.named_queries import query
from chandlery.instruments.registry import SyncReport, sync_instruments, sync_universe
from chandlery.instruments.sessions import SessionChange, sync_sessions
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

_EPOCH = date(1970, 1, 1)


def apply_universe(
    connection: psycopg.Connection, warehouse: Warehouse, configs: Iterable[InstrumentConfig]
) -> SyncReport:
    """Do what ``registry.sync_universe`` does, and what follows where calendars changed."""
    return _apply(connection, warehouse, partial(sync_universe, connection, configs))


def apply_instruments(
    connection: psycopg.Connection, warehouse: Warehouse, configs: Iterable[InstrumentConfig]
) -> SyncReport:
    """Do what ``registry.sync_instruments`` does, and what follows where calendars changed."""
    return _apply(connection, warehouse, partial(sync_instruments, connection, configs))


def apply_calendars(connection: psycopg.Connection, warehouse: Warehouse, names: Iterable[str]) -> None:
    """Do what ``sessions.sync_sessions`` does, and what follows where sessions changed."""
    with connection.transaction():
        _follow(connection, warehouse, {}, sync_sessions(connection, names))


def _apply(connection: psycopg.Connection, warehouse: Warehouse, sync: Callable[[], SyncReport]) -> SyncReport:
    with connection.transaction():
        before = _calendars(connection)
        report = sync()
        _follow(connection, warehouse, before, report.sessions)
    return report


def _calendars(connection: psycopg.Connection) -> dict[int, str]:
    return dict(connection.execute("SELECT instrument_id, calendar FROM market.instrument").fetchall())


def _follow(
    connection: psycopg.Connection, warehouse: Warehouse, before: dict[int, str], changes: Sequence[SessionChange]
) -> None:
    """Mark as stale, and count anew, what depends on sessions that changed or on an instrument's other calendar."""
    after = _calendars(connection)
    moved = [owner for owner, calendar in before.items() if after[owner] != calendar]
    if not moved and not changes:
        return
    stale: dict[str, list[tuple[int, date]]] = defaultdict(list)
    for timeframe, owner, day in _stale_days(connection, moved, changes):
        stale[timeframe].append((owner, day))
    for base in (Timeframe.M1, Timeframe.D1):  # in the order in which everybody locks them
        days = stale[base.value]
        lock_instruments(connection, base, sorted({owner for owner, _ in days}))
        bookkeeping.note_stale_days(connection, base, days)
    of_minutes = {owner for owner, _ in stale[Timeframe.M1.value]}
    _count_anew(connection, warehouse, {owner: after[owner] for owner in sorted(of_minutes)}, moved, changes)


def _stale_days(
    connection: psycopg.Connection, moved: Sequence[int], changes: Sequence[SessionChange]
) -> list[tuple[str, int, date]]:
    found: list[tuple[str, int, date]] = []
    if moved:
        found += connection.execute(query("coverage/days_of_instruments"), {"ids": list(moved)}).fetchall()
    if changes:
        values = {
            "calendars": [change.calendar for change in changes],
            "sessions": [change.session for change in changes],
            "opens": [change.open for change in changes],
            "closes": [change.close for change in changes],
        }
        found += connection.execute(query("coverage/days_of_changed_sessions"), values).fetchall()
    return found


def _count_anew(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    calendars: dict[int, str],
    moved: Sequence[int],
    changes: Sequence[SessionChange],
) -> None:
    """Count the sessions of minutes anew of these instruments: all where the calendar is another, else those around."""
    for owner, calendar in calendars.items():
        everything = [(date.min, date.max, BarRange(owner, *EVER))]
        parts = everything if owner in moved else _around(owner, calendar, changes)
        # The sessions of one part after another, because they may be many.
        for first, last, span in parts:
            bars = read_bars(warehouse, Timeframe.M1, [span], columns=[])
            ids, ts = bars["instrument_id"].to_numpy(), bars["ts"].to_numpy().astype("datetime64[us]").view(np.int64)
            counts = count_sessions(ids, ts, {owner: calendar})
            bookkeeping.replace_counts(connection, owner, first, last, counts)


def _around(owner: int, calendar: str, changes: Sequence[SessionChange]) -> list[tuple[date, date, BarRange]]:
    """Return each run of sessions around those that changed: its first and last date, both inclusive, and its bars."""
    sessions, edges = get_calendar(calendar).sessions, session_edges(calendar, intraday=True)
    days = sorted((change.session - _EPOCH).days for change in changes if change.calendar == calendar)
    runs: list[tuple[int, int]] = []
    for day in days:
        first = max(int(np.searchsorted(sessions, day)) - 1, 0)
        last = min(int(np.searchsorted(sessions, day, side="right")), len(sessions) - 1)
        if runs and first <= runs[-1][1]:
            runs[-1] = runs[-1][0], last
        else:
            runs.append((first, last))
    return [
        (_day(sessions[first]), _day(sessions[last]), BarRange(owner, _edge(edges[first]), _edge(edges[last + 1])))
        for first, last in runs
    ]


def _day(number: np.int64) -> date:
    return date.fromordinal(_EPOCH.toordinal() + int(number))


def _edge(micros: np.int64) -> datetime:
    """Return an edge as a moment: that of all time where there is none."""
    first, last = EVER
    limits = (int(micros) < -(2**60), int(micros) > 2**60)
    return first if limits[0] else last if limits[1] else instant(int(micros))
