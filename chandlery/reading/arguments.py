"""What a read of bars is asked for besides symbols and a range: its columns, and names that tell instruments apart.

Not here: the reads (``bars``, ``tail``), and arguments of any function (``core.arguments``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.arguments import check_choice, check_count, check_flag, check_texts
from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.grid import ANCHORS
from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.schema import STORED
from chandlery.core.text import shorten
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width, parse_width
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.reading.fill import FILLS
from chandlery.reading.formats import OUTPUTS
from chandlery.reading.made import HOURS
from chandlery.reading.released import RELEASED

#: The columns of a read for which no others are requested.
COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "trades", "source")
#: The column that has each bar's ``BarState``.
STATE = "state"
#: More than anybody has of one symbol, and few enough for the server to count with.
_MOST_BARS = 2**31 - 1
#: A moment as a user may write it.
Given: TypeAlias = str | date | datetime | None


class ReadOptions(NamedTuple):
    """What a read is asked for besides symbols and a range; see ``DataAPI.get_ohlc``."""

    columns: Sequence[str]
    output: str
    limit: int | None = None
    as_of: Any = None
    final_only: bool = False
    exclude_suspect: bool = False
    session: Any = "all"
    anchor: Any = "utc"
    adjust: Any = "raw"
    fill: Any = "none"


def check_options(how: ReadOptions) -> ReadOptions:
    """Return ``how`` with every value in the one form that reads work with; its columns are checked already."""
    check_choice(how.output, OUTPUTS, name="output")
    if not isinstance(how.adjust, str) or how.adjust != "raw":
        raise UsageError(
            f"adjust={shorten(how.adjust)} is not possible yet, because no splits or dividends are stored; allowed: raw"
        )
    return how._replace(
        limit=check_count(how.limit, name="limit", most=_MOST_BARS),
        as_of=None if how.as_of is None else parse_moment(how.as_of, name="as_of"),
        final_only=check_flag(how.final_only, name="final_only"),
        exclude_suspect=check_flag(how.exclude_suspect, name="exclude_suspect"),
        session=check_choice(how.session, HOURS, name="session"),
        anchor=check_choice(how.anchor, ANCHORS, name="anchor"),
        fill=check_choice(how.fill, FILLS, name="fill"),
    )


class Question(NamedTuple):
    """What is asked for, checked. Equal questions have equal answers while the bars are the same.

    Attributes:
        symbols: as they were given.
        start: inclusive, UTC.
        end: exclusive, UTC.
        width: of the bars.
        how: the options, checked.
    """

    symbols: tuple[str, ...]
    start: datetime
    end: datetime
    width: Width
    how: ReadOptions

    @classmethod
    def parse(cls, symbols: Sequence[str], start: Given, end: Given, timeframe: str, how: ReadOptions) -> Question:
        """Return the question; without ``start`` or ``end``, from the first bar or to the last.

        Raises:
            UsageError: an argument is wrong; names it.
        """
        checked, width = check_options(how), parse_width(timeframe)
        first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        return cls(tuple(symbols), first, last, width, checked._replace(columns=tuple(how.columns)))

    @property
    def is_plain(self) -> bool:
        """Whether the answer depends on the bars alone, and on nothing else that is known of them."""
        how = self.how
        return not (how.final_only or how.exclude_suspect or {STATE, RELEASED} & {*how.columns})


def check_columns(columns: Iterable[str], *, others: Sequence[str] = (STATE, RELEASED)) -> list[str]:
    """Return ``columns`` as a list; each must be one that stored bars have, or one of ``others``."""
    names = check_texts(columns, name="columns", example="close", distinct=True)
    allowed = [*STORED.names[2:], *others]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise UsageError(f"columns={shorten(unknown)} are not known; allowed: {' '.join(allowed)}")
    return names


def check_stored(width: str, how: ReadOptions) -> None:
    """Refuse what is known of single stored bars alone, where bars are made of several."""
    named = [f"columns={name!r}" for name in how.columns if name in {STATE, RELEASED}]
    named += ["final_only=True"] * bool(how.final_only)
    if named:
        with_it, too = (
            (", exclude_suspect=True", ", 1m 1d with exclude_suspect=True") if how.exclude_suspect else ("", "")
        )
        raise UsageError(
            f"{named[0]} is not known of timeframe={width!r} with session={how.session!r}{with_it} and"
            f" anchor={how.anchor!r}, whose bars are made at read time; allowed: {' '.join(Timeframe)} with"
            f" session='all' and anchor='utc'{too}"
        )


def names_of(symbols: Sequence[str], ids: Sequence[int]) -> dict[int, str]:
    """Return the symbol that each instrument was requested by, in the order of ``symbols``."""
    names: dict[int, str] = {}
    for symbol, instrument_id in zip(symbols, ids, strict=True):
        if names.setdefault(instrument_id, symbol) != symbol:
            raise UsageError(f"symbols {names[instrument_id]!r} and {symbol!r} are the same instrument")
    return names


def accepted_of(bars: pa.Table, accepted: npt.NDArray[np.bool_]) -> pa.Table:
    """Return those of ``bars`` that are accepted."""
    return bars if accepted.all() else bars.filter(number_array(accepted))


def missing_of(bars: pa.Table, names: Mapping[int, str]) -> dict[int, str]:
    """Return those instruments of ``names`` of which ``bars``, which are sorted by instrument, has none."""
    owners, ids = numpy_of(bars["instrument_id"]), list(names)
    counts = np.searchsorted(owners, ids, "right") - np.searchsorted(owners, ids, "left")
    return {owner: names[owner] for owner, count in zip(ids, counts.tolist(), strict=True) if not count}
