"""Counts with what they count, in words; and that every message makes them by the one helper."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chandlery.core.text import counted, plural

ROOT = Path(__file__).parents[3]
#: A value in braces that counts, by its name, before the plural of what messages count.
_COUNT = r"\{(?:number\([^{}]*\)|len\([^{}]*\)|[\w.]*(?:count|rows|bars|total|num_rows|waiting)\w*(?::,)?)\}"
_THINGS = (
    "rows|bars|findings|jumps|partitions|windows|files|sessions|days|entries|answers|requests|calls|minutes|symbols"
)
#: Numbers that are never one, or part of what comes before: ``2 of 5``.
_FREE = re.compile(r" of \{|\{len\(tables\)\} files|[a-z]=\{|-\(-")


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (1, ("row",), "1 row"), (0, ("row",), "0 rows"), (2000, ("row",), "2,000 rows"),
        (1, ("finding waits", "findings wait"), "1 finding waits"), (2, ("entry", "entries"), "2 entries"),
    ],
)  # fmt: skip
def test_a_count_says_what_it_counts(count: int, words: tuple[str, ...], said: str) -> None:
    assert counted(count, *words) == said


def test_a_word_alone_goes_by_its_count() -> None:
    assert [plural(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]


def test_no_message_writes_a_plural_after_a_count_that_may_be_one() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("chandlery", "assets", "pipelines", "expectations", "resources")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(rf"{_COUNT} (?:\w+ )?(?:{_THINGS})\b", line) and not _FREE.search(line)
    ]
    assert found == []
