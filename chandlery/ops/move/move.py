"""Moving: everything that one database holds, copied to an empty one on another server, of any edition.

The source is only read, all of it in one snapshot. A part arrives in one transaction, together with a record of its
checksum, so a move that was killed goes on where it was. In the end every part is compared once more.

Not here: what the parts are (``contents``), what may be moved to (``destination``), how one part is copied
(``transfer``), and the lake, which both databases share: the manifest's paths are relative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from chandlery.core.text import counted
from chandlery.database.connect import is_pooled
from chandlery.database.connections import Database
from chandlery.database.dsn import ensure_database, hide_password
from chandlery.database.editions.base import Edition
from chandlery.database.migrate import REVISION, current_revision
from chandlery.database.named_queries import query
from chandlery.errors import StoreError, UsageError
from chandlery.ops.move import destination
from chandlery.ops.move.contents import Checksum, Table, TablePart, checksum, count_rows, list_parts
from chandlery.ops.move.progress import MoveListener, MoveReport
from chandlery.ops.move.transfer import copy_part, delete_part, name_part_in_errors, prepare_session, snapshot
from chandlery.ops.move.unfinished import is_unfinished, is_unfinished_move_of


def move(source: Database, target: Database, listener: MoveListener) -> MoveReport:
    """Copy everything in ``source`` to ``target``, or what an earlier run has not copied yet.

    Args:
        source: is only read.
        target: created where it is absent; has to be empty, or to hold an unfinished move of this very source, or the
            same rows as the source already.
        listener: is called as the move goes on.

    Raises:
        UsageError: ``target`` holds something else, or is the source. Nothing was touched.
        StoreError: a server does not answer or refuses; a part did not arrive as it was; or the source changed
            meanwhile. What was copied is kept for the next run.
    """
    ensure_database(target.dsn)
    with source.dedicated() as reading, target.dedicated() as writing, target.dedicated() as holder:
        for connection in (reading, writing):
            if is_pooled(connection):
                raise UsageError(f"a move takes direct connections; {hide_password(connection.info.dsn)} is a pooler's")
            prepare_session(connection)
        identity = destination.identify(reading)
        if identity == destination.identify(writing):
            raise UsageError("the target is the database that is to be moved; name another one")
        if is_unfinished(reading):
            raise UsageError("this database is itself the target of a move that is not complete; complete it first")
        with destination.lock_for_move(holder):
            is_resumed = is_unfinished_move_of(writing, identity)
            if not is_resumed and destination.list_filled_tables(writing):
                with snapshot(reading), snapshot(writing):
                    return _compare(reading, writing, listener)
            edition = destination.set_up(writing)
            tables = destination.check_tables(reading, writing)
            if not is_resumed:
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
    checksums: dict[TablePart, Checksum] = field(default_factory=dict)
    copied_parts: int = 0
    copied_rows: int = 0

    def run(self) -> MoveReport:
        """Copy, compare, and delete the records of the move."""
        with snapshot(self.reading):
            self._copy_all()
        self._verify_all()
        with snapshot(self.reading):
            self._check_source_unchanged()
        self._complete()
        rows = sum(checksum.rows for checksum in self.checksums.values())
        return MoveReport(len(self.checksums), rows, self.copied_parts, self.copied_rows)

    def _copy_all(self) -> None:
        """Copy what is not there, or not any more as it is in the snapshot."""
        recorded = destination.read_copied_parts(self.writing, self.tables)
        parts = list_parts(self.reading, self.tables)
        present = set(parts)
        gone = [part for part in recorded if part not in present]
        self.listener.planned(len(parts) + len(gone), sum(part.rows for part in parts))
        for part in (*gone, *parts):
            if part.table.is_large:
                self._copy_large(part, recorded.get(part))
        # Last, because until then a reader finds no instrument at all, rather than too few bars of it.
        self._copy_small([part for part in parts if not part.table.is_large], recorded)

    def _verify_all(self) -> None:
        """Compare all of the target, in one snapshot of it, with what the source's snapshot held."""
        with snapshot(self.writing):
            damaged = [part for part, expected in self.checksums.items() if not self._verify(part, expected)]
            if not damaged:
                self._verify_totals()
        if not damaged:
            return
        # So that the next run copies them again.
        destination.record_copied_parts(self.writing, dict.fromkeys(damaged, Checksum(-1, 0)))
        names = ", ".join(map(str, damaged))
        raise StoreError(
            f"{names}: changed in the target after being copied. See that nothing else writes there, then"
            " run the same command again: these parts are copied again"
        )

    def _check_source_unchanged(self) -> None:
        """Raise if the source changed since its snapshot.

        A change of bars leaves a trace in one of the smaller tables: every publication in ``ops.publication``, every
        window that left the store or came back in ``ops.bar_window``.
        """
        small = {part: expected for part, expected in self.checksums.items() if not part.table.is_large}
        changed = [str(part) for part, expected in small.items() if checksum(self.reading, part) != expected]
        if changed:
            raise StoreError(
                f"the source changed while it was being copied ({', '.join(changed)}), and the target does not have"
                " that yet. Stop ingestion and schedules, then run the same command again: only what changed is copied"
            )

    def _complete(self) -> None:
        """Have the target's ids go on after the source's, and delete the records of the move."""
        numbered = [(str(table), column) for table in self.tables for column in table.numbered]
        names = {"tables": [table for table, _ in numbered], "columns": [column for _, column in numbered]}
        last = [number for (number,) in self.reading.execute(query("ops/last_numbers"), names)]
        self.writing.execute(query("ops/set_numbers"), names | {"last": last})
        self.writing.execute("DROP TABLE ops.move, ops.move_part")

    def _copy_large(self, part: TablePart, recorded: Checksum | None) -> None:
        """Copy a part of a large table in a transaction of its own, unless it is there as it is in the source."""
        if recorded and checksum(self.reading, part) == recorded:
            self._keep(part, recorded)
            return
        with name_part_in_errors(part), self.writing.transaction():
            if recorded:
                delete_part(self.writing, part)
            copied = self._copy(part)
            destination.record_copied_parts(self.writing, {part: copied})
        self._count_copied(part, copied)

    def _copy_small(self, parts: Sequence[TablePart], recorded: Mapping[TablePart, Checksum]) -> None:
        """Copy the tables that refer to each other: all of them in one transaction, or none."""
        if all(part in recorded and checksum(self.reading, part) == recorded[part] for part in parts):
            for part in parts:
                self._keep(part, recorded[part])
            return
        with self.writing.transaction():
            for part in reversed(parts):
                if part in recorded or str(part.table) in destination.SEEDED:
                    delete_part(self.writing, part)
            copied = {part: self._copy(part) for part in parts}
            destination.record_copied_parts(self.writing, copied)
        for part, checksum_of_part in copied.items():
            self._count_copied(part, checksum_of_part)

    def _copy(self, part: TablePart) -> Checksum:
        self.listener.copying(part)
        with name_part_in_errors(part):
            return copy_part(self.reading, self.writing, self.edition, part)

    def _keep(self, part: TablePart, recorded: Checksum) -> None:
        self.checksums[part] = recorded
        self.listener.kept(part)

    def _count_copied(self, part: TablePart, copied: Checksum) -> None:
        self.checksums[part] = copied
        self.copied_parts += 1
        self.copied_rows += copied.rows
        self.listener.copied(part, copied.rows)

    def _verify(self, part: TablePart, expected: Checksum) -> bool:
        if checksum(self.writing, part) != expected:
            return False
        self.listener.verified(part)
        return True

    def _verify_totals(self) -> None:
        """Raise if a table holds rows outside all parts."""
        for table, present in zip(self.tables, count_rows(self.writing, self.tables), strict=True):
            expected = sum(checksum.rows for part, checksum in self.checksums.items() if part.table == table)
            if present != expected:
                strange = counted(present - expected, "row in the target that is", "rows in the target that are")
                raise StoreError(
                    f"{table} has {strange} not of the source: something else"
                    " wrote there. Drop the target database and move again"
                )


def _compare(reading: psycopg.Connection, writing: psycopg.Connection, listener: MoveListener) -> MoveReport:
    """Return what both sides hold; raise where it is not the same."""
    if current_revision(writing) == REVISION:
        tables = destination.check_tables(reading, writing)
        # The smaller tables first: a difference is soon found there.
        parts = list_parts(reading, tables)[::-1]
        rows = sum(part.rows for part in parts)
        listener.planned(len(parts), rows)
        is_same = all(_is_same(reading, writing, part, listener) for part in parts)
        if is_same and sum(count_rows(writing, tables)) == rows:
            return MoveReport(len(parts), rows, copied_parts=0, copied_rows=0)
    names = ", ".join(map(str, destination.list_filled_tables(writing)))
    raise UsageError(
        f"the target holds something else already ({names}), and was not touched; name an empty database, or one that"
        " does not exist yet"
    )


def _is_same(reading: psycopg.Connection, writing: psycopg.Connection, part: TablePart, listener: MoveListener) -> bool:
    expected = checksum(reading, part)
    if checksum(writing, part) != expected:
        return False
    listener.verified(part)
    return True
