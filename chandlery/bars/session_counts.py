"""Counting the bars of sessions: how many there are, inside and outside, and the longest run of minutes without one.

The counts of newly inserted bars may be added to what was counted before, because every bar is inserted once, while its
instrument is locked. Not here: storing the counts (``bookkeeping``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Calendar, Int64s, get_calendar

_MINUTE_US = 60_000_000
_COLUMNS = 10
_HOUR_US = 3_600_000_000
#: No session is longer.
_HOURS = 24


def count_sessions(
    ids: npt.NDArray[np.int32], ts: Int64s, calendars: Mapping[int, str]
) -> list[npt.NDArray[np.generic]]:
    """Return the counts of each session of each instrument that has any of these bars.

    Args:
        ids: instrument of each bar.
        ts: start of each bar, µs since the epoch, UTC; in any order.
        calendars: calendar's name by instrument id.

    Returns:
        Ten arrays, a place for each session: instrument id; session, days since 1970-01-01; bars inside the
        session; bars outside (of extended hours); first and last bar, µs; start of the longest missing run among these
        bars, µs; its minutes; the bars in each hour of the session, 24 places for each; and how many hours it has, 0
        where every minute has a bar.
    """
    ids, ts = _sorted(ids, ts)
    instruments = np.unique(ids)
    names = np.array([calendars[instrument_id] for instrument_id in instruments.tolist()])
    counts = []
    for name in sorted(set(names.tolist())):
        of_calendar = slice(None) if (names == name).all() else np.isin(ids, instruments[names == name])
        counts.append(_count_of_calendar(get_calendar(name), ids[of_calendar], ts[of_calendar]))
    return [np.concatenate(column) for column in zip(*counts, strict=True)] or [np.empty(0, np.int64)] * _COLUMNS


def _sorted(ids: npt.NDArray[np.int32], ts: Int64s) -> tuple[npt.NDArray[np.int32], Int64s]:
    """Return the bars sorted by instrument and time; as they are where they are sorted already."""
    later = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
    if later.all():
        return ids, ts
    order = np.lexsort((ts, ids))
    return ids[order], ts[order]


def _count_of_calendar(
    calendar: Calendar, ids: npt.NDArray[np.int32], ts: Int64s
) -> tuple[npt.NDArray[np.generic], ...]:
    """Count bars of instruments of one calendar, sorted by instrument and time."""
    session, _ = calendar.session_of(ts)
    inside = calendar.is_open(ts, session)
    starts = np.flatnonzero(np.r_[True, (ids[1:] != ids[:-1]) | (session[1:] != session[:-1])])
    ends = np.r_[starts[1:], len(ts)]
    present = np.add.reduceat(inside.astype(np.int64), starts)
    missing_start, missing_slots = _longest_missing_runs(calendar, session, ts, inside, starts)
    opens, closes = calendar.opens[session[starts]], calendar.closes[session[starts]]
    pauses = calendar.break_ends[session[starts]] - calendar.break_starts[session[starts]]
    is_whole = present >= (closes - opens - pauses) // _MINUTE_US
    place = np.repeat(np.arange(len(starts)), ends - starts)[inside]
    hour = np.minimum((ts - calendar.opens[session])[inside] // _HOUR_US, _HOURS - 1)
    return (
        ids[starts],
        calendar.sessions[session[starts]],
        present,
        ends - starts - present,
        ts[starts],
        ts[ends - 1],
        missing_start,
        missing_slots,
        np.bincount(place * _HOURS + hour, minlength=len(starts) * _HOURS).astype(np.int16),
        np.where(is_whole, 0, np.minimum(-(-(closes - opens) // _HOUR_US), _HOURS)).astype(np.int32),
    )


def _longest_missing_runs(
    calendar: Calendar, session: Int64s, ts: Int64s, inside: npt.NDArray[np.bool_], starts: Int64s
) -> tuple[Int64s, Int64s]:
    """Return the start (µs) and the minutes of the longest run of minutes without a bar in each session.

    Where two runs are equally long, the first counts. A break of the session is in no run.

    Args:
        calendar: of all bars.
        session: index of each bar's session.
        ts: starts of the bars, µs.
        inside: whether each starts while the session is open, and not in its break.
        starts: place of each session's first bar; the bars of a session stand together, ascending.
    """
    opens, closes = calendar.opens[session], calendar.closes[session]
    # Bars of extended hours count as the nearest end of the session, so that they bound no run inside it.
    since, until = np.clip(ts, opens, closes), np.clip(ts + np.where(inside, _MINUTE_US, 0), opens, closes)
    of_session = session[starts]
    place = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(ts)]))
    paused = np.flatnonzero(calendar.break_starts[of_session] < calendar.break_ends[of_session])
    if len(paused):  # a break is like a bar as long as it is; one within it is none
        pauses, ends = calendar.break_starts[of_session[paused]], calendar.break_ends[of_session[paused]]
        in_break = (ts >= calendar.break_starts[session]) & (ts < calendar.break_ends[session])
        place = np.r_[place[~in_break], paused]
        since, until = np.r_[since[~in_break], pauses], np.r_[until[~in_break], ends]
        order = np.lexsort((since, place))
        place, since, until = place[order], since[order], until[order]
    return _longest_free(place, since, until, calendar.opens[of_session], calendar.closes[of_session])


def _longest_free(place: Int64s, since: Int64s, until: Int64s, opens: Int64s, closes: Int64s) -> tuple[Int64s, Int64s]:
    """Return the start (µs) and the minutes of the longest time in each session that no stretch takes.

    Args:
        place: number of each stretch's session, ascending; each session has at least one stretch.
        since: start of each stretch, µs; ascending in a session, and none before the end of another.
        until: its end, µs.
        opens: of each session, µs.
        closes: of each session, µs.
    """
    first = np.r_[True, place[1:] != place[:-1]]
    starts = np.flatnonzero(first)
    before = np.where(first, opens[place], np.r_[opens[:1], until[:-1]])
    missing_before = (since - before) // _MINUTE_US
    last_end = until[np.r_[starts[1:], len(place)] - 1]
    missing_at_end = (closes - last_end) // _MINUTE_US
    longest = np.maximum.reduceat(missing_before, starts)
    candidates = np.flatnonzero(missing_before == longest[place])
    chosen = candidates[np.searchsorted(place[candidates], np.arange(len(starts)))]  # the first of each session
    is_at_end = missing_at_end > longest
    return np.where(is_at_end, last_end, before[chosen]), np.maximum(missing_at_end, longest)
