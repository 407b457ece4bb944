"""Tables of bars as the cache keeps them, and a comparison that sees every bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chandlery.core.schema import STORED


def bars(rows: int, seed: int = 0) -> pa.Table:
    """Return ``rows`` minutes of one instrument, with a null in each column that may have one."""
    random = np.random.default_rng(seed)
    columns = {
        "instrument_id": pa.array(np.full(rows, 17, np.int32)),
        "ts": pa.array(np.arange(rows) * 60_000_000).cast(STORED.field("ts").type),
        **{name: pa.array(np.round(random.normal(100, 1, rows), 2)) for name in ("open", "high", "low", "close")},
        **{name: pa.array(random.random(rows), mask=np.arange(rows) == 1) for name in ("volume", "vwap")},
        "trades": pa.array(random.integers(0, 99, rows).astype(np.int32), mask=np.arange(rows) == 2),
        "source": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["alpaca:sip"]),
        "known_at": pa.array(np.full(rows, 1)).cast(STORED.field("known_at").type),
    }
    return pa.table([columns[name] for name in STORED.names], schema=STORED)


def bits(table: pa.Table) -> tuple[pa.Schema, int, list[list[object]]]:
    """Return everything that may differ between two tables: schema, rows, values; doubles by their bits."""
    values = []
    for column in table.columns:
        if pa.types.is_float64(column.type):
            raw = [chunk.view(pa.int64()) for chunk in column.chunks]  # a NaN has many forms
            values.append([value for chunk in raw for value in chunk.to_pylist()])
        elif pa.types.is_timestamp(column.type):
            values.append(column.cast(pa.int64()).to_pylist())
        else:
            values.append(column.to_pylist())
    return table.schema, table.num_rows, values


def is_one_chunk(table: pa.Table) -> bool:
    return all(column.num_chunks == 1 for column in table.columns)
