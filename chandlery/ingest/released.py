"""Marks which bars broke a rule of the gate and are published because a person released them.

Not here: releasing (``release``), and reading the marks (``reading.released``).
"""

from __future__ import annotations

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query


def mark_released_bars(
    connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int, rows: pa.Table
) -> None:
    """Mark the bars of ``rows`` that broke a rule of their own, in the transaction that published them. Idempotent.

    The mark belongs to the value: it does not follow when the provider sends another.

    Args:
        connection: to the market database.
        timeframe: of the bars.
        instrument_id: number of their instrument.
        rows: those that were published, schema ``gate.DECIDED_AGAIN``, each with the entry that was released.
    """
    bad = rows.filter(pc.greater(pc.list_value_length(rows["reasons"]), 0))
    if not bad.num_rows:
        return
    connection.execute(
        query("ingest/mark_released_bars", bars=sql.Identifier("market", timeframe.table)),
        {
            "timeframe": timeframe.value,
            "instrument_id": instrument_id,
            "entries": bad["quarantine_id"].to_pylist(),
            "ts": bad["ts"].to_pylist(),
            "broken": [",".join(reasons) for reasons in bad["reasons"].to_pylist()],
        },
    )
