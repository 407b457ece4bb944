"""The periods of bars of a day and wider: which day, week or month a day belongs to, and where that ends.

Not here: the windows in which bars are kept (``windows``).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.core.timeframe import Timeframe

Days: TypeAlias = npt.NDArray[np.datetime64]
Ids: TypeAlias = npt.NDArray[np.int64]


def period_of(timeframe: Timeframe, days: Days) -> Days:
    """Return the first day of the period (day, week from Monday, or month) that is derived together with each day."""
    if timeframe is Timeframe.W1:  # 1970-01-01 was a Thursday
        weekday = (days.astype(np.int64) + 3) % 7
        return np.asarray(days - weekday.astype("timedelta64[D]"))
    if timeframe is Timeframe.MO1:
        return days.astype("datetime64[M]").astype("datetime64[D]")
    return days


def period_end(timeframe: Timeframe, periods: Days) -> Days:
    """Return the first day after each period."""
    if timeframe is Timeframe.MO1:
        return (periods.astype("datetime64[M]") + 1).astype("datetime64[D]")
    return periods + np.timedelta64(7 if timeframe is Timeframe.W1 else 1, "D")
