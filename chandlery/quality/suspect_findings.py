"""Suspect prints as findings: marked with the bars that are published, confirmed or cleared by the bar after.

Not here: which bars are suspect (``suspects``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.database.named_queries import query
from chandlery.quality.findings import GATE
from chandlery.quality.suspects import DAILY, INTRADAY, PAST, Prices, find_suspects

RULE = "suspect_print"
_VALUES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """Bars of one instrument: their starts, µs since the epoch, and a column for each of ``_VALUES``."""

    ts: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def record_suspects(
    connection: psycopg.Connection, timeframe: Timeframe, bars: pa.Table, ids: Mapping[str, int]
) -> None:
    """Record which of the bars that were just published are suspect, and what they say of the bar before. Idempotent.

    Args:
        connection: in the transaction that published them.
        timeframe: of the bars.
        bars: schema ``BARS``, sorted by symbol and ts.
        ids: instrument id by symbol.
    """
    batch = {ids[symbol]: series for symbol, series in _by_symbol(bars)}
    if not batch:
        return
    table = sql.Identifier("market", timeframe.table)
    around = _neighbours(connection, table, batch)
    looked, marks = [], []
    for owner, series in batch.items():
        first, found = _judge(series, around.get(owner), timeframe)
        looked.append((owner, instant(first), instant(int(series.ts[-1]))))
        marks += [(owner, instant(ts), timeframe.window_of(instant(ts)).key, state) for ts, state in found]
    owners, firsts, lasts = (list(column) for column in zip(*looked, strict=True))
    suspect_ids, suspect_ts, windows, states = ([mark[place] for mark in marks] for place in range(4))
    common = {"timeframe": timeframe.value, "rule": RULE, "closed_by": GATE}
    range_of = {"ids": owners, "firsts": firsts, "lasts": lasts}
    suspects = {"suspect_ids": suspect_ids, "suspect_ts": suspect_ts}
    connection.execute(query("quality/clear_suspects"), {**common, **range_of, **suspects})
    if marks:
        values = {"ids": suspect_ids, "ts": suspect_ts, "windows": windows, "states": states}
        width = {"width": f"{timeframe.microseconds} microseconds"}
        connection.execute(query("quality/record_suspects", bars=table), {**common, **values, **width})


def _judge(series: _Series, around: _Series | None, timeframe: Timeframe) -> tuple[int, list[tuple[int, str]]]:
    """Return the first bar that was looked at, and the suspect ones, each ``open`` or ``confirmed``."""
    whole = series
    if around is not None:
        order = np.argsort(ts := np.concatenate((series.ts, around.ts)), kind="stable")
        whole = _Series(ts[order], np.concatenate((series.values, around.values))[order])
    suspects = find_suspects(Prices(*whole.values.T), INTRADAY if timeframe.is_intraday else DAILY)
    at = int(np.searchsorted(whole.ts, series.ts[0]))
    first, last = int(whole.ts[max(at - 1, 0)]), int(series.ts[-1])
    states = ((suspects.confirmed, "confirmed"), (suspects.open, "open"))
    found = [(int(ts), state) for places, state in states for ts in whole.ts[places] if first <= ts <= last]
    return first, found


def _by_symbol(bars: pa.Table) -> Iterator[tuple[str, _Series]]:
    if not bars.num_rows:
        return
    symbol = bars["symbol"].combine_chunks()
    codes = symbol.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ts = bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
    values = np.column_stack([bars[name].to_numpy() for name in _VALUES])
    for start, stop in zip(starts, [*starts[1:], len(codes)], strict=True):
        yield symbol.dictionary[int(codes[start])].as_py(), _Series(ts[start:stop], values[start:stop])


def _neighbours(
    connection: psycopg.Connection, table: sql.Identifier, batch: Mapping[int, _Series]
) -> dict[int, _Series]:
    """Return the stored bars just before and just after those of ``batch``, by instrument."""
    variables = {
        "ids": list(batch),
        "firsts": [instant(int(series.ts[0])) for series in batch.values()],
        "lasts": [instant(int(series.ts[-1])) for series in batch.values()],
        "past": PAST + 2,
    }
    rows: dict[int, list[tuple[int, list[float]]]] = {}
    for owner, ts, *cells in connection.execute(query("quality/neighbours", bars=table), variables):
        micros = int(np.datetime64(ts.replace(tzinfo=None), "us").astype(np.int64))
        rows.setdefault(owner, []).append((micros, [np.nan if cell is None else cell for cell in cells]))
    return {
        owner: _Series(
            np.array([ts for ts, _ in found], np.int64), np.array([values for _, values in found], np.float64)
        )
        for owner, found in rows.items()
    }
