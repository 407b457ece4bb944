"""The newest bars of many symbols. Not here: bars of a range (``bars``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from chandlery.api.reads import Moment, Output, Reads
from chandlery.core.schema import with_symbols
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import parse_width
from chandlery.core.windows import EVER
from chandlery.database.connections import repeat_read_once
from chandlery.instruments.aliases import resolve_ids
from chandlery.reading.arguments import COLUMNS, STATE, ReadOptions, check_columns, check_options, names_of
from chandlery.reading.formats import convert, in_order_of
from chandlery.reading.released import RELEASED


class Latest(Reads):
    """The newest bar of each of many symbols.

    Examples:
        >>> api.latest(["AAPL", "MSFT"], columns=["close"])
                                      ts  close
        symbol
        AAPL   2024-06-05 00:00:00+00:00   11.5
        MSFT   2024-06-05 00:00:00+00:00   11.5
    """

    @repeat_read_once
    def latest(
        self,
        symbols: Iterable[str] | str,
        timeframe: str = "1d",
        *,
        as_of: Moment | None = None,
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the newest bar of each symbol that has any, in the order of ``symbols``.

        Thousands of symbols take one statement. A bar that has not ended yet counts; ``state`` says so.

        Args:
            symbols: several, or the name of a preset of ``universe.yaml``.
            timeframe: as of ``get_ohlc``.
            as_of: return the newest bars that were known at that time, UTC, as they were then.
            columns: as of ``get_ohlc``.
            output: ``pandas``: indexed by ``symbol``, with ``ts`` as the first column; ``arrow`` or ``polars``: with
                ``symbol`` and ``ts`` as the first columns.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        chosen, names = check_columns(columns), self._symbols(symbols)
        how = check_options(ReadOptions(chosen, output, 1, as_of))
        stored = parse_width(timeframe).stored
        if stored is None or how.as_of is not None or {STATE, RELEASED} & set(chosen):
            bars, owners = self._read(names, None, None, timeframe, how)
        else:
            bars, owners = self._read_latest(names, stored, chosen)
        named = with_symbols(in_order_of(bars, list(owners)), dict(sorted(owners.items())))
        return convert(named.select(["symbol", "ts", *chosen]), output, index="symbol")

    def _read_latest(
        self, symbols: list[str], timeframe: Timeframe, columns: list[str]
    ) -> tuple[pa.Table, dict[int, str]]:
        """Return the bars, sorted by instrument, and the symbol that each instrument was requested by."""
        from chandlery.reading.latest import read_latest  # noqa: PLC0415 - few reads need it

        with self._warehouse.connection() as connection:
            owners = names_of(symbols, resolve_ids(connection, symbols, *EVER))
        bars = read_latest(self._warehouse, timeframe, list(owners), columns=columns)
        self._check_filled(timeframe, bars, owners)
        return bars, owners
