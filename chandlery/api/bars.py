"""Bars by symbol, as pandas, polars or Arrow. Not here: how they are read (``reads``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import pyarrow as pa

from chandlery.api.filled import Filled, extra_columns
from chandlery.api.reads import Moment, Output
from chandlery.core.arguments import check_choice, check_text
from chandlery.core.grid import Anchor
from chandlery.reading.arguments import COLUMNS, ReadOptions, check_columns
from chandlery.reading.fill import Fill
from chandlery.reading.formats import convert
from chandlery.reading.layouts import LAYOUTS, Layout, lay_out
from chandlery.reading.made import Hours

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Bars(Filled):
    """The bars of one symbol or of several.

    Examples:
        >>> api.get_ohlc("AAPL", "2024-06-04", limit=1, columns=["open", "close"])
                                   open  close
        ts
        2024-06-05 00:00:00+00:00  10.0   11.5
        >>> api.get_ohlc("AAPL", timeframe="2d", columns=["close", "volume"], output="arrow")["volume"].to_pylist()
        [100.0, 200.0]
        >>> api.get_multi_symbol(["AAPL", "MSFT"], columns=["close"], layout="wide")["close"].shape
        (3, 2)
    """

    @overload
    def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = ...,
        end: Moment | None = ...,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        exclude_suspect: bool = ...,
        session: Hours = ...,
        anchor: Anchor = ...,
        fill: Fill = ...,
        adjust: str = ...,
        columns: Iterable[str] = ...,
        output: Literal["pandas"] = ...,
    ) -> pd.DataFrame: ...
    @overload
    def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = ...,
        end: Moment | None = ...,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        exclude_suspect: bool = ...,
        session: Hours = ...,
        anchor: Anchor = ...,
        fill: Fill = ...,
        adjust: str = ...,
        columns: Iterable[str] = ...,
        output: Literal["arrow"],
    ) -> pa.Table: ...
    @overload
    def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = ...,
        end: Moment | None = ...,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        exclude_suspect: bool = ...,
        session: Hours = ...,
        anchor: Anchor = ...,
        fill: Fill = ...,
        adjust: str = ...,
        columns: Iterable[str] = ...,
        output: Literal["polars"],
    ) -> pl.DataFrame: ...
    def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        exclude_suspect: bool = False,
        session: Hours = "all",
        anchor: Anchor = "utc",
        fill: Fill = "none",
        adjust: str = "raw",
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:
        """Return the bars of one symbol that start in ``[start, end)``, oldest first.

        Args:
            symbol: canonical symbol, or a ticker that named the instrument within the range (``FB`` in 2013).
            start: inclusive; by default, from the first bar there is.
            end: exclusive; by default, to the last bar there is.
            timeframe: of any width and spelling: ``1m 60min 2h 1D daily 3d 1w 1mo 1q 1y``; a bar counts by its start.
            limit: return only the last so many of these bars, 1 or more; all by default.
            as_of: return the values that were known at that time, instead of the present ones.
            final_only: leave out the bars that are not final, or with ``as_of``, that were not final then.
            exclude_suspect: without ``1m`` and ``1d`` that the bar after confirmed as false; others come from the rest.
            session: of minutes and hours: ``all``; ``regular``, in which a session trades, without breaks; or
                ``extended``, all others. Bars are made of these alone. Days and wider are of regular sessions.
            anchor: where minutes and hours begin: ``utc``, on the grid that counts from 1970-01-01 00:00 UTC; or
                ``session``, at every open. Periods of days and months count from 1970-01-01, of weeks from Mondays.
            fill: ``previous``: slots between known bars get one at the close before, which a column ``filled`` marks.
            adjust: ``raw``, as it was traded.
            columns: which, in this order, of ``open high low close volume vwap trades source known_at state released``;
                fewer come faster. ``state``: ``chandlery.coverage.finality.BarState``; ``released``: by a person.
            output: ``pandas``: indexed by ``ts``; ``arrow`` or ``polars``: with ``ts`` as the first column.

        Raises:
            UnknownSymbolError: no instrument goes by that name in the range.
            UnfilledTimeframeError: there are no such bars, and nobody fills this timeframe for the symbol.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        how = ReadOptions(
            check_columns(columns), output, limit, as_of, final_only, exclude_suspect, session, anchor, adjust, fill
        )
        names = [check_text(symbol, name="symbol", example="AAPL")]
        make = partial(_one, [*how.columns, *extra_columns(how)], output)
        return self._handed_out(names, (start, end), timeframe, how, make=make, form="one")

    def get_multi_symbol(
        self,
        symbols: Iterable[str] | str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        exclude_suspect: bool = False,
        session: Hours = "all",
        anchor: Anchor = "utc",
        fill: Fill = "none",
        adjust: str = "raw",
        columns: Iterable[str] = COLUMNS,
        layout: Layout = "long",
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output`` and ``layout``
        """Return the bars of several symbols that start in ``[start, end)``, in one read.

        Arguments and errors are those of ``get_ohlc``, but for these. Each row bears the symbol of ``symbols``, be it a
        former ticker.

        Args:
            symbols: several, or the name of a preset of ``universe.yaml``.
            start: inclusive.
            end: exclusive.
            timeframe: of all bars.
            limit: return only the last so many bars of each symbol.
            as_of: as of ``get_ohlc``, and so are those that follow, but for ``layout``.
            final_only: leave out the bars that are not final.
            exclude_suspect: leave out false prints.
            session: which hours.
            anchor: where minutes and hours begin.
            fill: whether slots without a bar get one.
            adjust: ``raw``.
            columns: which.
            layout: ``long``: sorted by symbol, in the order of ``symbols``, and time; with pandas indexed by ``(symbol,
                ts)``, otherwise these are the first columns. ``wide``: a row for each time, and the columns ``(column,
                symbol)`` of pandas, otherwise ``column:symbol``. ``dict``: what ``get_ohlc`` returns, by symbol.
            output: ``pandas``, ``arrow`` or ``polars``.
        """
        columns = check_columns(columns)
        how = ReadOptions(columns, output, limit, as_of, final_only, exclude_suspect, session, anchor, adjust, fill)
        check_choice(layout, LAYOUTS, name="layout")
        make = partial(lay_out, columns=[*columns, *extra_columns(how)], output=output, layout=layout)
        return self._handed_out(self._symbols(symbols), (start, end), timeframe, how, make=make, form=layout)


def _one(columns: Sequence[str], output: Output, bars: pa.Table, _: object) -> Any:  # noqa: ANN401 - by ``output``
    return convert(bars.select(["ts", *columns]), output, index="ts")
