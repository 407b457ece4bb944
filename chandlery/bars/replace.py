"""Putting bars that come back from the lake, and their earlier values, in place of what the store still holds of them.

Not here: incoming bars, which are merged (``merge``), and the rest of the transaction (``tiers``).
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.bars.rows import column_of
from chandlery.bars.sources import source_ids
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query


def replace_range(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instrument_id: int,
    span: tuple[datetime, datetime],
    *,
    bars: pa.Table,
    revisions: pa.Table,
) -> None:
    """Have the store hold exactly these bars and earlier values of one instrument in a range, as they are.

    Part of the caller's transaction, which holds the instrument's lock. Rows travel as arrays, because COPY cannot be
    sent together with other statements.

    Args:
        connection: in that transaction.
        timeframe: of the bars.
        instrument_id: whose.
        span: ``[start, end)``, UTC.
        bars: columns ``ts``, those of ``VALUES``, ``source`` and ``known_at``; unique by ``ts``.
        revisions: the same and ``superseded_at``.
    """
    start, end = span
    table = sql.Identifier("market", timeframe.table)
    delete_bars(connection, timeframe, instrument_id, start, end)
    delete_revisions(connection, timeframe, instrument_id, start, end)
    fixed: dict[str, object] = {"instrument_id": instrument_id}
    if bars.num_rows:
        connection.execute(query("bars/put_bars", bars=table), fixed | _arrays(connection, bars), prepare=False)
    if revisions.num_rows:
        fixed["timeframe"] = timeframe.value
        superseded: dict[str, object] = {"superseded_at": column_of(revisions["superseded_at"])}
        values = fixed | _arrays(connection, revisions) | superseded
        connection.execute(query("bars/put_revisions"), values, prepare=False)


def delete_bars(
    connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int, start: datetime, end: datetime
) -> None:
    """Delete one instrument's bars in ``[start, end)``, UTC, from the store; the lake holds them."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE instrument_id = %(instrument_id)s AND ts >= %(start)s AND ts < %(end)s").format(
            sql.Identifier("market", timeframe.table)
        ),
        {"instrument_id": instrument_id, "start": start, "end": end},
    )


def delete_revisions(
    connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int, start: datetime, end: datetime
) -> None:
    """Delete the earlier values of one instrument's bars in ``[start, end)``, UTC, which the lake holds."""
    connection.execute(
        "DELETE FROM market.bars_revision WHERE timeframe = %(timeframe)s AND instrument_id = %(instrument_id)s"
        " AND ts >= %(start)s AND ts < %(end)s",
        {"timeframe": timeframe.value, "instrument_id": instrument_id, "start": start, "end": end},
    )


def _arrays(connection: psycopg.Connection, bars: pa.Table) -> dict[str, object]:
    """Return the columns that bars and revisions have in common, ready for the wire."""
    source = bars["source"].combine_chunks()
    ids = np.array(source_ids(connection, source.dictionary.to_pylist()), np.int16)
    columns: dict[str, object] = {name: column_of(bars[name]) for name in ("ts", *VALUES, "known_at")}
    return columns | {"source": Column(ids[source.indices.to_numpy()])}
