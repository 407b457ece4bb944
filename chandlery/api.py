"""The Python interface: bars by symbol, as pandas, polars or Arrow.

Here instruments get their names, once. Not here: where bars are and how they are read (``reading``), and what makes a
bar final (``coverage.finality``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.core.arguments import check_choice, check_count, check_flag, check_text, check_texts
from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.schema import STORED, with_symbols
from chandlery.core.text import shorten
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.filled import check_filled
from chandlery.coverage.finality import read_finality
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.instruments.registry import Instrument
from chandlery.reading.bars import read_bars
from chandlery.reading.formats import OUTPUTS, convert, in_order_of
from chandlery.reading.tail import read_tail
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from chandlery.lineage.steps import Lineage

Moment: TypeAlias = str | date | datetime
Output: TypeAlias = Literal["pandas", "arrow", "polars"]

#: The columns of a read for which no others are requested.
COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "trades", "source")
#: The column that has each bar's ``BarState``.
STATE = "state"
#: More than anybody has of one symbol, and few enough for the server to count with.
_MOST_BARS = 2**31 - 1


class DataAPI:
    """Reads bars. Safe to share between threads and with child processes.

    Threads share a bounded number of connections and wait where all are in use; a child process, forked or spawned,
    opens its own. ``with DataAPI() as api`` closes them at the end of the block.

    Every range is half-open, ``[start, end)``, in UTC: by the bar's start intraday, by the session's date (as 00:00
    UTC) for bars of a day and wider. A moment is an aware ``datetime`` or ``pandas.Timestamp``, a date (midnight UTC:
    a ``date``, or a ``Timestamp`` or ``datetime64`` of a midnight without a zone), or either as ISO 8601 text.

    Args:
        warehouse: where to read; the installation's own by default (see ``Settings``).
    """

    def __init__(self, warehouse: Warehouse | None = None) -> None:
        self._warehouse = warehouse or Warehouse.open(Settings())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database; one that is in use, when its read ends. The next read opens others."""
        self._warehouse.close()

    @overload
    def get_ohlc(
        self,
        symbol: str,
        start: Moment,
        end: Moment,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        columns: Iterable[str] = ...,
        output: Literal["pandas"] = ...,
    ) -> pd.DataFrame: ...
    @overload
    def get_ohlc(
        self,
        symbol: str,
        start: Moment,
        end: Moment,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        columns: Iterable[str] = ...,
        output: Literal["arrow"],
    ) -> pa.Table: ...
    @overload
    def get_ohlc(
        self,
        symbol: str,
        start: Moment,
        end: Moment,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        columns: Iterable[str] = ...,
        output: Literal["polars"],
    ) -> pl.DataFrame: ...
    def get_ohlc(
        self,
        symbol: str,
        start: Moment,
        end: Moment,
        timeframe: str = "1d",
        *,
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:
        """Return the bars of one symbol that start in ``[start, end)``, oldest first.

        Args:
            symbol: canonical symbol, or a ticker that named the instrument within the range (``FB`` in 2013).
            start: inclusive.
            end: exclusive.
            timeframe: ``1m 5m 15m 30m 1h 4h 1d 1w 1mo``.
            limit: return only the last so many of these bars, 1 or more; all by default.
            as_of: return the values that were known at that time, instead of the present ones.
            final_only: leave out the bars that are not final (see ``state``). With ``as_of``: that were not final then.
            columns: which, in this order, of ``open high low close volume vwap trades source known_at state``.
                No others are read, so that fewer come faster.
                ``state`` is ``forming``: learned before the bar had ended; ``provisional``: it has ended, and the
                provider may still change it; or ``final``: its sessions were requested after they had settled, so that
                only a restatement changes it (``chandlery.coverage.finality.BarState`` defines it exactly). With
                ``as_of``, the state that it had then.
            output: ``pandas``: indexed by ``ts``; ``arrow`` or ``polars``: with ``ts`` as the first column.

        Raises:
            UnknownSymbolError: no instrument goes by that name in the range.
            UnfilledTimeframeError: there are no such bars, and nobody fills this timeframe for the symbol.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        columns = _check_columns(columns)
        bars, _ = self._read(
            [check_text(symbol, name="symbol", example="AAPL")],
            start,
            end,
            timeframe,
            limit=limit,
            as_of=as_of,
            final_only=final_only,
            columns=columns,
            output=output,
        )
        return convert(bars.select(["ts", *columns]), output, index="ts")

    def get_multi_symbol(
        self,
        symbols: Iterable[str],
        start: Moment,
        end: Moment,
        timeframe: str = "1d",
        *,
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the bars of several symbols that start in ``[start, end)``, in one read.

        Arguments and errors are those of ``get_ohlc``; ``limit`` is the number of bars of each symbol. The rows are
        sorted by symbol, in the order of ``symbols``, and time. With ``pandas`` they are indexed by ``(symbol, ts)``,
        otherwise these are the first columns. Each row bears the symbol of ``symbols``, be it a former ticker.
        """
        columns = _check_columns(columns)
        bars, names = self._read(
            check_texts(symbols, name="symbols", example="AAPL"),
            start,
            end,
            timeframe,
            limit=limit,
            as_of=as_of,
            final_only=final_only,
            columns=columns,
            output=output,
        )
        # The dictionary of names is in the order of registration, whatever the order of the rows.
        named = with_symbols(in_order_of(bars, list(names)), dict(sorted(names.items())))
        return convert(named.select(["symbol", "ts", *columns]), output, index=["symbol", "ts"])

    @repeat_read_once
    def lineage(self, symbol: str, ts: Moment, timeframe: str = "1d", *, as_of: Moment | None = None) -> Lineage:
        """Return where one bar comes from and what it was before, or why there is none.

        Args:
            symbol: canonical symbol, or a ticker that named the instrument then.
            ts: start of the bar; of one of a day or wider, the date that it is labelled with.
            timeframe: as of ``get_ohlc``.
            as_of: return what was known at that time, instead of now.

        Raises:
            UsageError: no bar starts at ``ts``, it is yet to come, or an argument is wrong; see ``get_ohlc``.
        """
        from chandlery.lineage.trace import trace  # noqa: PLC0415 - slow to import, and reads do not need it

        start, moment = parse_moment(ts, name="ts"), None if as_of is None else parse_moment(as_of, name="as_of")
        name = check_text(symbol, name="symbol", example="AAPL")
        return trace(self._warehouse, name, start, Timeframe.parse(timeframe), as_of=moment)

    @repeat_read_once
    def _read(
        self,
        symbols: Sequence[str],
        start: Moment,
        end: Moment,
        timeframe: str,
        *,
        limit: int | None,
        as_of: Moment | None,
        final_only: bool,
        columns: Sequence[str],
        output: str,
    ) -> tuple[pa.Table, dict[int, str]]:
        """Return the bars, sorted by instrument and time, and the symbol that each instrument was requested by."""
        limit = check_count(limit, name="limit", most=_MOST_BARS)
        final_only = check_flag(final_only, name="final_only")
        check_choice(output, OUTPUTS, name="output")
        width = Timeframe.parse(timeframe)
        first, last = parse_range(start, end)
        moment = None if as_of is None else parse_moment(as_of, name="as_of")
        finality = None
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, first, last)
            names = _names(symbols, instruments)
            if final_only or STATE in columns:
                finality = read_finality(connection, width, instruments, first, last, as_of=moment)
        ranges = [BarRange(instrument_id, first, last) for instrument_id in names]
        needed = columns if finality is None else {*columns, *finality.columns}
        accept = finality.are_final if finality is not None and final_only else None
        if limit is None:
            bars = read_bars(self._warehouse, width, ranges, as_of=moment, columns=needed)
            bars = bars if accept is None else _accepted(bars, accept(bars))
        else:
            bars = read_tail(self._warehouse, width, ranges, limit, as_of=moment, columns=needed, accept=accept)
        self._check_filled(width, bars, names)
        if finality is not None and STATE in columns:
            bars = bars.append_column(STATE, finality.states(bars))
        return bars, names

    def _check_filled(self, timeframe: Timeframe, bars: pa.Table, names: Mapping[int, str]) -> None:
        """Raise where an instrument has no bars because nobody fills its ``timeframe``."""
        owners, ids = bars["instrument_id"].to_numpy(), list(names)
        counts = np.searchsorted(owners, ids, "right") - np.searchsorted(owners, ids, "left")
        missing = {owner: names[owner] for owner, count in zip(ids, counts.tolist(), strict=True) if not count}
        if missing:
            with self._warehouse.connection() as connection:
                check_filled(connection, timeframe, missing)


def _check_columns(columns: Iterable[str]) -> list[str]:
    """Return ``columns`` as a list; each must be one that bars have."""
    names = check_texts(columns, name="columns", example="close", distinct=True)
    allowed = [*STORED.names[2:], STATE]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise UsageError(f"columns={shorten(unknown)} are not known; allowed: {' '.join(allowed)}")
    return names


def _names(symbols: Sequence[str], instruments: Sequence[Instrument]) -> dict[int, str]:
    """Return the symbol that each instrument was requested by, in the order of ``symbols``."""
    names: dict[int, str] = {}
    for symbol, instrument in zip(symbols, instruments, strict=True):
        if names.setdefault(instrument.instrument_id, symbol) != symbol:
            raise UsageError(f"symbols {names[instrument.instrument_id]!r} and {symbol!r} are the same instrument")
    return names


def _accepted(bars: pa.Table, accepted: npt.NDArray[np.bool_]) -> pa.Table:
    return bars if accepted.all() else bars.filter(pa.array(accepted))
