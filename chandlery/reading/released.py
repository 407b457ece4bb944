"""Which of the bars that were read a person released although they broke a rule, and which are suspect.

Not here: releasing (``ingest.release``), and finding what is suspect (``quality``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.core.arrow import number_array, to_list
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width
from chandlery.database.named_queries import query
from chandlery.errors import UsageError

#: Instrument, start and ``known_at`` of each value that a person released.
Released: TypeAlias = AbstractSet[tuple[int, datetime, datetime]]
#: Says which of some bars are handed out.
Accept: TypeAlias = Callable[[pa.Table], npt.NDArray[np.bool_]]
#: The column that says so.
RELEASED = "released"
#: The columns that have to be read for it.
NEEDED = ("known_at",)


def released_bars(
    connection: psycopg.Connection, timeframe: Timeframe, ids: Collection[int], start: datetime, end: datetime
) -> Released | None:
    """Return which values a person released in ``[start, end)``, UTC; None of derived bars, where nobody knows."""
    if not timeframe.is_ingested:
        return None
    values = {"timeframe": timeframe.value, "ids": list(ids), "start": start, "end": end}
    rows = connection.execute(query("reading/released_bars"), values).fetchall()
    return {(owner, ts, known_at) for owner, ts, known_at in rows}


def suspect_bars(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    ids: Collection[int],
    start: datetime,
    end: datetime,
    *,
    as_of: datetime | None = None,
) -> Released:
    """Return which values were confirmed as false prints in ``[start, end)``, UTC; by ``as_of``, if it is given.

    Raises:
        UsageError: the bars are derived; what they are derived from would have to be without them.
    """
    check_knows_suspects(timeframe)
    values = {"timeframe": timeframe.value, "ids": list(ids), "start": start, "end": end, "as_of": as_of}
    rows = connection.execute(query("reading/suspect_bars"), values).fetchall()
    return {(owner, ts, known_at) for owner, ts, known_at in rows}


def check_knows_suspects(width: Width | Timeframe) -> None:
    """Raise ``UsageError`` of derived bars: what they are derived from would have to be without false prints."""
    stored, name = (width, width.value) if isinstance(width, Timeframe) else (width.stored, width.name)
    if stored is None or not stored.is_ingested:
        raise UsageError(f"exclude_suspect=True is not known of timeframe={name!r}; allowed: 1m 1d")


def released_column(bars: pa.Table, released: Released | None) -> pa.Array:
    """Return for each of ``bars`` whether its value is one of ``released``; null where that is not known."""
    if released is None:
        return pa.nulls(bars.num_rows, pa.bool_())
    return number_array(are_among(bars, released))


def acceptance(accept: Accept | None, suspect: Released) -> Accept | None:
    """Return what says which bars are handed out: those that ``accept`` takes and that are not ``suspect``."""
    return both(accept, (lambda bars: ~are_among(bars, suspect)) if suspect else None)


def both(first: Accept | None, second: Accept | None) -> Accept | None:
    """Return what says which bars both take; None, where neither leaves any out."""
    if first is None or second is None:
        return first or second
    return lambda bars: np.logical_and(first(bars), second(bars))


def are_among(bars: pa.Table, values: Released) -> npt.NDArray[np.bool_]:
    """Return which of ``bars`` have one of ``values``."""
    if not values:
        return np.zeros(bars.num_rows, np.bool_)
    keys = zip(*(to_list(bars[name]) for name in ("instrument_id", "ts", "known_at")), strict=True)
    return np.fromiter((key in values for key in keys), np.bool_, bars.num_rows)
