"""What the docstrings of the Python interface show works, on a small warehouse."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

from chandlery import api as interface
from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

MODULES = sorted(path.stem for path in Path(interface.__path__[0]).glob("*.py") if path.stem != "__init__")
DAYS = [utc("2024-06-03"), utc("2024-06-04"), utc("2024-06-05")]


def test_the_examples_of_the_docstrings_work(warehouse: Warehouse) -> None:
    register(warehouse, {"AAPL": "XNYS", "MSFT": "XNYS"})
    bars = [Bar(symbol, day, close=9.5 + n) for symbol in ("AAPL", "MSFT") for n, day in enumerate(DAYS)]
    put(warehouse, Timeframe.D1, bars)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    with DataAPI(warehouse) as api:
        for name in MODULES:
            module = importlib.import_module(f"chandlery.api.{name}")
            for example in doctest.DocTestFinder().find(module, extraglobs={"api": api}):
                runner.run(example)
    assert runner.failures == 0
    assert runner.tries >= 10
