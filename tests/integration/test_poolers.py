"""A pooler in transaction mode, and databases that prefer other settings than ours: answers stay the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql
from typer.testing import CliRunner

from chandlery.cli import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.locks import try_lock
from chandlery.errors import StoreError, UsageError
from chandlery.ingest.landing import Landing
from chandlery.lake.store import Lake
from chandlery.ops.move.move import move
from tests.apache_server import UnavailableError
from tests.editions import Server, url
from tests.integration.test_cli import CONFIG, InMemoryOrchestrator
from tests.integration.test_move import Listener
from tests.pgbouncer_server import pgbouncer
from tests.processes import CLI, free_port
from tests.support import Bar, every_row, get, open_warehouse, put, register, utc, wait_until

#: What a database may prefer. Each of these once changed an answer, or would.
PREFERENCES = {
    "timezone": "Asia/Kolkata",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-9",
    "search_path": "elsewhere, public",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "default_transaction_isolation": "serializable",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
}
QUESTION = "SELECT '2024-01-02'::timestamptz::text AS ts, 0.1::float8 + 0.2 AS sum, date '2024-03-04'::text AS day"
ANSWER = ("2024-01-02 00:00:00+00", 0.30000000000000004, "2024-03-04")

Pooler = Callable[..., str]


def prefer(dsn: str, preferences: Mapping[str, str] = PREFERENCES) -> None:
    """Have the database of ``dsn`` prefer whatever we do not."""
    name = sql.Identifier(str(conninfo.conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA IF NOT EXISTS elsewhere")
        for setting, value in preferences.items():
            owner.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(setting), value))


@pytest.fixture
def dsn(database_url: str) -> str:
    """Connection string of a migrated database with preferences."""
    prefer(conninfo.make_conninfo(database_url))
    return conninfo.make_conninfo(database_url)


@pytest.fixture
def pooler() -> Iterator[Pooler]:
    """Puts a pooler before a server."""
    with ExitStack() as running:

        def start(dsn: str, **options: object) -> str:
            try:
                return running.enter_context(pgbouncer(dsn, **options))  # type: ignore[arg-type]
            except UnavailableError as error:
                pytest.skip(f"no pooler: {error}")

        yield start


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [None, {}, {"mode": "session"}, {"more": "ignore_startup_parameters = options"}])
def test_every_statement_is_answered_in_our_settings_whatever_stands_between(
    dsn: str, pooler: Pooler, options: dict[str, str] | None
) -> None:
    place = dsn if options is None else pooler(dsn, **options)
    with psycopg.connect(place) as plain:
        assert plain.execute(QUESTION).fetchone() != ANSWER, "the database does prefer something else"
    with Database(place) as database, database.connection() as connection, database.dedicated() as dedicated:
        for each in (connection, dedicated):
            assert each.execute(QUESTION).fetchone() == ANSWER
            with each.transaction():
                assert each.execute(QUESTION).fetchone() == ANSWER
                assert each.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
            with each.pipeline():
                answers = [each.execute(QUESTION) for _ in range(3)]
            assert [answer.fetchone() for answer in answers] == [ANSWER] * 3
            with each.cursor().copy(f"COPY ({QUESTION}) TO STDOUT") as copy:  # type: ignore[arg-type]
                assert b"".join(copy).decode().split("\t")[:2] == list(map(str, ANSWER[:2]))
        columns = database.fetch_arrow(sql.SQL(QUESTION).format()).to_pylist()  # type: ignore[arg-type]
        assert [tuple(row.values()) for row in columns] == [ANSWER]
        with pytest.raises(StoreError, match="read-only"):
            database.fetch_arrow(sql.SQL("DELETE FROM market.source RETURNING name").format())
    with psycopg.connect(place) as plain:
        assert plain.execute(QUESTION).fetchone() != ANSWER, "nobody else notices our settings"


def test_a_pooler_may_give_each_statement_another_session(dsn: str, pooler: Pooler) -> None:
    """Two sessions for sixteen threads: what one of them prepared or set is not there for its next statement."""
    place = pooler(dsn, size=2)
    with Database(place) as database:

        def ask(number: int) -> set[object]:
            seen = set()
            for _ in range(20):  # a driver prepares a statement that it sees often
                with database.connection() as connection:
                    seen.add(connection.execute(QUESTION + ", %s::int", (number,)).fetchone())  # type: ignore[arg-type]
            seen.add(database.fetch_arrow(sql.SQL(QUESTION).format()).num_rows)  # type: ignore[arg-type]
            return seen

        with ThreadPoolExecutor(8) as threads:
            for number, seen in enumerate(threads.map(ask, range(16))):
                assert seen == {(*ANSWER, number), 1}


def test_options_that_a_pooler_refuses_are_an_error_that_says_so(dsn: str, pooler: Pooler) -> None:
    place = conninfo.make_conninfo(pooler(dsn), options="-c statement_timeout=5s")
    with Database(place) as database, pytest.raises(StoreError) as caught, database.connection():
        pass
    assert "options" in str(caught.value)
    assert "ignore_startup_parameters" in str(caught.value)


def test_a_pooler_that_knows_no_transactions_is_refused(dsn: str, pooler: Pooler) -> None:
    with (
        pytest.raises(StoreError, match="transaction blocks not allowed"),
        Database(pooler(dsn, mode="statement")) as database,
        database.connection() as connection,
        connection.transaction(),
    ):
        connection.execute("SELECT 1")


def test_names_in_quotes_are_nothing_to_a_direct_connection_and_an_error_through_a_pooler(
    dsn: str, pooler: Pooler
) -> None:
    prefer(dsn, {"quote_all_identifiers": "on"})
    with Database(dsn) as database:
        columns = database.fetch_arrow(sql.SQL(QUESTION).format()).to_pylist()  # type: ignore[arg-type]
        assert [tuple(row.values()) for row in columns] == [ANSWER]
    with Database(pooler(dsn)) as database, pytest.raises(StoreError, match="quote_all_identifiers"):
        database.fetch_arrow(sql.SQL(QUESTION).format())  # type: ignore[arg-type]


# What is held --------------------------------------------------------------------------------------------------------


def test_a_lock_lasts_as_long_as_its_block_and_no_longer(dsn: str, pooler: Pooler, tmp_path: Path) -> None:
    place = pooler(dsn, size=4)
    with Database(place) as database, psycopg.connect(dsn, autocommit=True) as watcher:
        landing = Landing(database, Lake(tmp_path))
        locks = (
            "SELECT objid FROM pg_locks JOIN pg_database AS d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        with landing.writer() as number:
            for _ in range(20):
                with database.connection() as connection:
                    connection.execute("SELECT 1")
            assert watcher.execute(locks).fetchall() == [(number,)]
            with database.dedicated() as other, try_lock(other, 0x6368_0200, number) as is_free:
                assert not is_free
        assert watcher.execute(locks).fetchall() == []


def test_a_move_takes_direct_connections(dsn: str, pooler: Pooler) -> None:
    with (
        Database(pooler(dsn)) as pooled,
        Database(dsn) as direct,
        pytest.raises(UsageError, match="direct connections"),
    ):
        move(direct, pooled, Listener())


# Everything ----------------------------------------------------------------------------------------------------------


def test_bars_are_published_revised_and_read_alike_through_a_pooler(edition_server: Server, pooler: Pooler) -> None:
    hours = [utc(f"2024-01-{day:02}T{hour:02}:30") for day in (1, 2) for hour in range(24)]
    first = [Bar("AAA", ts, close=11 + 0.1 / (at + 1)) for at, ts in enumerate(hours)]
    second = [bar._replace(close=11.1) for bar in first[20:30]]
    content = []
    for stands_between in (False, True):
        with edition_server.new_database() as dsn:
            if stands_between:
                prefer(dsn)
            warehouse = open_warehouse(pooler(dsn, size=2) if stands_between else dsn)
            ids = register(warehouse, {"AAA": "XNYS"})
            put(warehouse, Timeframe.M1, first, now=utc("2024-02-01"))
            put(warehouse, Timeframe.M1, second, now=utc("2024-02-02"))
            bars = get(warehouse, Timeframe.M1, ids).to_pylist()
            warehouse.close()
            with Database(dsn) as database, database.connection() as connection:
                content.append((bars, every_row(connection)))
    assert content[0] == content[1]
    assert len(content[0][0]) == len(hours)


@pytest.fixture
def fresh(edition_server: Server) -> Iterator[str]:
    """Connection string of a database with preferences and nothing else in it."""
    name = "fresh_of_poolers"
    with psycopg.connect(edition_server.admin, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER {edition_server.role or 'CURRENT_USER'}")  # type: ignore[arg-type]
        dsn = edition_server.dsn(name)
        prefer(dsn)
        yield dsn
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def test_commands_answer_alike_through_a_pooler_and_directly(
    fresh: str, pooler: Pooler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """Once coverage was five and a half hours late, because nobody had looked whether UTC was in force."""
    folder = tmp_path / "data" / "bars_1m"
    folder.mkdir(parents=True)
    lines = [
        f"2024-01-09T{14 + (30 + at) // 60:02}:{(30 + at) % 60:02}:00Z,10,12,9,{11 + at / 1000},100"
        for at in range(200)
    ]
    (folder / "AAPL.csv").write_text("\n".join(["ts,open,high,low,close,volume", *lines]) + "\n")
    monkeypatch.setenv("CHANDLERY_CONFIG", str(CONFIG))
    answers = []
    for place, commands in ((database_url, "direct"), (url(pooler(fresh, size=4)), "pooled")):
        monkeypatch.setenv("CHANDLERY_DATABASE_URL", place)
        monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / commands))
        said = []
        for command in (
            "init",
            f"ingest AAPL -t 1m --path {tmp_path / 'data'} --start 2024-01-08 --end 2024-01-11",
            "coverage AAPL -t 1m --start 2024-01-08 --end 2024-01-11",
            "query AAPL -t 1m --start 2024-01-09 --end 2024-01-10 --format csv",
            "query AAPL -t 1h --start 2024-01-09 --end 2024-01-10 --format csv",
        ):
            result = CliRunner().invoke(app, command.split(), obj=Session(InMemoryOrchestrator))
            assert result.exit_code == 0, f"{command}: {result.output}"
            said.append(result.stdout)
        answers.append(said[2:])
    assert answers[0] == answers[1]
    assert "200" in answers[0][0]
    assert answers[0][1].count("\n") == 201


# Dagster -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dagsters_own_storage_stands_behind_a_pooler_too(server: str, pooler: Pooler, tmp_path: Path) -> None:
    """A run, the web UI and the daemon in transaction mode; the database prefers another zone and other tables."""
    names = ("pooled_bars", "pooled_bars_dagster")
    folder = tmp_path / "data" / "bars_1d"
    folder.mkdir(parents=True)
    (folder / "AAPL.csv").write_text("ts,open,high,low,close,volume\n2024-01-09,10,12,9,11,100\n")
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        for name in names:
            admin.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
            for preferred in ("timezone = 'Asia/Kolkata'", "search_path = nosuch"):
                admin.execute(f"ALTER DATABASE {name} SET {preferred}")  # type: ignore[call-overload]
        try:
            place = pooler(conninfo.make_conninfo(server, dbname=names[0]))
            keep = {
                name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY_", "DAGSTER_"))
            }
            home = {"CHANDLERY_DATABASE_URL": url(place), "CHANDLERY_HOME": str(tmp_path / "home")}
            environment = keep | home | {"CHANDLERY_CONFIG": str(CONFIG)}
            ingest = ["ingest", "AAPL", "-t", "1d", "--path", str(tmp_path / "data"), "--start", "2024-01-08"]
            for command in (["init"], [*ingest, "--end", "2024-01-11", "--yes"]):
                done = subprocess.run([*CLI, *command], env=environment, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
            ui = [*CLI, "ui", "--port", str(free_port())]
            with subprocess.Popen(ui, env=environment, stdout=subprocess.PIPE, text=True) as running:
                assert running.stdout is not None
                assert running.stdout.readline().startswith("Chandlery is at ")
                with psycopg.connect(conninfo.make_conninfo(server, dbname=names[1]), autocommit=True) as watcher:
                    beats = "SELECT count(*) FROM daemon_heartbeats"
                    wait_until(lambda: watcher.execute(beats).fetchone() != (0,), "the daemon is heard of")
                    late = watcher.execute(
                        "SELECT count(*), max(abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - create_timestamp)))"
                        " FROM runs WHERE status = 'SUCCESS'"
                    ).fetchone()
                running.terminate()
                assert running.wait(60) == 0
            assert late is not None
            assert late[0] > 0
            assert late[1] < 3600, "times are in UTC"
        finally:
            for name in names:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[call-overload]
