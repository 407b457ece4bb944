"""Servers of other people: roles that only read, standbys, TLS, and tables of others that are called like ours."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from pydantic import SecretStr
from typer.testing import CliRunner

from chandlery import DataAPI
from chandlery.app.installation import Installation
from chandlery.cli import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.dsn import sqlalchemy_url
from chandlery.database.migrate import REVISION, current_revision, migrate
from chandlery.errors import StoreError, StoreUnavailableError
from chandlery.settings import Settings
from tests.apache_server import UnavailableError
from tests.debian_server import debian_server, standby
from tests.editions import Server, url
from tests.integration.test_cli import CONFIG, InMemoryOrchestrator
from tests.support import Bar, open_warehouse, put, register, utc

#: What docs/servers.md tells an administrator to grant to a role that reads.
GRANTS = """
GRANT USAGE ON SCHEMA market, ops TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA market, ops TO reader;
"""
HOURS = [utc(f"2024-01-09T{hour:02}:30") for hour in range(15, 20)]


def fill(dsn: str) -> None:
    """Publish five minutes of AAPL."""
    warehouse = open_warehouse(dsn)
    register(warehouse, {"AAPL": "XNYS"})
    put(warehouse, Timeframe.M1, [Bar("AAPL", ts) for ts in HOURS])
    put(warehouse, Timeframe.M1, [Bar("AAPL", HOURS[0], close=11.5)])
    warehouse.close()


def check_reads(dsn: str) -> None:
    """Read in all ways; check that a write is refused, and that nothing was migrated."""
    warehouse = open_warehouse(dsn)
    api = DataAPI(warehouse)
    question = ("AAPL", "2024-01-09", "2024-01-10")
    assert [bar["ts"] for bar in api.get_ohlc(*question, timeframe="1m", output="arrow").to_pylist()] == HOURS
    assert len(api.get_ohlc(*question, timeframe="1m", as_of=datetime.now(UTC), output="arrow")) == len(HOURS)
    with pytest.raises(StoreError) as caught:
        put(warehouse, Timeframe.M1, [Bar("AAPL", utc("2024-01-09T20:30"))])
    assert caught.value.sqlstate in {"42501", "25006"}
    with warehouse.connection() as connection:
        migrate(connection)  # is there already
    warehouse.close()


def check_commands(place: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands that read, and some that write, which end with one message."""
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", place)
    monkeypatch.setenv("CHANDLERY_HOME", str(folder / "home"))
    monkeypatch.setenv("CHANDLERY_CONFIG", str(CONFIG))
    for command in ("query AAPL -t 1m --start 2024-01-09", "coverage AAPL", "revisions AAPL -t 1m", "status"):
        result = CliRunner().invoke(app, command.split(), obj=Session(InMemoryOrchestrator))
        assert result.exit_code == 0, f"{command}: {result.output}"
    for command in ("init", "halts add AAPL 2024-01-09T15:00Z 2024-01-09T16:00Z --reason LULD", "archive"):
        result = CliRunner().invoke(app, command.split(), obj=Session(InMemoryOrchestrator))
        assert result.exit_code == 1, f"{command}: {result.output}"
        assert result.stderr.startswith(("error: this role may not do that", "error: the server is read-only"))
        assert "Traceback" not in result.output


@pytest.fixture
def reader(database_url: str) -> Iterator[str]:
    """Connection string, of a role that only reads, to a database with bars."""
    dsn = conninfo.make_conninfo(database_url)
    fill(dsn)
    with psycopg.connect(conninfo.make_conninfo(dsn, user="postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE reader")
        admin.execute(GRANTS)
        admin.execute("GRANT reader TO CURRENT_USER")
        yield conninfo.make_conninfo(dsn, user="postgres", options="-c role=reader")
        admin.execute("DROP OWNED BY reader")
        admin.execute("DROP ROLE reader")


def test_a_role_that_only_reads_reads_everything_and_writes_nothing(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_reads(reader)
    check_commands(url(reader), tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def primary() -> Iterator[str]:
    """Connection string of a database with bars, on a server that takes no connection without TLS."""
    try:
        server = debian_server()
        dsn = server.__enter__()
    except UnavailableError as error:
        pytest.skip(f"no server of Debian's: {error}")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE bars")
    place = conninfo.make_conninfo(dsn, dbname="bars")
    with Database(place) as database, database.connection() as connection:
        migrate(connection)
    fill(place)
    yield place
    server.__exit__(None, None, None)


def test_a_server_that_requires_tls_is_used_by_all_drivers(primary: str) -> None:
    import psycopg2
    import sqlalchemy

    with Database(primary) as database, database.connection() as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        assert (
            DataAPI(open_warehouse(primary)).get_ohlc("AAPL", "2024-01-09", "2024-01-10", timeframe="1m").shape[0] == 5
        )
    with sqlalchemy.create_engine(sqlalchemy_url(primary)).connect() as dagster:
        assert dagster.exec_driver_sql("SELECT 1").scalar() == 1
    with Database(conninfo.make_conninfo(primary, sslmode="disable")) as plain, pytest.raises(StoreError) as caught:
        plain.connection().__enter__()
    assert caught.value.sqlstate == "28000"
    assert "sslmode=require" in str(caught.value)
    assert psycopg2.paramstyle


def test_a_standby_reads_everything_and_writes_nothing(
    primary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standby(primary) as replica:
        check_reads(replica)
        check_commands(
            url(replica).replace("@/", f"@127.0.0.1:{conninfo.conninfo_to_dict(replica)['port']}/"),
            tmp_path,
            monkeypatch,
        )


# Tables of others ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(edition_server: Server) -> Iterator[str]:
    """Connection string of a database in which somebody else has tables that are called like ours."""
    name = "shared_with_others"
    with psycopg.connect(edition_server.admin, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER {edition_server.role or 'CURRENT_USER'}")  # type: ignore[arg-type]
        yield edition_server.dsn(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def test_tables_of_others_that_are_called_like_ours_are_left_alone(shared: str, tmp_path: Path) -> None:
    foreign = ("schema_version", "alembic_version", "instrument", "bars_1d")
    with psycopg.connect(shared, autocommit=True) as other:
        for table in foreign:
            other.execute(f"CREATE TABLE public.{table} (version_num text, theirs int)")  # type: ignore[arg-type]
            other.execute(f"INSERT INTO public.{table} VALUES ('0042', 7)")  # type: ignore[arg-type]
        settings = Settings(database_url=SecretStr(url(shared)), home_override=tmp_path, config_override=CONFIG)
        for _ in range(2):
            installation, _ = Installation.create(settings)
            installation.warehouse.close()
        opened = Installation.open(settings)
        with opened.warehouse.connection() as connection:
            assert current_revision(connection) == REVISION
            migrate(connection, "base")
            assert current_revision(connection) is None
        opened.warehouse.close()
        for table in foreign:
            assert other.execute(f"SELECT * FROM public.{table}").fetchall() == [("0042", 7)]  # type: ignore[arg-type]


def test_a_revision_that_was_kept_in_public_moves_to_our_schema(shared: str) -> None:
    with Database(shared) as database, database.connection() as connection:
        migrate(connection, "0006")
        connection.execute("ALTER TABLE ops.schema_version SET SCHEMA public")  # where it was until then
        assert current_revision(connection) == "0006"
        migrate(connection)
        assert current_revision(connection) == REVISION
        assert connection.execute("SELECT to_regclass('public.schema_version')").fetchone() == (None,)


# Servers that cannot be reached --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listener() -> Iterator[int]:
    """Port of a server that speaks something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    client.close()

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


#: What is changed in the connection string of a server that works; the SQLSTATE; and what to do, as it is said.
UNREACHABLE: dict[str, tuple[dict[str, object], str | None, str]] = {
    "host": ({"host": "nowhere.invalid"}, None, "the host name nowhere.invalid is not known here: check it in"),
    "port": ({"port": 1}, None, "nothing answers at 127.0.0.1 port 1: start the server, or check host and port in"),
    "other": ({"port": "LISTENER"}, None, "what answers there is no PostgreSQL: check host and port in"),
    "socket": ({"host": "/nowhere"}, None, "no server listens in /nowhere at port "),
    "password": ({"password": "Wr0ng-pass"}, "28P01", "check the user and the password in CHANDLERY_DATABASE_URL"),
    "user": ({"user": "nobody_else"}, "28P01", "check the user and the password in CHANDLERY_DATABASE_URL"),
    "database": ({"dbname": "absent"}, "3D000", "run `chandlery init` to create it"),
    "no tls": ({"sslmode": "disable"}, "28000", "its sslmode=require where the server wants TLS"),
    "certificate": ({"sslmode": "verify-full", "sslrootcert": "ROOT"}, None, "its certificate is refused ("),
    "no root": (
        {"sslmode": "verify-ca", "sslrootcert": "/nowhere/ca.pem"},
        None,
        "no file of certificates /nowhere",
    ),
}


def make_certificate(path: Path) -> None:
    """Write a certificate that is not the server's."""
    options = ["-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=elsewhere", "-keyout", os.devnull]
    subprocess.run(["openssl", "req", *options, "-out", path], check=True, capture_output=True)


@pytest.mark.parametrize("case", UNREACHABLE)
def test_a_server_that_cannot_be_reached_is_one_line_that_says_what_to_do(
    case: str, primary: str, listener: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, state, advice = UNREACHABLE[case]
    root = tmp_path / "ca.pem"
    make_certificate(root)
    given = {name: {"LISTENER": listener, "ROOT": str(root)}.get(str(value), value) for name, value in changes.items()}
    dsn = conninfo.make_conninfo(primary, **given)  # type: ignore[arg-type]
    with Database(dsn) as database, pytest.raises(StoreUnavailableError) as caught, database.connection():
        pass
    assert caught.value.sqlstate == state
    assert str(caught.value).startswith("the database cannot be reached: ")
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    for name, value in (("HOME", str(tmp_path)), ("URL", sqlalchemy_url(dsn)), ("CONFIG", str(CONFIG))):
        monkeypatch.setenv(f"CHANDLERY_{'DATABASE_' if name == 'URL' else ''}{name}", value)
    result = CliRunner().invoke(app, ["status"], obj=Session(InMemoryOrchestrator))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1, result.output
    assert result.stderr.startswith("error: the database cannot be reached: ")
    assert advice in result.stderr
    assert "Wr0ng-pass" not in result.stderr


def test_a_server_without_tls_says_so(database_url: str) -> None:
    """Over its socket, TLS is never spoken; so the network's answer is given by a server that only says no."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    client.recv(8)
                    client.sendall(b"N")
                    client.close()

        threading.Thread(target=refuse, daemon=True).start()
        place = f"host=127.0.0.1 port={server.getsockname()[1]} user=x dbname=x sslmode=require"
        with Database(place) as database, pytest.raises(StoreUnavailableError) as caught, database.connection():
            pass
    assert "speaks no TLS: have it turned on there (ssl = on), or take sslmode=require out" in str(caught.value)
