"""``chandlery psql``: PostgreSQL's own terminal on the market database, as a person starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import conninfo

from chandlery.database.client import run_psql

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
    assert "--dbname=" in shown
    assert "s3cret" not in shown
