"""A rate limit that threads of one process share, and one that all processes of an installation share.

No test waits for a turn: turns lie so far apart that however long a busy machine takes, it is little against them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.connection import Connection

import numpy as np
import pytest

from chandlery.database.connections import Database
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.rate_limit import LEEWAY, LocalRateLimiter, interval, local_rate_limiter
from chandlery.providers.http.shared_rate_limit import SharedRateLimiter, shared_rate_limiters
from tests.acceptance.workers import context

PER_MINUTE = 0.01
SPACING = interval(PER_MINUTE)
#: Seconds that a test may take from one statement to the next.
DELAY = 300


def reserve(dsn: str, name: str, count: int, pipe: Connection) -> None:
    """In a process: reserve ``count`` calls with two threads, on a signal; send back when they are due."""
    database = Database(dsn)
    limiter = SharedRateLimiter(database, name, PER_MINUTE)
    seconds: list[float] = []

    def work() -> None:
        seconds.extend(limiter.reserve() for _ in range(count // 2))

    pipe.send("ready")
    pipe.recv()
    run_threads([work, work])
    pipe.send(seconds)
    database.close()


def run_threads(targets: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def reserve_at_once(dsn: str, names: list[str], count: int) -> list[list[float]]:
    """Let a process for each name reserve ``count`` calls, all at the same time; return what each was told."""
    pipes, processes = [], []
    for name in names:
        ours, theirs = context().Pipe()
        process = context().Process(target=reserve, args=(dsn, name, count, theirs))
        process.start()
        theirs.close()  # so that the pipe ends with the process
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        assert pipe.recv() == "ready"
    for pipe in pipes:
        pipe.send("go")
    seconds = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return seconds


def check_turns(seconds: list[float]) -> None:
    """Assert that each of these reservations has a turn of its own, one after the other, beginning at once."""
    assert sorted(seconds) == pytest.approx(list(np.arange(len(seconds)) * SPACING), abs=DELAY)


def test_processes_share_a_rate_limit(database: Database) -> None:
    reserved = reserve_at_once(database.dsn, ["key"] * 3, 40)
    assert [len(seconds) for seconds in reserved] == [40] * 3
    check_turns([turn for seconds in reserved for turn in seconds])


def test_rate_limits_of_different_names_are_not_shared(database: Database) -> None:
    for seconds in reserve_at_once(database.dsn, ["first", "second"], 60):
        assert len(seconds) == 60
        check_turns(seconds)


def test_a_pause_holds_up_those_that_wait_for_their_turn_already(database: Database) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 1:  # another process, while this one waits for its turn
            SharedRateLimiter(database, "key", PER_MINUTE).pause(10 * SPACING)

    caller = Caller("test", SharedRateLimiter(database, "key", PER_MINUTE), wait=wait)
    SharedRateLimiter(database, "key", PER_MINUTE).reserve()
    caller.call(lambda: None, explain=lambda _: None, about="")
    # The turn that came before the end of the pause is given up for the first one after it.
    assert waited == pytest.approx([SPACING, 10 * SPACING], abs=DELAY)


def test_a_shared_rate_limit_is_due_when_it_says(database: Database) -> None:
    rate_limiter, neighbour = (SharedRateLimiter(database, "key", PER_MINUTE) for _ in range(2))
    assert rate_limiter.reserve() == 0
    assert rate_limiter.paused() == 0
    assert neighbour.reserve() == pytest.approx(SPACING, abs=DELAY)
    assert rate_limiter.reserve() == pytest.approx(2 * SPACING, abs=DELAY)
    neighbour.pause(30 * SPACING)
    neighbour.pause(10 * SPACING)  # the longer one holds
    assert rate_limiter.paused() == pytest.approx(30 * SPACING, abs=DELAY)
    assert rate_limiter.reserve() == pytest.approx(30 * SPACING, abs=DELAY)
    assert neighbour.reserve() == pytest.approx(31 * SPACING, abs=DELAY)
    assert SharedRateLimiter(database, "another", PER_MINUTE).reserve() == 0


def test_turns_are_an_interval_apart_to_the_microsecond(database: Database) -> None:
    rate_limiter = SharedRateLimiter(database, "key", 60)
    with database.connection() as connection:

        def due() -> datetime:
            row = connection.execute("SELECT due FROM ops.rate_limit").fetchone()
            assert row is not None
            return row[0]  # type: ignore[no-any-return]

        rate_limiter.reserve()
        connection.execute("UPDATE ops.rate_limit SET due = due + %s", (timedelta(days=1),))
        first = due()
        for number in range(1, 4):
            rate_limiter.reserve()
            assert due() == first + number * timedelta(seconds=interval(60))


def test_an_idle_time_is_not_saved_up(database: Database) -> None:
    rate_limiter = SharedRateLimiter(database, "key", PER_MINUTE)
    rate_limiter.reserve()
    with database.connection() as connection:
        connection.execute("UPDATE ops.rate_limit SET due = due - %s", (timedelta(days=100),))
    assert rate_limiter.reserve() == 0
    assert rate_limiter.reserve() == pytest.approx(SPACING, abs=DELAY)


def test_a_provider_without_a_limit_costs_the_database_nothing(database: Database) -> None:
    assert isinstance(shared_rate_limiters(database)("key", None), LocalRateLimiter)
    assert isinstance(shared_rate_limiters(database)("key", 5.0), SharedRateLimiter)


def test_threads_share_a_local_rate_limiter() -> None:
    rate_limiter = local_rate_limiter("key", PER_MINUTE)
    waited: list[float] = []

    def work() -> None:
        caller = Caller("test", rate_limiter, wait=waited.append)
        for _ in range(10):
            caller.call(lambda: None, explain=lambda _: None, about="")

    run_threads([work] * 8)
    check_turns([0, *waited])  # the first call had not to wait


def test_a_turn_is_given_to_one_thread_only() -> None:
    now = [0.0]
    rate_limiter = LocalRateLimiter(60, clock=lambda: now[0])
    turns: list[float] = []

    def work() -> None:
        turns.extend(rate_limiter.reserve() for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == pytest.approx(list(np.arange(1600) * interval(60)))


@pytest.mark.parametrize("per_minute", [None, 60_000])
def test_a_local_rate_limiter_pauses(per_minute: float | None) -> None:
    rate_limiter = LocalRateLimiter(per_minute, clock=lambda: 0.0)
    assert rate_limiter.reserve() == 0
    assert rate_limiter.paused() == 0
    rate_limiter.pause(10)
    assert rate_limiter.paused() == 10
    assert rate_limiter.reserve() == 10


@pytest.mark.parametrize("per_minute", [5, 60, 200, 600])
def test_no_minute_holds_more_than_the_limit_while_calls_are_late_by_less_than_the_leeway(per_minute: int) -> None:
    rate_limiter = LocalRateLimiter(per_minute, clock=lambda: 0.0)
    due = np.array([rate_limiter.reserve() for _ in range(5 * per_minute)])
    late = np.random.default_rng(4).uniform(0, LEEWAY, len(due))
    assert 0.98 * per_minute <= busiest_minute(due + late) <= per_minute
    # As it would be if calls were spaced by a minute divided by the limit.
    assert busiest_minute(due * 60 / (60 + LEEWAY) + late) > per_minute


def busiest_minute(at: np.ndarray) -> int:
    ordered = np.sort(at)
    return int((np.searchsorted(ordered, ordered + 60) - np.arange(len(ordered))).max())
