"""Ranges that were requested one after the other count as one."""

from __future__ import annotations

from dataclasses import replace

from chandlery.coverage.requested import RequestedRange, _joined
from tests.support import utc

FIRST = RequestedRange(1, "XNYS", utc("2024-01-01"), utc("2024-02-01"), utc("2024-06-02"))
NEXT = replace(FIRST, start=FIRST.end, end=utc("2024-03-01"), requested_at=utc("2024-06-01"))


def test_ranges_that_follow_each_other_are_one_as_old_as_the_older() -> None:
    assert _joined([NEXT, FIRST]) == [replace(FIRST, end=NEXT.end, requested_at=NEXT.requested_at)]
    other = replace(NEXT, instrument_id=2)
    assert _joined([other, FIRST]) == [FIRST, other]


def test_a_range_that_is_empty_is_no_error() -> None:
    empty = replace(FIRST, end=FIRST.start)
    assert _joined([empty]) == [empty]
    assert _joined([]) == []
