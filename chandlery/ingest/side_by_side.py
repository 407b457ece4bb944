"""Runs several pieces of work side by side, in threads, and hands over what each brings as it comes.

Not here: what the work is (``pipeline``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
#: Takes one thing that a piece of work brings.
Emit: TypeAlias = Callable[[T], None]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A piece of work is over; ``error`` is what it raised."""

    error: BaseException | None = None


class StoppedError(Exception):
    """Raised within a piece of work at the next thing it brings, because nobody takes it any more."""


class SideBySide(Generic[T]):
    """Runs pieces of work, each in a thread of its own.

    Args:
        works: each is called once, with a function that takes what it brings.
        stop: called once where the work is given up before its end: it lets those that wait for something wake up.
    """

    def __init__(self, works: Sequence[Callable[[Emit[T]], None]], stop: Callable[[], None]) -> None:
        self._works = works
        self._stop = stop
        self._brought: SimpleQueue[T | _Ended] = SimpleQueue()
        self._stopped = Event()

    def run(self) -> Iterator[T]:
        """Yield what the works bring, in the order in which it comes, until all of them are over.

        The first exception that one raises stops the others, and is raised here once they have ended. They are stopped
        likewise where the caller takes no more.
        """
        threads = [Thread(target=self._carry_out, args=(work,)) for work in self._works]
        for thread in threads:
            thread.start()
        try:
            yield from self._take()
        except BaseException:
            self._stopped.set()
            self._stop()
            raise
        finally:
            for thread in threads:
                thread.join()

    def _take(self) -> Iterator[T]:
        running = len(self._works)
        while running:
            item = self._brought.get()
            if not isinstance(item, _Ended):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                running -= 1

    def _carry_out(self, work: Callable[[Emit[T]], None]) -> None:
        try:
            work(self._emit)
        except StoppedError:
            self._brought.put(_Ended())
        except BaseException as error:  # noqa: BLE001 - raised again where the work is waited for
            self._brought.put(_Ended(error))
        else:
            self._brought.put(_Ended())

    def _emit(self, item: T) -> None:
        if self._stopped.is_set():
            raise StoppedError
        self._brought.put(item)
