"""Which times findings are about, one by one. Not here: findings as such (``findings``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.quality.findings import State


@dataclass(frozen=True, slots=True)
class FindingSpan:
    """One of the ranges that a finding is about, ``[start, end)``, UTC; the rest as of ``findings.Finding``."""

    finding_id: int
    rule: str
    state: State
    detail: str
    start: datetime
    end: datetime


def finding_spans(
    connection: psycopg.Connection,
    instrument_id: int,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    *,
    as_of: datetime | None = None,
    most: int = 1_000,
) -> list[FindingSpan]:
    """Return the ranges of what was noticed in ``[start, end)``, UTC, and nobody dismissed, by time.

    Args:
        connection: to the market database.
        instrument_id: whose bars.
        timeframe: ``1m`` or ``1d``.
        start: inclusive.
        end: exclusive.
        as_of: only what was noticed by then, in the state that it had then; the present by default.
        most: how many to return at most.
    """
    values = {
        "instrument_id": instrument_id,
        "timeframe": timeframe.value,
        "start": start,
        "end": end,
        "as_of": as_of,
        "most": most,
    }
    with connection.cursor(row_factory=class_row(FindingSpan)) as cursor:
        return cursor.execute(query("quality/spans_of_findings"), values).fetchall()
