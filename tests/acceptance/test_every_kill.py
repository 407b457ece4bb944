"""A process, a server or a connection dies after every message, and a process before every file operation.

After each death the database is as it was at the beginning or the end of one of the operation's transactions, and
nothing is half done; the next run leaves exactly what an undisturbed one leaves, with nothing beside it. Where a death
leaves the same rows and files as one before it, the next run is not made again.

What counts as a message: those by which the client hands over to the server and waits (a query, a flush, a sync, the
end of a COPY, hello, goodbye). What it sent since the last of them is no transaction that is complete. Where the
process dies in a publication or a revision, every single one of the protocol. Of a move, those to the target.
"""

from __future__ import annotations

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
from psycopg import conninfo

from chandlery.database import embedded
from chandlery.database.dsn import embedded_dsn
from chandlery.database.migrate import migrate
from chandlery.errors import StoreError
from chandlery.tiers.sweep import sweep
from chandlery.tiers.verify import find_unknown_files, verify
from tests.acceptance import operations
from tests.acceptance.operations import CUT_SHORT, OPERATIONS, Place
from tests.acceptance.scene import Scene, hands_over
from tests.acceptance.workers import context
from tests.embedded_server import stop_server
from tests.servers.postgres_proxy import Link, Message

pytestmark = pytest.mark.slow
#: Little memory, so that it is soon back after a crash.
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "4MB",
    "max_connections": "20",
    "io_method": "sync",
    "autovacuum": "off",
    "bgwriter_lru_maxpages": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "track_counts": "off",
}
VICTIMS = ("process", "connection", "server")
#: Which operations write, name or delete files.
WRITE_FILES = ("archive", "compact", "ingest", "reject", "forget")
#: Of which operations every single message of the protocol counts, where a process dies.
EACH_MESSAGE = {"publish", "revise"}


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
        connection.execute("DROP SCHEMA information_schema CASCADE")  # the Arrow driver reads every column there is
        migrate(connection)
    yield dsn
    embedded.leave(data, wait=True)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, admin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Where an operation is cut short, and how an undisturbed run leaves it."""
    scene = Scene(admin, request.param, tmp_path_factory.mktemp("scene") / "files")
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


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("scene", CUT_SHORT, indirect=True, scope="module")
def test_a_death_after_any_message_leaves_a_whole_state_and_the_next_run_completes(
    scene: Scene, nurse: Connection, victim: str
) -> None:
    scene.reset()
    for number in itertools.count(1):
        struck = arm(scene, number, victim)
        completed = run_there(scene, nurse, scene.proxy.dsn) if victim == "process" else run_here(scene)
        scene.proxy.disarm()
        scene.proxy.wait_until_alone()
        if victim == "server" and struck and does_go_on(struck[0]):
            scene.wait_until_restarted()
        check(scene, f"{victim} died after message {number}", completed)
        if not struck:
            break
    assert completed
    assert number > scene.commits[-1] - 5  # by how many flushes a client waits, differs from run to run


@pytest.mark.parametrize("scene", WRITE_FILES, indirect=True, scope="module")
def test_a_death_before_any_file_operation_leaves_a_whole_state_and_the_next_run_completes(
    scene: Scene, nurse: Connection
) -> None:
    scene.reset()
    for number in itertools.count(1):
        completed = run_there(scene, nurse, scene.dsn, number)
        scene.wait_until_alone()
        check(scene, f"process died before file operation {number}", completed)
        if completed:
            break
    assert number > 1


@pytest.mark.parametrize("scene", ["archive"], indirect=True, scope="module")
def test_a_file_that_was_named_before_a_death_is_cleared_away_when_its_year_is_closed(
    scene: Scene, nurse: Connection
) -> None:
    scene.reset()
    cleared = set()
    for number in itertools.count(1):
        completed = run_there(scene, nurse, scene.dsn, number)
        scene.wait_until_alone()
        if (state := scene.state()) not in cleared:
            age(scene.root)
            place = Place.open(scene.dsn, scene.root)
            with place.warehouse.database:
                OPERATIONS["compact"].act(place)
                assert not find_unknown_files(place.warehouse), f"process died before file operation {number}"
            assert not [path for path in scene.files() if "2024-02-01" in path or "_staging" in path]
            cleared.add(state)
        scene.reset()
        if completed:
            break
    assert len(cleared) > 5
    assert number > 10


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


def arm(scene: Scene, number: int, victim: str) -> list[Message]:
    """Let ``victim`` die after the ``number``-th message that counts; return the list into which it comes."""
    struck: list[Message] = []
    count = itertools.count(1)
    each = victim == "process" and scene.name in EACH_MESSAGE

    def strike(message: Message, link: Link) -> bool:
        counts = message.side == "client" if each else hands_over(message, link)
        if struck or not counts or next(count) != number:
            return False
        struck.append(message)
        if victim == "process":
            os.kill(link.client_pid, signal.SIGKILL)
        elif victim == "server" and does_go_on(message):
            os.kill(link.server_pid, signal.SIGKILL)  # all of them go down with one
        return True

    scene.proxy.arm(strike)
    return struck


def does_go_on(message: Message) -> bool:
    """Return whether the client says something else by it than hello or goodbye: the server has a process for it."""
    return message.kind not in {b"", b"X"}


def check(scene: Scene, when: str, completed: bool) -> None:
    """See that the state is a whole one; let the next run complete what was not, once from each; begin anew."""
    tables, files = scene.tables(), scene.files()
    assert tables in scene.states, f"{when}: half done: {difference(tables, scene.states)}"
    if completed:
        assert tables == scene.states[-1], f"{when}: not done"
    if tables == scene.states[0] and without_temporary(files) == without_temporary(scene.files_before):
        scene.number_as_before()
        return  # so that the next run is the one that completes
    state = repr((tables, files))
    if state in scene.completed:
        scene.reset()
        return
    age(scene.root)
    scene.number_as_before()
    scene.act(scene.dsn)
    assert scene.tables() == scene.states[-1], f"{when}: the next run did not complete it"
    place = Place.open(scene.dsn, scene.root)
    with place.warehouse.database:
        sweep(place.warehouse, timedelta(days=10_000))
        place.landing.sweep(operations.SEALED - timedelta(days=1))
        assert not [checked.fault for checked in verify(place.warehouse) if checked.fault], when
        assert not find_unknown_files(place.warehouse), when
    assert scene.files() == scene.files_after, f"{when}: other files than after an undisturbed run"
    scene.completed.add(state)
    scene.reset()


def without_temporary(files: dict[str, str]) -> dict[str, str]:
    """Return those of the files that are not under temporary names."""
    return {path: content for path, content in files.items() if "/_staging/" not in path}


def age(root: Path) -> None:
    """Let what writers left be so old that it is cleared away."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))


def difference(tables: dict[str, str], states: list[dict[str, str]]) -> list[list[str]]:
    """Return by which tables each of the states differs."""
    return [[name for name in tables if tables[name] != state.get(name)] for state in states]
