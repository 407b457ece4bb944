"""What follows from a publication and is written with it: coverage, stale days, changed windows, and the log.

Sessions are counted while they are published, so that coverage never has to. Not here: reading any of it (``coverage``,
``pending``, ``lake``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.bars.merge import Changes
from chandlery.bars.rows import Batch, pair_keys, split_keys
from chandlery.core.calendars import Calendar, Int64s, get_calendar
from chandlery.core.periods import Days, Ids
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import window_starts
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query

_MINUTE_US = 60_000_000

_COVERED = ("covered", "session", "present", "outside", "first", "last", "missing_start", "missing_slots")


def record(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    batch: Batch,
    changes: Changes,
    *,
    calendars: Mapping[int, str],
    known_at: datetime,
    origin: str,
) -> None:
    """Write what follows from the ``changes`` that ``batch`` made. Part of the publishing transaction.

    Args:
        connection: in that transaction, which holds the instruments' locks.
        timeframe: of the bars. Only of ``1m`` are the sessions counted: derived bars are as complete as their base, and
            a bar of a day is its own session. Nothing derives from derived bars, and they have no windows.
        batch: what was offered.
        changes: what came of it; not empty.
        calendars: name by instrument id, of every instrument in ``changes``.
        known_at: of the publication, UTC.
        origin: what publishes.
    """
    base = changes if timeframe.is_ingested else Changes.none()
    revised = int(changes.revised.sum())
    values: dict[str, object] = {
        "timeframe": timeframe.value,
        "known_at": known_at,
        "inserted": len(changes) - revised,
        "revised": revised,
        "unchanged": len(batch) - len(changes),
        "first_ts": batch.first,
        "last_ts": batch.last,
        "instruments": len(batch.symbols),
        "origin": origin,
    }
    values |= _pairs("stale", "day", base.instrument_id, base.ts.astype("datetime64[D]"))
    values |= _pairs("touched", "start", base.instrument_id, window_starts(timeframe, base.ts))
    new = ~changes.revised if timeframe is Timeframe.M1 else slice(0)
    covered = _count(changes.instrument_id[new], changes.ts[new].astype(np.int64), calendars)
    connection.execute(query("bars/record_changes"), values | dict(zip(_COVERED, map(Column, covered), strict=True)))


def measure_missing_runs(connection: psycopg.Connection, sessions: Sequence[tuple[int, date]]) -> None:
    """Measure the longest run of minutes without a bar in each of these sessions, and count their bars anew.

    A session that a publication is changing now is left out: waiting for it, while others are locked, might stop both.

    Args:
        connection: in a transaction.
        sessions: instrument id and session date; they need rows in ``ops.coverage``.
    """
    ids, days = [owner for owner, _ in sessions], [day for _, day in sessions]
    # Two statements, so that the second sees what was there when the rows were locked.
    locked = connection.execute(query("bars/lock_coverage"), {"ids": ids, "sessions": days}).fetchall()
    values = {"ids": [owner for owner, _ in locked], "sessions": [day for _, day in locked]}
    connection.execute(query("bars/measure_missing_runs"), values)


def take_stale_days(
    connection: psycopg.Connection, base: Timeframe, ids: Sequence[int], start: datetime, end: datetime
) -> tuple[Ids, Days]:
    """Take the stale days of these instruments in ``[start, end)``, UTC, off the list.

    Args:
        connection: in the transaction that rolls them up: if that fails, they are stale still.
        base: ``1m`` or ``1d``.
        ids: of the instruments.
        start: inclusive.
        end: exclusive.

    Returns:
        Parallel arrays: instrument ids and days, sorted.
    """
    values = {"base": base.value, "ids": list(ids), "start": start, "end": end}
    rows = connection.execute(query("bars/take_stale_days"), values).fetchall()
    table = np.array(sorted(rows), np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1].astype("datetime64[D]")


def forget_missing_runs(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Have the longest missing runs measured again of the sessions of minutes that overlap ``[start, end)``, UTC.

    Sessions whose bars are in the lake keep theirs: nobody can measure them any more.
    """
    values = {"instrument_id": instrument_id, "start": start, "end": end}
    connection.execute(query("bars/forget_missing_runs"), values)


def record_days(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Record the coverage of the days of one instrument in ``[start, end)``, UTC, before their bars leave the store.

    While they are there, the bars of days are their own coverage.
    """
    values = {"instrument_id": instrument_id, "start": start, "end": end}
    connection.execute(query("bars/record_days"), values)


def forget_days(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Undo ``record_days``, because the bars of these days are in the store again."""
    connection.execute(
        "DELETE FROM ops.coverage WHERE timeframe = '1d' AND instrument_id = %(instrument_id)s"
        " AND session >= %(start)s AND session < %(end)s",
        {"instrument_id": instrument_id, "start": start.date(), "end": end.date()},
    )


def _pairs(owner: str, time: str, ids: npt.NDArray[np.int32], times: npt.NDArray[np.datetime64]) -> dict[str, Column]:
    owners, places = split_keys(np.unique(pair_keys(ids, times)))
    return {owner: Column(owners), time: Column(places)}


def _count(ids: npt.NDArray[np.int32], ts: Int64s, calendars: Mapping[int, str]) -> list[npt.NDArray[np.generic]]:
    """Return what there is of each session of each instrument, of bars in any order.

    Exact because every bar is inserted once, while its instrument is locked.

    Returns:
        Parallel arrays: instrument id, session, bars inside, bars outside, first bar, last bar, start of the longest
        hole among these bars, its minutes.
    """
    ids, ts = _sorted(ids, ts)
    members = np.unique(ids)
    names = np.array([calendars[i] for i in members.tolist()])
    counted = [
        _count_sessions(get_calendar(name), ids[mine], ts[mine])
        for name in sorted(set(names.tolist()))
        for mine in (slice(None) if (names == name).all() else np.isin(ids, members[names == name]),)
    ]
    return [np.concatenate(column) for column in zip(*counted, strict=True)] or [np.empty(0, np.int64)] * len(_COVERED)


def _sorted(ids: npt.NDArray[np.int32], ts: Int64s) -> tuple[npt.NDArray[np.int32], Int64s]:
    later = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
    if later.all():
        return ids, ts
    order = np.lexsort((ts, ids))
    return ids[order], ts[order]


def _count_sessions(calendar: Calendar, ids: npt.NDArray[np.int32], ts: Int64s) -> tuple[npt.NDArray[np.generic], ...]:
    """Count bars of instruments of one calendar, sorted by instrument and time (µs)."""
    session, inside = calendar.session_of(ts)
    starts = np.flatnonzero(np.r_[True, (ids[1:] != ids[:-1]) | (session[1:] != session[:-1])])
    ends = np.r_[starts[1:], len(ts)]
    present = np.add.reduceat(inside.astype(np.int64), starts)
    missing_start, missing_slots = _holes(calendar, session, ts, inside, starts)
    return (
        ids[starts],
        calendar.sessions[session[starts]],
        present,
        ends - starts - present,
        ts[starts],
        ts[ends - 1],
        missing_start,
        missing_slots,
    )


def _holes(
    calendar: Calendar, session: Int64s, ts: Int64s, inside: npt.NDArray[np.bool_], starts: Int64s
) -> tuple[Int64s, Int64s]:
    """Return where the longest run of minutes without a bar begins in each session, and how many they are.

    Args:
        calendar: of all bars.
        session: index of each bar's session.
        ts: starts of the bars, µs.
        inside: whether each starts while the session is open.
        starts: place of the first bar of each session; bars of a session stand together, ascending.
    """
    opens, closes = calendar.opens[session], calendar.closes[session]
    first = np.zeros(len(ts), np.bool_)
    first[starts] = True
    # Bars of extended hours count as the nearest end of the session, so that they bound no hole inside it.
    after = np.clip(ts + np.where(inside, _MINUTE_US, 0), opens, closes)
    before = np.where(first, opens, np.r_[opens[:1], after[:-1]])
    gap = (np.clip(ts, opens, closes) - before) // _MINUTE_US
    tail_start = after[np.r_[starts[1:], len(ts)] - 1]
    tail = (closes[starts] - tail_start) // _MINUTE_US
    longest = np.maximum.reduceat(gap, starts)
    group = np.cumsum(first) - 1
    at = np.flatnonzero(gap == longest[group])
    where = at[np.searchsorted(group[at], np.arange(len(starts)))]  # the first of the longest in each session
    return np.where(tail > longest, tail_start, before[where]), np.maximum(tail, longest)
