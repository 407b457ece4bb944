"""Finding the sessions whose longest missing run is not known, and having it measured.

A missing run is a run of minutes of a session that have no bar. Most are measured while the bars are published. Not
here: how they are measured (``bars.bookkeeping``), and what they mean (``session_states``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import psycopg

from chandlery.bars import bookkeeping
from chandlery.database.named_queries import query

#: How many sessions one transaction measures: publications of these wait for it.
_SESSIONS_PER_TRANSACTION = 500


def measure_missing_runs(
    connection: psycopg.Connection, ids: Sequence[int], since: date = date.min, until: date = date.max
) -> None:
    """Measure the longest missing run of each session of minutes where it was not measured at publication.

    Args:
        connection: to the database; in a transaction only where that published to these instruments anyway.
        ids: of the instruments.
        since: first session, inclusive.
        until: last session, exclusive.
    """
    values = {"ids": list(ids), "since": since, "until": until}
    sessions = connection.execute(query("coverage/unmeasured_sessions"), values).fetchall()
    for start in range(0, len(sessions), _SESSIONS_PER_TRANSACTION):
        with connection.transaction():
            bookkeeping.measure_missing_runs(connection, sessions[start : start + _SESSIONS_PER_TRANSACTION])
