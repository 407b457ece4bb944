"""What a caller gives as a moment or a range, as instants in UTC.

Not here: which sessions lie in a range (``calendars``) and arithmetic with ranges (``time_ranges``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from chandlery.core.text import shorten
from chandlery.errors import UsageError

_SHAPES = "write 2024-01-31 or 2024-01-31T14:30:00Z"


def parse_moment(value: object, *, name: str, up: bool = False) -> datetime:
    """Return ``value`` as an instant in UTC.

    Args:
        value: an aware ``datetime`` or ``pandas.Timestamp``; a ``date``, or a ``pandas.Timestamp`` or
            ``numpy.datetime64`` without a zone that is of a midnight, meaning midnight UTC; or a date or an aware time
            as ISO 8601 text.
        name: the parameter's name, for the error.
        up: return the first microsecond that is not before ``value``, instead of the last one that is not after it.

    Raises:
        UsageError: it is none of these; a time of day carries no zone; or it is of no year from 1 to 9999 in UTC.
    """
    if isinstance(value, str):
        return _in_utc(_read_text(value, name), value, name)
    if isinstance(value, datetime):
        return _in_utc(_without_nanoseconds(value, name, up=up), value, name)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if type(value).__name__ == "datetime64":
        return _in_utc(_read_datetime64(value, name, up=up), value, name)
    raise UsageError(f"{name}={shorten(value)} is no date or time; {_SHAPES}, or give a date or an aware datetime")


def parse_range(start: object, end: object) -> tuple[datetime, datetime]:
    """Return the half-open range ``[start, end)`` in UTC; see ``parse_moment``.

    Raises:
        UsageError: one of them is no moment, or ``start`` is not before ``end``.
    """
    first, last = parse_moment(start, name="start", up=True), parse_moment(end, name="end", up=True)
    if first >= last:
        day = min(first.date(), date.max - timedelta(days=1))
        raise UsageError(
            f"start={start!s} is not before end={end!s}; ranges are half-open [start, end), so one day is "
            f"start={day} end={day + timedelta(days=1)}"
        )
    return first, last


def _read_text(text: str, name: str) -> date | datetime:
    try:
        return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}={shorten(text)} is not a date or time; {_SHAPES}") from None


def _without_nanoseconds(value: datetime, name: str, *, up: bool) -> date | datetime:
    """Return ``value`` as a plain datetime, or as a date where it is pandas' way to write one."""
    if value != value:  # noqa: PLR0124 - as pandas' NaT is
        raise UsageError(f"{name}={shorten(value)} is no date or time; {_SHAPES}")
    if type(value) is datetime:
        return value
    day, clock = (value.year, value.month, value.day), (value.hour, value.minute, value.second, value.microsecond)
    plain = datetime(*day, *clock, tzinfo=value.tzinfo, fold=value.fold)
    if getattr(value, "nanosecond", 0) > 0 and up:
        plain += timedelta(microseconds=1)
    return plain.date() if _is_midnight(plain) else plain


def _read_datetime64(value: Any, name: str, *, up: bool) -> date | datetime:  # noqa: ANN401 - numpy is slow to import
    """Return a ``numpy.datetime64`` of any unit, which has no zone, as a date or a naive datetime."""
    year = value.astype("datetime64[Y]").item()
    # NaT is no date, nor is a year beyond 9999; a finer unit would wrap around.
    plain = value.astype("datetime64[us]").item() if isinstance(year, date) else None
    if not isinstance(plain, datetime):
        raise UsageError(f"{name}={shorten(value)} is no date or time of the years 1 to 9999; {_SHAPES}")
    if up and value.astype("datetime64[us]") < value:
        plain += timedelta(microseconds=1)
    return plain.date() if _is_midnight(plain) else plain


def _is_midnight(moment: datetime) -> bool:
    return moment.tzinfo is None and moment.time() == datetime.min.time()


def _in_utc(moment: date | datetime, given: object, name: str) -> datetime:
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.utcoffset() is None:
        example = f"{moment.replace(tzinfo=None).isoformat()}+00:00"
        raise UsageError(f"{name}={shorten(given)} has no time zone; add one, for example {example}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{name}={shorten(given)} is not in the years 1 to 9999 in UTC") from None
