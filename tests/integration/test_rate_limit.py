"""A rate limit that threads of one process share, and one that all processes of an installation share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection

import numpy as np
import pytest

from chandlery.database.connections import Database
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.rate_limit import LEEWAY, LocalRateLimiter, RateLimiter, interval, local_rate_limiter
from chandlery.providers.http.shared_rate_limit import SharedRateLimiter, shared_rate_limiters
from tests.acceptance.workers import context

PER_MINUTE = 1200.0
SPACING = interval(PER_MINUTE)


def call(dsn: str, name: str, count: int, pipe: Connection) -> None:
    """In a process: make ``count`` calls with two threads, on a signal, and send back when each was made."""
    database = Database(dsn)
    caller = Caller("test", SharedRateLimiter(database, name, PER_MINUTE))
    pipe.send("ready")
    pipe.recv()
    pipe.send(make_calls([caller, caller], count // 2))
    database.close()


def make_calls(callers: list[Caller], each: int) -> list[float]:
    made: list[float] = []

    def work(caller: Caller) -> None:
        for _ in range(each):
            caller.call(lambda: made.append(time.time()), explain=lambda _: None, about="")

    threads = [threading.Thread(target=work, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


class Processes:
    """Some processes that call within one rate limit."""

    def __init__(self, dsn: str, names: list[str], count: int) -> None:
        self.pipes, self.processes = [], []
        for name in names:
            ours, theirs = context().Pipe()
            process = context().Process(target=call, args=(dsn, name, count, theirs))
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            assert pipe.recv() == "ready"

    def go(self) -> None:
        for pipe in self.pipes:
            pipe.send("go")

    def made(self) -> list[list[float]]:
        times = []
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            assert pipe.poll(60)
            times.append(pipe.recv())
            process.join(10)
            assert process.exitcode == 0
        return times


def excess(made: list[float]) -> float:
    """Return by how many seconds, at most, a run of calls was shorter than its number allows."""
    at = np.sort(made)
    places = np.arange(len(at)) * SPACING
    ahead = places - at
    return float((ahead - np.minimum.accumulate(ahead)).max())


@pytest.mark.slow
def test_processes_share_a_rate_limit(database: Database) -> None:
    processes = Processes(database.dsn, ["key"] * 3, 40)
    processes.go()
    made = processes.made()
    assert [len(calls) for calls in made] == [40] * 3
    together = [at for calls in made for at in calls]
    # However many calls one looks at, they took as long as they must, but for how late the first of them was.
    assert excess(together) < LEEWAY
    assert max(together) - min(together) == pytest.approx(119 * SPACING, abs=LEEWAY)
    # None of them was kept waiting until the others were through.
    for calls in made:
        assert min(calls) < min(together) + 30 * SPACING + LEEWAY


@pytest.mark.slow
def test_rate_limits_of_different_names_are_not_shared(database: Database) -> None:
    processes = Processes(database.dsn, ["first", "second"], 60)
    processes.go()
    for calls in processes.made():
        assert excess(calls) < LEEWAY
        assert max(calls) - min(calls) == pytest.approx(59 * SPACING, abs=LEEWAY)


@pytest.mark.slow
def test_a_pause_holds_up_every_process_those_that_wait_for_their_turn_too(database: Database) -> None:
    processes = Processes(database.dsn, ["key"] * 3, 30)
    processes.go()
    time.sleep(1)
    SharedRateLimiter(database, "key", PER_MINUTE).pause(2)
    paused = time.time()
    made = [at for calls in processes.made() for at in calls]
    assert len(made) == 90
    assert sum(at < paused for at in made) > 5
    # A call that was on its way may still arrive.
    assert not [at - paused for at in made if paused + 0.5 < at < paused + 1.99]
    # What was reserved before is not made up for in a burst.
    assert excess([at for at in made if at > paused + 1.5]) < LEEWAY


def test_a_shared_rate_limit_is_due_when_it_says(database: Database) -> None:
    rate_limiter, neighbour = (SharedRateLimiter(database, "key", 60) for _ in range(2))
    assert rate_limiter.reserve() == 0
    assert rate_limiter.paused() == 0
    assert neighbour.reserve() == pytest.approx(interval(60), abs=0.5)
    assert rate_limiter.reserve() == pytest.approx(2 * interval(60), abs=0.5)
    neighbour.pause(30)
    neighbour.pause(10)  # the longer one holds
    assert rate_limiter.paused() == pytest.approx(30, abs=0.5)
    assert rate_limiter.reserve() == pytest.approx(30, abs=0.5)
    assert neighbour.reserve() == pytest.approx(30 + interval(60), abs=0.5)
    assert SharedRateLimiter(database, "another", 60).reserve() == 0


def test_an_idle_time_is_not_saved_up(database: Database) -> None:
    rate_limiter = SharedRateLimiter(database, "key", 60)
    rate_limiter.reserve()
    with database.connection() as connection:
        connection.execute("UPDATE ops.rate_limit SET due = due - %s", (timedelta(hours=1),))
    assert rate_limiter.reserve() == 0
    assert rate_limiter.reserve() > 0.5


def test_a_provider_without_a_limit_costs_the_database_nothing(database: Database) -> None:
    assert isinstance(shared_rate_limiters(database)("key", None), LocalRateLimiter)
    assert isinstance(shared_rate_limiters(database)("key", 5.0), SharedRateLimiter)


def test_threads_share_a_local_rate_limiter() -> None:
    rate_limiter = local_rate_limiter("key", PER_MINUTE)
    made = make_calls([Caller("test", rate_limiter) for _ in range(8)], 10)
    assert len(made) == 80
    assert excess(made) < LEEWAY
    assert max(made) - min(made) == pytest.approx(79 * SPACING, abs=LEEWAY)


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


def _unlimited() -> RateLimiter:
    return LocalRateLimiter(None)


def _limited() -> RateLimiter:
    return LocalRateLimiter(60_000)


@pytest.mark.parametrize("build", [_unlimited, _limited])
def test_a_local_rate_limiter_pauses(build: Callable[[], RateLimiter]) -> None:
    rate_limiter = build()
    assert rate_limiter.reserve() == 0
    assert rate_limiter.paused() == 0
    rate_limiter.pause(10)
    assert rate_limiter.paused() == pytest.approx(10, abs=0.5)
    assert rate_limiter.reserve() == pytest.approx(10, abs=0.5)


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
