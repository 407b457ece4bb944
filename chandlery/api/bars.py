"""Bars by symbol, as pandas, polars or Arrow. Not here: how they are read (``reads``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

import pyarrow as pa

from chandlery.api.reads import Moment, Output, Reads
from chandlery.core.arguments import check_text, check_texts
from chandlery.core.grid import Anchor
from chandlery.core.schema import with_symbols
from chandlery.reading.arguments import COLUMNS, ReadOptions, check_columns
from chandlery.reading.formats import convert, in_order_of
from chandlery.reading.made import Hours

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Bars(Reads):
    """The bars of one symbol or of several."""

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
        adjust: str = "raw",
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:
        """Return the bars of one symbol that start in ``[start, end)``, oldest first.

        Args:
            symbol: canonical symbol, or a ticker that named the instrument within the range (``FB`` in 2013).
            start: inclusive; by default, from the first bar there is.
            end: exclusive; by default, to the last bar there is.
            timeframe: ``1m 5m 15m 30m 1h 4h 1d 1w 1mo`` or any other width, such as ``90m 2h 3d 2w 1q 1y``, in any
                spelling (``60min``, ``1H``, ``hourly``). A bar counts by its start, and is whole.
            limit: return only the last so many of these bars, 1 or more; all by default.
            as_of: return the values that were known at that time, instead of the present ones.
            final_only: leave out the bars that are not final (see ``state``). With ``as_of``: that were not final then.
            exclude_suspect: leave out the bars that the bar after confirmed as false prints; of ``1m`` and ``1d``.
            session: of minutes and hours: ``all``; ``regular``, in which a session trades, without breaks; or
                ``extended``, all others. Bars are made of these alone. Days and wider are of regular sessions.
            anchor: where minutes and hours begin: ``utc``, on the grid that counts from 1970-01-01 00:00 UTC; or
                ``session``, at every open. Periods of days and months count from 1970-01-01, of weeks from Mondays.
            adjust: ``raw``, as it was traded.
            columns: which, in this order, of ``open high low close volume vwap trades source known_at state released``;
                fewer come faster. ``state``: ``chandlery.coverage.finality.BarState``; ``released``: whether the bar
                broke a rule of the gate and a person released it, null of derived bars.
            output: ``pandas``: indexed by ``ts``; ``arrow`` or ``polars``: with ``ts`` as the first column.

        Raises:
            UnknownSymbolError: no instrument goes by that name in the range.
            UnfilledTimeframeError: there are no such bars, and nobody fills this timeframe for the symbol.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        columns = check_columns(columns)
        how = ReadOptions(
            columns, output, limit, as_of, final_only, exclude_suspect, session=session, anchor=anchor, adjust=adjust
        )
        bars, _ = self._read([check_text(symbol, name="symbol", example="AAPL")], start, end, timeframe, how)
        return convert(bars.select(["ts", *columns]), output, index="ts")

    def get_multi_symbol(
        self,
        symbols: Iterable[str],
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
        adjust: str = "raw",
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the bars of several symbols that start in ``[start, end)``, in one read.

        Arguments and errors are those of ``get_ohlc``; ``limit`` is the number of bars of each symbol. The rows are
        sorted by symbol, in the order of ``symbols``, and time. With ``pandas`` they are indexed by ``(symbol, ts)``,
        otherwise these are the first columns. Each row bears the symbol of ``symbols``, be it a former ticker.
        """
        columns = check_columns(columns)
        how = ReadOptions(
            columns, output, limit, as_of, final_only, exclude_suspect, session=session, anchor=anchor, adjust=adjust
        )
        bars, names = self._read(check_texts(symbols, name="symbols", example="AAPL"), start, end, timeframe, how)
        # The dictionary of names is in the order of registration, whatever the order of the rows.
        named = with_symbols(in_order_of(bars, list(names)), dict(sorted(names.items())))
        return convert(named.select(["symbol", "ts", *columns]), output, index=["symbol", "ts"])
