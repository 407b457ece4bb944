"""Reading bars from the store to Arrow, as they are now or as they were believed at any time.

ADBC carries the rows, because it sits on the wire's own speed limit. Not here: reading within a transaction
(``read_arrays``), and bars that left the store for the lake (``lake.read``; ``reading`` unites both).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from psycopg import sql

from chandlery.bars.sources import source_names
from chandlery.core.arrow import empty_table, number_array, numpy_of, text_array
from chandlery.core.schema import STORED, SUPERSEDED
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.database.connections import Database, Snapshot
from chandlery.database.named_queries import query


@dataclass(frozen=True, slots=True)
class BarRange:
    """The bars of one instrument that start in ``[start, end)``, UTC."""

    instrument_id: int
    start: datetime
    end: datetime


def read_stored(
    database: Database,
    timeframe: Timeframe,
    ranges: Sequence[BarRange],
    *,
    as_of: datetime | None = None,
    columns: Sequence[str] = STORED.names,
    snapshot: Snapshot | None = None,
) -> pa.Table:
    """Return the bars of ``ranges`` that are in the store, sorted by (instrument_id, ts).

    Args:
        database: where they are.
        timeframe: of the bars.
        ranges: disjoint where they are of the same instrument.
        as_of: return what was believed at that time, UTC: a row's values of then, and no row that was not yet known.
        columns: of ``STORED``, in its order, ``instrument_id`` and ``ts`` among them; no others travel.
        snapshot: the state of the database to read; by default, that at the beginning of the read.

    Returns:
        Table of these columns of schema ``STORED``.
    """
    schema = pa.schema([STORED.field(name) for name in columns])
    if not ranges:
        return empty_table(schema)
    ids = {requested.instrument_id for requested in ranges}
    # Of a single instrument, its id need not travel with each bar.
    sent = [name for name in columns if name != "instrument_id" or len(ids) > 1]
    parts: dict[str, object] = {
        "columns": sql.SQL(", ").join(sql.Identifier("b", name) for name in sent),
        "bars": sql.Identifier("market", timeframe.table),
        "first": min(requested.start for requested in ranges),
        "last": max(requested.end for requested in ranges),
        "condition": _within(ranges),
    }
    if as_of is None:
        present = database.fetch_arrow(query("bars/read_bars", **parts), snapshot=snapshot)
        return _to_schema(database, present, schema, ids)
    statement = query("bars/read_bars_as_of", **parts, as_of=as_of, timeframe=timeframe.value)
    return sort_by_key(_to_schema(database, database.fetch_arrow(statement, snapshot=snapshot), schema, ids))


def read_stored_revisions(database: Database, timeframe: Timeframe, ranges: Sequence[BarRange]) -> pa.Table:
    """Return the earlier values of restated bars of ``ranges`` that are in the store, sorted by key.

    Returns:
        Table of schema ``SUPERSEDED``.
    """
    if not ranges:
        return empty_table(SUPERSEDED)
    statement = query(
        "bars/read_superseded",
        first=min(requested.start for requested in ranges),
        last=max(requested.end for requested in ranges),
        condition=_within(ranges),
        timeframe=timeframe.value,
    )
    return _to_schema(database, database.fetch_arrow(statement), SUPERSEDED)


def read_newest(database: Database, timeframe: Timeframe, ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
    """Return the newest bar in the store of each instrument that has any there, sorted by instrument.

    Args:
        database: where they are.
        timeframe: of the bars.
        ids: whose; thousands are looked up in one statement.
        columns: as of ``read_stored``.
    """
    statement = query(
        "bars/newest_bars",
        columns=sql.SQL(", ").join(sql.Identifier("b", name) for name in columns),
        bars=sql.Identifier("market", timeframe.table),
        ids=f"{{{','.join(map(str, ids))}}}",  # a list takes ten times as long to write
        last=EVER[1],
    )
    schema = pa.schema([STORED.field(name) for name in columns])
    return _to_schema(database, database.fetch_arrow(statement), schema)


def sort_by_key(table: pa.Table) -> pa.Table:
    """Return ``table`` sorted by (instrument_id, ts)."""
    ids, ts = numpy_of(table["instrument_id"]), numpy_of(table["ts"])
    ascending = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
    return table if ascending.all() else table.take(number_array(np.lexsort((ts, ids))))


def _within(ranges: Sequence[BarRange]) -> sql.Composable:
    """Return the condition that ``b`` lies in ``ranges``; a simple one, to plan well, if instruments share them."""
    by_instrument: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for requested in ranges:
        by_instrument[requested.instrument_id].append((requested.start, requested.end))
    ids = sorted(by_instrument)
    shared = sorted(by_instrument[ids[0]])
    if all(sorted(each) == shared for each in by_instrument.values()):
        of_instruments = sql.SQL("b.instrument_id = ANY({}::int4[])").format(sql.Literal(ids))
        if len(ids) == 1:
            of_instruments = sql.SQL("b.instrument_id = {}").format(sql.Literal(ids[0]))
        if len(shared) == 1:
            return of_instruments
        pieces = ",".join(f"[{start.isoformat()},{end.isoformat()})" for start, end in shared)
        return sql.SQL("{} AND b.ts <@ {}::tstzmultirange").format(of_instruments, sql.Literal(f"{{{pieces}}}"))
    return sql.SQL(
        "EXISTS (SELECT FROM unnest({}::int4[], {}::timestamptz[], {}::timestamptz[]) AS r (id, first, after)"
        " WHERE r.id = b.instrument_id AND b.ts >= r.first AND b.ts < r.after) AND b.instrument_id = ANY({}::int4[])"
    ).format(
        sql.Literal([requested.instrument_id for requested in ranges]),
        sql.Literal([requested.start for requested in ranges]),
        sql.Literal([requested.end for requested in ranges]),
        sql.Literal(ids),
    )


def _to_schema(database: Database, rows: pa.Table, schema: pa.Schema, ids: Collection[int] = ()) -> pa.Table:
    """Return ``rows`` as a table of ``schema``; without ``instrument_id``, they are of the only one of ``ids``."""
    columns = []
    for field in schema:
        if field.name == "instrument_id" and field.name not in rows.column_names:
            (instrument_id,) = ids
            columns.append(number_array(np.full(rows.num_rows, instrument_id, np.int32)))
        elif field.name == "source":
            columns.append(decode_sources(rows["source"], source_names(database, rows["source"])))
        else:
            column = rows[field.name]
            columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def decode_sources(ids: pa.Array | pa.ChunkedArray, names: Mapping[int, str]) -> pa.DictionaryArray:
    """Return the sources of these ids (int2) by ``names``, which holds all of them."""
    known = np.array(sorted(names), np.int64)
    codes = np.searchsorted(known, numpy_of(ids)).astype(np.int32)
    return pa.DictionaryArray.from_arrays(number_array(codes), text_array(names[int(key)] for key in known))
