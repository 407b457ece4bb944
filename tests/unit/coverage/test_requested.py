"""Which sessions a range of time holds."""

from __future__ import annotations

import pytest

from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import session_ranges
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
