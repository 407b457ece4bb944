"""A user's own modules in the working directory may be called like our packages; that breaks nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chandlery.core.own_packages import PIPELINE, load_own
from chandlery.errors import ConfigurationError
from tests.interpreter import run_python

CONFIG = Path(__file__).parents[2] / "config"
NAMES = ("sql", "config", *PIPELINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with modules of the user's own, which nobody but the user may import."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the user\\'s own {name}')\n")
    return tmp_path


@pytest.fixture
def env(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    return {"CHANDLERY_DATABASE_URL": database_url, "CHANDLERY_HOME": str(home), "CHANDLERY_CONFIG": str(CONFIG)}


RUN = """
import sys
from chandlery import cli
sys.argv = ["chandlery", *{arguments!r}]
cli.main()
"""
READ = "from chandlery import DataAPI; print(len(DataAPI().get_ohlc('AAPL', '2024-06-03', '2024-06-05', '1m')))"


def test_everything_works_beside_modules_that_are_called_like_our_packages(folder: Path, env: dict[str, str]) -> None:
    window = ["--start", "2024-06-03", "--end", "2024-06-05"]
    for arguments in (["init"], ["ingest", "AAPL", "--provider", "simulated", "--timeframe", "1m", *window]):
        run_python(RUN.format(arguments=arguments), cwd=folder, env=env)
    assert int(run_python(READ, cwd=folder, env=env).stdout) > 700  # of 780 minutes: a few had no trade


@pytest.mark.parametrize("name", NAMES)
def test_the_working_directory_comes_first_otherwise(folder: Path, name: str) -> None:
    done = run_python(f"import {name}", cwd=folder, check=False)
    assert f"RuntimeError: the user's own {name}" in done.stderr


def test_a_module_that_was_imported_already_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sql.py").write_text("")
    code = "import sql; from chandlery.core.own_packages import load_own; load_own('sql')"
    done = run_python(code, cwd=folder, check=False)
    text = f"the module 'sql' at {folder / 'sql.py'} hides Chandlery's own package of that name; rename it"
    assert f"ConfigurationError: {text}" in done.stderr


def test_our_own_packages_are_loaded_once() -> None:
    load_own("sql")
    before = sys.modules["sql"]
    load_own("sql")
    assert sys.modules["sql"] is before


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no_such_package is not a package; install Chandlery again"):
        load_own("no_such_package")
    assert "no_such_package" not in sys.modules
