"""One web UI and daemon for each database, whichever home they are of; and no holder that is gone blocks for ever."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest
from psycopg import conninfo

from chandlery.database.connections import Database
from chandlery.database.lease import Lease
from chandlery.errors import StoreUnavailableError, UsageError
from pipelines.ui_lock import daemon_lease
from pipelines.watchdog import UNHEARD
from tests.apache_server import UnavailableError
from tests.pgbouncer_server import pgbouncer
from tests.servers.postgres_proxy import PostgresProxy
from tests.support import wait_until

HOLD = """
import sys
from chandlery.database.connections import Database
from pipelines.ui_lock import daemon_lease
with Database(sys.argv[1]) as database, daemon_lease(database, 3999) as place:
    assert place.lost() is None
    print("held", flush=True)
    sys.stdin.read()
"""
#: As `chandlery ui`, with a daemon that does nothing and a watchdog that is less patient.
SERVE = """
import os, subprocess, sys, tempfile
from pathlib import Path
from chandlery.database.connections import Database
from chandlery.database.lease import Lease
from pipelines.watchdog import watchdog
folder = Path(tempfile.mkdtemp())
with Database(sys.argv[1]) as database, Lease(database, 7, "first", pulse=0.1) as lease:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    with watchdog(folder / "ui.log", folder, lock, lease.beats, 3) as dog:
        subprocess.Popen(["sleep", "600"], process_group=dog.process.pid)
        print("held", flush=True)
        print(dog.process.pid, flush=True)
        sys.stdin.readline()
        print(dog.process.wait(), flush=True)
"""
LEASE = """
import sys
from chandlery.database.connections import Database
from chandlery.database.lease import Lease
with Database(sys.argv[1]) as database, Lease(database, 7, "first", pulse=0.1, longest_silence=0.5) as lease:
    print("held", flush=True)
    sys.stdin.readline()
    lease._thread.join()
    print(lease.held_by, flush=True)
"""


@contextmanager
def running(code: str, dsn: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["direct", "pooler"])
def place(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    dsn = conninfo.make_conninfo(database_url)
    if request.param == "direct":
        yield dsn
        return
    try:
        with pgbouncer(dsn) as pooled:
            yield pooled
    except UnavailableError as error:
        pytest.skip(f"no pooler: {error}")


def test_the_second_home_on_a_database_says_which_web_ui_runs(place: str) -> None:
    with running(HOLD, place) as first, Database(place) as database:
        since = psutil.Process(first.pid).create_time()
        with pytest.raises(UsageError, match="one database has one web UI") as refused, daemon_lease(database, 4000):
            pass
    text = str(refused.value)
    assert f"process {first.pid} on {socket.gethostname()[:25]}, port 3999, since " in text
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", text)
    assert since > 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_kill_the_next_one_starts(place: str, how: signal.Signals) -> None:
    with running(HOLD, place) as first, Database(place) as database:
        os.kill(first.pid, how)
        with daemon_lease(database, 4000) as mine:
            assert mine.lost() is None


def test_a_holder_that_is_silent_loses_the_lease_and_learns_of_it(place: str) -> None:
    """A machine that lost its network or its power, or that sleeps, blocks nobody for longer than the silence lasts."""
    with running(LEASE, place) as first, Database(place) as database:
        os.kill(first.pid, signal.SIGSTOP)
        taken = []

        def take() -> bool:
            lease = Lease(database, 7, "second").__enter__()
            if lease.held_by is not None:
                lease.__exit__(None, None, None)
                return False
            taken.append(lease)
            return True

        wait_until(take, "the server ends the silent session")
        os.kill(first.pid, signal.SIGCONT)
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == "second\n"
        taken[0].__exit__(None, None, None)


def test_what_a_holder_started_has_ended_before_another_may_hold_the_lease(place: str) -> None:
    """Also where the holder is stopped (Ctrl-Z), and what it started is not."""
    with running(SERVE, place) as first, Database(place) as database:
        assert first.stdin is not None
        assert first.stdout is not None
        daemon = int(first.stdout.readline())
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: members(daemon) == [], "all that it started has ended")
        with Lease(database, 7, "second") as lease:
            assert lease.held_by == "first"
        os.kill(first.pid, signal.SIGCONT)
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == f"{UNHEARD}\n"


def test_what_a_holder_started_ends_also_where_its_server_is_silent(database_url: str) -> None:
    """The holder cannot tell whether it still holds the lease, and its daemon may hear from the server again first."""
    again = threading.Event()
    with PostgresProxy(database_url) as proxy, running(SERVE, proxy.dsn) as first:
        assert first.stdout is not None
        daemon = int(first.stdout.readline())
        proxy.arm(lambda *_: again.wait() and False)  # from now on nothing is passed on, and no connection ended
        wait_until(lambda: members(daemon) == [], "all that it started has ended")
        again.set()


def members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_its_beats_show_that_it_lives_and_end_with_the_lease(place: str) -> None:
    with Database(place) as database, Lease(database, 7, "first", pulse=0.1) as lease:
        assert [os.read(lease.beats, 1) for _ in range(3)] == [b"."] * 3
        with Lease(database, 7, "second") as other:
            assert other.held_by == "first"
            assert os.read(other.beats, 1) == b""


def test_a_holder_whose_connection_is_lost_takes_the_lease_again(database_url: str) -> None:
    dsn = conninfo.make_conninfo(database_url)
    with (
        psycopg.connect(dsn, autocommit=True) as watcher,
        Database(dsn) as database,
        Lease(database, 7, "first", pulse=0.1) as lease,
    ):

        def holder() -> int | None:
            row = watcher.execute(
                "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE locktype = 'advisory' AND objid = 7 AND application_name = 'first'"
            ).fetchone()
            return row[0] if row else None

        before = holder()
        watcher.execute("SELECT pg_terminate_backend(%s)", (before,))
        wait_until(lambda: holder() not in {None, before}, "the lease is taken again")
        assert lease.held_by is None


def test_a_database_that_cannot_be_asked_is_an_error() -> None:
    with (
        Database("host=127.0.0.1 port=1 dbname=x") as database,
        pytest.raises(StoreUnavailableError),
        Lease(database, 7, "first"),
    ):
        pass
