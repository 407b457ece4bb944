"""Healing: what is missing and may still be had is asked for again, newest first, until the provider is believed.

Sessions that were asked for before they had settled are asked for once more when they have: vendors restate.
Not here: which sessions lack something (``states``), asking (``ingest``), and when it happens (``pipelines``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
from psycopg import sql

from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.coverage.retry_schedule import Gap, note_launch
from chandlery.coverage.session_states import LONG_MISSING_RUN, State
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits

#: What may get better by asking again, until the provider has said often enough that it has nothing else.
_HEALABLE = (State.NEVER_FETCHED, State.PROVIDER_GAP, State.QUARANTINED)


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What to ask for again, of one window.

    Attributes:
        timeframe: of the bars.
        window: key of the window, ``2024-01`` or ``2024``.
        ranges: half-open range, UTC, by symbol.
        gaps: the sessions it is for.
    """

    timeframe: Timeframe
    window: str
    ranges: Mapping[str, tuple[datetime, datetime]]
    gaps: Sequence[Gap]


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
    """Return what should be asked for again now, newest window first.

    Of each instrument, between the first session that was ever asked for and the present: sessions of which nothing was
    fetched, gaps that the provider left and has not confirmed, and sessions that have settled since they were asked
    for; unless their pause is not over yet.

    Args:
        connection: to the database.
        instruments: which; those of providers that ``limits`` does not name are left alone.
        timeframe: ``1m`` or ``1d``.
        limits: of the providers, by name: how far back they reach, and when their bars have settled.
        windows: so many windows at most.
        sessions: so many sessions at most, the newest first.
        now: the present, UTC; the clock by default.
    """
    now = now or datetime.now(UTC)
    of = {i.instrument_id: limits[i.provider] for i in instruments if i.provider in limits}
    since = _first_asked(connection, list(of), timeframe)
    if since is None:
        return []
    if timeframe is Timeframe.M1:
        measure_missing_runs(connection, list(of))
    found = connection.execute(_missing(list(of), timeframe, since, now, sessions)).fetchall()
    gaps: dict[str, dict[int, list[Gap]]] = defaultdict(lambda: defaultdict(list))
    for instrument_id, symbol, session, opens, closes, tries in found:
        reach, settlement_delay = (
            of[instrument_id].history_depth.get(timeframe),
            of[instrument_id].settlement_delay.get(timeframe, timedelta()),
        )
        if (reach is not None and opens < now - reach) or closes + settlement_delay > now:
            continue
        key = timeframe.window_of(session if timeframe is Timeframe.D1 else opens).key
        gaps[key][instrument_id].append(Gap(instrument_id, symbol, session, tries))
    calendars = {instrument.instrument_id: instrument.calendar for instrument in instruments}
    return [_backfill(timeframe, key, gaps[key], calendars, now) for key in sorted(gaps, reverse=True)[:windows]]


def begin(connection: psycopg.Connection, backfill: BackfillRequest, now: datetime | None = None) -> None:
    """Note that ``backfill`` is about to be asked for: it is not planned again before its pause is over."""
    note_launch(connection, backfill.timeframe, backfill.gaps, now or datetime.now(UTC))


def _first_asked(connection: psycopg.Connection, ids: Sequence[int], timeframe: Timeframe) -> date | None:
    row = connection.execute(
        "SELECT min(lower(sessions)) FROM ops.requested WHERE timeframe = %s AND instrument_id = ANY(%s)",
        (timeframe.value, list(ids)),
    ).fetchone()
    return row[0] if row else None


def _missing(ids: Collection[int], timeframe: Timeframe, since: date, now: datetime, limit: int) -> sql.Composed:
    states = query(
        "coverage/session_states",
        ids=list(ids),
        timeframe=timeframe.value,
        since=since,
        until=now.date() + timedelta(days=1),
        now=now,
        gap=LONG_MISSING_RUN,
    )
    return sql.SQL(
        "SELECT s.instrument_id, s.symbol, s.session, s.open, s.close, s.tries FROM ({}) AS s JOIN ops.requested AS a"
        " ON a.instrument_id = s.instrument_id AND a.timeframe = {} AND s.session >= lower(a.sessions)"
        " WHERE ((s.state = ANY({}) AND NOT s.confirmed) OR (s.asked AND NOT s.final)) AND s.state <> 'not_listed'"
        " AND s.close <= {}::timestamptz AND (s.next_try IS NULL OR s.next_try <= {}::timestamptz)"
        " ORDER BY s.session DESC, s.instrument_id LIMIT {}"
    ).format(
        states,
        sql.Literal(timeframe.value),
        sql.Literal([state.value for state in _HEALABLE]),
        sql.Literal(now),
        sql.Literal(now),
        sql.Literal(limit),
    )


def _backfill(
    timeframe: Timeframe, key: str, found: Mapping[int, Sequence[Gap]], calendars: Mapping[int, str], now: datetime
) -> BackfillRequest:
    """Return one request a symbol: around all of its gaps in the window."""
    ranges: dict[str, tuple[datetime, datetime]] = {}
    window = timeframe.window(key)
    for owner, gaps in found.items():
        first, last = min(gap.session for gap in gaps), max(gap.session for gap in gaps)
        if timeframe is Timeframe.D1:
            start, end = midnight(first), midnight(last) + timedelta(days=1)
        else:
            start, end = _around(get_calendar(calendars[owner]), first, last)
        ranges[gaps[0].symbol] = (max(start, window.start), min(end, window.end, now))
    return BackfillRequest(timeframe, key, ranges, [gap for gaps in found.values() for gap in gaps])


def _around(calendar: Calendar, first: date, last: date) -> tuple[datetime, datetime]:
    """Return the time from the close before ``first`` to the open after ``last``: extended hours are asked for, too."""
    days = np.array([first, last], "datetime64[D]").astype(np.int64)
    places = np.searchsorted(calendar.sessions, days)
    edges = calendar.closes[max(places[0] - 1, 0)], calendar.opens[min(places[1] + 1, len(calendar.opens) - 1)]
    start, end = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(edge)) for edge in edges)
    return start, end
