"""Deriving in step with publishing, and again where it failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from chandlery.bars.bookkeeping import note_failed_days
from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_instruments
from chandlery.errors import LakeError
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.publishing.publish import publish
from chandlery.rollups.refresh import RollupLimits, catch_up
from chandlery.rollups.stale import last_failures, read_staleness
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, get, instruments_of, open_warehouse, put, register, table, utc

M1, M5, D1, W1 = Timeframe.M1, Timeframe.M5, Timeframe.D1, Timeframe.W1


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


def test_days_of_many_instruments_are_derived_at_the_same_time(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7", "BBB": "24/7"})
    instruments = instruments_of(warehouse)
    put(warehouse, M1, [Bar(symbol, utc("2024-02-05T12:00"), close=10.0) for symbol in instruments])
    put(warehouse, M1, [Bar(symbol, utc("2024-02-06T12:00"), close=10.0) for symbol in instruments])
    list(
        catch_up(warehouse, M1, list(instruments.values()), utc("2024-02-05"), utc("2024-02-06"))
    )  # makes the partitions
    steps = catch_up(warehouse, M1, list(instruments.values()), *EVER, limits=RollupLimits(worth_dividing=0))
    with warehouse.connection() as connection:
        deriving = threading.Thread(target=list, args=(steps,))
        with connection.transaction():
            lock_instruments(connection, M1, [instruments["AAA"].instrument_id])
            deriving.start()
            # The first waits. Unless the second goes on, this never ends: it waits for what comes after it.
            while get(warehouse, M5, {"BBB": instruments["BBB"].instrument_id}).num_rows < 2:
                assert deriving.is_alive()
            assert get(warehouse, M5, {"AAA": instruments["AAA"].instrument_id}).num_rows == 1
        deriving.join()
    assert get(warehouse, M5, {"AAA": instruments["AAA"].instrument_id}).num_rows == 2


# --- what fails


@pytest.fixture
def tiered(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = open_warehouse(database_url, tmp_path / "lake")
    register(warehouse, {"AAA": "24/7", "BBB": "24/7", "CCC": "24/7"})
    yield warehouse
    warehouse.close()


def lose_a_week(warehouse: Warehouse, lake: Path) -> tuple[Path, dict[str, int]]:
    """Have a week stale of which the first days are in a file of the lake that is gone; return where it lies."""
    put(warehouse, D1, [Bar("BBB", utc("2020-12-29"), volume=1.0)])
    with warehouse.connection() as connection:
        due = find_due(connection, D1, utc("2021-06-01"))
    list(archive(warehouse, due))
    assert apply_retention(warehouse, D1, utc("2021-06-02")).released
    put(warehouse, D1, [Bar(symbol, utc("2021-01-02"), volume=2.0) for symbol in ("AAA", "BBB", "CCC")])
    (file,) = lake.rglob("*.parquet")
    file.rename(file.with_suffix(".lost"))
    return file, {symbol: each.instrument_id for symbol, each in instruments_of(warehouse).items()}


def failed(warehouse: Warehouse) -> list[tuple[object, ...]]:
    with warehouse.connection() as connection:
        return connection.execute(
            "SELECT symbol, day, failures, next_try > clock_timestamp(), next_try < clock_timestamp() + interval '61 s'"
            " FROM ops.rollup_pending JOIN market.instrument USING (instrument_id) ORDER BY 1, 2"
        ).fetchall()


@pytest.mark.parametrize("limits", [RollupLimits(), RollupLimits(worth_dividing=0)], ids=["together", "side by side"])
def test_a_file_that_is_missing_keeps_no_other_instrument_from_being_rolled_up_and_is_tried_again(
    tiered: Warehouse, tmp_path: Path, limits: RollupLimits
) -> None:
    file, ids = lose_a_week(tiered, tmp_path / "lake")
    instruments = list(instruments_of(tiered).values())
    with pytest.raises(LakeError, match=f"^BBB: .*{file.name}"):
        list(catch_up(tiered, D1, instruments, *EVER, limits=limits))
    assert {row["symbol"] for row in get(tiered, W1, ids).to_pylist()} == {"AAA", "CCC"}
    days = [date(2020, 12, 29), date(2021, 1, 2)]
    assert failed(tiered) == [("BBB", day, 1, True, True) for day in days]
    with tiered.connection() as connection:
        stale = read_staleness(connection, D1)
        ((base, count, next_try, error),) = last_failures(connection)
    assert (stale.due, stale.waiting, stale.next_try) == (0, 2, next_try)
    assert (base, count) == (D1, 2)
    assert file.name in error
    # Nobody tries before its time, unless a person asks for it; each failure doubles the pause.
    assert list(catch_up(tiered, D1, instruments, *EVER, limits=limits, only_due=True)) == []
    with pytest.raises(LakeError):
        list(catch_up(tiered, D1, instruments, *EVER, limits=limits))
    assert failed(tiered) == [("BBB", day, 2, True, False) for day in days]
    # A day that comes meanwhile does not wait for them.
    put(tiered, D1, [Bar("BBB", utc("2021-03-02"), volume=3.0)])
    assert list(catch_up(tiered, D1, instruments, *EVER, limits=limits, only_due=True))
    assert failed(tiered) == [("BBB", day, 2, True, False) for day in days]

    file.with_suffix(".lost").rename(file)
    with tiered.connection() as connection:
        connection.execute("UPDATE ops.rollup_pending SET next_try = clock_timestamp()")
    list(catch_up(tiered, D1, instruments, *EVER, limits=limits, only_due=True))
    assert failed(tiered) == []
    volumes = {row["ts"].date(): row["volume"] for row in get(tiered, W1, ids).to_pylist() if row["symbol"] == "BBB"}
    assert volumes == {date(2020, 12, 28): 3.0, date(2021, 3, 1): 3.0}


def test_the_pause_between_tries_has_an_end(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    put(warehouse, D1, [Bar("AAA", utc("2021-01-02"))])
    with warehouse.connection() as connection:
        for failures in (0, 5, 6, 7, 1000):
            connection.execute("UPDATE ops.rollup_pending SET failures = %s", (failures,))
            note_failed_days(connection, D1, [1], *EVER, "no room")
            (pause,) = connection.execute(
                "SELECT date_trunc('minute', next_try - clock_timestamp() + interval '30 s') FROM ops.rollup_pending"
            ).fetchone() or (None,)
            assert pause == timedelta(minutes=min(2**failures, 60))
