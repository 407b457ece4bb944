"""A person's decision that a quarantined batch is right after all: its rows are published, and the reason is kept.

Not here: how rows get into quarantine (``validate``).
"""

from __future__ import annotations

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.bars.origin import Origin
from chandlery.core.partition import Partition
from chandlery.core.schema import PRICES
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.errors import GateError, UsageError
from chandlery.ingest.missing_sessions import settle_released
from chandlery.ingest.person import system_user
from chandlery.ingest.quarantine import QuarantineEntry, mark_released
from chandlery.ingest.rejected_rows import as_bars, good_rows, read_entry
from chandlery.ingest.released import mark_released_bars
from chandlery.ingest.result import PartitionResult
from chandlery.instruments.registry import list_instruments
from chandlery.publishing.publish import publish
from chandlery.quality.suspect_findings import record_suspects
from chandlery.tiers.warehouse import Warehouse


def release(
    warehouse: Warehouse,
    quarantine_id: int,
    reason: str,
    *,
    released_by: str | None = None,
    good_rows_only: bool = False,
    run_id: str | None = None,
) -> PartitionResult:
    """Publish a quarantined batch and record why, in one transaction; return what became of its partition.

    Args:
        warehouse: where it waits and is published.
        quarantine_id: number of the entry.
        reason: why a person accepts it; not blank.
        released_by: name of that person, for the record; that of the operating system's user by default.
        good_rows_only: publish only the rows that broke no rule of their own, for a batch that was rejected as a whole;
            the others stay in the entry.
        run_id: the orchestrator's number of the run that releases it; None outside of a run.

    Raises:
        UsageError: there is no such entry, it is released already, or the reason is blank.
        GateError: a row cannot be stored at all (no price, or a key that occurs twice); the text says which.
    """
    if not reason.strip():
        raise UsageError("reason is blank; a release is recorded with its reason")
    with warehouse.connection() as connection, connection.transaction():
        entry, rows = read_entry(connection, quarantine_id, lock=True)
        released, timeframe = _rows_to_release(entry, rows, good_rows_only=good_rows_only), Timeframe(entry.timeframe)
        report = publish(connection, warehouse, timeframe, as_bars(released), origin=_origin(entry, run_id))
        record_suspects(connection, warehouse, timeframe, report.changes)
        by = (released_by or "").strip() or system_user()
        mark_released(connection, quarantine_id, reason.strip(), released_by=by, good_rows_only=good_rows_only)
        again = released.append_column("quarantine_id", pa.array([quarantine_id] * len(released), pa.int64()))
        mark_released_bars(connection, timeframe, entry.instrument_id, again)
        settle_released(connection, partition := _partition(connection, entry))
    return PartitionResult(
        partition,
        "published",
        inserted=report.inserted,
        revised=report.revised,
        unchanged=report.unchanged,
        quarantined=rows.num_rows - released.num_rows,
        released=released.num_rows,
        quarantine_id=quarantine_id,
        sources=tuple(released["source"].unique().to_pylist()),
        rules=entry.rules,
        publication_id=report.publication_id,
        known_at=None if report.publication_id is None else report.known_at,
    )


def _origin(entry: QuarantineEntry, run_id: str | None) -> Origin:
    return Origin(
        kind=f"release of quarantine {entry.quarantine_id}",
        run_id=run_id,
        rules=entry.rules,
        provider=entry.provider,
        requested_at=entry.requested_at,
        request_start=entry.request_start,
        request_end=entry.request_end,
        files={} if entry.file is None else {entry.symbol: entry.file},
        landing_ids=() if entry.landing_id is None else (entry.landing_id,),
        quarantine_ids=(entry.quarantine_id,),
    )


def _rows_to_release(entry: QuarantineEntry, rows: pa.Table, *, good_rows_only: bool) -> pa.Table:
    """Return those of the entry's rows that are to be published; raise where they cannot be."""
    if entry.released_at is not None:
        raise UsageError(f"entry {entry.quarantine_id} was released on {entry.released_at:%Y-%m-%d %H:%M}Z already")
    released = good_rows(rows) if good_rows_only else rows
    if good_rows_only and not released.num_rows:
        raise GateError(f"entry {entry.quarantine_id} has no row that broke no rule")
    _refuse_unstorable(entry.quarantine_id, released)
    return released


def _partition(connection: psycopg.Connection, entry: QuarantineEntry) -> Partition:
    timeframe = Timeframe(entry.timeframe)
    instruments = {instrument.instrument_id: instrument for instrument in list_instruments(connection)}
    return Partition.of(instruments[entry.instrument_id], timeframe, timeframe.window(entry.window_key))


def _refuse_unstorable(quarantine_id: int, rows: pa.Table) -> None:
    for name in PRICES:
        values = rows[name]
        bad = values.null_count + int((~np.isfinite(values.drop_null().to_numpy())).sum())
        if bad:
            raise GateError(
                f"entry {quarantine_id} cannot be released as it is: {counted(bad, 'row has', 'rows have')} no"
                f" finite {name}; correct the"
                " source and ingest again, or release with --good-rows-only"
            )
    ts = rows["ts"].to_numpy()
    values, counts = np.unique(ts, return_counts=True)
    if (counts > 1).any():
        raise GateError(
            f"entry {quarantine_id} cannot be released as it is: {values[counts > 1][0]}Z occurs {counts.max()} times;"
            " correct the source and ingest again, or release with --good-rows-only"
        )
