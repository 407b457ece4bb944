"""What a vendor's server on loopback has to offer: invented bars, the same every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.providers.base import BarRequest
from chandlery.providers.simulated.provider import SimulatedProvider

#: ``ts`` in µs since the epoch, and the values, as parallel arrays.
Bars: TypeAlias = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Market:
    """Bars by symbol and timeframe, ascending. A day is labelled by its date at 00:00 UTC."""

    bars: Mapping[tuple[str, Timeframe], Bars]

    @classmethod
    def invent(cls, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime) -> Market:
        """Return the simulated bars of ``symbols`` that start in ``[start, end)``, UTC."""
        table = SimulatedProvider().fetch(BarRequest(list(symbols), timeframe, start, end)).bars
        return cls({(symbol, timeframe): _columns(table, symbol) for symbol in symbols})

    def __or__(self, more: Market) -> Market:
        """Return the bars of both."""
        return Market({**self.bars, **more.bars})

    def knows(self, symbol: str) -> bool:
        """Whether there is anything of ``symbol``."""
        return any(name == symbol for name, _ in self.bars)

    def between(self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> Bars:
        """Return the bars of one symbol that start in ``[start, end)``; none of one that is not known."""
        bars = self.bars.get((symbol, timeframe))
        if bars is None:
            return {name: np.empty(0) for name in ("ts", "open", "high", "low", "close", "volume", "vwap", "trades")}
        first, last = np.searchsorted(bars["ts"], [microseconds(start), microseconds(end)])
        return {name: values[first:last] for name, values in bars.items()}


def _columns(table: pa.Table, symbol: str) -> Bars:
    rows = table.filter(pa.compute.equal(table["symbol"], symbol))
    columns = {name: rows[name].to_numpy() for name in ("open", "high", "low", "close", "volume", "vwap", "trades")}
    return {"ts": rows["ts"].to_numpy().astype("datetime64[us]").astype(np.int64), **columns}
