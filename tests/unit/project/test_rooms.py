"""Folders of tests and of queries are rooms of the library, and no module or function is too long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from chandlery.core.timeframe import Timeframe
from tests.golden.owners import OWNERS

PROJECT = Path(__file__).parents[3]
PACKAGES = ("chandlery", "expectations", "resources", "assets", "pipelines")
ROOMS = {folder.name for folder in (PROJECT / "chandlery").iterdir() if (folder / "__init__.py").exists()}
FLOORS = {"expectations", "pipelines", "assets", "resources"}

MODULE, FUNCTION, BUILD_BARS = 300, 50, 30  # lines

QUERIES = PROJECT / "sql" / "queries"
SOURCES = [path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py"))]


def folders(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name of every function of a module, and how many lines it takes without its decorators."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_every_folder_of_unit_tests_is_a_room() -> None:
    assert folders(PROJECT / "tests" / "unit") <= ROOMS | FLOORS | {"project"}


def test_every_folder_of_queries_is_a_room() -> None:
    assert folders(QUERIES) <= ROOMS


def test_the_plan_of_the_rooms_names_every_room_and_the_tables_that_it_writes() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    plan = page.partition("## The rooms of the library\n")[2].partition("\n## ")[0]
    named: dict[str, set[str]] = {}
    for rooms, tables in re.findall(r"^\| ((?:`\w+` ?)+)\| .* \|([^|]*)\|$", plan, re.MULTILINE):
        written = set(re.findall(r"`([\w.*]+)`", tables))
        named |= dict.fromkeys(re.findall(r"`(\w+)`", rooms), written)
    modules = {path.stem for path in (PROJECT / "chandlery").glob("*.py") if not path.name.startswith("__")}
    assert set(named) == ROOMS | modules
    widths = {f"market.{timeframe.table}" for timeframe in Timeframe}
    for room in ROOMS:
        tables = OWNERS.get(room, set())
        assert named[room] == (tables - widths | {"market.bars_*"} if tables & widths else tables), room


def test_the_readme_names_every_room() -> None:
    page = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## Where everything lives\n")[2]
    plan = page.partition("chandlery/ ")[2].partition("expectations/ ")[0]
    named = {room for rooms in re.findall(r"^    (\w+(?: \w+)*)  ", plan, re.MULTILINE) for room in rooms.split()}
    assert named - {"settings", "errors"} == ROOMS


def test_files_and_folders_that_the_plan_of_the_house_names_exist() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    places = re.findall(r"`((?:\w+/)+[\w.]*)`", page)
    assert len(places) > 30
    for place in places:
        assert any(
            (root / place).exists() for root in (PROJECT, PROJECT / "chandlery", PROJECT / "chandlery/providers")
        ), place


def test_every_query_is_used() -> None:
    code = "\n".join(path.read_text() for path in SOURCES)
    names = {path.relative_to(QUERIES).with_suffix("").as_posix() for path in QUERIES.rglob("*.sql")}
    assert {name for name in names if f'"{name}"' not in code} == set()


def test_every_query_that_is_named_exists() -> None:
    for path in SOURCES:
        for name in re.findall(r'\bquery\(\s*"([^"]+)"', path.read_text()):
            assert (QUERIES / f"{name}.sql").is_file(), f"{path.relative_to(PROJECT)} names {name}"


def test_no_module_and_no_function_is_too_long() -> None:
    lengths: dict[str, int] = {}
    for path in SOURCES:
        module = path.relative_to(PROJECT).as_posix()
        lengths |= {f"{module}: {name}": length for name, length in functions(path) if length > FUNCTION}
        lines = len(path.read_text().splitlines())
        lengths |= {module: lines} if lines > MODULE else {}
    assert lengths == {}


def test_the_asset_of_bars_is_short() -> None:
    lengths = dict(functions(PROJECT / "assets" / "bars.py"))
    assert lengths["build_bars"] <= BUILD_BARS
