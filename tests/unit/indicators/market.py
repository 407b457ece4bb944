"""Invented bars for indicators."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chandlery.indicators.windows import Floats

DAY, MINUTE = 86_400_000_000, 60_000_000


def walk(seed: int, count: int, *, tick: float = 0.0) -> dict[str, Floats]:
    """Return ``count`` bars of a random walk, on a grid of ``tick`` if there is one."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opened = np.concatenate(([100.0], close[:-1]))[:count] * np.exp(random.normal(0, 0.002, count))
    high = np.maximum(opened, close) * np.exp(np.abs(random.normal(0, 0.004, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, 0.004, count)))
    bars = {"open": opened, "high": high, "low": low, "close": close}
    if tick:
        bars = {name: np.round(values / tick) * tick for name, values in bars.items()}
    return bars | {"volume": np.round(random.lognormal(7, 1, count))}


def table_of(bars: dict[str, Floats], *, step: int = DAY, first: int = 0) -> pa.Table:
    """Return bars as a table, one every ``step`` µs."""
    count = len(bars["close"])
    ts = pa.array(first + np.arange(count, dtype=np.int64) * step).cast(pa.timestamp("us", "UTC"))
    return pa.table({"ts": ts, **{name: pa.array(values) for name, values in bars.items()}})


def columns_of(table: pa.Table) -> dict[str, Floats]:
    """Return each column as float64, with NaN for null."""
    return {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}


def assert_close(ours: Floats, theirs: Floats, what: str, *, tolerance: float = 1e-9) -> None:
    """Compare two lines: null at the same places, and equal relative to how large they are."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), what)
    scale = np.nanmax(np.abs(theirs), initial=1e-6, where=~np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale, err_msg=what)
