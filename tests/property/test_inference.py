"""Nothing that comes after a moment changes a bit of what was known then."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.inference.frame import InferenceDataFrame
from chandlery.instruments.registry import list_instruments
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, put, register, utc

OPEN = utc("2024-11-25T14:30")
TIMEFRAMES = ["1m", "5m", "90m", "1h", "1d", "1w"]
INDICATORS = ["SMA_3", "RSI_5", "VWAP", "OBV"]
EVERY_COLUMN = ["open", "high", "low", "close", "volume", "vwap", "trades", "source", "known_at"]


def minutes(chance: Random, first: datetime, count: int) -> list[Bar]:
    bars = []
    for n in range(count):
        if chance.random() < 0.8:
            close = round(chance.uniform(90, 110), 2)
            ts = first + timedelta(minutes=n)
            bars.append(Bar("AAA", ts, close, close + 1, close - 1, close, float(chance.randint(1, 99)), close))
    return bars


def content(frame: InferenceDataFrame) -> dict[str, Any]:
    """Return all that a frame holds but for how long it took."""
    tables = {"bars": frame.bars, "indicators": frame.indicators, "parts": frame.parts}
    held = {f"{kind}.{name}": table.to_pydict() for kind, each in tables.items() for name, table in each.arrow.items()}
    for columns in held.values():
        for name, values in columns.items():
            columns[name] = [value.hex() if isinstance(value, float) else value for value in values]
    return held | {"available": dict(frame.available_at), "price": frame.price, "knowledge": frame.knowledge}


def derive(warehouse: Warehouse, now: datetime) -> None:
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    for base in (Timeframe.M1, Timeframe.D1):
        list(catch_up(warehouse, base, instruments, *EVER, now=now))


@pytest.mark.parametrize(("seed", "knowledge"), [(1, "as_learned"), (2, "auto"), (3, "as_published"), (4, "auto")])
def test_nothing_that_comes_later_changes_a_frame(warehouse: Warehouse, seed: int, knowledge: str) -> None:
    chance = Random(seed)
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    api = DataAPI(warehouse)
    moment = OPEN + timedelta(days=1, minutes=chance.randint(5, 380), seconds=chance.randint(0, 59))
    loaded_later = seed == 4
    past = [*minutes(chance, OPEN, 390), *minutes(chance, OPEN + timedelta(days=1), 390)]
    days = [Bar("AAA", utc(f"2024-11-{day:02}"), close=10.0 + day % 2) for day in (18, 19, 20, 21, 22)]
    learned = utc("2025-03-01") if loaded_later else moment - timedelta(seconds=1)
    put(warehouse, Timeframe.D1, days, now=learned)
    put(warehouse, Timeframe.M1, [bar for bar in past if bar.ts + timedelta(minutes=1) <= moment], now=learned)
    derive(warehouse, learned)

    def look() -> dict[str, Any]:
        return content(
            api.get_inference_data(
                "AAA", moment, 10, TIMEFRAMES, INDICATORS, limit=20, knowledge=knowledge, columns=EVERY_COLUMN
            )
        )

    before = look()
    assert before["bars.1m"]["ts"]
    assert before["parts.context"]["ts"]
    assert before["knowledge"] == ("as_published" if knowledge == "as_published" or loaded_later else "as_learned")
    later = [bar for bar in past if bar.ts + timedelta(minutes=1) > moment]
    future = [*later, *minutes(chance, OPEN + timedelta(days=2), 390)]
    chance.shuffle(future)
    now = utc("2025-04-01")
    put(warehouse, Timeframe.M1, future, now=now)
    assert look() == before
    derive(warehouse, now + timedelta(hours=1))
    assert look() == before
    put(
        warehouse,
        Timeframe.M1,
        [bar._replace(close=bar.close + 1, high=999.0) for bar in future],
        now=utc("2025-04-02"),
    )
    derive(warehouse, utc("2025-04-03"))
    assert look() == before
    with warehouse.connection() as connection:
        for table in ("bars_1m", "bars_5m", "bars_30m", "bars_1h"):
            connection.execute(f"DELETE FROM market.{table} WHERE ts >= %s", [moment])  # type: ignore[arg-type]
    assert look() == before
    restated = [bar._replace(close=1.0, low=1.0) for bar in past if bar.ts + timedelta(minutes=1) <= moment][-40:]
    put(warehouse, Timeframe.M1, restated, now=utc("2025-04-04"))
    assert look() == before
