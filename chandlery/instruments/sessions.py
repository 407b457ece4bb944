"""The sessions of trading calendars in the database. Not here: the calendars themselves (``core.calendars``)."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from chandlery.core.calendars import get_calendar


def sync_sessions(connection: psycopg.Connection, calendars: Iterable[str]) -> None:
    """Store the sessions of these calendars as ``exchange_calendars`` knows them now. Idempotent."""
    for name in calendars:
        calendar = get_calendar(name)
        connection.execute(
            _SESSIONS,
            (
                name,
                calendar.version,
                calendar.sessions.tolist(),
                calendar.opens.tolist(),
                calendar.closes.tolist(),
            ),
        )


_SESSIONS = """
WITH wanted AS MATERIALIZED (
    SELECT n.calendar, n.version, date '1970-01-01' + day AS session,
           timestamptz 'epoch' + open * interval '1 microsecond' AS open,
           timestamptz 'epoch' + close * interval '1 microsecond' AS close
    FROM (VALUES (%s, %s)) AS n (calendar, version),
         unnest(%s::int4[], %s::int8[], %s::int8[]) AS t (day, open, close)
),
gone AS (
    DELETE FROM market.session AS s USING (SELECT calendar, min(session), max(session) FROM wanted GROUP BY 1) AS known
    WHERE s.calendar = known.calendar AND s.session BETWEEN known.min AND known.max
        AND NOT EXISTS (SELECT FROM wanted AS w WHERE w.session = s.session)
)
INSERT INTO market.session AS s (calendar, session, open, close, version)
SELECT calendar, session, open, close, version FROM wanted
EXCEPT ALL
SELECT w.calendar, w.session, w.open, w.close, w.version
FROM wanted AS w JOIN market.session AS s USING (calendar, session, open, close)
ON CONFLICT (calendar, session) DO UPDATE
SET open = excluded.open, close = excluded.close, version = excluded.version
"""
