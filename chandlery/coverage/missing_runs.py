"""The longest run of minutes without a bar in each session, where it was not measured while the bars were published.

Not here: what a hole means (``states``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import psycopg

from chandlery.database.named_queries import query

#: So many sessions are measured at a time: publications of these wait meanwhile.
_MEASURED_AT_ONCE = 500


def measure_missing_runs(
    connection: psycopg.Connection, ids: Sequence[int], since: date = date.min, until: date = date.max
) -> None:
    """Measure the longest hole of each session of minutes that was not measured while it was published.

    Args:
        connection: to the database.
        ids: of the instruments.
        since: first session, inclusive.
        until: last session, exclusive.
    """
    wanted = {"ids": list(ids), "since": since, "until": until}
    todo = connection.execute(query("coverage/unmeasured_sessions"), wanted).fetchall()
    for start in range(0, len(todo), _MEASURED_AT_ONCE):
        owners, days = zip(*todo[start : start + _MEASURED_AT_ONCE], strict=True)
        with connection.transaction():
            # Two statements, so that the second sees what was there when the rows were locked. Rows that a publication
            # has are left to the next time: waiting for them, with others locked, might stop both.
            locked = connection.execute(_LOCK, {"ids": list(owners), "sessions": list(days)}).fetchall()
            mine = {"ids": [owner for owner, _ in locked], "sessions": [day for _, day in locked]}
            connection.execute(query("coverage/measure_missing_runs"), mine)


_LOCK = """
SELECT c.instrument_id, c.session
FROM ops.coverage AS c
JOIN unnest(%(ids)s::int4[], %(sessions)s::date[]) AS n (instrument_id, session) USING (instrument_id, session)
WHERE c.timeframe = '1m'
FOR UPDATE OF c SKIP LOCKED
"""
