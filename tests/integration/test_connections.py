"""Connections are bounded, shared by threads, never by processes, and replaced when the server drops them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import conninfo, sql

from chandlery import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.database import connect, embedded
from chandlery.database.connection_pool import ConnectionLimits
from chandlery.database.connections import Database, repeat_read_once
from chandlery.database.dsn import embedded_dsn
from chandlery.errors import StoreError, StoreUnavailableError
from chandlery.tiers.warehouse import Warehouse
from tests.embedded_server import stop_server
from tests.servers.postgres_proxy import PostgresProxy
from tests.support import Bar, put, register, table, utc

DAYS = ("2024-01-02", "2024-01-03", "2024-01-04")
QUESTION = sql.SQL("SELECT count(*) AS bars FROM market.bars_1d").format()


@pytest.fixture
def dsn(database_url: str) -> str:
    return conninfo.make_conninfo(database_url)


@pytest.fixture
def watcher(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection of nobody's pool."""
    with psycopg.connect(dsn, autocommit=True, application_name="watcher") as connection:
        yield connection


def backends(watcher: psycopg.Connection) -> set[int]:
    """Return the server's processes for this database but the watcher's."""
    rows = watcher.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    )
    return {pid for (pid,) in rows}


def wait_until_gone(watcher: psycopg.Connection, pids: set[int]) -> None:
    """Wait until the server has ended these processes; a test's timeout bounds the wait."""
    while backends(watcher) & pids:
        watcher.execute("SELECT pg_sleep(0.01)")


def drop_all(watcher: psycopg.Connection) -> set[int]:
    """End every session but the watcher's, and return which there were."""
    pids = backends(watcher)
    for pid in pids:
        watcher.execute("SELECT pg_terminate_backend(%s)", (pid,))
    wait_until_gone(watcher, pids)
    return pids


@pytest.fixture
def api(warehouse: Warehouse) -> DataAPI:
    """The interface of a warehouse that holds three daily bars of AAA."""
    register(warehouse, {"AAA": "24/7"})
    bars = table([Bar("AAA", utc(day), close=11.0 + number) for number, day in enumerate(DAYS)])
    put(warehouse, Timeframe.D1, bars)
    warehouse.close()
    return DataAPI(warehouse)


def read(api: DataAPI) -> list[dict[str, Any]]:
    answer: pa.Table = api.get_ohlc("AAA", "2024-01-01", "2024-02-01", output="arrow")
    return answer.to_pylist()


def test_a_read_does_not_notice_that_all_sessions_were_ended_a_moment_ago(
    api: DataAPI, watcher: psycopg.Connection
) -> None:
    expected = read(api)
    with ThreadPoolExecutor(8) as pool:  # so that there are several connections of both kinds
        list(pool.map(lambda _: read(api), range(32)))
    for _ in range(20):
        for pid in backends(watcher):
            watcher.execute("SELECT pg_terminate_backend(%s)", (pid,))
        assert read(api) == expected  # at once: the ends of the sessions may not have arrived


# How many ------------------------------------------------------------------------------------------------------------


def test_two_hundred_threads_use_no_more_connections_than_the_pools_hold(
    api: DataAPI, warehouse: Warehouse, watcher: psycopg.Connection
) -> None:
    expected = read(api)
    limits = warehouse.database.limits
    together = threading.Barrier(200, timeout=60)
    seen: list[int] = []

    def job(_: int) -> list[dict[str, Any]]:
        together.wait()
        return read(api)

    with ThreadPoolExecutor(200) as threads:
        answers = threads.map(job, range(200))
        seen = [len(backends(watcher)) for _ in range(20)]
        assert all(answer == expected for answer in answers)
    seen.append(len(backends(watcher)))
    assert len(expected) == len(DAYS)
    assert 0 < max(seen) <= limits.shared + limits.arrow
    assert limits.total == 8 + 4 + 2 + 1 + 4


def test_nothing_is_connected_before_it_is_needed_nor_after_it_was_closed(
    api: DataAPI, watcher: psycopg.Connection
) -> None:
    wait_until_gone(watcher, backends(watcher))
    assert not backends(watcher)
    with api as entered:
        assert read(entered)
        used = backends(watcher)
        assert len(used) == 2
    wait_until_gone(watcher, used)
    assert not backends(watcher)
    assert read(api), "the next read opens others"


def test_a_thread_that_waits_in_vain_hears_what_to_do(dsn: str) -> None:
    with Database(dsn, ConnectionLimits(shared=1, nested=(), arrow=1, wait_seconds=0.0)) as database:
        vain = pytest.raises(StoreError, match=r"all 1 connections of this process .* use fewer threads")
        with database.connection(), ThreadPoolExecutor(1) as thread, vain:
            thread.submit(lambda: database.connection().__enter__()).result()
        with database.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_threads_that_nest_connections_never_wait_for_each_other_for_ever(dsn: str) -> None:
    """Each of eight holds one of two connections while it asks for a second and a third."""
    with Database(dsn, ConnectionLimits(shared=2, nested=(1, 1))) as database:
        together = threading.Barrier(2, timeout=60)

        def job(number: int) -> int:
            with database.connection() as first:
                if number < 2:
                    together.wait()  # both connections are lent now
                with database.connection() as second, database.connection() as third:
                    return sum(c.execute("SELECT 1").fetchone()[0] for c in (first, second, third))  # type: ignore[index]

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(job, range(8))) == 24


def test_a_thread_that_nests_too_deep_is_told_so(dsn: str) -> None:
    with Database(dsn, ConnectionLimits(shared=1, nested=())) as database, database.connection():
        second = database.connection()
        with pytest.raises(StoreError, match="a thread may hold 1 connections"):
            second.__enter__()


def test_a_dedicated_connection_takes_none_from_the_others(dsn: str, watcher: psycopg.Connection) -> None:
    with Database(dsn, ConnectionLimits(shared=1, nested=(), wait_seconds=0.0)) as database:
        with database.dedicated() as lock, database.dedicated(), database.connection() as shared:
            assert lock.info.backend_pid != shared.info.backend_pid
            kept = {shared.info.backend_pid}
            ended = backends(watcher) - kept
        wait_until_gone(watcher, ended)
        assert backends(watcher) == kept


def test_a_connection_whose_block_raised_is_not_lent_again(dsn: str) -> None:
    with Database(dsn) as database:
        with suppress(RuntimeError), database.connection() as connection:
            connection.execute("SET statement_timeout = 1")
            first = connection.info.backend_pid
            raise RuntimeError
        with database.connection() as connection:
            assert connection.info.backend_pid != first
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


# What the sessions are like ------------------------------------------------------------------------------------------


def test_sessions_of_both_drivers_are_in_utc_and_iso_whatever_the_database_prefers(
    dsn: str, watcher: psycopg.Connection
) -> None:
    name = sql.Identifier(str(conninfo.conninfo_to_dict(dsn)["dbname"]))
    watcher.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'America/New_York'").format(name))
    watcher.execute(sql.SQL("ALTER DATABASE {} SET datestyle = 'SQL, DMY'").format(name))
    question = sql.SQL("SELECT current_setting('timezone') AS zone, current_setting('datestyle') AS style").format()
    with Database(conninfo.make_conninfo(dsn, options="-c statement_timeout=7s")) as database:
        with database.connection() as connection, database.dedicated() as dedicated:
            for each in (connection, dedicated):
                assert each.execute(question).fetchone() == ("UTC", "ISO, MDY")
                assert each.execute("SHOW statement_timeout").fetchone() == ("7s",), "the user's own options hold"
                assert each.autocommit
        assert database.fetch_arrow(question).to_pylist() == [{"zone": "UTC", "style": "ISO, MDY"}]


@contextmanager
def forgetful_pooler(dsn: str, folder: Path) -> Iterator[str]:
    """Stand between a client and the server, and leave out the options that a session is to begin with.

    Poolers in transaction mode do that. Yields a connection string.
    """
    behind = f"{conninfo.conninfo_to_dict(dsn)['host']}/.s.PGSQL.5432"

    class Session(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack(">i", self.request.recv(4, socket.MSG_WAITALL))
            version, *words = self.request.recv(length - 4, socket.MSG_WAITALL).partition(b"\0\3\0\0")[1:]
            names = words[0].rstrip(b"\0").split(b"\0")
            pairs = [pair for pair in zip(names[::2], names[1::2], strict=True) if pair[0] != b"options"]
            message = version + b"".join(name + b"\0" + value + b"\0" for name, value in pairs) + b"\0"
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(behind)
                server.sendall(struct.pack(">i", len(message) + 4) + message)
                back = threading.Thread(target=pump, args=(server, self.request))
                back.start()
                pump(self.request, server)
                back.join()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingUnixStreamServer(str(folder / ".s.PGSQL.5432"), Session) as pooler:
        thread = threading.Thread(target=pooler.serve_forever)
        thread.start()
        yield conninfo.make_conninfo(dsn, host=str(folder))
        pooler.shutdown()
        thread.join()


def test_a_pooler_that_forgets_what_was_asked_for_at_the_start_does_not_shift_times(
    dsn: str, watcher: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGTZ", raising=False)  # a pooler would know it from that
    name = sql.Identifier(str(conninfo.conninfo_to_dict(dsn)["dbname"]))
    watcher.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'America/New_York'").format(name))
    watcher.execute(sql.SQL("ALTER DATABASE {} SET datestyle = 'German'").format(name))
    with forgetful_pooler(dsn, tmp_path) as pooled:
        with psycopg.connect(pooled, options="-c timezone=UTC") as connection:
            assert connection.execute("SHOW timezone").fetchone() == ("America/New_York",), "it does forget"
        question = sql.SQL("SELECT '2024-01-02'::timestamptz::text AS ts, current_setting('enable_bitmapscan') AS b")
        with Database(pooled) as database:
            with database.connection() as connection, database.dedicated() as dedicated:
                for each in (connection, dedicated):
                    assert each.execute(question).fetchone() == ("2024-01-02 00:00:00+00", "on")
            assert database.fetch_arrow(question.format()).to_pylist() == [{"ts": "2024-01-02 00:00:00+00", "b": "off"}]
            with pytest.raises(StoreError, match="read-only"):
                database.fetch_arrow(sql.SQL("DELETE FROM market.source RETURNING name").format())


def test_a_session_that_cannot_be_in_utc_is_refused() -> None:
    connect._check(("UTC", "ISO, MDY"))
    for settings in (("Europe/Berlin", "ISO, MDY"), ("UTC", "German, DMY"), None):
        with pytest.raises(StoreError, match="does not let a connection use UTC and ISO dates"):
            connect._check(settings)


def test_what_reads_columns_cannot_write(dsn: str) -> None:
    with Database(dsn) as database, pytest.raises(StoreError, match="read-only") as caught:
        database.fetch_arrow(sql.SQL("INSERT INTO market.source (name) VALUES ('x') RETURNING name").format())
    assert caught.value.sqlstate == "25006"


# Dropped connections -------------------------------------------------------------------------------------------------


def test_sessions_that_the_server_dropped_between_two_reads_are_replaced_unseen(
    api: DataAPI, watcher: psycopg.Connection
) -> None:
    expected = read(api)
    with ThreadPoolExecutor(8) as threads:
        together = threading.Barrier(8, timeout=60)
        assert all(threads.map(lambda _: (together.wait(), read(api))[1] == expected, range(8)))
        dropped = drop_all(watcher)
        assert len(dropped) > 2
        assert read(api) == expected
        drop_all(watcher)
        assert all(threads.map(lambda _: read(api) == expected, range(8)))
    assert not backends(watcher) & dropped


def test_a_write_that_was_cut_off_is_not_repeated(warehouse: Warehouse, watcher: psycopg.Connection) -> None:
    tries = []
    insert = "INSERT INTO market.source (name) VALUES ('cut') RETURNING name"

    def write() -> None:
        with warehouse.connection() as connection, connection.transaction():
            tries.append(connection.execute(insert).fetchone())
            drop_all(watcher)
            connection.execute("SELECT 1")

    with pytest.raises(StoreUnavailableError, match="does not answer any more") as caught:
        write()
    assert caught.value.sqlstate in {"57P01", None}
    assert tries == [("cut",)]
    assert watcher.execute("SELECT count(*) FROM market.source WHERE name = 'cut'").fetchone() == (0,)
    with warehouse.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_read_that_was_cut_off_is_repeated_once(warehouse: Warehouse, watcher: psycopg.Connection) -> None:
    tries = []

    @repeat_read_once
    def count(failures: int) -> int:
        with warehouse.connection() as connection:
            tries.append(1)
            if len(tries) <= failures:
                drop_all(watcher)
            return int(connection.execute("SELECT 41 + 1").fetchone()[0])  # type: ignore[index]

    assert count(1) == 42
    assert len(tries) == 2
    tries.clear()
    with pytest.raises(StoreUnavailableError):
        count(2)
    assert len(tries) == 2


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_an_embedded_server_that_was_restarted_between_two_reads_is_found_again(mode: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="chandlery-tests-"))
    data = folder / "data"
    with Database(embedded_dsn(data, "postgres")) as database:

        def answers() -> set[int]:
            with database.connection() as connection:
                (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
            return {pid, *database.fetch_arrow(sql.SQL("SELECT pg_backend_pid() AS pid").format())["pid"].to_pylist()}

        before = answers()
        stop_server(data, mode)
        embedded.start(data)
        assert len(before | answers()) == 4
    embedded.leave(data, wait=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_old_connections_are_replaced(dsn: str) -> None:
    with Database(dsn, ConnectionLimits(lifetime_seconds=0.0)) as database:
        pids = set()
        for _ in range(3):
            with database.connection() as connection:
                pids.add(connection.info.backend_pid)
            pids |= set(database.fetch_arrow(sql.SQL("SELECT pg_backend_pid() AS pid").format())["pid"].to_pylist())
        assert len(pids) == 6


# Processes -----------------------------------------------------------------------------------------------------------


class Bars:
    """Like a data set that a PyTorch ``DataLoader`` hands to its workers: indexed, with an interface of ours inside."""

    def __init__(self, api: DataAPI) -> None:
        self.api = api

    def __len__(self) -> int:
        return len(DAYS)

    def __getitem__(self, index: int) -> tuple[int, float]:
        return os.getpid(), read(self.api)[index]["close"]


def work(bars: Bars, indices: Queue[int | None], results: Queue[tuple[int, int, float]]) -> None:
    """What a worker of a ``DataLoader`` does: serve indices until there are no more."""
    for index in iter(indices.get, None):
        results.put((index, *bars[index]))


def load(bars: Bars, method: str, meanwhile: Callable[[], object]) -> dict[int, tuple[int, float]]:
    """Read every item, each twice, by three processes, and do something in this one meanwhile."""
    context = multiprocessing.get_context(method)
    indices, results = context.Queue(), context.Queue()
    workers = [context.Process(target=work, args=(bars, indices, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for index in [*range(len(bars)), *range(len(bars)), None, None, None]:
        indices.put(index)
    meanwhile()
    loaded = {index: (pid, close) for index, pid, close in (results.get(timeout=120) for _ in range(2 * len(bars)))}
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    return loaded


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loader_reads_in_child_processes_while_the_parent_reads(
    api: DataAPI, watcher: psycopg.Connection, method: str
) -> None:
    expected = read(api)
    before = backends(watcher)
    loaded = load(Bars(api), method, lambda: [read(api) for _ in range(20)])
    assert {index: close for index, (_, close) in loaded.items()} == {0: 11.0, 1: 12.0, 2: 13.0}
    assert os.getpid() not in {pid for pid, _ in loaded.values()}
    assert read(api) == expected
    assert before <= backends(watcher), "the children ended sessions of their parent"


def test_children_that_are_forked_by_busy_threads_read_and_end_without_harm(
    api: DataAPI, warehouse: Warehouse, watcher: psycopg.Connection
) -> None:
    """Forked while others read, and out of the middle of a transaction; the child ends as Python usually ends."""
    expected = read(api)
    stop = threading.Event()

    def keep_reading() -> bool:
        right = True
        while not stop.is_set():
            right = right and read(api) == expected
        return right

    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(keep_reading) for _ in range(4)]
        for _ in range(5):
            with warehouse.connection() as connection, connection.transaction():
                before = connection.info.backend_pid
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        code = 0 if read(api) == expected else 2
                    finally:
                        os._exit(code)
                _, status = os.waitpid(child, 0)
                assert os.waitstatus_to_exitcode(status) == 0
                assert connection.execute("SELECT pg_backend_pid()").fetchone() == (before,)
        stop.set()
        assert all(job.result(60) for job in busy)


SCRIPT = """
import os, sys
from chandlery import DataAPI
from chandlery.database.connections import Database
from chandlery.lake.store import Lake
from chandlery.tiers.warehouse import Warehouse

warehouse = Warehouse(Database(sys.argv[1]), Lake(sys.argv[2]))
api = DataAPI(warehouse)
read = lambda: len(api.get_ohlc("AAA", "2024-01-01", "2024-02-01"))
assert read() == 3
"""


def run(script: str, dsn: str, folder: object) -> subprocess.CompletedProcess[str]:
    """Run a script that has an interface ``api``, with every warning shown."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", SCRIPT + script, dsn, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "script",
    [
        "",
        "api.close()",
        "with api: read()",
        "del api, warehouse, read",
        # A child that ends as scripts do, with Python tidying up, and its parent, which goes on with its sessions.
        "if os.fork() == 0:\n    assert read() == 3\n    sys.exit(0)\nassert os.wait()[1] == 0\nassert read() == 3",
        "if os.fork() == 0:\n    sys.exit(0)\nassert os.wait()[1] == 0\nassert read() == 3",
    ],
    ids=["nothing closed", "closed", "with", "forgotten", "forked", "forked and idle"],
)
def test_nothing_is_left_when_python_ends(
    api: DataAPI, dsn: str, watcher: psycopg.Connection, script: str, tmp_path: object
) -> None:
    api.close()
    before = backends(watcher)
    ended = run(script, dsn, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    wait_until_gone(watcher, backends(watcher) - before)


# Other ways to share -------------------------------------------------------------------------------------------------


def test_coroutines_read_through_threads_and_inside_a_running_loop(api: DataAPI) -> None:
    """The second is what a notebook's cell does: its kernel runs a loop, and a cell reads within it."""
    expected = read(api)

    async def together() -> list[object]:
        loop = asyncio.get_running_loop()
        through = [asyncio.to_thread(read, api) for _ in range(20)]
        through += [loop.run_in_executor(None, read, api) for _ in range(20)]  # type: ignore[misc]
        return [read(api), *await asyncio.gather(*through)]

    assert asyncio.run(together()) == [expected] * 41


def test_a_loop_in_a_thread_shares_the_interface_with_the_main_thread(api: DataAPI) -> None:
    expected = read(api)

    async def cell() -> object:
        return read(api)

    with ThreadPoolExecutor(1) as kernel:
        cells = [kernel.submit(asyncio.run, cell()) for _ in range(5)]
        assert read(api) == expected
        assert [done.result(60) for done in cells] == [expected] * 5


def test_who_holds_a_connection_hears_at_once_that_there_is_no_second(dsn: str) -> None:
    with PostgresProxy(dsn) as proxy, Database(proxy.dsn, ConnectionLimits(connect_seconds=3600.0)) as database:

        def ask_for_two() -> None:
            with database.connection():
                proxy.arm(lambda *_: True)  # from now on the server ends every connection
                with database.connection():
                    pass

        with pytest.raises(StoreUnavailableError, match="the database cannot be reached"):
            ask_for_two()
