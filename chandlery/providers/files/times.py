"""What the times in a file mean.

Not here: how times are written (``dates``), and the file's other columns (``numbers``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import available_timezones

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.calendars import Int64s, get_calendar
from chandlery.core.schema import TS
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.providers.files.dates import (
    AmbiguousDatesError,
    is_compact,
    is_iso,
    read_text,
    without_weeks,
    without_zone,
)
from chandlery.providers.files.epochs import EXCEL, PER_SECOND, EpochUnit, from_epoch, from_excel
from chandlery.providers.files.unreadable import UnreadableError, flags, refuse

_DAY = 86_400
_MINUTE = 60_000_000
_EPOCH = re.compile(r"[+-]?\d+")
_DECIMAL_EPOCH = re.compile(r"[+-]?\d+\.\d*")
_EXPONENT = re.compile(r"[+-]?\d+([.,]\d+)?[eE][+-]?\d+")
_ZONED = re.compile(r"[T ]\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)")
_FINER_THAN_US = re.compile(r"\.\d{7,}")


@dataclass(frozen=True, slots=True)
class Times:
    """How a file's times become ``ts``.

    Attributes:
        timeframe: of the bars; a bar of a day is labelled with its session's date.
        tz: IANA zone of times that carry none.
        epoch_unit: what times that are numbers count since 1970-01-01 UTC; recognised by default.
        date_format: how times are written, as ``strptime`` has it; recognised by default.
        label: whether a bar's time is its start or its end.
        calendar: name of the instrument's calendar, to find the session of an instant; None where it is not known.
    """

    timeframe: Timeframe
    tz: str | None = None
    epoch_unit: EpochUnit | None = None
    date_format: str | None = None
    label: Literal["start", "end"] = "start"
    calendar: str | None = None

    def csv_type(self, first: str) -> pa.DataType:
        """Return the type as which to read a column of times that begins with ``first``."""
        if self.date_format is None and self.timeframe.is_intraday:
            if _EPOCH.fullmatch(first) and not self._is_compact(first):
                return pa.int64()
            if is_iso(first):
                unit = "ns" if _FINER_THAN_US.search(first) else "us"
                return pa.timestamp(unit, tz="UTC" if _ZONED.search(first) else None)
        return pa.string()  # of a day the local date is what counts, and an instant has lost it

    def utc(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return ``ts`` for dates, timestamps, numbers or text."""
        if not len(times):
            return pa.chunked_array([], TS)
        refuse(pc.is_null(times), lambda _: "the time is blank", times)
        if pa.types.is_decimal(times.type):
            times = times.cast(pa.float64() if times.type.scale else pa.int64())
        if pa.types.is_floating(times.type) or pa.types.is_integer(times.type):
            return self._of_numbers(times)
        if pa.types.is_string(times.type):
            return self._of_text(times)
        if pa.types.is_date(times.type):
            if self.timeframe.is_intraday:
                raise UnreadableError(f"dates without a time of day ({times.type}) are not the times of minute bars")
            return self._days(microseconds_of(times.cast(pa.timestamp("us"))), None, times)
        if not pa.types.is_timestamp(times.type):
            raise UnreadableError(f"a column of type {times.type} does not hold the times of {self.timeframe} bars")
        return self._of_timestamps(times)

    def bound(self, moment: int, kind: pa.DataType) -> pa.Scalar | None:
        """Return ``moment`` (µs) as a value of a column of type ``kind``, to filter by; None where it cannot be."""
        seconds = moment // 1_000_000
        if pa.types.is_date(kind):
            return pa.scalar(seconds // _DAY, pa.int32()).cast(pa.date32())
        unit = kind.unit if pa.types.is_timestamp(kind) else self.epoch_unit if pa.types.is_int64(kind) else None
        if unit is None or unit == EXCEL:
            return None
        number = int(np.clip(seconds, -(2**63) // PER_SECOND[unit] + 1, 2**63 // PER_SECOND[unit] - 1))
        scalar = pa.scalar(number * PER_SECOND[unit], pa.int64())
        return scalar.cast(kind) if pa.types.is_timestamp(kind) else scalar

    def _is_compact(self, text: str) -> bool:
        return self.epoch_unit is None and is_compact(text)

    def _of_numbers(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        if pa.types.is_floating(times.type) and self._is_compact(f"{times[0].as_py():.0f}"):
            times = times.cast(pa.int64())  # of 20240131.0, as pandas writes it where a value was missing
        if pa.types.is_integer(times.type) and self._is_compact(str(times[0])):
            return self._of_text(times.cast(pa.string()))
        if self.epoch_unit == EXCEL:
            return self._of_timestamps(from_excel(times))
        return self._of_instants(from_epoch(times, self.epoch_unit), times)

    def _of_timestamps(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        per_us = PER_SECOND[times.type.unit] // 1_000_000 or 1
        finer = pc.not_equal(_remainder(times.cast(pa.int64()), per_us), 0)
        refuse(finer, lambda seen: f"the time {seen} is finer than a microsecond", times)
        if self.timeframe.is_intraday:
            return self._bars_start(microseconds_of(times if times.type.tz else self._localize(times)))
        local = microseconds_of(pc.local_timestamp(times)) if times.type.tz else microseconds_of(times)
        return self._days(local, microseconds_of(times) if times.type.tz else None, times)

    def _of_text(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        times, zone = without_zone(without_weeks(times))
        if zone:
            return replace(self, tz=self._zone(zone, times[0].as_py())).utc(times)
        first = times[0].as_py().strip()
        if re.fullmatch(r"[+-]?\d{9,},\d+", first):
            times, first = pc.replace_substring(times, ",", "."), first.replace(",", ".")
        if self.date_format is None and not self._is_compact(first):
            for pattern, kind in ((_EPOCH, pa.int64()), (_DECIMAL_EPOCH, pa.float64())):
                if pattern.fullmatch(first):
                    wrong = pc.invert(pc.match_substring_regex(times, r"^\s*[+-]?\d{1,19}(\.\d*)?\s*$"))
                    refuse(wrong, lambda seen: f"the time {seen!r} is not a number, as the first row's is", times)
                    whole = pc.all(pc.match_substring_regex(times, r"^\s*[+-]?\d+\s*$")).as_py()
                    return self._of_numbers(pc.utf8_trim_whitespace(times).cast(kind if whole else pa.float64()))
        try:
            read = read_text(times, self.date_format)
        except AmbiguousDatesError as error:
            raise UnreadableError(_ask_for_format(first, error.orders), row=0) from None
        if read is None:
            raise UnreadableError(self._strange(first), row=0)
        if not self.timeframe.is_intraday:
            late = read.late if self.label == "start" else np.zeros_like(read.late)
            refuse(flags(read.wrong | late), _not_a_day, times)
            instants = read.local - read.offset * 60_000_000
            return self._days(read.local, instants, times, naive=~read.zoned)
        zoned = bool(read.zoned[0])
        wrong = read.wrong | (read.zoned != zoned)
        what = "an ISO 8601 time" if is_iso(first) else "a time"
        zone = "with a zone" if zoned else "without a zone"
        refuse(flags(wrong), lambda seen: f"the time {seen!r} is not {what} {zone}, as the first row's is", times)
        refuse(flags(read.finer), lambda seen: f"the time {seen} is finer than a microsecond", times)
        if zoned:
            return self._bars_start(read.local - read.offset * 60_000_000)
        local = pa.chunked_array([pa.array(read.local).cast(pa.timestamp("us"))])
        return self._bars_start(microseconds_of(self._localize(local)))

    def _zone(self, name: str, first: str) -> str:
        """Return the zone of times that name one; the given one where a short name may mean several."""
        zone = name if "/" in name and name in available_timezones() else self.tz
        if zone is None:
            raise UnreadableError(
                f"the time '{first} {name}' names a zone that may be several; say which with --tz, for example"
                " --tz America/New_York",
                row=0,
            )
        return zone

    def _strange(self, first: str) -> str:
        if self.date_format is not None:
            return f"the time {first!r} is not written as --date-format {self.date_format!r} says"
        if _EXPONENT.fullmatch(first):
            return f"the time {first!r} has an exponent, so that digits may be lost; write times as whole numbers"
        text = f"the time {first!r} is not written in a way that is known"
        if not self.timeframe.is_intraday:
            text = f"the time {first!r} is neither a session date (2024-01-31) nor one in another way that is known"
        return f'{text}; say how with --date-format, as in --date-format "%d/%m/%Y %H:%M"'

    def _of_instants(self, instants: Int64s, times: pa.ChunkedArray) -> pa.ChunkedArray:
        return self._bars_start(instants) if self.timeframe.is_intraday else self._days(instants, instants, times)

    def _bars_start(self, instants: Int64s) -> pa.ChunkedArray:
        """Return the starts of intraday bars."""
        starts = instants - self.timeframe.microseconds if self.label == "end" else instants
        return pa.chunked_array([pa.array(starts).cast(TS)])

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

    def _days(
        self,
        local: Int64s,
        instants: Int64s | None,
        times: pa.ChunkedArray,
        naive: npt.NDArray[np.bool_] | None = None,
    ) -> pa.ChunkedArray:
        """Return the labels of bars of days, from the clock that they show and, where known, their instants.

        A midnight is its own date. Any other instant is its session's, where the calendar is known.
        """
        if self.label == "end":
            local = local - 1
            instants = None if instants is None else instants - 1
            local = np.where((local + 1) % DAY_US == 0, local // DAY_US * DAY_US, local)
        days, rest = np.divmod(local, DAY_US)
        odd = rest != 0
        if not odd.any():
            return pa.chunked_array([pa.array(days * DAY_US).cast(TS)])
        bare = np.ones(len(local), bool) if instants is None else np.zeros(len(local), bool) if naive is None else naive
        instants = local if instants is None else instants
        if self.tz is not None and (odd & bare).any():
            walls = pa.chunked_array([pa.array(local[odd & bare]).cast(pa.timestamp("us"))])
            instants = instants.copy()
            instants[odd & bare] = microseconds_of(self._localize(walls))
            bare = np.zeros(len(local), bool)
        hint = "" if not bare.any() else "; with --tz it is taken for the session of that instant"
        refuse(flags(odd & bare), lambda seen: f"{_not_a_day(seen)}{hint}", times)
        found = self._sessions(instants)
        refuse(flags(odd & (found < 0)), _not_a_day, times)
        days = np.where(odd, found, days)
        crowded = np.zeros(len(days), bool)
        crowded[1:] = odd[1:] & (days[1:] == days[:-1]) & (instants[1:] != instants[:-1])
        refuse(
            flags(crowded),
            lambda seen: (
                f"the time {seen} is in the same session as the one before: this file holds no bars of a day;"
                " bars of a minute are read from a folder bars_1m, with --timeframe 1m"
            ),
            times,
        )
        return pa.chunked_array([pa.array(days * DAY_US).cast(TS)])

    def _sessions(self, instants: Int64s) -> Int64s:
        """Return the date of each instant's session, days since 1970; -1 where none is certain."""
        if self.calendar is None:
            return np.full(len(instants), -1, np.int64)
        calendar = get_calendar(self.calendar)
        at, inside = calendar.session_of(instants)
        inside = inside | (instants == calendar.closes[at])
        if calendar.always_open:  # any instant is in some session, but only a bar that begins with it is its bar
            inside = instants == calendar.opens[at]
            if self.label == "end":
                inside = calendar.closes[at] - instants <= _MINUTE
        # A vendor's day may begin at midnight of the exchange.
        utc = pa.array(instants).cast(pa.timestamp("us", tz=calendar.timezone))
        days, rest = np.divmod(pc.local_timestamp(utc).cast(pa.int64()).to_numpy(), DAY_US)
        return np.asarray(np.where(inside, calendar.sessions[at], np.where(rest == 0, days, -1)), np.int64)


def _ask_for_format(seen: str, orders: Sequence[str]) -> str:
    year = "%Y" if re.search(r"\d{4}", seen) else "%y"
    separator = (re.search(r"\d([-./ ])", seen) or ["", "/"])[1]
    forms = (separator.join(year if part == "y" else f"%{part}" for part in order) for order in orders)
    either = " or ".join(f'--date-format "{form}"' for form in forms)
    what = "does not tell its day from its month"
    if "ymd" in orders:
        what = "does not tell its day and its month from its year"
    return f"the time {seen!r} {what}, nor does any other row; say {either}"


def _not_a_day(seen: object) -> str:
    return (
        f"the time {seen} is neither a session date (2024-01-31) nor midnight in its own zone, as a bar of a day needs"
    )


def microseconds_of(times: pa.ChunkedArray) -> Int64s:
    """Return timestamps of any unit as µs since the epoch."""
    whole = times.cast(pa.timestamp("us", tz=times.type.tz), safe=False) if times.type.unit != "us" else times
    return np.asarray(whole.cast(pa.int64()).to_numpy(), np.int64)


def _remainder(numbers: pa.ChunkedArray, divisor: int) -> pa.ChunkedArray:
    return pc.subtract(numbers, pc.multiply(pc.divide(numbers, divisor), divisor))
