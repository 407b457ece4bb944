"""Sessions that healing asks for again: how often it did, when it may again, and when it gives up.

Not here: which sessions lack something (``coverage``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg

from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import RequestedRange
from chandlery.database.named_queries import query

#: The first pause before a session is asked for again; it doubles with each try.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(days=7)
#: After so many answers that brought nothing new, the provider is believed.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Gap:
    """A session of which something is missing and should be asked for.

    Attributes:
        instrument_id: whose.
        symbol: canonical symbol.
        session: its date.
        tries: how often it was asked for again.
    """

    instrument_id: int
    symbol: str
    session: date
    tries: int


def note_launch(connection: psycopg.Connection, timeframe: Timeframe, gaps: Sequence[Gap], now: datetime) -> None:
    """Note that these are about to be asked for, so that none is asked for again before its pause is over.

    Whether the answer ever comes or not, the pause grows: an outage is not asked after for ever either.
    """
    connection.execute(
        "INSERT INTO ops.retry_schedule AS g (instrument_id, timeframe, session, next_try)"
        " SELECT id, %(timeframe)s, session, %(now)s + %(pause)s"
        " FROM unnest(%(ids)s::int4[], %(sessions)s::date[]) AS n (id, session)"
        " ON CONFLICT (instrument_id, timeframe, session) DO UPDATE"
        " SET launches = g.launches + 1,"
        " next_try = %(now)s + least(%(pause)s * 2 ^ least(g.launches, 16), %(longest)s)",
        {
            "timeframe": timeframe.value,
            "now": now,
            "pause": FIRST_PAUSE,
            "longest": LONGEST_PAUSE,
            "ids": [gap.instrument_id for gap in gaps],
            "sessions": [gap.session for gap in gaps],
        },
    )


def note_answers(
    connection: psycopg.Connection, timeframe: Timeframe, asks: Sequence[RequestedRange], now: datetime
) -> None:
    """Count these answers for the sessions that wait for one; after enough that left a hole, the hole is confirmed.

    Only answers that came after the session had settled count. Before the first bar of all, where the provider's
    history begins, one is enough.
    """
    if asks:
        connection.execute(
            query("coverage/count_answers"),
            {
                "timeframe": timeframe.value,
                "ids": [ask.instrument_id for ask in asks],
                "starts": [ask.start for ask in asks],
                "ends": [ask.end for ask in asks],
                "now": now,
                "tries": TRIES,
            },
        )
