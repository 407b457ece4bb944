"""Reading bars from the store to Arrow, as they are now or as they were believed at any time.

ADBC carries the rows, because it sits on the wire's own speed limit. Not here: bars that left the store for the lake
(``chandlery.reading.planner`` unites both).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from chandlery.bars.sources import source_names
from chandlery.core.schema import READ, SUPERSEDED
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.named_queries import query

#: What the tables call it.
_STORED = {"symbol": "instrument_id"}


@dataclass(frozen=True, slots=True)
class Span:
    """Bars of one instrument that start in ``[start, end)``, UTC."""

    instrument_id: int
    start: datetime
    end: datetime


def read_stored(
    database: Database,
    timeframe: Timeframe,
    spans: Sequence[Span],
    names: Mapping[int, str],
    *,
    as_of: datetime | None = None,
    columns: Sequence[str] = READ.names,
) -> pa.Table:
    """Return the bars of ``spans`` that are in the store, sorted by (instrument_id, ts).

    Args:
        database: where they are.
        timeframe: of the bars.
        spans: disjoint where they are of the same instrument.
        names: the symbol to show for each instrument.
        as_of: return what was believed at that time, UTC: a row's values of then, and no row that was not yet known.
        columns: of ``READ``, in its order, ``symbol`` and ``ts`` among them; no others travel.

    Returns:
        Table of these columns of schema ``READ``.
    """
    schema = pa.schema([READ.field(name) for name in columns])
    if not spans:
        return schema.empty_table()
    first, last = min(span.start for span in spans), max(span.end for span in spans)
    owners = {span.instrument_id for span in spans}
    # Of a single instrument, its number need not travel with each bar.
    sent = [name for name in columns if name != "symbol" or len(owners) > 1 or as_of is not None]
    parts: dict[str, sql.Composable] = {
        "columns": sql.SQL(", ").join(sql.Identifier("b", _STORED.get(name, name)) for name in sent),
        "bars": sql.Identifier("market", timeframe.table),
        "first": sql.Literal(first),
        "last": sql.Literal(last),
        "wanted": _wanted(spans),
    }
    if as_of is None:
        statement = query("bars/read_bars", **parts)
        shown = {owner: names[owner] for owner in owners}
        return _named(database, database.fetch_arrow(statement), shown, schema)
    parts |= {"as_of": sql.Literal(as_of), "timeframe": sql.Literal(timeframe.value)}
    rows = database.fetch_arrow(query("bars/read_bars_as_of", **parts))
    return by_key(rows["instrument_id"].to_numpy(), _named(database, rows, names, schema))


def read_stored_revisions(
    database: Database, timeframe: Timeframe, spans: Sequence[Span], names: Mapping[int, str]
) -> pa.Table:
    """Return the earlier values of restated bars of ``spans`` that are in the store, sorted by key.

    Returns:
        Table of schema ``SUPERSEDED``.
    """
    if not spans:
        return SUPERSEDED.empty_table()
    statement = query(
        "bars/read_superseded",
        first=min(span.start for span in spans),
        last=max(span.end for span in spans),
        wanted=_wanted(spans),
        timeframe=timeframe.value,
    )
    rows = database.fetch_arrow(statement)
    return _named(database, rows, names, SUPERSEDED)


def by_key(owner: npt.NDArray[np.integer], table: pa.Table) -> pa.Table:
    """Return ``table``, whose rows are of the instruments ``owner``, sorted by (instrument_id, ts)."""
    ts = table["ts"].to_numpy()
    later = (owner[1:] > owner[:-1]) | ((owner[1:] == owner[:-1]) & (ts[1:] > ts[:-1]))
    return table if later.all() else table.take(pa.array(np.lexsort((ts, owner))))


def _wanted(spans: Sequence[Span]) -> sql.Composable:
    """Return the condition on ``b`` that picks ``spans``: simple where all want the same ranges, to plan well."""
    ranges: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for span in spans:
        ranges[span.instrument_id].append((span.start, span.end))
    ids = sorted(ranges)
    shared = sorted(ranges[ids[0]])
    if all(sorted(mine) == shared for mine in ranges.values()):
        wanted = sql.SQL("b.instrument_id = ANY({}::int4[])").format(sql.Literal(ids))
        if len(ids) == 1:
            wanted = sql.SQL("b.instrument_id = {}").format(sql.Literal(ids[0]))
        if len(shared) == 1:
            return wanted
        pieces = ",".join(f"[{start.isoformat()},{end.isoformat()})" for start, end in shared)
        return sql.SQL("{} AND b.ts <@ {}::tstzmultirange").format(wanted, sql.Literal(f"{{{pieces}}}"))
    return sql.SQL(
        "EXISTS (SELECT FROM unnest({}::int4[], {}::timestamptz[], {}::timestamptz[]) AS w (id, start, stop)"
        " WHERE w.id = b.instrument_id AND b.ts >= w.start AND b.ts < w.stop) AND b.instrument_id = ANY({}::int4[])"
    ).format(
        sql.Literal([span.instrument_id for span in spans]),
        sql.Literal([span.start for span in spans]),
        sql.Literal([span.end for span in spans]),
        sql.Literal(ids),
    )


def _named(database: Database, rows: pa.Table, names: Mapping[int, str], schema: pa.Schema) -> pa.Table:
    """Return ``rows`` as a table of ``schema``, with names for ids; without ids, all bear the only name."""
    columns = []
    for field in schema:
        if field.name == "symbol" and "instrument_id" not in rows.column_names:
            columns.append(_repeated(names, rows.num_rows))
            continue
        column = rows[_STORED.get(field.name, field.name)]
        if field.name == "symbol":
            columns.append(_decode(column, names))
        elif field.name == "source":
            columns.append(_decode(column, source_names(database, column)))
        else:
            columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def _repeated(names: Mapping[int, str], count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(names.values(), pa.string()))


def _decode(ids: pa.ChunkedArray, names: Mapping[int, str]) -> pa.DictionaryArray:
    known = np.array(sorted(names), np.int64)
    codes = np.searchsorted(known, ids.to_numpy())
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array([names[int(key)] for key in known], pa.string())
    )
