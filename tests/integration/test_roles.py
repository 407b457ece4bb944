"""The roles of ``sql/roles`` on a server like that of ``deploy``: what each has to do, and what it is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from chandlery import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.dsn import sqlalchemy_url
from chandlery.database.lease import Lease
from chandlery.database.migrate import REVISION, current_revision, migrate
from chandlery.errors import StoreError
from chandlery.ops.roles import DAGSTER, MARKET, PASSWORDS, grant, main
from chandlery.rollups.continuous import sync_aggregates
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.apache_server import UnavailableError
from tests.deployed import ROLES, Deployed, roles_on
from tests.editions import NO_SERVER, Server
from tests.golden.owners import OWNERS
from tests.support import EVER, Bar, get, instruments_of, open_warehouse, put, register, rows, utc

M1, M5 = Timeframe.M1, Timeframe.M5
#: Later than every window of these tests was settled.
LATER = utc("2025-06-01")
HOURS = [utc(f"2024-01-09T{hour:02}:30") for hour in range(15, 20)]


@pytest.fixture(scope="module")
def server(deployed: Deployed) -> Deployed:
    """A server with the roles, a schema, and five bars that the pipeline published."""
    for _ in range(2):  # every start does it again
        deployed.make_roles()
        deployed.migrate()
    warehouse = open_warehouse(deployed.dsn("pipeline"))
    register(warehouse, {"AAPL": "XNYS"})
    put(warehouse, Timeframe.M1, [Bar("AAPL", ts) for ts in HOURS])
    put(warehouse, Timeframe.M1, [Bar("AAPL", HOURS[0], close=11.5)])
    warehouse.close()
    return deployed


def bars(server: Deployed, role: str) -> int:
    warehouse = open_warehouse(server.dsn(role))
    try:
        return len(
            DataAPI(warehouse).get_ohlc("AAPL", "2024-01-09", "2024-01-10", timeframe="1m", as_of=datetime.now(UTC))
        )
    finally:
        warehouse.close()


# What each must be able to do ----------------------------------------------------------------------------------------


def test_the_pipeline_may_write_every_table_that_a_room_writes(server: Deployed) -> None:
    written = {table for room, tables in OWNERS.items() if room for table in tables if not table.startswith("ops.move")}
    with psycopg.connect(server.dsn("pipeline")) as pipeline:
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            may = "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT has_table_privilege(name, %s)"
            assert pipeline.execute(may, (sorted(written), right)).fetchall() == []


def test_the_pipeline_makes_and_drops_partitions_also_those_that_a_migration_made(server: Deployed) -> None:
    first, later = utc("2031-03-01"), utc("2032-01-01")
    with Database(server.dsn("owner")) as database, database.connection() as owner:
        database.edition.prepare(owner, Timeframe.M1, first, first)
    grant(server.dsn("owner"))
    with Database(server.dsn("pipeline")) as database, database.connection() as pipeline:
        database.edition.prepare(pipeline, Timeframe.M1, later, later)
        chunks = [c for c in database.edition.chunks(pipeline, Timeframe.M1) if c.start >= first]
        assert len(chunks) == 2
        for chunk in chunks:
            database.edition.drop(pipeline, Timeframe.M1, chunk)
        assert [c for c in database.edition.chunks(pipeline, Timeframe.M1) if c.start >= first] == []


def test_the_reader_and_the_pipeline_read_the_same(server: Deployed) -> None:
    assert bars(server, "reader") == bars(server, "pipeline") == len(HOURS)


def test_the_owner_migrates_back_and_forth_what_belongs_to_the_pipeline(server: Deployed) -> None:
    with Database(server.dsn("owner")) as database, database.connection() as owner:
        migrate(owner, f"{int(REVISION) - 1:04}")
        migrate(owner)
        assert current_revision(owner) == REVISION
    grant(server.dsn("owner"))
    assert bars(server, "reader") == len(HOURS)


def test_the_daemon_holds_its_place_and_says_who_else_does(server: Deployed) -> None:
    with Database(server.dsn("pipeline")) as other, Database(server.dsn("daemon")) as own:
        with Lease(other, 1, "the web UI of somebody"), Lease(own, 1, "me") as lease:
            assert lease.held_by == "the web UI of somebody"
        with Lease(own, 1, "me") as lease:
            assert lease.held_by is None


def test_dagster_s_role_makes_tables_in_its_own_database(server: Deployed) -> None:
    with psycopg.connect(server.dsn("dagster", DAGSTER)) as dagster:
        dagster.execute("CREATE TABLE runs (id int)")
        dagster.execute("DROP TABLE runs")


# On hypertables ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hypertables(edition_server: Server, tmp_path: Path) -> Iterator[Deployed]:
    """The roles and the schema on a server with TimescaleDB."""
    context = roles_on(edition_server.admin, tmp_path)
    try:
        deployed = context.__enter__()
    except UnavailableError as error:
        pytest.skip(f"{NO_SERVER} to make roles on: {error}")
    try:
        for _ in range(2):  # every start does it again
            deployed.make_roles()
            deployed.migrate()
        yield deployed
    finally:
        context.__exit__(None, None, None)


@pytest.mark.every_edition
@pytest.mark.only_on("apache", "community")
def test_each_role_does_its_work_on_hypertables_and_no_more(
    hypertables: Deployed, edition_server: Server, tmp_path: Path
) -> None:
    pipeline, reader = (open_warehouse(hypertables.dsn(role), tmp_path / "lake") for role in ("pipeline", "reader"))
    with closing(pipeline), closing(reader):
        assert pipeline.edition.name == edition_server.edition
        ids = register(pipeline, {"AAPL": "XNYS"})
        if pipeline.edition.keeps_aggregates:
            keep_an_aggregate(hypertables)
        put(pipeline, M1, [Bar("AAPL", ts) for ts in HOURS])
        first = put(pipeline, M1, [Bar("AAPL", HOURS[0], close=11.5)]).known_at
        derive(pipeline)
        everything = {width: rows(get(pipeline, width, ids)) for width in (M1, M5, Timeframe.D1)}
        assert [len(bars) for bars in everything.values()] == [5, 5, 1]
        check_that_others_are_refused(hypertables, chunk_of(pipeline))

        leave_for_the_lake(pipeline)
        for warehouse in (pipeline, reader):
            assert {width: rows(get(warehouse, width, ids)) for width in everything} == everything
        hypertables.migrate()  # an upgrade
        put(pipeline, M1, [Bar("AAPL", HOURS[1], close=11.25)])  # brings the month back
        derive(pipeline)
        assert [bar.close for bar in rows(get(reader, M1, ids))] == [11.5, 11.25, 11.0, 11.0, 11.0]
        assert rows(get(reader, M5, ids))[1].close == 11.25
        assert rows(get(reader, M1, ids, as_of=first)) == everything[M1]
        assert [len(read_aggregate(reader))] == [5 if pipeline.edition.keeps_aggregates else 0]
        check_that_others_are_refused(hypertables, chunk_of(pipeline))


def derive(warehouse: Warehouse) -> None:
    list(catch_up(warehouse, M1, list(instruments_of(warehouse).values()), *EVER))


def leave_for_the_lake(warehouse: Warehouse) -> None:
    """Archive the minutes, compress their chunk where the edition can, and drop it."""
    with warehouse.connection() as connection:
        due = find_due(connection, M1, LATER)
        compressed = list(warehouse.edition.compress(connection, M1, LATER))
    assert len(compressed) == int(warehouse.edition.compresses)
    assert len(list(archive(warehouse, due))) == 1
    report = apply_retention(warehouse, M1, LATER, now=LATER)
    assert [len(report.released), len(report.dropped)] == [1, 1]


def keep_an_aggregate(server: Deployed) -> None:
    """Have the server keep a continuous aggregate, as the owner's `chandlery init` does, and grant again."""
    with Database(server.dsn("owner")) as database, database.connection() as owner:
        sync_aggregates(owner, database.edition, [M5])
    server.migrate()


def read_aggregate(warehouse: Warehouse) -> list[tuple[object, ...]]:
    if not warehouse.edition.keeps_aggregates:
        return []
    with warehouse.connection() as connection:
        return connection.execute("SELECT ts FROM market.aggregate_5m").fetchall()


def chunk_of(warehouse: Warehouse) -> str:
    """Return the name of the table that the server made for the minutes."""
    with warehouse.connection() as connection:
        (chunk,) = warehouse.edition.chunks(connection, M1)
    return chunk.name


def check_that_others_are_refused(server: Deployed, chunk: str) -> None:
    """Nobody but the pipeline writes bars, neither by their table nor by its chunk; nor may it change the schema."""
    written = [f"DELETE FROM {chunk}", f"UPDATE {chunk} SET close = 1", f"TRUNCATE {chunk}", f"DROP TABLE {chunk}"]
    written += ["DELETE FROM market.bars_1m", "TRUNCATE market.bars_1m", "DROP TABLE market.bars_1m"]
    written += ["INSERT INTO market.bars_1m SELECT * FROM market.bars_1m", "CREATE TABLE _timescaledb_internal.x ()"]
    written += ["SELECT drop_chunks('market.bars_1m', older_than => now())"]
    refused = {"reader": written, "daemon": [*written, f"SELECT FROM {chunk}"], "pipeline": ["CREATE TABLE ops.x ()"]}
    for role, statements in refused.items():
        with psycopg.connect(server.dsn(role), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


# What each must not --------------------------------------------------------------------------------------------------

NEW_BAR = "INSERT INTO market.bars_1d SELECT * FROM market.bars_1d"
DENIED = [
    *(("pipeline", text) for text in ("DROP TABLE market.instrument", "ALTER TABLE ops.manifest ADD x int")),
    *(("pipeline", text) for text in ("TRUNCATE ops.coverage", "DROP SCHEMA ops CASCADE", "CREATE SCHEMA mine")),
    *(("pipeline", text) for text in ("CREATE TABLE ops.mine (x int)", "CREATE TABLE public.mine (x int)")),
    *(("pipeline", text) for text in ("UPDATE ops.schema_version SET version_num = '9999'", "DROP VIEW market.ohlcv")),
    *(("pipeline", text) for text in ("DROP TABLE market.bars_revision", "TRUNCATE market.bars_revision")),
    ("reader", NEW_BAR),
    *(("reader", f"{text} ops.finding") for text in ("DELETE FROM", "TRUNCATE", "DROP TABLE")),
    *(("reader", text) for text in ("UPDATE market.instrument SET symbol = 'X'", "CREATE TEMP TABLE mine (x int)")),
    ("reader", "CREATE TABLE market.mine (x int)"),
    ("reader", "SELECT nextval('ops.publication_publication_id_seq')"),
    *(("daemon", f"SELECT FROM {table}") for table in ("market.bars_1d", "ops.coverage", "market.ohlcv")),
    *(("daemon", text) for text in (NEW_BAR, "CREATE TEMP TABLE mine (x int)", "CREATE TABLE public.mine (x int)")),
    *((role, "SELECT pg_terminate_backend(pg_backend_pid()), pg_read_file('postgresql.conf')") for role in ROLES[:4]),
    *((role, "COPY (SELECT 1) TO PROGRAM 'true'") for role in ROLES[:4]),
    *((role, "CREATE ROLE mine") for role in ROLES[:4]),
    *((role, "CREATE DATABASE mine") for role in ROLES[:4]),
    *((role, "DROP DATABASE chandlery_dagster") for role in ROLES[:4]),
    *((role, "ALTER ROLE chandlery_owner PASSWORD 'mine'") for role in ROLES[1:4]),
    *((role, "SET ROLE chandlery_owner") for role in ROLES[1:4]),
    *((role, "SET ROLE postgres") for role in ROLES[:4]),
]


@pytest.mark.parametrize(("role", "statement"), DENIED)
def test_a_role_is_refused_what_it_need_not(server: Deployed, role: str, statement: str) -> None:
    with psycopg.connect(server.dsn(role), autocommit=True) as connection:
        # What a session may turn off protects nothing.
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "database"),
    [
        *((role, DAGSTER) for role in ("owner", "pipeline", "reader", "daemon", "backup")),
        *((role, "postgres") for role in ROLES),
        *((role, MARKET) for role in ("dagster", "backup")),
    ],
)
def test_a_role_enters_no_database_of_others(server: Deployed, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry|permission denied"):
        psycopg.connect(server.dsn(role, database))


def test_the_rights_alone_keep_roles_out_of_each_other_s_databases(server: Deployed) -> None:
    with psycopg.connect(server.admin) as admin:
        may = "SELECT r FROM unnest(%s::text[]) AS r WHERE has_database_privilege(r, %s, 'CONNECT')"
        roles = sorted(PASSWORDS)
        entered = {name: {row[0] for row in admin.execute(may, (roles, name))} for name in (MARKET, DAGSTER)}
    assert entered == {
        MARKET: {f"chandlery_{role}" for role in ("owner", "pipeline", "reader", "daemon")},
        DAGSTER: {"chandlery_dagster"},
    }


def test_the_reader_s_session_is_read_only_and_limited_whoever_forgets_it(server: Deployed) -> None:
    with psycopg.connect(server.dsn("reader")) as reader:
        assert reader.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        assert reader.execute("SHOW statement_timeout").fetchone() == ("1min",)


# Passwords and TLS ---------------------------------------------------------------------------------------------------


def test_every_driver_verifies_the_server_and_none_comes_without(server: Deployed, tmp_path: Path) -> None:
    import sqlalchemy

    dsn = server.dsn("reader")
    assert bars(server, "reader") == len(HOURS)  # psycopg and ADBC
    with sqlalchemy.create_engine(sqlalchemy_url(dsn)).connect() as psycopg2:
        version = psycopg2.exec_driver_sql("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()
        assert version == "TLSv1.3"
    stranger = tmp_path / "ca.crt"
    request = ["req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=elsewhere", "-keyout", "/dev/null"]
    subprocess.run(["openssl", *request, "-out", stranger], check=True, capture_output=True)
    changes: list[dict[str, str]] = [{"sslmode": "disable"}, {"sslrootcert": str(stranger)}, {"host": "127.0.0.1"}]
    for change in changes:
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry|certificate"):
            psycopg.connect(conninfo.make_conninfo(dsn, **change))  # type: ignore[arg-type]


def test_a_password_is_stored_as_what_checks_it_and_changes_with_its_file(
    server: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(server.admin) as admin:
        stored = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'chandlery_reader'").fetchone()
    assert stored is not None
    assert stored[0].startswith("SCRAM-SHA-256$")
    place = server.secrets / "reader_password"
    before, old = place.read_text(), server.dsn("reader")
    place.chmod(0o644)
    try:
        place.write_text("another p@ssword'\\ of the reader\n")
        run_roles(server, monkeypatch)
        assert bars(server, "reader") == len(HOURS)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(old)
    finally:
        place.write_text(before)
        run_roles(server, monkeypatch)


def run_roles(server: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", f"postgresql://postgres@{server.address}/postgres?sslmode=verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(server.authority))
    monkeypatch.setenv("CHANDLERY_DATABASE_PASSWORD_FILE", str(server.secrets / "superuser_password"))
    for role in ROLES:
        monkeypatch.setenv(f"CHANDLERY_{role.upper()}_ROLE_PASSWORD_FILE", str(server.secrets / f"{role}_password"))
    assert main(["make"]) == 0


def test_what_is_missing_is_one_line(
    server: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_roles(server, monkeypatch)
    monkeypatch.delenv("CHANDLERY_BACKUP_ROLE_PASSWORD_FILE")
    assert main(["make"]) == 1
    assert capsys.readouterr().err == (
        "error: CHANDLERY_BACKUP_ROLE_PASSWORD_FILE names no file; each role needs a password of its own\n"
    )
    assert main(["grant", "all"]) == 2
    with pytest.raises(StoreError):  # the reader cannot give itself rights
        grant(server.dsn("reader"))
