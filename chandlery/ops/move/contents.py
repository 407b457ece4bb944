"""What a database holds, part by part: its tables, the parts they are copied in, and a checksum of each part.

The tables are read from the server's catalog, so that none can be forgotten. Not here: copying (``transfer``), and how
the server divides a table (``database.editions``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from chandlery.core.timeframe import Timeframe, Window
from chandlery.database.named_queries import query

_BARS = {f"market.{timeframe.table}": timeframe for timeframe in Timeframe}
_REVISIONS = "market.bars_revision"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of ours.

    Attributes:
        schema: ``market`` or ``ops``.
        name: within the schema.
        columns: all that are stored, in the table's order.
        key: columns of the primary key, in its order.
        numbered: columns that the server numbers.
        refers_to: tables that must have their rows first.
    """

    schema: str
    name: str
    columns: list[str] = field(compare=False)
    key: list[str] = field(compare=False)
    numbered: list[str] = field(compare=False)
    refers_to: list[str] = field(compare=False)

    def __str__(self) -> str:
        """Return ``market.bars_1m``."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """The table's name as SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def column_list(self) -> sql.Composed:
        """The columns as SQL."""
        return sql.SQL(", ").join(map(sql.Identifier, self.columns))

    @property
    def timeframe(self) -> Timeframe | None:
        """The timeframe whose present bars are in this table; None where it holds something else."""
        return _BARS.get(str(self))

    @property
    def is_large(self) -> bool:
        """Whether it is copied window by window."""
        return str(self) in _BARS or str(self) == _REVISIONS

    @property
    def _windows_of(self) -> Timeframe:
        """A timeframe with windows as long as this table's: years, but months for the many bars of a minute."""
        return Timeframe.M1 if self.timeframe is Timeframe.M1 else Timeframe.D1

    def window(self, key: str) -> Window:
        """Return the window called ``key``."""
        return self._windows_of.window(key)

    def parts(self, connection: psycopg.Connection) -> Iterator[TablePart]:
        """Yield the parts that have rows, oldest first; a table that is not large is one part."""
        if not self.is_large:
            yield TablePart(self, rows=count_rows(connection, [self])[0])
            return
        unit = self._windows_of.window_kind
        windows = connection.execute(
            query(
                "ops/windows_with_rows",
                table=self.identifier,
                unit=unit,
                form="YYYY-MM" if unit == "month" else "YYYY",
            )
        )
        for key, row_count, first, last in windows.fetchall():
            yield TablePart(self, key, row_count, first, last)


@dataclass(frozen=True, slots=True)
class TablePart:
    """The rows of one window of a table, or all rows of a table.

    Attributes:
        table: whose rows.
        key: of the window; empty for a whole table.
        rows: how many there are in the source, 0 where there are no longer any.
        first: ``ts`` of its first row, UTC.
        last: ``ts`` of its last row, UTC, inclusive.
    """

    table: Table
    key: str = ""
    rows: int = field(default=0, compare=False)
    first: datetime | None = field(default=None, compare=False)
    last: datetime | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Return ``market.bars_1m 2024-01``."""
        return f"{self.table} {self.key}".rstrip()

    @property
    def condition(self) -> sql.Composable:
        """The condition that picks its rows."""
        if not self.key:
            return sql.SQL("true")
        window = self.table.window(self.key)
        return sql.SQL("ts >= {} AND ts < {}").format(sql.Literal(window.start), sql.Literal(window.end))


@dataclass(frozen=True, slots=True)
class Checksum:
    """The checksum of rows, which tells them from other rows.

    Attributes:
        rows: how many there are.
        hash: sum over a hash of each; any bit of any value changes it, their order does not.
    """

    rows: int
    hash: int


def list_tables(connection: psycopg.Connection) -> list[Table]:
    """Return every table of ours, each after those that it refers to."""
    with connection.cursor(row_factory=class_row(Table)) as cursor:
        tables = {str(table): table for table in cursor.execute(query("ops/stored_tables")).fetchall()}
    order = TopologicalSorter({name: sorted(table.refers_to) for name, table in tables.items()})
    return [tables[name] for name in order.static_order()]


def list_parts(connection: psycopg.Connection, tables: Sequence[Table]) -> list[TablePart]:
    """Return the parts of ``tables`` that have rows: the large tables' first, from the narrowest bars to the widest."""
    by_size = sorted(tables, key=lambda table: (not table.is_large, table.timeframe.rank if table.timeframe else 99))
    return [part for table in by_size for part in table.parts(connection)]


def checksum(connection: psycopg.Connection, part: TablePart) -> Checksum:
    """Return the checksum of the rows of ``part`` in the database behind ``connection``."""
    row = connection.execute(
        query("ops/checksum", table=part.table.identifier, columns=part.table.column_list, condition=part.condition)
    ).fetchone()
    return Checksum(int(row[0]), int(row[1])) if row else Checksum(0, 0)


def count_rows(connection: psycopg.Connection, tables: Sequence[Table]) -> list[int]:
    """Return how many rows each of ``tables`` has."""
    return _ask_of_each(connection, "SELECT count(*) AS answer FROM {}", tables)


def have_rows(connection: psycopg.Connection, tables: Sequence[Table]) -> list[bool]:
    """Return whether each of ``tables`` has any row."""
    return _ask_of_each(connection, "SELECT EXISTS (SELECT FROM {}) AS answer", tables)


def _ask_of_each(connection: psycopg.Connection, question: LiteralString, tables: Sequence[Table]) -> list[Any]:
    """Return the answers to ``question`` for each of ``tables``, in their order, by one statement."""
    answers = [sql.SQL("({})").format(sql.SQL(question).format(table.identifier)) for table in tables]
    row = connection.execute(sql.SQL("SELECT ARRAY[{}]").format(sql.SQL(", ").join(answers))).fetchone()
    return list(row[0]) if row else []
