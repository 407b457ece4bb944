"""Times that are written as text: which notation a column has, and what it says.

A notation is recognised by its first cell, and day and month are told apart by all of them; where both readings remain,
that is asked. Not here: zones, epochs and what a bar's time means (``times``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.arrow import text_array
from chandlery.core.calendars import Int64s
from chandlery.providers.files.unreadable import UnreadableError

_CLOCK = (
    r"(?:[T, ]\s*(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?:\s?(?P<p>[AaPp])\.?[Mm]\.?)?)?"
)
_COMPACT_CLOCK = r"(?:(?:T| {1,2})?(?P<H>\d{2}):?(?P<M>\d{2})(?::?(?P<S>\d{2})(?:\.(?P<f>\d{1,9}))?)?)?"
_ZONE = r"\s*(?P<z>Z|z|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?|UTC|GMT)?"
_MONTH = r"(?P<mon>[A-Za-z]{3})[a-z]*\.?"
_YEAR = r"(?P<y>\d{4}|\d{2})"

_ISO = r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"
_DAY_MONTH = r"(?P<a>\d{1,2})[-./ ](?P<b>\d{1,2})[-./ ](?P<y>\d{4})"
_SHORT_YEAR = r"(?P<a>\d{1,2})[-./](?P<b>\d{1,2})[-./](?P<c>\d{2})"
_NOTATIONS = (
    _ISO + _CLOCK,
    r"(?P<y>\d{4})[-./](?P<m>\d{1,2})[-./](?P<d>\d{1,2})" + _CLOCK,
    r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})" + _COMPACT_CLOCK,
    r"(?P<y>\d{4})\. (?P<m>\d{1,2})\. (?P<d>\d{1,2})\.?" + _CLOCK,
    r"(?P<y>\d{4})年\s?(?P<m>\d{1,2})月\s?(?P<d>\d{1,2})日" + _CLOCK,
    _DAY_MONTH + _CLOCK,
    _SHORT_YEAR + _CLOCK,
    r"(?:[A-Za-z]{3},? )?" + _MONTH + r"[- ](?P<d>\d{1,2}),?[- ]" + _YEAR + _CLOCK,
    r"(?P<d>\d{1,2})\.?[- ]?" + _MONTH + r",?[- ]?" + _YEAR + _CLOCK,
)
_DIRECTIVES = {
    "Y": r"(?P<y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "b": _MONTH,
    "B": _MONTH,
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "z": r"(?P<z>Z|z|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?|UTC|GMT)",
    "%": "%",
}
_MONTHS = text_array(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
_COMPACT = re.compile(
    r"(1[89]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])((([01]\d|2[0-3])[0-5]\d([0-5]\d)?)|2400(00)?)?"
)
#: A zone's name after a time: of the IANA, or a short one, of which there are several.
_NAMED = re.compile(
    r"(?:\d|[AaPp]\.?[Mm]\.?)\s+([A-Z][A-Za-z]+(?:/[A-Za-z_+-]+\d*)+|[ECMP][SD]?T|CES?T|EES?T|WES?T|BST|MSK|JST|KST|HKT|SGT|IST|AE[SD]T)$"
)
_BRACKETED = re.compile(r"\s*\[([A-Za-z/_+-]+\d*)\]$")
#: A week, or a day of a week, as ISO 8601 writes them.
_WEEK = re.compile(r"(\d{4})-?W(\d{2})(?:-?([1-7]))?")
_PIVOT = 69  # as in strptime: 69 is 1969, 68 is 2068


class AmbiguousDatesError(Exception):
    """Nothing in a column tells which of several ``orders`` it has: ``dmy``, ``mdy``, ``ymd``."""

    def __init__(self, orders: Sequence[str]) -> None:
        super().__init__(orders)
        self.orders = orders


@dataclass(frozen=True, slots=True)
class WallTimes:
    """Times as they are written.

    Attributes:
        local: µs since 1970-01-01 on the clock that they show.
        offset: minutes by which that clock is ahead of UTC; only where ``zoned``.
        zoned: which carry their offset from UTC.
        wrong: which cannot be read.
        finer: which are finer than a microsecond.
        late: which are the end of their day, ``24:00``: the midnight that follows.
    """

    local: Int64s
    offset: Int64s
    zoned: npt.NDArray[np.bool_]
    wrong: npt.NDArray[np.bool_]
    finer: npt.NDArray[np.bool_]
    late: npt.NDArray[np.bool_]


def is_compact(text: str) -> bool:
    """Whether digits are a date, and maybe a time of day, without separators: ``20240131``, ``202401310930``."""
    return _COMPACT.fullmatch(text) is not None


def is_iso(text: str) -> bool:
    """Whether a text begins like an ISO 8601 date."""
    return re.match(r"\d{4}-\d{2}-\d{2}(?!\d)", text) is not None


def looks_like_time(text: str) -> bool:
    """Whether a cell is a time in any notation that is recognised."""
    return _notation(text) is not None


def without_zone(times: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Return times without the zone that is named after all of them, and its name: ``EST``, ``US/Eastern``."""
    first = times[0].as_py().rstrip()
    bracket = _BRACKETED.search(first)
    if bracket is not None:  # as Java writes it, after an offset or without one
        times = pc.replace_substring_regex(times, r"\s*\[[A-Za-z/_+-]+\d*\]\s*$", "")
        zone = "Etc/UTC" if bracket[1] in {"UTC", "GMT", "Z"} else bracket[1]
        return times, "" if re.search(r":\d\d\S*(Z|[+-]\d\d:?\d\d)$", first[: bracket.start()]) else zone
    found = _NAMED.search(first)
    if found is None:
        return times, ""
    named = re.escape(found[1]) if "/" in found[1] else "[A-Z]{2,4}"
    return pc.replace_substring_regex(times, rf"\s+{named}\s*$", ""), found[1]


def without_weeks(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times with plain dates in the place of ISO week dates: ``2024-01-29`` for ``2024-W05-1``.

    Raises:
        UnreadableError: the first is a whole week.
    """
    first = _WEEK.fullmatch(str(times[0].as_py()).strip())
    if first is None:
        return times
    if first[3] is None:
        raise UnreadableError(
            f"the time {first[0]!r} is a week; only 1m and 1d are ingested, and weeks are made of the days: get the"
            " file of days",
            row=0,
        )
    return pa.chunked_array([pa.array([_day_of_week(text) for text in times.to_pylist()], pa.string())])


def _day_of_week(text: str) -> str:
    """Return the date of an ISO week date; any other text as it is."""
    found = _WEEK.fullmatch(text.strip())
    try:
        return f"{date.fromisocalendar(*map(int, found.groups()))}" if found and found[3] else text
    except ValueError:
        return text


def padded(clocks: pa.Array) -> pa.Array:
    """Return times of day written as digits with the zeros before them that they lack: ``930``, and ``0`` for midnight.

    The longest tells hours and minutes from hours, minutes and seconds.
    """
    digits = pc.match_substring_regex(clocks, r"^\d{1,6}(\.0)?$")
    numbers = pc.if_else(digits, pc.replace_substring_regex(clocks, r"\.0$", ""), None)
    longest = pc.max(pc.utf8_length(numbers)).as_py() or 0
    return pc.coalesce(pc.utf8_lpad(numbers, 4 if longest <= 4 else 6, "0"), clocks)


def check_format(value: str) -> str:
    """Return a format of times, as ``strptime`` has them, where it is one that can be read.

    Raises:
        ValueError: it is not, and what is allowed.
    """
    for directive in re.findall(r"%(.?)", value.replace("%%", "")):
        if directive not in _DIRECTIVES:
            allowed = " ".join(f"%{letter}" for letter in _DIRECTIVES)
            raise ValueError(f"%{directive} in {value!r} is not known; allowed: {allowed}")
    if not all(re.search(part, value) for part in ("%[yY]", "%[mbB]", "%d")):
        raise ValueError(f"{value!r} lacks the year, the month or the day; write one like %d/%m/%Y or %Y-%m-%d %H:%M")
    return value


def read_text(times: pa.ChunkedArray, date_format: str | None) -> WallTimes | None:
    """Return what a column of text says, by the notation of its first cell or by ``date_format``.

    None is returned where the notation is not known.

    Raises:
        AmbiguousDatesError: day and month cannot be told apart.
    """
    notation = _from_format(date_format) if date_format else _notation(times[0].as_py())
    if notation is None:
        return None
    parts = pc.extract_regex(pc.utf8_trim_whitespace(times), f"^{notation}{'' if '<z>' in notation else _ZONE}$")
    parts = parts.combine_chunks()
    wrong = np.asarray(pc.is_null(parts).to_numpy(zero_copy_only=False))
    given = {field.name: pc.struct_field(parts, field.name) for field in parts.type}
    if "a" in given:
        parts = [given.pop(name) for name in "abc" if name in given]
        given |= dict(zip(_order(parts), parts, strict=False))
    return _assemble(given, wrong)


def _notation(text: str) -> str | None:
    """Return the pattern of the notation of ``text``; None where there is none."""
    return next((n for n in _NOTATIONS if re.fullmatch(n + _ZONE, text.strip())), None)


def _from_format(date_format: str) -> str:
    """Return the pattern of a format; a time of day may follow one of a date."""
    pieces = re.split(r"%(.)", date_format)
    pattern = "".join(_DIRECTIVES[piece] if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
    return pattern if "<H>" in pattern else pattern + _CLOCK


def _order(parts: Sequence[pa.Array]) -> str:
    """Return the order of day, month and year: of two columns of numbers, or of three where the year is short.

    A short year is the one that changes least. ``dmy`` is returned where no order fits: what it does not read is named.

    Raises:
        AmbiguousDatesError: several fit.
    """
    numbers = [_number(part) for part in parts]
    most = [pc.max(part).as_py() or 0 for part in numbers]
    fits = [order for order, day, month in (("dmy", 0, 1), ("mdy", 1, 0)) if most[day] <= 31 and most[month] <= 12]
    if len(parts) == 3 and most[1] <= 12 and most[2] <= 31 and pc.min(numbers[2]).as_py():
        first, last = (pc.count_distinct(numbers[place]).as_py() for place in (0, 2))
        if first == last:  # no bar is of a year that is yet to come
            this = datetime.now(UTC).year % 100
            first, last = (int(this < most[place] < _PIVOT) for place in (0, 2))
        fits = ["ymd"] if first < last or not fits else fits if last < first else [*fits, "ymd"]
    if len(fits) > 1:
        raise AmbiguousDatesError(fits)
    return fits[0] if fits else "dmy"


def _number(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), "0", text).cast(pa.int64())


def _numbers(given: dict[str, pa.Array], name: str, length: int) -> Int64s:
    if name not in given:
        return np.zeros(length, np.int64)
    return np.asarray(pc.fill_null(_number(given[name]), 0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _assemble(given: dict[str, pa.Array], wrong: npt.NDArray[np.bool_]) -> WallTimes:
    length = len(wrong)
    year, day = _numbers(given, "y", length), _numbers(given, "d", length)
    year = np.where(year < 100, year + np.where(year < _PIVOT, 2000, 1900), year)
    if "mon" in given:
        found = pc.index_in(pc.utf8_lower(given["mon"]), value_set=_MONTHS)
        month = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64) + 1
    else:
        month = _numbers(given, "m", length)
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    dates = first + (day - 1)
    wrong = wrong | (month < 1) | (month > 12) | (day < 1) | (dates.astype("datetime64[M]").astype(np.int64) != months)
    hour, minute, second = (_numbers(given, name, length) for name in "HMS")
    if "p" in given:
        half = np.asarray(pc.fill_null(pc.utf8_lower(given["p"]), "").to_numpy(zero_copy_only=False))
        wrong = wrong | ((half != "") & ((hour < 1) | (hour > 12)))
        hour = np.where(half == "p", hour % 12 + 12, np.where(half == "a", hour % 12, hour))
    nanos = _nanoseconds(given, length)
    late = (hour == 24) & (minute == 0) & (second == 0) & (nanos == 0)
    wrong = wrong | ((hour > 23) & ~late) | (minute > 59) | (second > 59)
    offset, zoned = _offset(given, length)
    seconds = ((dates.astype(np.int64) * 24 + hour) * 60 + minute) * 60 + second
    return WallTimes(seconds * 1_000_000 + nanos // 1_000, offset, zoned, wrong, nanos % 1_000 != 0, late)


def _nanoseconds(given: dict[str, pa.Array], length: int) -> Int64s:
    if "f" not in given:
        return np.zeros(length, np.int64)
    return _numbers({"f": pc.utf8_rpad(given["f"], 9, "0")}, "f", length)


def _offset(given: dict[str, pa.Array], length: int) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    if "z" not in given:
        return np.zeros(length, np.int64), np.zeros(length, bool)
    zone = given["z"]
    zoned = np.asarray(pc.fill_null(pc.not_equal(zone, ""), False).to_numpy(zero_copy_only=False))
    values = {text: _minutes(text) for text in pc.unique(zone).to_pylist() if text}
    codes = zone.to_pylist() if values else []
    offset = np.array([values.get(text, 0) for text in codes], np.int64) if values else np.zeros(length, np.int64)
    return offset, zoned


def _minutes(zone: str) -> int:
    found = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})?", zone)
    if not found:
        return 0
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return -minutes if found[1] == "-" else minutes
