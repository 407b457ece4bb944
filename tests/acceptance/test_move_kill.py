"""A process that moves everything is killed at any instant: what is there is whole, and in the end it is everything."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from chandlery.cli import app
from chandlery.ops.move.contents import TablePart, checksum, list_parts, list_tables
from chandlery.ops.move.destination import SEEDED, read_copied_parts
from chandlery.ops.move.unfinished import is_unfinished
from chandlery.tiers.warehouse import Warehouse
from tests.acceptance.workers import SYMBOLS, context, fill
from tests.support import every_row, register, wait_until_alone

KILLS = 6


def run_move(environment: dict[str, str]) -> None:
    """Run the command, as a process of its own would."""
    os.environ.update(environment)
    app(["move"])


@pytest.fixture
def source(warehouse: Warehouse) -> Warehouse:
    """Four months of minutes of three symbols with what derives from them, of which one bar in eight was restated."""
    register(warehouse, dict.fromkeys(SYMBOLS, "XNYS"))
    fill(warehouse.database.dsn, range(1, 5), earlier=True)
    fill(warehouse.database.dsn, range(1, 5))
    return warehouse


@pytest.fixture
def fresh_target(server: str) -> Iterator[Callable[[], str]]:
    """Returns the name of a database that is not there, each time; all are dropped in the end."""
    names: list[str] = []

    def make() -> str:
        names.append(f"moved_{len(names)}")
        return conninfo.make_conninfo(server, dbname=names[-1])

    yield make
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        for name in names:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_move_that_is_killed_at_any_instant_goes_on_and_completes(
    source: Warehouse, fresh_target: Callable[[], str], database_url: str, tmp_path: Path
) -> None:
    with source.connection() as connection:
        before = every_row(connection)
    environment = {"CHANDLERY_DATABASE_URL": database_url, "CHANDLERY_HOME": str(tmp_path)}
    processes = context()

    def start(target: str) -> float | None:
        """Run the command, for a random part of the time it needs; return how long it took, None if it was killed."""
        process = processes.Process(target=run_move, args=(environment | {"CHANDLERY_MOVE_TO": url_of(target)},))
        began = time.monotonic()
        process.start()
        process.join(chance.uniform(0.1, took) if kills < KILLS or halves <= KILLS / 4 else None)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        return time.monotonic() - began if process.exitcode == 0 else None

    chance = random.Random(20230103)
    kills, halves, took = KILLS, KILLS, 120.0
    start(fresh_target())  # once without a clock, because the first process has to import everything
    took = start(fresh_target()) or took
    kills = halves = 0
    # Enough kills must come while something is copied, however slow the machine has become.
    while kills < KILLS or halves <= KILLS / 4:
        target = fresh_target()
        while start(target) is None:
            kills += 1
            was_half = check(target, source)
            halves += was_half
            took *= 1 if was_half else 1.2
        with psycopg.connect(target, options="-c timezone=UTC") as connection:
            assert every_row(connection) == before
            assert not is_unfinished(connection)
    with source.connection() as connection:
        assert every_row(connection) == before


def check(target: str, source: Warehouse) -> bool:
    """Assert that what a killed move left is whole: parts as noted, or nothing. Return whether a part was there."""
    try:
        connection = psycopg.connect(target, autocommit=True, options="-c timezone=UTC")
    except psycopg.OperationalError:
        return False  # not even made
    with connection, source.connection() as original:
        wait_until_alone(connection)
        if not is_unfinished(connection):
            return False
        tables = list_tables(original)
        notes = read_copied_parts(connection, tables)
        assert notes == {part: checksum(original, part) for part in notes}
        for part in list_parts(connection, tables):
            assert checksum(connection, part) == notes.get(part) or is_as_migrated(part)
    return bool(notes)


def is_as_migrated(part: TablePart) -> bool:
    return part.rows == 0 or str(part) in SEEDED


def url_of(dsn: str) -> str:
    parts = conninfo.conninfo_to_dict(dsn)
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"
