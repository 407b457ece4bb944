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

from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant, midnight
from chandlery.coverage.retry_schedule import RetrySession, forget_healed, schedule_next_try
from chandlery.coverage.session_states import State, measure_around, states_query
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits

#: States of a session that is final and that another request may change, until the provider has answered often enough
#: that it has nothing else.
_REPAIRABLE = (State.PROVIDER_GAP, State.QUARANTINED)
#: At least so many open sessions of each instrument are looked at.
_FEWEST = 64


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What to request again, of one window.

    Attributes:
        timeframe: of the bars.
        window: key of the window, ``2024-01`` or ``2024``.
        ranges: half-open range, UTC, by symbol.
        sessions: the sessions it is for: those that open in the window. There may be none, where the ranges are the
            ends of sessions that opened in the window before.
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
    sessions: int = 20_000,
    examined: int = 200_000,
    turn: int = 0,
    now: datetime | None = None,
) -> list[BackfillRequest]:
    """Return what should be requested again now, newest window first.

    That is, of each instrument, between its first session that was ever requested and the present: sessions that were
    never fetched, what a provider left out and has not confirmed, and sessions that have settled since they were
    requested; unless their pause is not over yet, or the provider does not serve them any more.

    What a plan costs has a bound, however many instruments there are and however far back they reach.

    Args:
        connection: to the database.
        instruments: which; those of providers that ``limits`` does not name are left alone.
        timeframe: ``1m`` or ``1d``.
        limits: of the providers, by name: how far back they reach, and when their bars have settled.
        windows: how many windows at most.
        sessions: how many sessions at most, the newest first.
        examined: of about how many sessions that are final the plan finds out whether they lack something. If there are
            more, those of the newest days are examined by each plan, and so many of the older ones by turns.
        turn: number of the plan, to be counted up.
        now: the present, UTC; the clock by default.
    """
    now = now or datetime.now(UTC)
    chosen = [instrument for instrument in instruments if instrument.provider in limits]
    search = _Search(connection, chosen, timeframe, limits, now=now, sessions=sessions, examined=examined)
    by_window: dict[str, dict[int, list[RetrySession]]] = defaultdict(lambda: defaultdict(list))
    for opens, item in search.find(turn):
        key = timeframe.window_of(item.session if timeframe is Timeframe.D1 else opens).key
        by_window[key][item.instrument_id].append(item)
    calendars = {instrument.instrument_id: instrument.calendar for instrument in chosen}
    newest = sorted(by_window, reverse=True)[:windows]
    return _backfills(timeframe, {key: by_window[key] for key in newest}, calendars, now)


def record_launch(connection: psycopg.Connection, backfill: BackfillRequest, now: datetime | None = None) -> None:
    """Record that ``backfill`` is about to be requested: it is not planned again before its pause is over."""
    schedule_next_try(connection, backfill.timeframe, backfill.sessions, now or datetime.now(UTC))


class _Search:
    """Finds the sessions that should be requested again."""

    def __init__(
        self,
        connection: psycopg.Connection,
        instruments: Sequence[Instrument],
        timeframe: Timeframe,
        limits: Mapping[str, ProviderLimits],
        *,
        now: datetime,
        sessions: int,
        examined: int,
    ) -> None:
        self._connection = connection
        self._timeframe = timeframe
        self._now = now
        self._limit = sessions
        self._ids = [instrument.instrument_id for instrument in instruments]
        self._examined_of_each = max(1, examined // max(1, len(self._ids)))
        of_each = [limits[instrument.provider] for instrument in instruments]
        self._delays = [limit.settlement_delay.get(timeframe, timedelta()) for limit in of_each]
        self._depths = [limit.history_depth.get(timeframe) for limit in of_each]

    def find(self, turn: int) -> list[tuple[datetime, RetrySession]]:
        """Return the newest sessions to request, each with its open; newest first."""
        found = {(row[0], row[2]): row for row in self._open()}
        since = self._first_requested()
        for span in self._spans(since, turn) if since else ():
            found |= {(row[0], row[2]): row for row in self._lacking(*span)}
        newest = sorted(found.values(), key=lambda row: (-row[2].toordinal(), row[0]))[: self._limit]
        return [(opens, RetrySession(owner, symbol, day, tries)) for owner, symbol, day, opens, tries in newest]

    def _open(self) -> list[tuple[int, str, date, datetime, int]]:
        """Return the sessions that have settled and are not final."""
        statement = query(
            "coverage/open_sessions",
            ids=self._ids,
            delays=self._delays,
            depths=self._depths,
            timeframe=self._timeframe.value,
            now=self._now,
            per_instrument=max(_FEWEST, self._examined_of_each),
            limit=self._limit,
        )
        return self._connection.execute(statement).fetchall()

    def _lacking(self, since: date, until: date) -> list[tuple[int, str, date, datetime, int]]:
        """Return the sessions in ``[since, until)`` that are final and lack something; forget those that do no more."""
        if self._timeframe is Timeframe.M1:
            measure_around(self._connection, self._ids, since, until)
        forget_healed(self._connection, self._timeframe, self._ids, (since, until), self._now)
        states = states_query(self._timeframe, self._ids, (since, until), self._now)
        statement = query(
            "coverage/repairable_sessions",
            states=states,
            timeframe=self._timeframe.value,
            ids=self._ids,
            depths=self._depths,
            repairable=[state.value for state in _REPAIRABLE],
            now=self._now,
            limit=self._limit,
        )
        return self._connection.execute(statement).fetchall()

    def _spans(self, since: date, turn: int) -> list[tuple[date, date]]:
        """Return the days to examine, half-open: all since ``since``, or the newest and, by turns, older ones."""
        until = self._now.date() + timedelta(days=1)
        length = timedelta(days=self._examined_of_each)
        if until - since <= length:
            return [(since, until)]
        older = -((since - (until - length)) // length)  # rounded up
        end = until - length * (1 + turn % older)
        return [(until - length, until), (max(since, end - length), end)]

    def _first_requested(self) -> date | None:
        row = self._connection.execute(
            "SELECT min(lower(sessions)) FROM ops.requested"
            " WHERE timeframe = %(timeframe)s AND instrument_id = ANY(%(ids)s)",
            {"timeframe": self._timeframe.value, "ids": self._ids},
        ).fetchone()
        return row[0] if row else None


def _backfills(
    timeframe: Timeframe,
    by_window: Mapping[str, Mapping[int, Sequence[RetrySession]]],
    calendars: Mapping[int, str],
    now: datetime,
) -> list[BackfillRequest]:
    """Return what to request, newest window first: a range for each symbol around all of its sessions of a window.

    A session that ends in the window after its own, as in the last night of a month, is requested there as well.
    """
    ranges: dict[str, dict[str, tuple[datetime, datetime]]] = defaultdict(dict)
    for key, by_instrument in by_window.items():
        window = timeframe.window(key)
        for owner, sessions in by_instrument.items():
            start, end, close = _extent(timeframe, get_calendar(calendars[owner]), [item.session for item in sessions])
            until = min(max(close, min(end, window.end)), now)
            for part in timeframe.windows(max(start, window.start), until):
                _widen(ranges[part.key], sessions[0].symbol, max(start, part.start), min(until, part.end))
    return [
        BackfillRequest(
            timeframe, key, ranges[key], [item for each in by_window.get(key, {}).values() for item in each]
        )
        for key in sorted(ranges, reverse=True)
    ]


def _extent(timeframe: Timeframe, calendar: Calendar, days: Sequence[date]) -> tuple[datetime, datetime, datetime]:
    """Return the start and the end of the time around sessions, with extended hours, and where the last one ends."""
    first, last = min(days), max(days)
    if timeframe is Timeframe.D1:
        end = midnight(last) + timedelta(days=1)
        return midnight(first), end, end
    places = np.searchsorted(calendar.sessions, np.array([first, last], "datetime64[D]").astype(np.int64))
    before, after = max(places[0] - 1, 0), min(places[1] + 1, len(calendar.opens) - 1)
    start, end, close = calendar.closes[before], calendar.opens[after], calendar.closes[places[1]]
    return instant(int(start)), instant(int(end)), instant(int(close))


def _widen(ranges: dict[str, tuple[datetime, datetime]], symbol: str, start: datetime, end: datetime) -> None:
    """Have the range of ``symbol`` hold ``[start, end)`` as well."""
    known = ranges.get(symbol, (start, end))
    ranges[symbol] = min(start, known[0]), max(end, known[1])
