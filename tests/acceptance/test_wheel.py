"""The wheel and the source distribution, built from the checkout and used where there is no checkout.

Nothing is fetched: the new environment sees the dependencies of the running one, but neither this project nor its
editable install.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import chandlery
from chandlery.database.embedded.processes import find_processes
from tests.environments import make_environment
from tests.support import wait_until

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SOURCES = ("assets", "chandlery", "config", "expectations", "pipelines", "resources", "sql")
FILES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
WINDOW = ("--start", "2024-06-03", "--end", "2024-06-05")


@dataclass(frozen=True)
class Built:
    """What was built: the wheel, made from the source distribution."""

    wheel: Path
    source: Path


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder outside any checkout to work in."""

    python: Path
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of a person who has set none of ours, and ``more``."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY", "DAGSTER", "PYTHON"))
        }
        return kept | {"PATH": f"{self.python.parent}{os.pathsep}{kept['PATH']}"} | more

    def run(self, *command: str, **more: str) -> str:
        """Run a command in the folder and return its output; it must succeed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(**more), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    checkout, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, checkout)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return Built(wheel, source)


@pytest.fixture(scope="module")
def installed(built: Built) -> Iterator[Installed]:
    # Not in pytest's own folder: as root, another run of pytest would bar the database's user from that.
    root = Path(tempfile.mkdtemp(prefix="chandlery-wheel-"))
    try:
        python = make_environment(root / "venv")
        command = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
        ]
        subprocess.run([*command, str(built.wheel)], check=True)
        (root / "work").mkdir()
        yield Installed(python, root / "work")
    finally:
        data = root / "work" / ".chandlery" / "postgres"
        if data.exists():  # its server stops after its last user, and takes files away
            wait_until(lambda: not find_processes(data), "the server has stopped")
        shutil.rmtree(root, ignore_errors=True)


def test_the_wheel_holds_every_module_the_sql_and_the_configuration(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    expected = {
        str(path.relative_to(ROOT))
        for name in SOURCES
        if name != "config"
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    expected |= {f"chandlery/defaults/{path.relative_to(ROOT / 'config')}" for path in (ROOT / "config").rglob("*.*")}
    assert sorted(expected - names) == []
    assert sorted(name for name in names - expected if ".dist-info/" not in name) == []


def test_the_source_distribution_holds_what_building_needs(built: Built) -> None:
    with tarfile.open(built.source) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {*FILES, "config/universe.yaml", "config/presets/sp500.txt", "sql/migrations/0001_spine.up.sql"} <= names


def test_the_wheel_is_what_is_used(installed: Installed) -> None:
    where = installed.run("python", "-c", "import chandlery; print(chandlery.__file__)")
    assert Path(where.strip()).is_relative_to(installed.python.parents[1])
    assert installed.run("chandlery", "--version") == f"chandlery {chandlery.__version__}\n"
    assert installed.run("python", "-m", "chandlery", "--version") == f"chandlery {chandlery.__version__}\n"


def test_the_configuration_stands_beside_the_home_that_is_named(installed: Installed) -> None:
    code = "from chandlery.settings import Settings; print(Settings().config)"
    assert installed.run("python", "-c", code).strip() == str(installed.folder / "config")
    home = installed.folder.parent / "elsewhere" / "home"
    assert installed.run("python", "-c", code, CHANDLERY_HOME=str(home)).strip() == str(home.parent / "config")


@pytest.fixture(scope="module")
def used(installed: Installed) -> Installed:
    """The installation after ``init`` and a little ingestion, in a folder that was empty."""
    said = installed.run("chandlery", "init")
    config = installed.folder / "config"
    assert f"The default configuration was copied to {config}: it is yours to edit." in said
    assert {file.name for file in config.iterdir()} == {file.name for file in (ROOT / "config").iterdir()}
    installed.run("chandlery", "ingest", "AAPL", "--provider", "simulated", "--timeframe", "1m", *WINDOW)
    return installed


def count(csv: str) -> int:
    return len(csv.splitlines()) - 1


QUERY = ("query", "AAPL", "--timeframe", "1m", *WINDOW, "--format", "csv")


def test_init_ingest_and_query_work_outside_a_checkout(used: Installed) -> None:
    assert count(used.run("chandlery", *QUERY)) > 700
    assert (used.folder / ".chandlery").is_dir()


def test_a_configuration_is_copied_once_and_then_belongs_to_the_user(used: Installed) -> None:
    file = used.folder / "config" / "universe.yaml"
    edited = f"# mine\n{file.read_text()}"
    file.write_text(edited)
    assert "was copied" not in used.run("chandlery", "init")
    assert file.read_text() == edited


OWN = ("assets", "config", "expectations", "pipelines", "resources", "sql")


@pytest.fixture
def beside_own_modules(used: Installed) -> Iterator[Installed]:
    """The folder also holds modules of the user's own, called like our packages."""
    files = [used.folder / f"{name}.py" for name in OWN]
    for file in files:
        file.write_text("raise RuntimeError('the user\\'s own module was imported')\n")
    yield used
    for file in files:
        file.unlink()


@pytest.mark.parametrize("command", [("chandlery",), ("python", "-m", "chandlery")], ids=" ".join)
def test_the_command_line_works_beside_the_user_s_own_modules(
    beside_own_modules: Installed, command: tuple[str, ...]
) -> None:
    ingest = ("ingest", "MSFT", "--provider", "simulated", "--timeframe", "1m", *WINDOW)
    beside_own_modules.run(*command, *ingest)
    assert count(beside_own_modules.run(*command, *QUERY)) > 700


def test_a_script_reads_beside_the_user_s_own_modules(beside_own_modules: Installed) -> None:
    code = "from chandlery import DataAPI; print(len(DataAPI().get_ohlc('AAPL', '2024-06-03', '2024-06-05', '1m')))"
    assert int(beside_own_modules.run("python", "-c", code)) > 700


def test_the_web_ui_loads_our_pipeline_beside_the_user_s_own_modules(beside_own_modules: Installed) -> None:
    port = free_port()
    with subprocess.Popen(
        ["chandlery", "ui", "--port", str(port)],
        cwd=beside_own_modules.folder,
        env=beside_own_modules.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        executable=str(beside_own_modules.python.with_name("chandlery")),
    ) as ui:
        assert ui.stdout is not None
        try:
            line = ui.stdout.readline()
            assert line.startswith("Chandlery is at"), line + ui.stdout.read()
            names = asset_names(port, line.strip().partition("token=")[2])
        finally:
            ui.send_signal(signal.SIGINT)
    assert {"bars_1m", "bars_1d"} <= names
    assert ui.returncode == 0


def asset_names(port: int, token: str) -> set[str]:
    """Return the names of the assets that the UI knows."""
    body = json.dumps({"query": "{ assetNodes { assetKey { path } } }"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, headers)
    with urllib.request.urlopen(request) as answer:
        nodes = json.load(answer)["data"]["assetNodes"]
    return {node["assetKey"]["path"][-1] for node in nodes}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
