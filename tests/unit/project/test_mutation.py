"""What ``make mutate`` breaks, and which tests it takes to cover a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, find_mutants
from tests.mutation.recording import Record, by_file

MODULE = '''
"""SELECT nothing: a docstring AND no SQL."""

LIMIT: int | None = 3


def work(*rows: int, all: bool = True) -> int:
    rows = rows or [2 * 3, *zip(rows, strict=True)]
    connection.execute("SELECT 1 FROM t WHERE a < b")
    if len(rows) > LIMIT:
        return 1
    return 0
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "sql/queries/room").mkdir(parents=True)
    (tmp_path / "sql/queries/room/rows.sql").write_text(
        "-- Rows AND nothing else.\nSELECT * FROM t\nWHERE a IS NULL AND b >= 3\n"
    )
    return tmp_path


def broken(tree: Path, file: str) -> set[str]:
    """Return every broken line of a file, without its indentation."""
    text = (tree / file).read_text()
    lines = set()
    for mutant in find_mutants(tree, file):
        pairs = list(zip(text.splitlines(), mutant.apply(text).splitlines(), strict=True))
        assert [number for number, (before, after) in enumerate(pairs, 1) if before != after] == [mutant.line]
        lines.add(pairs[mutant.line - 1][1].strip())
    return lines


def test_a_module_is_broken_as_a_person_might(tree: Path) -> None:
    assert broken(tree, "module.py") == {
        *("LIMIT: int | None = 4", "LIMIT: int | None = 2"),
        "def work(*rows: int, all: bool = False) -> int:",
        "rows = rows and [2 * 3, *zip(rows, strict=True)]",
        *("rows = rows or [2 / 3, *zip(rows, strict=True)]", "rows = rows or [2 // 3, *zip(rows, strict=True)]"),
        *("rows = rows or [ 3 * 3, *zip(rows, strict=True)]", "rows = rows or [ 1 * 3, *zip(rows, strict=True)]"),
        *("rows = rows or [2 * 4, *zip(rows, strict=True)]", "rows = rows or [2 * 2, *zip(rows, strict=True)]"),
        "...",
        'connection.execute("SELECT 2 FROM t WHERE a < b")',
        'connection.execute("SELECT 1 FROM t WHERE a <= b")',
        *("if len(rows) >= LIMIT:", "if len(rows) <= LIMIT:", "if not len(rows) > LIMIT:"),
        *("return 2", "return 0", "return 1", "return -1"),
    }


def test_a_query_is_broken_in_its_words_and_signs(tree: Path) -> None:
    assert broken(tree, "sql/queries/room/rows.sql") == {
        "WHERE a IS NOT NULL AND b >= 3",
        "WHERE a IS NULL OR b >= 3",
        "WHERE a IS NULL AND b > 3",
    }


def test_the_tests_of_a_line_are_those_that_run_it_or_what_it_defines(tree: Path) -> None:
    lines = {"module.py": {8: {"x::fast"}, 9: {"x::fast"}, 10: {"x::fast", "y::slow"}, 12: {"y::slow"}}}
    record = Record(tree, {"x::fast": 0.1, "y::slow": 5.0}, lines)
    assert record.covering("module.py", 8) == {"x::fast"}
    assert record.covering("module.py", 4) == {"x::fast", "y::slow"}  # where LIMIT is used
    assert record.covering("module.py", 11) == set()
    assert by_file(record, {"y::slow", "x::fast"}, limit=60) == ["x::fast", "y::slow"]
    assert by_file(record, {"y::slow", "x::fast"}, limit=1) == ["x::fast"]


def test_the_head_of_a_class_and_names_in_a_row_count_as_what_they_define(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("@dataclass(order=True)\nclass Row: ...\nA, B = range(2)\nprint(A, Row)\n")
    record = Record(tmp_path, {"x::fast": 0.1}, {"module.py": {4: {"x::fast"}}})
    assert record.covering("module.py", 1) == {"x::fast"}
    assert record.covering("module.py", 3) == {"x::fast"}


def test_a_mutant_is_known_by_its_name() -> None:
    assert Mutant("a.py", 3, "core/AddNot", 0).name == "a.py:3 core/AddNot 0"
