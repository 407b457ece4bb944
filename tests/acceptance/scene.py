"""A database and files in which one operation is cut short again and again, and how they are looked at.

Not here: the operations (``operations``), and who cuts them short, and when (``test_every_kill``).
"""

from __future__ import annotations

import hashlib
import re
import select
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from tests.acceptance import operations
from tests.acceptance.operations import OPERATIONS, Place
from tests.servers.postgres_proxy import Link, Message, PostgresProxy
from tests.support import wait_until, wait_until_alone

#: Columns that a clock of the server writes: whether there is a time counts, not which.
CLOCKS = frozenset({"noted_at", "written_at", "verified_at", "retired_at", "deleted_at", "processed_at", "arrived_at"})
#: Columns that hold, or depend on, what is drawn by lot.
DRAWN = frozenset({"ops.landing.path", "ops.landing.checksum", "ops.landing.writer"})
#: Hello, a query, a flush, a sync, the end of a COPY, goodbye.
_HANDING_OVER = frozenset({b"", b"Q", b"H", b"S", b"c", b"X"})

_COLUMNS = """
    SELECT format('%I.%I', nspname, relname), attname, attidentity <> ''
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace JOIN pg_attribute ON attrelid = c.oid
    WHERE nspname IN ('market', 'ops') AND relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0
        AND NOT attisdropped AND attgenerated = ''
    ORDER BY 1, attnum
"""
_RELATIONS = """
    SELECT format('%I.%I', nspname, relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname IN ('market', 'ops') AND relkind IN ('r', 'p')
"""


class Scene:
    """A database and files in which one operation is cut short again and again.

    Attributes:
        operation: which.
        dsn: connection string of the database.
        root: folder of the files.
        proxy: by way of which the operation reaches the database.
        states: the tables in each state through which an undisturbed run goes, in order.
        commits: how often the client had handed over to the server when each of ``states`` was reached.
        messages: how often it does in all.
        files_before: the files before it.
        files_after: the same afterwards.
        completed: states of tables and files from which a next run went on to the end.
    """

    def __init__(self, admin: str, name: str, root: Path) -> None:
        self.name, self.operation, self.root = name, OPERATIONS[name], root
        self._admin = admin
        self._before = root.with_name(f"{root.name}-before")
        self.dsn = conninfo.make_conninfo(admin, dbname="scene")
        self._make("before", "original")
        self._names = ["scene", "before"]
        if self.operation.is_move:
            self._names.append("source")
            self._make("source", "original")
        first = Place.open(conninfo.make_conninfo(admin, dbname=self._names[-1]), self._before)
        operations.prepare(first, name)
        first.warehouse.close()
        self._before.mkdir(exist_ok=True)
        self._watcher: psycopg.Connection | None = None
        self._texts: dict[str, str] = {}
        self._make("scene", "before")
        self._keep_rows()
        self._renew_files()
        self.proxy = PostgresProxy(self.dsn)

    def reset(self) -> None:
        """Let everything be as before the operation."""
        if self.operation.changes_columns or not self._restore_rows():
            self.stop_watching()
            self._make("scene", "before")
            self._keep_rows()
        self._renew_files()
        self.number_as_before()

    def drop(self) -> None:
        """Drop the databases."""
        self.stop_watching()
        with psycopg.connect(self._admin, autocommit=True) as connection:
            for name in self._names:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def observe(self) -> None:
        """Carry the operation out undisturbed, and remember the states that it goes through; begin anew."""
        self.states, self.commits, self.messages = [self.tables()], [0], 0
        self.files_before = self.files()
        self.completed: set[str] = set()

        def look(message: Message, link: Link) -> bool:
            self.messages += hands_over(message, link)
            if message.is_idle and (now := self.tables()) != self.states[-1]:
                self.states.append(now)
                self.commits.append(self.messages)
            return False

        self.proxy.arm(look)
        self.act(self.proxy.dsn)
        self.proxy.disarm()
        self.proxy.wait_until_alone()
        if (now := self.tables()) != self.states[-1]:  # what the last message told, the client may have read first
            self.states.append(now)
            self.commits.append(self.messages)
        assert len(self.states) == self.operation.states, self.differences()
        self.files_after = self.files()
        self.reset()

    def act(self, dsn: str) -> None:
        """Carry the operation out in this process."""
        place = Place.open(dsn, self.root)
        with place.warehouse.database:
            self.operation.act(place)

    def tables(self) -> dict[str, str]:
        """Return a digest of the rows of each table."""
        return dict(self._watching().execute(self._remember(self._question)).fetchall())  # type: ignore[arg-type]

    def state(self) -> str:
        """Return what tells this state of tables and files from others."""
        return repr((self.tables(), self.files()))

    def differences(self) -> list[list[str]]:
        """Return by which tables each state differs from the one before."""
        pairs = zip(self.states, self.states[1:], strict=False)
        return [[name for name in after if after[name] != before.get(name)] for before, after in pairs]

    def files(self) -> dict[str, str]:
        """Return a digest of each file, those under temporary names too; of what was drawn by lot, nothing."""
        found = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {
            re.sub("[0-9a-f]{12}[.]parquet$", f"{number}.parquet", str(path.relative_to(self.root))): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_relative_to(self.root / "lake") else ""
            )
            for number, path in enumerate(found)
        }

    def number_as_before(self) -> None:
        """Let the next numbers be those that an undisturbed run would get: a kill may leave gaps in them."""
        self._watching().execute(self._remember(self._numbering))  # type: ignore[arg-type]

    def wait_until_restarted(self) -> None:
        """Wait until the server has ended all connections, and answers again."""
        select.select([self._watching()], [], [])

        def answers() -> bool:
            self.stop_watching()
            with suppress(psycopg.OperationalError):
                self._watching()
            return self._watcher is not None

        wait_until(answers, "the server answers")

    def wait_until_alone(self) -> None:
        """Wait until no other client is connected."""
        wait_until_alone(self._watching())

    def stop_watching(self) -> None:
        """Close the connection by which the database is looked at."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = None

    def _watching(self) -> psycopg.Connection:
        if self._watcher is None:
            self._watcher = psycopg.connect(self.dsn, autocommit=True, options="-c timezone=UTC")
        return self._watcher

    def _remember(self, make: Callable[[], str]) -> str:
        """Return a query about all tables, made once if they stay the same."""
        if self.operation.changes_columns or self.operation.is_move:
            return make()
        name = make.__name__
        if name not in self._texts:
            self._texts[name] = make()
        return self._texts[name]

    def _numbering(self) -> str:
        """Return a query that has each numbered column go on after its highest number."""
        settings = [
            f"setval(pg_get_serial_sequence('{table}', '{column}'),"
            f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            for table, column, is_numbered in self._watching().execute(_COLUMNS)
            if is_numbered
        ]
        return f"SELECT {', '.join(settings)}"

    def _question(self) -> str:
        """Return a query for the digest of each table that there is."""
        tables: dict[str, list[str]] = {}
        for table, column, _ in self._watching().execute(_COLUMNS):
            if f"{table}.{column}" not in DRAWN:
                is_clock = column in CLOCKS | self.operation.clocks
                tables.setdefault(table, []).append(f"t.{column} IS NULL" if is_clock else f"t.{column}")
        return " UNION ALL ".join(
            f"SELECT '{table}', md5(string_agg(r, '|' ORDER BY r)) FROM"
            f" (SELECT row({', '.join(names)})::text AS r FROM {table} AS t) AS rows"
            for table, names in tables.items()
        )

    def _keep_rows(self) -> None:
        """Keep a copy of every table's rows, in a schema of which the product knows nothing."""
        connection = self._watching()
        self._relations = {name for (name,) in connection.execute(_RELATIONS)}
        columns: dict[str, list[str]] = {}
        for table, column, _ in connection.execute(_COLUMNS):
            columns.setdefault(table, []).append(column)
        copies = {table: f"kept.{table.replace('.', '_')}" for table in columns}
        statements = [f"CREATE TABLE {copy} AS SELECT * FROM {table}" for table, copy in copies.items()]
        connection.execute("; ".join(["CREATE SCHEMA kept", *statements]))  # type: ignore[arg-type]
        self._restoring = "; ".join(
            f"DELETE FROM {table}; INSERT INTO {table} ({', '.join(names)}) OVERRIDING SYSTEM VALUE"
            f" SELECT {', '.join(names)} FROM {copies[table]}"
            for table, names in columns.items()
        )

    def _restore_rows(self) -> bool:
        """Restore every table's rows, and drop tables that were not there; return False where one is missing."""
        connection = self._watching()
        present = {name for (name,) in connection.execute(_RELATIONS)}
        if not present >= self._relations:
            return False
        dropped = [f"DROP TABLE IF EXISTS {name}" for name in present - self._relations]
        statements = ["BEGIN", "SET LOCAL session_replication_role = replica", *dropped, self._restoring, "COMMIT"]
        connection.execute("; ".join(statements))  # type: ignore[arg-type]
        return True

    def _renew_files(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._before, self.root)

    def _make(self, name: str, template: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )


def hands_over(message: Message, link: Link) -> bool:
    """Return whether the client hands over to the server by ``message``, and waits, or says hello or goodbye."""
    return message.side == "client" and message.kind in _HANDING_OVER and link.database == "scene"
