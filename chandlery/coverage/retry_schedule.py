"""When a session that lacks something is requested again, how often it was, and when the provider is believed.

Not here: which sessions lack something (``session_states``), and which of them are requested next (``repair``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg

from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import RequestedRange
from chandlery.coverage.session_states import State, measure_around, states_query
from chandlery.database.named_queries import query

#: The pause before a session is requested again doubles with each launch, from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(days=7)
#: States of a session that lacks nothing which a provider could still give.
_HEALED = (State.COMPLETE, State.NO_TRADES, State.HALTED, State.NOT_LISTED)
#: After so many answers the provider is believed: what is missing still does not exist.
ANSWERS_TO_CONFIRM = 5


@dataclass(frozen=True, slots=True)
class RetrySession:
    """A session that lacks something and should be requested again.

    Attributes:
        instrument_id: of the instrument.
        symbol: canonical symbol.
        session: its date.
        tries: how many answers came since it was first requested again.
    """

    instrument_id: int
    symbol: str
    session: date
    tries: int


def schedule_next_try(
    connection: psycopg.Connection, timeframe: Timeframe, sessions: Sequence[RetrySession], now: datetime
) -> None:
    """Record that these sessions are about to be requested, so that none is planned again before its pause is over.

    The pause grows whether an answer comes or not: during an outage, too, requests become rarer.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        sessions: which.
        now: the present, UTC, from which the pause counts.
    """
    connection.execute(
        query("coverage/schedule_next_try"),
        {
            "timeframe": timeframe.value,
            "now": now,
            "first_pause": FIRST_PAUSE,
            "longest_pause": LONGEST_PAUSE,
            "ids": [session.instrument_id for session in sessions],
            "sessions": [session.session for session in sessions],
        },
    )


def count_answers(
    connection: psycopg.Connection, timeframe: Timeframe, ranges: Sequence[RequestedRange], now: datetime
) -> None:
    """Count an answer for each scheduled session in these ranges; after enough, what is missing is confirmed.

    Only answers count that came after the session had settled. Before the first bar of all, where the provider's
    history begins, one answer is enough. A session that lacks nothing any more leaves the schedule.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        ranges: what was requested and answered.
        now: the present, UTC, recorded as the time of a confirmation.
    """
    if not ranges:
        return
    values = {
        "timeframe": timeframe.value,
        "ids": [requested.instrument_id for requested in ranges],
        "starts": [requested.start for requested in ranges],
        "ends": [requested.end for requested in ranges],
        "now": now,
        "enough": ANSWERS_TO_CONFIRM,
    }
    counted = connection.execute(query("coverage/count_answers"), values).fetchall()
    if counted:
        ids, sessions = sorted({owner for owner, _ in counted}), [session for _, session in counted]
        span = min(sessions), max(sessions) + timedelta(days=1)
        if timeframe is Timeframe.M1:
            measure_around(connection, ids, *span)
        _forget_healed(connection, timeframe, ids, span, now)


def forget_healed(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    ids: Sequence[int],
    span: tuple[date, date],
    now: datetime,
) -> None:
    """Take sessions off the schedule whose pause is over and that lack nothing any more, whoever mended them.

    Writes nothing where there are none.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        ids: of the instruments.
        span: first session, inclusive, and last, exclusive; measured (``missing_runs``).
        now: the present, UTC.
    """
    due = connection.execute(
        "SELECT DISTINCT instrument_id FROM ops.retry_schedule WHERE timeframe = %s AND instrument_id = ANY(%s)"
        " AND session >= %s AND session < %s AND next_try <= %s AND confirmed_at IS NULL",
        (timeframe.value, list(ids), *span, now),
    ).fetchall()
    if due:
        _forget_healed(connection, timeframe, [owner for (owner,) in due], span, now)


def _forget_healed(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    ids: Sequence[int],
    span: tuple[date, date],
    now: datetime,
) -> None:
    states = states_query(timeframe, ids, span, now)
    healed = [*(state.value for state in _HEALED), "derived"]
    connection.execute(query("coverage/forget_healed", states=states, timeframe=timeframe.value, healed=healed))
