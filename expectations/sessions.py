"""Sessions as spans of time: which session a bar is labelled with, and which sessions a partition must have.

Not here: the calendar itself (``chandlery.calendars``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from chandlery.core import listing
from chandlery.core.calendars import Int64s, get_calendar, microseconds
from chandlery.core.partition import Partition
from chandlery.core.windows import DAY_US


@dataclass(frozen=True, slots=True)
class Expected:
    """The sessions of which a partition must have bars.

    Attributes:
        days: their dates, days since 1970-01-01.
        edges: one more than ``days``: session ``i`` labels the bars that start in ``[edges[i], edges[i + 1])``.
        starts: when each begins, µs since the epoch: its open, or, of bars of a day, 00:00 UTC of its date.
        ends: when each ends, likewise, exclusive.
    """

    days: Int64s
    edges: Int64s
    starts: Int64s
    ends: Int64s


def expected_sessions(partition: Partition, now: datetime) -> Expected:
    """Return the sessions in the requested range that have closed by ``now``, while the instrument was listed."""
    calendar = get_calendar(partition.calendar)
    end = max(partition.start, min(partition.end, now))
    within = calendar.overlapping if partition.timeframe.is_intraday else calendar.between
    span = within(partition.start, end)
    listed, delisted = listing.listed_sessions(calendar, partition.listed, partition.delisted)
    begin = max(span.start, listed)
    stop = max(begin, min(span.stop, delisted, int(np.searchsorted(calendar.closes, microseconds(now), side="right"))))
    edges = listing.session_edges(partition.calendar, intraday=partition.timeframe.is_intraday)
    days = calendar.sessions[begin:stop]
    starts, ends = days * DAY_US, (days + 1) * DAY_US
    if partition.timeframe.is_intraday:
        starts, ends = calendar.opens[begin:stop], calendar.closes[begin:stop]
    return Expected(days, edges[begin : stop + 1], starts, ends)


def listed_span(partition: Partition) -> tuple[int, int]:
    """Return the span, µs since the epoch, of bars of sessions on which a partition's instrument was listed."""
    return listing.listed_span(partition.calendar, partition.timeframe, partition.listed, partition.delisted)
