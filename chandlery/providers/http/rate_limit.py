"""How many calls a provider allows, and who may make the next one.

Calls are spaced evenly, without bursts: then no window of a minute holds more than the limit, whichever way the vendor
counts. A provider counts when a call reaches it, which is later than its turn, and not always by the same: where one
call is late and another is not, more than the limit could fall into a minute. So the calls of a minute are spread over
``LEEWAY`` seconds more. Not here: the limit that holds across processes (``shared_rate_limit``), and making a call
(``caller``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

#: Seconds by which a call may be late without more than the limit reaching the provider within a minute.
LEEWAY = 1.0


class RateLimiter(Protocol):
    """Shares out the calls that a provider allows to those who use one key."""

    def reserve(self) -> float:
        """Reserve the next call; return in how many seconds it may be made."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody make a call for so many seconds, because the provider refuses calls for so long."""
        ...

    def paused(self) -> float:
        """Return how many seconds the pause still lasts; 0 without one. It may be later than a call reserved before."""
        ...


#: Makes the rate limiter of a name, for so many calls a minute (None: without limit). Equal names share one limit.
RateLimiterFactory: TypeAlias = Callable[[str, float | None], RateLimiter]


class LocalRateLimiter:
    """The rate limiter of one process.

    Args:
        per_minute: how many calls are allowed; None for no limit.
        clock: returns seconds that only go forward.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval(per_minute) if per_minute else 0.0
        self._clock = clock
        self._due = self._paused_until = clock()
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """See ``RateLimiter``."""
        with self._lock:
            now = self._clock()
            at = max(self._due, now)
            self._due = at + self._interval
            return at - now

    def pause(self, seconds: float) -> None:
        """See ``RateLimiter``."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
            self._due = max(self._due, self._paused_until)

    def paused(self) -> float:
        """See ``RateLimiter``."""
        with self._lock:
            return max(0.0, self._paused_until - self._clock())


def interval(per_minute: float) -> float:
    """Return how many seconds lie between two calls of a provider that allows so many calls a minute."""
    return (60 + LEEWAY) / per_minute


def local_rate_limiter(name: str, per_minute: float | None) -> RateLimiter:  # noqa: ARG001 - a ``RateLimiterFactory``
    """Make a rate limiter that nobody else shares."""
    return LocalRateLimiter(per_minute)
