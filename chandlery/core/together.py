"""Doing a few independent pieces of a read at the same time, in the threads of one small pool.

Arrow decodes and the server answers without Python's lock, so that two cores are busy. Not here: long work whose
results come one after another (``rollups.side_by_side``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_R = TypeVar("_R")
#: More would wait for the same cores, or for the same server.
_THREADS = min(8, (os.cpu_count() or 1) + 1)
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def do_together(works: Sequence[Callable[[], _R]]) -> list[_R]:
    """Return what each of ``works`` returns, in their order; the first error is raised once none is under way.

    A piece may itself do others together. The caller does what no thread has begun, so nobody waits for a free one.
    """
    if len(works) < 2:
        return [work() for work in works]
    pool = _pool()
    futures = [pool.submit(work) for work in works[1:]]
    results: list[_R] = []
    error: BaseException | None = None
    for work, future in zip(works, [None, *futures], strict=True):
        try:
            if error is not None and (future is None or future.cancel()):
                continue
            results.append(work() if future is None or future.cancel() else future.result())
        except BaseException as failure:  # noqa: BLE001 - raised below, once no piece is under way
            error = error or failure
    if error is not None:
        raise error
    return results


def _pool() -> ThreadPoolExecutor:
    """Return this process's pool: a forked child has no threads of its parent's."""
    pool = _pools.get(os.getpid())
    if pool is None:
        with _lock:
            pool = _pools.setdefault(os.getpid(), ThreadPoolExecutor(_THREADS, thread_name_prefix="read"))
    return pool


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it at the fork
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_lock)
