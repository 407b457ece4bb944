"""Which of the bars that were read broke a rule of the gate, and are there because a person released them.

Not here: releasing (``ingest.release``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TypeAlias

import psycopg
import pyarrow as pa

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query

#: Instrument, start and ``known_at`` of each value that a person released.
Released: TypeAlias = set[tuple[int, datetime, datetime]]
#: The column that says so.
RELEASED = "released"
#: The columns that have to be read for it.
NEEDED = ("known_at",)


def released_bars(
    connection: psycopg.Connection, timeframe: Timeframe, ids: Collection[int], start: datetime, end: datetime
) -> Released | None:
    """Return which values a person released in ``[start, end)``, UTC; None of derived bars, where nobody knows."""
    if not timeframe.is_ingested:
        return None
    values = {"timeframe": timeframe.value, "ids": list(ids), "start": start, "end": end}
    rows = connection.execute(query("reading/released_bars"), values).fetchall()
    return {(owner, ts, known_at) for owner, ts, known_at in rows}


def released_column(bars: pa.Table, released: Released | None) -> pa.Array:
    """Return for each of ``bars`` whether its value is one of ``released``; null where that is not known."""
    if not released:
        return pa.repeat(pa.scalar(None if released is None else False, pa.bool_()), bars.num_rows)
    keys = zip(*(bars[name].to_pylist() for name in ("instrument_id", "ts", "known_at")), strict=True)
    return pa.array([key in released for key in keys], pa.bool_())
