"""The Python interface: bars by symbol, as pandas, polars or Arrow.

Here instruments get their names, once. Not here: where bars are and how they are read (``reading``), and what makes a
bar final (``coverage.finality``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.core.arguments import check_choice, check_count, check_flag, check_text, check_texts
from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.schema import with_symbols
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.filled import check_filled
from chandlery.database.connections import repeat_read_once
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.arguments import COLUMNS, STATE, ReadOptions, accepted_of, check_columns, missing_of, names_of
from chandlery.reading.bars import read_bars
from chandlery.reading.formats import OUTPUTS, convert, in_order_of
from chandlery.reading.released import NEEDED, RELEASED, acceptance, released_bars, released_column, suspect_bars
from chandlery.reading.tail import read_tail
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from chandlery.lineage.steps import Lineage

Moment: TypeAlias = str | date | datetime
Output: TypeAlias = Literal["pandas", "arrow", "polars"]

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
        exclude_suspect: bool = ...,
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
        exclude_suspect: bool = ...,
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
        exclude_suspect: bool = ...,
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
        exclude_suspect: bool = False,
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
            exclude_suspect: leave out the bars that the bar after confirmed as false prints; of ``1m`` and ``1d``.
            columns: which, in this order, of ``open high low close volume vwap trades source known_at state
                released``. No others are read, so that fewer come faster. ``released``: whether the bar broke a rule of
                the gate and a person released it; null of derived bars.
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
        columns = check_columns(columns)
        how = ReadOptions(columns, output, limit, as_of, final_only, exclude_suspect)
        bars, _ = self._read([check_text(symbol, name="symbol", example="AAPL")], start, end, timeframe, how)
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
        exclude_suspect: bool = False,
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the bars of several symbols that start in ``[start, end)``, in one read.

        Arguments and errors are those of ``get_ohlc``; ``limit`` is the number of bars of each symbol. The rows are
        sorted by symbol, in the order of ``symbols``, and time. With ``pandas`` they are indexed by ``(symbol, ts)``,
        otherwise these are the first columns. Each row bears the symbol of ``symbols``, be it a former ticker.
        """
        columns = check_columns(columns)
        how = ReadOptions(columns, output, limit, as_of, final_only, exclude_suspect)
        bars, names = self._read(check_texts(symbols, name="symbols", example="AAPL"), start, end, timeframe, how)
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
    def findings(
        self,
        symbols: Iterable[str] | None = None,
        timeframe: str | None = None,
        *,
        state: str | None = "current",
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return what the gate noticed and did not reject, by symbol and time (schema ``quality.findings.TABLE``).

        Args:
            symbols: only of these; of all instruments by default.
            timeframe: only of ``1m`` or ``1d``.
            state: ``open``, ``confirmed``, ``dismissed``, or ``current`` (not dismissed); None for all.
            output: as of ``get_ohlc``; with ``pandas``, indexed by the finding's number.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        from chandlery.quality import findings  # noqa: PLC0415 - see ``lineage``

        check_choice(output, OUTPUTS, name="output")
        chosen = None if state is None else check_choice(state, findings.CHOICES, name="state")
        width = None if timeframe is None else Timeframe.parse(timeframe)
        findings.check_timeframe(width)
        names = None if symbols is None else check_texts(symbols, name="symbols", example="AAPL")
        with self._warehouse.connection() as connection:
            ids = None if names is None else [each.instrument_id for each in resolve_all(connection, names, *EVER)]
            found = findings.list_findings(connection, instrument_ids=ids, timeframe=width, state=chosen)
        return convert(findings.findings_table(found), output, index="finding")

    @repeat_read_once
    def _read(
        self,
        symbols: Sequence[str],
        start: Moment,
        end: Moment,
        timeframe: str,
        how: ReadOptions,
    ) -> tuple[pa.Table, dict[int, str]]:
        """Return the bars, sorted by instrument and time, and the symbol that each instrument was requested by."""
        limit = check_count(how.limit, name="limit", most=_MOST_BARS)
        final_only = check_flag(how.final_only, name="final_only")
        exclude_suspect = check_flag(how.exclude_suspect, name="exclude_suspect")
        check_choice(how.output, OUTPUTS, name="output")
        columns = how.columns
        width = Timeframe.parse(timeframe)
        first, last = parse_range(start, end)
        moment = None if how.as_of is None else parse_moment(how.as_of, name="as_of")
        finality = released = None
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, first, last)
            names = names_of(symbols, instruments)
            if final_only or STATE in columns:
                from chandlery.coverage.finality import read_finality  # noqa: PLC0415 - see ``lineage``

                finality = read_finality(connection, width, instruments, first, last, as_of=moment)
            if RELEASED in columns:
                released = released_bars(connection, width, names, first, last)
            suspect = suspect_bars(connection, width, names, first, last) if exclude_suspect else set()
        ranges = [BarRange(instrument_id, first, last) for instrument_id in names]
        marked = NEEDED if RELEASED in columns or suspect else ()
        needed = {*columns, *(finality.columns if finality else ()), *marked}
        accept = acceptance(finality.are_final if finality is not None and final_only else None, suspect)
        if limit is None:
            bars = read_bars(self._warehouse, width, ranges, as_of=moment, columns=needed)
            bars = bars if accept is None else accepted_of(bars, accept(bars))
        else:
            bars = read_tail(self._warehouse, width, ranges, limit, as_of=moment, columns=needed, accept=accept)
        if missing := missing_of(bars, names):
            with self._warehouse.connection() as connection:
                check_filled(connection, width, missing)
        if finality is not None and STATE in columns:
            bars = bars.append_column(STATE, finality.states(bars))
        if RELEASED in columns:
            bars = bars.append_column(RELEASED, released_column(bars, released))
        return bars, names
