"""What every part of the Python interface has: a warehouse to read, and one way to read bars from it.

Here symbols become instruments, and the other way round. Not here: where bars are and how they are read (``reading``),
and what makes a bar final (``coverage.finality``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias, TypeVar, cast

import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.cache.cache import Cache
from chandlery.cache.memory import MemoryCache
from chandlery.cache.opening import open_cache
from chandlery.core.arguments import check_texts
from chandlery.core.text import shorten
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.filled import check_filled
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.arguments import (
    STATE,
    Question,
    ReadOptions,
    accepted_of,
    check_stored,
    missing_of,
    names_of,
)
from chandlery.reading.bars import read_bars, wait_for_writers
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.made import Shape, make_shape, read_made
from chandlery.reading.released import (
    NEEDED,
    RELEASED,
    Released,
    acceptance,
    both,
    released_bars,
    released_column,
    suspect_bars,
)
from chandlery.reading.tail import read_tail
from chandlery.reading.windows import State, look
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

Moment: TypeAlias = str | date | datetime
Output: TypeAlias = Literal["pandas", "arrow", "polars"]

_Answer = TypeVar("_Answer")


class _Looked(NamedTuple):
    """What a question is about: the state of its windows, the bars' shape, and the symbol of each instrument."""

    state: State
    shape: Shape
    names: tuple[tuple[int, str], ...]


class Reads:
    """A warehouse that is read. The parts of ``DataAPI`` derive from it.

    Args:
        warehouse: where to read; the installation's own by default (see ``Settings``).
        cache: keeps what was read; by default as ``Settings`` say, and of another warehouse in memory alone.
    """

    def __init__(self, warehouse: Warehouse | None = None, *, cache: Cache | None = None) -> None:
        settings = Settings()
        if cache is None:
            cache = open_cache(settings) if warehouse is None else Cache(MemoryCache(settings.cache_memory))
        self._warehouse = warehouse or Warehouse.open(settings)
        self._cache = cache
        self._files = LakeFiles(self._cache)

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
        self._cache.close()

    def _read(
        self,
        symbols: Sequence[str],
        start: Moment | None,
        end: Moment | None,
        timeframe: str,
        how: ReadOptions,
    ) -> tuple[pa.Table, dict[int, str]]:
        """Return the bars, sorted by instrument and time, and the symbol that each instrument was requested by."""
        return self._answer(Question.parse(symbols, start, end, timeframe, how), _as_it_is, "bars")

    @repeat_read_once
    def _answer(
        self, question: Question, make: Callable[[pa.Table, dict[int, str]], _Answer], *form: Hashable
    ) -> _Answer:
        """Return what ``make`` makes of the bars, sorted by instrument and time, and of the symbols by instrument.

        What was made once is returned again while the bars are the same. Whoever hands it out copies what a user may
        write to. ``form`` names what ``make`` does.
        """
        looked = self._look(question)
        key, version = (question, form), (looked.state.version, looked.names)
        if question.is_plain:
            kept = self._cache.get_answer(key, version)
            if kept is not None:
                return cast("_Answer", kept)
        names = dict(looked.names)
        bars = self._read_bars(question, looked.state, looked.shape, names)
        answer = make(bars, names)
        if self._check_filled(looked.shape.base, bars, names, looked.shape.width.name) and question.is_plain:
            self._cache.put_answer(key, version, answer, bars.nbytes)
        return answer

    def _look(self, question: Question) -> _Looked:
        """Return which bars are asked for, and their state, from one round trip where they are stored as such."""
        width, how, symbols = question.width, question.how, question.symbols
        span = question.start, question.end
        guess = width.stored or width.bases[0]
        wide = span if width.stored else _widen(*span, guess)
        with self._warehouse.connection() as connection:
            state = look(connection, guess, *wide, symbols=symbols)
            owners = [state.asked.get(symbol, ()) for symbol in symbols]
            if any(len(each) != 1 for each in owners):
                owners = [[each.instrument_id] for each in resolve_all(connection, symbols, *span)]
                state = look(connection, guess, *wide, ids=[each for (each,) in owners])
            names = names_of(symbols, [each for (each,) in owners])
            calendars = {owner: state.instruments[owner].calendar for owner in names}
            shape = make_shape(
                width, calendars, *span, hours=how.session, anchor=how.anchor, from_ingested=how.exclude_suspect
            )
            if not shape.is_stored:
                check_stored(width.name, how)
            held = span if shape.is_stored else _hull(shape.ranges(*span))
            if shape.base is not guess or held[0] < wide[0] or held[1] > wide[1]:
                wide = held
                state = look(connection, shape.base, *wide, ids=names)
        if how.as_of is not None:
            wait_for_writers(self._warehouse, shape.base, names)
            with self._warehouse.connection() as connection:
                state = look(connection, shape.base, *wide, ids=names)
        return _Looked(state, shape, tuple(names.items()))

    def _read_bars(self, question: Question, state: State, shape: Shape, names: dict[int, str]) -> pa.Table:
        """Return the bars that ``question`` asks for."""
        (columns, moment, limit), base = (question.how.columns, question.how.as_of, question.how.limit), shape.base
        first, last = question.start, question.end
        files = self._files
        suspect = self._suspect(shape, first, last, moment) if question.how.exclude_suspect else frozenset()
        if not shape.is_stored:
            return read_made(
                self._warehouse,
                shape,
                first,
                last,
                limit=limit,
                as_of=moment,
                columns=columns,
                state=state,
                files=files,
                without=suspect,
            )
        finality = released = None
        if not question.is_plain:
            with self._warehouse.connection() as connection:
                if question.how.final_only or STATE in columns:
                    from chandlery.coverage.finality import read_finality  # noqa: PLC0415 - slow to import

                    instruments = resolve_all(connection, question.symbols, first, last)
                    finality = read_finality(connection, base, instruments, first, last, as_of=moment)
                if RELEASED in columns:
                    released = released_bars(connection, base, names, first, last)
        marked = NEEDED if RELEASED in columns or suspect else ()
        needed = {*columns, *(finality.columns if finality else ()), *marked}
        accept = acceptance(finality.are_final if finality is not None and question.how.final_only else None, suspect)
        accept = both(accept, shape.in_hours if shape.divides_sessions else None)
        stored = (self._warehouse, base, [BarRange(instrument_id, first, last) for instrument_id in names])
        if limit is None:
            bars = read_bars(*stored, as_of=moment, columns=needed, state=state, files=files)
            bars = bars if accept is None else accepted_of(bars, accept(bars))
        else:
            bars = read_tail(*stored, limit, as_of=moment, columns=needed, accept=accept, state=state, files=files)
        if finality is not None and STATE in columns:
            bars = bars.append_column(STATE, finality.states(bars))
        if RELEASED in columns:
            bars = bars.append_column(RELEASED, released_column(bars, released))
        return bars

    def _suspect(self, shape: Shape, start: datetime, end: datetime, moment: datetime | None) -> Released:
        """Return which base bars are false prints, of bars that start in ``[start, end)``."""
        span = (start, end) if shape.is_stored else _hull(shape.ranges(start, end))
        with self._warehouse.connection() as connection:
            return suspect_bars(connection, shape.base, list(shape.grids), *span, as_of=moment)

    def _check_filled(
        self, timeframe: Timeframe, bars: pa.Table, names: Mapping[int, str], width: str | None = None
    ) -> bool:
        """Return whether each instrument has bars; raise where one has none and nobody fills ``timeframe`` for it."""
        if missing := missing_of(bars, names):
            with self._warehouse.connection() as connection:
                check_filled(connection, timeframe, missing, width=width)
        return not missing

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


def _hull(ranges: Sequence[BarRange]) -> tuple[datetime, datetime]:
    """Return the range that holds all of ``ranges``."""
    return min((each.start for each in ranges), default=EVER[0]), max((each.end for each in ranges), default=EVER[1])


def _widen(start: datetime, end: datetime, base: Timeframe) -> tuple[datetime, datetime]:
    """Return a range that holds the base bars of usual bars that start in ``[start, end)``."""
    reach = timedelta(days=40 if base.is_intraday else 800)
    return max(start - reach, EVER[0]), min(end + reach, EVER[1])


def _as_it_is(bars: pa.Table, names: dict[int, str]) -> tuple[pa.Table, dict[int, str]]:
    return bars, names
