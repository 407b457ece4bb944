"""A circuit breaker: what failed is left alone for a while, which grows with each failure in a row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Says whether something may be tried. Safe to share between threads.

    After a failure nothing may be tried for a while. Then one may try; while it does, the others still may not. The
    while doubles with each failure in a row.

    Args:
        first: how long the first while is, in seconds.
        longest: how long it may become, in seconds.
        clock: returns seconds that only grow.
    """

    def __init__(
        self, *, first: float = 0.5, longest: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._longest, self._clock = first, longest, clock
        self.forget()

    def forget(self) -> None:
        """Be as new, in a child too."""
        self._lock = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self.trouble: str | None = None

    def allows(self) -> bool:
        """Return whether to try now; whoever is allowed to says afterwards how it ended."""
        if not self._pause:
            return True
        with self._lock:
            now = self._clock()
            if self._pause and now < self._until:
                return False
            self._until = now + self._pause
            return True

    def is_pausing(self) -> bool:
        """Return whether ``allows`` would refuse now; unlike it, this promises nothing."""
        return bool(self._pause) and self._clock() < self._until

    def succeeded(self) -> None:
        """Let everybody try."""
        if self._pause:
            with self._lock:
                self._pause, self.trouble = 0.0, None

    def failed(self, trouble: str) -> bool:
        """Let nobody try for a while; return whether it worked before, so that it is worth a word.

        Args:
            trouble: what went wrong, for a person.
        """
        with self._lock:
            is_news = not self._pause
            self._pause = min(2 * self._pause or self._first, self._longest)
            self._until = self._clock() + self._pause
            self.trouble = trouble
            return is_news
