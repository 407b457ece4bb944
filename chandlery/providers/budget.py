"""How many calls a provider allows, and who may make the next one.

Calls are spaced evenly, without bursts: then no window of a minute ever holds more than the limit, whichever way the
provider counts. Not here: the budget that holds across processes (``store.budget``), and making a call (``calls``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias


class Budget(Protocol):
    """Shares out the calls that a provider allows."""

    def take(self) -> float:
        """Reserve the next call; return in how many seconds it may be made."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody make a call for so long: the provider said so."""
        ...


#: Makes the budget called by its first argument, of so many calls a minute (None: without limit).
BudgetFactory: TypeAlias = Callable[[str, float | None], Budget]


class LocalBudget:
    """The budget of one process.

    Args:
        per_minute: calls; None for no limit.
        clock: seconds that only go forward.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._due = clock()
        self._lock = threading.Lock()

    def take(self) -> float:
        """See ``Budget``."""
        with self._lock:
            now = self._clock()
            at = max(self._due, now)
            self._due = at + self._interval
            return at - now

    def pause(self, seconds: float) -> None:
        """See ``Budget``."""
        with self._lock:
            self._due = max(self._due, self._clock() + seconds)


def local_budget(name: str, per_minute: float | None) -> Budget:  # noqa: ARG001 - a ``BudgetFactory``
    """Make a budget that no other process shares."""
    return LocalBudget(per_minute)
