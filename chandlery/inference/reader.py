"""Reads what frames are made of: the bars of each width of all symbols at once.

Not here: which of them were known (``known``), and the parts of a frame (``parts``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import empty_table, numpy_of
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width, parse_width
from chandlery.core.windows import EVER, instant
from chandlery.errors import UnfilledTimeframeError
from chandlery.inference.first_values import with_first_values
from chandlery.inference.known import Knowledge, View
from chandlery.inference.parts import Known, after_of, make_known
from chandlery.inference.request import Request
from chandlery.inference.sources import where
from chandlery.instruments.registry import Instrument
from chandlery.reading.arguments import ReadOptions
from chandlery.reading.made import make_shape, of_each
from chandlery.reading.released import suspect_bars
from chandlery.reading.warmup import suspect_rows
from chandlery.tiers.warehouse import Warehouse

#: Reads bars of symbols: their range, width and options; returns them by instrument, and what each is called.
Read: TypeAlias = Callable[
    [list[str], datetime | None, datetime | None, str, ReadOptions], tuple[pa.Table, dict[int, str]]
]
MINUTES = parse_width("1m")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was known of one instrument at a moment.

    Attributes:
        view: from when, and by which rule.
        known: by width, of this instrument and others.
    """

    view: View
    known: Mapping[str, Known]


class Reader:
    """Reads what one request asks for.

    Args:
        warehouse: where the bars are.
        read: reads bars.
        request: what is asked for.
        minutes: whether minutes are read though no timeframe has them.
    """

    def __init__(self, warehouse: Warehouse, read: Read, request: Request, *, minutes: bool) -> None:
        self._warehouse, self._read, self._request = warehouse, read, request
        self._suspects: dict[tuple[Timeframe, tuple[int, ...]], set[int]] = {}
        self._extra = [MINUTES] * (minutes and MINUTES not in request.widths)

    def look(self, instruments: Sequence[Instrument]) -> dict[int, Seen]:
        """Return what was known of each instrument."""
        request = self._request
        rule: Knowledge = "as_published" if request.knowledge == "as_published" else "as_learned"
        seen = self._see(instruments, rule)
        if request.knowledge == "auto" and not request.is_now:
            unknown = [each for each in instruments if not _has_bars(seen[each.instrument_id], each.instrument_id)]
            published = self._see(unknown, "as_published") if unknown else {}
            seen |= {owner: each for owner, each in published.items() if _has_bars(each, owner)}
        return seen

    def after(self, instruments: Sequence[Instrument]) -> pa.Table | None:
        """Return the minutes that ended after the moment, as they are today; None where none are asked for."""
        request = self._request
        if not request.after:
            return None
        how = ReadOptions([*request.columns], "arrow")
        begin = request.moment - timedelta(minutes=1)
        symbols = [each.symbol for each in instruments]
        try:
            bars, _ = self._read(symbols, begin, request.moment + request.after, "1m", how)
        except UnfilledTimeframeError:
            bars = _no_bars(request.columns)
        return after_of(bars, request.moment)

    def sources(self, seen: Mapping[int, Seen]) -> dict[str, str]:
        """Return where the bars of each width were: ``store``, ``lake``, or both; of all instruments together."""
        found = {}
        for width in self._request.widths:
            base = width.stored or width.bases[0]
            tables = [
                known.bars for known in {id(k): k for k in (each.known[width.name] for each in seen.values())}.values()
            ]
            found[width.name] = where(self._warehouse, base, tables)
        return found

    def _see(self, instruments: Sequence[Instrument], rule: Knowledge) -> dict[int, Seen]:
        request = self._request
        view = View(request.moment, rule, request.latency if rule == "as_published" else timedelta())
        known = {width.name: self._known(instruments, width, view) for width in (*request.widths, *self._extra)}
        return {each.instrument_id: Seen(view, known) for each in instruments}

    def _known(self, instruments: Sequence[Instrument], width: Width, view: View) -> Known:
        calendars = {each.instrument_id: each.calendar for each in instruments}
        bars = self._bars(instruments, width, view)
        suspect = self._suspect(width, bars, calendars) if self._request.indicators else np.empty(0, np.int64)
        request = self._request
        return make_known(
            width, bars, view, calendars, indicators=request.indicators, suspect=suspect, shown=request.limit
        )

    def _bars(self, instruments: Sequence[Instrument], width: Width, view: View) -> pa.Table:
        """Return the last bars of a width that began before the moment, with the values that count."""
        request, symbols = self._request, [each.symbol for each in instruments]
        if not symbols:
            return _no_bars(request.needed)
        learned = view.knowledge == "as_learned" and not request.is_now
        how = ReadOptions(request.needed, "arrow", request.count(width), view.moment if learned else None)
        # Of now, the end is open, so that the same question is asked until something is published.
        end = None if request.is_now else view.moment
        try:
            bars, _ = self._read(symbols, None, end, width.name, how)
            if request.is_now and _has_later(bars, view.moment):
                # Published since: what they were before is asked for.
                bars, _ = self._read(symbols, None, view.moment, width.name, how._replace(as_of=view.moment))
        except UnfilledTimeframeError:
            if width not in self._extra:
                raise
            return _no_bars(request.needed)
        if view.knowledge == "as_published" and width.stored is not None:
            bars = with_first_values(self._warehouse.database, width.stored, bars, view.moment)
        return bars

    def _suspect(self, width: Width, bars: pa.Table, calendars: Mapping[int, str]) -> Int64s:
        """Return the places of bars that were confirmed as false prints by the moment, or were made from one."""
        base = Timeframe.M1 if width.is_intraday else Timeframe.D1
        if not bars.num_rows:
            return np.empty(0, np.int64)
        moment = self._request.moment
        first = instant(int(numpy_of(bars["ts"]).view(np.int64).min()))
        owners = self._with_suspects(base, tuple(calendars))
        places = [np.empty(0, np.int64)]
        for owner, part, _ in of_each(bars) if owners else ():
            if owner in owners:
                one = bars.slice(part.start, part.stop - part.start)
                shape = make_shape(width, {owner: calendars[owner]}, first, moment, hours="all", anchor="utc")
                rows = suspect_rows(self._warehouse, shape, one, as_of=moment)
                places.append(np.flatnonzero(rows) + part.start)
        return np.concatenate(places)

    def _with_suspects(self, base: Timeframe, ids: tuple[int, ...]) -> set[int]:
        """Return which instruments had any false print confirmed by the moment; looked up once for all widths."""
        if (base, ids) not in self._suspects:
            with self._warehouse.connection() as connection:
                found = suspect_bars(connection, base, ids, *EVER, as_of=self._request.moment)
            self._suspects[base, ids] = {owner for owner, _, _ in found}
        return self._suspects[base, ids]


def _no_bars(columns: Sequence[str]) -> pa.Table:
    return empty_table(STORED).select(["instrument_id", "ts", *columns])


def _has_bars(seen: Seen, owner: int) -> bool:
    return any(owner in known.places for known in seen.known.values())


def _has_later(bars: pa.Table, moment: datetime) -> bool:
    """Return whether the values of any of ``bars`` were learned after ``moment``."""
    return bool((numpy_of(bars["known_at"]).view(np.int64) > microseconds(moment)).any())
