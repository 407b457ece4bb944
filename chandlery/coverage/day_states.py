"""The states of one day: like those of its sessions, and ``closed`` where a calendar has no session on it.

Not here: how the state of a session is derived (``session_states``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import psycopg
import pyarrow as pa

from chandlery.core.arrow import array_of, to_rows
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.session_states import STATES, State, session_states
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument


def states_of_day(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    day: date,
    *,
    now: datetime | None = None,
) -> pa.Table:
    """Return the state of the session of ``day``, or that there is none.

    Args:
        connection: to the database.
        instruments: which.
        timeframe: ``1m`` or ``1d``.
        day: which.
        now: the present, UTC; the clock by default.

    Returns:
        Table of schema ``session_states.STATES``, a row for each instrument in their order. Where there is no session,
        the state is ``closed``, ``calendar`` says by which calendar, and all else is null.

    Raises:
        UsageError: ``timeframe`` is derived, the day's session has not begun, or the calendar does not reach to it.
    """
    table = session_states(connection, instruments, timeframe, day, day + timedelta(days=1), now=now)
    by_symbol = {row["symbol"]: row for row in to_rows(table)}
    closed = sorted({instrument.calendar for instrument in instruments if instrument.symbol not in by_symbol})
    calendars = {name: _calendar_without(connection, name, day) for name in closed}
    rows = [
        by_symbol.get(instrument.symbol)
        or {"symbol": instrument.symbol, "session": day, "state": "closed", "calendar": calendars[instrument.calendar]}
        for instrument in instruments
    ]
    arrays = [array_of([row.get(field.name) for row in rows], field.type) for field in STATES]
    return pa.Table.from_arrays(arrays, schema=STATES)


def state_of_day(
    connection: psycopg.Connection,
    instrument: Instrument,
    timeframe: Timeframe,
    day: date,
    *,
    now: datetime | None = None,
) -> State:
    """Return the state of ``day`` for one instrument; see ``states_of_day``."""
    return State(states_of_day(connection, [instrument], timeframe, day, now=now)["state"].to_pylist()[0])


def _calendar_without(connection: psycopg.Connection, calendar: str, day: date) -> str:
    """Return the name and version of a calendar that has no session on ``day``."""
    row = connection.execute(query("coverage/calendar_on_day"), {"calendar": calendar, "day": day}).fetchone()
    if row is None:
        raise UsageError(f"calendar={calendar!r} has no sessions in the database; `chandlery init` stores them")
    first, last, version, is_session = row
    if is_session:
        raise UsageError(f"day={day} has not begun on {calendar}; only days that did have a state")
    if not first <= day <= last:
        raise UsageError(f"day={day} is not known to the calendar {calendar}; allowed: {first} to {last}")
    return str(version)
