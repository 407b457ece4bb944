"""What may be a symbol, and what a symbol most likely stands for.

Guesses go by the spelling alone; ``config/universe.yaml`` overrides them. Not here: which instruments exist
(``config`` and ``instruments``).
"""

from __future__ import annotations

import re
import string
from typing import Literal, TypeAlias

from chandlery.errors import UsageError

AssetClass: TypeAlias = Literal["equity", "etf", "crypto", "fx", "future", "index", "power", "spread"]
#: The classes whose prices may be 0 and below, like oil in April 2020 and electricity on a windy Sunday.
ANY_PRICE: frozenset[str] = frozenset({"future", "power", "spread"})

MAX_LENGTH = 32
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)
_ALLOWED = _ALPHANUMERIC | frozenset(".-_/:")
#: How vendors end a symbol that is no share: ``=F`` for a future, ``=X`` for a currency.
_ENDING = re.compile(r"=[A-Za-z0-9]{0,2}$")
_CLASS_OF_ENDING: dict[str, AssetClass] = {"=F": "future", "=X": "fx"}

_CRYPTO_SUFFIXES = ("-USD", "-USDT", "-BTC", "-ETH", "-PERP")
_CURRENCIES = frozenset(
    {"AUD", "CAD", "CHF", "CNY", "EUR", "GBP", "HKD", "INR", "JPY", "MXN", "NOK", "NZD", "SEK", "SGD", "USD"}
)
_CALENDAR_OF_CLASS = {"crypto": "24/7", "fx": "24/5", "future": "CMES", "power": "24/7", "spread": "CMES"}
_CALENDAR_OF_SUFFIX = {
    ".AX": "XASX",
    ".DE": "XETR",
    ".HK": "XHKG",
    ".L": "XLON",
    ".PA": "XPAR",
    ".ST": "XSTO",
    ".T": "XTKS",
    ".TO": "XTSE",
}


def validate_symbol(text: str) -> str:
    """Return ``text`` where it may be a symbol.

    It has 1 to 32 of ``A-Z a-z 0-9 . - _ / :``, one of them a letter or digit. Before them may stand ``^``, and after
    them ``=`` with up to two letters or digits, as vendors write indices, futures and currencies: ``^GSPC``, ``ES=F``,
    ``EURUSD=X``.

    Raises:
        UsageError: it is not, and why: the first character that is not allowed, or the length.
    """
    # Dagster itself lets a pipe sign through in a partition key and then corrupts it.
    begin = 1 if text.startswith("^") else 0
    ending = _ENDING.search(text)
    end = ending.start() if ending else len(text)
    for position, character in enumerate(text[begin:end], start=begin + 1):
        if character not in _ALLOWED:
            raise UsageError(
                f"symbol {text!r} has {character!r} at position {position}; allowed are A-Z a-z 0-9 . - _ / :"
                ", and ^ = at the start or end"
            )
    if not 1 <= len(text) <= MAX_LENGTH:
        raise UsageError(f"symbol {text!r} has {len(text)} characters; allowed are 1 to {MAX_LENGTH}")
    if _ALPHANUMERIC.isdisjoint(text[begin:end]):
        raise UsageError(f"symbol {text!r} has no letter or digit; write one like AAPL, BRK.B or BTC/USD")
    return text


def spelling(symbol: str) -> str:
    """Return what all spellings of a symbol share: in capitals, with ``-`` for ``.``, ``/`` and ``_``."""
    return re.sub(r"[./_]", "-", symbol).upper()


def default_asset_class(symbol: str) -> AssetClass:
    """Return what ``symbol`` looks like: an index, a future, a pair of currencies, one with a coin, or else a share."""
    name = symbol.upper()
    if name.startswith("^"):
        return "index"
    if name[-2:] in _CLASS_OF_ENDING:
        return _CLASS_OF_ENDING[name[-2:]]
    legs = name.replace("-", "/").split("/")
    if len(legs) == 2 and _CURRENCIES.issuperset(legs):
        return "fx"
    return "crypto" if "/" in name or name.endswith(_CRYPTO_SUFFIXES) else "equity"


def default_calendar(symbol: str, asset_class: str) -> str:
    """Return the calendar by which ``symbol`` most likely trades; for a share its suffix decides (``VOD.L``)."""
    if asset_class in _CALENDAR_OF_CLASS:
        return _CALENDAR_OF_CLASS[asset_class]
    suffix = symbol[symbol.rfind(".") :].upper() if "." in symbol else ""
    return _CALENDAR_OF_SUFFIX.get(suffix, "XNYS")
