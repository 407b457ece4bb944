"""The windows of bars: a month of minutes or a year of days of one instrument.

Not here: what becomes of them (``lake``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chandlery.timeframe import Timeframe


def window_starts(timeframe: Timeframe, ts: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Return the first day of the window of each moment, ``datetime64[D]``."""
    return ts.astype("datetime64[M]" if timeframe.window_kind == "month" else "datetime64[Y]").astype("datetime64[D]")
