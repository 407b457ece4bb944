"""The Python interface for servers. Its types stand in ``asynchronous.pyi``, which is made from ``DataAPI``'s own."""

from __future__ import annotations

from chandlery.api.data import DataAPI
from chandlery.api.in_threads import InThreads, with_calls_of


@with_calls_of(DataAPI, less=frozenset({"close"}))
class AsyncDataAPI(InThreads):
    """Reads bars for servers: every call of ``DataAPI``, to be awaited; see there for arguments, answers and errors.

    Calls run in a bounded number of threads, and further ones wait. ``async with AsyncDataAPI() as api`` closes threads
    and connections at the end of the block. Whoever is cancelled waits no longer, and no connection is lost by it. A
    forked or spawned process, and a loop that replaces another, may use it too.

    Args:
        warehouse: where to read; the installation's own by default (see ``Settings``).
        cache: keeps what was read; as of ``DataAPI``.
        threads: how many calls run at a time, 1 or more; further connections than a process may have are of no use.
    """
