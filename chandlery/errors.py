"""Every error Chandlery raises on purpose, in one tree.

ChandleryError
├── UsageError              a caller's argument is wrong (also a ValueError)
│   ├── UnknownSymbolError      no instrument goes by that name at that time
│   ├── AmbiguousSymbolError    a ticker names more than one instrument in the range
│   └── UnfilledTimeframeError  nobody fills the timeframe for the symbol
├── ConfigurationError      a file or variable of the installation is wrong
├── ProviderError           a provider did not deliver
│   ├── ProviderAuthError       key missing, wrong or not entitled
│   ├── ProviderNotFoundError   the provider does not know the symbol
│   ├── ProviderTransientError  try again later; carries ``retry_after``
│   │   └── ProviderRateLimitError  called too often
│   └── ProviderBadDataError    the answer cannot be read as bars
├── GateError               the gate refused what was offered
├── StoreError              the database is not set up, or refused a statement
│   └── StoreUnavailableError   it cannot be reached, or went away; the same may succeed later
└── LakeError               a file of the lake is missing, damaged or cannot be written

Not here: how an error becomes an exit code (``cli``) or a red run (``assets``).
"""

from __future__ import annotations

from chandlery.redaction.text import hide


class ChandleryError(Exception):
    """Base of every error raised on purpose; its text tells a person what to do, and holds no secret."""

    def __init__(self, message: str = "") -> None:
        super().__init__(hide(message))


class UsageError(ChandleryError, ValueError):
    """An argument is wrong. The text names it, what was given and what is allowed."""


class UnknownSymbolError(UsageError):
    """No instrument goes by that name (at that time)."""


class AmbiguousSymbolError(UsageError):
    """A ticker names more than one instrument within the requested range."""


class UnfilledTimeframeError(UsageError):
    """Nobody fills the timeframe for the symbol: bars of it were never requested, and no schedule requests them."""


class ConfigurationError(ChandleryError):
    """A configuration file or an environment variable is wrong."""


class ProviderError(ChandleryError):
    """A provider did not deliver. Never carries a credential.

    Args:
        message: what went wrong and what to do.
        provider: the provider's name.
        symbol: the symbol concerned, where there is one.
    """

    def __init__(self, message: str, *, provider: str, symbol: str | None = None) -> None:
        super().__init__(message)
        self.provider = provider
        self.symbol = symbol


class ProviderAuthError(ProviderError):
    """The key is missing, wrong, or not entitled to what was requested."""


class ProviderNotFoundError(ProviderError):
    """The provider does not know the symbol."""


class ProviderTransientError(ProviderError):
    """A failure that is expected to pass: time-outs, dropped connections, 5xx.

    Args:
        message: what went wrong and what to do.
        provider: the provider's name.
        symbol: the symbol concerned, where there is one.
        retry_after: the provider's own advice in seconds, where it gave one.
    """

    def __init__(
        self, message: str, *, provider: str, symbol: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, provider=provider, symbol=symbol)
        self.retry_after = retry_after


class ProviderRateLimitError(ProviderTransientError):
    """The provider was called too often."""


class ProviderBadDataError(ProviderError):
    """The provider's answer cannot be read as bars."""


class GateError(ChandleryError):
    """The gate refused what was offered; it waits in quarantine."""


class StoreError(ChandleryError):
    """The database is not set up, or refused a statement.

    Args:
        message: what went wrong and what to do.
        sqlstate: PostgreSQL's code of the error, where the server gave one.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or the server ended the connection. The same call may succeed later."""


class LakeError(ChandleryError):
    """A file of the lake is missing, damaged or cannot be written. The text names it."""
