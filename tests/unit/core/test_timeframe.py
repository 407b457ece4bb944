"""Timeframes: names, widths, windows, and what a person may write as a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.timeframe import INGESTED, Timeframe, derived_from
from chandlery.errors import UsageError
from tests.support import utc


def test_there_are_nine_from_narrow_to_wide() -> None:
    assert [tf.value for tf in Timeframe] == ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mo"]
    assert [tf.rank for tf in Timeframe] == list(range(9))


def test_two_are_ingested_and_each_other_derives_from_one_of_them() -> None:
    assert [tf.value for tf in INGESTED] == ["1m", "1d"]
    assert [tf.value for tf in derived_from(Timeframe.M1)] == ["5m", "15m", "30m", "1h", "4h"]
    assert [tf.value for tf in derived_from(Timeframe.D1)] == ["1w", "1mo"]
    assert derived_from(Timeframe.H1) == ()
    assert {tf for tf in Timeframe if tf.is_ingested} == set(INGESTED)


def test_a_day_is_a_whole_number_of_every_intraday_bar() -> None:
    for timeframe in Timeframe:
        assert timeframe.is_intraday == (timeframe.microseconds < 86_400_000_000)
        assert 86_400_000_000 % timeframe.microseconds == 0


@pytest.mark.parametrize(
    ("timeframe", "moment", "key", "start", "end"),
    [
        (Timeframe.M1, utc("2024-02-29T23:59"), "2024-02", "2024-02-01", "2024-03-01"),
        (Timeframe.H4, date(2023, 12, 31), "2023-12", "2023-12-01", "2024-01-01"),
        (Timeframe.D1, utc("2024-01-01"), "2024", "2024-01-01", "2025-01-01"),
        (Timeframe.MO1, date(1999, 12, 31), "1999", "1999-01-01", "2000-01-01"),
    ],
)
def test_a_window_is_a_month_intraday_and_a_year_otherwise(
    timeframe: Timeframe, moment: date, key: str, start: str, end: str
) -> None:
    window = timeframe.window_of(moment)
    assert (window.key, window.start, window.end) == (key, utc(start), utc(end))
    assert timeframe.window(key) == window


@pytest.mark.parametrize(
    ("timeframe", "key", "shape"),
    [
        (Timeframe.M1, "2024", "YYYY-MM"),
        (Timeframe.M1, "2024-13", "YYYY-MM"),
        (Timeframe.M1, "2024-01-01", "YYYY-MM"),
        (Timeframe.D1, "2024-01", "YYYY"),
        (Timeframe.D1, "", "YYYY"),
        (Timeframe.D1, "year", "YYYY"),
    ],
)
def test_a_window_of_another_form_is_refused(timeframe: Timeframe, key: str, shape: str) -> None:
    with pytest.raises(UsageError, match=f"is not of the form {shape}$"):
        timeframe.window(key)


def test_windows_cover_a_range_without_its_end() -> None:
    keys = [window.key for window in Timeframe.M1.windows(utc("2023-11-30T23:59"), utc("2024-02-01"))]
    assert keys == ["2023-11", "2023-12", "2024-01"]
    assert [window.key for window in Timeframe.D1.windows(utc("2023-12-31"), utc("2024-01-01T00:01"))] == [
        "2023",
        "2024",
    ]
    assert list(Timeframe.M1.windows(utc("2024-01-01"), utc("2024-01-01"))) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-01-31", "2024-01-31T00:00"),
        ("2024-01-31T14:30:00Z", "2024-01-31T14:30"),
        ("2024-01-31T14:30-05:00", "2024-01-31T19:30"),
        (date(2024, 1, 31), "2024-01-31T00:00"),
        (datetime(2024, 1, 31, 1, tzinfo=timezone(timedelta(hours=2))), "2024-01-30T23:00"),
    ],
)
def test_a_moment_is_read_in_utc(given: str | date, expected: str) -> None:
    moment = parse_moment(given, name="start")
    assert moment == utc(expected)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("given", ["2024-01-31T14:30", datetime(2024, 1, 31, 14, 30)])  # noqa: DTZ001 - the point
def test_a_time_of_day_without_a_zone_is_refused(given: str | date) -> None:
    with pytest.raises(UsageError, match=r"start=.* has no time zone; add one, for example 2024-01-31T14:30:00\+00:00"):
        parse_moment(given, name="start")


@pytest.mark.parametrize("given", ["", "tomorrow", "2024-02-30", "31.01.2024", "2024-01-31T25:00Z"])
def test_what_is_no_time_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(UsageError, match=r"as_of=.* is not a date or time; write 2024-01-31"):
        parse_moment(given, name="as_of")


@pytest.mark.parametrize("given", ["0001-01-01T00:00+14:00", "9999-12-31T23:00-10:00"])
def test_a_moment_beyond_the_end_of_time_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="is not in the years 1 to 9999 in UTC"):
        parse_moment(given, name="start")


def test_a_range_that_is_empty_or_reversed_is_explained() -> None:
    with pytest.raises(UsageError, match="one day is start=9999-12-30 end=9999-12-31"):
        parse_range("9999-12-31", "2024-01-02")
    assert parse_range("2024-01-01", "2024-01-02") == (utc("2024-01-01"), utc("2024-01-02"))
    with pytest.raises(UsageError, match=r"half-open.* one day is start=2024-01-02 end=2024-01-03"):
        parse_range("2024-01-02", "2024-01-02")
    with pytest.raises(UsageError, match="start=2024-01-03 is not before end=2024-01-02"):
        parse_range("2024-01-03", "2024-01-02")


def test_the_last_window_of_all_ends_with_time_itself() -> None:
    for timeframe in (Timeframe.M1, Timeframe.D1):
        window = timeframe.window_of(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
        assert window.end == datetime.max.replace(tzinfo=UTC)
        assert window.start.year == 9999
