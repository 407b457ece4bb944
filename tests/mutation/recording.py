"""Which tests run which lines. As a plugin of pytest (``-p tests.mutation.recording``) it writes that down.

The plugin needs two variables of the environment: ``MUTATION_RECORD``, a folder for what it writes, and
``MUTATION_SOURCE``, the folders of code to watch, relative to the current one and separated by colons.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import coverage
import pytest


class Recorder:
    """Watches the lines that each test runs in this process, and how long each test takes."""

    def __init__(self, folder: Path, source: list[str]) -> None:
        self.folder = folder
        self.coverage = coverage.Coverage(folder / "coverage", data_suffix=True, source=source, config_file=False)
        # With xdist, this process runs no test itself.
        self.coverage.set_option("run:disable_warnings", ["no-data-collected"])
        self.coverage.start()
        self.tests: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> object:
        self.coverage.switch_context(item.nodeid)
        result = yield
        self.coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tests[report.nodeid] = self.tests.get(report.nodeid, 0.0) + report.duration
        if report.outcome != "passed":
            self.failed.add(report.nodeid)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        self.coverage.stop()
        self.coverage.save()
        if not hasattr(config, "workerinput"):  # with xdist, the reports of all workers arrive here
            passed = {name: seconds for name, seconds in self.tests.items() if name not in self.failed}
            (self.folder / "tests.json").write_text(json.dumps({"root": str(Path.cwd()), "seconds": passed}))


def pytest_configure(config: pytest.Config) -> None:
    folder, source = os.environ["MUTATION_RECORD"], os.environ["MUTATION_SOURCE"]
    paths = [str(Path.cwd() / name) for name in source.split(":")]
    config.pluginmanager.register(Recorder(Path(folder), paths), "mutation recorder")


@dataclass(frozen=True)
class Record:
    """What was recorded.

    Attributes:
        tree: the copy of the project whose tests were run.
        seconds: of every test that passed, how long it took.
        lines: by file, relative to the tree: the tests that ran each line. Tests run no line that only an import runs.
    """

    tree: Path
    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]]

    @classmethod
    def read(cls, folder: Path, tree: Path) -> Record:
        """Return what ``folder`` holds."""
        total = coverage.Coverage(folder / "coverage", config_file=False)
        total.combine([str(path) for path in folder.glob("coverage.*")], keep=True)
        data = total.get_data()
        tests = json.loads((folder / "tests.json").read_text())
        seconds: dict[str, float] = tests["seconds"]
        lines = {}
        for file in data.measured_files():
            contexts = data.contexts_by_lineno(file)
            lines[str(Path(file).relative_to(tests["root"]))] = {
                line: {name for name in names if name in seconds} for line, names in contexts.items()
            }
        return cls(tree, seconds, lines)

    def covering(self, file: str, line: int) -> set[str]:
        """Return the tests that run a line of a module, or for which it makes a difference.

        For a line that only an import runs, these are the tests that run a line which mentions what it defines.
        """
        if file.endswith(".sql"):
            room, name = Path(file).parts[-2:]
            return self._mentioning(f'"{room}/{name.removesuffix(".sql")}"')
        first, last, defined = self._statements(file).get(line, (line, line, None))
        tests = set().union(*(self.lines.get(file, {}).get(number, ()) for number in range(first, last + 1)))
        return tests or (self._mentioning(rf"\b{defined}\b") if defined else set())

    def _mentioning(self, pattern: str) -> set[str]:
        found: set[str] = set()
        for file, tests in self.lines.items():
            for number, text in enumerate((self.tree / file).read_text().splitlines(), 1):
                if re.search(pattern, text):
                    found |= tests.get(number, set())
        return found

    def _statements(self, file: str) -> dict[int, tuple[int, int, str | None]]:
        if file not in self._parsed:
            self._parsed[file] = _statements(ast.parse((self.tree / file).read_text()))
        return self._parsed[file]

    @cached_property
    def _parsed(self) -> dict[str, dict[int, tuple[int, int, str | None]]]:
        return {}


def _statements(module: ast.Module) -> dict[int, tuple[int, int, str | None]]:
    """Return of each line: first and last line of the statement it is of, without the block below, and what it defines.

    A function defines its own name: who mentions it runs what stands in its head.
    """
    result: dict[int, tuple[int, int, str | None]] = {}
    for node in ast.walk(module):  # outer statements come before those in them
        if not isinstance(node, ast.stmt):
            continue
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first, last = min([node.lineno, *(each.lineno for each in decorators)]), node.end_lineno or node.lineno
        block = getattr(node, "body", None)
        if block:
            last = max(node.lineno, block[0].lineno - 1)
        for line in range(first, last + 1):
            result[line] = (first, last, _defined(node))
    return result


def _defined(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    targets: Iterable[ast.expr] = ()
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    names = (part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target]))
    return next((name.id for name in names if isinstance(name, ast.Name)), None)


def by_file(record: Record, tests: Iterable[str], limit: float) -> list[str]:
    """Return tests in the order to run them, fastest first but file by file, as many as take ``limit`` seconds.

    Those marked as slow, and those on other servers than the embedded one, only where there are no others.
    """
    plain = [test for test in tests if "[apache" not in test and "[community" not in test]
    chosen, total = [], 0.0
    for test in sorted(plain or tests, key=lambda test: record.seconds[test]):
        total += record.seconds[test]
        if total > limit and chosen:
            break
        chosen.append(test)
    files: defaultdict[str, float] = defaultdict(float)
    for test in chosen:
        files[test.partition("::")[0]] += record.seconds[test]
    return sorted(
        chosen, key=lambda test: (files[test.partition("::")[0]], test.partition("::")[0], record.seconds[test])
    )
