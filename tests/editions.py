"""The servers that tests run on, one of each edition, and databases on them.

``postgres`` is the embedded server and always there. ``apache`` is set up from Debian's packages where that can be.
``community`` is whatever server ``CHANDLERY_TEST_TIMESCALE_URL`` names: its role must be a superuser; databases are
made beside those that are there, and dropped again. Not here: fixtures (``conftest``).
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
from psycopg import conninfo, sql

from chandlery.database import embedded
from chandlery.database.dsn import embedded_dsn
from chandlery.database.editions.install import install
from chandlery.database.migrate import migrate
from tests import apache_server
from tests.embedded_server import leave_server

EMBEDDED_TEMPLATE = "template_of_tests"
COMMUNITY_URL = "CHANDLERY_TEST_TIMESCALE_URL"

#: Why a test skips that needs a server of an edition.
NO_COMMUNITY_SERVER = f"{COMMUNITY_URL} names no TimescaleDB server"
NO_SERVER = "no TimescaleDB server"


@dataclass(frozen=True)
class Server:
    """A server with a migrated database to copy.

    Attributes:
        edition: as which its databases are set up.
        admin: connection string of a superuser, to make databases by.
        template: name of the database to copy.
        prefix: of the names of its databases.
        role: to whom the databases belong, and as whom tests connect: no superuser, where it is not the admin.
    """

    edition: str
    admin: str
    template: str
    prefix: str = "test"
    role: str | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    def dsn(self, name: str) -> str:
        """Return the connection string of a database."""
        return conninfo.make_conninfo(self.admin, dbname=name, **({"user": self.role} if self.role else {}))

    @property
    def owned(self) -> sql.Composable:
        """The end of a statement that makes a database, by which it belongs to the role."""
        return sql.SQL(" OWNER {}").format(sql.Identifier(self.role)) if self.role else sql.SQL("")

    @contextmanager
    def new_database(self, original: str | None = None) -> Iterator[str]:
        """Make a copy of ``original``, or one with the schema and nothing in it; yield its connection string."""
        name = f"{self.prefix}_{next(self._numbers)}"
        with psycopg.connect(self.admin, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy{}").format(
                    sql.Identifier(name), sql.Identifier(original or self.template), self.owned
                )
            )
            try:
                yield self.dsn(name)
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def list_editions() -> list[str]:
    """Return the editions to test; whether there is a server of each is another question."""
    return ["postgres", "apache", *(["community"] if os.environ.get(COMMUNITY_URL) else [])]


def get_server(edition: str) -> Server:
    """Return the server of an edition; starts it where it is ours and does not run yet.

    Raises:
        UnavailableError: this machine cannot have it.
    """
    # What failed once fails the same way again, and to learn that may take minutes.
    result = _started(edition)
    if isinstance(result, Exception):
        raise result
    return result


def url(dsn: str) -> str:
    """Return a connection string as a URL."""
    parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items()}
    name, user, password = parts.pop("dbname"), parts.pop("user", ""), parts.pop("password", "")
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"postgresql://{who}@/{quote(name, safe='')}?{urlencode(parts, quote_via=quote, safe='/')}"


@functools.cache
def _started(edition: str) -> Server | Exception:
    start = {"postgres": _start_embedded, "apache": _start_apache, "community": _join_community}[edition]
    try:
        return start()
    except Exception as error:  # noqa: BLE001 - raised for every test that asks
        return error


def _start_embedded() -> Server:
    folder = tempfile.mkdtemp(prefix="chandlery-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = Path(folder) / "data"
    admin = conninfo.make_conninfo(embedded_dsn(data, "postgres"), user=embedded.SUPERUSER)
    atexit.register(leave_server, data)
    server = Server("postgres", admin, EMBEDDED_TEMPLATE, role=embedded.ROLE)
    with psycopg.connect(server.admin, autocommit=True) as connection:
        # Half of the time would go into waiting for the disk, and a test run need not survive a power cut.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    return _with_template(server)


def _start_apache() -> Server:
    return _with_template(Server("apache", apache_server.start(), "template_of_tests"))


def _join_community() -> Server:
    admin = conninfo.make_conninfo(os.environ[COMMUNITY_URL])
    if "dbname" not in conninfo.conninfo_to_dict(admin):
        admin = conninfo.make_conninfo(admin, dbname="postgres")
    prefix = f"chandlery_test_{uuid4().hex[:8]}"
    server = Server("community", admin, f"{prefix}_template", prefix)
    atexit.register(_drop_template, server)
    return _with_template(server)


def _with_template(server: Server) -> Server:
    with psycopg.connect(server.admin, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}{}").format(sql.Identifier(server.template), server.owned))
        with psycopg.connect(server.dsn(server.template), autocommit=True) as connection:
            migrate(connection)
            if server.edition == "postgres":
                return server
            found = install(connection).name
            assert found == server.edition, f"the server for tests of {server.edition} is one of {found}"
            # A database that somebody is connected to cannot be copied: be it a worker of TimescaleDB's.
            connection.execute("SELECT _timescaledb_functions.stop_background_workers()")
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(server.template)))
    return server


def _drop_template(server: Server) -> None:
    with psycopg.connect(server.admin, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(server.template)))
