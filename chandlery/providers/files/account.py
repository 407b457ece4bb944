"""What the files of one symbol hold, and how they are read. Not here: reading them (``reader``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from chandlery.core.calendars import microseconds
from chandlery.core.schema import BARS, empty_bars
from chandlery.core.symbols import spelling
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.providers.files.assembly import FileBars
from chandlery.providers.files.bars import stamps_of
from chandlery.providers.files.folder import Holding
from chandlery.providers.files.naming import split_name

#: The last instant that a ``datetime`` can be.
LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Account:
    """How the files of a symbol are read, for people.

    Attributes:
        files: which.
        form: how the last of them is written: ``text, utf-8, cells divided by ','``.
        columns: what each of its columns was taken for, by its name there.
        first_time: how its first row writes its time.
        tz: zone of the times that carry none, where one was given.
        bars: all of them, as in ``BARS`` without ``symbol`` and ``source``.
        extents: half-open, UTC, from the first bar of each file to its last.
    """

    files: Sequence[Path]
    form: str
    columns: Mapping[str, str]
    first_time: str
    tz: str | None
    bars: pa.Table = field(repr=False)
    extents: Sequence[tuple[datetime, datetime]] = ()


def between(bars: pa.Table, start: int, end: int) -> pa.Table:
    """Return the bars that start in ``[start, end)``, µs; ``bars`` are in the order of time."""
    first, last = np.searchsorted(stamps_of(bars), [start, end])
    return bars.slice(first, max(0, last - first))


def with_names(served: dict[str, pa.Table], source: str) -> pa.Table:
    """Return one table of schema ``BARS``."""
    if not served:
        return empty_bars()
    bars = pa.concat_tables(served.values()).combine_chunks()
    codes = np.repeat(np.arange(len(served), dtype=np.int32), [part.num_rows for part in served.values()])
    names = pa.DictionaryArray.from_arrays(codes, pa.array(served, pa.string()))
    sources = pa.DictionaryArray.from_arrays(np.zeros_like(codes), pa.array([source]))
    return bars.append_column("symbol", names).append_column("source", sources).select(BARS.names)


def extent_of(bars: pa.Table, timeframe: Timeframe) -> list[tuple[datetime, datetime]]:
    """Return the range from the first of ``bars``, in the order of time, to the end of the last; none where none is."""
    if not bars.num_rows:
        return []
    first, last = (int(stamps_of(bars.slice(place, 1))[0]) for place in (0, bars.num_rows - 1))
    return [(instant(first), instant(min(last + timeframe.microseconds, microseconds(LAST))))]


def matching(read: FileBars, keys: Iterable[str]) -> str | None:
    """Return which of the symbols that a file names is spelled like ``keys``; empty where it names none; else None."""
    inside = {spelling(name): name for name in read.symbols}
    return next((inside[key] for key in keys if key in inside), None) if inside else ""


def is_no_symbol(holding: Holding, inside: Sequence[str], known: Collection[str]) -> bool:
    """Whether a file called in small letters, ``wide.csv``, itself names another symbol, and that in capitals.

    A file that is called like one of ``known``, as ``spelling`` writes them, is of that.
    """
    name = split_name(holding.files[0].name)[0]
    if len(holding.files) > 1 or len(inside) != 1 or name != name.lower() or spelling(holding.symbol) in known:
        return False
    return inside[0] == inside[0].upper() and spelling(holding.symbol) != spelling(inside[0])


def of_others(read: FileBars, symbol: str) -> str:
    """Return what is wrong with a file that names symbols itself, and not ``symbol``, and what to do."""
    names = ", ".join(read.symbols[:5])
    wrong = f"its rows are of {names}, not of {symbol}"
    if "symbol" in read.understood.columns.values():
        return (
            f'{wrong}; with --pattern "*" the rows name the symbols, with --ignore-column symbol the file\'s name does'
        )
    return (
        f'{wrong}; with --pattern "*" its columns name the symbols; if {names} is none, say what each is with --columns'
    )


def not_read(holding: Holding) -> list[str]:
    """Return a note of the files of a symbol that are of other timeframes, if there are any."""
    names = [file.name for file in holding.beside]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if names[3:] else ""
    verb = "is of another timeframe" if len(names) == 1 else "are of other timeframes"
    return [f"{', '.join(names[:3])}{more} {verb}, and not read"]


def named_from(symbol: str, holding: Holding) -> list[str]:
    """Return from which files a symbol is read, where their names do not say so by themselves."""
    first = holding.files[0].name
    if len(holding.files) == 1 and split_name(first)[0] == symbol.replace("/", "-"):
        return []
    more = f" and {len(holding.files) - 1} more" if len(holding.files) > 1 else ""
    return [f"read from {first}{more}"]
