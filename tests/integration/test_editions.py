"""Migrations and the edition of a server: the schema comes, goes, comes again, and is the one that was agreed on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import conninfo

from chandlery.store.connect import Database
from chandlery.store.editions.detect import detect
from chandlery.store.editions.postgres import partition_spans
from chandlery.store.migrate import REVISION, _config, current_revision, migrate
from chandlery.timeframe import Timeframe
from tests.golden.schema import GOLDEN, dump
from tests.support import Bar, every_row, put, register, utc


@pytest.fixture
def empty(server: str) -> Iterator[psycopg.Connection]:
    """A connection to a database without a schema."""
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE empty_of_tests")
        with psycopg.connect(conninfo.make_conninfo(server, dbname="empty_of_tests"), autocommit=True) as connection:
            yield connection
        admin.execute("DROP DATABASE empty_of_tests WITH (FORCE)")


def test_the_schema_can_be_made_removed_and_made_again(empty: psycopg.Connection) -> None:
    assert current_revision(empty) is None
    migrate(empty)
    made = dump(empty.info.dsn)
    assert current_revision(empty) == REVISION
    migrate(empty, "base")
    assert current_revision(empty) is None
    assert empty.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('market', 'ops')").fetchall() == []
    migrate(empty)
    assert dump(empty.info.dsn) == made


def test_migrating_again_changes_nothing(database: Database) -> None:
    register(database, {"AAA": "XNYS"})
    put(database, Timeframe.M1, [Bar("AAA", utc("2024-06-03"))])
    with database.connection() as connection:
        before = every_row(connection), dump(database.dsn)
        migrate(connection)
        assert (every_row(connection), dump(database.dsn)) == before


def test_each_migration_can_be_run_again_by_hand(database: Database) -> None:
    before = dump(database.dsn)
    with database.connection() as connection:
        connection.execute("DELETE FROM public.schema_version")
        migrate(connection)
        assert current_revision(connection) == REVISION
    assert dump(database.dsn) == before


def test_several_processes_may_migrate_at_once(empty: psycopg.Connection) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with psycopg.connect(empty.info.dsn, autocommit=True) as connection:
                migrate(connection)
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert current_revision(empty) == REVISION


def test_the_code_needs_the_newest_migration_there_is() -> None:
    assert ScriptDirectory.from_config(_config()).get_current_head() == REVISION


def test_the_schema_is_the_one_that_was_agreed_on(database: Database) -> None:
    assert dump(database.dsn) == GOLDEN.read_text(encoding="utf-8"), (
        "run `python -m tests.golden.update` and look at it"
    )


def test_a_plain_postgresql_is_recognised(database: Database) -> None:
    with database.connection() as connection:
        assert detect(connection).name == "postgres"
    assert "plain PostgreSQL" in database.edition.meaning


@pytest.mark.parametrize(
    ("timeframe", "first", "last", "names"),
    [
        (Timeframe.M1, "2023-12-31T23:59", "2024-01-01T00:00", ["2023_12", "2024_01"]),
        (Timeframe.M1, "2024-02-01", "2024-02-29T23:59", ["2024_02"]),
        (Timeframe.M5, "2023-12-31T23:55", "2024-12-31", ["2023", "2024"]),
        (Timeframe.D1, "1999-12-31", "2000-01-01", ["1990s", "2000s"]),
        (Timeframe.W1, "2020-01-01", "2029-12-31", ["2020s"]),
    ],
)
def test_partitions_touch_every_instant_of_the_range_once(
    timeframe: Timeframe, first: str, last: str, names: list[str]
) -> None:
    spans = list(partition_spans(timeframe, utc(first), utc(last)))
    assert [name for name, _, _ in spans] == names
    assert spans[0][1] <= utc(first) < spans[0][2]
    assert spans[-1][1] <= utc(last) < spans[-1][2]
    assert all(one[2] == other[1] for one, other in pairwise(spans))
    assert all(moment.tzinfo is UTC for _, *ends in spans for moment in ends)
    assert isinstance(spans[0][1], datetime)
