"""What a server needs to call ``DataAPI``: a bounded number of threads, and ``await``.

Not here: the calls themselves, which are those of ``DataAPI`` (``asynchronous``).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from chandlery.api.condition import Stats
from chandlery.api.data import DataAPI
from chandlery.cache.cache import Cache
from chandlery.core.arguments import check_count
from chandlery.database.forks import forget_in_children
from chandlery.errors import UsageError
from chandlery.tiers.warehouse import Warehouse

_Type = TypeVar("_Type")
_Answer = TypeVar("_Answer")
#: As many as there are connections for threads that hold none yet; see ``ConnectionLimits.shared``.
THREADS = 8


class InThreads:
    """Calls of ``DataAPI`` in threads of its own. Further calls wait for a thread, in the order in which they came.

    Whoever is cancelled waits no longer. A call that has begun ends by itself and gives its connection back; one that
    waits never begins. A forked child has threads and connections of its own.

    Args:
        warehouse: as of ``DataAPI``.
        cache: as of ``DataAPI``.
        threads: how many calls run at a time, 1 or more.
    """

    def __init__(
        self, warehouse: Warehouse | None = None, *, cache: Cache | None = None, threads: int = THREADS
    ) -> None:
        count = check_count(threads, name="threads", most=1000)
        if count is None:
            raise UsageError("threads=None is not allowed; give a whole number, 1 or more")
        self.threads = count
        self._api = DataAPI(warehouse, cache=cache)
        self._pool: ThreadPoolExecutor | None = None
        forget_in_children(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        """Say where it reads, without any secret."""
        return repr(self._api).replace(type(self._api).__name__, type(self).__name__, 1)

    def __reduce__(self) -> tuple[Callable[..., InThreads], tuple[DataAPI, int]]:
        """Be opened anew in a spawned process."""
        return functools.partial(_reopen, type(self)), (self._api, self.threads)

    async def close(self) -> None:
        """Let what runs end, and close the connections. The next call opens others."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._api.close)

    def read_stats(self) -> Stats:
        """Return what ``stats`` returns, at once: it waits for nothing but the cache's places."""
        return self._api.stats()

    def forget(self) -> None:
        """Be as new, in a forked child, which has none of the parent's threads."""
        self._pool = None

    async def _call(self, call: Callable[..., _Answer], *args: Any, **kwargs: Any) -> _Answer:  # noqa: ANN401 - handed on
        """Return what ``call`` returns of ``DataAPI``, in a thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="chandlery-read")
        context = contextvars.copy_context()
        bound = functools.partial(context.run, call, self._api, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, bound)


def with_calls_of(owner: type[DataAPI], *, less: frozenset[str]) -> Callable[[type[_Type]], type[_Type]]:
    """Return a decorator that gives a class of ``InThreads`` each public call of ``owner``, but for ``less``.

    Signatures and docstrings are those of ``owner``, so that help and completion know them.
    """

    def give(kind: type[_Type]) -> type[_Type]:
        for name in dir(owner):
            call = inspect.getattr_static(owner, name)
            if not name.startswith("_") and name not in less and inspect.isfunction(call):
                setattr(kind, name, _awaited(call, f"{kind.__qualname__}.{name}", kind.__module__))
        return kind

    return give


def _awaited(call: Callable[..., _Answer], qualified: str, module: str) -> Callable[..., Coroutine[Any, Any, _Answer]]:
    @functools.wraps(call)
    async def awaited(self: InThreads, *args: Any, **kwargs: Any) -> _Answer:  # noqa: ANN401 - as of ``call``
        return await self._call(call, *args, **kwargs)

    awaited.__qualname__, awaited.__module__ = qualified, module
    return awaited


def _reopen(kind: type[InThreads], api: DataAPI, threads: int) -> InThreads:
    opened = kind.__new__(kind)
    opened.threads, opened._api, opened._pool = threads, api, None  # noqa: SLF001 - its own
    forget_in_children(opened)
    return opened
