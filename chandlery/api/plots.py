"""Charts of bars, with all that is known of them: gaps and their reasons, revisions, rejected rows, what was noticed.

Not here: what is marked and why (``plot_marks``), how a chart becomes a page (``pictures.candle_page``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from chandlery.api.bars import Bars
from chandlery.api.frames import Frames
from chandlery.api.plotted import GivenSpan, Plotted
from chandlery.api.reads import Moment
from chandlery.core.arguments import check_text
from chandlery.core.arrow import numpy_of
from chandlery.core.calendars import Int64s
from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.text import shorten, write_number
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width, parse_width
from chandlery.core.windows import EVER, instant
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument
from chandlery.reading.made import Hours
from chandlery.reading.released import RELEASED

if TYPE_CHECKING:
    from chandlery.api.chart import Chart
    from chandlery.pictures.candle_chart import Line

#: More bars than this are drawn wider: a page of them takes about a megabyte, and a telephone still moves smoothly.
MOST_BARS = 120_000
_VALUES = ("open", "high", "low", "close", "volume")
#: Indicators that are prices, which are drawn over the candles. All others get a panel below.
_PRICES = frozenset(
    (
        *("AVGPRICE", "BB", "DEMA", "DONCHIAN", "EMA", "HMA", "HT_TRENDLINE", "KAMA", "KELTNER", "LINEARREG"),
        *("LINEARREG_INTERCEPT", "MEDPRICE", "MIDPOINT", "MIDPRICE", "RMA", "SMA", "T3", "TEMA", "TRIMA", "TSF"),
        *("TYPPRICE", "VWAP", "VWMA", "WCLPRICE", "WMA"),
    )
)


class Plots(Bars, Frames):
    """Charts."""

    @repeat_read_once
    def plot(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        indicators: Iterable[str] = (),
        as_of: Moment | None = None,
        session: Hours = "all",
        max_bars: int = MOST_BARS,
    ) -> Chart:
        """Return a chart of the bars of one symbol that start in ``[start, end)``, which a notebook shows.

        It shows candles and volume; where bars are missing, by reason; bars that were restated, with what they were;
        rows that wait in quarantine, where they would be; false prints and all else that the gate noticed; and
        extended hours. Reasons, rejected rows and findings are as they are today, also with ``as_of``, but none is
        shown that came to light later.

        Args:
            symbol: as of ``get_ohlc``, and so are those that follow, but for the last and ``indicators``.
            start: inclusive.
            end: exclusive.
            timeframe: of any width.
            indicators: as of ``get_ohlc_with_indicators``; prices are drawn over the candles, others below.
            as_of: draw what was known at that time.
            session: which hours.
            max_bars: if there are more bars, wider ones are drawn instead, and the chart says so; 100 or more.

        Raises:
            UnknownSymbolError: no instrument goes by that name in the range.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        _check_most(max_bars)
        names = [indicators] if isinstance(indicators, str) else list(indicators)
        moment = None if as_of is None else parse_moment(as_of, name="as_of")
        first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        check_text(symbol, name="symbol", example="AAPL")
        wanted, notes = parse_width(timeframe), []
        bars = self._bars_to_plot(symbol, first, last, wanted, names, moment, session)
        width = _width_that_fits(wanted, bars.num_rows, max_bars, only_intraday=session != "all")
        if width != wanted:
            notes.append(_note_wider(wanted, width, bars.num_rows))
            bars = self._bars_to_plot(symbol, first, last, width, names, moment, session)
        with self._warehouse.connection() as connection:
            instrument = resolve(connection, symbol, first, last)
        span = GivenSpan(first, last, start is not None, end is not None).around(self._known(instrument, width), bars)
        return self._draw(Plotted(instrument, width, bars, *span, moment, session), names, notes)

    def _draw(self, plotted: Plotted, indicators: Sequence[str], notes: Sequence[str]) -> Chart:
        """Return the chart of what was read."""
        from chandlery.api.chart import Chart  # noqa: PLC0415 - reads need none of this
        from chandlery.api.plot_marks import gaps_of, marks_of  # noqa: PLC0415
        from chandlery.coverage.gaps import count_by_reason  # noqa: PLC0415
        from chandlery.pictures.candle_chart import Blank, CandleChart  # noqa: PLC0415
        from chandlery.pictures.candle_page import render_chart  # noqa: PLC0415

        marks, more = marks_of(self._warehouse, plotted)
        gaps = gaps_of(self._warehouse, plotted, marks, self._known_later(plotted))
        symbol, width = plotted.instrument.symbol, plotted.width
        chart = CandleChart(
            symbol=symbol,
            name=plotted.instrument.name or "",
            width=width.name,
            is_intraday=width.is_intraday,
            bars=plotted.bars.select(["ts", *_VALUES]),
            extended=_extended(plotted),
            blanks=[Blank(gap.start, gap.end, gap.slots, gap.reason, gap.detail) for gap in gaps],
            marks=marks,
            lines=_lines(indicators, plotted.bars),
            facts=_facts(plotted),
            notes=[*notes, *more],
        )
        counts = {reason: count for reason, (count, _) in count_by_reason(gaps).items()}
        return Chart(symbol, width.name, plotted.bars.num_rows, counts, render_chart(chart))

    def _bars_to_plot(  # noqa: PLR0917 - what it is of, and how
        self,
        symbol: str,
        first: datetime,
        last: datetime,
        width: Width,
        indicators: Sequence[str],
        as_of: datetime | None,
        session: Hours,
    ) -> pa.Table:
        """Return ``ts``, prices, volume, sources, whether a person released the bar, and the columns of indicators."""
        released = [RELEASED] if width.stored is not None and width.stored.is_ingested else []
        columns = [*_VALUES, "source", *released]
        if not indicators:
            return self.get_ohlc(
                symbol, first, last, width.name, as_of=as_of, session=session, columns=columns, output="arrow"
            )
        table: pa.Table = self.get_ohlc_with_indicators(
            symbol,
            first,
            last,
            width.name,
            indicators=indicators,
            as_of=as_of,
            session=session,
            columns=columns,
            output="arrow",
        )
        return table

    def _known(self, instrument: Instrument, width: Width) -> tuple[date, date] | None:
        """Return the first and the last session of which anything is known; None where there is none."""
        from chandlery.coverage.known_range import known_sessions  # noqa: PLC0415

        base = Timeframe.M1 if width.is_intraday else Timeframe.D1
        static = {instrument.provider}  # so that what is known has an end
        with self._warehouse.connection() as connection:
            return known_sessions(connection, [instrument], base, None, static).get(instrument.instrument_id)

    def _known_later(self, plotted: Plotted) -> Int64s:
        """Return the starts of bars that are known now, and were not at the time as of which is drawn."""
        if plotted.as_of is None:
            return np.empty(0, np.int64)
        symbol, name = plotted.instrument.symbol, plotted.width.name
        now = self.get_ohlc(
            symbol, plotted.start, plotted.end, name, session=plotted.hours, columns=["close"], output="arrow"
        )
        return np.setdiff1d(numpy_of(now["ts"]).astype("datetime64[us]").astype(np.int64), plotted.ts)


def _note_wider(wanted: Width, width: Width, count: int) -> str:
    return (
        f"{count:,} {wanted.name} bars are too many to draw; these are {width.name} bars. A shorter range shows"
        f" {wanted.name}."
    )


def _check_most(max_bars: object) -> None:
    if isinstance(max_bars, bool) or not isinstance(max_bars, int) or max_bars < 100:
        raise UsageError(f"max_bars={shorten(max_bars)} is not allowed; give a whole number, 100 or more")


def _width_that_fits(wanted: Width, count: int, most: int, *, only_intraday: bool) -> Width:
    """Return the narrowest width, of those that are stored, of which there are no more bars than ``most``."""
    if count <= most:
        return wanted
    size = _days(wanted)
    wider = [width for each in Timeframe if (width := parse_width(each.value)) and _days(width) > size]
    wider = [width for width in wider if width.is_intraday or not only_intraday]
    fitting = [width for width in wider if count * size <= most * _days(width)]
    return min(fitting, key=_days, default=max([wanted, *wider], key=_days))


def _days(width: Width) -> float:
    """Return about how many days of trading a bar is wide; a day has at least six and a half hours."""
    if width.is_intraday:
        return min(width.count / 390, 1.0 - 1e-9)
    return width.count * {"d": 1, "w": 5, "mo": 21}[width.unit]


def _extended(plotted: Plotted) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which of the bars begin outside of regular hours."""
    ts = plotted.ts
    if not plotted.width.is_intraday or not len(ts):
        return np.zeros(len(ts), np.bool_)
    labels = np.asarray(plotted.grid.expected(int(ts[0]), int(ts[-1]) + 1))
    return ~np.isin(ts, labels)


def _lines(names: Sequence[str], bars: pa.Table) -> list[Line]:
    """Return the columns of the indicators, each with where it is drawn."""
    if not names:
        return []
    from chandlery.indicators.registry import choose  # noqa: PLC0415
    from chandlery.pictures.candle_chart import Line  # noqa: PLC0415

    return [
        Line(
            column,
            "" if each.indicator.is_builtin and each.indicator.name in _PRICES else each.name,
            bars[column].to_numpy().astype(np.float64),
        )
        for each in choose(names)
        for column in each.columns
    ]


def _facts(plotted: Plotted) -> list[tuple[str, str]]:
    """Return what stands above the chart."""
    form = "%Y-%m-%d %H:%M" if plotted.width.is_intraday else "%Y-%m-%d"
    facts = [("bars", write_number(plotted.bars.num_rows))]
    if plotted.bars.num_rows:
        ts = plotted.ts
        facts.append(("from", f"{instant(int(ts[0])):{form}}"))
        facts.append(("to", f"{instant(int(ts[-1])):{form}} UTC"))
        sources = [text for text in plotted.bars["source"].unique().to_pylist() if text]
        facts.append(("source", ", ".join(sorted(sources)[:5]) + (", ..." if len(sources) > 5 else "")))
    if plotted.as_of is not None:
        facts.append(("as known at", f"{plotted.as_of:%Y-%m-%d %H:%M:%S} UTC"))
    if plotted.hours != "all" and plotted.width.is_intraday:
        facts.append(("hours", plotted.hours))
    facts.append(("calendar", plotted.instrument.calendar))
    return facts
