"""What a chart is of, and from when to when. Not here: the chart (``plots``), and its marks (``plot_marks``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import numpy_of
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.grid import Grid
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width
from chandlery.core.windows import DAY_US, instant, midnight
from chandlery.instruments.registry import Instrument
from chandlery.reading.made import Hours


@dataclass(frozen=True, slots=True)
class Plotted:
    """What a chart is of.

    Attributes:
        instrument: whose bars.
        width: of the bars.
        bars: as they are read, oldest first.
        start: where the chart begins, UTC.
        end: where it ends, exclusive.
        as_of: what was known then; None for the present.
        hours: which hours of minutes and hours.
    """

    instrument: Instrument
    width: Width
    bars: pa.Table
    start: datetime
    end: datetime
    as_of: datetime | None
    hours: Hours

    @property
    def base(self) -> Timeframe:
        """The ingested timeframe that the bars follow from."""
        return Timeframe.M1 if self.width.is_intraday else Timeframe.D1

    @property
    def grid(self) -> Grid:
        """Where the bars begin."""
        return Grid(self.width, self.instrument.calendar)

    @property
    def ts(self) -> Int64s:
        """The starts of the bars, µs since 1970-01-01."""
        return numpy_of(self.bars["ts"]).astype("datetime64[us]").astype(np.int64)


@dataclass(frozen=True, slots=True)
class GivenSpan:
    """The range that was asked for, and which of its ends a person gave."""

    first: datetime
    last: datetime
    has_start: bool
    has_end: bool

    def around(self, known: tuple[date, date] | None, bars: pa.Table) -> tuple[datetime, datetime]:
        """Return what is drawn: what was asked for, or what is known where an end was left open.

        Args:
            known: the first and the last session of which anything is known; None where there is none.
            bars: those that were read.
        """
        edges = [microseconds(midnight(day)) for day in known or ()]
        if bars.num_rows:
            ts = numpy_of(bars["ts"]).astype("datetime64[us]").astype(np.int64)
            edges += [int(ts[0]), int(ts[-1])]
        low, high = (min(edges), max(edges) + DAY_US) if edges else (0, DAY_US)
        first = self.first if self.has_start else max(self.first, instant(low))
        last = self.last if self.has_end else min(self.last, instant(high))
        return first, max(last, first)
