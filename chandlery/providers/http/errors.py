"""What HTTP answers mean, for every provider that speaks it.

Not here: when a call is made again (``caller``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)

_TOO_MANY = 429
#: Besides 5xx: request time-out, too early, and what a proxy answers for a client that went away.
_PASSING = frozenset({408, 425, 499})
_SHOWN = 200


class NotEntitledError(ProviderAuthError):
    """The key is good, but what it pays for does not include these bars. Other symbols may be served."""


#: What the words of an error that comes inside of a good answer mean: the first that occurs decides.
_WORDS: tuple[tuple[type[ProviderError], str], ...] = (
    (ProviderRateLimitError, r"too many|rate.?limit|maximum requests|too fast|throttl|slow down"),
    (NotEntitledError, r"not.?authori[sz]ed|entitle|subscription|upgrade|permission|your plan|not permitted"),
    (ProviderNotFoundError, r"not found|no data found|no such symbol|unknown symbol|invalid symbol|delisted"),
    (
        ProviderTransientError,
        r"try again|try later|internal|unavailable|timed? ?out|overload|maintenance|temporar|unauthori[sz]ed|crumb",
    ),
)


def explain_words(text: str, *, provider: str, symbol: str | None = None) -> ProviderError:
    """Return the error that a vendor tells in words, inside of an answer whose status says that all is well."""
    found = (kind for kind, words in _WORDS if re.search(words, text, re.IGNORECASE))
    kind = next(found, ProviderBadDataError)
    return kind(f"the answer is an error: {_shorten(text)}", provider=provider, symbol=symbol)


def explain_status(
    status: int,
    body: str,
    headers: Mapping[str, str],
    *,
    provider: str,
    symbol: str | None = None,
    keyed: bool = True,
) -> ProviderError:
    """Return the error that an HTTP status of 400 or more stands for (RFC 9110, section 15).

    Args:
        status: the code.
        body: what came with it; its beginning is quoted.
        headers: of the answer, in any case.
        provider: name for the error.
        symbol: for the error.
        keyed: whether the provider has a key. Of one that has none, a refusal is expected to pass.
    """
    text = f"HTTP {status}" + (f": {_shorten(body)}" if body.strip() else "")
    if status in {401, 403} and not keyed:
        text += "; the service turned this caller away, though it serves everybody"
        return ProviderTransientError(text, provider=provider, symbol=symbol)
    if status in {401, 403}:
        return ProviderAuthError(f"{text}; check the key and what it is entitled to", provider=provider, symbol=symbol)
    if status == 404:
        return ProviderNotFoundError(text, provider=provider, symbol=symbol)
    wait = parse_retry_after(next((value for name, value in headers.items() if name.lower() == "retry-after"), None))
    if status == _TOO_MANY:
        return ProviderRateLimitError(text, provider=provider, symbol=symbol, retry_after=wait)
    if status >= 500 or status in _PASSING:
        return ProviderTransientError(text, provider=provider, symbol=symbol, retry_after=wait)
    return ProviderBadDataError(f"the request was refused: {text}", provider=provider, symbol=symbol)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header demands: a number or an HTTP date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _shorten(body: str) -> str:
    line = " ".join(body.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
