"""The unit of ingestion: made in one way, and never larger than its window."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from tests.support import Traded, utc

ROOT = Path(__file__).parents[3]
JANUARY = Timeframe.M1.window("2024-01")
APPLE = Traded("AAPL", "XNYS", listed=date(1980, 12, 12), instrument_id=7)


def test_it_carries_what_it_has_to_know_of_its_instrument() -> None:
    partition = Partition.of(APPLE, Timeframe.M1, JANUARY)
    assert (partition.instrument_id, partition.symbol, partition.calendar) == (7, "AAPL", "XNYS")
    assert (partition.listed, partition.delisted) == (date(1980, 12, 12), None)
    assert partition.key == "AAPL|2024-01"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, ("2024-01-01", "2024-02-01")),
        ("2023-12-24", "2024-01-05", ("2024-01-01", "2024-01-05")),
        ("2024-01-30", "2024-03-01", ("2024-01-30", "2024-02-01")),
        ("2024-01-03", "2024-01-05", ("2024-01-03", "2024-01-05")),
        ("2023-11-01", "2023-12-01", ("2024-01-01", "2024-01-01")),
        ("2024-01-05", "2024-01-03", ("2024-01-05", "2024-01-05")),
    ],
)
def test_it_is_the_part_of_its_window_within_the_range(
    start: str | None, end: str | None, expected: tuple[str, str]
) -> None:
    partition = Partition.of(APPLE, Timeframe.M1, JANUARY, start and utc(start), end and utc(end))
    assert (partition.start, partition.end) == tuple(map(utc, expected))


@pytest.mark.parametrize(
    ("timeframe", "window", "listed", "delisted", "expected"),
    [
        ("1d", "2012", date(2012, 5, 18), None, ("2012-05-18", "2013-01-01")),
        ("1d", "2012", None, date(2012, 5, 18), ("2012-01-01", "2012-05-18")),
        ("1d", "2012", date(2012, 5, 18), date(2012, 6, 18), ("2012-05-18", "2012-06-18")),
        ("1d", "2011", date(2012, 5, 18), None, ("2012-05-18", "2012-05-18")),
        # From half way between the close before, on the 17th at 20:00Z, and the open of the first session.
        ("1m", "2012-05", date(2012, 5, 18), None, ("2012-05-18 04:45:00.000001", "2012-06-01")),
        # The last session's evening belongs to it; the next one, of which there are no bars, is Friday's.
        ("1m", "2012-05", None, date(2012, 5, 18), ("2012-05-01", "2012-05-18 04:45:00.000001")),
    ],
)
def test_it_ends_where_the_instrument_was_not_listed(
    timeframe: str, window: str, listed: date | None, delisted: date | None, expected: tuple[str, str]
) -> None:
    base = Timeframe(timeframe)
    partition = Partition.of(Traded("FB", "XNYS", listed, delisted), base, base.window(window))
    assert (partition.start, partition.end) == tuple(map(utc, expected))
    assert partition.is_unlisted == (partition.start == partition.end)


def test_a_window_that_is_not_requested_is_not_one_without_listing() -> None:
    partition = Partition.of(APPLE, Timeframe.M1, JANUARY, utc("2024-03-01"), utc("2024-04-01"))
    assert partition.start == partition.end
    assert not partition.is_unlisted


def test_nobody_makes_one_in_another_way() -> None:
    folders = ["assets", "benchmarks", "chandlery", "expectations", "pipelines", "resources", "tests"]
    makers = [
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bPartition\(", path.read_text()) and path != Path(__file__)
    ]
    assert makers == []
