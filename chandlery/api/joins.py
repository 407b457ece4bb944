"""Bars beside the rows of a caller's own table. Not here: which bar belongs to a row (``inference.asof``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import pyarrow as pa

from chandlery.api.reads import Reads
from chandlery.bars.read import sort_by_key
from chandlery.core.arguments import check_choice, check_text, check_texts
from chandlery.core.arrow import empty_table
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.grid import Grid
from chandlery.core.schema import STORED
from chandlery.core.text import shorten
from chandlery.core.widths import Width, parse_width
from chandlery.core.windows import EVER, instant
from chandlery.errors import UsageError
from chandlery.inference.asof import last_known
from chandlery.inference.known import Knowledge, View
from chandlery.inference.table_times import CallerTable
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.arguments import ReadOptions, check_columns
from chandlery.reading.made import of_each

Table = TypeVar("Table")
_VALUES = ("open", "high", "low", "close", "volume")
_RULES = ("as_published", "as_learned")


class _Needed(NamedTuple):
    """What a join needs of bars: which columns, by which rule they are known, and how old they may be, µs."""

    names: Sequence[str]
    width: Width
    view: View
    tolerance: int | None


class Joins(Reads):
    """Bars beside rows of a caller's table.

    Examples:
        >>> import pandas as pd
        >>> news = pd.DataFrame({"ts": pd.to_datetime(["2024-06-04T19:59Z", "2024-06-04T20:00Z"]), "id": [1, 2]})
        >>> api.asof_join(news, "AAPL", timeframe="1d", columns=["close"])["close"].tolist()
        [9.5, 10.5]
    """

    def asof_join(
        self,
        left: Table,
        symbols: str | Iterable[str] | None = None,
        *,
        on: str = "ts",
        by: str | None = None,
        tolerance: timedelta | None = None,
        columns: Iterable[str] = _VALUES,
        timeframe: str = "1m",
        prefix: str = "",
        knowledge: str = "as_published",
        latency: timedelta = timedelta(),
    ) -> Table:
        """Return ``left`` with the last bar that was known at each row's time beside it; null where there is none.

        A bar is known from the instant on at which it ends: of minutes and hours, its start plus its width; of a day
        and wider, the close of its last session. Rows may be in any order; their columns and index stay as they are.

        Args:
            left: a table of pandas or polars.
            symbols: whose bars: one symbol for all rows; or, with ``by``, those whose rows get bars, all by default.
            on: the column, or level of a pandas index, with the times: of any unit, in any zone.
            by: the column with each row's symbol.
            tolerance: how long before the row's time its bar may have ended at most.
            columns: of the bar, as of ``get_ohlc`` without ``state`` and ``released``, and ``ts``, its start.
            timeframe: of any width and spelling.
            prefix: before the names of these columns.
            knowledge: ``as_published``, as above; or ``as_learned``: also not before its values were learned here.
            latency: how long after its end a bar is published, where it counts as published.

        Raises:
            UnknownSymbolError: no instrument goes by a name.
            UsageError: any other argument is wrong, such as times without a zone; the text names it.
        """
        table, age = CallerTable(left), _micros(tolerance, "tolerance")
        rule = cast("Knowledge", check_choice(knowledge, _RULES, name="knowledge"))
        delay = timedelta(microseconds=_micros(latency, "latency") or 0)
        names = check_columns(columns, others=("ts",))
        needed = _Needed(names, parse_width(timeframe), View(EVER[1], rule, delay), age)
        if not isinstance(prefix, str):
            raise UsageError(f"prefix={shorten(prefix)} is no text")
        table.check_free([f"{prefix}{name}" for name in names])
        times, there = table.times(on)
        wanted, rows = _rows_of(table, symbols, by, len(times))
        rows = np.where(there, rows, -1)
        bars, known = self._bars_around(wanted, times[rows >= 0], needed)
        places = last_known(times, rows, known, tolerance=age)
        found = pa.array(places, mask=places < 0)
        return cast("Table", table.beside({f"{prefix}{name}": bars[name].take(found) for name in names}))

    def _bars_around(
        self, symbols: list[str], times: Int64s, needed: _Needed
    ) -> tuple[pa.Table, dict[int, tuple[int, Int64s, Int64s]]]:
        """Return the bars that may be the last ones known, and by the place of each symbol, where its bars are."""
        begin, end = (int(times.min()), int(times.max()) + 1) if len(times) else (0, 1)
        first, last = _instant(begin), _instant(end)
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, first, last)
        canonical = list(dict.fromkeys(each.symbol for each in instruments))
        how = ReadOptions([name for name in needed.names if name not in {"ts", "known_at"}] + ["known_at"], "arrow")
        bars = empty_table(STORED).select(["instrument_id", "ts", *how.columns])
        if canonical and len(times):
            bars = self._until(canonical, begin, last, needed, how)
        grids = {each.instrument_id: Grid(needed.width, each.calendar) for each in instruments}
        found = {}
        for owner, part, ts in of_each(bars):
            one = bars.slice(part.start, part.stop - part.start)
            found[owner] = (part.start, needed.view.available_at(one, grids), grids[owner].ends(ts))
        owners = enumerate(each.instrument_id for each in instruments)
        return bars, {place: found[owner] for place, owner in owners if owner in found}

    def _until(self, symbols: list[str], begin: int, last: datetime, needed: _Needed, how: ReadOptions) -> pa.Table:
        """Return the bars that start before ``last``, from the last one on that had ended for long at ``begin``."""
        width, name = needed.width, needed.width.name
        if needed.view.knowledge == "as_learned":  # the last one that was learned may be any
            return self._read(symbols, None, last, name, how)[0]
        age = needed.view.latency + timedelta(days=width.count * {"m": 0, "d": 1, "w": 7, "mo": 31}[width.unit] + 8)
        first = _instant(begin - age // timedelta(microseconds=1) - (needed.tolerance or 0))
        bars, _ = self._read(symbols, first, last, name, how)
        if needed.tolerance is not None or first <= EVER[0]:
            return bars
        before, _ = self._read(symbols, None, first, name, how._replace(limit=1))
        return sort_by_key(pa.concat_tables([before, bars]).unify_dictionaries().combine_chunks())


def _rows_of(
    table: CallerTable, symbols: str | Iterable[str] | None, by: str | None, count: int
) -> tuple[list[str], Int64s]:
    """Return the symbols whose bars are read, and each row's place among them; -1 for none."""
    given = None
    if symbols is not None:
        is_one = isinstance(symbols, str)
        given = [check_text(symbols, name="symbols", example="AAPL")] if is_one else None
        given = given or check_texts(symbols, name="symbols", example="AAPL", distinct=True)
    if by is not None:
        found, rows = table.symbols(by)
        wanted = found if given is None else given
        place_of = {symbol: place for place, symbol in enumerate(wanted)}
        places = np.array([*(place_of.get(symbol, -1) for symbol in found), -1], np.int64)
        return wanted, places[rows]
    if given is None or len(given) != 1:
        raise UsageError(f"symbols={shorten(symbols)} is not one symbol; name with by the column that says whose")
    return given, np.zeros(count, np.int64)


def _instant(micros: int) -> datetime:
    low, high = (microseconds(edge) for edge in EVER)
    return instant(min(max(micros, low), high))


def _micros(value: Any, name: str) -> int | None:  # noqa: ANN401 - whatever a caller gives
    if value is None and name == "tolerance":
        return None
    if not isinstance(value, timedelta) or value != value or value < timedelta():  # noqa: PLR0124 - as pandas' NaT is
        raise UsageError(f"{name}={shorten(value)} is not allowed; give a timedelta, 0 or more")
    return int(value // timedelta(microseconds=1))
