"""What we use of other packages that they do not promise to keep: every such place is named here, with its reason.

A release of such a package may break us without warning. So whoever adds a place names it, and a place that is not
used any more leaves the list.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = {"assets", "benchmarks", "chandlery", "expectations", "pipelines", "resources", "sql", "tests"}
#: Attributes with one underscore that are documented: of named tuples, and of Python itself.
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}

#: File, and what it uses.
KNOWN = {
    # The length of a calendar's history, which exchange_calendars otherwise tells by making the whole calendar.
    "chandlery/core/calendars.py": {"_calendar_factories"},
    # The type of what hashlib makes, for a type checker alone.
    "chandlery/core/digest.py": {"_Hash"},
    # What ADBC's DB-API wrapper calls, which imports polars and pandas: that takes longer than a short read.
    "chandlery/database/arrow_session.py": {
        "_import_from_c",
        "adbc_driver_manager._lib",
        "adbc_driver_manager._reader",
    },
    # Neither the client's retries nor its time-out can be set otherwise.
    "chandlery/providers/alpaca.py": {"_retry", "_session"},
    # What the client's own paging calls: without it, every page is parsed twice.
    "chandlery/providers/polygon.py": {"_get"},
    # The tables of Dagster's event log, which ours writes in batches, and the type by which dagster.yaml configures it.
    "pipelines/check_evaluations.py": {"dagster._core.storage.event_log.schema", "dagster._serdes"},
    "pipelines/event_storage.py": {
        "dagster._core.storage.event_log",
        "dagster._core.storage.event_log.migration",
        "dagster._serdes",
    },
    "pipelines/hidden_secrets.py": {"dagster._core.scheduler.instigation", "dagster._serdes"},
    "pipelines/storage_address.py": {"dagster._serdes"},
    # The daemon has no public module to run with `python -m`; its script may lie elsewhere than our interpreter.
    "pipelines/serve.py": {"dagster._daemon"},
    # The workspace that Dagster's own command makes for its web server, to serve it behind a guard of ours.
    "pipelines/web.py": {"dagster._core.workspace.context", "dagster._core.workspace.load_target"},
    # A code server in this process, to measure what the web UI and the daemon wait for.
    "benchmarks/orchestration.py": {"dagster._core.workspace.context", "dagster._core.workspace.load_target"},
    # How Dagster records what became of a sensor.
    "tests/integration/test_event_storage.py": {
        "dagster._core.definitions.run_request",
        "dagster._core.scheduler.instigation",
    },
    # How the driver understands a statement with parameters.
    "tests/unit/database/test_named_queries.py": {"psycopg._queries"},
}


def sources() -> list[Path]:
    """Return every file of ours but this one, which names what others use."""
    return sorted({path for folder in OURS for path in (ROOT / folder).rglob("*.py")} - {Path(__file__)})


def private_names(path: Path) -> Iterator[str]:
    """Yield the private names of other packages in one file: modules, imported names, attributes, ``python -m``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_foreign(alias.name) and is_private(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and is_foreign(node.module):
            if is_private(node.module):
                yield node.module
            else:
                yield from (f"{node.module}.{a.name}" for a in node.names if is_private(a.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_module(node.value):
            yield node.value
    if not path.is_relative_to(ROOT / "tests"):  # whose private attributes are mostly our own
        yield from private_attributes(tree)


def private_attributes(tree: ast.Module) -> Iterator[str]:
    """Yield attributes with a leading underscore that no class or module of this file defines."""
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_self(node.value)}
    own |= {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or is_self(node.value) or node.attr in own | PUBLIC:
            continue
        if is_private(node.attr):
            yield node.attr


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in OURS


def is_module(text: str) -> bool:
    """Return whether ``text`` names a private module of another package: ``dagster._daemon``."""
    parts = text.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts) and is_private(text) and is_foreign(text)


def test_every_use_of_a_private_api_is_named() -> None:
    used: dict[str, set[str]] = {}
    for path in sources():
        if names := set(private_names(path)):
            used[path.relative_to(ROOT).as_posix()] = names
    assert used == KNOWN


def test_the_package_whose_private_modules_we_use_is_pinned_and_has_them() -> None:
    assert find_spec("dagster._daemon.__main__") is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(requirement.startswith("dagster==") for requirement in project["dependencies"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from dagster._core.events import A", {"dagster._core.events"}),
        ("from dagster import _check", {"dagster._check"}),
        ("import yfinance._http", {"yfinance._http"}),
        ("import dagster\ndagster.instance._storage", {"_storage"}),
        ("run(['-m', 'dagster._daemon'])", {"dagster._daemon"}),
        ("self._client._get(path)", {"_get"}),
        ("from chandlery.core import _x\nrow._replace(a=1)\nself._a.b", set()),
    ],
)
def test_the_search_finds_what_it_should(text: str, names: set[str], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert set(private_names(path)) == names
