"""Reads of bars that are filled, where that is asked for. Not here: how they are filled (``reading.fill``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chandlery.api.reads import Moment, Reads
from chandlery.bars.read import sort_by_key
from chandlery.core.arguments import check_choice
from chandlery.core.arrow import numpy_of
from chandlery.core.calendars import microseconds
from chandlery.core.grid import Grid
from chandlery.core.moments import parse_range
from chandlery.core.widths import parse_width
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.arguments import Question, ReadOptions, check_options, names_of
from chandlery.reading.fill import FILLED, FILLS, fill_slots, needed_to_fill
from chandlery.reading.formats import hand_out
from chandlery.reading.made import of_each


def extra_columns(how: ReadOptions) -> list[str]:
    """Return the columns that follow those of ``how``."""
    return [FILLED] * is_filled(how)


def is_filled(how: ReadOptions) -> bool:
    """Return whether ``how`` fills slots; raise ``UsageError`` where it says so in no way that is known."""
    return check_choice(how.fill, FILLS, name="fill") != "none"


@dataclass(frozen=True, slots=True)
class _Question:
    """What is read, in the form that reads work with."""

    symbols: list[str]
    timeframe: str
    how: ReadOptions


class Filled(Reads):
    """Reads that may be filled."""

    def _handed_out(
        self,
        symbols: list[str],
        span: tuple[Moment | None, Moment | None],
        timeframe: str,
        how: ReadOptions,
        *,
        make: Callable[[pa.Table, dict[int, str]], Any],
        form: str,
    ) -> Any:  # noqa: ANN401 - what ``make`` makes
        """Return what ``make`` makes of the bars and their symbols, and ``form`` names; a user may write to it."""
        if not is_filled(how):
            return hand_out(self._answer(Question.parse(symbols, *span, timeframe, how), make, form))
        return make(*self._read_filled(symbols, *span, timeframe, how))

    def _read_filled(
        self, symbols: list[str], start: Moment | None, end: Moment | None, timeframe: str, how: ReadOptions
    ) -> tuple[pa.Table, dict[int, str]]:
        """Return what ``_read`` returns, filled by ``how.fill``, with the column ``filled``."""
        checked = check_options(how)
        _check_can_fill(checked)
        width = parse_width(timeframe)
        first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, first, last)
        names = names_of(symbols, [each.instrument_id for each in instruments])
        grids = {each.instrument_id: Grid(width, each.calendar, checked.anchor) for each in instruments}
        # A former ticker named the instrument in this range; its bars before and after are asked for by its symbol.
        wanted = _Question([each.symbol for each in instruments], timeframe, checked)
        bars = self._around(wanted, first, last)
        known = dict.fromkeys(names, 0)
        for owner, _, ts in of_each(bars):
            known[owner] = int(ts[-1])
        low, high = (microseconds(min(max(edge, EVER[0]), EVER[1])) for edge in (first, last))
        if last < EVER[1]:
            later, _ = self._read(wanted.symbols, last, None, timeframe, checked._replace(columns=[], limit=1))
            known |= dict.fromkeys(numpy_of(later["instrument_id"]).tolist(), high)
        filled = fill_slots(bars, grids, known, low, high, limit=checked.limit)
        return filled, names

    def _around(self, wanted: _Question, first: Moment, last: Moment) -> pa.Table:
        """Return the bars of a range, and the last one before it of each instrument."""
        how = wanted.how._replace(columns=needed_to_fill(wanted.how.columns))
        bars, _ = self._read(wanted.symbols, first, last, wanted.timeframe, how)
        if first == EVER[0]:
            return bars
        before, _ = self._read(wanted.symbols, None, first, wanted.timeframe, how._replace(limit=1))
        return sort_by_key(pa.concat_tables([before, bars]).unify_dictionaries().combine_chunks())


def _check_can_fill(how: ReadOptions) -> None:
    """Refuse to fill where bars are left out, or where no calendar says which there should be."""
    named = "session='extended'" if how.session == "extended" else ""
    named = named or "final_only=True" * how.final_only or "exclude_suspect=True" * how.exclude_suspect
    if named:
        raise UsageError(
            f"fill={how.fill!r} is not possible with {named}: a slot without a bar would not be one without trades;"
            " allowed: none"
        )
