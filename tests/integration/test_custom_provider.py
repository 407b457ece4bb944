"""A provider from outside: docs/provider-template, installed by pip in a fresh environment, and used by the command."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import conninfo, sql

from chandlery.bars.read import BarRange
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.session_states import session_states
from chandlery.instruments.registry import list_instruments
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse
from tests.editions import get_server, url
from tests.environments import make_environment
from tests.support import EVER, every_row, open_warehouse

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "docs" / "provider-template"
KEY, WRONG = "acme+4711/right", "acme+0815/wrong"
SYMBOLS = ("AAPL", "BTC/USD")
START, END = datetime(2024, 2, 28, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC)
RANGE = ("--start", "2024-02-28", "--end", "2024-03-02")


def _load_server() -> ModuleType:
    """Import the template's test server."""
    spec = importlib.util.spec_from_file_location("acme_server", TEMPLATE / "tests" / "acme_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


acme_server: Any = _load_server()


@dataclass
class Installed:
    """An installation in an environment of its own, into which somebody installed a package with a provider."""

    python: Path
    folder: Path
    warehouse: Warehouse
    server: Any
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    def run(self, *arguments: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
        """Run ``chandlery`` as a person does; remember what it said."""
        environment = {name: value for name, value in self.environment.items() if key or name != "MY_SERVICE_API_KEY"}
        done = subprocess.run(
            [self.python, "-m", "chandlery", *arguments],
            env={**environment, **({"MY_SERVICE_API_KEY": key} if key else {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        return done

    def closes(self, symbol: str, timeframe: Timeframe) -> dict[int, float]:
        """Return what is stored, by start in µs; every row has to be of the custom provider."""
        with self.warehouse.connection() as connection:
            (owner,) = [i.instrument_id for i in list_instruments(connection) if i.symbol == symbol]
        bars = read_bars(self.warehouse, timeframe, [BarRange(owner, *EVER)])
        assert set(bars["source"].to_pylist()) <= {"acme:my-service"}
        return dict(zip(_micros(bars["ts"].to_numpy()), bars["close"].to_pylist(), strict=True))

    def served(self, symbol: str, timeframe: Timeframe) -> dict[int, float]:
        """Return what the service has of the range."""
        bars = acme_server.invent(symbol, timeframe.value, START, END)
        return {int(bar["t"] * 1000): bar["c"] for bar in bars}

    def states(self, symbol: str, timeframe: Timeframe) -> list[str]:
        """Return the state of each session of the range."""
        with self.warehouse.connection() as connection:
            instruments = [i for i in list_instruments(connection) if i.symbol == symbol]
            found = session_states(connection, instruments, timeframe, START.date(), END.date())
        return [str(state) for state in found["state"].to_pylist()]


def _micros(ts: np.ndarray) -> list[int]:
    return ts.astype("datetime64[us]").astype(np.int64).tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("custom")
    with acme_server.AcmeServer(KEY) as server, _databases() as dsn:
        warehouse = open_warehouse(dsn)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY_", "DAGSTER_"))},
            "PYTHONPATH": str(ROOT),
            "CHANDLERY_HOME": str(folder / "home"),
            "CHANDLERY_CONFIG": str(_configure(folder / "config", server.url)),
            "CHANDLERY_DATABASE_URL": url(dsn),
        }
        installed = Installed(_install(folder), folder, warehouse, server, environment)
        done = installed.run("init")
        assert done.returncode == 0, done.stderr
        yield installed
        warehouse.close()


@contextmanager
def _databases() -> Iterator[str]:
    """Lend a fresh database; drop it, and Dagster's beside it."""
    server = get_server("postgres")
    with server.new_database() as dsn:
        yield dsn
        name = f"{conninfo.conninfo_to_dict(dsn)['dbname']}_dagster"
        with psycopg.connect(server.admin, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _install(folder: Path) -> Path:
    """Let pip install a copy of the template into a fresh environment, without a network; return its interpreter."""
    python = make_environment(folder / "venv")
    copy = shutil.copytree(TEMPLATE, folder / "package", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "install", *options, str(copy)], check=True, timeout=120)
    return python


def _configure(folder: Path, address: str) -> Path:
    folder.mkdir()
    (folder / "universe.yaml").write_text(
        "instruments:\n  - {symbol: AAPL, provider: my-service}\n  - {symbol: BTC/USD, provider: my-service}\n"
    )
    text = (TEMPLATE / "providers.yaml").read_text()
    for given, here in (("http://127.0.0.1:8000", address), ("calls_per_minute: 300", "calls_per_minute: 6000")):
        assert given in text
        text = text.replace(given, here)
    (folder / "providers.yaml").write_text(text)
    return folder


def test_the_templates_own_tests_pass_where_it_is_installed(installed: Installed) -> None:
    command = [installed.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    package = installed.folder / "package"
    done = subprocess.run(
        command, cwd=package, env=installed.environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_provider_from_another_package_fills_the_store(installed: Installed) -> None:
    for timeframe, explained in ((Timeframe.M1, {"complete", "no_trades"}), (Timeframe.D1, {"complete"})):
        done = installed.run("ingest", *SYMBOLS, "--timeframe", timeframe.value, *RANGE)
        assert done.returncode == 0, done.stderr
        assert "failed" not in done.stdout + done.stderr
        for symbol, sessions in zip(SYMBOLS, (3, 3), strict=True):
            wanted = installed.served(symbol, timeframe)
            assert len(wanted) >= sessions
            assert installed.closes(symbol, timeframe) == wanted
            states = installed.states(symbol, timeframe)
            assert len(states) == sessions
            assert set(states) <= explained

    asked = len(installed.server.paths)
    again = installed.run("ingest", *SYMBOLS, "--timeframe", "1m", *RANGE)
    assert again.returncode == 0, again.stderr
    assert len(installed.server.paths) == asked  # what is final is not asked for twice


def test_its_key_is_asked_for_and_never_told(installed: Installed) -> None:
    command = ("ingest", "AAPL", "--timeframe", "1d", *RANGE, "--refresh")
    missing = installed.run(*command, key=None)
    assert missing.returncode == 1
    assert "provider 'my-service' needs the environment variable MY_SERVICE_API_KEY" in missing.stderr

    refused = installed.run(*command, key=WRONG)  # its server quotes the key that it refuses
    assert refused.returncode == 1
    assert "no such key: ***" in refused.stderr

    with installed.warehouse.connection() as connection:
        found = "\n".join(row for rows in every_row(connection).values() for row in rows)
    name = f"{conninfo.conninfo_to_dict(installed.warehouse.database.dsn)['dbname']}_dagster"
    with psycopg.connect(installed.warehouse.database.dsn, dbname=name) as dagster:
        events = "\n".join(row[0] for row in dagster.execute("SELECT event FROM event_logs"))
        runs = "\n".join(row[0] for row in dagster.execute("SELECT run_body FROM runs"))
    assert "no such key: ***" in events  # it was told there, too
    files = [file for file in (installed.folder / "home").rglob("*") if file.is_file()]
    for key in (KEY, WRONG):
        for text in (*installed.said, found, events, runs):
            assert key not in text
        for file in files:
            assert key.encode() not in file.read_bytes(), file
