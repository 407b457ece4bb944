"""Arithmetic on ranges does what sets of days do."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.time_ranges import Range, intersect, merge, overlapping, subtract

_FIRST = date(2024, 1, 1)
_DAYS = [_FIRST + timedelta(days=number) for number in range(12)]
days = st.sampled_from(_DAYS)
#: Some are empty, and some end before they start.
a_range = st.tuples(days, days)
some_ranges = st.lists(a_range, max_size=6)


def within(ranges: list[Range[date]]) -> set[date]:
    return {day for day in _DAYS for start, end in ranges if start <= day < end}


def are_ascending_and_apart(ranges: list[Range[date]]) -> bool:
    return all(start < end for start, end in ranges) and all(before[1] < after[0] for before, after in pairwise(ranges))


@given(some_ranges)
def test_merging_keeps_the_days_and_joins_what_touches(ranges: list[Range[date]]) -> None:
    merged = merge(ranges)
    assert within(merged) == within(ranges)
    assert are_ascending_and_apart(merged)


@given(some_ranges, some_ranges)
def test_subtracting_leaves_the_days_that_were_not_removed(
    ranges: list[Range[date]], removed: list[Range[date]]
) -> None:
    remaining = subtract(ranges, removed)
    assert within(remaining) == within(ranges) - within(removed)
    assert all(start < end for start, end in remaining)


@given(some_ranges, some_ranges)
def test_subtracting_from_merged_ranges_leaves_them_ascending_and_disjoint(
    ranges: list[Range[date]], removed: list[Range[date]]
) -> None:
    remaining = subtract(merge(ranges), removed)
    assert all(before[1] <= after[0] for before, after in pairwise(remaining))


@given(some_ranges, a_range)
def test_intersecting_leaves_the_days_of_both(ranges: list[Range[date]], limit: Range[date]) -> None:
    parts = intersect(ranges, limit)
    assert within(parts) == within(ranges) & within([limit])
    assert all(start < end for start, end in parts)


@given(some_ranges, a_range)
def test_what_is_left_and_what_is_common_make_up_the_whole(ranges: list[Range[date]], limit: Range[date]) -> None:
    assert merge([*intersect(ranges, limit), *subtract(ranges, [limit])]) == merge(ranges)


@given(some_ranges, a_range)
def test_ranges_overlap_that_have_a_day_in_common(ranges: list[Range[date]], requested: Range[date]) -> None:
    common = [item for item in ranges if within([item]) & within([requested])]
    assert overlapping(ranges, requested) == common
