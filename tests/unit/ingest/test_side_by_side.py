"""Works side by side: what they bring comes as it is brought, and none outlives the run."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from chandlery.ingest.side_by_side import Emit, SideBySide


def bring(*things: int) -> Callable[[Emit[int]], None]:
    def work(emit: Emit[int]) -> None:
        for thing in things:
            emit(thing)

    return work


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_everything_that_is_brought_comes() -> None:
    assert sorted(SideBySide([bring(1, 2), bring(), bring(3)], lambda: None).run()) == [1, 2, 3]
    assert list(SideBySide[int]([], lambda: None).run()) == []


def test_a_work_that_waits_does_not_hold_up_the_others() -> None:
    others_are_done = threading.Event()

    def patient(emit: Emit[int]) -> None:
        others_are_done.wait()
        emit(9)

    brought = []
    for thing in SideBySide([patient, bring(1, 2)], lambda: None).run():
        brought.append(thing)
        if len(brought) == 2:
            others_are_done.set()
    assert brought == [1, 2, 9]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_stops_the_others_and_is_raised(error: BaseException) -> None:
    woken = threading.Event()

    def hanging(emit: Emit[int]) -> None:
        woken.wait()
        emit(1)
        raise AssertionError("nobody takes what is brought any more")

    def failing(emit: Emit[int]) -> None:
        raise error

    before = names()
    with pytest.raises(type(error)):
        list(SideBySide([hanging, failing], woken.set).run())
    assert names() == before


def test_a_caller_who_takes_no_more_stops_all() -> None:
    woken = threading.Event()

    def endless(emit: Emit[int]) -> None:
        emit(1)
        woken.wait()
        while True:
            emit(2)

    before = names()
    run = SideBySide([endless], woken.set).run()
    assert next(iter(run)) == 1
    run.close()  # type: ignore[attr-defined]
    assert names() == before
