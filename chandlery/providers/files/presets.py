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

_BINANCE = "time open high low close volume ignore ignore trades ignore ignore ignore"
_PLAIN = ("time", "open", "high", "low", "close", "volume")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # data.binance.vision: milliseconds, from 2025 on microseconds; files of futures have a header.
    "binance-klines": {
        "headerless": tuple(_BINANCE.split()),
        "ignore_columns": (
            "close_time", "quote_volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume",
            "taker_buy_base_asset_volume", "taker_buy_quote_asset_volume", "ignore",
        ),
        "pattern": {"1m": "{symbol}-1m-*", "1d": "{symbol}-1d-*"},
    },
    # XBTUSD_1.csv, where 1 is a minute and 1440 a day; seconds.
    "kraken-ohlcvt": {
        "headerless": (*_PLAIN, "trades"),
        "pattern": {"1m": "{symbol}_1", "1d": "{symbol}_1440"},
    },
    "yahoo": {"ignore_columns": ("Adj Close", "Adj Close**", "Dividends", "Stock Splits", "Capital Gains")},
    "yfinance": {"ignore_columns": ("Adj Close", "Dividends", "Stock Splits", "Capital Gains", "Repaired?")},
    # Single files have plain headers; those of the archives are <TICKER>,<PER>,<DATE>,<TIME> and so on.
    "stooq": {
        "columns": {"ticker": "ignore", "per": "ignore", "openint": "ignore", "date": "date", "time": "time"},
        "pattern": ("{symbol}.us", "{symbol}_us_d", "{symbol}_us_1"),
    },
    # Eastern standard time, all year round; one column of times (ASCII) or two (MetaTrader).
    "histdata": {
        "headerless": _PLAIN,
        "tz": "Etc/GMT+5",
        "pattern": {"1m": ("DAT_*_{symbol}_M1_*", "HISTDATA_COM_*_{symbol}_M1*")},
    },
    # Version 5 has a header, version 4 none. The zone is that of the broker's server, which no file names: --tz.
    "metatrader": {
        "columns": {"date": "date", "time": "time", "tickvol": "volume", "vol": "ignore", "spread": "ignore"},
        "headerless": _PLAIN,
        "pattern": {"1m": "{symbol}_M1_*", "1d": ("{symbol}_Daily_*", "{symbol}_D1_*")},
    },
    # "BATS_AAPL, 1D.csv"; what indicators add to the bars is dropped.
    "tradingview": {"ignore_columns": ("*",), "pattern": {"1m": "*_{symbol}, 1*", "1d": "*_{symbol}, 1D*"}},
    # Several symbols in a file; prices in full, or in units of a billionth.
    "databento": {
        "ignore_columns": ("rtype", "publisher_id", "instrument_id", "ts_recv"),
        "fixed_point": 1e-9,
        "pattern": "*",
    },
    # All symbols of a day in a file; nanoseconds.
    "polygon-flatfile": {"pattern": "*"},
    # As alpaca-py writes a frame of bars, of one or several symbols.
    "alpaca": {"pattern": "*"},
    # Time of New York.
    "firstrate": {
        "headerless": (*_PLAIN, "ignore"),
        "tz": "America/New_York",
        "pattern": {"1m": "{symbol}_*1min*", "1d": "{symbol}_*1day*"},
    },
    # A row for each minute, without prices where nothing was traded.
    "kaggle-btc": {
        "columns": {"volume_(btc)": "volume", "volume_(currency)": "ignore", "weighted_price": "vwap"},
        "pattern": {"1m": "{symbol}_1-min_data*"},
        "blank_rows": "skip",
    },
}  # fmt: skip


def is_layout(name: str) -> bool:
    """Whether a preset is called ``name``."""
    return name in PRESETS


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
    fitting = [
        name for name, layout in PRESETS.items() if layout.get("headerless") and len(layout["headerless"]) == len(cells)
    ]
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
