"""Merging rows into the tables of bars: what is new is inserted, what changed is revised, what is identical stays.

Not here: rows that come back from the lake (``replace``), the checks before and the bookkeeping after, all in one
transaction (``publishing``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from chandlery.bars.rows import INCOMING, Rows, count_windows
from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column, read_array
from chandlery.database.copy import encode
from chandlery.database.named_queries import query
from chandlery.errors import StoreError

#: Bars of one instrument that are at most so many of their widths apart are looked up together.
_LARGEST_GAP_IN_SPAN = 60


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """What decides how rows travel.

    Attributes:
        rows_as_arrays: up to this many rows, arrays in one statement are faster than looking first whose range is
            empty.
        near_as_arrays: up to this many rows whose range is not empty, arrays are faster than COPY into a staging table,
            if they lie in up to ``rows_as_arrays`` spans.
        by_place: of these, where they lie within this time, those that changed are found again by their place, which is
            faster than by their key where few partitions are looked into.
    """

    rows_as_arrays: int = 1000
    near_as_arrays: int = 20_000
    by_place: timedelta = timedelta(days=31)


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
    may_be_compressed: bool = False,
    limits: MergeLimits = DEFAULT_LIMITS,
) -> Changes:
    """Merge ``rows`` into the table of ``timeframe`` and return what changed.

    Of more than a few, rows of instruments whose range is empty are copied straight in; the others are compared with
    what is there.

    Args:
        connection: in the publishing transaction, which holds the instruments' locks.
        timeframe: of the rows.
        rows: those to merge; there may be none.
        known_at: of the publication, UTC.
        derived: ids of the sources of days that were rolled up from minutes; see ``identity``.
        may_be_compressed: whether bars of the table may be stored in a form in which none has a place of its own.
        limits: decides whether the rows travel as arrays or by COPY.

    Raises:
        StoreError: somebody else, who takes no lock of ours, changed some of these bars since they were found at their
            place. The transaction has to be rolled back.
    """
    if not len(rows):
        return Changes.none()
    if len(rows) <= limits.rows_as_arrays:
        return _merge_arrays(connection, timeframe, rows, known_at, derived, by_place=False)
    are_near = len(rows) <= limits.near_as_arrays and len(_span_starts(timeframe, rows)) <= limits.rows_as_arrays
    # Where rows are so few that they are merged together, it is enough to know that any is not new.
    occupied = _occupied_instruments(connection, timeframe, rows, limit=1 if are_near else None)
    if are_near and occupied:
        by_place = not may_be_compressed and rows.last - rows.first <= limits.by_place
        return _merge_arrays(connection, timeframe, rows, known_at, derived, by_place=by_place)
    is_occupied = np.isin(rows.ids, occupied)
    changes = Changes.none()
    if is_occupied.any():
        changes = _merge_staged(connection, timeframe, rows.where(is_occupied), known_at, derived)
    if not is_occupied.all():
        new = rows.where(~is_occupied)
        columns = new.columns | {"known_at": Column(np.full(len(new), _us(known_at)))}
        _copy(connection, sql.Identifier("market", timeframe.table), columns)
        changes = changes.joined(Changes(new.ids, new.ts, np.zeros(len(new), np.bool_)))
    return changes


def _occupied_instruments(
    connection: psycopg.Connection, timeframe: Timeframe, rows: Rows, *, limit: int | None
) -> list[int]:
    """Return the instruments that have any stored bar between their first and their last in ``rows``; or ``limit``."""
    starts = np.flatnonzero(np.r_[True, rows.ids[1:] != rows.ids[:-1]])
    ends = np.r_[starts[1:], len(rows)] - 1
    instruments = connection.execute(
        query(
            "bars/occupied_instruments",
            bars=sql.Identifier("market", timeframe.table),
            first=rows.first,
            last=rows.last,
            limit=limit,
        ),
        {"ids": Column(rows.ids[starts]), "firsts": Column(rows.ts[starts]), "lasts": Column(rows.ts[ends])},
    )
    return [row[0] for row in instruments]


def _merge_arrays(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    rows: Rows,
    known_at: datetime,
    derived: Sequence[int],
    *,
    by_place: bool,
) -> Changes:
    """Merge rows that travel as arrays, in one statement."""
    values: dict[str, object] = {"timeframe": timeframe.value, "known_at": known_at, "derived": _int2s(derived)}
    values |= {"first": rows.first, "last": rows.last, **rows.columns, **_spans(timeframe, rows)}
    # Planned each time, for these rows: a plan made for any rows would scan whole partitions.
    return _read_changes(connection, _merge_arrays_statement(timeframe, by_place), values)


def _spans(timeframe: Timeframe, rows: Rows) -> dict[str, Column]:
    """Return the spans of ``rows`` for ``present_of_few``: runs of bars of one instrument that are near each other."""
    starts = _span_starts(timeframe, rows)
    ends = np.r_[starts[1:], len(rows)] - 1
    return {
        "span_ids": Column(rows.ids[starts]),
        "span_firsts": Column(rows.ts[starts]),
        "span_lasts": Column(rows.ts[ends]),
    }


def _span_starts(timeframe: Timeframe, rows: Rows) -> npt.NDArray[np.intp]:
    near = np.timedelta64(_LARGEST_GAP_IN_SPAN * timeframe.microseconds, "us")
    return np.flatnonzero(np.r_[True, (rows.ids[1:] != rows.ids[:-1]) | (np.diff(rows.ts) > near)])


@cache
def _merge_arrays_statement(timeframe: Timeframe, by_place: bool) -> bytes:
    """Return ``merge_bars`` for rows that travel as arrays, each a parameter."""
    # As columns, which the server unnests side by side; as one function of all arrays, it would store each first.
    columns = sql.SQL(", ").join(
        sql.SQL(f"unnest({{}}::{kind}[]) AS {{}}").format(sql.Placeholder(name), sql.Identifier(name))
        for name, kind in INCOMING.items()
    )
    bars = sql.Identifier("market", timeframe.table)
    merge = query(
        "bars/merge_bars",
        bars=bars,
        incoming=sql.SQL("(SELECT {})").format(columns),
        present=query("bars/present_of_few", bars=bars, tid=sql.SQL("b.ctid" if by_place else "NULL::tid")),
        restate=query(
            "bars/restate_by_place" if by_place else "bars/restate_by_key", bars=bars, changed=sql.Identifier("delta")
        ),
    )
    return merge.as_bytes()


def _merge_staged(
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
        restate=query("bars/restate_by_key", bars=bars, changed=sql.Identifier("delta"), known_at=known_at),
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
    row = connection.execute(merge, values, prepare=False, binary=True).fetchone()
    if row is None or row[0] is None:
        return Changes.none()
    *arrays, restated = row
    changes = Changes(*map(read_array, arrays))
    if restated != int(changes.revised.sum()):
        raise StoreError(
            "somebody else changed bars that were being published, without the pipeline; nothing was written: try again"
        )
    return changes


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
