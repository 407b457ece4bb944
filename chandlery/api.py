"""The Python interface: bars by symbol, as pandas, polars or Arrow.

Not here: how a bar gets into the store, how the store is reached, and what makes a bar final (``finality``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

from chandlery.bars.read import Span
from chandlery.core.optional import import_optional
from chandlery.core.schema import READ
from chandlery.core.timeframe import Timeframe, parse_moment, parse_range
from chandlery.coverage.finality import BarState, read_finality
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.instruments.registry import Instrument
from chandlery.reading.planner import read_bars
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Moment: TypeAlias = str | date | datetime
Output: TypeAlias = Literal["pandas", "arrow", "polars"]

#: The columns of a read that asks for no others.
COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "trades", "source")
#: The column that tells each bar's ``BarState``.
STATE = "state"
_OUTPUTS = ("pandas", "arrow", "polars")


class DataAPI:
    """Reads bars. Safe to share between threads and with child processes.

    Threads share a bounded number of connections and wait where all are in use; a child process, forked or spawned,
    opens its own. ``with DataAPI() as api`` closes them at the end of the block.

    Every range is half-open, ``[start, end)``, in UTC: by the bar's start intraday, by the session's date (as 00:00
    UTC) for bars of a day and wider. A moment is an aware ``datetime``, a ``date`` (midnight UTC), or either as ISO
    8601 text.

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
        as_of: Moment | None = ...,
        final_only: bool = ...,
        columns: Sequence[str] = ...,
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
        as_of: Moment | None = ...,
        final_only: bool = ...,
        columns: Sequence[str] = ...,
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
        as_of: Moment | None = ...,
        final_only: bool = ...,
        columns: Sequence[str] = ...,
        output: Literal["polars"],
    ) -> pl.DataFrame: ...
    def get_ohlc(
        self,
        symbol: str,
        start: Moment,
        end: Moment,
        timeframe: str = "1d",
        *,
        as_of: Moment | None = None,
        final_only: bool = False,
        columns: Sequence[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:
        """Return the bars of one symbol that start in ``[start, end)``, oldest first.

        Args:
            symbol: canonical symbol, or a ticker that named the instrument within the range (``FB`` in 2013).
            start: inclusive.
            end: exclusive.
            timeframe: ``1m 5m 15m 30m 1h 4h 1d 1w 1mo``.
            as_of: return the values that were known at that time, instead of the present ones.
            final_only: leave out the bars that are not final (see ``state``). With ``as_of``: that were not final then.
            columns: which, in this order, of ``open high low close volume vwap trades source known_at state``.
                No others are read, so that fewer come faster.
                ``state`` is ``forming``: learned before the bar had ended; ``provisional``: it has ended, and the
                provider may still change it; or ``final``: its sessions were asked for after they had settled, so that
                only a restatement changes it (``chandlery.finality.BarState`` has it exactly). With ``as_of``, what was
                known of it then.
            output: ``pandas``: indexed by ``ts``; ``arrow`` or ``polars``: with ``ts`` as the first column.

        Raises:
            UnknownSymbolError: no instrument goes by that name in the range.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        table, _ = self._read(
            [symbol], start, end, timeframe, as_of=as_of, final_only=final_only, columns=columns, output=output
        )
        return _convert(table.drop_columns("symbol"), output, index="ts")

    def get_multi_symbol(
        self,
        symbols: Sequence[str],
        start: Moment,
        end: Moment,
        timeframe: str = "1d",
        *,
        as_of: Moment | None = None,
        final_only: bool = False,
        columns: Sequence[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the bars of several symbols that start in ``[start, end)``, in one read.

        Arguments and errors as in ``get_ohlc``. The result is sorted by symbol, in the order asked for, and time; with
        ``pandas`` it is indexed by ``(symbol, ts)``, otherwise these are the first columns. Each row bears the symbol
        it was asked for by.
        """
        if isinstance(symbols, str):
            raise UsageError(f"symbols={symbols!r} is a single text; write [{symbols!r}]")
        table, instruments = self._read(
            symbols, start, end, timeframe, as_of=as_of, final_only=final_only, columns=columns, output=output
        )
        if [i.instrument_id for i in instruments] != sorted(i.instrument_id for i in instruments):
            table = _in_order(table, symbols)
        return _convert(table, output, index=["symbol", "ts"])

    @repeat_read_once
    def _read(
        self,
        symbols: Sequence[str],
        start: Moment,
        end: Moment,
        timeframe: str,
        *,
        as_of: Moment | None,
        final_only: bool,
        columns: Sequence[str],
        output: str,
    ) -> tuple[pa.Table, list[Instrument]]:
        if output not in _OUTPUTS:
            raise UsageError(f"output={output!r} is not known; allowed: {' '.join(_OUTPUTS)}")
        allowed = [*READ.names[2:], STATE]
        unknown = [name for name in columns if name not in allowed]
        if unknown:
            raise UsageError(f"columns={unknown!r} are not known; allowed: {' '.join(allowed)}")
        width = Timeframe.parse(timeframe)
        first, last = parse_range(start, end)
        moment = None if as_of is None else parse_moment(as_of, name="as_of")
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, first, last)
            names = _names(symbols, instruments)
            finality = None
            if final_only or STATE in columns:
                by_name = dict(zip(symbols, instruments, strict=True))
                finality = read_finality(connection, width, by_name, first, last, as_of=moment)
        spans = [Span(instrument_id, first, last) for instrument_id in names]
        needed = columns if finality is None else {*columns, "known_at"}
        table = read_bars(self._warehouse, width, spans, names, as_of=moment, columns=needed)
        if finality is not None:
            table = table.append_column(STATE, finality.states(table))
        wanted = table.select(["symbol", "ts", *columns])
        return _only_final(wanted, table[STATE]) if final_only else wanted, instruments


def _names(symbols: Sequence[str], instruments: Sequence[Instrument]) -> dict[int, str]:
    """Return the symbol that each instrument was asked for by."""
    names: dict[int, str] = {}
    for symbol, instrument in zip(symbols, instruments, strict=True):
        if names.setdefault(instrument.instrument_id, symbol) != symbol:
            raise UsageError(f"symbols {names[instrument.instrument_id]!r} and {symbol!r} are the same instrument")
    return names


def _only_final(table: pa.Table, states: pa.ChunkedArray) -> pa.Table:
    import pyarrow.compute as pc  # noqa: PLC0415

    final = pc.equal(states, BarState.FINAL.value)
    return table if pc.all(final).as_py() else table.filter(final)


def _in_order(table: pa.Table, symbols: Sequence[str]) -> pa.Table:
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    rank = {symbol: place for place, symbol in enumerate(symbols)}
    column = table["symbol"].combine_chunks()
    places = np.array([rank.get(name, 0) for name in column.dictionary.to_pylist()], np.int64)
    order = np.argsort(places[column.indices.to_numpy()], kind="stable") if len(column) else np.empty(0, np.int64)
    return table.take(pa.array(order))


def _convert(table: pa.Table, output: str, *, index: str | list[str]) -> Mapping[str, Any] | Any:  # noqa: ANN401
    if output == "arrow":
        return table
    if output == "polars":
        return import_optional("polars", extra="polars", needed_by="output='polars'").from_arrow(table)
    return table.to_pandas().set_index(index)
