"""Findings about sessions without a bar tell what the store lacks, not what one batch lacked or had too much.

Not here: which sessions a batch lacks or should not have (``expectations.measures``), and coverage, which knows of
all sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg

from chandlery.core.calendars import Int64s, get_calendar, microseconds
from chandlery.core.partition import Partition
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, instant
from chandlery.coverage.filled import days_with_bars
from chandlery.coverage.requested import session_slice
from chandlery.database.named_queries import query
from chandlery.ingest.gate import Span
from chandlery.quality.findings import Audited, Noticed, record_findings

RULE = "session_count"
EXTRA = "extra_sessions"
_NAMED = 5


def still_missing(connection: psycopg.Connection, partition: Partition, noticed: Noticed) -> Noticed | None:
    """Return what is left of a finding about sessions without bars; None where each of them has bars by now.

    Args:
        connection: to the market database.
        partition: of the bars.
        noticed: by the rule ``session_count``.
    """
    what = "closed session has", "closed sessions have"
    return _without_bars(connection, partition, noticed, lambda count: f"{counted(count, *what)} no bars")


def still_extra(connection: psycopg.Connection, partition: Partition, noticed: Noticed) -> Noticed | None:
    """Return what is left of a finding about bars of days without a session: those that are not in the store.

    Args:
        connection: to the market database.
        partition: of the bars.
        noticed: by the rule ``extra_sessions``.
    """
    where = f"without a session of {partition.calendar}"
    return _without_bars(connection, partition, noticed, lambda count: f"bars of {counted(count, 'day')} {where}")


def _without_bars(
    connection: psycopg.Connection, partition: Partition, noticed: Noticed, describe: Callable[[int], str]
) -> Noticed | None:
    """Return what is left of a finding, without the days of which there are bars; ``describe`` says how many are."""
    days, spans = _sessions(partition, noticed.spans)
    dates = [instant(int(day) * DAY_US).date() for day in days]
    filled = days_with_bars(connection, partition.timeframe, partition.instrument_id, dates)
    if not filled:
        return noticed
    left = [(day, span) for day, span in zip(dates, spans, strict=True) if day not in filled]
    if not left:
        return None
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    _, hint, text = str(noticed.evidence.get("detail", "")).partition("; they wait")
    detail = f"{describe(len(left))}: {', '.join(str(day) for day, _ in left[:_NAMED])}{more}{hint}{text}"
    return Noticed(noticed.rule, [span for _, span in left], {**noticed.evidence, "detail": detail})


def settle_released(connection: psycopg.Connection, partition: Partition) -> None:
    """Close what a release settled of the open findings of its window, in its transaction.

    A session that was missing has bars by now, and so has a day without a session whose bars waited in quarantine.
    """
    for rule, what_is_left in ((RULE, still_missing), (EXTRA, still_extra)):
        owner, window = partition.instrument_id, partition.window
        values = {
            "timeframe": partition.timeframe.value,
            "instrument_id": owner,
            "scope": window.key,
            "rules": [rule],
        }
        found: list[tuple[str, Mapping[str, Any], datetime, datetime]] = connection.execute(
            query("ingest/spans_of_findings"), values
        ).fetchall()
        if found:
            spans = [(microseconds(start), microseconds(end)) for _, _, start, end in found]
            left = what_is_left(connection, partition, Noticed(rule, spans, found[0][1]))
            audited = Audited(owner, window.key, found[0][2], found[-1][3], [left] if left else [])
            record_findings(connection, partition.timeframe, [rule], [audited])


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
