"""Several processes publish bars of the same minutes at once while another rolls up: as if one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import psycopg
import pytest

from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.instruments.registry import list_instruments
from chandlery.publishing.publish import publish
from chandlery.rollups.aggregate import MIXED, roll_up
from chandlery.rollups.refresh import catch_up
from chandlery.rollups.stale import count_stale
from chandlery.tiers.warehouse import Warehouse
from tests.acceptance.workers import SYMBOLS, Published, contend, context, keep_up
from tests.support import (
    EVER,
    Bar,
    coverage,
    get,
    put,
    recount_coverage,
    register,
    rows,
    table,
    utc,
    wait_until_blocked,
)

ROUNDS = 10
BROKEN_CHAINS = """
    SELECT count(*) FROM (
        SELECT known_at, superseded_at,
               lead(known_at) OVER (PARTITION BY instrument_id, ts ORDER BY known_at) AS following
        FROM (
            SELECT instrument_id, ts, known_at, superseded_at FROM market.bars_revision WHERE timeframe = '1m'
            UNION ALL SELECT instrument_id, ts, known_at, 'infinity' FROM market.bars_1m
        ) AS every
    ) AS chain
    WHERE superseded_at <> coalesce(following, 'infinity') OR known_at >= superseded_at
"""


@pytest.mark.slow
@pytest.mark.parametrize("publishers", [2, 3])
def test_publishers_at_once_end_in_some_serial_order_with_their_roll_ups(warehouse: Warehouse, publishers: int) -> None:
    ids = register(warehouse, dict.fromkeys(SYMBOLS, "XNYS"))
    batches = run(warehouse.database.dsn, publishers)
    assert len(batches) == publishers * ROUNDS
    serial: dict[tuple[str, datetime], float] = {}
    for batch in sorted(batches, key=lambda batch: batch.known_at):
        for symbol in batch.symbols:
            serial |= {(symbol, batch.start + timedelta(minutes=n)): batch.volume for n in range(batch.minutes)}
    assert {bar[:2]: bar.volume for bar in rows(get(warehouse, Timeframe.M1, ids))} == serial
    with warehouse.connection() as connection:
        assert connection.execute(BROKEN_CHAINS).fetchone() == (0,)
        revisions = connection.execute("SELECT count(*) FROM market.bars_revision WHERE timeframe = '1m'").fetchone()
        assert revisions == (sum(batch.revised for batch in batches),)
        assert revisions != (0,), "the batches never met"
        assert coverage(connection) == recount_coverage(connection)
    check_roll_ups(warehouse, ids)


def run(dsn: str, publishers: int) -> list[Published]:
    """Let publishers and one that rolls up go at the same moment, and return every batch that was published."""
    processes = context()
    starts, results, running = [], [], []
    for number in range(publishers + 1):
        go, started = processes.Pipe(duplex=False)
        result, done = processes.Pipe(duplex=False)
        target, args = (keep_up, (dsn,)) if number == publishers else (contend, (dsn, number + 1, ROUNDS))
        process = processes.Process(target=target, args=(*args, go, done))
        process.start()
        starts.append(started)
        results.append(result)
        running.append(process)
    for started in starts:
        started.send("go")
    for process in running[:-1]:
        process.join()
    starts[-1].send("stop")
    running[-1].join()
    assert [process.exitcode for process in running] == [0] * len(running)
    batches = [result.recv() for result in results]
    assert batches.pop() > 0, "nothing was rolled up meanwhile"
    return [batch for mine in batches for batch in mine]


def check_roll_ups(warehouse: Warehouse, ids: dict[str, int]) -> None:
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    list(catch_up(warehouse, Timeframe.M1, instruments, *EVER))
    with warehouse.connection() as connection:
        assert count_stale(connection) == {}
    base = get(warehouse, Timeframe.M1, ids).drop_columns("known_at")
    for timeframe in derived_from(Timeframe.M1):
        expected = rows(roll_up(base, timeframe, dict.fromkeys(SYMBOLS, "XNYS")))
        # The source is the one of the values' own time: a publication that repeats values does not change it.
        assert [bar[:-1] for bar in rows(get(warehouse, timeframe, ids))] == [bar[:-1] for bar in expected]


def test_roll_ups_that_are_the_first_to_mix_sources_do_not_wait_in_a_circle(warehouse: Warehouse) -> None:
    ids = register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    noon = utc("2024-06-03T16:00")
    narrow, wide = Timeframe.M5, Timeframe.M15
    put(warehouse, Timeframe.M1, [Bar("AAA", noon)])
    with psycopg.connect(warehouse.database.dsn) as one, ThreadPoolExecutor(1) as other:
        one.execute("SELECT 1")  # from here on, all that is published is one transaction
        publish(one, warehouse, narrow, table([Bar("AAA", noon)]))  # makes a partition
        mixed = other.submit(put, warehouse, narrow, [Bar("BBB", noon, source=MIXED)])  # waits for that partition
        wait_until_blocked(warehouse.database.dsn)
        publish(one, warehouse, wide, table([Bar("AAA", noon, source=MIXED)]))
        one.commit()
        assert mixed.result().inserted == 1
    assert len(rows(get(warehouse, narrow, ids))) == 2
