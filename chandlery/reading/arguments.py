"""What a read of bars is asked for besides symbols and a range: its columns, and names that tell instruments apart.

Not here: the reads (``bars``, ``tail``), and arguments of any function (``core.arguments``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.arguments import check_texts
from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.schema import STORED
from chandlery.core.text import shorten
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument
from chandlery.reading.released import RELEASED

#: The columns of a read for which no others are requested.
COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "trades", "source")
#: The column that has each bar's ``BarState``.
STATE = "state"


class ReadOptions(NamedTuple):
    """What a read is asked for besides symbols and a range, unchecked but for its columns; see ``DataAPI.get_ohlc``."""

    columns: Sequence[str]
    output: str
    limit: int | None
    as_of: str | date | datetime | None
    final_only: bool
    exclude_suspect: bool


def check_columns(columns: Iterable[str]) -> list[str]:
    """Return ``columns`` as a list; each must be one that bars have."""
    names = check_texts(columns, name="columns", example="close", distinct=True)
    allowed = [*STORED.names[2:], STATE, RELEASED]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise UsageError(f"columns={shorten(unknown)} are not known; allowed: {' '.join(allowed)}")
    return names


def names_of(symbols: Sequence[str], instruments: Sequence[Instrument]) -> dict[int, str]:
    """Return the symbol that each instrument was requested by, in the order of ``symbols``."""
    names: dict[int, str] = {}
    for symbol, instrument in zip(symbols, instruments, strict=True):
        if names.setdefault(instrument.instrument_id, symbol) != symbol:
            raise UsageError(f"symbols {names[instrument.instrument_id]!r} and {symbol!r} are the same instrument")
    return names


def accepted_of(bars: pa.Table, accepted: npt.NDArray[np.bool_]) -> pa.Table:
    """Return those of ``bars`` that are accepted."""
    return bars if accepted.all() else bars.filter(number_array(accepted))


def missing_of(bars: pa.Table, names: Mapping[int, str]) -> dict[int, str]:
    """Return those instruments of ``names`` of which ``bars``, which are sorted by instrument, has none."""
    owners, ids = numpy_of(bars["instrument_id"]), list(names)
    counts = np.searchsorted(owners, ids, "right") - np.searchsorted(owners, ids, "left")
    return {owner: names[owner] for owner, count in zip(ids, counts.tolist(), strict=True) if not count}
