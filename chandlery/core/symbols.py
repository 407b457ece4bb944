"""What may be a symbol.

Not here: what a symbol most likely stands for (``guesses``), and which instruments exist (``config`` and
``instruments``).
"""

from __future__ import annotations

import re
import string
from typing import Literal, TypeAlias

from chandlery.core.text import counted
from chandlery.errors import UsageError

AssetClass: TypeAlias = Literal["equity", "etf", "crypto", "fx", "future", "index", "power", "spread"]
#: The classes whose prices may be 0 and below, like oil in April 2020 and electricity on a windy Sunday.
ANY_PRICE: frozenset[str] = frozenset({"future", "power", "spread"})

MAX_LENGTH = 32
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)
_ALLOWED = _ALPHANUMERIC | frozenset(".-_/:")
#: How vendors end a symbol that is no share: ``=F`` for a future, ``=X`` for a currency.
_ENDING = re.compile(r"=[A-Za-z0-9]{0,2}$")


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
        raise UsageError(f"symbol {text!r} has {counted(len(text), 'character')}; allowed are 1 to {MAX_LENGTH}")
    if _ALPHANUMERIC.isdisjoint(text[begin:end]):
        raise UsageError(f"symbol {text!r} has no letter or digit; write one like AAPL, BRK.B or BTC/USD")
    return text


def spelling(symbol: str) -> str:
    """Return what all spellings of a symbol share: in capitals, with ``-`` for ``.``, ``/`` and ``_``."""
    return re.sub(r"[./_]", "-", symbol).upper()
