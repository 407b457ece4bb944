"""Deriving in step with publishing: whoever derives waits for publications of the base that are under way."""

from __future__ import annotations

import threading

from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_instruments
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.publishing.publish import publish
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, get, put, register, table, utc

M1, M5 = Timeframe.M1, Timeframe.M5


def test_deriving_waits_for_whoever_publishes_base_bars_of_the_same_instrument(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    ids = {instrument.symbol: instrument.instrument_id for instrument in instruments}
    put(warehouse, M1, [Bar("AAA", utc("2024-02-05T12:00"), close=10.0)])
    with warehouse.connection() as connection:
        with connection.transaction():
            lock_instruments(connection, M1, list(ids.values()))
            deriving = threading.Thread(target=derive, args=(warehouse, instruments))
            deriving.start()
            # A thread that does not wait comes to its end instead.
            while not (has_waited := is_awaited(warehouse)) and deriving.is_alive():
                pass
            publish(connection, warehouse, M1, table([Bar("AAA", utc("2024-02-05T12:01"), close=11.0)]))
        deriving.join()
    assert has_waited
    (bar,) = get(warehouse, M5, ids).to_pylist()
    assert bar["close"] == 11.0


def derive(warehouse: Warehouse, instruments: list[Instrument]) -> None:
    list(catch_up(warehouse, M1, instruments, *EVER))


def is_awaited(warehouse: Warehouse) -> bool:
    """Whether anybody waits for the lock of an instrument."""
    with warehouse.connection() as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        ).fetchone()
    return row == (True,)
