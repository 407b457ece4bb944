"""Which derived bars are out of date: noted by the publishing transaction, cleared by the roll-up's.

Not here: how they are computed (``rollup``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.timeframe import Timeframe, derived_from


@dataclass(frozen=True, slots=True)
class Pending:
    """A derived timeframe's stale period. ``period`` is a UTC day, or the first day of a week or month."""

    timeframe: Timeframe
    instrument_id: int
    symbol: str
    period: date
    noted_at: datetime


def note_pending(
    connection: psycopg.Connection,
    base: Timeframe,
    instrument_id: npt.NDArray[np.int32],
    ts: npt.NDArray[np.datetime64],
    now: datetime,
) -> None:
    """Note that bars of ``base`` changed, for every timeframe derived from it. Part of the caller's transaction."""
    if not base.is_ingested:
        return
    for timeframe in derived_from(base):
        periods = period_of(timeframe, ts)
        keys = np.unique(instrument_id.astype(np.int64) << 32 | periods.astype(np.int64) + (1 << 31))
        ids, days = keys >> 32, (keys & 0xFFFFFFFF) - (1 << 31)
        connection.execute(
            "INSERT INTO ops.rollup_pending (timeframe, instrument_id, period, noted_at)"
            " SELECT %s, id, date '1970-01-01' + day, %s FROM unnest(%s::int4[], %s::int4[]) AS k (id, day)"
            " ON CONFLICT (timeframe, instrument_id, period) DO UPDATE SET noted_at = excluded.noted_at",
            (timeframe.value, now, ids.tolist(), days.tolist()),
        )


def period_of(timeframe: Timeframe, ts: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Return, as ``datetime64[D]``, the period of ``timeframe`` in which each instant's derived bars are noted stale."""
    days = ts.astype("datetime64[D]")
    if timeframe is Timeframe.W1:  # 1970-01-01 was a Thursday
        return days - ((days.astype(np.int64) + 3) % 7).astype("timedelta64[D]")
    if timeframe is Timeframe.MO1:
        return days.astype("datetime64[M]").astype("datetime64[D]")
    return days
