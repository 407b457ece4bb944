"""Publishing: the one way a bar gets into the store.

One transaction takes an Arrow table and leaves bars, revisions, coverage and pending roll-ups agreeing with each other.
What is identical is not written. A kill at any instant leaves the state before or the state after.

Not here: whether the bars are acceptable (the gate judges first) and how they are read back (``read``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.errors import StoreError, UnknownSymbolError, UsageError
from chandlery.schema import PRICES, VALUES, conform
from chandlery.store.arrays import array_text
from chandlery.store.copy import Column, encode
from chandlery.store.editions.base import Edition
from chandlery.store.locks import lock_instruments
from chandlery.store.pending import note_stale
from chandlery.store.queries import query
from chandlery.store.sessions import record_sessions
from chandlery.timeframe import Timeframe

#: Up to this many rows, arrays in one statement are faster than COPY into a staging table.
_FEW_ROWS = 1000
_INCOMING = {
    "instrument_id": "int4",
    "ts": "timestamptz",
    "open": "float8",
    "high": "float8",
    "low": "float8",
    "close": "float8",
    "volume": "float8",
    "vwap": "float8",
    "trades": "int4",
    "source": "int2",
}


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


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publication did.

    Attributes:
        inserted: bars that were not there.
        revised: bars whose values changed; the earlier ones are in the revisions.
        unchanged: bars that were there with the same values; nothing about them was written.
        known_at: the time from which a read with ``as_of`` sees this publication, UTC.
        changes: which bars were inserted or revised.
        ids: instrument id by symbol, of every symbol in the batch.
    """

    inserted: int
    revised: int
    unchanged: int
    known_at: datetime
    changes: Changes = field(repr=False)
    ids: dict[str, int] = field(repr=False)


def publish(
    connection: psycopg.Connection,
    edition: Edition,
    timeframe: Timeframe,
    bars: pa.Table,
    *,
    origin: str = "ingest",
    now: datetime | None = None,
) -> PublishReport:
    """Make ``bars`` the present truth of ``timeframe``, in one transaction.

    Two publications of one instrument and timeframe wait for each other; others do not.

    Args:
        connection: in autocommit mode, or in the caller's transaction, of which this becomes a part.
        edition: of the server.
        timeframe: of all the bars.
        bars: table of schema ``schema.BARS`` in any order; every symbol is a registered instrument, every
            ``(symbol, ts)`` occurs once, prices are finite.
        origin: what publishes, for ``ops.publication``.
        now: the present, UTC; the server's clock by default. A publication is known later than any of its timeframe
            that was committed before, even where the clock went back.

    Raises:
        UsageError: a duplicate key, or a price that is null or not finite. Nothing was written.
        UnknownSymbolError: a symbol is not a registered instrument. Nothing was written.
    """
    batch = _Batch(conform(bars))
    with connection.transaction():
        ids = _instrument_ids(connection, batch.symbols)
        if not len(batch):
            return PublishReport(0, 0, 0, now or datetime.now(UTC), Changes.none(), ids)
        rows = batch.rows(ids, _source_ids(connection, batch.sources))
        edition.prepare(connection, timeframe, rows.first, rows.last)
        lock_instruments(connection, timeframe, list(ids.values()))
        # After the lock, so that whoever waited for it is later than whoever held it.
        known_at = _learn(connection, timeframe, now)
        changes = _write(connection, timeframe, rows, known_at)
        report = _report(changes, len(batch), known_at, ids)
        if len(changes):
            record_sessions(
                connection, timeframe, changes.instrument_id[~changes.revised], changes.ts[~changes.revised]
            )
            note_stale(connection, timeframe, changes.instrument_id, changes.ts, known_at)
            _log(connection, timeframe, rows, report, origin)
    return report


class _Batch:
    """The incoming table, checked."""

    def __init__(self, bars: pa.Table) -> None:
        self._bars = bars
        symbol, source = bars["symbol"].combine_chunks(), bars["source"].combine_chunks()
        if symbol.null_count or source.null_count or bars["ts"].null_count:
            raise UsageError("symbol, ts and source must not be null")
        self._symbol_codes = symbol.indices.to_numpy()
        self._source_codes = source.indices.to_numpy()
        # A dictionary may hold names that no row uses.
        self._used = np.unique(self._symbol_codes)
        self._names = symbol.dictionary.to_pylist()
        self.symbols = [self._names[code] for code in self._used]
        self.sources: list[str] = source.dictionary.to_pylist()
        for name in (*PRICES, "volume", "vwap"):
            values = bars[name]
            if (values.null_count and name in PRICES) or not np.isfinite(values.drop_null().to_numpy()).all():
                raise UsageError(f"{name} has a value that is null or not finite; such a bar cannot be stored")

    def __len__(self) -> int:
        return int(self._bars.num_rows)

    def rows(self, ids: dict[str, int], sources: Sequence[int]) -> _Rows:
        """Return the rows with ids for names, sorted by key."""
        table = np.zeros(len(self._names), np.int32)
        table[self._used] = [ids[symbol] for symbol in self.symbols]
        columns = {
            "instrument_id": Column(table[self._symbol_codes]),
            "ts": Column(self._bars["ts"].to_numpy().astype("datetime64[us]", copy=False)),
            "source": Column(np.asarray(sources, np.int16)[self._source_codes]),
        }
        for name in VALUES:
            columns[name] = _column(self._bars[name])
        return _Rows.sorted({name: columns[name] for name in _INCOMING})


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows ready for the wire: columns of ``_INCOMING``, unique and sorted by (instrument_id, ts)."""

    columns: dict[str, Column]

    @classmethod
    def sorted(cls, columns: dict[str, Column]) -> _Rows:
        ids, ts = _key(columns)
        later = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
        if not later.all():
            order = np.lexsort((ts, ids))
            columns = _pick(columns, order)
            ids, ts = _key(columns)
            same = (ids[1:] == ids[:-1]) & (ts[1:] == ts[:-1])
            if same.any():
                raise UsageError(
                    f"{int(same.sum())} bars occur twice, the first at {ts[1:][same][0]}Z; keys are unique"
                )
        return cls(columns)

    def __len__(self) -> int:
        return len(self.columns["ts"].values)

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        return _key(self.columns)[0]

    @property
    def ts(self) -> npt.NDArray[np.datetime64]:
        return _key(self.columns)[1]

    @property
    def first(self) -> datetime:
        return _moment(self.ts.min())

    @property
    def last(self) -> datetime:
        return _moment(self.ts.max())

    def where(self, mask: npt.NDArray[np.bool_]) -> _Rows:
        return self if mask.all() else _Rows(_pick(self.columns, np.flatnonzero(mask)))


def _write(connection: psycopg.Connection, timeframe: Timeframe, rows: _Rows, known_at: datetime) -> Changes:
    """Copy rows of instruments whose range is empty straight in; compare the others with what is there."""
    if len(rows) <= _FEW_ROWS:
        return _merge_few(connection, timeframe, rows, known_at)
    occupied = np.isin(rows.ids, _occupied(connection, timeframe, rows))
    fresh, known = (
        rows.where(~occupied) if not occupied.all() else None,
        rows.where(occupied) if occupied.any() else None,
    )
    changes = Changes.none()
    if known is not None:
        changes = _merge(connection, timeframe, known, known_at)
    if fresh is not None:
        columns = fresh.columns | {"known_at": Column(np.full(len(fresh), _us(known_at)))}
        _copy(connection, sql.Identifier("market", timeframe.table), columns)
        changes = Changes(
            np.concatenate([changes.instrument_id, fresh.ids]),
            np.concatenate([changes.ts, fresh.ts]),
            np.concatenate([changes.revised, np.zeros(len(fresh), np.bool_)]),
        )
    return changes


def _occupied(connection: psycopg.Connection, timeframe: Timeframe, rows: _Rows) -> list[int]:
    """Return the instruments that have any bar between the first and the last of theirs in ``rows``."""
    starts = np.flatnonzero(np.r_[True, rows.ids[1:] != rows.ids[:-1]])
    ends = np.r_[starts[1:], len(rows)] - 1
    found = connection.execute(
        query("occupied_instruments").format(
            bars=sql.Identifier("market", timeframe.table), first=sql.Literal(rows.first), last=sql.Literal(rows.last)
        ),
        (array_text(rows.ids[starts]), array_text(rows.ts[starts]), array_text(rows.ts[ends])),
    )
    return [row[0] for row in found]


def _merge_few(connection: psycopg.Connection, timeframe: Timeframe, rows: _Rows, known_at: datetime) -> Changes:
    """Compare rows that travel as arrays, in one statement."""
    arrays = sql.SQL(", ").join(
        sql.SQL(f"{{}}::{kind}[]").format(sql.Placeholder(name)) for name, kind in _INCOMING.items()
    )
    names = sql.SQL(", ").join(map(sql.Identifier, _INCOMING))
    merge = query("merge_bars").format(
        bars=sql.Identifier("market", timeframe.table),
        incoming=sql.SQL("(SELECT * FROM unnest({}) AS incoming ({}))").format(arrays, names),
        timeframe=sql.Placeholder("timeframe"),
        known_at=sql.SQL("%(known_at)s::timestamptz"),
        first=sql.Placeholder("first"),
        last=sql.Placeholder("last"),
    )
    values: dict[str, object] = {
        "timeframe": timeframe.value,
        "known_at": known_at,
        "first": rows.first,
        "last": rows.last,
    }
    values |= {name: array_text(column.values, column.valid) for name, column in rows.columns.items()}
    # Planned each time, for these rows: a plan made for any rows would scan whole partitions.
    found = connection.execute(merge, values, prepare=False, binary=True).fetchall()
    ids, ts, revised = zip(*found, strict=True) if found else ((), (), ())
    return Changes(
        np.array(ids, np.int32),
        np.array([moment.replace(tzinfo=None) for moment in ts], "datetime64[us]"),
        np.array(revised, np.bool_),
    )


def _merge(connection: psycopg.Connection, timeframe: Timeframe, rows: _Rows, known_at: datetime) -> Changes:
    staged = sql.SQL(", ").join(
        sql.SQL(f"{{}} {kind}").format(sql.Identifier(name)) for name, kind in _INCOMING.items()
    )
    connection.execute(sql.SQL("CREATE TEMP TABLE incoming ({}) ON COMMIT DROP").format(staged))
    _copy(connection, sql.Identifier("incoming"), rows.columns)
    # Both sides come sorted by the key: the planner, which knows nothing of a new table, would rather hash them.
    connection.execute("SET LOCAL enable_hashjoin = off")
    merge = query("merge_bars").format(
        bars=sql.Identifier("market", timeframe.table),
        incoming=sql.SQL("incoming"),
        timeframe=sql.Literal(timeframe.value),
        known_at=sql.SQL("{}::timestamptz").format(sql.Literal(known_at)),
        first=sql.Literal(rows.first),
        last=sql.Literal(rows.last),
    )
    changes = _read_changes(connection, merge)
    connection.execute("SET LOCAL enable_hashjoin = on")
    connection.execute("DROP TABLE incoming")
    return changes


def _read_changes(connection: psycopg.Connection, merge: sql.Composed) -> Changes:
    """Run ``merge`` and decode the (int4, timestamptz, bool) rows it returns, of 31 bytes each on the wire."""
    wire = np.dtype(
        [("_", ">i2"), ("_0", ">i4"), ("id", ">i4"), ("_1", ">i4"), ("ts", ">i8"), ("_2", ">i4"), ("r", "u1")]
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(merge)) as out,
    ):
        stream = b"".join(bytes(block) for block in out)
    rows = np.frombuffer(stream, wire, offset=19, count=(len(stream) - 21) // wire.itemsize)
    ts = rows["ts"].astype(np.int64).view("timedelta64[us]") + np.datetime64("2000-01-01", "us")
    return Changes(rows["id"].astype(np.int32), ts, rows["r"].astype(np.bool_))


def _copy(connection: psycopg.Connection, table: sql.Identifier, columns: dict[str, Column]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)) as wire,
    ):
        for block in encode(columns):
            wire.write(block)


def _report(changes: Changes, offered: int, known_at: datetime, ids: dict[str, int]) -> PublishReport:
    revised = int(changes.revised.sum())
    return PublishReport(
        inserted=len(changes) - revised,
        revised=revised,
        unchanged=offered - len(changes),
        known_at=known_at,
        changes=changes,
        ids=ids,
    )


def _log(connection: psycopg.Connection, timeframe: Timeframe, rows: _Rows, report: PublishReport, origin: str) -> None:
    connection.execute(
        "INSERT INTO ops.publication"
        " (timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, origin)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            timeframe.value,
            report.known_at,
            report.inserted,
            report.revised,
            report.unchanged,
            rows.first,
            rows.last,
            len(report.ids),
            origin,
        ),
    )


def _instrument_ids(connection: psycopg.Connection, symbols: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = dict(
        connection.execute(
            "SELECT symbol, instrument_id FROM market.instrument WHERE symbol = ANY(%s)", (list(symbols),)
        ).fetchall()
    )
    unknown = sorted(set(symbols) - found.keys())
    if unknown:
        raise UnknownSymbolError(f"{', '.join(unknown)}: not registered; add to config/universe.yaml or register first")
    return found


def _source_ids(connection: psycopg.Connection, names: Sequence[str]) -> list[int]:
    found: dict[str, int] = dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
    missing = [name for name in names if name not in found]
    if missing:
        connection.execute(
            "INSERT INTO market.source (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (sorted(missing),)
        )
        found = dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
    return [found[name] for name in names]


def _learn(connection: psycopg.Connection, timeframe: Timeframe, now: datetime | None) -> datetime:
    """Return the time to record: the present, but later than any recorded before, even where a clock went back."""
    row = connection.execute(
        "SELECT greatest(coalesce(%s, clock_timestamp()), max(known_at) + interval '1 microsecond')"
        " FROM ops.publication WHERE timeframe = %s",
        (now, timeframe.value),
    ).fetchone()
    if row is None:
        raise StoreError("the server did not tell the time")
    moment: datetime = row[0]
    return moment


def _column(values: pa.ChunkedArray) -> Column:
    array = values.combine_chunks()
    if array.null_count == 0:
        return Column(array.to_numpy(zero_copy_only=False))
    return Column(array.fill_null(0).to_numpy(zero_copy_only=False), array.is_valid().to_numpy(zero_copy_only=False))


def _key(columns: dict[str, Column]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.datetime64]]:
    ids, ts = columns["instrument_id"].values, columns["ts"].values
    return ids.astype(np.int32, copy=False), ts.astype("datetime64[us]", copy=False)


def _pick(columns: dict[str, Column], index: npt.NDArray[np.intp]) -> dict[str, Column]:
    return {
        name: Column(column.values[index], None if column.valid is None else column.valid[index])
        for name, column in columns.items()
    }


def _moment(ts: np.datetime64) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(ts.astype("datetime64[us]").astype(np.int64)))


def _us(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
