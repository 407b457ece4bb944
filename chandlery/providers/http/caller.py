"""One call to a provider: within its rate limit, made again when that may help, and with no key in its errors.

Every adapter makes every call through ``Caller.call``; the vendors' own retries are switched off. Not here: what a call
is (the adapters), and how many there may be (``rate_limit``).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from chandlery.core.text import counted
from chandlery.errors import ProviderError, ProviderRateLimitError, ProviderTransientError
from chandlery.providers.http.rate_limit import LEEWAY, RateLimiter
from chandlery.redaction.text import hide, remember

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call may be made, and made again. All times are in seconds.

    Attributes:
        first_pause: the pause before the second try is drawn between 0 and this; each further try doubles the bound.
        longest_pause: the bound of a pause grows no further than this.
        longest_retry_after: a provider that demands a longer wait than this is not called again for this request.
        identical_call_after: the vendor refuses a call that repeats one that reached it less than this ago. An adapter
            gives it to its errors as ``retry_after``.
        longest_delay: a call that would be made later than this after its turn waits for another turn.
        missed_turns: after so many missed turns in a row a call is made although it is late.
        clock_difference: how far two clocks, the database's and ours, may differ over the length of a pause.
    """

    first_pause: float = 1.0
    longest_pause: float = 60.0
    longest_retry_after: float = 900.0
    identical_call_after: float = 0.0
    longest_delay: float = LEEWAY / 2
    missed_turns: int = 3
    clock_difference: float = 0.01


class Caller:
    """Makes calls to one provider, for any number of threads.

    Args:
        provider: its name.
        rate_limiter: of its key.
        timeout: seconds that an adapter waits for the provider at each step of a call.
        attempts: how often one call is made at most.
        secrets: what must never appear in an error, nor in anything else that this process says.
        retry: when a call is made again.
        wait: sleeps for so many seconds.
        clock: returns seconds that only go forward.
        draw: returns a random number, 0 to 1.

    Attributes:
        provider: its name.
        timeout: as above.
        retry: as above.
    """

    def __init__(
        self,
        provider: str,
        rate_limiter: RateLimiter,
        *,
        timeout: float = 30.0,
        attempts: int = 6,
        secrets: Sequence[SecretStr] = (),
        retry: RetryPolicy = RetryPolicy(),
        wait: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.provider = provider
        self.timeout = timeout
        self.retry = retry
        self._rate_limiter = rate_limiter
        self._attempts = attempts
        self._secrets = tuple(secret.get_secret_value() for secret in secrets)
        remember(*self._secrets)
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._clock = clock
        self._draw = draw
        self._made = 0
        self._lock = threading.Lock()

    @property
    def made(self) -> int:
        """The number of calls that were made so far, repeated ones included."""
        return self._made

    def stop(self) -> None:
        """Make no further call; threads that wait to make one give up."""
        self._stopped.set()

    def call(self, call: Callable[[], T], *, explain: Callable[[Exception], ProviderError | None], about: str) -> T:
        """Return what ``call`` returns, making it again while its errors are expected to pass.

        Pauses grow exponentially and are drawn at random up to their length (AWS Architecture Blog, "Exponential
        Backoff And Jitter", full jitter), unless the provider says how long to wait.

        Args:
            call: makes the call once, with a time-out of its own, and raises where the answer is not good.
            explain: turns what ``call`` raised into one of our errors; None where it is a mistake of ours.
            about: what is requested, for people: ``AAPL 1m 2024-01-02..2024-02-01``.

        Raises:
            ProviderError: as explained, with what was requested and how often. It holds no key, and not the error that
                it came from, which may hold one.
        """
        for attempt in range(1, self._attempts + 1):
            self._await_turn(about)
            with self._lock:
                self._made += 1
            try:
                return call()
            except Exception as raised:
                error = raised if isinstance(raised, ProviderError) else explain(raised)
                if error is None:
                    raise
            pause = self._pause_before_next(error, attempt)
            if pause is not None and isinstance(error, ProviderRateLimitError):
                self._rate_limiter.pause(pause)  # others wait, too, even where this was the last attempt
            if pause is None or attempt == self._attempts:
                raise self._describe(error, about, attempt)
            if not isinstance(error, ProviderRateLimitError):
                self._pause(pause, about)
        raise AssertionError("the last attempt either returns or raises")

    def redact(self, text: str) -> str:
        """Return ``text`` without the keys of this provider, and without any other secret."""
        return hide(text, *self._secrets)

    def _await_turn(self, about: str) -> None:
        """Wait until the next call may be made.

        A turn that was slept through is given up for another, because many could come at once (but not for ever, where
        the machine is always late); so is one that lies in a pause which came meanwhile.
        """
        missed = 0
        while True:
            seconds = self._rate_limiter.reserve()
            turn = self._clock() + seconds
            self._pause(seconds, about)
            if seconds <= 0:
                return
            remaining = self._rate_limiter.paused()
            now = self._clock()
            if remaining > 0 and now + remaining > turn + self.retry.clock_difference:
                continue
            if now - turn <= self.retry.longest_delay or missed == self.retry.missed_turns:
                return
            missed += 1

    def _pause_before_next(self, error: ProviderError, attempt: int) -> float | None:
        """Return how many seconds to wait before the next attempt; None where another one would not help."""
        if not isinstance(error, ProviderTransientError):
            return None
        if error.retry_after is not None:
            bearable = error.retry_after <= self.retry.longest_retry_after
            return error.retry_after * (1 + 0.1 * self._draw()) if bearable else None
        bound = min(self.retry.first_pause * 2 ** (attempt - 1), self.retry.longest_pause)
        return float(bound * self._draw())

    def _pause(self, seconds: float, about: str) -> None:
        if seconds > 0:
            self._wait(seconds)
        if self._stopped.is_set():
            raise ProviderTransientError(f"{about}: given up, because the work was stopped", provider=self.provider)

    def _describe(self, error: ProviderError, about: str, attempts: int) -> ProviderError:
        """Return ``error`` with what was requested and how often, without keys and without where it came from."""
        tried = "" if attempts == 1 else f" (tried {counted(attempts, 'time')})"
        error.args = (f"{self.provider}: {about}: {self.redact(str(error))}{tried}",)
        error.__cause__ = error.__context__ = None
        return error
