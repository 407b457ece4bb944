"""Why bars are missing: the state of each session of an instrument, from what was requested and what is stored.

The states are derived in the database. Not here: how many bars there are in all (``summary``), days without a session
(``day_states``), and requesting again what is missing (``repair``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.core.arrow import array_of
from chandlery.core.schema import TS
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.known_range import known_sessions
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument

#: A missing run is too long for thin trading if more than so many bars would have come in it. Where every minute
#: trades, it is the length of the run in minutes.
LONG_MISSING_RUN = 15
#: Sessions up to so long before and after one tell how much trades at which time.
_AROUND = timedelta(days=14)


class State(StrEnum):
    """What is known of a session, or of a day on which there is none.

    The missing run of a session is its longest run of minutes without a bar, be it at its start or its end. Minutes in
    which trading was halted are not missing.

    A day that was rolled up from minutes is in the state of these minutes, and complete if they are complete or had no
    trades. Where a provider is to give the day, because others around it were requested or schedules request them, its
    state tells of the provider's day, until the provider has confirmed that there is none.

    Attributes:
        COMPLETE: every slot has a bar.
        NO_TRADES: the missing run is no longer than thin trading makes it, or the provider confirmed that there is no
            more.
        PARTIAL: there are bars, but not all of the session was requested.
        HALTED: trading was halted, and the missing run of the other minutes is no longer than thin trading makes it; or
            it was halted all of the session long.
        PROVIDER_GAP: requested after it settled; nothing came, or the missing run is too long for thin trading.
        QUARANTINED: it lacks bars, and the gate rejected some that the provider sent; they wait in quarantine.
        NOT_FINAL: under way, or not all of it was requested since it settled.
        NEVER_FETCHED: no provider ever answered for it.
        CLOSED: there is no session: a holiday, a weekend, or an extraordinary closure.
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


#: Schema of ``session_states``; one row for each session.
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
#: Schema of ``state_runs``; one row for each run of consecutive sessions in one state.
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
    return _table(connection, query("coverage/states_in_order", states=states, ids=_ids(instruments)), STATES)


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
        since: first session, inclusive. The sessions of each instrument begin with the first that was requested or has
            a bar. Where there is none, they begin with ``since`` if the timeframe is scheduled for the instrument;
            without ``since``, the instrument is left out.
        until: last session, exclusive; the present by default.
        static: providers whose data never changes. The sessions of their instruments end with the last that was
            requested or has a bar.
        only: return only runs in these states.
        now: the present, UTC; the clock by default.

    Returns:
        Table of schema ``RUNS``, in the order of ``instruments`` and ascending. ``last`` is inclusive; ``expected`` and
        ``present`` are sums; the missing run is the longest of all.

    Raises:
        UsageError: ``timeframe`` is derived: it is as complete as its base.
    """
    parts = _parts(connection, instruments, timeframe, (since, until), static=static, now=now)
    names = None if only is None else [state.value for state in only]
    return _table(connection, query("coverage/state_runs", **parts, only=names), RUNS)


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
    """Return how many sessions are in each state, by symbol; of the sessions that ``state_runs`` is about."""
    parts = _parts(connection, instruments, timeframe, (since, until), static=static, now=now)
    counts: dict[str, dict[State, int]] = {}
    order = {state.value: place for place, state in enumerate(State)}
    rows = connection.execute(query("coverage/count_states", **parts))
    for symbol, state, sessions in sorted(rows, key=lambda row: order[row[1]]):
        counts.setdefault(symbol, {})[State(state)] = sessions
    return counts


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
    ids, now = _ids(instruments), now or datetime.now(UTC)
    if timeframe is Timeframe.M1:
        measure_around(connection, ids, *span)
        return states_query(timeframe, ids, span, now)
    values = {"ids": ids, "since": span[0], "until": span[1]}
    first, last, owners = connection.execute(query("coverage/sessions_with_minutes"), values).fetchone() or (None,) * 3
    of_minutes = (first, last + timedelta(days=1)) if owners else (date.min, date.min)
    if owners:
        measure_around(connection, owners, *of_minutes)
    days, minutes = states_query(timeframe, ids, span, now), states_query(Timeframe.M1, owners or [], of_minutes, now)
    return query("coverage/states_of_days", states=days, minutes=minutes)


def measure_around(connection: psycopg.Connection, ids: Sequence[int], since: date, until: date) -> None:
    """Measure what the states of minutes in ``[since, until)`` follow from: their sessions, and those around them."""
    first = since - _AROUND if since - date.min > _AROUND else date.min
    last = until + _AROUND if date.max - until > _AROUND else date.max
    measure_missing_runs(connection, ids, first, last)


def states_query(timeframe: Timeframe, ids: Sequence[int], span: tuple[date, date], now: datetime) -> sql.Composed:
    """Return the query of the states of sessions, to be part of another one.

    Args:
        timeframe: ``1m`` or ``1d``.
        ids: of the instruments.
        span: first session, inclusive, and last, exclusive.
        now: the present, UTC.
    """
    return query(
        "coverage/session_states",
        ids=ids,
        timeframe=timeframe.value,
        since=span[0],
        until=span[1],
        now=now,
        long_run=LONG_MISSING_RUN,
    )


def _parts(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    span: tuple[date | None, date | None],
    *,
    static: Collection[str],
    now: datetime | None,
) -> dict[str, object]:
    """Return the variables of a query about the sessions of ``state_runs``: their states, and which they are."""
    since, until = span
    now = now or datetime.now(UTC)
    known = known_sessions(connection, instruments, timeframe, since, static)
    shown = [instrument for instrument in instruments if instrument.instrument_id in known]
    begin = min((first for first, _ in known.values()), default=now.date())
    return {
        "states": _states(connection, shown, timeframe, (begin, until or now.date() + timedelta(days=2)), now),
        "ids": _ids(shown),
        "firsts": [known[instrument.instrument_id][0] for instrument in shown],
        "lasts": [known[instrument.instrument_id][1] for instrument in shown],
    }


def _ids(instruments: Sequence[Instrument]) -> list[int]:
    return [instrument.instrument_id for instrument in instruments]


def _table(connection: psycopg.Connection, statement: sql.Composed, schema: pa.Schema) -> pa.Table:
    rows = connection.execute(statement).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [array_of(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
