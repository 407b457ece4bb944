"""A disk is full in the middle of a command: one message and exit code 1, and the next run completes.

Not here: what the lake itself does then (``test_lake_failures``), and the embedded server (``test_embedded``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from typer.testing import CliRunner, Result

from chandlery.cli import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from tests.pipeline import install
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.small_disks import small_disk as mounted

pytestmark = pytest.mark.slow
PAIR = "BTC/USD"
DAY = datetime(2023, 4, 3, tzinfo=UTC)
LOAD = ["ingest", PAIR, "--timeframe", "1m", "--start", "2023-04-03", "--end", "2023-04-04", "--yes"]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of its own, of a megabyte."""
    with mounted("1m") as place:
        yield place


@pytest.fixture
def server() -> Iterator[CoinbaseServer]:
    market = Market.invent([PAIR], Timeframe.M1, DAY, DAY + timedelta(days=1))
    with CoinbaseServer(market, page=350) as server:
        yield server


@pytest.fixture
def installation(
    server: CoinbaseServer, database_url: str, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An installation whose landing zone and lake are on that disk; its database."""
    coinbase = {"kind": "coinbase", "options": {"url": server.url}, "limits": {"calls_per_minute": 60_000}}
    instruments = [{"symbol": PAIR, "provider": "coinbase", "timeframes": ["1m"]}]
    install(tmp_path, database_url, monkeypatch, instruments, {"coinbase": coinbase})
    monkeypatch.setenv("CHANDLERY_LANDING", str(disk / "landing"))
    monkeypatch.setenv("CHANDLERY_LAKE", str(disk / "lake"))
    assert run("init").exit_code == 0
    yield database_url
    name = f"{conninfo.conninfo_to_dict(database_url)['dbname']}_dagster"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=Session())


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Let a disk have no room for more than a name and the beginning of a file."""
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - os.sysconf("SC_PAGE_SIZE")))
    yield
    filler.unlink()


def check_said(result: Result, place: str) -> None:
    """See that the command ended with one message, which says where there is no room."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1, result.output
    [said] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert place in said
    assert "No space left on device; make room there" in said
    assert "Traceback" not in result.output


def count_bars(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM market.bars_1m").fetchone()
    assert row is not None
    return int(row[0])


def test_a_full_disk_in_the_landing_zone_and_then_in_the_lake_is_said_and_the_next_run_completes(
    installation: str, disk: Path
) -> None:
    (disk / "landing").mkdir()
    with full(disk):
        check_said(run(*LOAD), "landing/coinbase/1m/")
    # No piece of an answer is left; the zone may have its id already.
    assert [path.name for path in disk.rglob("*") if path.is_file() and path.name != "landing.json"] == []
    assert count_bars(installation) == 0

    loaded = run(*LOAD)
    assert loaded.exit_code == 0, loaded.output
    bars = count_bars(installation)
    assert bars > 1000

    with full(disk):
        check_said(run("archive"), "lake/")
    archived = run("archive")
    assert archived.exit_code == 0, archived.output
    assert f"files=2 bars={bars + 1:,} " in archived.stdout  # and the day that was made of the minutes
    assert run("archive", "--verify").exit_code == 0
    assert run(*LOAD).stdout.splitlines()[-1].split()[1:4] == ["inserted=0", "revised=0", "unchanged=0"]
