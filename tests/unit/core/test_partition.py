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


def test_nobody_makes_one_in_another_way() -> None:
    folders = ["assets", "benchmarks", "chandlery", "expectations", "pipelines", "resources", "tests"]
    makers = [
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bPartition\(", path.read_text()) and path != Path(__file__)
    ]
    assert makers == []
