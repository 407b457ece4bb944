"""What was known at a moment: the one rule by which bars are let into a frame.

Not here: what a frame is (``frame``), and reading (``api``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.grid import Grid
from chandlery.core.windows import instant
from chandlery.reading.made import of_each

Knowledge: TypeAlias = Literal["as_learned", "as_published"]
KNOWLEDGES = ("auto", "as_learned", "as_published")


@dataclass(frozen=True, slots=True)
class View:
    """From when bars are looked at.

    Attributes:
        moment: nothing that was not known then is let in; UTC.
        knowledge: ``as_learned``: a bar is known since it ended and its values were learned here. ``as_published``:
            since it ended and ``latency`` had passed, whenever it was learned here, because history was loaded later.
        latency: how long after its end a bar is published.
    """

    moment: datetime
    knowledge: Knowledge
    latency: timedelta = timedelta()

    def available_at(self, bars: pa.Table, grids: dict[int, Grid]) -> Int64s:
        """Return since when each of ``bars`` is known, µs since 1970-01-01.

        Args:
            bars: with ``instrument_id``, ``ts`` and ``known_at``, sorted by instrument.
            grids: where bars end, by instrument.
        """
        ends = np.empty(bars.num_rows, np.int64)
        for owner, part, ts in of_each(bars):
            ends[part] = grids[owner].ends(ts)
        if self.knowledge == "as_published":
            return np.asarray(ends + self.latency // timedelta(microseconds=1))
        return np.maximum(ends, numpy_of(bars["known_at"]).view(np.int64))

    def known(self, bars: pa.Table, grids: dict[int, Grid]) -> pa.Table:
        """Return those of ``bars`` that were known at ``moment``. Everything that is in a frame passes here."""
        known = self.available_at(bars, grids) <= microseconds(self.moment)
        return bars if known.all() else bars.filter(number_array(known))

    def latest(self, bars: pa.Table, grids: dict[int, Grid]) -> datetime | None:
        """Return since when all of ``bars`` are known; None where there are none."""
        return instant(int(self.available_at(bars, grids).max())) if bars.num_rows else None
