"""Every table has one room that writes it: the statements of code and queries, compared with the list of owners."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden.owners import OWNERS, UNNAMED
from tests.golden.schema import GOLDEN

PROJECT = Path(__file__).parents[3]
#: A statement that writes, and the table's name, a variable of psql for it, or braces that the code fills in.
_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE(?!\s+(?:SET|SKIP|OF)\b)|DELETE\s+FROM|MERGE\s+INTO|COPY|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?"
    r"(?P<table>(?:market|ops)\.(?:\w+|\{\w*\})|:\w+|\{\w*\})"
)
_SQL_COMMENT = re.compile(r"--.*$", re.MULTILINE)


def written_tables(text: str) -> set[str]:
    """Return the tables that the statements in ``text`` write."""
    return {match["table"] for match in _WRITES.finditer(text)}


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module, each put together of its pieces; fields of an f-string are braces."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            pieces = [piece.value if isinstance(piece, ast.Constant) else "{}" for piece in node.values]
            yield "".join(map(str, pieces))


def writers() -> set[tuple[str, str]]:
    """Return every (room, table) of which the room's code or queries have a statement that writes the table."""
    pairs = set()
    for path in (PROJECT / "chandlery").rglob("*.py"):
        room = path.relative_to(PROJECT / "chandlery").parts[0]
        pairs |= {(room, table) for text in texts(path) for table in written_tables(text)}
    for path in (PROJECT / "sql" / "queries").rglob("*.sql"):
        room = path.relative_to(PROJECT / "sql" / "queries").parts[0]
        pairs |= {(room, table) for table in written_tables(_SQL_COMMENT.sub("", path.read_text()))}
    return pairs


def test_a_room_writes_its_own_tables_only() -> None:
    owners = {(room, table) for room, tables in OWNERS.items() for table in tables}
    assert writers() - owners - UNNAMED.keys() == set()


def test_every_owner_writes_its_tables() -> None:
    """A table that nobody names in a statement is one whose name is filled in, or that nobody writes."""
    named = {table for _, table in writers()}
    bars = {table for table in OWNERS["bars"] if table.startswith("market.bars_")}
    nobody = OWNERS[""]
    # A move makes its two tables by a query, and fills one of them only.
    assert {table for tables in OWNERS.values() for table in tables} - named == (bars - named) | nobody


def test_what_is_listed_as_unnamed_is_there() -> None:
    assert UNNAMED.keys() - writers() == set()


def test_every_table_belongs_to_one_room() -> None:
    tables = re.findall(r"^CREATE TABLE (\S+)", GOLDEN.read_text(), re.MULTILINE)
    owned = [table for tables in OWNERS.values() for table in tables]
    assert sorted(owned) == sorted([*tables, "ops.move", "ops.move_part"])  # which are there only during a move


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("INSERT INTO ops.coverage AS c (a) SELECT 1", {"ops.coverage"}),
        ("WITH x AS (\n    DELETE FROM ops.rollup_pending WHERE true\n) UPDATE ops.bar_window AS w SET a = 1",
         {"ops.rollup_pending", "ops.bar_window"}),
        ("INSERT INTO :bars (a) SELECT a FROM delta ON CONFLICT (a) DO UPDATE SET a = 1", {":bars"}),
        ("SELECT a FROM ops.coverage FOR UPDATE OF c SKIP LOCKED", set()),
        ("COPY {} ({}) FROM STDIN (FORMAT binary)", {"{}"}),
        ("COPY (SELECT a FROM ops.coverage) TO STDOUT", set()),
        ("MERGE INTO market.halt AS h USING x", {"market.halt"}),
        ("TRUNCATE ops.landing", {"ops.landing"}),
        ("COPY market.{} FROM STDIN", {"market.{}"}),
    ],
)  # fmt: skip
def test_statements_that_write_are_recognised(text: str, tables: set[str]) -> None:
    assert written_tables(text) == tables
