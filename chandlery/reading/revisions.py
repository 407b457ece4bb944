"""What was believed before: bars that were restated, with every value they ever had.

Not here: reading all bars as of one time (``api``), and how a revision comes about (``store.publish``).
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
from psycopg import sql

from chandlery.bars.read import Span
from chandlery.core.schema import TS, VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.reading.planner import read_cold_revisions
from chandlery.tiers.warehouse import Warehouse

#: One believed value of a bar. ``superseded_at`` is null for the present one.
REVISIONS = pa.schema(
    [
        ("ts", TS),
        ("known_at", TS),
        ("superseded_at", TS),
        *((name, pa.int32() if name == "trades" else pa.float64()) for name in VALUES),
        ("source", pa.string()),
    ]
)


def read_revisions(
    warehouse: Warehouse, instrument_id: int, timeframe: Timeframe, start: datetime, end: datetime
) -> pa.Table:
    """Return every value of each bar that starts in ``[start, end)``, UTC, and was restated at least once.

    Returns:
        Table of schema ``REVISIONS``, sorted by ``ts`` and ``known_at``: a value was believed from ``known_at`` until
        ``superseded_at`` (exclusive).
    """
    statement = query(
        "reading/read_revisions",
        bars=sql.Identifier("market", timeframe.table),
        timeframe=timeframe.value,
        instrument_id=instrument_id,
        first=start,
        last=end,
    )
    with warehouse.connection() as connection:
        rows = connection.execute(statement).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(REVISIONS)
    stored = [pa.array(values, field.type) for values, field in zip(columns, REVISIONS, strict=True)]
    archived = read_cold_revisions(warehouse, timeframe, Span(instrument_id, start, end)).select(REVISIONS.names)
    return pa.concat_tables([pa.table(stored, REVISIONS), archived.cast(REVISIONS)]).sort_by(
        [("ts", "ascending"), ("known_at", "ascending")]
    )
