"""Moving: everything that one database holds, copied to an empty one on another server, of any edition.

The source is only read, all of it in one snapshot. A part arrives in one transaction, together with a note of its
checksum, so a move that was killed goes on where it was. In the end every part is compared once more.

Not here: what the parts are (``contents``), what may be moved to (``destination``), and the lake, which both databases
share: the manifest's paths are relative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import psycopg
from psycopg import sql

from chandlery.database.connections import Database
from chandlery.database.dsn import ensure_database
from chandlery.database.editions.base import Edition
from chandlery.database.migrate import REVISION, current_revision
from chandlery.errors import StoreError, UsageError
from chandlery.ops.move import destination
from chandlery.ops.move.contents import Checksum, Part, Table, checksum, count_rows, list_parts

_AGAIN = "run the same command again: it goes on from there"


class MoveListener(Protocol):
    """Hears how far a move is."""

    def planned(self, parts: int, rows: int) -> None:
        """Hear what there is to move."""
        ...

    def copying(self, part: Part) -> None:
        """Hear that a part is being copied."""
        ...

    def copied(self, part: Part, rows: int) -> None:
        """Hear that a part was copied, and was the same on both sides."""
        ...

    def kept(self, part: Part) -> None:
        """Hear that a part was there from an earlier run, and has not changed in the source."""
        ...

    def verified(self, part: Part) -> None:
        """Hear that a part was found to be the same in the end."""
        ...


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What a move did.

    Attributes:
        parts: windows and tables that both sides hold now.
        rows: of these.
        copied_parts: those that this run copied; 0 where everything was there.
        copied_rows: of these.
    """

    parts: int
    rows: int
    copied_parts: int
    copied_rows: int


def move(source: Database, target: Database, listener: MoveListener) -> MoveReport:
    """Copy everything in ``source`` to ``target``, or what an earlier run has not copied yet.

    Args:
        source: is only read.
        target: created where it is absent; has to be empty, or to hold an unfinished move of this very source, or the
            same rows as the source already.
        listener: hears how far it is.

    Raises:
        UsageError: ``target`` holds something else, or is the source. Nothing was touched.
        StoreError: a server does not answer or refuses; a part did not arrive as it was; or the source changed
            meanwhile. What was copied is kept for the next run.
    """
    ensure_database(target.dsn)
    with source.dedicated() as reading, target.dedicated() as writing:
        for connection in (reading, writing):
            connection.execute(_SESSION)
        identity = destination.identify(reading)
        if identity == destination.identify(writing):
            raise UsageError("the target is the database that is to be moved; name another one")
        if destination.is_moved_to(reading):
            raise UsageError("this database is itself the target of a move that is not complete; complete it first")
        with destination.alone(writing):
            resumed = destination.has_begun(writing, identity)
            if not resumed and destination.occupied(writing):
                with _snapshot(reading), _snapshot(writing):
                    return _compare(reading, writing, listener)
            edition = destination.set_up(writing)
            tables = destination.check_tables(reading, writing)
            if not resumed:
                destination.begin(writing, identity)
            return _Move(reading, writing, edition, tables, listener).run()


@dataclass
class _Move:
    """One run of a move."""

    reading: psycopg.Connection
    writing: psycopg.Connection
    edition: Edition
    tables: Sequence[Table]
    listener: MoveListener
    #: What the source's snapshot holds.
    sums: dict[Part, Checksum] = field(default_factory=dict)
    copied_parts: int = 0
    copied_rows: int = 0

    def run(self) -> MoveReport:
        """Copy, compare, and forget the notes."""
        with _snapshot(self.reading):
            self._copy_all()
        self._verify_all()
        with _snapshot(self.reading):
            self._look_again()
        self._complete()
        rows = sum(found.rows for found in self.sums.values())
        return MoveReport(len(self.sums), rows, self.copied_parts, self.copied_rows)

    def _copy_all(self) -> None:
        """Copy what is not there, or not any more as it is in the snapshot."""
        noted = destination.read_notes(self.writing, self.tables)
        parts = list_parts(self.reading, self.tables)
        found = set(parts)
        gone = [part for part in noted if part not in found]
        self.listener.planned(len(parts) + len(gone), sum(part.rows for part in parts))
        for part in (*gone, *parts):
            if part.table.is_large:
                self._bring(part, noted.get(part))
        # Last, because until then a reader finds no instrument at all, rather than too few bars of it.
        self._bring_together([part for part in parts if not part.table.is_large], noted)

    def _verify_all(self) -> None:
        """Compare all of the target with what the source's snapshot held, in one look at the target."""
        with _snapshot(self.writing):
            damaged = [part for part, expected in self.sums.items() if not self._verify(part, expected)]
            if not damaged:
                self._verify_totals()
        if not damaged:
            return
        for part in damaged:  # so that the next run copies them again
            destination.note(self.writing, part, Checksum(-1, 0))
        names = ", ".join(map(str, damaged))
        raise StoreError(
            f"{names}: changed in the target after being copied. See that nothing else writes there, then"
            " run the same command again: these parts are copied again"
        )

    def _look_again(self) -> None:
        """Raise if the source changed since its snapshot.

        A change of bars leaves a trace in one of the smaller tables: every publication in ``ops.publication``, every
        window that left the store or came back in ``ops.bar_window``.
        """
        expected = {part: found for part, found in self.sums.items() if not part.table.is_large}
        changed = [str(part) for part, found in expected.items() if checksum(self.reading, part) != found]
        if changed:
            raise StoreError(
                f"the source changed while it was being copied ({', '.join(changed)}), and the target does not have"
                " that yet. Stop ingestion and schedules, then run the same command again: only what changed is copied"
            )

    def _complete(self) -> None:
        """Let the target's ids go on after the source's, and forget the notes."""
        for table in self.tables:
            for column in table.numbered:
                last = self.reading.execute(_LAST_NUMBER, (str(table), column)).fetchone()
                self.writing.execute(_SET_NUMBER, {"table": str(table), "column": column, "last": last and last[0]})
        self.writing.execute("DROP TABLE ops.move, ops.move_part")

    def _bring(self, part: Part, noted: Checksum | None) -> None:
        if noted and self._is_kept(part, noted):
            return
        with _naming(part), self.writing.transaction():
            if noted:
                self._delete(part)
            found = self._copy(part)
            destination.note(self.writing, part, found)
        self._heard(part, found)

    def _bring_together(self, parts: Sequence[Part], noted: Mapping[Part, Checksum]) -> None:
        """Bring tables that refer to each other: all of them or none."""
        if all(part in noted and checksum(self.reading, part) == noted[part] for part in parts):
            for part in parts:
                self._keep(part, noted[part])
            return
        brought = {}
        with self.writing.transaction():
            for part in reversed(parts):
                if part in noted or str(part.table) in destination.SEEDED:
                    self._delete(part)
            for part in parts:
                with _naming(part):
                    brought[part] = self._copy(part)
                    destination.note(self.writing, part, brought[part])
        for part, found in brought.items():
            self._heard(part, found)

    def _is_kept(self, part: Part, noted: Checksum) -> bool:
        if checksum(self.reading, part) != noted:
            return False
        self._keep(part, noted)
        return True

    def _keep(self, part: Part, noted: Checksum) -> None:
        self.sums[part] = noted
        self.listener.kept(part)

    def _heard(self, part: Part, found: Checksum) -> None:
        self.sums[part] = found
        self.copied_parts += 1
        self.copied_rows += found.rows
        self.listener.copied(part, found.rows)

    def _copy(self, part: Part) -> Checksum:
        """Copy the rows of ``part`` and return their checksum, which is the same on both sides."""
        self.listener.copying(part)
        timeframe = part.table.timeframe
        if timeframe and part.first and part.last:
            self.edition.prepare(self.writing, timeframe, part.first, part.last)
        with (
            self.reading.cursor().copy(_copy_out(part)) as rows,
            self.writing.cursor().copy(_copy_in(part)) as wire,
        ):
            for block in rows:
                wire.write(block)
        with ThreadPoolExecutor(1) as beside:
            expecting = beside.submit(checksum, self.reading, part)
            arrived = checksum(self.writing, part)
            expected = expecting.result()
        if arrived != expected:
            raise StoreError(
                f"{part}: {arrived.rows} rows with checksum {arrived.hash} are in the target,"
                f" {expected.rows} with {expected.hash} in the source; nothing of it was kept."
                f" If nothing else writes to the target, suspect a disk or the network; then {_AGAIN}"
            )
        return expected

    def _verify(self, part: Part, expected: Checksum) -> bool:
        if checksum(self.writing, part) != expected:
            return False
        self.listener.verified(part)
        return True

    def _verify_totals(self) -> None:
        """Raise if a table holds rows outside all parts."""
        for table in self.tables:
            expected = sum(found.rows for part, found in self.sums.items() if part.table == table)
            found = count_rows(self.writing, table)
            if found != expected:
                raise StoreError(
                    f"{table} has {found - expected} rows in the target that are not of the source: something else"
                    " wrote there. Drop the target database and move again"
                )

    def _delete(self, part: Part) -> None:
        self.writing.execute(sql.SQL("DELETE FROM {} WHERE {}").format(part.table.identifier, part.condition))


def _copy_out(part: Part) -> sql.Composed:
    key = sql.SQL(", ").join(map(sql.Identifier, part.table.key))
    return sql.SQL("COPY (SELECT {} FROM {} WHERE {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
        part.table.column_list, part.table.identifier, part.condition, key
    )


def _copy_in(part: Part) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(part.table.identifier, part.table.column_list)


def _compare(reading: psycopg.Connection, writing: psycopg.Connection, listener: MoveListener) -> MoveReport:
    """Return what both sides hold; raise where it is not the same."""
    if current_revision(writing) == REVISION:
        tables = destination.check_tables(reading, writing)
        # The smaller tables first: a difference is soon found there.
        parts = list_parts(reading, tables)[::-1]
        rows = sum(part.rows for part in parts)
        listener.planned(len(parts), rows)
        same = all(_is_same(reading, writing, part, listener) for part in parts)
        if same and sum(count_rows(writing, table) for table in tables) == rows:
            return MoveReport(len(parts), rows, copied_parts=0, copied_rows=0)
    names = ", ".join(map(str, destination.occupied(writing)))
    raise UsageError(
        f"the target holds something else already ({names}), and was not touched; name an empty database, or one that"
        " does not exist yet"
    )


def _is_same(reading: psycopg.Connection, writing: psycopg.Connection, part: Part, listener: MoveListener) -> bool:
    found = checksum(reading, part)
    if checksum(writing, part) != found:
        return False
    listener.verified(part)
    return True


@contextmanager
def _snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """Let the block see the database as it is now, whatever happens meanwhile, and change nothing."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()


@contextmanager
def _naming(part: Part) -> Iterator[None]:
    """Say which part it was that could not be copied."""
    try:
        yield
    except psycopg.errors.UniqueViolation:
        raise StoreError(
            f"{part}: the target holds rows of it that this move did not copy: something else writes there."
            " Drop the target database and move again"
        ) from None
    except psycopg.Error as error:
        raise StoreError(
            f"{part} could not be copied: {str(error).strip()}\nNothing of it was kept; {_AGAIN}"
        ) from error


#: Texts travel in one encoding, and nothing runs out of time.
_SESSION = "SET client_encoding = 'UTF8'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
_LAST_NUMBER = """
SELECT last_value FROM pg_sequences
WHERE format('%%I.%%I', schemaname, sequencename)::regclass = pg_get_serial_sequence(%s, %s)::regclass
"""
_SET_NUMBER = """
SELECT setval(pg_get_serial_sequence(%(table)s, %(column)s), coalesce(%(last)s::bigint, 1),
              %(last)s::bigint IS NOT NULL)
"""
