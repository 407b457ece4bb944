"""Why something is missing: the state of each session of an instrument, from what was asked and what is there.

Everything is derived in the database. Not here: how much there is in all (``coverage``), and asking again (``healing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.calendars import get_calendar
from chandlery.errors import UsageError
from chandlery.instruments import Instrument
from chandlery.schema import TS
from chandlery.store.queries import query
from chandlery.timeframe import Timeframe

#: A run of so many empty minutes is longer than thin trading leaves, unless the instrument often has such runs: then
#: three times its usual (median) longest run of a session is.
LONG_HOLE = 15


class State(StrEnum):
    """What is known of a session, or of a day on which there is none.

    A hole is the longest run of minutes of a session without a bar, its two ends included.

    Attributes:
        COMPLETE: every slot has a bar.
        NO_TRADES: the holes are as thin trading leaves them, or the provider confirmed that there is no more.
        PARTIAL: there are bars, but not all of the session was asked for.
        HALTED: trading was halted for all of the hole.
        PROVIDER_GAP: asked for after it settled; nothing came, or a hole too long for thin trading.
        NOT_FINAL: under way, or not asked for since it settled.
        NEVER_FETCHED: no provider ever answered for it.
        CLOSED: no session: a holiday or a weekend.
        NOT_LISTED: before the instrument was listed, or after it was delisted.
    """

    COMPLETE = "complete"
    NO_TRADES = "no_trades"
    PARTIAL = "partial"
    HALTED = "halted"
    PROVIDER_GAP = "provider_gap"
    NOT_FINAL = "not_final"
    NEVER_FETCHED = "never_fetched"
    CLOSED = "closed"
    NOT_LISTED = "not_listed"


#: Shape of ``session_states``; one row a session.
STATES = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("state", pa.string()),
        ("expected", pa.int32()),
        ("present", pa.int32()),
        ("first_ts", TS),
        ("last_ts", TS),
        ("hole_start", TS),
        ("hole_slots", pa.int32()),
        ("final", pa.bool_()),
        ("open", TS),
        ("close", TS),
        ("calendar", pa.string()),
    ]
)


def session_states(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    since: date,
    until: date,
    *,
    now: datetime | None = None,
) -> pa.Table:
    """Return the state of each session that began.

    Args:
        connection: to the database.
        instruments: which.
        timeframe: ``1m`` or ``1d``.
        since: first session, inclusive.
        until: last session, exclusive.
        now: the present, UTC; the clock by default.

    Returns:
        Table of schema ``STATES``, in the order of ``instruments`` and ascending by session. ``expected`` and
        ``present`` count slots: minutes of the session, or 1 for a day. ``calendar`` is the calendar's name and the
        version of its rules.

    Raises:
        UsageError: ``timeframe`` is derived: it is as complete as its base.
    """
    if not timeframe.is_ingested:
        raise UsageError(f"timeframe={timeframe.value!r} is derived and as complete as its base; allowed: 1m 1d")
    ids = [instrument.instrument_id for instrument in instruments]
    if timeframe is Timeframe.M1:
        measure_holes(connection, ids)
    states = query("session_states").format(
        ids=sql.Literal(ids),
        timeframe=sql.Literal(timeframe.value),
        since=sql.Literal(since),
        until=sql.Literal(until),
        now=sql.SQL("{}::timestamptz").format(sql.Literal(now or datetime.now(UTC))),
        gap=sql.Literal(LONG_HOLE),
    )
    wanted = sql.SQL(
        "SELECT symbol, session, state, expected, present, first_ts, last_ts, hole_start, hole_slots, final,"
        " open, close, calendar FROM ({}) AS s JOIN unnest({}::int4[]) WITH ORDINALITY AS o (instrument_id, place)"
        " USING (instrument_id) ORDER BY place, session"
    ).format(states, sql.Literal(ids))
    rows = connection.execute(wanted).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(STATES)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, STATES, strict=True)], STATES)


def state_of_day(
    connection: psycopg.Connection,
    instrument: Instrument,
    timeframe: Timeframe,
    day: date,
    *,
    now: datetime | None = None,
) -> State:
    """Return what is known of ``day``: the state of its session, or that there is none.

    Raises:
        UsageError: ``timeframe`` is derived, or the day lies in the future.
    """
    found = session_states(connection, [instrument], timeframe, day, day + timedelta(days=1), now=now)
    if found.num_rows:
        return State(found["state"][0].as_py())
    calendar = get_calendar(instrument.calendar)
    number = (day - date(1970, 1, 1)).days
    if number in calendar.sessions:
        raise UsageError(f"day={day} has not begun; only days that did have a state")
    return State.CLOSED


def measure_holes(connection: psycopg.Connection, ids: Sequence[int]) -> None:
    """Measure the longest hole of each session of minutes that was not measured while it was published."""
    connection.execute(query("measure_holes"), {"ids": list(ids)})
