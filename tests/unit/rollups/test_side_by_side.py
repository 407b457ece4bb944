"""Pieces of work that are done at the same time, and how many days each of them has."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.rollups.refresh import RollupLimits
from chandlery.rollups.side_by_side import side_by_side


def test_pieces_are_under_way_at_the_same_time_and_their_results_come_in_order() -> None:
    second_is_done = threading.Event()

    def work(piece: int) -> Iterator[tuple[int, str]]:
        if piece == 0:
            assert second_is_done.wait(60)  # which nobody would do if the pieces came one after the other
        yield piece, "begun"
        yield piece, "done"
        if piece == 1:
            second_is_done.set()

    expected = [(piece, what) for piece in range(5) for what in ("begun", "done")]
    assert list(side_by_side(work, range(5), 2)) == expected


@pytest.mark.parametrize(("pieces", "at_once"), [([7], 2), ([7, 8], 1), ([], 2)])
def test_nothing_to_do_at_the_same_time_is_done_where_it_is_called(pieces: list[int], at_once: int) -> None:
    def work(piece: int) -> Iterator[tuple[int, threading.Thread]]:
        yield piece, threading.current_thread()

    assert list(side_by_side(work, pieces, at_once)) == [(piece, threading.current_thread()) for piece in pieces]


@pytest.mark.parametrize("bad", [0, 1])
def test_a_failure_comes_after_what_was_under_way_and_nothing_is_begun_after_it(bad: int) -> None:
    both = threading.Barrier(2, timeout=60)
    begun = []

    def work(piece: int) -> Iterator[int]:
        begun.append(piece)
        yield piece
        both.wait()
        if piece == bad:
            raise ValueError(f"piece {piece}")
        yield -piece

    results = []
    with pytest.raises(ValueError, match=f"piece {bad}"):
        results.extend(side_by_side(work, [0, 1], 2))
    assert sorted(begun) == [0, 1]
    assert sorted(results) == sorted([0, 1, bad - 1])  # of the bad one, what it yielded before; of the other, all


def test_nothing_is_begun_after_a_failure_that_is_known() -> None:
    begun = []

    def work(piece: int) -> Iterator[int]:
        begun.append(piece)
        raise ValueError(f"piece {piece}")
        yield piece

    with pytest.raises(ValueError, match="piece 0"):
        list(side_by_side(work, range(9), 2))
    assert sorted(begun) == [0, 1]


@pytest.mark.parametrize(
    ("base", "stale", "expected"),
    [
        (Timeframe.M1, 1, 750),  # too few to be divided
        (Timeframe.M1, 29, 750),
        (Timeframe.M1, 30, 15),
        (Timeframe.M1, 100, 50),
        (Timeframe.M1, 1500, 750),
        (Timeframe.M1, 2100, 525),  # two at a time, twice
        (Timeframe.D1, 299, 7500),
        (Timeframe.D1, 301, 151),
        (Timeframe.D1, 15_001, 3751),
    ],
)
def test_stale_days_are_divided_evenly_among_transactions_that_go_side_by_side(
    base: Timeframe, stale: int, expected: int
) -> None:
    assert RollupLimits().days_per_step(base, stale) == expected


def test_a_transaction_has_one_day_at_least_and_no_more_than_the_limit() -> None:
    assert RollupLimits(minute_days=1, worth_dividing=0).days_per_step(Timeframe.M1, 0) == 1
    assert RollupLimits(minute_days=10, at_once=1).days_per_step(Timeframe.M1, 100) == 10
