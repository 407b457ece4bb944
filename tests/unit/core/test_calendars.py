"""Calendars: the sessions of the New York exchange as published elsewhere, and labels at their edges."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from chandlery.core.calendars import FIRST_SESSION, calendar_names, get_calendar, microseconds
from chandlery.errors import UsageError
from tests.support import utc

EPOCH = date(1970, 1, 1)
XNYS = "XNYS"


def hours(day: str, name: str = XNYS) -> tuple[str, str] | None:
    """Return open and close of a session, UTC, or None where there is none."""
    calendar = get_calendar(name)
    found = np.flatnonzero(calendar.sessions == (date.fromisoformat(day) - EPOCH).days)
    if not len(found):
        return None
    at = found[0]
    return text(calendar.opens[at]), text(calendar.closes[at])


def text(micros: int) -> str:
    return str(np.datetime64(int(micros), "us").astype("datetime64[m]"))


def at(*moments: str) -> np.ndarray:
    return np.array([microseconds(utc(moment)) for moment in moments], np.int64)


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> list[tuple[date, int, int]]:
    with gzip.open(shared_data / "calendar" / "xnys_sessions.csv.gz", "rt") as file:
        return [
            (
                date.fromisoformat(row["session"]),
                *(microseconds(datetime.fromisoformat(row[k])) for k in ("open", "close")),
            )
            for row in csv.DictReader(file)
        ]


def test_the_sessions_of_new_york_are_those_published(golden: list[tuple[date, int, int]]) -> None:
    calendar = get_calendar(XNYS)
    within = calendar.between(utc("1990-01-02"), utc("2023-01-14"))
    days = [EPOCH + timedelta(days=n) for n in calendar.sessions[within].tolist()]
    opens, closes = calendar.opens[within].tolist(), calendar.closes[within].tolist()
    assert list(zip(days, opens, closes, strict=True)) == golden
    lengths = Counter((closed - opened) // 60_000_000 for _, opened, closed in golden)
    assert lengths == {390: 8255, 210: 65, 270: 4}


def test_a_half_day_closes_early() -> None:
    assert hours("2015-12-24") == ("2015-12-24T14:30", "2015-12-24T18:00")


def test_summer_time_moves_the_open_in_utc() -> None:
    assert hours("2014-03-07") == ("2014-03-07T14:30", "2014-03-07T21:00")
    assert hours("2014-03-10") == ("2014-03-10T13:30", "2014-03-10T20:00")


@pytest.mark.parametrize(("before", "after"), [("2001-09-10", "2001-09-17"), ("2012-10-26", "2012-10-31")])
def test_the_exchange_was_closed_in_between(before: str, after: str) -> None:
    calendar = get_calendar(XNYS)
    days = calendar.sessions[calendar.between(utc(before), utc(after) + timedelta(days=1))].tolist()
    assert [(EPOCH + timedelta(days=n)).isoformat() for n in days] == [before, after]


def test_a_market_that_never_closes_has_every_day_from_midnight_to_midnight() -> None:
    calendar = get_calendar("24/7")
    assert calendar.always_open
    assert not get_calendar(XNYS).always_open
    assert hours("2024-02-29", "24/7") == ("2024-02-29T00:00", "2024-03-01T00:00")
    assert (np.diff(calendar.sessions) == 1).all()


def test_a_calendar_reaches_from_1980_into_the_next_year() -> None:
    for name in (XNYS, "24/7"):
        calendar = get_calendar(name)
        first = EPOCH + timedelta(days=int(calendar.sessions[0]))
        last = EPOCH + timedelta(days=int(calendar.sessions[-1]))
        assert FIRST_SESSION <= first <= FIRST_SESSION + timedelta(days=3)
        assert last > date.today() + timedelta(days=300)  # noqa: DTZ011 - to the day is enough


def test_a_range_of_days_goes_by_the_label_and_one_of_instants_by_the_hours() -> None:
    calendar = get_calendar(XNYS)

    def days(found: slice) -> list[str]:
        return [(EPOCH + timedelta(days=n)).isoformat() for n in calendar.sessions[found].tolist()]

    assert days(calendar.between(utc("2024-06-03"), utc("2024-06-05"))) == ["2024-06-03", "2024-06-04"]
    assert days(calendar.between(utc("2024-06-03T00:01"), utc("2024-06-05T00:01"))) == ["2024-06-04", "2024-06-05"]
    assert days(calendar.overlapping(utc("2024-06-03T19:59"), utc("2024-06-04T13:31"))) == ["2024-06-03", "2024-06-04"]
    assert days(calendar.overlapping(utc("2024-06-03T20:00"), utc("2024-06-04T13:30"))) == []
    assert days(calendar.overlapping(utc("2024-06-08"), utc("2024-06-09"))) == []


def test_an_instant_belongs_to_the_session_that_is_open_or_else_nearest() -> None:
    calendar = get_calendar(XNYS)
    moments = {
        "2024-05-31T20:00": ("2024-05-31", False),  # Friday's close is no longer trading
        "2024-05-31T19:59": ("2024-05-31", True),
        "2024-06-02T04:44": ("2024-05-31", False),
        "2024-06-02T04:46": ("2024-06-03", False),  # past the middle of the weekend
        "2024-06-03T13:29": ("2024-06-03", False),
        "2024-06-03T13:30": ("2024-06-03", True),
    }
    found, inside = calendar.session_of(at(*moments))
    days = [(EPOCH + timedelta(days=n)).isoformat() for n in calendar.sessions[found].tolist()]
    assert list(zip(days, inside.tolist(), strict=True)) == list(moments.values())


def test_only_midnight_of_a_session_labels_a_bar_of_a_day() -> None:
    moments = at("2024-06-03", "2024-06-03T00:01", "2024-06-02", "2024-12-25", "1960-01-04", "2200-01-02")
    assert get_calendar(XNYS).is_session(moments).tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("name", "day", "expected"),
    [
        ("24/5", "2024-01-08", ("2024-01-07T22:00", "2024-01-08T22:00")),  # a Monday begins on Sunday evening
        ("24/5", "2024-01-12", ("2024-01-11T22:00", "2024-01-12T22:00")),
        ("24/5", "2024-03-11", ("2024-03-10T21:00", "2024-03-11T21:00")),  # summer time began that morning
        ("24/5", "2024-01-06", None),
        ("24/5", "2024-01-07", None),
        ("CMES", "2024-01-10", ("2024-01-09T23:00", "2024-01-10T22:00")),
        ("CMES", "2024-07-10", ("2024-07-09T22:00", "2024-07-10T21:00")),
        ("CMES", "2024-01-15", ("2024-01-14T23:00", "2024-01-15T18:00")),  # closes at noon on a holiday
        ("us_futures", "2024-07-10", ("2024-07-09T22:00", "2024-07-10T21:00")),
        ("CME", "2024-01-10", ("2024-01-09T23:00", "2024-01-10T22:00")),  # another name of CMES
    ],
)
def test_currencies_and_futures_trade_by_their_own_hours(name: str, day: str, expected: tuple[str, str] | None) -> None:
    assert hours(day, name) == expected


def test_currencies_trade_without_a_pause_from_sunday_evening_to_friday_evening() -> None:
    calendar = get_calendar("24/5")
    week = calendar.between(utc("2024-01-08"), utc("2024-01-13"))
    assert (calendar.opens[week][1:] == calendar.closes[week][:-1]).all()
    assert calendar.timezone == "America/New_York"


@pytest.mark.parametrize("name", ["ASEX", "XBEL", "XBSE", "XCYS", "XTAE"])
def test_a_calendar_that_cannot_be_built_is_one_short_error_that_names_it(name: str) -> None:
    with pytest.raises(UsageError, match=f"calendar '{name}' cannot be built by exchange_calendars") as caught:
        get_calendar(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_unknown_calendar_is_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="calendar 'NOWHERE' is not known; use XNYS for US stocks, 24/7 for crypto"):
        get_calendar("NOWHERE")
    assert {XNYS, "24/7", "XLON"} <= set(calendar_names())
