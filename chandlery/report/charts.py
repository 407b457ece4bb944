"""The charts of a report: their bars, as the page's script reads them.

Not here: the script (``templates/charts.js``), and the small pictures of run records (``pictures.charts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from chandlery.bars.read import BarRange
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.coverage.summary import Summary
from chandlery.instruments.registry import Instrument
from chandlery.pictures.charts import combine
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

#: A browser draws about this many candles without a pause.
_MOST_CANDLES = 3_500


def chart_data(
    warehouse: Warehouse, place: int, instrument: Instrument, summary: Summary, summaries: Sequence[Summary]
) -> dict[str, Any]:
    """Return the data of one chart: bars of the narrowest timeframe of which a browser can draw them all.

    Args:
        warehouse: where the bars are stored.
        place: the number of the chart in the report, for its id.
        instrument: the instrument whose bars are drawn.
        summary: the summary of its bars of the timeframe that was ingested.
        summaries: the summaries of everything that is stored; those of the instrument say what was derived.

    Returns:
        What the page's script reads, ready for JSON. Times are UTC.
    """
    rows = {each.timeframe: each.rows for each in summaries if each.symbol == instrument.symbol}
    base = summary.timeframe
    ladder = [width for width in (base, *derived_from(base)) if width in rows]
    width = next((width for width in ladder if rows[width] <= _MOST_CANDLES), ladder[-1])
    start, end = summary.first_ts - timedelta(days=40), summary.last_ts + timedelta(days=1)
    drawn = BarRange(instrument.instrument_id, start, end)
    bars = combine(read_bars(warehouse, width, [drawn]), _MOST_CANDLES)
    ts = bars["ts"].to_numpy().astype("datetime64[m]")
    first = max(0, len(ts) - 260)
    return {
        "id": f"chart-{place}",
        "name": instrument.symbol,
        "width": width.value if bars.num_rows == rows[width] else f"{width.value}, combined",
        "x": np.datetime_as_string(ts).tolist()
        if width.is_intraday
        else ts.astype("datetime64[D]").astype(str).tolist(),
        **{name: bars[name].to_pylist() for name in ("open", "high", "low", "close", "volume")},
        "breaks": _breaks(instrument, width, ts),
        "range": [str(ts[first]), str(ts[-1] + np.timedelta64(width.microseconds // 60_000_000, "m"))],
    }


def _breaks(instrument: Instrument, width: Timeframe, ts: np.ndarray) -> list[dict[str, Any]]:
    """Return the times that the axis leaves out, because the market is closed then."""
    if get_calendar(instrument.calendar).always_open or width in {Timeframe.W1, Timeframe.MO1}:
        return []
    breaks: list[dict[str, Any]] = [{"bounds": ["sat", "mon"]}]
    if width.is_intraday:
        minutes = (ts - ts.astype("datetime64[D]")).astype(int)
        opens, closes = int(minutes.min()) / 60, (int(minutes.max()) + width.microseconds // 60_000_000) / 60
        if closes < 24 or opens > 0:
            breaks.append({"bounds": [closes, opens], "pattern": "hour"})
    return breaks
