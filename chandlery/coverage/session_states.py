"""Why something is missing: the state of each session of an instrument, from what was asked and what is there.

Derived in the database. Not here: how much there is in all (``coverage``), and asking again (``healing``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.core.schema import TS
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.known_range import known_sessions
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument

#: A hole is too long for thin trading if more bars than so many would have come in it, at the rate of the rest of its
#: session. Where every minute trades, these are so many minutes.
LONG_MISSING_RUN = 15


class State(StrEnum):
    """What is known of a session, or of a day on which there is none.

    A hole is the longest run of minutes of a session without a bar, its two ends included. Where trading was halted, it
    is the longest of what the halts leave.

    Attributes:
        COMPLETE: every slot has a bar.
        NO_TRADES: the hole is as thin trading leaves it, or the provider confirmed that there is no more.
        PARTIAL: there are bars, but not all of the session was asked for.
        HALTED: trading was halted meanwhile, and the hole is as thin trading leaves it; or all of the session long.
        PROVIDER_GAP: asked for after it settled; nothing came, or a hole too long for thin trading.
        QUARANTINED: it lacks bars, and the gate rejected some that the provider sent; they wait in quarantine.
        NOT_FINAL: under way, or not all of it asked for since it settled.
        NEVER_FETCHED: no provider ever answered for it.
        CLOSED: no session: a holiday, a weekend, or a closure out of turn.
        NOT_LISTED: before the instrument was listed, or after it was delisted.
    """

    COMPLETE = "complete"
    NO_TRADES = "no_trades"
    PARTIAL = "partial"
    HALTED = "halted"
    PROVIDER_GAP = "provider_gap"
    QUARANTINED = "quarantined"
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
        ("missing_start", TS),
        ("missing_slots", pa.int32()),
        ("final", pa.bool_()),
        ("open", TS),
        ("close", TS),
        ("calendar", pa.string()),
    ]
)
#: Shape of ``state_runs``; one row a run of consecutive sessions in one state.
RUNS = pa.schema(
    [
        ("symbol", pa.string()),
        ("state", pa.string()),
        ("first", pa.date32()),
        ("last", pa.date32()),
        ("sessions", pa.int32()),
        ("expected", pa.int64()),
        ("present", pa.int64()),
        ("missing_start", TS),
        ("missing_slots", pa.int32()),
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
        Table of schema ``STATES``, in the order of ``instruments`` and ascending by session. ``expected``, ``present``
        and ``missing_slots`` count slots: minutes of the session, or 1 for a day. ``missing_start`` is null where no
        slot is missing, and of a day; both are null where nobody could measure it. ``calendar`` is the calendar's name
        and the version of its rules.

    Raises:
        UsageError: ``timeframe`` is derived: it is as complete as its base.
    """
    states = _states(connection, instruments, timeframe, (since, until), now)
    wanted = sql.SQL(
        "SELECT symbol, session, state, expected, present, first_ts, last_ts, missing_start, missing_slots, final,"
        " open, close, calendar FROM ({}) AS s JOIN unnest({}::int4[]) WITH ORDINALITY AS o (instrument_id, place)"
        " USING (instrument_id) ORDER BY place, session"
    ).format(states, sql.Literal(_ids(instruments)))
    return _table(connection, wanted, STATES)


def state_runs(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    since: date | None = None,
    until: date | None = None,
    *,
    static: Collection[str] = (),
    only: Collection[State] | None = None,
    now: datetime | None = None,
) -> pa.Table:
    """Return runs of consecutive sessions in the same state: the same as ``session_states``, but short.

    Args:
        connection: to the database.
        instruments: which.
        timeframe: ``1m`` or ``1d``.
        since: first session, inclusive. Of each instrument, nothing is said before the first session that was asked for
            or is there; where there is none, everything since then is said if the timeframe is scheduled for it, and
            nothing without ``since``.
        until: last session, exclusive; the present by default.
        static: providers that have no news. Of their instruments, nothing is said either after the last session that
            was asked for or is there.
        only: return only runs in these states.
        now: the present, UTC; the clock by default.

    Returns:
        Table of schema ``RUNS``, in the order of ``instruments`` and ascending. ``last`` is inclusive; ``expected`` and
        ``present`` are sums; the hole is the longest of the run.

    Raises:
        UsageError: ``timeframe`` is derived: it is as complete as its base.
    """
    asked = _ask_runs(connection, instruments, timeframe, since, until, static=static, now=now)
    names = sql.Literal(None if only is None else [state.value for state in only])
    statement = query("coverage/state_runs", **asked, only=names)
    return _table(connection, statement, RUNS)


def count_states(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    since: date | None = None,
    until: date | None = None,
    *,
    static: Collection[str] = (),
    now: datetime | None = None,
) -> dict[str, dict[State, int]]:
    """Return how many sessions are in each state, by symbol; of the sessions of which ``state_runs`` tells."""
    asked = _ask_runs(connection, instruments, timeframe, since, until, static=static, now=now)
    statement = sql.SQL(
        "SELECT symbol, state, count(*) FROM ({states}) AS s"
        " JOIN unnest({ids}::int4[], {firsts}::date[], {lasts}::date[]) AS n (instrument_id, first, last)"
        " ON n.instrument_id = s.instrument_id AND s.session BETWEEN n.first AND n.last GROUP BY 1, 2"
    ).format(**asked)
    found: dict[str, dict[State, int]] = {}
    order = {state.value: place for place, state in enumerate(State)}
    for symbol, state, sessions in sorted(connection.execute(statement), key=lambda row: order[row[1]]):
        found.setdefault(symbol, {})[State(state)] = sessions
    return found


def states_of_day(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    day: date,
    *,
    now: datetime | None = None,
) -> pa.Table:
    """Return what is known of ``day``: the state of its session, or that there is none.

    Returns:
        Table of schema ``STATES``, a row an instrument in their order. Where there is no session, the state is
        ``closed``, ``calendar`` is by which, and all else is null.

    Raises:
        UsageError: ``timeframe`` is derived, the day's session has not begun, or the calendar does not reach to it.
    """
    found = {row["symbol"]: row for row in session_states(
        connection, instruments, timeframe, day, day + timedelta(days=1), now=now
    ).to_pylist()}  # fmt: skip
    told = {
        name: _told(connection, name, day)
        for name in sorted({i.calendar for i in instruments if i.symbol not in found})
    }
    rows = [
        found.get(i.symbol) or {"symbol": i.symbol, "session": day, "state": "closed", "calendar": told[i.calendar]}
        for i in instruments
    ]
    return pa.Table.from_pylist(rows, STATES)


def state_of_day(
    connection: psycopg.Connection,
    instrument: Instrument,
    timeframe: Timeframe,
    day: date,
    *,
    now: datetime | None = None,
) -> State:
    """Return the state of ``day`` alone; see ``states_of_day``."""
    return State(states_of_day(connection, [instrument], timeframe, day, now=now)["state"][0].as_py())


def _states(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    span: tuple[date, date],
    now: datetime | None,
) -> sql.Composed:
    """Return the query ``session_states``, after measuring what it needs."""
    if not timeframe.is_ingested:
        raise UsageError(f"timeframe={timeframe.value!r} is derived and as complete as its base; allowed: 1m 1d")
    ids = _ids(instruments)
    if timeframe is Timeframe.M1:
        measure_missing_runs(connection, ids, *span)
    return query(
        "coverage/session_states",
        ids=ids,
        timeframe=timeframe.value,
        since=span[0],
        until=span[1],
        now=now or datetime.now(UTC),
        gap=LONG_MISSING_RUN,
    )


def _ask_runs(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    *span: date | None,
    static: Collection[str],
    now: datetime | None,
) -> dict[str, sql.Composable]:
    """Return the parts of a statement about the sessions of ``state_runs``."""
    since, until = span
    now = now or datetime.now(UTC)
    told = known_sessions(connection, instruments, timeframe, since, static)
    shown = [instrument for instrument in instruments if instrument.instrument_id in told]
    begin = min((first for first, _ in told.values()), default=now.date())
    return {
        "states": _states(connection, shown, timeframe, (begin, until or now.date() + timedelta(days=2)), now),
        "ids": sql.Literal(_ids(shown)),
        "firsts": sql.Literal([told[instrument.instrument_id][0] for instrument in shown]),
        "lasts": sql.Literal([told[instrument.instrument_id][1] for instrument in shown]),
    }


def _ids(instruments: Sequence[Instrument]) -> list[int]:
    return [instrument.instrument_id for instrument in instruments]


def _table(connection: psycopg.Connection, statement: sql.Composed, schema: pa.Schema) -> pa.Table:
    rows = connection.execute(statement).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _told(connection: psycopg.Connection, calendar: str, day: date) -> str:
    """Return the name and version of a calendar by which there is no session on ``day``."""
    row = connection.execute(
        "SELECT min(session), max(session), calendar || ' ' || (array_agg(version ORDER BY session DESC))[1],"
        " bool_or(session = %s) FROM market.session WHERE calendar = %s GROUP BY calendar",
        (day, calendar),
    ).fetchone()
    if row is None:
        raise UsageError(f"calendar={calendar!r} has no sessions in the database; `chandlery init` stores them")
    first, last, told, is_session = row
    if is_session:
        raise UsageError(f"day={day} has not begun on {calendar}; only days that did have a state")
    if not first <= day <= last:
        raise UsageError(f"day={day} is not known to the calendar {calendar}; allowed: {first} to {last}")
    return str(told)
