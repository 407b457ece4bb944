"""The views of the continuous aggregates: their names, what each is made from, and which there are.

Each is two: one to read, whose comment tells what it was made from, and what the server keeps. Not here: what they are
for, and bringing them up to date (``aggregates``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import psycopg
from psycopg import sql

from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.database.named_queries import query

#: Timeframes that can have an aggregate, narrowest first.
CHOICES = derived_from(Timeframe.M1)


def define_views(connection: psycopg.Connection, timeframes: Sequence[Timeframe]) -> list[Timeframe]:
    """Make the views of ``timeframes``, drop all others, and return those that are new, and so empty; narrowest first.

    What was made from another base than it would be now, or from one that is new, is made anew.

    Args:
        connection: in a transaction, of the role that owns the schema.
        timeframes: of ``CHOICES``, narrowest first.
    """
    there = _comments(connection)
    new: list[Timeframe] = []
    for timeframe in timeframes:
        base = _base_of(timeframe, timeframes)
        if base in new or there.get(timeframe) != _comment(timeframe, base):
            new.append(timeframe)
    for timeframe in reversed(CHOICES):
        if timeframe in there and (timeframe in new or timeframe not in timeframes):
            connection.execute(_DROP.format(view=_view(timeframe), kept=kept_view(timeframe)))
    for timeframe in new:
        _create(connection, timeframe, _base_of(timeframe, timeframes))
    return new


def list_aggregates(connection: psycopg.Connection) -> tuple[Timeframe, ...]:
    """Return the timeframes that have an aggregate, narrowest first."""
    return tuple(_comments(connection))


def kept_view(timeframe: Timeframe) -> sql.Identifier:
    """Return the name of what the server keeps for a timeframe."""
    return sql.Identifier("market", f"aggregate_{timeframe.value}_kept")


def extension_function(connection: psycopg.Connection, name: str) -> sql.Identifier:
    """Return a function of the extension's, which may be in any schema."""
    row = connection.execute(
        "SELECT nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = extnamespace"
        " WHERE extname = 'timescaledb'"
    ).fetchone()
    return sql.Identifier(str(row[0]) if row else "public", name)


def _base_of(timeframe: Timeframe, timeframes: Sequence[Timeframe]) -> Timeframe:
    """Return what an aggregate is made from: the widest of the others that divides it, or minute bars."""
    narrower = [
        base for base in timeframes if base.rank < timeframe.rank and timeframe.microseconds % base.microseconds == 0
    ]
    return narrower[-1] if narrower else Timeframe.M1


def _create(connection: psycopg.Connection, timeframe: Timeframe, base: Timeframe) -> None:
    from_bars = base is Timeframe.M1
    statement = query(
        "rollups/aggregate_of_bars" if from_bars else "rollups/aggregate_of_aggregate",
        kept=kept_view(timeframe),
        base=sql.Identifier("market", base.table) if from_bars else kept_view(base),
        width=timedelta(microseconds=timeframe.microseconds),
        first=extension_function(connection, "first"),
        last=extension_function(connection, "last"),
        time_bucket=extension_function(connection, "time_bucket"),
    )
    connection.execute(statement)
    connection.execute(query("rollups/aggregate_view", view=_view(timeframe), kept=kept_view(timeframe)))
    connection.execute(
        sql.SQL("COMMENT ON VIEW {} IS {}").format(_view(timeframe), sql.Literal(_comment(timeframe, base)))
    )


def _comments(connection: psycopg.Connection) -> dict[Timeframe, str]:
    """Return the comment of each aggregate's view, narrowest first; what it was made from can be told by it."""
    rows = connection.execute(
        "SELECT relname, coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class"
        " WHERE relnamespace = 'market'::regnamespace AND relkind = 'v' AND relname = ANY(%s)",
        ([f"aggregate_{timeframe.value}" for timeframe in CHOICES],),
    ).fetchall()
    found: dict[str, str] = dict(rows)
    return {tf: found[f"aggregate_{tf.value}"] for tf in CHOICES if f"aggregate_{tf.value}" in found}


def _comment(timeframe: Timeframe, base: Timeframe) -> str:
    return f"{timeframe.value} bars as a continuous aggregate of {base.value}; without revisions"


def _view(timeframe: Timeframe) -> sql.Identifier:
    return sql.Identifier("market", f"aggregate_{timeframe.value}")


_DROP = sql.SQL("DROP VIEW {view}; DROP MATERIALIZED VIEW {kept}")
