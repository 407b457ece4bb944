"""Layouts of common exporters, by name: ``--mapping kraken-ohlcvt``.

Each follows what the vendor publishes about its files. Not here: what the settings mean (``layout``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from chandlery.config.yaml_document import list_choices
from chandlery.errors import UsageError
from chandlery.providers.files.columns import plain

_BINANCE = [
    "time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "ignore",
    "ignore",
    "trades",
    "ignore",
    "ignore",
    "ignore",
]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # data.binance.vision: milliseconds, from 2025 on microseconds; newer futures files have a header.
    "binance-klines": {
        "headerless": _BINANCE,
        "ignore_columns": (
            "close_time", "quote_volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume",
            "taker_buy_base_asset_volume", "taker_buy_quote_asset_volume", "ignore",
        ),
        "pattern": {"1m": "{symbol}-1m-*", "1d": "{symbol}-1d-*"},
    },
    "kraken-ohlcvt": {
        "headerless": ("time", "open", "high", "low", "close", "volume", "trades"),
        "pattern": {"1m": "{symbol}_1", "1d": "{symbol}_1440"},
        "epoch_unit": "s",
    },
    "yahoo": {"ignore_columns": ("Adj Close", "Adj Close**", "Dividends", "Stock Splits", "Capital Gains")},
    "yfinance": {
        "ignore_columns": ("Adj Close", "Dividends", "Stock Splits", "Capital Gains", "Repaired?"),
    },
    # Single files have plain headers, the bulk archives <TICKER>,<PER>,<DATE>,<TIME> and so on.
    "stooq": {
        "columns": {"ticker": "ignore", "per": "ignore", "openint": "ignore", "date": "date"},
        "pattern": {"1m": "{symbol}.us", "1d": "{symbol}.us"},
    },
    # Eastern standard time, all year round.
    "histdata": {
        "headerless": ("time", "open", "high", "low", "close", "volume"),
        "tz": "Etc/GMT+5",
        "pattern": {"1m": "DAT_*_{symbol}_M1_*"},
    },
    # The zone is that of the broker's server, which no file names: --tz.
    "metatrader": {
        "columns": {"date": "date", "time": "time", "tickvol": "volume", "vol": "ignore", "spread": "ignore"},
        "headerless": ("date", "time", "open", "high", "low", "close", "volume"),
        "pattern": {"1m": "{symbol}_M1_*", "1d": "{symbol}_Daily_*"},
    },
    "tradingview": {"ignore_columns": ("*",), "pattern": {"1m": "*_{symbol}, 1*", "1d": "*_{symbol}, 1D*"}},
    "databento": {
        "ignore_columns": ("rtype", "publisher_id", "instrument_id", "ts_recv"),
        "pattern": "*",
    },
    "polygon-flatfile": {"pattern": "*", "epoch_unit": "ns"},
    "alpaca": {"pattern": "*"},
    "firstrate": {
        "headerless": ("time", "open", "high", "low", "close", "volume"),
        "tz": "America/New_York",
        "pattern": {"1m": "{symbol}_*1min*", "1d": "{symbol}_*1day*"},
    },
    "kaggle-btc": {
        "columns": {"volume_(btc)": "volume", "volume_(currency)": "ignore", "weighted_price": "vwap"},
        "epoch_unit": "s",
        "blank_rows": "skip",
    },
}  # fmt: skip


def preset(name: str) -> Mapping[str, Any]:
    """Return the layout called ``name``.

    Raises:
        UsageError: there is none; names those that there are.
    """
    if name not in PRESETS:
        raise UsageError(
            f"mapping={name!r} is neither a file nor a layout that is known: {list_choices(PRESETS, name)}"
        )
    return PRESETS[name]


def suggest(names: Sequence[str]) -> str:
    """Return advice to use the preset that knows columns of these names, or nothing."""
    given = {plain(name) for name in names}
    for name, signature in _signatures().items():
        if signature <= given:
            return f"files of this kind are read with --mapping {name}"
    return ""


def suggest_headerless(cells: Sequence[str]) -> str:
    """Return the presets for files without a header and with so many cells, or nothing."""
    fitting = [name for name, layout in PRESETS.items() if len(layout.get("headerless", ())) == len(cells)]
    return f", or name a layout with --mapping: {', '.join(fitting)} have {len(cells)} columns" if fitting else ""


@lru_cache(maxsize=1)
def _signatures() -> Mapping[str, frozenset[str]]:
    """Return column names by which a preset is recognised."""
    return {
        "polygon-flatfile": frozenset({"window_start", "transactions"}),
        "databento": frozenset({"ts_event", "rtype"}),
        "binance-klines": frozenset({"open_time", "close_time"}),
        "metatrader": frozenset({"tickvol", "spread"}),
        "stooq": frozenset({"per", "openint"}),
        "kaggle-btc": frozenset({"volume_(btc)"}),
        "yfinance": frozenset({"dividends", "stock_splits"}),
        "yahoo": frozenset({"adj_close"}),
    }
