"""The offline sample: public-domain daily bars of five US stocks, from the package ``bokeh_sampledata``.

12,154 unadjusted rows of AAPL, GOOG, IBM, META and MSFT from 2000-03-01 to 2013-03-01. The package's own adjusted close
is dropped, since adjustment is computed. Not here: the numbers themselves, and their corporate actions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from types import ModuleType

import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.optional import import_optional
from chandlery.core.schema import PRICES, TS, conform, empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError, ProviderNotFoundError, UsageError
from chandlery.providers.base import (
    BarReply,
    BarRequest,
    NoOptions,
    ProviderKind,
    ProviderLimits,
    ProviderSetup,
    source_name,
)

_KIND, _FEED = "sample", "bokeh"
#: What the package calls each symbol. Facebook's ticker was FB until 2022; an instrument goes by its present one.
_SYMBOLS = {"AAPL": "AAPL", "GOOG": "GOOG", "IBM": "IBM", "META": "FB", "MSFT": "MSFT"}


class SampleProvider:
    """Serves ``1d`` of AAPL, GOOG, IBM, META and MSFT without a network.

    Args:
        name: its own name, as configured.

    Attributes:
        name: as above.
        source: of its rows.
    """

    timeframes = frozenset({Timeframe.D1})
    limits = ProviderLimits()

    def __init__(self, name: str = _KIND) -> None:
        self.name = name
        self.source = source_name(_KIND, name, _FEED)

    def symbols(self, timeframe: Timeframe) -> list[str]:
        """Return the symbols it has, sorted."""
        self._check(timeframe)
        return sorted(_SYMBOLS)

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars labelled within ``[start, end)``; a symbol it does not have is among the failures."""
        self._check(request.timeframe)
        tables = [empty_bars()]
        failures: dict[str, ProviderError] = {}
        for symbol in dict.fromkeys(request.symbols):
            try:
                bars = self._load(symbol)
            except ProviderError as error:
                failures[symbol] = error
            else:
                after = pc.greater_equal(bars["ts"], pa.scalar(request.start, TS))
                before = pc.less(bars["ts"], pa.scalar(request.end, TS))
                tables.append(bars.filter(pc.and_(after, before)))
        return BarReply(conform(pa.concat_tables(tables)), failures)

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """Return ``[first day, day after the last)`` in UTC.

        Raises:
            ProviderNotFoundError: it does not have the symbol.
        """
        self._check(timeframe)
        ts = self._load(symbol)["ts"]
        return ts[0].as_py(), ts[-1].as_py() + timedelta(days=1)

    def _check(self, timeframe: Timeframe) -> None:
        if timeframe not in self.timeframes:
            raise UsageError(f"timeframe={timeframe.value!r} is not in the sample; allowed: 1d")

    def _load(self, symbol: str) -> pa.Table:
        """Return all bars of ``symbol``, oldest first, as a table of schema ``BARS``."""
        if symbol not in _SYMBOLS:
            hint = "; Facebook is META" if symbol == "FB" else ""
            text = f"the sample has no {symbol}; it has {', '.join(_SYMBOLS)}{hint}"
            raise ProviderNotFoundError(text, provider=self.name, symbol=symbol)
        # Reads its files when it is imported.
        stocks = import_optional(
            "bokeh_sampledata.stocks", extra="sample", needed_by=f"provider {self.name!r}", package="bokeh-sampledata"
        )
        return _read(stocks, symbol, self.source)


@lru_cache(maxsize=len(_SYMBOLS))
def _read(stocks: ModuleType, symbol: str, source: str) -> pa.Table:
    series = getattr(stocks, _SYMBOLS[symbol])
    columns = {name: pa.array(series[name], pa.float64()) for name in (*PRICES, "volume")}
    ts = pa.array(series["date"]).cast(pa.date32()).cast(pa.timestamp("us")).cast(TS)
    names = {"symbol": pa.repeat(symbol, len(ts)), "source": pa.repeat(source, len(ts))}
    return conform(pa.table({"ts": ts, **columns, **names}))


def _make(setup: ProviderSetup[NoOptions]) -> SampleProvider:
    return SampleProvider(setup.name)


KIND = ProviderKind(
    name=_KIND, factory=_make, limits=SampleProvider.limits, timeframes=SampleProvider.timeframes, static=True
)
