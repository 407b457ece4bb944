"""One call to a provider: within its budget, tried again when that may help, and never telling a key.

Every adapter makes every request through ``Caller.call``; the vendors' own retries are switched off. Not here: what a
call is (the adapters), and how many there may be (``rate_limiter``).
"""

from __future__ import annotations

import html
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from chandlery.errors import ProviderError, ProviderRateLimitError, ProviderTransientError
from chandlery.providers.http.rate_limit import LEEWAY, RateLimiter

T = TypeVar("T")

#: Seconds: the first pause is drawn up to the first, doubles with each try, and never is longer than the second.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
#: A provider that asks for more patience than so many seconds is given up for now.
_PATIENCE = 900.0
#: Seconds by which the database's clock and ours may differ over a pause.
_INACCURACY = 0.01
#: So many turns may be missed in a row before a call is made that is late.
_MISSED_TURNS = 3
#: So many letters from the beginning of a key tell too much of it.
_TELLING = 4


class Caller:
    """Makes calls to one provider, for any number of threads.

    Args:
        provider: its name.
        budget: of its key.
        timeout: seconds that an adapter waits for the provider at each step of a call.
        attempts: how often one call is tried.
        secrets: what must never appear in an error.
        wait: sleeps for so many seconds.
        draw: a random number, 0 to 1.
    """

    def __init__(
        self,
        provider: str,
        rate_limiter: RateLimiter,
        *,
        timeout: float = 30.0,
        attempts: int = 6,
        secrets: Sequence[SecretStr] = (),
        wait: Callable[[float], object] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.provider = provider
        self.timeout = timeout
        self._rate_limiter = rate_limiter
        self._attempts = attempts
        self._secrets = tuple(secrets)
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._draw = draw
        self._made = 0
        self._lock = threading.Lock()

    @property
    def made(self) -> int:
        """How many calls were made so far."""
        return self._made

    def stop(self) -> None:
        """Make no further call; those that wait give up."""
        self._stopped.set()

    def call(self, call: Callable[[], T], *, explain: Callable[[Exception], ProviderError | None], about: str) -> T:
        """Return what ``call`` returns, trying again while its errors are expected to pass.

        Pauses grow exponentially and are drawn at random up to their length (AWS Architecture Blog, "Exponential
        Backoff And Jitter", full jitter), unless the provider says how long to wait.

        Args:
            call: asks once, with a time-out of its own, and raises where the answer is not good.
            explain: turns what ``call`` raised into one of our errors; None where it is a mistake of ours.
            about: what is asked for, for people: ``AAPL 1m 2024-01-02..2024-02-01``.

        Raises:
            ProviderError: as explained, with what was tried. Never with a key, nor with the error it came from, which
                may hold one.
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
            patience = self._patience(error, attempt)
            if patience is not None and isinstance(error, ProviderRateLimitError):
                self._rate_limiter.pause(patience)  # others wait, too, even where this was the last try
            if patience is None or attempt == self._attempts:
                raise self._told(error, about, attempt) from None
            if not isinstance(error, ProviderRateLimitError):
                self._pause(patience, about)
        raise AssertionError("the last attempt either returns or raises")

    def _await_turn(self, about: str) -> None:
        """Wait until the next call may be made.

        A turn that was slept through is given up for another, because many could come at once (but not for ever, where
        the machine is always late); so is one that lies in a pause which came meanwhile.
        """
        missed = 0
        while True:
            seconds = self._rate_limiter.reserve()
            turn = time.monotonic() + seconds
            self._pause(seconds, about)
            if seconds <= 0:
                return
            left = self._rate_limiter.paused()
            now = time.monotonic()
            if left > 0 and now + left > turn + _INACCURACY:
                continue
            if now - turn <= LEEWAY / 2 or missed == _MISSED_TURNS:
                return
            missed += 1

    def _patience(self, error: ProviderError, attempt: int) -> float | None:
        """Return how many seconds to wait before a next try; None where it would not help."""
        if not isinstance(error, ProviderTransientError):
            return None
        if error.retry_after is not None:
            return error.retry_after * (1 + 0.1 * self._draw()) if error.retry_after <= _PATIENCE else None
        return float(min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE) * self._draw())

    def _pause(self, seconds: float, about: str) -> None:
        if seconds > 0:
            self._wait(seconds)
        if self._stopped.is_set():
            raise ProviderTransientError(f"{about}: given up, because the work was stopped", provider=self.provider)

    def _told(self, error: ProviderError, about: str, attempt: int) -> ProviderError:
        """Return ``error`` with what was tried, without secrets and without where it came from."""
        tried = "" if attempt == 1 else f" (tried {attempt} times)"
        error.args = (f"{self.provider}: {about}: {self._redact(str(error))}{tried}",)
        error.__cause__ = error.__context__ = None
        return error

    def _redact(self, text: str) -> str:
        forms = {form for secret in self._secrets for form in _spellings(secret.get_secret_value()) if form}
        if not forms:
            return text
        # What a server answered is quoted in part, and may end within a key.
        begun = {form[:length] for form in forms for length in range(_TELLING, len(form))}
        pattern = f"(?:{_any_of(begun)})(?=…)|{_any_of(forms)}" if begun else _any_of(forms)
        return re.sub(pattern, "***", text, flags=re.IGNORECASE)


def _any_of(texts: set[str]) -> str:
    """Return a pattern of these, longest first: where one key begins like another, nothing is left of either."""
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


def _spellings(secret: str) -> Iterator[str]:
    """Yield how a key may be spelled: as it is, in a URL, in JSON, in HTML, in Python."""
    escaped = json.dumps(secret)[1:-1]
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (escaped, escaped.replace("/", "\\/"), html.escape(secret), html.escape(secret, quote=False))
    yield repr(secret)[1:-1]
