"""Where the bars of a width begin and end, by one calendar.

Bars of minutes and hours begin on a grid that counts from 1970-01-01 00:00 UTC, or from each session's open. Bars of
days, weeks and months are of whole periods, which also count from 1970 (weeks from Mondays), and are labelled by the
first session of their period.

Not here: what is in a bar (``reading.resample``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from chandlery.core.calendars import Calendar, Int64s, get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width
from chandlery.core.windows import DAY_US

Anchor: TypeAlias = Literal["utc", "session"]
ANCHORS = ("utc", "session")


@dataclass(frozen=True, slots=True)
class Grid:
    """The bars of a width. All times are µs since 1970-01-01 00:00 UTC.

    Attributes:
        width: of the bars.
        market: name of the calendar whose sessions count.
        anchor: where bars of minutes and hours begin: ``utc``, or ``session``: at every open, and every width after it
            until the next open. Of wider bars, which are of whole sessions, both are the same.
    """

    width: Width
    market: str
    anchor: Anchor = "utc"

    @property
    def calendar(self) -> Calendar:
        """The calendar; takes two seconds to know where it is the first of a process."""
        return get_calendar(self.market)

    def labels(self, ts: Int64s) -> Int64s:
        """Return the start of the bar that each instant belongs to."""
        if not self.width.is_intraday:
            days = ts // DAY_US
            begins = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))  # of each run of instants of the same day
            periods = self._periods(days[begins])
            first, after = self._sessions_of(periods)
            sessions = np.append(self.calendar.sessions, 0)
            # A period without a session that is known is labelled by its first day.
            labels = np.where(after > first, sessions[first], periods) * DAY_US
            return np.repeat(labels, np.diff(begins, append=len(ts)))
        if self.anchor == "utc":
            return np.asarray(ts // self.width.microseconds * self.width.microseconds)  # % takes 30 times as long
        opens = self.calendar.opens[self._opened(ts)]
        return np.asarray(opens + (ts - opens) // self.width.microseconds * self.width.microseconds)

    def ends(self, labels: Int64s) -> Int64s:
        """Return when the bar that starts at each of ``labels`` ends; of days and wider, with its last session."""
        if not self.width.is_intraday:
            periods = self._periods(labels // DAY_US)
            first, after = self._sessions_of(periods)
            closes = self.calendar.closes[np.clip(after - 1, 0, None)]
            return np.where(after > first, closes, self._after(periods) * DAY_US)
        ends = labels + self.width.microseconds
        if self.anchor == "utc":
            return ends
        following = np.searchsorted(self.calendar.opens, labels, side="right")
        return np.asarray(np.minimum(ends, np.append(self.calendar.opens, np.iinfo(np.int64).max)[following]))

    def cover(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of base bars that all bars are made of which start in ``[start, end)``."""
        edges = np.array([start, end - 1], np.int64)
        if not self.width.is_intraday:
            periods = self._periods(edges // DAY_US)
            return int(periods[0]) * DAY_US, int(self._after(periods)[1]) * DAY_US
        labels = self.labels(edges)
        return int(labels[0]), int(self.ends(labels)[1])

    def expected(self, start: int, end: int) -> Int64s:
        """Return the starts in ``[start, end)`` of the bars in which a session trades, ascending."""
        if not self.width.is_intraday:
            low, high = np.searchsorted(self.calendar.sessions * DAY_US, self.cover(start, end))
            labels = np.unique(self.labels(self.calendar.sessions[low:high] * DAY_US))
            return labels[(labels >= start) & (labels < end)]
        low, high = self.cover(start, end)
        first = int(np.searchsorted(self.calendar.closes, low, side="right"))
        last = int(np.searchsorted(self.calendar.opens, high, side="left"))
        part = slice(first, max(first, last))
        opens, closes, rests, resumes = (
            column[part]
            for column in (
                self.calendar.opens,
                self.calendar.closes,
                self.calendar.break_starts,
                self.calendar.break_ends,
            )
        )
        labels = np.unique(np.concatenate([self._within(opens, rests), self._within(resumes, closes)]))
        return labels[(labels >= start) & (labels < end)]

    def base(self, low: int, high: int, *, whole_sessions: bool) -> Timeframe:
        """Return the widest stored timeframe that every bar of ``[low, high)`` is a whole number of.

        Args:
            low: inclusive.
            high: exclusive.
            whole_sessions: no bar of it may lie on both sides of an open, a close, or the start or end of a break.
        """
        bases = self.width.bases
        if not self.width.is_intraday or (self.anchor == "utc" and not whole_sessions):
            return bases[0]
        first = max(int(np.searchsorted(self.calendar.closes, low, side="right")) - 1, 0)
        part = slice(first, int(np.searchsorted(self.calendar.opens, high, side="left")) + 1)
        edges = [self.calendar.opens[part]]
        if whole_sessions:
            edges += [
                column[part] for column in (self.calendar.closes, self.calendar.break_starts, self.calendar.break_ends)
            ]
        marks = np.concatenate(edges)
        return next((each for each in bases if not (marks % each.microseconds).any()), bases[-1])

    def _opened(self, ts: Int64s) -> Int64s:
        """Return the session that opened last at each instant; the first one before it."""
        return np.clip(np.searchsorted(self.calendar.opens, ts, side="right") - 1, 0, None)

    def _within(self, begins: Int64s, ends: Int64s) -> Int64s:
        """Return the starts of the bars that have any time of ``[begin, end)`` of each."""
        firsts = self.labels(begins)
        counts = np.where(ends > begins, -((firsts - ends) // self.width.microseconds), 0)
        steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.asarray(np.repeat(firsts, counts) + steps * self.width.microseconds)

    def _periods(self, days: Int64s) -> Int64s:
        """Return the first day of the period of each of ``days``, since 1970-01-01."""
        count = self.width.count
        if self.width.unit == "d":
            return days // count * count
        if self.width.unit == "w":  # 1970-01-01 was a Thursday
            return (days + 3) // (7 * count) * (7 * count) - 3
        months = days.view("datetime64[D]").astype("datetime64[M]").astype(np.int64) // count * count
        return months.view("datetime64[M]").astype("datetime64[D]").astype(np.int64)

    def _after(self, periods: Int64s) -> Int64s:
        """Return the first day after each period."""
        count = self.width.count
        if self.width.unit != "mo":
            return periods + count * (7 if self.width.unit == "w" else 1)
        months = periods.view("datetime64[D]").astype("datetime64[M]") + count
        return months.astype("datetime64[D]").astype(np.int64)

    def _sessions_of(self, periods: Int64s) -> tuple[Int64s, Int64s]:
        """Return the places ``[first, after)`` of the sessions of each period."""
        sessions = self.calendar.sessions
        return np.searchsorted(sessions, periods), np.searchsorted(sessions, self._after(periods))
