"""Times that are numbers: seconds, or milli-, micro- or nanoseconds, since 1970-01-01 UTC.

Not here: what a bar's time means (``times``).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import Int64s
from chandlery.providers.files.unreadable import UnreadableError, flags, refuse

EpochUnit: TypeAlias = Literal["s", "ms", "us", "ns", "excel"]

#: How many of a unit make a second.
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
#: What Excel counts: days since the end of 1899, on a clock that has no zone.
EXCEL = "excel"
_EXCEL_1970 = 25_569
#: Between these lie the days of 1982 to 2119, which are no epoch of this age in any unit.
_EXCEL_DAYS = (30_000, 80_000)
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # in seconds
#: A number that lies between these years in one unit lies outside of them in every other.
_YEAR_1975, _YEAR_2100 = 157_766_400, 4_102_444_800


def from_epoch(times: pa.ChunkedArray, unit: EpochUnit | None) -> Int64s:
    """Return numbers as µs since 1970; their unit is recognised where it is not given.

    Raises:
        UnreadableError: the unit is not recognised, or a time is out of range or finer than a microsecond.
    """
    values = times.to_numpy()
    unit = unit or _find_unit(values)
    if unit is None:
        raise UnreadableError(
            f"the time {times[0]} is a number, and not between 1975 and 2100 in seconds, or in milli-, micro- or"
            f" nanoseconds; say with --epoch-unit (s, ms, us or ns) what it counts since 1970{_maybe_excel(values)}",
            row=0,
        )
    per = PER_SECOND[unit]
    low, high = (max(-(2**63), min(limit * per, 2**63 - 1)) for limit in (_YEAR_1, _YEAR_10000))
    impossible = ~((values >= low) & (values < high))
    why = f"in {unit} is not within the years 1 to 9999; is --epoch-unit right?"
    refuse(flags(impossible), lambda seen: f"the time {seen} {why}", times)
    if values.dtype.kind == "f":
        return np.asarray(np.rint(values * (1_000_000 / per)), np.int64)
    values = values.astype(np.int64)
    if per <= 1_000_000:
        return np.asarray(values * (1_000_000 // per), np.int64)
    finer = values % (per // 1_000_000) != 0
    refuse(flags(finer), lambda seen: f"the time {seen} is finer than a microsecond", times)
    return np.asarray(values // (per // 1_000_000), np.int64)


def from_excel(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return days as Excel counts them as timestamps without a zone, exact to the second as Excel's are.

    Raises:
        UnreadableError: a time is out of range.
    """
    values = times.cast(pa.float64()).to_numpy()
    impossible = ~((values > 60) & (values < 2_958_466))  # before March of 1900, Excel counts a day that was none
    refuse(
        flags(impossible), lambda seen: f"the time {seen} is no day that Excel counts; is --epoch-unit right?", times
    )
    seconds = np.rint((values - _EXCEL_1970) * 86_400).astype(np.int64)
    return pa.chunked_array([pa.array(seconds).cast(pa.timestamp("s"))])


def _maybe_excel(values: npt.NDArray[np.generic]) -> str:
    first, last = _EXCEL_DAYS
    return ", or --epoch-unit excel for the days of Excel" if first <= values.min() and values.max() < last else ""


def _find_unit(values: npt.NDArray[np.generic]) -> EpochUnit | None:
    """Return the only unit in which all values are times of this age; None where there is none."""
    least, most = float(values.min()), float(values.max())
    for unit, per in PER_SECOND.items():
        if least >= _YEAR_1975 * per and most < _YEAR_2100 * per:
            return unit  # type: ignore[return-value]
    return None
