"""Where bars are missing among those that were read, and why: for a picture of them.

Not here: the states that the reasons follow from (``session_states``), and drawing (``pictures.candle_page``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.core.arrow import to_list
from chandlery.core.calendars import Calendar, Int64s, microseconds
from chandlery.core.grid import Grid
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.coverage.session_states import LONG_MISSING_RUN, State, session_states
from chandlery.instruments.halts import list_halts
from chandlery.instruments.registry import Instrument

#: Why a bar is missing, in the order of a legend.
REASONS = (
    *("no_trades", "closed", "halted", "provider_gap", "not_observed", "never_fetched"),
    *("quarantined", "not_final", "not_known", "not_listed"),
)
_CODES = {reason: code for code, reason in enumerate(REASONS)}
#: Of a state, why a bar of its session is missing. In a session without the rest of its bars, a short run of missing
#: ones is what thin trading makes of it; a long one is not.
_SHORT = {
    State.COMPLETE: "not_final",
    State.NO_TRADES: "no_trades",
    State.PARTIAL: "not_observed",
    State.HALTED: "no_trades",
    State.PROVIDER_GAP: "no_trades",
    State.QUARANTINED: "no_trades",
    State.NOT_FINAL: "not_final",
    State.NEVER_FETCHED: "never_fetched",
    State.CLOSED: "closed",
    State.NOT_LISTED: "not_listed",
}
_LONG = _SHORT | {State.PROVIDER_GAP: "provider_gap", State.QUARANTINED: "provider_gap"}
_DAYS = _LONG | {State.HALTED: "halted", State.QUARANTINED: "quarantined"}
#: A weekday counts as one of trading if a calendar has at least so many of its sessions on it, for each of the usual.
_USUAL = 0.2


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of bars that are missing for one reason.

    Attributes:
        start: of the first, µs since 1970-01-01, inclusive.
        end: of the last one's end, exclusive.
        slots: how many bars it would be; of ``closed``, days.
        reason: one of ``REASONS``.
        detail: what else is known: of ``halted``, why.
    """

    start: int
    end: int
    slots: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The bars that were read.

    Attributes:
        grid: where they begin.
        ts: their starts, ascending, µs since 1970-01-01.
        start: where the read began, µs, inclusive.
        end: where it ended, exclusive.
        rejected: starts of bars that wait in quarantine.
        known_later: starts of bars that were not known at the time as of which was read; empty without one.
    """

    grid: Grid
    ts: Int64s
    start: int
    end: int
    rejected: Int64s
    known_later: Int64s


def find_gaps(
    connection: psycopg.Connection, instrument: Instrument, shown: Shown, *, now: datetime | None = None
) -> list[Gap]:
    """Return where bars are missing among those shown, and why, oldest first.

    A run ends where a bar stands, where the reason changes, and intraday with its session.

    Args:
        connection: to the database.
        instrument: whose bars.
        shown: what was read.
        now: the present, UTC; the clock by default.
    """
    grid, moment = shown.grid, now or datetime.now(UTC)
    end = min(shown.end, microseconds(moment))
    slots = np.setdiff1d(grid.expected(shown.start, end), shown.ts) if end > shown.start else np.empty(0, np.int64)
    rejected = np.setdiff1d(grid.labels(shown.rejected), shown.ts) if len(shown.rejected) else slots[:0]
    slots = np.union1d(slots, rejected[(rejected >= shown.start) & (rejected < shown.end)])
    days = _closed_days(grid, shown, slots)
    if not len(slots) and not len(days):
        return []
    sessions = _session_days(grid, slots)
    breaks = np.searchsorted(shown.ts, slots)
    codes, details = _reasons(connection, instrument, shown, slots, sessions, moment)
    session_key = sessions if grid.width.is_intraday else np.zeros_like(sessions)
    closed = np.searchsorted(days, slots)
    found = _runs(grid, slots, codes, np.stack([codes, breaks, session_key, closed]), details)
    found += _closed(days, np.searchsorted(shown.ts, days), np.searchsorted(slots, days))
    return sorted(found, key=lambda gap: gap.start)


def _session_days(grid: Grid, slots: Int64s) -> Int64s:
    """Return the session that each slot belongs to, as days since 1970-01-01."""
    if not grid.width.is_intraday:
        return slots // DAY_US
    places, _ = grid.calendar.session_of(slots)
    return np.asarray(grid.calendar.sessions[places])


def _reasons(  # noqa: PLR0917 - what it is about
    connection: psycopg.Connection,
    instrument: Instrument,
    shown: Shown,
    slots: Int64s,
    sessions: Int64s,
    now: datetime,
) -> tuple[npt.NDArray[np.int8], dict[int, str]]:
    """Return the code of each slot's reason, and what else is known of some, by place."""
    if not len(slots):
        return np.empty(0, np.int8), {}
    grid = shown.grid
    base = Timeframe.M1 if grid.width.is_intraday else Timeframe.D1
    reach = 1 if grid.width.is_intraday else int((grid.ends(slots[-1:])[0] - slots[-1]) // DAY_US) + 1
    since, until = _date(int(sessions.min())), _date(int(sessions.max()) + reach)
    states = session_states(connection, [instrument], base, since, until, now=now)
    days = states["session"].cast("int32").to_numpy().astype(np.int64)
    names = to_list(states["state"])
    of = {day: State(name) for day, name in zip(days.tolist(), names, strict=True)}
    if not len(days):
        of, days = {int(sessions[0]): State.NEVER_FETCHED}, sessions[:1]
    at = np.clip(np.searchsorted(days, sessions), 0, len(days) - 1)
    longs = _long_runs(grid, slots, sessions, shown.ts)
    table = _DAYS if base is Timeframe.D1 else _LONG
    chosen = [
        _CODES[(table if long else _SHORT)[of[day]]]
        for day, long in zip(days[at].tolist(), longs.tolist(), strict=True)
    ]
    codes = np.array(chosen, np.int8)
    details = _halted(connection, instrument, grid, slots, codes)
    codes[np.isin(slots, grid.labels(shown.rejected))] = _CODES["quarantined"]
    codes[np.isin(slots, shown.known_later)] = _CODES["not_known"]
    return codes, details


def _long_runs(grid: Grid, slots: Int64s, sessions: Int64s, ts: Int64s) -> npt.NDArray[np.bool_]:
    """Return whether each slot is in a run of missing ones that thin trading does not explain."""
    if not grid.width.is_intraday:
        return np.ones(len(slots), np.bool_)
    starts = _starts(np.stack([sessions, np.searchsorted(ts, slots)]))
    lengths = np.diff(np.append(starts, len(slots)))
    return np.repeat(lengths * (grid.width.microseconds // 60_000_000) > LONG_MISSING_RUN, lengths)


def _halted(
    connection: psycopg.Connection, instrument: Instrument, grid: Grid, slots: Int64s, codes: npt.NDArray[np.int8]
) -> dict[int, str]:
    """Mark the slots within a halt; return why trading was halted, by the place of each."""
    details: dict[int, str] = {}
    ends = grid.ends(slots) if grid.width.is_intraday else slots + DAY_US
    for halt in list_halts(connection, [instrument.symbol]):
        first, last = microseconds(halt.start), microseconds(halt.end)
        if grid.width.is_intraday:
            inside = (slots >= first) & (ends <= last)
        else:  # the state says whether it was halted all day long
            inside = (slots // DAY_US >= first // DAY_US) & (slots < last) & (codes == _CODES["halted"])
        codes[inside] = _CODES["halted"]
        details |= dict.fromkeys(np.flatnonzero(inside).tolist(), halt.reason)
    return details


def _runs(
    grid: Grid, slots: Int64s, codes: npt.NDArray[np.int8], keys: npt.NDArray[np.int64], details: dict[int, str]
) -> list[Gap]:
    if not len(slots):
        return []
    starts = _starts(keys)
    lasts = np.append(starts[1:], len(slots)) - 1
    ends = grid.ends(slots[lasts]) if grid.width.is_intraday else slots[lasts] + DAY_US
    columns = (slots[starts].tolist(), ends.tolist(), (lasts - starts + 1).tolist(), codes[starts].tolist())
    return [
        Gap(start, end, count, REASONS[code], details.get(place, ""))
        for place, start, end, count, code in zip(starts.tolist(), *columns, strict=True)
    ]


def _starts(keys: npt.NDArray[np.int64]) -> Int64s:
    """Return the places at which any of the rows of ``keys`` changes, and the first."""
    changes = (np.diff(keys, axis=1) != 0).any(axis=0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _closed_days(grid: Grid, shown: Shown, slots: Int64s) -> Int64s:
    """Return the midnights of usual days of trading without a session, between the first bar or slot and the last."""
    if not grid.width.is_intraday and (grid.width.unit, grid.width.count) != ("d", 1):
        return np.empty(0, np.int64)
    ends = np.concatenate([shown.ts[:1], shown.ts[-1:], slots[:1], slots[-1:]])
    if not len(ends):
        return ends
    every = np.arange(int(ends.min()) // DAY_US, int(ends.max()) // DAY_US + 1)
    usual = np.isin((every + 3) % 7, _usual_weekdays(grid.calendar))
    closed = every[usual & ~np.isin(every, grid.calendar.sessions)]
    closed = closed[(closed >= grid.calendar.sessions[0]) & (closed <= grid.calendar.sessions[-1])] * DAY_US
    return np.asarray(closed[~np.isin(closed, np.concatenate([shown.ts, slots]))])


def _usual_weekdays(calendar: Calendar) -> Int64s:
    """Return the weekdays on which there usually is a session; 0 is Monday."""
    counts = np.bincount((calendar.sessions + 3) % 7, minlength=7)
    return np.asarray(np.flatnonzero(counts >= _USUAL * counts.max()))


def _closed(days: Int64s, bars: Int64s, slots: Int64s) -> list[Gap]:
    """Return days without a session as gaps; neighbours with neither a bar nor a slot between them are one."""
    if not len(days):
        return []
    starts = _starts(np.stack([bars, slots]))
    lasts = np.append(starts[1:], len(days)) - 1
    return [
        Gap(int(days[first]), int(days[last]) + DAY_US, int(last - first) + 1, "closed")
        for first, last in zip(starts.tolist(), lasts.tolist(), strict=True)
    ]


def count_by_reason(gaps: Sequence[Gap]) -> dict[str, tuple[int, int]]:
    """Return how many gaps there are of each reason that occurs, and how many slots, in the order of ``REASONS``."""
    counts: dict[str, tuple[int, int]] = {}
    for reason in REASONS:
        found = [gap.slots for gap in gaps if gap.reason == reason]
        if found:
            counts[reason] = len(found), sum(found)
    return counts


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)
