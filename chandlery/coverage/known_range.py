"""How far there is something to say of an instrument: from the first session that is known of it to the last.

A session is known if it was asked for or is there. Not here: what there is to say (``states``).
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
    """Return the first and the last session of which there is something to say, by instrument id.

    Args:
        connection: to the database.
        instruments: which; those of which there is nothing to say are left out.
        timeframe: ``1m`` or ``1d``.
        since: nothing earlier. Of instruments of which nothing is known, everything from here on is said if the
            timeframe is scheduled for them, and nothing without it.
        static: providers that have no news: of their instruments, nothing is said after what is known.
    """
    known = _known(connection, instruments, timeframe)
    told = {}
    for instrument in instruments:
        owner, ends = instrument.instrument_id, instrument.provider in static
        if owner in known:
            first, last = known[owner]
            told[owner] = max(first, since or first), last if ends else date.max
        elif since is not None and timeframe.value in instrument.timeframes and not ends:
            told[owner] = since, date.max
    return told


def newest_year(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    *,
    now: datetime | None = None,
) -> tuple[date, date] | None:
    """Return the newest year in which anything is known, [since, until); None where nothing is.

    It ends with the present, unless what was asked for or is there ends more than a year before.
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
    """Return the instruments for which the timeframe is scheduled, and of which nothing was asked for or is there."""
    known = _known(connection, instruments, timeframe)
    return [i for i in instruments if timeframe.value in i.timeframes and i.instrument_id not in known]


def _known(
    connection: psycopg.Connection, instruments: Sequence[Instrument], timeframe: Timeframe
) -> dict[int, tuple[date, date]]:
    """Return the first and the last session of each that was asked for or is there."""
    wanted = {"ids": [instrument.instrument_id for instrument in instruments], "timeframe": timeframe.value}
    return {owner: (first, last) for owner, first, last in connection.execute(query("coverage/known_sessions"), wanted)}
