"""Reading bars from the store to Arrow, as they are now or as they were believed at any time.

ADBC carries the rows, because it sits on the wire's own speed limit. Not here: bars that left the store for the lake
(``chandlery.reader`` unites both).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from psycopg import sql

from chandlery.schema import BARS, TS, VALUES
from chandlery.store.connect import Database
from chandlery.store.queries import query
from chandlery.timeframe import Timeframe

#: What a read returns; ``schema.BARS`` and when each row's values were learned.
READ = BARS.append(pa.field("known_at", TS))
#: An earlier value of a bar, believed from ``known_at`` until ``superseded_at``.
SUPERSEDED = READ.append(pa.field("superseded_at", TS, nullable=False))


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
) -> pa.Table:
    """Return the bars of ``spans`` that are in the store, sorted by (instrument_id, ts).

    Args:
        database: where they are.
        timeframe: of the bars.
        spans: disjoint where they are of the same instrument.
        names: the symbol to show for each instrument.
        as_of: return what was believed at that time, UTC: a row's values of then, and no row that was not yet known.

    Returns:
        Table of schema ``READ``.
    """
    if not spans:
        return READ.empty_table()
    first, last = min(span.start for span in spans), max(span.end for span in spans)
    parts: dict[str, sql.Composable] = {
        "bars": sql.Identifier("market", timeframe.table),
        "first": sql.Literal(first),
        "last": sql.Literal(last),
        "wanted": _wanted(spans),
    }
    if as_of is None:
        statement = query("read_bars").format(**parts)
        return _named(database, database.fetch_arrow(statement), names)
    parts |= {"as_of": sql.Literal(as_of), "timeframe": sql.Literal(timeframe.value)}
    statement = query("read_bars_as_of").format(**parts)
    return _named(database, database.fetch_arrow(statement), names)


def read_stored_revisions(
    database: Database, timeframe: Timeframe, spans: Sequence[Span], names: Mapping[int, str]
) -> pa.Table:
    """Return the earlier values of restated bars of ``spans`` that are in the store, sorted by key.

    Returns:
        Table of schema ``SUPERSEDED``.
    """
    if not spans:
        return SUPERSEDED.empty_table()
    statement = query("read_superseded").format(
        first=sql.Literal(min(span.start for span in spans)),
        last=sql.Literal(max(span.end for span in spans)),
        wanted=_wanted(spans),
        timeframe=sql.Literal(timeframe.value),
    )
    rows = database.fetch_arrow(statement)
    named = _named(database, rows, names)
    return named.append_column(SUPERSEDED.field("superseded_at"), rows["superseded_at"].cast(TS))


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


def _named(database: Database, rows: pa.Table, names: Mapping[int, str]) -> pa.Table:
    """Replace ids by names."""
    sources = database.source_names(rows["source"])
    columns = {
        "symbol": _decode(rows["instrument_id"], names),
        "ts": rows["ts"].cast(TS),
        **{name: rows[name] for name in VALUES},
        "source": _decode(rows["source"], sources),
        "known_at": rows["known_at"].cast(TS),
    }
    return pa.table([columns[name] for name in READ.names], schema=READ)


def _decode(ids: pa.ChunkedArray, names: Mapping[int, str]) -> pa.DictionaryArray:
    known = np.array(sorted(names), np.int64)
    codes = np.searchsorted(known, ids.to_numpy())
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array([names[int(key)] for key in known], pa.string())
    )
