"""How far files reach, and the strays beyond: bars that are yet to come, and a few lone ones long before the others.

A wrong year would otherwise turn the time between into sessions of which the files lack bars. Strays are served with
the bars nearest to them, so that the gate says what is wrong with each, and they wait in quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, instant
from chandlery.providers.files.account import LAST, between
from chandlery.providers.files.bars import stamps_of

#: So many bars may be strays before the others, where there are ten times as many of those.
_FEW = 3
_OTHERS = 10
#: They lie at least so long before the next bar, µs.
_LONG = 5 * 365 * DAY_US


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the files of a symbol reach.

    Attributes:
        first: start of the first bar that is no stray, µs since the epoch.
        last: start of the last one.
        early: the strays before it.
        late: those after it.
    """

    first: int
    last: int
    early: pa.Table = field(repr=False)
    late: pa.Table = field(repr=False)

    def serve(self, bars: pa.Table, start: int, end: int) -> pa.Table:
        """Return those of ``bars`` that start in ``[start, end)``, µs, and the strays beyond an end that lies there."""
        early = self.early if start <= self.first < end else between(self.early, start, end)
        late = self.late if start <= self.last < end else between(self.late, start, end)
        proper = between(bars, max(start, self.first), min(end, self.last + 1))
        return pa.concat_tables([early, proper, late]) if early.num_rows or late.num_rows else proper


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the files of a symbol for as long as they stay as they are.

    Attributes:
        state: path, time of the last change and size of each.
        extents: half-open, UTC, from the first bar of each file to its last.
        reach: how far they reach, with all of their strays.
    """

    state: Sequence[tuple[Path, int, int]]
    extents: Sequence[tuple[datetime, datetime]]
    reach: Reach


def span_of(bars: pa.Table, timeframe: Timeframe) -> tuple[datetime, datetime]:
    """Return ``[first bar's start, last bar's end)`` in UTC, without strays, of all that the files of a symbol hold."""
    reach = reach_of(bars)
    return instant(reach.first), instant(min(reach.last + timeframe.microseconds, microseconds(LAST)))


def reach_of(bars: pa.Table) -> Reach:
    """Return how far ``bars``, all that the files of a symbol hold, reach, as seen from now.

    All of them reach so far where every one is yet to come.

    Args:
        bars: at least one, in the order of time.
    """
    ts = stamps_of(bars)
    stop = int(np.searchsorted(ts, microseconds(datetime.now(UTC)), side="right")) or len(ts)
    pauses = np.flatnonzero(np.diff(ts[: min(stop, _FEW + 1)]) >= _LONG)
    first = int(pauses[-1]) + 1 if len(pauses) else 0
    if stop - first < _OTHERS * first:
        first = 0
    return Reach(int(ts[first]), int(ts[stop - 1]), _copied(bars.slice(0, first)), _copied(bars.slice(stop)))


def _copied(bars: pa.Table) -> pa.Table:
    """Return a slice of bars by itself, so that to keep it does not keep them all."""
    return bars.take(np.arange(bars.num_rows))
