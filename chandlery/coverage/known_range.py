"""The range of sessions, by instrument, about which coverage can say anything: from the first known one to the last.

A session is known if it was requested from a provider or has a bar. Not here: what is said of each session
(``session_states``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta

import psycopg

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument

_YEAR = timedelta(days=365)


def known_sessions(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    since: date | None,
    static: Collection[str],
) -> dict[int, tuple[date, date]]:
    """Return the first and the last session of each instrument that its coverage is about.

    Args:
        connection: to the database.
        instruments: which.
        timeframe: ``1m`` or ``1d``.
        since: the earliest session to return; None for no such limit. With it, an instrument of which no session is
            known begins there, if the timeframe is scheduled for it.
        static: providers whose data never changes. The range of their instruments ends with the last known session, as
            does that of instruments that were removed from ``universe.yaml``; that of all others has no end.

    Returns:
        By instrument id, both inclusive; the last is ``date.max`` where the range has no end. Instruments without any
        session are left out.
    """
    known = _known(connection, instruments, timeframe)
    ranges = {}
    for instrument in instruments:
        owner, ends = instrument.instrument_id, instrument.provider in static or instrument.is_removed
        if owner in known:
            first, last = known[owner]
            ranges[owner] = max(first, since or first), last if ends else date.max
        elif since is not None and timeframe.value in instrument.timeframes and not ends:
            ranges[owner] = since, date.max
    return ranges


def newest_year(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    *,
    now: datetime | None = None,
) -> tuple[date, date] | None:
    """Return the newest year in which any session of the instruments is known.

    Args:
        connection: to the database.
        instruments: which.
        timeframe: ``1m`` or ``1d``.
        now: the present, UTC; the clock by default.

    Returns:
        The first day, inclusive, and the last, exclusive; None where no session is known. The year ends with the
        present or, if the last known session is more than a year old, with that session.
    """
    today = (now or datetime.now(UTC)).date()
    last = max((last for _, last in _known(connection, instruments, timeframe).values()), default=None)
    if last is None:
        return None
    end = today if last > today - _YEAR else last
    return end - _YEAR, end + timedelta(days=1)


def never_requested(
    connection: psycopg.Connection, instruments: Sequence[Instrument], timeframe: Timeframe
) -> list[Instrument]:
    """Return the instruments for which the timeframe is scheduled and of which no session is known."""
    known = _known(connection, instruments, timeframe)
    return [
        i for i in instruments if timeframe.value in i.timeframes and not i.is_removed and i.instrument_id not in known
    ]


def _known(
    connection: psycopg.Connection, instruments: Sequence[Instrument], timeframe: Timeframe
) -> dict[int, tuple[date, date]]:
    """Return the first and the last known session of each instrument that has any, both inclusive."""
    values = {"ids": [instrument.instrument_id for instrument in instruments], "timeframe": timeframe.value}
    return {owner: (first, last) for owner, first, last in connection.execute(query("coverage/known_sessions"), values)}
