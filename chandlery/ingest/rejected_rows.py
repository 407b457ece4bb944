"""The rows of an entry of the quarantine: stored when the gate rejects them, and read when a person decides.

Not here: the entries themselves (``quarantine``), and why rows are rejected (``expectations``).
"""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from chandlery.bars.origin import INGEST, Origin
from chandlery.core.calendars import get_calendar, microseconds
from chandlery.core.digest import digest_in_any_order
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.errors import GateError, UsageError
from chandlery.ingest.gate import REJECTED, Check, Verdict
from chandlery.ingest.quarantine import QuarantineEntry, select_entries

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
        entries = select_entries(connection, _OF_DIGEST, values)
    if not entries:
        raise GateError(f"{partition.key}: what the gate rejected could not be stored")
    return entries[0]


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
    entries = select_entries(connection, sql.SQL("quarantine_id = %(quarantine_id)s"), values)
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


def as_bars(rows: pa.Table) -> pa.Table:
    """Return rows of schema ``gate.REJECTED`` or ``gate.DECIDED_AGAIN`` as bars."""
    return rows.select(BARS.names).cast(BARS)


def good_rows(rows: pa.Table) -> pa.Table:
    """Return the rows that broke no rule of their own (schema ``gate.REJECTED``)."""
    return rows.filter(pc.equal(pc.list_value_length(rows["reasons"]), 0))


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
