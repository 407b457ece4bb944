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
from chandlery.ingest.quarantine import QuarantineEntry


def mark_released_bars(connection: psycopg.Connection, entry: QuarantineEntry, rows: pa.Table) -> None:
    """Mark the bars of ``rows`` that broke a rule of their own, in the transaction that published them. Idempotent.

    The mark belongs to the value: it does not follow when the provider sends another.

    Args:
        connection: to the market database.
        entry: that was released.
        rows: those of its rows that were published, schema ``gate.REJECTED``.
    """
    bad = rows.filter(pc.greater(pc.list_value_length(rows["reasons"]), 0))
    if not bad.num_rows:
        return
    timeframe = Timeframe(entry.timeframe)
    connection.execute(
        query("ingest/mark_released_bars", bars=sql.Identifier("market", timeframe.table)),
        {
            "timeframe": timeframe.value,
            "instrument_id": entry.instrument_id,
            "quarantine_id": entry.quarantine_id,
            "ts": bad["ts"].to_pylist(),
            "broken": [",".join(reasons) for reasons in bad["reasons"].to_pylist()],
        },
    )
