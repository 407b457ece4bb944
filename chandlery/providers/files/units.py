"""What stands beside the names of prices and is no symbol: currencies, units, and which of several prices they are.

Not here: which columns belong to which symbol (``wide``).
"""

from __future__ import annotations

import re

from chandlery.core.guesses import QUOTES

#: What stands before the prices of one instrument where there are several of each.
SIDES = frozenset({"bid", "ask", "mid", "offer", "bidask", "last", "trade", "trades", "mark", "index", "spot"})
#: Prices that were adjusted for splits or dividends.
ADJUSTED = frozenset({"adj", "adjusted"})
#: What a volume is counted in, or how it was summed.
COUNTS = frozenset(
    {"share", "shares", "contract", "contracts", "unit", "units", "qty", "quantity", "sum", "total", "traded"}
)
_COINS = frozenset({"BTC", "XBT", "ETH", "BNB", "PERP", "SWAP"})
_MONEY = "us$ gbx rmb zac ila dollar dollars euro euros cent cents pence pound pounds yen"
_CURRENCIES = frozenset({quote.lower() for quote in QUOTES - _COINS} | {*_MONEY.split()})
#: Words that are a unit or a kind of price in any case ...
_WORDS = (SIDES | ADJUSTED | COUNTS | frozenset({"price", "prices", "px"})) - {"spot"}
#: ... and those that are a symbol where they stand in capitals: ``SPOT.Open`` is of Spotify.
_SMALL = """
    spot unadj unadjusted raw nominal real stock equity market mkt day daily intraday session regular rth minute hour
    hourly bar candle candlestick ohlc ohlcv kline agg value val rate quote future futures settle eod local data hist
    historical points pts pips mwh kwh oz ounce bbl barrel ton tonne lb bushel kg gal mmbtu therm per in
    preis kurs prix cours precio prezzo
"""
_SMALL_WORDS = frozenset(_SMALL.split())
BREAKS = r"[_. |:,/()\[\]{}-]+"


def is_unit(text: str) -> bool:
    """Whether a text beside the names of prices is no symbol: ``usd``, ``$``, ``EUR/MWh``, ``bid``, ``price``."""
    words = [word for word in re.split(BREAKS, text) if word]
    currencies = sum(word.lower() in _CURRENCIES for word in words)
    return currencies <= 1 and all(_is_unit(word) for word in words)  # two currencies are a pair


def side_of(text: str) -> str:
    """Return which of several prices a unit says that they are, for people: ``bid``; empty for none."""
    words = re.split(BREAKS, text.lower())
    return next(("an adjusted series" if word in ADJUSTED else word for word in words if word in SIDES | ADJUSTED), "")


def _is_unit(word: str) -> bool:
    small = word.lower()
    if small in _CURRENCIES or small in _WORDS or not any(letter.isalnum() for letter in word):
        return True
    return small in _SMALL_WORDS and not word.isupper()
