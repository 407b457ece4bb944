"""A process, a server or a connection dies after every single message of an operation.

After each death the database is as it was at the beginning or the end of one of the operation's transactions, and
nothing is half done; the next run leaves exactly what an undisturbed one leaves, with nothing beside it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from chandlery.database import embedded
from chandlery.database.connections import Database
from chandlery.database.dsn import embedded_dsn
from chandlery.database.migrate import migrate
from chandlery.errors import StoreError
from chandlery.lake.store import Lake
from chandlery.tiers.archive import sweep
from chandlery.tiers.verify import verify
from chandlery.tiers.warehouse import Warehouse
from tests.acceptance import operations
from tests.acceptance.operations import OPERATIONS
from tests.acceptance.workers import context
from tests.embedded_server import stop_server
from tests.servers.postgres_proxy import Link, Message, PostgresProxy
from tests.support import wait_until, wait_until_alone

pytestmark = pytest.mark.slow
#: Which operations are cut short after every message. The others take too long for that;
#: ``test_kill`` and ``test_tiers_kill`` cut them short at random and at chosen moments.
CUT_SHORT = ("publish", "revise")
#: Little memory, so that it is soon back after a crash.
SETTINGS = {"fsync": "off", "shared_buffers": "4MB", "max_connections": "20", "io_method": "sync", "autovacuum": "off"}
#: Columns that a clock of the server writes: whether there is a time counts, not which.
CLOCKS = {"noted_at", "written_at", "verified_at", "retired_at", "deleted_at", "processed_at", "arrived_at"}


@pytest.fixture(scope="module")
def admin() -> Iterator[str]:
    """Connection string of a server of this module only, with a migrated database ``original``."""
    place = Path(tempfile.mkdtemp(prefix="chandlery-tests-"))
    data = place / "data"
    dsn = conninfo.make_conninfo(embedded_dsn(data, "postgres"), user=embedded.SUPERUSER)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name, value in SETTINGS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")  # type: ignore[arg-type]
        connection.execute("CREATE DATABASE original")
    stop_server(data, "fast")
    embedded.start(data)
    with psycopg.connect(conninfo.make_conninfo(dsn, dbname="original"), autocommit=True) as connection:
        migrate(connection)
    yield dsn
    embedded.leave(data, wait=True)
    shutil.rmtree(place, ignore_errors=True)


class Scene:
    """A database and a lake in which one operation is cut short again and again.

    Attributes:
        proxy: by way of which the operation reaches the database.
        states: the tables in each state through which an undisturbed run goes, in order.
        files_before: the lake's files before it.
        files_after: the same afterwards.
    """

    def __init__(self, admin: str, name: str, root: Path) -> None:
        self.name, self.operation, self.root = name, OPERATIONS[name], root
        self._admin = admin
        self._before = root.with_name(f"{root.name}-before")
        self.dsn = conninfo.make_conninfo(admin, dbname="scene")
        self._make("before", "original")
        first = Warehouse(Database(conninfo.make_conninfo(admin, dbname="before")), Lake(self._before))
        operations.prepare(first, name)
        first.close()
        self._before.mkdir(exist_ok=True)
        self._watcher: psycopg.Connection | None = None
        self.reset()
        self.proxy = PostgresProxy(self.dsn)

    def reset(self) -> None:
        """Let everything be as before the operation."""
        self.stop_watching()
        self._make("scene", "before")
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._before, self.root)
        self.number_as_before()

    def drop(self) -> None:
        """Drop the databases."""
        self.stop_watching()
        with psycopg.connect(self._admin, autocommit=True) as connection:
            for name in ("scene", "before"):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def observe(self) -> None:
        """Carry the operation out undisturbed, and remember the states that it goes through; begin anew."""
        states = [self.tables()]
        self.files_before = self.files()

        def look(message: Message, _: Link) -> bool:
            if message.is_idle and (now := self.tables()) != states[-1]:
                states.append(now)
            return False

        self.proxy.arm(look)
        self.act(self.proxy.dsn)
        self.proxy.disarm()
        self.proxy.wait_until_alone()
        assert len(states) == self.operation.states
        self.states, self.files_after = states, self.files()
        self.reset()

    def act(self, dsn: str) -> None:
        """Carry the operation out in this process."""
        with Database(dsn) as database:
            self.operation.act(Warehouse(database, Lake(self.root)))

    def tables(self) -> dict[str, str]:
        """Return a digest of the rows of each table."""
        return dict(self._watching().execute(self._question).fetchall())  # type: ignore[arg-type]

    def files(self) -> dict[str, str]:
        """Return a digest of each file of the lake, those under temporary names too."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.root.rglob("*")
            if path.is_file()
        }

    def number_as_before(self) -> None:
        """Let the next numbers be those that an undisturbed run would get: a kill may leave gaps in them."""
        self._watching().execute(self._numbering)  # type: ignore[arg-type]

    def wait_until_restarted(self) -> None:
        """Wait until the server has ended all connections, and answers again."""

        def answers() -> bool:
            try:
                self._watching().execute("SELECT")
            except psycopg.OperationalError:
                self.stop_watching()
                return False
            return True

        wait_until(lambda: not answers(), "the server ends its connections")
        wait_until(answers, "the server answers")

    def wait_until_alone(self) -> None:
        """Wait until no other client is connected."""
        wait_until_alone(self._watching())

    def stop_watching(self) -> None:
        """Close the connection by which the database is looked at."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = None

    def _watching(self) -> psycopg.Connection:
        if self._watcher is None:
            self._watcher = psycopg.connect(self.dsn, autocommit=True, options="-c timezone=UTC")
            self._question, self._numbering = _questions(self._watcher)
        return self._watcher

    def _make(self, name: str, template: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )


def _questions(connection: psycopg.Connection) -> tuple[str, str]:
    """Return a query for the digest of each table, and one that sets every sequence to go on after what is there."""
    columns = connection.execute(
        "SELECT format('%I.%I', nspname, relname), attname, attidentity <> ''"
        " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace JOIN pg_attribute ON attrelid = c.oid"
        " WHERE nspname IN ('market', 'ops') AND relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0"
        " AND NOT attisdropped ORDER BY 1, attnum"
    ).fetchall()
    tables: dict[str, list[str]] = {}
    numbered = []
    for table, column, is_numbered in columns:
        tables.setdefault(table, []).append(f"t.{column} IS NULL" if column in CLOCKS else f"t.{column}")
        if is_numbered:
            numbered.append(
                f"setval(pg_get_serial_sequence('{table}', '{column}'),"
                f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            )
    digests = [
        f"SELECT '{table}', md5(string_agg(r, '|' ORDER BY r)) FROM"
        f" (SELECT row({', '.join(names)})::text AS r FROM {table} AS t) AS rows"
        for table, names in tables.items()
    ]
    return " UNION ALL ".join(digests), f"SELECT {', '.join(numbered)}"


@pytest.fixture(scope="module", params=CUT_SHORT)
def scene(request: pytest.FixtureRequest, admin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Where an operation is cut short, and how an undisturbed run leaves it."""
    scene = Scene(admin, request.param, tmp_path_factory.mktemp("scene") / "lake")
    with scene.proxy:
        scene.observe()
        yield scene
    scene.drop()


@pytest.fixture(scope="module")
def nurse() -> Iterator[Connection]:
    """Whom to send orders (see ``operations.nurse``)."""
    here, there = context().Pipe()
    process = context().Process(target=operations.nurse, args=(there,))
    process.start()
    there.close()
    yield here
    here.close()
    process.join()


def run_here(scene: Scene) -> bool:
    """Carry the operation out in this process, which survives; return whether it was completed.

    Whatever it loses, it raises an error of ours.
    """
    try:
        scene.act(scene.proxy.dsn)
    except StoreError:
        return False
    return True


def run_there(scene: Scene, nurse: Connection, dsn: str, last: int = 0) -> bool:
    """Carry the operation out in a process that may be killed; return whether it was completed."""
    nurse.send((scene.name, dsn, str(scene.root), last))
    code = nurse.recv()
    assert code in {0, -signal.SIGKILL}
    return bool(code == 0)


#: Who dies, and after which messages.
DEATHS = [
    ("process", "client"),
    ("process", "server"),
    ("server", "client"),
    ("connection", "client"),
]


@pytest.mark.parametrize(("victim", "side"), DEATHS, ids=lambda value: value)
def test_a_death_after_any_message_leaves_a_whole_state_and_the_next_run_completes(
    scene: Scene, nurse: Connection, victim: str, side: str
) -> None:
    for number in itertools.count(1):
        struck = arm(scene.proxy, number, victim, side)
        completed = run_there(scene, nurse, scene.proxy.dsn) if victim == "process" else run_here(scene)
        scene.proxy.disarm()
        scene.proxy.wait_until_alone()
        if victim == "server" and struck and does_go_on(struck[0]):
            scene.wait_until_restarted()
        check(scene, f"{victim} died after message {number} of the {side}", completed)
        if not struck:
            break
    assert number > 6


def arm(proxy: PostgresProxy, number: int, victim: str, side: str) -> list[Message]:
    """Let ``victim`` die after the ``number``-th message of the client, or time that the server is ready.

    Returns:
        List into which the message comes.
    """
    struck: list[Message] = []
    count = itertools.count(1)

    def strike(message: Message, link: Link) -> bool:
        if struck or message.side != side or (side == "server" and message.kind != b"Z") or next(count) != number:
            return False
        struck.append(message)
        if victim == "process":
            os.kill(link.client_pid, signal.SIGKILL)
        elif victim == "server" and does_go_on(message):
            os.kill(link.server_pid, signal.SIGKILL)  # all of them go down with one
        return True

    proxy.arm(strike)
    return struck


def does_go_on(message: Message) -> bool:
    """Return whether the client says something else by it than hello or goodbye: the server has a process for it."""
    return message.kind not in {b"", b"X"}


def check(scene: Scene, when: str, completed: bool) -> None:
    """See that the state is a whole one; let the next run complete what was not, and begin anew."""
    tables, files = scene.tables(), scene.files()
    assert tables in scene.states, f"{when}: half done: {difference(tables, scene.states)}"
    if completed:
        assert tables == scene.states[-1], f"{when}: not done"
    if tables == scene.states[0] and files == scene.files_before:
        scene.number_as_before()
        return  # so that the next run is the undisturbed one
    for path in files:
        if path.startswith("_staging/"):  # what a writer left there is cleared away after a while
            os.utime(scene.root / path, (0, 0))
    scene.number_as_before()
    scene.act(scene.dsn)
    assert scene.tables() == scene.states[-1], f"{when}: the next run did not complete it"
    with Database(scene.dsn) as database:
        warehouse = Warehouse(database, Lake(scene.root))
        sweep(warehouse, timedelta(days=10_000))
        assert not [checked.fault for checked in verify(warehouse) if checked.fault], when
    assert scene.files() == scene.files_after, f"{when}: other files than after an undisturbed run"
    scene.reset()


def difference(tables: dict[str, str], states: list[dict[str, str]]) -> list[list[str]]:
    """Return by which tables each of the states differs."""
    return [[name for name in tables if tables[name] != state[name]] for state in states]
