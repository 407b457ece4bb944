"""Trading calendars: which sessions there are and when each opens and closes, from ``exchange_calendars``.

What a person entered in ``calendars.yaml`` holds for the whole process (``calendar_changes``). Not here: hours that are
not as ``exchange_calendars`` has them (``market_hours``), and what was stored of a session (``coverage``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.core.calendar_changes import CalendarChanges, current_changes
from chandlery.core.calendar_keeping import kept_or_built
from chandlery.core.dated_sessions import apply_changes
from chandlery.core.market_hours import MARKET_HOURS
from chandlery.core.windows import DAY_US
from chandlery.errors import UsageError

Int64s: TypeAlias = npt.NDArray[np.int64]

#: Sessions before this date are not known.
FIRST_SESSION = date(1980, 1, 1)
#: So much is shown of an error of ``exchange_calendars``.
_LONGEST_CAUSE = 80


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """The sessions of one market, oldest first, as parallel arrays.

    Attributes:
        name: as in ``exchange_calendars``: ``XNYS``, ``24/7``.
        timezone: IANA name of the exchange's zone.
        version: of the calendar's rules.
        sessions: session dates, days since 1970-01-01.
        opens: first instant of trading, µs since the epoch, UTC, inclusive.
        closes: end of trading, µs since the epoch, UTC, exclusive.
        break_starts: first instant of the break within the session, µs since the epoch, UTC, inclusive; the close where
            there is none.
        break_ends: end of the break, exclusive; the close where there is none.
    """

    name: str
    timezone: str
    version: str
    sessions: Int64s
    opens: Int64s
    closes: Int64s
    break_starts: Int64s
    break_ends: Int64s

    def between(self, start: datetime, end: datetime) -> slice:
        """Return the slice of sessions whose date at 00:00 UTC lies in ``[start, end)``.

        This is how bars of a day are labelled, so it is the range that a request for ``1d`` covers.
        """
        first, last = np.searchsorted(self.sessions * DAY_US, [microseconds(start), microseconds(end)])
        return slice(int(first), int(last))

    def overlapping(self, start: datetime, end: datetime) -> slice:
        """Return the slice of sessions with any trading in ``[start, end)``, UTC."""
        first = np.searchsorted(self.closes, microseconds(start), side="right")
        last = np.searchsorted(self.opens, microseconds(end), side="left")
        return slice(int(first), max(int(first), int(last)))

    def trading_on(self, days: Int64s) -> tuple[Int64s, Int64s]:
        """Return the sessions with any trading on each of these days of UTC, given since 1970-01-01.

        Returns:
            How many there are on each day, and the places of all of them, in the order of ``days``.
        """
        midnight = days * DAY_US
        first = np.searchsorted(self.closes, midnight, side="right")
        count = np.searchsorted(self.opens, midnight + DAY_US, side="left") - first
        return count, np.repeat(first + count - np.cumsum(count), count) + np.arange(int(count.sum()))

    def session_of(self, ts: Int64s) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """Label each instant with a session.

        Args:
            ts: instants, µs since the epoch.

        Returns:
            The index of the session that was open at, or else is nearest to, each instant; and whether it was open.
        """
        at = np.searchsorted(self.opens, ts, side="right") - 1
        before = np.clip(at, 0, None)
        inside = (at >= 0) & (ts < self.closes[before])
        after = np.clip(at + 1, 0, len(self.opens) - 1)
        nearer_next = (self.opens[after] - ts) < (ts - self.closes[before])
        return np.where(inside | ~nearer_next, before, after).astype(np.int64), inside

    def is_open(self, ts: Int64s, session: Int64s) -> npt.NDArray[np.bool_]:
        """Whether each instant, µs since the epoch, lies in the session of its place, and not in a break of it."""
        starts, ends = self.break_starts[session], self.break_ends[session]
        return (ts >= self.opens[session]) & (ts < self.closes[session]) & ~((ts >= starts) & (ts < ends))

    def is_session(self, ts: Int64s) -> npt.NDArray[np.bool_]:
        """Whether each instant is 00:00 UTC of a session's date (the label of a bar of a day)."""
        days, rest = np.divmod(ts, DAY_US)
        at = np.clip(np.searchsorted(self.sessions, days), 0, len(self.sessions) - 1)
        return np.asarray((self.sessions[at] == days) & (rest == 0))

    @property
    def label(self) -> str:
        """The name, and the version of the rules."""
        return f"{self.name} {self.version}"

    @property
    def always_open(self) -> bool:
        """Whether trading never stops."""
        return bool((self.opens[1:] == self.closes[:-1]).all())


def changed_calendars() -> frozenset[str]:
    """Return the names of the calendars for which dated entries hold."""
    return frozenset(current_changes())


def get_calendar(name: str) -> Calendar:
    """Return the calendar called ``name``, from ``FIRST_SESSION`` to about a year ahead, with a person's entries.

    Raises:
        UsageError: there is no calendar of that name, ``exchange_calendars`` cannot build it, or an entry of
            ``calendars.yaml`` makes two sessions overlap.
    """
    return _get_changed(name, current_changes().get(name))


@lru_cache(maxsize=64)
def _get_changed(name: str, changes: CalendarChanges | None) -> Calendar:
    calendar = get_original(name)
    return calendar if changes is None else apply_changes(calendar, changes)


@lru_cache(maxsize=64)
def get_original(name: str) -> Calendar:
    """Return the calendar called ``name`` as the library has it, without a person's entries; see ``get_calendar``."""
    return kept_or_built(name, partial(_build, name))


def _build(name: str) -> Calendar:
    source = _load(name)
    sessions = source.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    opens, closes, break_starts, break_ends = (
        source.schedule[name].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        for name in ("open", "close", "break_start", "break_end")
    )
    first, end, rules = opens.astype(np.int64), closes.astype(np.int64), f"exchange_calendars {_version()}"
    hours = MARKET_HOURS.get(source.name)
    if hours is not None:
        first, end, rules = hours.opens(sessions, first), hours.closes(sessions, end), f"{rules}, corrected hours"
    return Calendar(
        name=name,
        timezone=hours.timezone if hours is not None else str(source.tz),
        version=rules,
        sessions=sessions,
        opens=first,
        closes=end,
        break_starts=np.where(np.isnat(break_starts), end, break_starts.astype(np.int64)),
        break_ends=np.where(np.isnat(break_ends), end, break_ends.astype(np.int64)),
    )


def calendar_names() -> Sequence[str]:
    """Return the names of all calendars, sorted."""
    import exchange_calendars  # noqa: PLC0415 - takes two seconds to import

    return sorted(exchange_calendars.get_calendar_names(include_aliases=False))


def microseconds(moment: datetime) -> int:
    """Return an aware datetime as µs since the epoch."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _load(name: str) -> Any:  # noqa: ANN401 - the library is not typed
    import exchange_calendars  # noqa: PLC0415 - takes two seconds to import
    from exchange_calendars.errors import InvalidCalendarName  # noqa: PLC0415

    try:
        bound = exchange_calendars.calendar_utils.global_calendar_dispatcher._calendar_factories[name].bound_min()  # noqa: SLF001
    except KeyError:
        bound = None
    start = max(FIRST_SESSION, bound.date()) if bound is not None else FIRST_SESSION
    try:
        return exchange_calendars.get_calendar(name, start=start.isoformat())
    except InvalidCalendarName:
        raise UsageError(
            f"calendar {name!r} is not known; use XNYS for US stocks, 24/7 for crypto, or one of exchange_calendars' "
            "other names"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever its rules stumble over; the text may be very long
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(
            f"calendar {name!r} cannot be built by exchange_calendars {_version()}"
            f" ({cause[:_LONGEST_CAUSE]}{'...' * (len(cause) > _LONGEST_CAUSE)}); use another calendar with the same"
            " sessions, or another version of exchange_calendars"
        ) from None


def _version() -> str:
    return version("exchange_calendars")
