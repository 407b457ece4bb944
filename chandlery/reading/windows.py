"""What one state of the database says of windows: who they are of, their versions, and which files hold these.

A version is told by when the window changed; no two have the same, because a publication is known later than any of its
timeframe before. Not here: what is read where (``planner``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
import psycopg

from chandlery.bars.read import BarRange
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import window_end
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query
from chandlery.tiers.warehouse import Warehouse


class Window(NamedTuple):
    """One window of one instrument, in one version.

    Attributes:
        instrument_id: whose bars.
        start: first day of the window.
        changed_at: when a publication last changed it, UTC: no two versions have the same.
        cold: whether it left the store, so that the lake alone answers for it.
        manifest_id: of the entry whose file holds just this version; None where there is none.
        file_digest: of the footer of that file.
    """

    instrument_id: int
    start: date
    changed_at: datetime
    cold: bool
    manifest_id: int | None
    file_digest: bytes | None


class Named(NamedTuple):
    """What a read knows of an instrument."""

    symbol: str
    calendar: str


class State(NamedTuple):
    """What one state of the database says of the windows of some instruments. Equal states have equal bars.

    Attributes:
        timeframe: of the bars.
        epoch: how many times windows of ``timeframe`` had left the store, or come back.
        instruments: by id.
        windows: sorted by instrument and start.
        asked: the ids of the instruments that a symbol named in the range, by symbol. There may be none, or several.
        origin: which database this is, wherever it stands; None while it has no lake.
    """

    timeframe: Timeframe
    epoch: int
    instruments: Mapping[int, Named]
    windows: Sequence[Window]
    asked: Mapping[str, Sequence[int]]
    origin: str | None

    @property
    def version(self) -> tuple[object, ...]:
        """What is equal exactly if the bars, and who they are of, are."""
        changes = tuple((window.instrument_id, window.start, window.changed_at) for window in self.windows)
        return (tuple(self.instruments.items()), changes)


def look(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    *,
    symbols: Collection[str] = (),
    ids: Iterable[int] = (),
) -> State:
    """Return the state of the windows that overlap ``[start, end)``, UTC, in one round trip.

    Args:
        connection: to the database.
        timeframe: of the bars.
        start: inclusive.
        end: exclusive.
        symbols: canonical symbols, and aliases of any day in the range.
        ids: of other instruments that are meant.
    """
    values = {
        "timeframe": timeframe.value,
        "since": timeframe.window_of(start).start.date(),
        "until": window_end(timeframe, end.date()).date(),
        "start": start,
        "end": end,
        # What cannot be a name at all, a server would refuse in words of its own.
        "symbols": [symbol for symbol in symbols if symbol.isprintable()],
        "ids": Column(np.fromiter(ids, np.int32)),
    }
    rows = connection.execute(query("reading/windows"), values, binary=True).fetchall()
    asked: dict[str, dict[int, None]] = defaultdict(dict)
    instruments: dict[int, Named] = {}
    windows: dict[Window, None] = {}
    for _, _, name, number, symbol, calendar, first, *version in rows:
        instruments[number] = Named(symbol, calendar)
        if name is not None:
            asked[name][number] = None
        if first is not None:
            windows[Window(number, first, *version)] = None
    epoch, origin = rows[0][:2] if rows else (0, None)
    named = {name: list(owners) for name, owners in asked.items()}
    return State(timeframe, epoch or 0, instruments, tuple(windows), named, origin)


def look_at(warehouse: Warehouse, timeframe: Timeframe, ranges: Sequence[BarRange]) -> State:
    """Return the state of the windows that hold ``ranges``, one or more; see ``look``."""
    start, end = min(each.start for each in ranges), max(each.end for each in ranges)
    with warehouse.connection() as connection:
        return look(connection, timeframe, start, end, ids={each.instrument_id for each in ranges})
