"""Sessions that a person enters: their hours where only a part of them is given."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from chandlery.core.calendar_changes import CalendarChanges, DatedSession
from chandlery.core.calendars import get_calendar
from chandlery.core.dated_sessions import apply_changes


def hours(name: str, session: DatedSession) -> tuple[str, str]:
    calendar = apply_changes(get_calendar(name), CalendarChanges(sessions=(session,)))
    at = calendar.between(*(datetime.combine(session.day, time(), UTC) for _ in range(2))).start
    return tuple(  # type: ignore[return-value]
        datetime.fromtimestamp(int(column[at]) / 1e6, UTC).strftime("%m-%d %H:%M")
        for column in (calendar.opens, calendar.closes)
    )


def test_a_session_that_opens_when_it_closes_opened_the_day_before() -> None:
    session = DatedSession(date(2024, 6, 15), open=time(16), close=time(16))
    assert hours("XNYS", session) == ("06-14 20:00", "06-15 20:00")


def test_before_the_tenth_session_of_a_calendar_the_usual_hours_are_those_of_its_first_ten() -> None:
    day = date.fromordinal(date(1970, 1, 1).toordinal() + int(get_calendar("XTKS").sessions[3]))
    # Tokyo closes at 15:30 since November 2024, and closed at 15:00 before.
    assert hours("XTKS", DatedSession(day)) == (f"{day:%m-%d} 00:00", f"{day:%m-%d} 06:00")
