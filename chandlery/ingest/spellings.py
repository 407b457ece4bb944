"""One symbol in several spellings: ``BTC-USD`` and ``btc/usd``.

Not here: a symbol's other tickers (``instruments.aliases``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chandlery.core.symbols import spelling
from chandlery.errors import UsageError


def by_spelling(symbols: Iterable[str]) -> dict[str, list[str]]:
    """Return the symbols by what their spellings share."""
    spelled: dict[str, list[str]] = {}
    for symbol in symbols:
        spelled.setdefault(spelling(symbol), []).append(symbol)
    return spelled


def spelled_otherwise(symbol: str, *spelled: Mapping[str, Sequence[str]]) -> str | None:
    """Return the symbol that is ``symbol`` in another spelling: ``BTC-USD`` for ``BTC/USD``; None where there is none.

    Raises:
        UsageError: there are several.
    """
    alike = [other for each in spelled for other in each.get(spelling(symbol), [])]
    if len(alike) > 1:
        raise UsageError(f"symbol {symbol!r} may be {' or '.join(alike)}; write it like one of them")
    return alike[0] if alike else None
