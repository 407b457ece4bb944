"""Continuous aggregates: bars that TimescaleDB (with its own licence) makes from minute bars, for those who speak SQL.

They stand beside the derived tables, which keep revisions and are what ``DataAPI`` reads. ``market.aggregate_5m`` is
the view to read. ``market.aggregate_5m_kept`` is what the server keeps: sums in place of averages, so that a wider one
is made from a narrower one without loss. No policy of the server's refreshes them; we do, for the days that changed.

A refresh computes a range from the minute bars that the store holds, and would wipe the aggregates of those that left
it for the lake: dropping a chunk tells the server that its range changed. So a day of a month that left, even if only
in part, is never refreshed. What changed there is copied from the derived tables, which never leave.

Not here: their views (``continuous_views``), which aggregates are configured (``config.lifecycle``) and when they are
refreshed (``refresh``, ``app.maintenance``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import TypeAlias

import numpy as np
import psycopg
from psycopg import sql

from chandlery.core.periods import Days, Ids
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight
from chandlery.database.arrays import Column
from chandlery.database.connections import Database
from chandlery.database.editions.base import Edition
from chandlery.database.locks import hold_lock, try_lock
from chandlery.database.named_queries import query
from chandlery.rollups.continuous_views import CHOICES, define_views, extension_function, kept_view, list_aggregates

#: Held by whoever refreshes, and by whoever must not be refreshed meanwhile; any fixed number will do.
_REFRESHING = 0x6167_6772_6567
#: Held while aggregates come or go, and shared while days are noted for those there are.
_DEFINING = 0x6167_6772_6568
_ONE_DAY = timedelta(days=1)
#: Changed days that are no farther apart are refreshed at once, so that a history of weeks is not refreshed week by
#: week. The server itself leaves alone what did not change.
_REFRESHED_TOGETHER = timedelta(days=4)
#: Has the server refresh one aggregate in ``[start, end)``.
RefreshRange: TypeAlias = Callable[[psycopg.Connection, Timeframe, date, date], None]


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Which continuous aggregates there are.

    Attributes:
        kept: by the server, narrowest first.
        refused: configured, but this edition has none.
    """

    kept: tuple[Timeframe, ...]
    refused: tuple[Timeframe, ...]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What bringing the aggregates up to date did.

    Attributes:
        days: that the server refreshed.
        copied: days, counted for each instrument, whose month left the store: copied from the derived tables.
    """

    days: int = 0
    copied: int = 0


def sync_aggregates(connection: psycopg.Connection, edition: Edition, timeframes: Collection[Timeframe]) -> Aggregates:
    """Make the aggregates of ``timeframes`` and drop all others. Idempotent.

    New ones are empty and every day that has bars is noted for them: ``refresh_aggregates`` fills them.

    Args:
        connection: in autocommit mode, of the role that owns the schema.
        edition: of the server.
        timeframes: any of 5m 15m 30m 1h 4h.
    """
    configured = tuple(timeframe for timeframe in CHOICES if timeframe in timeframes)
    if not edition.keeps_aggregates:
        return Aggregates((), configured)
    with hold_lock(connection, _REFRESHING), hold_lock(connection, _DEFINING):
        if define_views(connection, configured):
            connection.execute(query("rollups/note_all_days"))
        if not configured:
            connection.execute("DELETE FROM ops.aggregate_pending")
    return Aggregates(configured, ())


def note_days(connection: psycopg.Connection, edition: Edition, ids: Ids, days: Days) -> None:
    """Note that minute bars of these instruments and days (UTC) changed, where there are aggregates.

    Part of the transaction that derives them.
    """
    if not edition.keeps_aggregates:
        return
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_DEFINING,))
    if list_aggregates(connection):
        values = {"ids": Column(ids.astype(np.int32)), "days": Column(days.astype(np.int64).astype(np.int32))}
        connection.execute(query("rollups/note_days"), values)


def count_pending(connection: psycopg.Connection) -> int:
    """Return how many days, counted for each instrument, aggregates are behind."""
    row = connection.execute("SELECT count(*) FROM ops.aggregate_pending").fetchone()
    return int(row[0]) if row else 0


def refresh_range(connection: psycopg.Connection, timeframe: Timeframe, start: date, end: date) -> None:
    """Have the server refresh ``[start, end)`` of an aggregate; it leaves alone what did not change.

    Args:
        connection: in autocommit mode, not in a transaction.
        timeframe: of the aggregate.
        start: first day, UTC, inclusive.
        end: last day, UTC, exclusive.
    """
    call = sql.SQL("CALL {}({}::regclass, {}, {})").format(
        extension_function(connection, "refresh_continuous_aggregate"),
        sql.Literal(kept_view(timeframe).as_string(connection)),
        sql.Literal(midnight(start)),
        sql.Literal(midnight(end)),
    )
    # The procedure commits. So it cannot be in a transaction, which the connection's own cursor may make of it.
    psycopg.Cursor(connection).execute(call)


def refresh_aggregates(database: Database, *, refresh_range: RefreshRange = refresh_range) -> Refreshed:
    """Bring the aggregates up to date for the days that were noted, and for no others.

    A day is taken off the list once it is done: a kill leaves it for the next. Returns at once where another process
    refreshes, which then does these days as well.

    Args:
        database: whose aggregates.
        refresh_range: has the server refresh a range of an aggregate.
    """
    days = copied = 0
    if not database.edition.keeps_aggregates:
        return Refreshed()
    with database.connection() as connection:
        while count_pending(connection):
            with database.dedicated() as holder, try_lock(holder, _REFRESHING) as is_ours:
                done = _refresh(connection, refresh_range) if is_ours else Refreshed()
            if done == Refreshed():
                break
            days, copied = days + done.days, copied + done.copied
    return Refreshed(days, copied)


@contextmanager
def hold_aggregates(database: Database) -> Iterator[None]:
    """Bring the aggregates up to date, and let nobody refresh them while the block runs: it lets windows go."""
    if not database.edition.keeps_aggregates:
        yield
        return
    with database.dedicated() as holder, hold_lock(holder, _REFRESHING), database.dedicated() as connection:
        while _refresh(connection, refresh_range) != Refreshed():
            pass
        yield
    refresh_aggregates(database)  # what was noted meanwhile


def _refresh(connection: psycopg.Connection, refresh_range: RefreshRange) -> Refreshed:
    """Do what is on the list now, month by month; the caller holds the lock."""
    kept = list_aggregates(connection)
    # Whatever is noted later is left on the list, even where the day is on it already.
    row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    seen = str(row[0]) if row else ""
    cold = {
        start
        for (start,) in connection.execute("SELECT DISTINCT start FROM ops.bar_window WHERE timeframe = '1m' AND cold")
    }
    listed = connection.execute(
        "SELECT DISTINCT day FROM ops.aggregate_pending"
        " WHERE pg_visible_in_snapshot(noted_by, %(seen)s::pg_snapshot) ORDER BY day",
        {"seen": seen},
    ).fetchall()
    refreshed = copied = 0
    for month, days in groupby((day for (day,) in listed), key=lambda day: day.replace(day=1)):
        if month in cold:
            copied += _copy(connection, kept, month, seen)
            continue
        for start, end, count in _runs(days):
            for timeframe in kept:
                refresh_range(connection, timeframe, start, end)
            _take_off(connection, start, end, seen)
            refreshed += count
    return Refreshed(refreshed, copied)


def _runs(days: Iterator[date]) -> Iterator[tuple[date, date, int]]:
    """Yield the first day, the day after the last, and how many days, of runs that a refresh does at once."""
    start = last = next(days)
    count = 1
    for day in days:
        if day - last > _REFRESHED_TOGETHER:
            yield start, last + _ONE_DAY, count
            start, count = day, 0
        last, count = day, count + 1
    yield start, last + _ONE_DAY, count


def _copy(connection: psycopg.Connection, kept: Sequence[Timeframe], month: date, seen: str) -> int:
    """Replace the bars of the month's listed days and instruments by those of the derived tables; return how many."""
    end = (month + timedelta(days=31)).replace(day=1)
    places: dict[str, list[str]] = dict(
        connection.execute(
            "SELECT view_name, ARRAY[materialization_hypertable_schema, materialization_hypertable_name]::text[]"
            " FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'market'"
        ).fetchall()
    )
    values = {"start": month, "end": end, "seen": seen}
    with connection.transaction():
        for timeframe in kept:
            place = sql.Identifier(*places[f"aggregate_{timeframe.value}_kept"])
            connection.execute(query("rollups/forget_aggregates", place=place), values)
            connection.execute(
                query("rollups/copy_aggregates", place=place, bars=sql.Identifier("market", timeframe.table)), values
            )
        return _take_off(connection, month, end, seen)


def _take_off(connection: psycopg.Connection, start: date, end: date, seen: str) -> int:
    return connection.execute(
        "DELETE FROM ops.aggregate_pending WHERE day >= %(start)s AND day < %(end)s"
        " AND pg_visible_in_snapshot(noted_by, %(seen)s::pg_snapshot)",
        {"start": start, "end": end, "seen": seen},
    ).rowcount
