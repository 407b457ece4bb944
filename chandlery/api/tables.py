"""The tables of what is known about bars: their columns, and how records become rows. Not here: finding the records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from chandlery.core.schema import TS

_TEXTS = pa.list_(pa.string())

#: Schema of ``coverage``; see ``coverage.summary.Summary``.
COVERAGE = pa.schema(
    [
        *((name, pa.string()) for name in ("symbol", "timeframe")),
        ("rows", pa.int64()),
        *((name, TS) for name in ("first_ts", "last_ts")),
        ("sources", _TEXTS),
        *((name, pa.int64()) for name in ("expected", "present", "missing")),
        *((name, pa.int64()) for name in ("slots_expected", "slots_present", "outside")),
        ("stale_since", TS),
        ("findings", pa.int64()),
    ]
)
#: Schema of ``missing_sessions``; ``last`` is inclusive.
MISSING = pa.schema(
    [
        *((name, pa.string()) for name in ("symbol", "timeframe")),
        *((name, pa.date32()) for name in ("first", "last")),
        ("sessions", pa.int64()),
    ]
)
#: Schema of ``instruments``; see ``instruments.registry.Instrument``.
INSTRUMENTS = pa.schema(
    [
        ("symbol", pa.string()),
        ("instrument_id", pa.int32()),
        *((name, pa.string()) for name in ("asset_class", "calendar", "provider")),
        ("timeframes", _TEXTS),
        ("name", pa.string()),
        *((name, pa.date32()) for name in ("listed", "delisted")),
        ("in_universe", pa.bool_()),
    ]
)
#: Schema of ``aliases``: ``ticker`` named it in ``[valid_from, valid_until)``; null where there is no such limit.
ALIASES = pa.schema(
    [
        *((name, pa.string()) for name in ("symbol", "ticker")),
        *((n, pa.date32()) for n in ("valid_from", "valid_until")),
    ]
)
#: Schema of ``halts``: trading was halted in ``[start, end)``.
HALTS = pa.schema([("symbol", pa.string()), ("start", TS), ("end", TS), ("reason", pa.string())])
#: Schema of ``quarantine``; see ``ingest.quarantine.QuarantineEntry``.
QUARANTINE = pa.schema(
    [
        ("quarantine_id", pa.int64()),
        ("instrument_id", pa.int32()),
        *((name, pa.string()) for name in ("symbol", "timeframe", "window_key", "kind", "provider", "reason")),
        ("row_count", pa.int64()),
        *((name, TS) for name in ("arrived_at", "released_at")),
        *((name, pa.string()) for name in ("release_reason", "released_by")),
        *((name, pa.bool_()) for name in ("good_rows_only", "replaced")),
        ("landing_id", pa.int64()),
        *((name, pa.string()) for name in ("run_id", "rules")),
        *((name, TS) for name in ("requested_at", "request_start", "request_end")),
        ("file", pa.string()),
    ]
)


def table_of(records: Iterable[object], schema: pa.Schema, **columns: Iterable[Any]) -> pa.Table:
    """Return a row for each record: its attributes of the names in ``schema``, or what ``columns`` says instead."""
    rows = list(records)
    arrays = [
        pa.array(columns.get(field.name) or [getattr(row, field.name) for row in rows], field.type) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def with_timeframe(table: pa.Table, timeframe: str) -> pa.Table:
    """Return ``table`` with ``timeframe`` as its second column."""
    return table.add_column(1, pa.field("timeframe", pa.string()), pa.array([timeframe] * table.num_rows, pa.string()))
