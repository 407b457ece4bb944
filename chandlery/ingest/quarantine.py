"""Quarantine: rows that the gate rejected wait here with the reason.

They wait until a person releases them (``release``), or until their provider sends something else for the same
sessions: that replaces the entry, though the entry is kept. Not here: why rows are rejected (``expectations``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import class_row

from chandlery.bars.origin import INGEST, Origin
from chandlery.core.calendars import get_calendar, microseconds
from chandlery.core.digest import digest_in_any_order
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.errors import GateError, UsageError
from chandlery.ingest.gate import REJECTED, Check, Verdict

Kind: TypeAlias = Literal["batch", "rows"]


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One quarantined batch.

    Attributes:
        quarantine_id: number by which it is shown and released.
        instrument_id: number of the instrument.
        symbol: its canonical symbol.
        timeframe: of the rows.
        window_key: the partition's window, ``2024-01`` or ``2024``.
        kind: ``batch``: the whole partition was rejected; ``rows``: only these rows were, and the others published.
        provider: name of the provider that delivered it.
        reason: the broken rules.
        row_count: number of rows.
        arrived_at: when it was first rejected, UTC.
        released_at: when a person released it, UTC; None while it waits.
        release_reason: the reason which that person gave.
        released_by: name of that person; None where it was not recorded.
        good_rows_only: whether only the rows that broke no rule of their own were released.
        replaced: whether its provider has sent something else since for every session of it. It waits no longer then.
        landing_id: number of the answer in the landing zone that the rows came with first; None where it was not kept.
        run_id: the orchestrator's number of the run in which they were rejected first; None outside of a run.
        rules: version of the rules by which they were last; None where that was not recorded.
        requested_at: when the request was sent that they came with, UTC; None where that was not recorded.
        request_start: begin of what was requested, UTC, inclusive.
        request_end: its end, UTC, exclusive.
        file: the file that they were read from, where the provider reads a person's files.
    """

    quarantine_id: int
    instrument_id: int
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
    released_by: str | None
    good_rows_only: bool
    replaced: bool
    landing_id: int | None
    run_id: str | None
    rules: str | None
    requested_at: datetime | None
    request_start: datetime | None
    request_end: datetime | None
    file: str | None


_WAITING = sql.SQL("released_at IS NULL AND NOT replaced")
_OF_DIGEST = sql.SQL(
    "quarantine_id = (SELECT quarantine_id FROM ops.quarantine"
    " WHERE instrument_id = %(instrument_id)s AND timeframe = %(timeframe)s AND digest = %(digest)s)"
)


def store_rejected(
    connection: psycopg.Connection,
    verdict: Verdict,
    provider: str,
    origin: Origin = INGEST,
) -> QuarantineEntry:
    """Store the rows that ``verdict`` rejected and return their entry.

    The same rows again are the same entry, and wait again, for the reasons that hold now. It may have been released
    since the gate began to audit.

    Args:
        connection: to the market database.
        verdict: the gate's, of one partition.
        provider: name of the provider that delivered the rows.
        origin: the answer that they came with, the run, and the version of the gate's rules.
    """
    partition = verdict.partition
    values = {
        "instrument_id": partition.instrument_id,
        "timeframe": partition.timeframe.value,
        "window_key": partition.window.key,
        "kind": "rows" if verdict.passed else "batch",
        "provider": provider,
        "reason": verdict.reason,
        "checks": json.dumps([_plain(check) for check in verdict.checks]),
        "row_count": verdict.rejected.num_rows,
        "digest": digest_in_any_order(verdict.rejected.drop_columns(["symbol", "reasons"])),
        "bars": _pack(verdict.rejected),
        "sessions": _sessions(verdict),
        "landing_id": next(iter(origin.landing_ids), None),
        "run_id": origin.run_id,
        "rules": origin.rules,
        "requested_at": origin.requested_at,
        "request_start": origin.request_start,
        "request_end": origin.request_end,
        "file": origin.files.get(partition.symbol),
    }
    with connection.transaction():
        connection.execute(query("ingest/store_rejected"), values)
        entries = _select(connection, _OF_DIGEST, values)
    if not entries:
        raise GateError(f"{partition.key}: what the gate rejected could not be stored")
    return entries[0]


def mark_replaced(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    provider: str,
    sessions: Mapping[int, Sequence[str]],
    current: Collection[int],
) -> None:
    """Mark what ``provider`` had sent before as replaced, for the sessions of which it answered again.

    Args:
        connection: in the transaction that publishes the answer.
        timeframe: of the answer.
        provider: name of the provider that answered.
        sessions: the sessions of which it did, as ranges of dates, by instrument id.
        current: numbers of the entries that hold what was rejected of this very answer.
    """
    values = {
        "ids": list(sessions),
        "sessions": ["{" + ",".join(ranges) + "}" for ranges in sessions.values()],
        "timeframe": timeframe.value,
        "provider": provider,
        "current": list(current),
    }
    connection.execute(query("ingest/mark_replaced"), values)


def list_entries(
    connection: psycopg.Connection, *, symbol: str | None = None, everything: bool = False
) -> list[QuarantineEntry]:
    """Return the entries that wait, oldest first; with ``everything`` also those released or replaced.

    Args:
        connection: to the market database.
        symbol: a canonical symbol, for its entries only.
        everything: whether to return also entries that wait no longer.
    """
    conditions = [sql.SQL("true") if everything else _WAITING]
    if symbol is not None:
        conditions.append(sql.SQL("symbol = %(symbol)s"))
    return _select(connection, sql.SQL(" AND ").join(conditions), {"symbol": symbol})


def count_waiting(connection: psycopg.Connection) -> int:
    """Return how many entries wait."""
    entries = query("ingest/quarantine_entries", condition=_WAITING)
    row = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS entry").format(entries)).fetchone()
    return int(row[0]) if row else 0


def read_entry(
    connection: psycopg.Connection, quarantine_id: int, *, lock: bool = False
) -> tuple[QuarantineEntry, pa.Table]:
    """Return an entry and its rows (schema ``gate.REJECTED``).

    With ``lock``, nobody else releases or replaces it until the caller's transaction ends; whoever does now is waited
    for.

    Raises:
        UsageError: there is no such entry.
    """
    values = {"quarantine_id": quarantine_id}
    if lock:
        connection.execute("SELECT FROM ops.quarantine WHERE quarantine_id = %(quarantine_id)s FOR UPDATE", values)
    entries = _select(connection, sql.SQL("quarantine_id = %(quarantine_id)s"), values)
    row = connection.execute(
        "SELECT bars FROM ops.quarantine WHERE quarantine_id = %(quarantine_id)s", values
    ).fetchone()
    if not entries or row is None:
        raise UsageError(f"quarantine has no entry {quarantine_id}; `chandlery quarantine list` shows what waits")
    return entries[0], unpack_rows(row[0], entries[0].symbol)


def unpack_rows(packed: bytes, symbol: str) -> pa.Table:
    """Return rows as they are kept in an entry (schema ``gate.REJECTED``), under the symbol of their instrument.

    It may have been renamed since.
    """
    with pa.ipc.open_stream(packed) as reader:
        rows = reader.read_all().select(REJECTED.names)
    field = rows.schema.field("symbol")
    column = pa.chunked_array([pa.array([symbol] * rows.num_rows, pa.string())]).cast(field.type)
    return rows.set_column(rows.schema.get_field_index("symbol"), field, column)


def mark_released(
    connection: psycopg.Connection, quarantine_id: int, reason: str, *, released_by: str, good_rows_only: bool
) -> None:
    """Record that a person released an entry, and why; in the transaction that publishes its rows."""
    connection.execute(
        "UPDATE ops.quarantine SET released_at = clock_timestamp(), release_reason = %(reason)s,"
        " released_by = %(released_by)s, good_rows_only = %(good_rows_only)s WHERE quarantine_id = %(quarantine_id)s",
        {
            "quarantine_id": quarantine_id,
            "reason": reason,
            "released_by": released_by,
            "good_rows_only": good_rows_only,
        },
    )


def as_bars(rows: pa.Table) -> pa.Table:
    """Return rows of schema ``gate.REJECTED`` or ``gate.DECIDED_AGAIN`` as bars."""
    return rows.select(BARS.names).cast(BARS)


def good_rows(rows: pa.Table) -> pa.Table:
    """Return the rows that broke no rule of their own (schema ``gate.REJECTED``)."""
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import, and only to count needs it not

    return rows.filter(pc.equal(pc.list_value_length(rows["reasons"]), 0))


def _select(
    connection: psycopg.Connection, condition: sql.Composable, values: Mapping[str, object]
) -> list[QuarantineEntry]:
    with connection.cursor(row_factory=class_row(QuarantineEntry)) as cursor:
        return cursor.execute(query("ingest/quarantine_entries", condition=condition), values).fetchall()


def _plain(check: Check) -> dict[str, object]:
    """Return an outcome as it is kept: without the times that it is about, which the rows tell."""
    return {name: value for name, value in asdict(check).items() if name != "spans"}


def _sessions(verdict: Verdict) -> str:
    """Return the sessions of the rejected rows, as a multirange; bars of extended hours are of none.

    A row outside of what was requested counts with the first or the last instant of that: what is known of a symbol
    does not reach as far as a wrong year.
    """
    first, last = microseconds(verdict.partition.start), microseconds(verdict.partition.end) - 1
    ts = verdict.rejected["ts"].drop_null().to_numpy().astype("datetime64[us]")
    ts = np.clip(ts.view(np.int64), first, max(first, last)).view("datetime64[us]")
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
