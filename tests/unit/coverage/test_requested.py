"""Which sessions a range of time holds."""

from __future__ import annotations

import pytest

from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import session_ranges, whole_sessions
from tests.support import utc

M1, D1 = Timeframe.M1, Timeframe.D1


@pytest.mark.parametrize(
    ("calendar", "timeframe", "start", "end", "sessions"),
    [
        # Futures in Chicago: the session of Wednesday opens on Tuesday at 23:00 UTC.
        ("CMES", M1, "2024-01-09", "2024-01-10", ["[2024-01-10,2024-01-11)"]),
        ("CMES", D1, "2024-01-09", "2024-01-10", ["[2024-01-09,2024-01-10)"]),
        # New York opens at 14:30 UTC.
        ("XNYS", M1, "2024-01-09T14:30", "2024-01-10T14:30", ["[2024-01-09,2024-01-10)"]),
        ("XNYS", M1, "2024-01-09T14:31", "2024-01-10T14:31", ["[2024-01-10,2024-01-11)"]),
        ("XNYS", D1, "2024-01-09T14:30", "2024-01-10T14:30", ["[2024-01-10,2024-01-11)"]),
        ("XNYS", M1, "2024-01-09T15:00", "2024-01-09T16:00", []),
        # Between two sessions that follow one another lies nothing.
        ("XNYS", D1, "2024-01-12", "2024-01-17", ["[2024-01-12,2024-01-17)"]),
    ],
)
def test_sessions_of_days_go_by_their_label_and_those_of_minutes_by_their_open(
    calendar: str, timeframe: Timeframe, start: str, end: str, sessions: list[str]
) -> None:
    assert list(session_ranges(get_calendar(calendar), timeframe, utc(start), utc(end))) == sessions


@pytest.mark.parametrize(
    ("calendar", "timeframe", "given", "expected"),
    [
        ("XNYS", M1, ("2024-01-09T15:00", "2024-01-10T17:00"), ("2024-01-09T14:30", "2024-01-10T21:00")),
        ("XNYS", M1, ("2024-01-09T13:00", "2024-01-10T22:00"), ("2024-01-09T13:00", "2024-01-10T22:00")),
        ("XNYS", M1, ("2024-01-09T14:30", "2024-01-10T21:00"), ("2024-01-09T14:30", "2024-01-10T21:00")),
        ("24/7", M1, ("2024-01-09T15:00", "2024-01-10T17:00"), ("2024-01-09T00:00", "2024-01-11T00:00")),
        ("CMES", M1, ("2024-01-31T23:30", "2024-01-31T23:40"), ("2024-01-31T23:00", "2024-02-01T22:00")),
        ("XNYS", D1, ("2024-01-09", "2024-01-10"), ("2024-01-09", "2024-01-10")),
    ],
)
def test_what_a_source_has_is_widened_to_whole_sessions(
    calendar: str, timeframe: Timeframe, given: tuple[str, str], expected: tuple[str, str]
) -> None:
    found = whole_sessions(get_calendar(calendar), timeframe, *map(utc, given))
    assert found == tuple(map(utc, expected))
