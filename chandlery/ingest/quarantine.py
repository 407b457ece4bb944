"""Quarantine: what the gate rejected waits here with its reason.

It waits until a person releases it, or until its provider sends something else for the same sessions: that replaces
it, though it is kept. Not here: why it was rejected (``expectations``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from psycopg.rows import class_row

from chandlery.core.calendars import get_calendar
from chandlery.core.digest import digest_in_any_order
from chandlery.core.schema import BARS, PRICES
from chandlery.core.timeframe import Timeframe
from chandlery.errors import GateError, UsageError
from chandlery.ingest.gate import REJECTED, Verdict
from chandlery.publishing.publish import PublishReport, publish
from chandlery.tiers.warehouse import Warehouse

Kind = Literal["batch", "rows"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One quarantined batch.

    Attributes:
        quarantine_id: number by which it is shown and released.
        symbol: canonical symbol.
        timeframe: of its bars.
        window_key: the partition's window, ``2024-01`` or ``2024``.
        kind: ``batch``: the whole partition was rejected; ``rows``: these rows were, and the others published.
        provider: who delivered it.
        reason: the broken rules.
        row_count: number of rows.
        arrived_at: when it was first rejected, UTC.
        released_at: when a person released it, UTC; None while it waits.
        release_reason: why.
        good_rows_only: whether only the rows that broke no rule of their own were released.
        replaced: whether its provider sent something else since for every session of it. Then nothing waits for it.
    """

    quarantine_id: int
    symbol: str
    timeframe: str
    window_key: str
    kind: Kind
    provider: str
    reason: str
    row_count: int
    arrived_at: datetime
    released_at: datetime | None
    release_reason: str | None
    good_rows_only: bool
    replaced: bool


_REPLACED = "(NOT isempty(q.sessions) AND q.sessions <@ q.replaced)"
#: What is neither released nor replaced, of the table ``q``.
_WAITING = f"(q.released_at IS NULL AND NOT {_REPLACED})"
_ENTRY = (
    "q.quarantine_id, i.symbol, q.timeframe, q.window_key, q.kind, q.provider, q.reason, q.row_count, q.arrived_at,"
    f" q.released_at, q.release_reason, q.good_rows_only, {_REPLACED} AS replaced"
    " FROM ops.quarantine AS q JOIN market.instrument AS i USING (instrument_id)"
)


def put(connection: psycopg.Connection, verdict: Verdict, provider: str) -> Entry:
    """Store what ``verdict`` rejected and return its entry. The same rows again are the same entry, and wait again.

    The entry may have been released before: then a person has accepted exactly these rows.
    """
    partition = verdict.partition
    digest = digest_in_any_order(verdict.rejected.drop_columns("reasons"))
    with connection.transaction():
        connection.execute(
            "INSERT INTO ops.quarantine AS q"
            " (instrument_id, timeframe, window_key, kind, provider, reason, checks, row_count, digest, bars, sessions)"
            " SELECT instrument_id, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::datemultirange FROM market.instrument"
            " WHERE symbol = %s ON CONFLICT (instrument_id, timeframe, digest) DO UPDATE SET replaced = '{}'"
            " WHERE q.released_at IS NULL AND NOT isempty(q.replaced)",
            (
                partition.timeframe.value,
                partition.window.key,
                "rows" if verdict.passed else "batch",
                provider,
                verdict.reason,
                json.dumps([asdict(check) for check in verdict.checks]),
                verdict.rejected.num_rows,
                digest,
                _pack(verdict.rejected),
                _sessions(verdict),
                partition.symbol,
            ),
        )
        with connection.cursor(row_factory=class_row(Entry)) as cursor:
            entry = cursor.execute(
                f"SELECT {_ENTRY} WHERE i.symbol = %s AND q.timeframe = %s AND q.digest = %s",
                (partition.symbol, partition.timeframe.value, digest),
            ).fetchone()
    if entry is None:
        raise GateError(f"{partition.key}: what the gate rejected could not be stored")
    return entry


def note_replaced(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    provider: str,
    sessions: Mapping[int, Sequence[str]],
    current: Collection[int],
) -> None:
    """Note that ``provider`` answered anew: what it had sent before for these sessions is not its last word any more.

    Args:
        connection: in the transaction that keeps what came of the answer.
        timeframe: of the answer.
        provider: who answered.
        sessions: of which it did, as ranges of dates, by instrument id.
        current: numbers of the entries that hold what was rejected of this answer.
    """
    connection.execute(
        "UPDATE ops.quarantine AS q SET replaced = q.replaced + n.sessions"
        " FROM unnest(%(ids)s::int4[], %(sessions)s::text[]::datemultirange[]) AS n (id, sessions)"
        " WHERE q.instrument_id = n.id AND q.timeframe = %(timeframe)s AND q.provider = %(provider)s"
        " AND q.released_at IS NULL AND q.quarantine_id <> ALL(%(current)s) AND q.sessions - q.replaced && n.sessions",
        {
            "ids": list(sessions),
            "sessions": ["{" + ",".join(ranges) + "}" for ranges in sessions.values()],
            "timeframe": timeframe.value,
            "provider": provider,
            "current": list(current),
        },
    )


def list_entries(connection: psycopg.Connection, *, symbol: str | None = None, everything: bool = False) -> list[Entry]:
    """Return the entries that wait (with ``everything``, also those released or replaced), oldest first."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(
            f"SELECT {_ENTRY} WHERE (%(symbol)s::text IS NULL OR i.symbol = %(symbol)s)"
            f" AND (%(everything)s OR {_WAITING}) ORDER BY q.quarantine_id",
            {"symbol": symbol, "everything": everything},
        ).fetchall()


def count_waiting(connection: psycopg.Connection) -> int:
    """Return how many entries wait."""
    statement = sql.SQL("SELECT count(*) FROM ops.quarantine AS q WHERE {}").format(sql.SQL(_WAITING))
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def show(connection: psycopg.Connection, quarantine_id: int) -> tuple[Entry, pa.Table]:
    """Return an entry and its rows (schema ``audit.REJECTED``); raise ``UsageError`` where there is none."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        entry = cursor.execute(f"SELECT {_ENTRY} WHERE q.quarantine_id = %s", (quarantine_id,)).fetchone()
    row = connection.execute("SELECT bars FROM ops.quarantine WHERE quarantine_id = %s", (quarantine_id,)).fetchone()
    if entry is None or row is None:
        raise UsageError(f"quarantine has no entry {quarantine_id}; `chandlery quarantine list` shows what waits")
    return entry, _unpack(row[0])


def release(warehouse: Warehouse, quarantine_id: int, reason: str, *, good_rows_only: bool = False) -> PublishReport:
    """Publish a quarantined batch and record why, in one transaction.

    Args:
        warehouse: where it waits and goes.
        quarantine_id: which.
        reason: why a person accepts it; not blank.
        good_rows_only: publish only the rows that broke no rule of their own, for a batch that was rejected as a whole;
            the others stay in the entry.

    Raises:
        UsageError: there is no such entry, it is released already, or the reason is blank.
        GateError: a row cannot be stored at all (no price, or a key that occurs twice); the text says which.
    """
    if not reason.strip():
        raise UsageError("reason is blank; a release is recorded with its reason")
    with warehouse.connection() as connection, connection.transaction():
        connection.execute("SELECT FROM ops.quarantine WHERE quarantine_id = %s FOR UPDATE", (quarantine_id,))
        entry, rows = show(connection, quarantine_id)
        if entry.released_at is not None:
            raise UsageError(f"entry {quarantine_id} was released on {entry.released_at:%Y-%m-%d %H:%M}Z already")
        if good_rows_only:
            rows = _good(rows)
            if not rows.num_rows:
                raise GateError(f"entry {quarantine_id} has no row that broke no rule")
        _refuse_unstorable(quarantine_id, rows)
        report = publish(
            connection,
            warehouse,
            Timeframe(entry.timeframe),
            rows.drop_columns("reasons").cast(BARS),
            origin=f"release of quarantine {quarantine_id}",
        )
        connection.execute(
            "UPDATE ops.quarantine SET released_at = clock_timestamp(), release_reason = %s, good_rows_only = %s"
            " WHERE quarantine_id = %s",
            (reason.strip(), good_rows_only, quarantine_id),
        )
    return report


def released_rows(entry: Entry, verdict: Verdict) -> pa.Table:
    """Return those rows that ``verdict`` rejected and a person has released before, as bars."""
    if entry.released_at is None:
        return BARS.empty_table()
    rows = _good(verdict.rejected) if entry.good_rows_only else verdict.rejected
    return rows.drop_columns("reasons").cast(BARS)


def _good(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(pc.list_value_length(rows["reasons"]), 0))


def _refuse_unstorable(quarantine_id: int, rows: pa.Table) -> None:
    for name in PRICES:
        values = rows[name]
        bad = values.null_count + int((~np.isfinite(values.drop_null().to_numpy())).sum())
        if bad:
            raise GateError(
                f"entry {quarantine_id} cannot be released as it is: {bad} rows have no finite {name}; correct the"
                " source and ingest again, or release with --good-rows-only"
            )
    ts = rows["ts"].to_numpy()
    values, counts = np.unique(ts, return_counts=True)
    if (counts > 1).any():
        raise GateError(
            f"entry {quarantine_id} cannot be released as it is: {values[counts > 1][0]}Z occurs {counts.max()} times;"
            " correct the source and ingest again, or release with --good-rows-only"
        )


def _sessions(verdict: Verdict) -> str:
    """Return the sessions of the rejected rows, as a multirange; bars of extended hours are of none."""
    ts = verdict.rejected["ts"].drop_null().to_numpy().astype("datetime64[us]")
    if verdict.partition.timeframe is Timeframe.D1:
        days = ts.astype("datetime64[D]")
    else:
        calendar = get_calendar(verdict.partition.calendar)
        session, inside = calendar.session_of(ts.view(np.int64))
        days = calendar.sessions[session[inside]].astype("datetime64[D]")
    return "{" + ",".join(f"[{day},{day + 1})" for day in np.unique(days)) + "}"


def _pack(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def _unpack(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    return table.select(REJECTED.names)
