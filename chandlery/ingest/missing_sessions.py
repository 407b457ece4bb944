"""Findings about sessions without a bar tell what the store lacks, not what one batch lacked.

Not here: which sessions a batch lacks (``expectations.measures``), and coverage, which knows of all sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from chandlery.core.calendars import Int64s, get_calendar, microseconds
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, EVER, instant
from chandlery.coverage.requested import session_slice
from chandlery.database.named_queries import query
from chandlery.ingest.gate import Span
from chandlery.quality.findings import Audited, Noticed, record_findings
from chandlery.rollups.stale import list_stale_days

RULE = "session_count"
_NAMED = 5


def still_missing(connection: psycopg.Connection, partition: Partition, noticed: Noticed) -> Noticed | None:
    """Return what is left of a finding about sessions without bars; None where each of them has bars by now.

    Args:
        connection: to the market database.
        partition: of the bars.
        noticed: by the rule ``session_count``.
    """
    days, spans = _sessions(partition, noticed.spans)
    dates = [instant(int(day) * DAY_US).date() for day in days]
    filled = days_with_bars(connection, partition.timeframe, partition.instrument_id, dates)
    if not filled:
        return noticed
    left = [(day, span) for day, span in zip(dates, spans, strict=True) if day not in filled]
    if not left:
        return None
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    detail = f"{len(left)} closed sessions have no bars: {', '.join(str(day) for day, _ in left[:_NAMED])}{more}"
    return Noticed(noticed.rule, [span for _, span in left], {**noticed.evidence, "detail": detail})


def days_with_bars(
    connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int, days: Sequence[date]
) -> set[date]:
    """Return on which of ``days`` an instrument has bars of ``timeframe`` (``1m`` or ``1d``), by session."""
    values = {"timeframe": timeframe.value, "instrument_id": instrument_id, "days": list(days)}
    return {row[0] for row in connection.execute(query("ingest/filled_sessions"), values)}


def count_stale_days(connection: psycopg.Connection, base: Timeframe, instrument_id: int) -> int:
    """Return how many days with bars are in weeks of which something derived is stale: a day may stand for its week."""
    pending = list_stale_days(connection, base, [instrument_id], *EVER)
    mondays = {day.date() - timedelta(days=day.weekday()) for _, of_instrument in pending for day in of_instrument}
    days = [monday + timedelta(days=number) for monday in mondays for number in range(7)]
    return len(days_with_bars(connection, base, instrument_id, days))


def settle_missing(connection: psycopg.Connection, partition: Partition) -> None:
    """Close what a release settled of the open findings about sessions without bars, in its transaction."""
    owner, window = partition.instrument_id, partition.window
    values = {
        "timeframe": partition.timeframe.value,
        "instrument_id": owner,
        "scope": window.key,
        "rules": [RULE],
    }
    found: list[tuple[str, Mapping[str, Any], datetime, datetime]] = connection.execute(
        query("ingest/spans_of_findings"), values
    ).fetchall()
    if not found:
        return
    spans = [(microseconds(start), microseconds(end)) for _, _, start, end in found]
    left = still_missing(connection, partition, Noticed(RULE, spans, found[0][1]))
    audited = Audited(owner, window.key, found[0][2], found[-1][3], [left] if left else [])
    record_findings(connection, partition.timeframe, [RULE], [audited])


def _sessions(partition: Partition, spans: Sequence[Span]) -> tuple[Int64s, Sequence[Span]]:
    """Return the sessions in ``spans``, days since 1970-01-01, and the span of each."""
    if partition.timeframe is Timeframe.D1:
        days = np.concatenate([np.arange(start // DAY_US, -(-end // DAY_US)) for start, end in spans])
        return days, [(day * DAY_US, (day + 1) * DAY_US) for day in days.tolist()]
    calendar = get_calendar(partition.calendar)
    slices = [session_slice(calendar, partition.timeframe, instant(start), instant(end)) for start, end in spans]
    places = np.concatenate([np.arange(each.start, each.stop) for each in slices])
    edges = zip(calendar.opens[places].tolist(), calendar.closes[places].tolist(), strict=True)
    return calendar.sessions[places], list(edges)
