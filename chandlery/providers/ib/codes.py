"""What the message codes of Interactive Brokers mean (TWS API documentation, "Message Codes")."""

from __future__ import annotations

from chandlery.errors import (
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.http.errors import NotEntitledError

#: Errors by code. ``LOST`` and ``TAKEN`` concern the connection and come with no request's number.
_NO_CONTRACT, _TOO_FAST, HISTORY, INVALID, TAKEN, _COMPETING = 200, 100, 162, 321, 326, 10197
LOST = frozenset({1100, 1300, 2110})
_PASSING = LOST | {TAKEN, _COMPETING, 502, 504, 10182, 10225}
_NOT_ENTITLED = frozenset({203, 354, 10089, 10090, 10168, 10186})
#: What helps against a failure that passes.
_ADVICE = {
    TAKEN: "; give this installation an id of its own (option client_id)",
    _COMPETING: "; the same user is logged in elsewhere, and that session has the market data: log out there",
}


def explain_code(code: int, text: str, *, provider: str, symbol: str, retry_after: float) -> ProviderError:
    """Return the error that one of IB's message codes stands for.

    Code 162 is whatever the historical data service says, in words.

    Args:
        code: from the message.
        text: from the message.
        provider: name for the error.
        symbol: for the error.
        retry_after: seconds until the call may be repeated as it was.
    """
    words, message = text.lower(), f"code {code}: {text}"
    if code == _TOO_FAST or "pacing violation" in words:
        return ProviderRateLimitError(message, provider=provider, symbol=symbol, retry_after=retry_after)
    if code in _NOT_ENTITLED or "permission" in words:
        message += "; the account needs a market data subscription for it"
        return NotEntitledError(message, provider=provider, symbol=symbol)
    if code == _NO_CONTRACT:
        return ProviderNotFoundError(message, provider=provider, symbol=symbol)
    # A query that was cancelled, a service that was disconnected, a session that is connected from elsewhere.
    if code in _PASSING or (code == HISTORY and ("connect" in words or "cancel" in words)):
        message += _ADVICE.get(code, "")
        return ProviderTransientError(message, provider=provider, symbol=symbol, retry_after=retry_after)
    return ProviderBadDataError(f"the request was refused: {message}", provider=provider, symbol=symbol)
