"""How far files reach, and the strays beyond: bars that are yet to come, and a few lone ones long before the others.

A wrong year would otherwise turn the time between into sessions of which the files lack bars. Strays are served with
the bars nearest to them, so that the gate says what is wrong with each, and they wait in quarantine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, instant
from chandlery.providers.files.account import LAST, Account, between
from chandlery.providers.files.bars import stamps_of
from chandlery.providers.files.reader import is_parquet

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


class Reaches:
    """How far the files of each symbol reach, as seen from now.

    Args:
        account: returns all that the files of a symbol hold, of a timeframe.
    """

    def __init__(self, account: Callable[[str, Timeframe], Account]) -> None:
        self._account = account
        self._known: dict[tuple[str, Timeframe], Reach] = {}

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime]:
        """Return ``[first bar's start, last bar's end)`` in UTC, without strays."""
        reach = reach_of(self._account(symbol, timeframe).bars, _now())
        return instant(reach.first), instant(min(reach.last + timeframe.microseconds, microseconds(LAST)))

    def serve(self, account: Account, symbol: str, timeframe: Timeframe, start: int, end: int) -> pa.Table:
        """Return what a request for ``[start, end)``, µs, gets of an account; of Parquet it may be of a part."""
        if not any(map(is_parquet, account.files)):
            return reach_of(account.bars, _now()).serve(account.bars, start, end) if len(account.bars) else account.bars
        key = symbol, timeframe
        if key not in self._known:
            self._known[key] = reach_of(self._account(symbol, timeframe).bars, _now())
        return self._known[key].serve(account.bars, start, end)


def reach_of(bars: pa.Table, now: int) -> Reach:
    """Return how far ``bars`` reach; all of them where every one is yet to come.

    Args:
        bars: all that the files hold, at least one, in the order of time.
        now: the present, µs since the epoch.
    """
    ts = stamps_of(bars)
    stop = int(np.searchsorted(ts, now, side="right")) or len(ts)
    pauses = np.flatnonzero(np.diff(ts[: min(stop, _FEW + 1)]) >= _LONG)
    first = int(pauses[-1]) + 1 if len(pauses) else 0
    if stop - first < _OTHERS * first:
        first = 0
    return Reach(int(ts[first]), int(ts[stop - 1]), bars.slice(0, first), bars.slice(stop))


def _now() -> int:
    return microseconds(datetime.now(UTC))
