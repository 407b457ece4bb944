"""Repair: requesting again what is missing and may still exist, newest first, until the provider is believed.

Sessions that were requested before they had settled are requested once more when they have: vendors restate. Not here:
which sessions lack something (``session_states``), fetching (``ingest``), and when repair runs (``pipelines``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
from psycopg import sql

from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.coverage.retry_schedule import RetrySession, schedule_next_try
from chandlery.coverage.session_states import LONG_MISSING_RUN, State
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits

#: States that another request may change, until the provider has answered often enough that it has nothing else.
_REPAIRABLE = (State.NEVER_FETCHED, State.PROVIDER_GAP, State.QUARANTINED)


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What to request again, of one window.

    Attributes:
        timeframe: of the bars.
        window: key of the window, ``2024-01`` or ``2024``.
        ranges: half-open range, UTC, by symbol.
        sessions: the sessions it is for.
    """

    timeframe: Timeframe
    window: str
    ranges: Mapping[str, tuple[datetime, datetime]]
    sessions: Sequence[RetrySession]


def plan_backfills(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    *,
    limits: Mapping[str, ProviderLimits],
    windows: int = 3,
    sessions: int = 1000,
    now: datetime | None = None,
) -> list[BackfillRequest]:
    """Return what should be requested again now, newest window first.

    That is, of each instrument, between its first session that was ever requested and the present: sessions that were
    never fetched, what a provider left out and has not confirmed, and sessions that have settled since they were
    requested; unless their pause is not over yet.

    Args:
        connection: to the database.
        instruments: which; those of providers that ``limits`` does not name are left alone.
        timeframe: ``1m`` or ``1d``.
        limits: of the providers, by name: how far back they reach, and when their bars have settled.
        windows: how many windows at most.
        sessions: how many sessions at most, the newest first.
        now: the present, UTC; the clock by default.
    """
    now = now or datetime.now(UTC)
    limits_of = {i.instrument_id: limits[i.provider] for i in instruments if i.provider in limits}
    since = _first_requested(connection, list(limits_of), timeframe)
    if since is None:
        return []
    if timeframe is Timeframe.M1:
        measure_missing_runs(connection, list(limits_of))
    rows = connection.execute(_repairable(list(limits_of), timeframe, since, now, sessions)).fetchall()
    by_window: dict[str, dict[int, list[RetrySession]]] = defaultdict(lambda: defaultdict(list))
    for instrument_id, symbol, session, opens, closes, tries in rows:
        depth = limits_of[instrument_id].history_depth.get(timeframe)
        delay = limits_of[instrument_id].settlement_delay.get(timeframe, timedelta())
        if (depth is not None and opens < now - depth) or closes + delay > now:
            continue
        key = timeframe.window_of(session if timeframe is Timeframe.D1 else opens).key
        by_window[key][instrument_id].append(RetrySession(instrument_id, symbol, session, tries))
    calendars = {instrument.instrument_id: instrument.calendar for instrument in instruments}
    newest = sorted(by_window, reverse=True)[:windows]
    return [_backfill(timeframe, key, by_window[key], calendars, now) for key in newest]


def record_launch(connection: psycopg.Connection, backfill: BackfillRequest, now: datetime | None = None) -> None:
    """Record that ``backfill`` is about to be requested: it is not planned again before its pause is over."""
    schedule_next_try(connection, backfill.timeframe, backfill.sessions, now or datetime.now(UTC))


def _first_requested(connection: psycopg.Connection, ids: Sequence[int], timeframe: Timeframe) -> date | None:
    row = connection.execute(
        "SELECT min(lower(sessions)) FROM ops.requested"
        " WHERE timeframe = %(timeframe)s AND instrument_id = ANY(%(ids)s)",
        {"timeframe": timeframe.value, "ids": list(ids)},
    ).fetchone()
    return row[0] if row else None


def _repairable(ids: Sequence[int], timeframe: Timeframe, since: date, now: datetime, limit: int) -> sql.Composed:
    """Return the query for the sessions to request again, whatever their provider's limits, newest first."""
    states = query(
        "coverage/session_states",
        ids=list(ids),
        timeframe=timeframe.value,
        since=since,
        until=now.date() + timedelta(days=1),
        now=now,
        long_run=LONG_MISSING_RUN,
    )
    return query(
        "coverage/repairable_sessions",
        states=states,
        timeframe=timeframe.value,
        repairable=[state.value for state in _REPAIRABLE],
        now=now,
        limit=limit,
    )


def _backfill(
    timeframe: Timeframe,
    key: str,
    by_instrument: Mapping[int, Sequence[RetrySession]],
    calendars: Mapping[int, str],
    now: datetime,
) -> BackfillRequest:
    """Return the request of one window, with a range for each symbol around all of its sessions there."""
    ranges: dict[str, tuple[datetime, datetime]] = {}
    window = timeframe.window(key)
    for owner, sessions in by_instrument.items():
        first, last = min(item.session for item in sessions), max(item.session for item in sessions)
        if timeframe is Timeframe.D1:
            start, end = midnight(first), midnight(last) + timedelta(days=1)
        else:
            start, end = _around(get_calendar(calendars[owner]), first, last)
        ranges[sessions[0].symbol] = (max(start, window.start), min(end, window.end, now))
    return BackfillRequest(timeframe, key, ranges, [item for sessions in by_instrument.values() for item in sessions])


def _around(calendar: Calendar, first: date, last: date) -> tuple[datetime, datetime]:
    """Return the time from the close before ``first`` to the open after ``last``: it includes extended hours."""
    days = np.array([first, last], "datetime64[D]").astype(np.int64)
    places = np.searchsorted(calendar.sessions, days)
    edges = calendar.closes[max(places[0] - 1, 0)], calendar.opens[min(places[1] + 1, len(calendar.opens) - 1)]
    start, end = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(edge)) for edge in edges)
    return start, end
