"""Widths of bars, in every spelling, and what is refused."""

from __future__ import annotations

import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width, parse_width
from chandlery.errors import UsageError

SPELLINGS = {
    "1m": "1m 1min 1T 1t T min minute 1minute 1minutes 1Min 1mins 1MIN 1_min",
    "5m": "5m 5min 5T 5Min 5minutes 5_mins",
    "1h": "1h 1H 60m 60min 60T 1hour 1Hour hourly hour 1hr H h 1_hour",
    "4h": "4h 4H 240m 240min 4hours",
    "1d": "1d 1D D d daily day 1day 1Day 1_day",
    "1w": "1w 1W weekly week 1week 1Week 1wk W",
    "1mo": "1mo 1mon monthly month 1month 1Month 1MO 1Mon 1mth",
    "90m": "90m 90min 90T",
    "2h": "2h 120m 2H 120min",
    "10m": "10m 10T",
    "24h": "24h 1440m",
    "3d": "3d 3D 3days",
    "2w": "2w 2W 2weeks",
    "1q": "1q 3mo 1Q quarterly quarter 3months Q",
    "1y": "1y 12mo 4q yearly annual 1Y year",
    "5mo": "5mo",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_width_may_be_written_in_many_ways(name: str) -> None:
    for text in SPELLINGS[name].split():
        spelling = text.replace("_", " ")
        assert parse_width(spelling).name == name, spelling
        if name in tuple(Timeframe):
            assert Timeframe.parse(spelling) is Timeframe(name)


def test_a_name_reads_back_as_its_width() -> None:
    for unit, counts in (("m", range(1, 1441)), ("d", range(1, 40)), ("w", range(1, 9)), ("mo", range(1, 25))):
        for count in counts:
            width = Width(count, unit)  # type: ignore[arg-type]
            assert parse_width(width.name) == width


@pytest.mark.parametrize("text", ["M", "1M", "5M", "12M"])
def test_a_capital_m_alone_is_ambiguous(text: str) -> None:
    number = text[:-1] or "1"
    with pytest.raises(
        UsageError, match=rf"timeframe='{text}' may mean minutes or months; write {number}m or {number}mo"
    ):
        parse_width(text)
    with pytest.raises(UsageError, match="may mean minutes or months"):
        Timeframe.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1",
        "60",
        "0m",
        "-1m",
        "1.5h",
        "1d ",
        " 1d",
        "1  d",
        "x",
        "1x",
        "1d1h",
        "25h",
        "11y",
        "99999m",
        "1s",
        "5sec",
        "tick",
        None,
        5,
        ["1d"],
    ],
)
def test_what_is_no_width_is_refused_with_what_is(text: object) -> None:
    with pytest.raises(
        UsageError, match=r"^timeframe=.*(allowed: 1m 5m 15m 30m 1h 4h 1d 1w 1mo, or any other|give 1m to 24h)"
    ):
        parse_width(text)


@pytest.mark.parametrize("text", ["2m", "2h", "3d", "1q", "1y", "24h"])
def test_what_is_not_stored_is_no_timeframe(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not stored; allowed: 1m 5m 15m 30m 1h 4h 1d 1w 1mo$"):
        Timeframe.parse(text)


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("2h", "1h 30m 15m 5m 1m"),
        ("90m", "30m 15m 5m 1m"),
        ("10m", "5m 1m"),
        ("7m", "1m"),
        ("12h", "4h 1h 30m 15m 5m 1m"),
        ("3d", "1d"),
        ("2w", "1w 1d"),
        ("1q", "1mo 1d"),
        ("1y", "1mo 1d"),
        ("4h", "4h 1h 30m 15m 5m 1m"),
    ],
)
def test_a_width_is_made_of_the_widest_timeframe_that_divides_it(text: str, bases: str) -> None:
    assert [base.value for base in parse_width(text).bases] == bases.split()
