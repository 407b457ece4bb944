"""What every part of the Python interface has: a warehouse to read, and one way to read bars from it.

Here symbols become instruments, and the other way round. Not here: where bars are and how they are read (``reading``),
and what makes a bar final (``coverage.finality``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Literal, Self, TypeAlias

import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.core.arguments import check_texts
from chandlery.core.moments import parse_range
from chandlery.core.text import shorten
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import parse_width
from chandlery.core.windows import EVER
from chandlery.coverage.filled import check_filled
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.arguments import (
    STATE,
    ReadOptions,
    accepted_of,
    check_options,
    check_stored,
    missing_of,
    names_of,
)
from chandlery.reading.bars import read_bars
from chandlery.reading.made import make_shape, read_made
from chandlery.reading.released import NEEDED, RELEASED, acceptance, both, released_bars, released_column, suspect_bars
from chandlery.reading.tail import read_tail
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

Moment: TypeAlias = str | date | datetime
Output: TypeAlias = Literal["pandas", "arrow", "polars"]


class Reads:
    """A warehouse that is read. The parts of ``DataAPI`` derive from it.

    Args:
        warehouse: where to read; the installation's own by default (see ``Settings``).
    """

    def __init__(self, warehouse: Warehouse | None = None) -> None:
        self._warehouse = warehouse or Warehouse.open(Settings())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Say where it reads, without any secret."""
        return f"<{type(self).__name__} {self._warehouse.describe()}>"

    def close(self) -> None:
        """Close the connections to the database; one that is in use, when its read ends. The next read opens others."""
        self._warehouse.close()

    @repeat_read_once
    def _read(
        self,
        symbols: Sequence[str],
        start: Moment | None,
        end: Moment | None,
        timeframe: str,
        how: ReadOptions,
    ) -> tuple[pa.Table, dict[int, str]]:
        """Return the bars, sorted by instrument and time, and the symbol that each instrument was requested by."""
        how, width = check_options(how), parse_width(timeframe)
        columns, limit, moment, final_only = how.columns, how.limit, how.as_of, how.final_only
        first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        finality = released = None
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, first, last)
            names = names_of(symbols, instruments)
            calendars = {instrument.instrument_id: instrument.calendar for instrument in instruments}
            shape = make_shape(width, calendars, first, last, hours=how.session, anchor=how.anchor)
            base = shape.base
            if not shape.is_stored:
                check_stored(width.name, how)
            if final_only or STATE in columns:
                from chandlery.coverage.finality import read_finality  # noqa: PLC0415 - see ``lineage``

                finality = read_finality(connection, base, instruments, first, last, as_of=moment)
            if RELEASED in columns:
                released = released_bars(connection, base, names, first, last)
            suspect = suspect_bars(connection, base, names, first, last, as_of=moment) if how.exclude_suspect else set()
        if not shape.is_stored:
            bars = read_made(self._warehouse, shape, first, last, limit=limit, as_of=moment, columns=columns)
            self._check_filled(base, bars, names)
            return bars, names
        ranges = [BarRange(instrument_id, first, last) for instrument_id in names]
        marked = NEEDED if RELEASED in columns or suspect else ()
        needed = {*columns, *(finality.columns if finality else ()), *marked}
        accept = acceptance(finality.are_final if finality is not None and final_only else None, suspect)
        accept = both(accept, shape.in_hours if shape.divides_sessions else None)
        if limit is None:
            bars = read_bars(self._warehouse, base, ranges, as_of=moment, columns=needed)
            bars = bars if accept is None else accepted_of(bars, accept(bars))
        else:
            bars = read_tail(self._warehouse, base, ranges, limit, as_of=moment, columns=needed, accept=accept)
        self._check_filled(base, bars, names)
        if finality is not None and STATE in columns:
            bars = bars.append_column(STATE, finality.states(bars))
        if RELEASED in columns:
            bars = bars.append_column(RELEASED, released_column(bars, released))
        return bars, names

    def _check_filled(self, timeframe: Timeframe, bars: pa.Table, names: Mapping[int, str]) -> None:
        """Raise where nobody fills ``timeframe`` for an instrument of which there are no bars."""
        if missing := missing_of(bars, names):
            with self._warehouse.connection() as connection:
                check_filled(connection, timeframe, missing)

    @staticmethod
    def _symbols(symbols: object) -> list[str]:
        """Return ``symbols``, or those of the preset that they name."""
        if not isinstance(symbols, str):
            return check_texts(symbols, name="symbols", example="AAPL")
        from chandlery.config.universe import load_universe  # noqa: PLC0415 - slow to import, and few reads need it
        from chandlery.config.yaml_document import list_choices  # noqa: PLC0415

        path = Settings().config / "universe.yaml"
        presets = load_universe(path).presets if path.is_file() else {}
        if symbols not in presets:
            known = list_choices(presets, symbols) or "none"
            raise UsageError(
                f"symbols={shorten(symbols)} is no preset; write [{shorten(symbols)}] for a symbol; presets: {known}"
            )
        return list(presets[symbols])
