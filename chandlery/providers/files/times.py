"""What the times in a file mean, and the error that says which of a file's rows cannot be read.

Not here: the file's other columns (``reader``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.schema import TS
from chandlery.core.timeframe import Timeframe

EpochUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # in seconds

_EPOCH = re.compile(r"[+-]?\d+")
_ZONED = re.compile(r"[T ]\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)")
_FINER_THAN_US = re.compile(r"\.\d{7,}")
_MIDNIGHT = re.compile(r"([T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")


class UnreadableError(Exception):
    """A file cannot be read: why, and where, as far as known.

    Attributes:
        row: number of the row that is wrong, from 0, without blank lines; None where it is not known.
        at: text to put after the file's name: the line, or nothing.
    """

    def __init__(self, why: str, *, row: int | None = None, line: int | None = None) -> None:
        super().__init__(why)
        self.row = row
        self.at = "" if line is None else f", line {line}"


@dataclass(frozen=True, slots=True)
class Times:
    """How a file's times become ``ts``.

    Attributes:
        timeframe: of the bars; a bar of a day is labelled with its local date.
        tz: IANA zone of times that carry none.
        epoch_unit: what integer times count since 1970-01-01 UTC.
    """

    timeframe: Timeframe
    tz: str | None
    epoch_unit: EpochUnit | None

    def csv_type(self, first: str) -> pa.DataType:
        """Return the type as which to read a column of times that begins with ``first``."""
        if _EPOCH.fullmatch(first):
            return pa.int64()
        if not self.timeframe.is_intraday:
            return pa.string()  # the local date is what counts, and an instant has lost it
        unit = "ns" if _FINER_THAN_US.search(first) else "us"
        return pa.timestamp(unit, tz="UTC" if _ZONED.search(first) else None)

    def utc(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return ``ts`` for dates, timestamps, epoch integers or (for days) ISO 8601 text."""
        if not len(times):
            return pa.chunked_array([], TS)
        refuse(pc.is_null(times), lambda _: "the time is blank", times)
        if pa.types.is_string(times.type) and not self.timeframe.is_intraday:
            return _label_text(times)
        if pa.types.is_integer(times.type):
            times = self._from_epoch(times.cast(pa.int64()))
        elif pa.types.is_date(times.type) and not self.timeframe.is_intraday:
            times = times.cast(pa.timestamp("ms"))
        elif not pa.types.is_timestamp(times.type):
            raise UnreadableError(f"a column of type {times.type} does not hold the times of {self.timeframe} bars")
        if not self.timeframe.is_intraday:
            return _label(times)
        per_us = _PER_SECOND[times.type.unit] // 1_000_000 or 1
        finer = pc.not_equal(_remainder(times.cast(pa.int64()), per_us), 0)
        refuse(finer, lambda seen: f"the time {seen} is finer than a microsecond", times)
        return (times if times.type.tz else self._localize(times)).cast(TS)

    def bound(self, moment: int, kind: pa.DataType) -> pa.Scalar | None:
        """Return ``moment`` (µs) as a value of a column of type ``kind``, to filter by; None where it cannot be."""
        seconds = moment // 1_000_000
        if pa.types.is_date(kind):
            return pa.scalar(seconds // _DAY, pa.int32()).cast(pa.date32())
        unit = kind.unit if pa.types.is_timestamp(kind) else self.epoch_unit
        if unit is None:
            return None
        number = int(np.clip(seconds, -(2**63) // _PER_SECOND[unit] + 1, 2**63 // _PER_SECOND[unit] - 1))
        scalar = pa.scalar(number * _PER_SECOND[unit], pa.int64())
        return scalar.cast(kind) if pa.types.is_timestamp(kind) else scalar

    def _from_epoch(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        unit = self.epoch_unit
        if unit is None:
            raise UnreadableError(
                f"the time {times[0]} is a number; say with epoch_unit (s, ms, us or ns) what it counts since 1970",
                row=0,
            )
        per = _PER_SECOND[unit]
        low, high = (max(-(2**63), min(limit * per, 2**63 - 1)) for limit in (_YEAR_1, _YEAR_10000))
        impossible = pc.or_(pc.less(times, low), pc.greater_equal(times, high))
        refuse(
            impossible,
            lambda seen: f"the time {seen} in {unit} is not within the years 1 to 9999; is epoch_unit right?",
            times,
        )
        return times.cast(pa.timestamp(unit, tz="UTC"))

    def _localize(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        if self.tz is None:
            raise UnreadableError(
                f"the time {times[0].as_py()} has no zone; say which with --tz, for example --tz America/New_York",
                row=0,
            )
        earliest = pc.assume_timezone(times, self.tz, ambiguous="earliest", nonexistent="earliest")
        latest = pc.assume_timezone(times, self.tz, ambiguous="latest", nonexistent="latest")
        # A time that was skipped has its neighbours on both sides, one tick apart; one that came twice, an hour.
        gap = pc.subtract(latest.cast(pa.int64()), earliest.cast(pa.int64()))
        skipped, twice = pc.equal(gap, 1), pc.greater(gap, 1)
        refuse(skipped, lambda seen: f"the time {seen} does not exist in {self.tz}: the clocks skipped it", times)
        refuse(twice, lambda seen: f"the time {seen} came twice in {self.tz}: write its offset from UTC", times)
        return earliest


def _label(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the local dates, as 00:00 UTC, of timestamps that must be midnight in their own zone."""
    local = pc.local_timestamp(times) if times.type.tz else times
    since_midnight = _remainder(local.cast(pa.int64()), _DAY * _PER_SECOND[times.type.unit])
    refuse(pc.not_equal(since_midnight, 0), _not_a_day, times)
    return local.cast(pa.timestamp("us")).cast(TS)


def _label_text(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the dates, as 00:00 UTC, of ISO 8601 dates or local midnights."""
    clock = pc.utf8_slice_codeunits(times, 10)
    intraday = [text for text in pc.unique(clock).to_pylist() if not _MIDNIGHT.fullmatch(text)]
    refuse(pc.is_in(clock, value_set=pa.array(intraday, pa.string())), _not_a_day, times)
    days = pc.utf8_slice_codeunits(times, 0, 10)
    try:
        return days.cast(pa.date32()).cast(pa.timestamp("us")).cast(TS)
    except pa.ArrowInvalid:
        refuse(pa.array(not reads_as(day, pa.date32()) for day in days.to_pylist()), _not_a_day, times)
        raise


def _not_a_day(seen: object) -> str:
    return (
        f"the time {seen} is neither a session date (2024-01-31) nor midnight in its own zone, as a bar of a day needs"
    )


def _remainder(numbers: pa.ChunkedArray, divisor: int) -> pa.ChunkedArray:
    return pc.subtract(numbers, pc.multiply(pc.divide(numbers, divisor), divisor))


def refuse(bad: pa.ChunkedArray, why: Callable[[object], str], values: pa.ChunkedArray) -> None:
    """Raise for the first row that is ``bad``, if any; ``why`` turns its value into the reason."""
    row = pc.index(bad, pa.scalar(value=True)).as_py()
    if row >= 0:
        raise UnreadableError(why(values[row].as_py()), row=row)


def reads_as(text: str, kind: pa.DataType) -> bool:
    """Whether Arrow reads ``text`` as a value of type ``kind``."""
    try:
        pa.scalar(text).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
