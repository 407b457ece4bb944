"""How fresh the data are, by the time of the newest bar of each instrument: when something was ingested says nothing.

Not here: why a session lacks bars (``session_states``), and what requests them (``repair``, ``due_windows``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from chandlery.core.calendars import Calendar, get_calendar, microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, EVER, instant, midnight
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument

#: So long after a session's close its bars are expected to be there.
GRACE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Behind:
    """An instrument that lacks the newest sessions.

    Attributes:
        symbol: canonical symbol.
        newest: start of its newest bar, UTC; None where it has none.
        since: close of the first session after that bar, UTC.
        sessions: how many sessions it lacks at the end.
    """

    symbol: str
    newest: datetime | None
    since: datetime
    sessions: int


def find_behind(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    *,
    now: datetime,
    grace: timedelta = GRACE,
) -> list[Behind]:
    """Return the instruments whose newest bar is older than the last session that closed, in the order given.

    Args:
        connection: to the database.
        instruments: which; each is expected to have bars of every session while it is listed.
        timeframe: ``1m`` or ``1d``.
        now: the present, UTC.
        grace: how long after a session's close its bars may still be missing.
    """
    values = {"ids": [instrument.instrument_id for instrument in instruments], "timeframe": timeframe.value}
    newest: dict[int, datetime | None] = dict(connection.execute(query("coverage/newest_bars"), values).fetchall())
    found = (_compare(each, timeframe, newest[each.instrument_id], now - grace) for each in instruments)
    return [behind for behind in found if behind is not None]


def _compare(instrument: Instrument, timeframe: Timeframe, newest: datetime | None, until: datetime) -> Behind | None:
    """Return how far an instrument is behind the sessions that closed by ``until``; None where it is not."""
    calendar = get_calendar(instrument.calendar)
    listed = midnight(instrument.listed) if instrument.listed else EVER[0]
    known = calendar.between(listed, midnight(instrument.delisted) if instrument.delisted else EVER[1])
    closed = min(int(calendar.closes.searchsorted(microseconds(until), side="right")), known.stop)
    # An instrument without any bar lacks the last session at least; since when it should have bars nobody knows.
    have = closed - 1 if newest is None else _place(calendar, timeframe, newest) + 1
    if max(have, known.start) >= closed:
        return None
    since = instant(int(calendar.closes[have]))
    return Behind(instrument.symbol, newest, since, closed - have)


def _place(calendar: Calendar, timeframe: Timeframe, ts: datetime) -> int:
    """Return the place of the session of a bar that starts at ``ts``."""
    starts = calendar.opens if timeframe.is_intraday else calendar.sessions * DAY_US
    return int(starts.searchsorted(microseconds(ts), side="right")) - 1
