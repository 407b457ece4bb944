"""Writing bars and their earlier values: the only module that puts rows into the tables of bars.

``write`` merges incoming rows: what is new is inserted, what changed is revised, what is identical stays as it is.
``replace_range`` puts rows that come back from the lake in place of what the store still holds of them. Not here: the
checks before and the bookkeeping after, all in one transaction (``publishing``, ``tiers``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.bars.rows import INCOMING, Rows, column_of, count_windows
from chandlery.bars.sources import source_ids
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column, read_array
from chandlery.database.copy import encode
from chandlery.database.named_queries import query

#: Bars of one instrument that are at most so many of their widths apart are looked up together.
_LARGEST_GAP_IN_SPAN = 60


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """What decides how rows travel.

    Attributes:
        rows_as_arrays: up to this many rows, arrays in one statement are faster than COPY into a staging table.
    """

    rows_as_arrays: int = 1000


DEFAULT_LIMITS = MergeLimits()


@dataclass(frozen=True, slots=True)
class Changes:
    """The bars that a publication inserted or revised, as parallel arrays.

    Attributes:
        instrument_id: whose bar.
        ts: its start, ``datetime64[us]``, UTC.
        revised: True where an earlier value was moved to the revisions, False where the bar is new.
    """

    instrument_id: npt.NDArray[np.int32]
    ts: npt.NDArray[np.datetime64]
    revised: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> Changes:
        """Return no changes."""
        return cls(np.empty(0, np.int32), np.empty(0, "datetime64[us]"), np.empty(0, np.bool_))

    def __len__(self) -> int:
        return len(self.ts)

    def joined(self, other: Changes) -> Changes:
        """Return these changes and ``other``."""
        return Changes(
            np.concatenate([self.instrument_id, other.instrument_id]),
            np.concatenate([self.ts, other.ts]),
            np.concatenate([self.revised, other.revised]),
        )

    def by_window(self, timeframe: Timeframe) -> dict[tuple[int, str], tuple[int, int]]:
        """Return how many bars were inserted and revised in each (instrument, window's key) of ``timeframe``."""
        revised = count_windows(self.instrument_id[self.revised], self.ts[self.revised], timeframe)
        inserted = count_windows(self.instrument_id[~self.revised], self.ts[~self.revised], timeframe)
        return {key: (inserted.get(key, 0), revised.get(key, 0)) for key in inserted | revised}


def write(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    rows: Rows,
    known_at: datetime,
    *,
    derived: Sequence[int] = (),
    limits: MergeLimits = DEFAULT_LIMITS,
) -> Changes:
    """Merge ``rows`` into the table of ``timeframe`` and return what changed.

    Rows of instruments whose range is empty are copied straight in; the others are compared with what is there.

    Args:
        connection: in the publishing transaction, which holds the instruments' locks.
        timeframe: of the rows.
        rows: those to merge; there may be none.
        known_at: of the publication, UTC.
        derived: ids of the sources of days that were rolled up from minutes; see ``identity``.
        limits: decides whether the rows travel as arrays or by COPY.
    """
    if not len(rows):
        return Changes.none()
    if len(rows) <= limits.rows_as_arrays:
        return _merge_few(connection, timeframe, rows, known_at, derived)
    is_occupied = np.isin(rows.ids, _occupied_instruments(connection, timeframe, rows))
    changes = Changes.none()
    if is_occupied.any():
        changes = _merge_many(connection, timeframe, rows.where(is_occupied), known_at, derived)
    if not is_occupied.all():
        new = rows.where(~is_occupied)
        columns = new.columns | {"known_at": Column(np.full(len(new), _us(known_at)))}
        _copy(connection, sql.Identifier("market", timeframe.table), columns)
        changes = changes.joined(Changes(new.ids, new.ts, np.zeros(len(new), np.bool_)))
    return changes


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
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE instrument_id = %(instrument_id)s AND ts >= %(start)s AND ts < %(end)s").format(
            table
        ),
        {"instrument_id": instrument_id, "start": start, "end": end},
    )
    delete_revisions(connection, timeframe, instrument_id, start, end)
    fixed: dict[str, object] = {"instrument_id": instrument_id}
    if bars.num_rows:
        connection.execute(query("bars/put_bars", bars=table), fixed | _arrays(connection, bars), prepare=False)
    if revisions.num_rows:
        fixed["timeframe"] = timeframe.value
        superseded: dict[str, object] = {"superseded_at": column_of(revisions["superseded_at"])}
        values = fixed | _arrays(connection, revisions) | superseded
        connection.execute(query("bars/put_revisions"), values, prepare=False)


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


def _occupied_instruments(connection: psycopg.Connection, timeframe: Timeframe, rows: Rows) -> list[int]:
    """Return the instruments that have any stored bar between their first and their last in ``rows``."""
    starts = np.flatnonzero(np.r_[True, rows.ids[1:] != rows.ids[:-1]])
    ends = np.r_[starts[1:], len(rows)] - 1
    instruments = connection.execute(
        query(
            "bars/occupied_instruments",
            bars=sql.Identifier("market", timeframe.table),
            first=rows.first,
            last=rows.last,
        ),
        {"ids": Column(rows.ids[starts]), "firsts": Column(rows.ts[starts]), "lasts": Column(rows.ts[ends])},
    )
    return [row[0] for row in instruments]


def _merge_few(
    connection: psycopg.Connection, timeframe: Timeframe, rows: Rows, known_at: datetime, derived: Sequence[int]
) -> Changes:
    """Merge rows that travel as arrays, in one statement."""
    values: dict[str, object] = {"timeframe": timeframe.value, "known_at": known_at, "derived": _int2s(derived)}
    values |= {"first": rows.first, "last": rows.last, **rows.columns, **_spans(timeframe, rows)}
    # Planned each time, for these rows: a plan made for any rows would scan whole partitions.
    return _read_changes(connection, _merge_few_statement(timeframe), values)


def _spans(timeframe: Timeframe, rows: Rows) -> dict[str, Column]:
    """Return the spans of ``rows`` for ``present_of_few``: runs of bars of one instrument that are near each other."""
    near = np.timedelta64(_LARGEST_GAP_IN_SPAN * timeframe.microseconds, "us")
    starts = np.flatnonzero(np.r_[True, (rows.ids[1:] != rows.ids[:-1]) | (np.diff(rows.ts) > near)])
    ends = np.r_[starts[1:], len(rows)] - 1
    return {
        "span_ids": Column(rows.ids[starts]),
        "span_firsts": Column(rows.ts[starts]),
        "span_lasts": Column(rows.ts[ends]),
    }


@cache
def _merge_few_statement(timeframe: Timeframe) -> bytes:
    """Return ``merge_bars`` for rows that travel as arrays, each a parameter."""
    arrays = sql.SQL(", ").join(
        sql.SQL(f"{{}}::{kind}[]").format(sql.Placeholder(name)) for name, kind in INCOMING.items()
    )
    names = sql.SQL(", ").join(map(sql.Identifier, INCOMING))
    bars = sql.Identifier("market", timeframe.table)
    merge = query(
        "bars/merge_bars",
        bars=bars,
        incoming=sql.SQL("(SELECT * FROM unnest({}) AS incoming ({}))").format(arrays, names),
        present=query("bars/present_of_few", bars=bars),
    )
    return merge.as_bytes()


def _merge_many(
    connection: psycopg.Connection, timeframe: Timeframe, rows: Rows, known_at: datetime, derived: Sequence[int]
) -> Changes:
    """Merge rows that are copied into a staging table."""
    staged = sql.SQL(", ").join(sql.SQL(f"{{}} {kind}").format(sql.Identifier(name)) for name, kind in INCOMING.items())
    connection.execute(sql.SQL("CREATE TEMP TABLE incoming ({}) ON COMMIT DROP").format(staged))
    _copy(connection, sql.Identifier("incoming"), rows.columns)
    # Both sides come sorted by the key: the planner, which knows nothing of a new table, would rather hash them, or
    # look each of many rows up in the other.
    connection.execute("SET LOCAL enable_hashjoin = off")
    connection.execute("SET LOCAL enable_nestloop = off")
    bars = sql.Identifier("market", timeframe.table)
    merge = query(
        "bars/merge_bars",
        bars=bars,
        incoming=sql.SQL("incoming"),
        present=query(
            "bars/present_of_many",
            bars=bars,
            ids=np.unique(rows.ids).tolist(),
            first=rows.first,
            last=rows.last,
        ),
        timeframe=timeframe.value,
        known_at=known_at,
        derived=list(derived),
    )
    changes = _read_changes(connection, merge)
    connection.execute("SET LOCAL enable_hashjoin = on")
    connection.execute("SET LOCAL enable_nestloop = on")
    connection.execute("DROP TABLE incoming")
    return changes


def _read_changes(
    connection: psycopg.Connection, merge: bytes | sql.Composed, values: Mapping[str, object] | None = None
) -> Changes:
    arrays = connection.execute(merge, values, prepare=False, binary=True).fetchone()
    return Changes.none() if arrays is None or arrays[0] is None else Changes(*map(read_array, arrays))


def _copy(connection: psycopg.Connection, table: sql.Identifier, columns: dict[str, Column]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)) as sink,
    ):
        for block in encode(columns):
            sink.write(block)


def _int2s(ids: Sequence[int]) -> Column:
    return Column(np.array(ids, np.int16))


def _us(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
