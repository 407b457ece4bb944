"""A process that ingests and rolls up is killed at any instant, again and again: the store is whole after each kill.

In the end it holds exactly what it would have held without.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo

from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.tiers.warehouse import Warehouse
from tests.acceptance.workers import SYMBOLS, context, fill
from tests.support import register, wait_until_alone

KILLS = 20
_VALUES = "instrument_id, ts, open, high, low, close, volume, vwap, trades"

#: Each finds what must not be. The simulated bars are all of regular hours, and their volumes are whole numbers.
INCONSISTENT = {
    "a session whose coverage is not the number of its bars": """
        SELECT count(*) FROM (SELECT instrument_id, ts::date AS session, count(*) AS n, min(ts), max(ts)
                              FROM market.bars_1m GROUP BY 1, 2) AS b
        FULL JOIN ops.coverage AS c USING (instrument_id, session)
        WHERE (b.n, b.min, b.max) IS DISTINCT FROM (c.present, c.first_ts, c.last_ts) OR c.outside <> 0
    """,
    "a revision that does not end where the present values begin": """
        SELECT count(*) FROM market.bars_revision AS r LEFT JOIN market.bars_1m AS b USING (instrument_id, ts)
        WHERE r.timeframe = '1m' AND b.known_at IS DISTINCT FROM r.superseded_at
    """,
    "a table for staging": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
}
STALE_BUT_NOT_PENDING = """
    SELECT count(*)
    FROM (SELECT instrument_id, ts::date AS day, sum(volume) AS v FROM market.bars_1m GROUP BY 1, 2) AS b
    FULL JOIN (SELECT instrument_id, ts::date AS day, sum(volume) AS v FROM market.bars_{} GROUP BY 1, 2) AS d
        USING (instrument_id, day)
    LEFT JOIN ops.rollup_pending AS p USING (instrument_id, day)
    WHERE b.v IS DISTINCT FROM d.v AND p.noted_at IS NULL
"""


@pytest.fixture
def half_full(warehouse: Warehouse) -> Iterator[str]:
    """The name of a database with five months, of which one bar in eight was wrong and one month was not rolled up."""
    register(warehouse, dict.fromkeys(SYMBOLS, "XNYS"))
    fill(warehouse.database.dsn, range(1, 6), earlier=True)
    with warehouse.connection() as connection:
        connection.execute(
            "INSERT INTO ops.rollup_pending SELECT DISTINCT '1m', instrument_id, ts::date, now() FROM market.bars_1m"
            " WHERE ts < '2023-02-01'"
        )
    warehouse.close()
    return str(conninfo.conninfo_to_dict(warehouse.database.dsn)["dbname"])


class Copies:
    """Makes copies of a database, all of which end with the test."""

    def __init__(self, admin: psycopg.Connection, original: str) -> None:
        self.admin, self.original = admin, original
        self.names = (f"life_{number}" for number in itertools.count())

    def make(self) -> str:
        name = next(self.names)
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE {self.original} STRATEGY file_copy")  # type: ignore[arg-type]
        return conninfo.make_conninfo(self.admin.info.dsn, dbname=name)

    def drop(self, dsn: str) -> None:
        self.admin.execute(f"DROP DATABASE {conninfo.conninfo_to_dict(dsn)['dbname']} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def copies(server: str, half_full: str) -> Iterator[Copies]:
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        yield Copies(admin, half_full)


@pytest.mark.slow
def test_a_kill_at_any_instant_loses_nothing_and_doubles_nothing(copies: Copies) -> None:
    chance = random.Random(20230103)
    undisturbed = copies.make()
    began = time.monotonic()
    fill(undisturbed)
    took = time.monotonic() - began
    expected = content(undisturbed)
    copies.drop(undisturbed)
    processes = context()
    kills = 0
    while kills < KILLS:
        dsn = copies.make()
        finished = False
        while not finished:
            process = processes.Process(target=fill, args=(dsn,))
            process.start()
            # Past the number, it may live.
            process.join(chance.uniform(0, 0.35 * took) if kills < KILLS else None)
            if process.is_alive():
                process.kill()
            process.join()
            finished = process.exitcode == 0
            assert process.exitcode in (0, -signal.SIGKILL)
            kills += not finished
            check(dsn)
        assert content(dsn) == expected
        copies.drop(dsn)


def check(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True, application_name="check") as connection:
        wait_until_alone(connection)
        for what, statement in INCONSISTENT.items():
            assert connection.execute(statement).fetchone() == (0,), what
        for timeframe in (Timeframe.M5, Timeframe.H4):
            found = connection.execute(STALE_BUT_NOT_PENDING.format(timeframe.value)).fetchone()  # type: ignore[arg-type]
            assert found == (0,), f"a day of {timeframe} is stale and nobody knows"


def content(dsn: str) -> dict[str, object]:
    """Return number and hash of all rows of every table, but for when they were written."""
    tables = {timeframe.table: _VALUES for timeframe in (Timeframe.M1, *derived_from(Timeframe.M1))}
    columns = {f"market.{name}": values for name, values in tables.items()} | {
        "(SELECT * FROM market.bars_revision WHERE timeframe = '1m')": _VALUES,
        "ops.coverage": "instrument_id, timeframe, session, present, outside, first_ts, last_ts",
        "ops.rollup_pending": "instrument_id, timeframe, day",
    }
    with psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC") as connection:
        return {
            name: connection.execute(
                f"SELECT count(*), sum(hashtextextended(row({values})::text, 0)) FROM {name} AS t"  # type: ignore[arg-type]
            ).fetchone()
            for name, values in columns.items()
        }
