"""Layouts of common exporters, by name: ``--mapping kraken-ohlcvt``.

Each follows what the vendor publishes about its files. Not here: what the settings mean (``layout``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from chandlery.config.yaml_document import list_choices
from chandlery.errors import UsageError
from chandlery.providers.files.columns import DROPPED, meaning_of, plain

_BINANCE = "time open high low close volume ignore ignore trades ignore ignore ignore"
_PLAIN = ("time", "open", "high", "low", "close", "volume")

_BINANCE_OTHERS = [
    "1s",
    "3m",
    "5m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "8h",
    "12h",
    "3d",
    "1w",
    "1mo",
    "trades",
    "aggTrades",
]
_TRADINGVIEW_OTHERS = [
    "1S",
    "5S",
    "10S",
    "15S",
    "30S",
    "2",
    "3",
    "5",
    "10",
    "15",
    "30",
    "45",
    "60",
    "120",
    "180",
    "240",
    "1W",
    "1M",
    "3M",
    "6M",
    "12M",
]
_FIRSTRATE_OTHERS = ["5min", "30min", "1hour"]
#: The exchanges of symbols of stooq, whose ending is not part of the ticker; and what its widths are called.
_EXCHANGES = ["us", "uk", "jp", "de", "hk", "hu"]
_STOOQ_OTHERS = ["w", "m", "q", "y", "h", "5", "60"]
_METATRADER_OTHERS = [
    "M2",
    "M3",
    "M4",
    "M5",
    "M6",
    "M10",
    "M12",
    "M15",
    "M20",
    "M30",
    "H1",
    "H2",
    "H3",
    "H4",
    "H6",
    "H8",
    "H12",
    "W1",
    "MN1",
    "Weekly",
    "Monthly",
]


def _saved(*widths: str) -> tuple[str, ...]:
    """Return how TradingView names a chart of a width, the first time that it is saved and later."""
    return tuple(f"*_{{symbol}}, {width}{end}" for width in widths for end in ("", "_*", " (*"))


def _dated(*widths: str) -> tuple[str, ...]:
    """Return how MetaTrader 5 names an export of a width."""
    return tuple(f"{{symbol}}_{width}{end}" for width in widths for end in ("", "_*"))


def _of_stooq(*widths: str) -> tuple[str, ...]:
    """Return how stooq names a download of a width; with the exchange or without one."""
    return tuple(
        f"{{symbol}}{exchange}_{width}" for exchange in (*(f"_{e}" for e in _EXCHANGES), "") for width in widths
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # data.binance.vision: milliseconds, from 2025 on microseconds; files of futures have a header.
    "binance-klines": {
        "headerless": tuple(_BINANCE.split()),
        "ignore_columns": (
            "close_time", "quote_volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume",
            "taker_buy_base_asset_volume", "taker_buy_quote_asset_volume", "ignore",
        ),
        "pattern": {
            "1m": "{symbol}-1m-*", "1d": "{symbol}-1d-*",
            "other": tuple(f"{{symbol}}-{width}-*" for width in _BINANCE_OTHERS),
        },
        "decimal": ".",
    },
    # XBTUSD_1.csv, where 1 is a minute and 1440 a day; seconds.
    "kraken-ohlcvt": {
        "headerless": (*_PLAIN, "trades"),
        "pattern": {
            "1m": "{symbol}_1", "1d": "{symbol}_1440",
            "other": tuple(f"{{symbol}}_{minutes}" for minutes in (5, 15, 30, 60, 240, 720, 10080, 21600)),
        },
        "decimal": ".",
    },
    "yahoo": {"ignore_columns": ("Adj Close", "Adj Close**", "Dividends", "Stock Splits", "Capital Gains")},
    "yfinance": {"ignore_columns": ("Adj Close", "Dividends", "Stock Splits", "Capital Gains", "Repaired?")},
    "tiingo": {
        "ignore_columns": (
            "adjOpen", "adjHigh", "adjLow", "adjClose", "adjVolume", "divCash", "splitFactor",
        ),
        "decimal": ".",
    },
    # Single files have plain headers; those of the archives are <TICKER>,<PER>,<DATE>,<TIME> and so on.
    "stooq": {
        "columns": {"ticker": "ignore", "per": "ignore", "openint": "ignore", "date": "date", "time": "time"},
        "pattern": {
            "1m": (*(f"{{symbol}}.{exchange}" for exchange in _EXCHANGES), *_of_stooq("1")),
            "1d": (*(f"{{symbol}}.{exchange}" for exchange in _EXCHANGES), *_of_stooq("d")),
            "other": _of_stooq(*_STOOQ_OTHERS),
        },
        "decimal": ".",
    },
    # Eastern standard time, all year round; one column of times (ASCII) or two (MetaTrader).
    "histdata": {
        "headerless": _PLAIN,
        "tz": "Etc/GMT+5",
        "pattern": {
            "1m": ("DAT_*_{symbol}_M1_*", "HISTDATA_COM_*_{symbol}_M1*"),
            "other": ("DAT_*_{symbol}_T_*", "HISTDATA_COM_*_{symbol}_T*"),
        },
        "decimal": ".",
    },
    # Version 5 has a header, version 4 none. The zone is that of the broker's server, which no file names: --tz.
    "metatrader": {
        "columns": {"date": "date", "time": "time", "tickvol": "volume", "vol": "ignore", "spread": "ignore"},
        "headerless": _PLAIN,
        "pattern": {
            "1m": (*_dated("M1"), "{pair}1"),
            "1d": (*_dated("Daily", "D1"), "{symbol}1440"),
            "other": (
                *_dated(*_METATRADER_OTHERS), *(f"{{pair}}{minutes}" for minutes in (5, 15, 30, 60, 240, 10080, 43200)),
            ),
        },
        "decimal": ".",
    },
    # "BATS_AAPL, 1D.csv"; what indicators add to the bars is dropped.
    "tradingview": {
        "ignore_columns": ("*",),
        "pattern": {"1m": _saved("1"), "1d": _saved("1D", "D"), "other": _saved(*_TRADINGVIEW_OTHERS)},
        "decimal": ".",
    },
    # Several symbols in a file; prices in full, or in units of a billionth.
    "databento": {
        "ignore_columns": ("rtype", "publisher_id", "instrument_id", "ts_recv"),
        "fixed_point": 1e-9,
        "pattern": {
            "1m": ("*ohlcv-1m*", "*"), "1d": ("*ohlcv-1d*", "*"),
            "other": ("*.ohlcv-1s*", "*.ohlcv-1h*", "*.trades*", "*.mbp-*", "*.mbo*", "*.tbbo*", "*.definition*"),
        },
        "decimal": ".",
    },
    # All symbols of a day in a file; nanoseconds.
    "polygon-flatfile": {"pattern": "*"},
    # As alpaca-py writes a frame of bars, of one or several symbols.
    "alpaca": {"pattern": "*"},
    # Time of New York.
    "firstrate": {
        "headerless": (*_PLAIN, "ignore"),
        "tz": "America/New_York",
        "pattern": {
            "1m": "{symbol}_*1min*", "1d": "{symbol}_*1day*",
            "other": tuple(f"{{symbol}}_*{width}*" for width in _FIRSTRATE_OTHERS),
        },
        "decimal": ".",
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
        known = {
            plain(column) for column in (*PRESETS[name].get("ignore_columns", ()), *PRESETS[name].get("columns", ()))
        }
        if signature <= given and all(column in known or meaning_of(column) for column in given - {DROPPED}):
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
        "tiingo": frozenset({"adjclose", "divcash"}),
        "yfinance": frozenset({"dividends", "stock_splits"}),
        "yahoo": frozenset({"adj_close"}),
    }
