"""What was believed before: bars that were restated, with every value they ever had.

Not here: reading all bars as of one time (``bars``), and how a revision comes about (``publishing``).
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from chandlery.bars.read import BarRange
from chandlery.core.arrow import array_of, empty_table
from chandlery.core.schema import STORED, TS, VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.lake.read import read_entry, read_revisions_of
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.planner import ColdRead, Plan, read_planned
from chandlery.reading.windows import look_at
from chandlery.tiers.warehouse import Warehouse

#: One believed value of a bar. ``superseded_at`` is null for the present one.
REVISIONS = pa.schema(
    [("ts", TS), ("known_at", TS), ("superseded_at", TS), *map(STORED.field, VALUES), ("source", pa.string())]
)


def read_revisions(
    warehouse: Warehouse, instrument_id: int, timeframe: Timeframe, start: datetime, end: datetime
) -> pa.Table:
    """Return every value of each bar that starts in ``[start, end)``, UTC, and was restated at least once.

    Returns:
        Table of schema ``REVISIONS``, sorted by ``ts`` and ``known_at``: a value was believed from ``known_at`` until
        ``superseded_at`` (exclusive).

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    requested = BarRange(instrument_id, start, end)
    state = look_at(warehouse, timeframe, [requested])
    read = partial(_read, warehouse)
    return read_planned(warehouse, state, [requested], read, LakeFiles(), cold_only=True)


def _read(warehouse: Warehouse, plan: Plan) -> pa.Table:
    stored = [_read_stored(warehouse, plan, requested) for requested in plan.hot]
    archived = [_read_cold(warehouse, plan, cold) for cold in plan.cold if cold.entry.revisions is not None]
    table = pa.concat_tables([empty_table(REVISIONS), *stored, *archived])
    return table.sort_by([("ts", "ascending"), ("known_at", "ascending")])


def _read_stored(warehouse: Warehouse, plan: Plan, requested: BarRange) -> pa.Table:
    statement = query(
        "reading/read_revisions",
        bars=sql.Identifier("market", plan.timeframe.table),
        timeframe=plan.timeframe.value,
        instrument_id=requested.instrument_id,
        first=requested.start,
        last=requested.end,
    )
    with plan.connection(warehouse) as connection:
        rows = connection.execute(statement).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(REVISIONS)
    arrays = [array_of(values, field.type) for values, field in zip(columns, REVISIONS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=REVISIONS)


def _read_cold(warehouse: Warehouse, plan: Plan, cold: ColdRead) -> pa.Table:
    """Return every value of the restated bars of one entry."""
    arguments = (warehouse.lake, cold.entry, cold.windows, plan.symbols)
    earlier = read_revisions_of(*arguments, start=cold.start, end=cold.end)
    present = read_entry(*arguments, start=cold.start, end=cold.end)
    restated = present.filter(pc.is_in(present["ts"], earlier["ts"].combine_chunks()))
    believed = restated.append_column("superseded_at", pa.nulls(restated.num_rows, TS))
    return pa.concat_tables([table.select(REVISIONS.names).cast(REVISIONS) for table in (earlier, believed)])
