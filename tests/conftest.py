"""Fixtures every kind of test may use: a real PostgreSQL of our own, and the real market data beside the checkout."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from chandlery.store import embedded
from chandlery.store.connect import Database, ensure_database
from chandlery.store.migrate import migrate

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared market data is absent (expected in ../shared/data beside the checkout)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def server() -> str:
    """Connection string of a PostgreSQL server of this test run, with a migrated database to copy."""
    # Not in pytest's own folder: as root, another run of pytest would bar the server's user from that.
    folder = tempfile.mkdtemp(prefix="chandlery-tests-")
    atexit.register(
        shutil.rmtree, folder, ignore_errors=True
    )  # runs after the server was stopped, which is registered later
    socket = embedded.start(Path(folder) / "data")
    dsn = conninfo.make_conninfo(host=socket, user="postgres", dbname="template_of_tests")
    ensure_database(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Half of the time would go into waiting for the disk, and a test run need not survive a power cut.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        migrate(connection)
    return dsn


@pytest.fixture
def database_url(server: str) -> Iterator[str]:
    """URL of a fresh database with the schema and nothing in it."""
    name = f"test_{next(_numbers)}"
    parts = conninfo.conninfo_to_dict(server)
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy")
        yield f"postgresql://{parts['user']}@/{name}?host={parts['host']}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database with the schema and nothing in it."""
    database = Database(conninfo.make_conninfo(database_url))
    yield database
    database.close()
