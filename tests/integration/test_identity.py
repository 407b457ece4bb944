"""When an incoming bar leaves the stored one as it is: one table of cases for the rule, the store and the lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chandlery.bars.identity import are_unchanged
from chandlery.bars.merge import MergeLimits
from chandlery.bars.rows import Batch, Rows
from chandlery.core.schema import is_derived
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, open_warehouse, put, register, table, utc

STORED = Bar("AAA", utc("2024-01-02"))
NULLS = STORED._replace(volume=None, vwap=None, trades=None)
ZERO = STORED._replace(open=0.0, volume=0.0, vwap=0.0, trades=0)
#: A day that was rolled up from minutes.
ROLLED = STORED._replace(source="derived:1m:test:one")
#: Stored bar, incoming bar, whether the stored one stays as it is.
CASES = {
    "every value equal": (STORED, STORED, True),
    "another source alone": (STORED, STORED._replace(source="test:two"), True),
    "a day rolled up again": (ROLLED, ROLLED, True),
    "a day rolled up of other minutes alone": (ROLLED, ROLLED._replace(source="derived:1m:mixed"), True),
    "a day rolled up with another close": (ROLLED, ROLLED._replace(close=10.75), False),
    "a provider's day with every value of the one rolled up": (ROLLED, STORED, False),
    "a provider's day with another close than the one rolled up": (ROLLED, STORED._replace(close=10.75), False),
    "a day rolled up with every value of the provider's": (STORED, ROLLED, True),
    "a day rolled up with another close than the provider's": (STORED, ROLLED._replace(close=10.75), True),
    "null and null": (NULLS, NULLS, True),
    "zero and minus zero": (ZERO, ZERO._replace(open=-0.0, volume=-0.0, vwap=-0.0), True),
    "minus zero and zero": (ZERO._replace(open=-0.0, volume=-0.0, vwap=-0.0), ZERO, True),
    **{
        f"another {name}": (STORED, STORED._replace(**{name: value}), False)
        for name, value in {
            "open": 10.5,
            "high": 12.5,
            "low": 8.5,
            "close": 10.75,
            "volume": 1.0,
            "vwap": 10.75,
        }.items()
    },
    "another number of trades": (STORED, STORED._replace(trades=8), False),
    "one bit of a price": (STORED, STORED._replace(close=float(np.nextafter(11.0, 12.0))), False),
    **{
        f"{name} became null": (STORED, STORED._replace(**{name: None}), False) for name in ("volume", "vwap", "trades")
    },
    **{f"{name} became known": (NULLS, NULLS._replace(**{name: 1}), False) for name in ("volume", "vwap", "trades")},
    **{f"{name} null, not zero": (ZERO, ZERO._replace(**{name: None}), False) for name in ("volume", "vwap", "trades")},
}

cases = pytest.mark.parametrize(("stored", "incoming", "stays"), CASES.values(), ids=CASES.keys())


@pytest.fixture
def tiered(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = open_warehouse(database_url, tmp_path / "lake")
    register(warehouse, {"AAA": "24/7"})
    yield warehouse
    warehouse.close()


def columns(bar: Bar) -> Rows:
    batch = Batch(table([bar]))
    return batch.rows({"AAA": 1}, [2 if is_derived(name) else 1 for name in batch.sources])


@cases
def test_the_rule_itself(stored: Bar, incoming: Bar, stays: bool) -> None:
    assert are_unchanged(columns(incoming).columns, columns(stored).columns, [2]).tolist() == [stays]


@cases
@pytest.mark.parametrize("limits", [MergeLimits(), MergeLimits(rows_as_arrays=0)], ids=["as arrays", "staged"])
def test_the_store(warehouse: Warehouse, stored: Bar, incoming: Bar, stays: bool, limits: MergeLimits) -> None:
    register(warehouse, {"AAA": "24/7"})
    put(warehouse, Timeframe.D1, [stored])
    report = put(warehouse, Timeframe.D1, [incoming], limits=limits)
    assert (report.inserted, report.revised, report.unchanged) == (0, int(not stays), int(stays))


@cases
def test_the_lake(tiered: Warehouse, stored: Bar, incoming: Bar, stays: bool) -> None:
    put(tiered, Timeframe.D1, [stored])
    with tiered.connection() as connection:
        due = find_due(connection, Timeframe.D1, utc("2025-01-01"))
    assert len(list(archive(tiered, due))) == 1
    assert apply_retention(tiered, Timeframe.D1, utc("2025-01-01")).released
    report = put(tiered, Timeframe.D1, [incoming])
    assert (report.inserted, report.revised, report.unchanged) == (0, int(not stays), int(stays))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume", "vwap"])
def test_no_other_number_gets_that_far(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} has a value that is null or not finite"):
        Batch(table([STORED._replace(**{name: value})]))
