"""Bars together with what is computed from them. Not here: how it is computed (``indicators``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from chandlery.api.filled import Filled, is_filled
from chandlery.api.reads import Moment, Output
from chandlery.core.arguments import check_text
from chandlery.core.arrow import number_array, numpy_of, to_list
from chandlery.core.grid import Anchor
from chandlery.core.moments import parse_range
from chandlery.core.widths import Width, parse_width
from chandlery.core.windows import EVER
from chandlery.database.connections import repeat_read_once
from chandlery.instruments.aliases import resolve
from chandlery.reading.arguments import COLUMNS, ReadOptions, check_columns, check_options
from chandlery.reading.fill import FILLED, Fill
from chandlery.reading.formats import convert
from chandlery.reading.made import Hours, make_shape
from chandlery.reading.released import NEEDED, check_knows_suspects

if TYPE_CHECKING:
    from chandlery.indicators.registry import Chosen


class Frames(Filled):
    """Bars of one symbol, with indicators."""

    def get_ohlc_with_indicators(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        indicators: Iterable[str],
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        exclude_suspect: bool = False,
        session: Hours = "all",
        anchor: Anchor = "utc",
        adjust: str = "raw",
        fill: Fill = "none",
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the bars of one symbol that start in ``[start, end)``, oldest first, with indicators of each.

        Arguments and errors are those of ``get_ohlc``, but for ``indicators``: names such as ``SMA_20``, ``rsi`` or
        ``MACD_12_26_9``, in any case; parameters that a name leaves out have their default. ``chandlery indicators``
        lists all, and ``chandlery.indicators.registry.indicator`` adds one of your own. Their columns follow
        ``columns``; some need the extra ``indicators`` (``ConfigurationError``).

        The value on a bar does not depend on ``start`` nor on ``limit``: as many earlier bars are read as the
        indicators need. It is missing where history begins, where it is not defined, and around what is bad:

        - A bar that the next one confirmed as a false print is never used, nor is a bar derived from it. It has no
          value, and computing begins anew after it; so it does after a bar without volume, where volume counts.
        - ``VWAP`` counts from where the session began. ``OBV``, ``AD`` and ``PVT`` do so with bars shorter than a day;
          with others, they count from the first bar there is.
        - They are computed from bars alone, not from filled rows: such a row has the values of the bar before.
        - With ``final_only`` they are computed from final bars alone, and with ``as_of`` from what was known then.
        """
        how = ReadOptions(
            check_columns(columns), output, limit, as_of, final_only, exclude_suspect, session, anchor, adjust, fill
        )
        read = self._filled_with_indicators if is_filled(how) else self._with_indicators
        return convert(read(symbol, start, end, timeframe, indicators, how), output, index="ts")

    def _filled_with_indicators(  # noqa: PLR0917 - see ``_with_indicators``
        self,
        symbol: str,
        start: Moment | None,
        end: Moment | None,
        timeframe: str,
        indicators: Iterable[str],
        how: ReadOptions,
    ) -> pa.Table:
        """Return what ``_with_indicators`` returns, with filled rows, which have the values of the bar before."""
        first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        with self._warehouse.connection() as connection:
            instrument = resolve(connection, check_text(symbol, name="symbol", example="AAPL"), first, last)
        shown, _ = self._read_filled([instrument.symbol], first, last, timeframe, how)
        # Their own bars are the last ones there are, and one before may be repeated.
        count = shown.num_rows - int(numpy_of(shown[FILLED].cast(pa.int8())).sum()) + 1
        bars = how._replace(columns=[], limit=count, fill="none")
        made = self._with_indicators(instrument.symbol, None, last, timeframe, indicators, bars)
        places = np.searchsorted(numpy_of(made["ts"]), numpy_of(shown["ts"]), "right") - 1
        values = made.drop_columns("ts").take(number_array(places))
        kept = ["ts", *how.columns, FILLED]
        return pa.table([*(shown[name] for name in kept), *values.columns], [*kept, *values.column_names])

    @repeat_read_once
    def _with_indicators(  # noqa: PLR0917 - what it is of, and how
        self,
        symbol: str,
        start: Moment | None,
        end: Moment | None,
        timeframe: str,
        indicators: Iterable[str],
        how: ReadOptions,
    ) -> pa.Table:
        """Return ``ts``, the columns of ``how``, and those of ``indicators``."""
        # Other reads need neither these nor calendars.
        from chandlery.indicators.compute import compute  # noqa: PLC0415
        from chandlery.indicators.registry import choose  # noqa: PLC0415
        from chandlery.reading.warmup import beginning, session_numbers, suspect_rows  # noqa: PLC0415

        chosen, how, width = choose(indicators), check_options(how), parse_width(timeframe)
        first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        if how.exclude_suspect:
            check_knows_suspects(width)
        with self._warehouse.connection() as connection:
            instrument = resolve(connection, check_text(symbol, name="symbol", example="AAPL"), first, last)
        if how.limit is not None:
            tail, _ = self._read([instrument.symbol], first, last, width.name, how._replace(columns=[]))
            first = to_list(tail["ts"].slice(0, 1))[0] if tail.num_rows else first
        needed = [*how.columns, *(name for each in chosen for name in each.indicator.inputs), *NEEDED]
        all_of = how._replace(columns=list(dict.fromkeys(needed)), limit=None, exclude_suspect=False)
        begin = beginning(chosen, instrument.calendar, first, is_intraday=width.is_intraday)
        if begin > EVER[0]:
            begin = min(begin, self._warm_up_begin(instrument.symbol, first, width, chosen, all_of))
        bars, _ = self._read([instrument.symbol], begin, last, width.name, all_of)
        calendars = {instrument.instrument_id: instrument.calendar}
        shape = make_shape(width, calendars, begin, last, hours=how.session, anchor=how.anchor)
        breaks = suspect_rows(self._warehouse, shape, bars, as_of=how.as_of)
        # A calendar takes two seconds to know.
        counts = width.is_intraday and any(each.indicator.counted_from != "warm-up" for each in chosen)
        sessions = session_numbers(bars, instrument.calendar, is_intraday=counts)
        made = compute(bars, chosen, breaks=breaks, sessions=sessions)
        shown = numpy_of(bars["ts"]) >= np.datetime64(first.replace(tzinfo=None), "us")
        shown = shown & ~breaks if how.exclude_suspect else shown
        columns = [*(bars[name] for name in ("ts", *how.columns)), *made.columns]
        table = pa.table(columns, ["ts", *how.columns, *made.column_names]).filter(number_array(shown))
        return table if how.limit is None else table.slice(max(table.num_rows - how.limit, 0))

    def _warm_up_begin(
        self, symbol: str, first: datetime, width: Width, chosen: Sequence[Chosen], how: ReadOptions
    ) -> datetime:
        """Return where the bars begin that have to come before ``first``, as many as there are."""
        count = max((each.warmup for each in chosen), default=0)
        if not count or first <= EVER[0]:
            return first
        before, _ = self._read([symbol], EVER[0], first, width.name, how._replace(columns=[], limit=count))
        return to_list(before["ts"].slice(0, 1))[0] if before.num_rows else first
