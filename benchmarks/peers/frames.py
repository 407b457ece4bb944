"""What a model is given: frames of many widths and indicators at a moment, and bars beside the rows of a table.

Not here: single reads (``questions``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.indicators import USUAL
from benchmarks.peers.questions import Asking
from benchmarks.world import symbols
from chandlery.core.timeframe import Timeframe
from chandlery.instruments.registry import list_instruments
from chandlery.rollups.refresh import catch_up

#: Frames are of moments so long before the last minute there is, with bars of so long before it.
_BEFORE, _ROLLED = timedelta(days=16, hours=8, minutes=30), timedelta(days=61)
_TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
_TIMES = 20  # for each round
_ROWS = 1_000_000


def run(asking: Asking) -> Iterator[Section]:
    """Yield what frames take, then joins."""
    yield _frames(asking)
    yield _joined(asking)


def _frames(asking: Asking) -> Section:
    names = symbols(min(50, asking.size.minutes))
    with asking.warehouse.connection() as connection:
        instruments = [each for each in list_instruments(connection) if each.symbol in names]
    say(f"rolling up two months of {len(names)} symbols")
    _, end = asking.size.month_span
    list(catch_up(asking.warehouse, Timeframe.M1, instruments, end - _ROLLED, end))
    with asking.warehouse.connection() as connection:
        connection.execute("VACUUM ANALYZE")
    api = asking.fresh()

    def ask(symbol: Any, moment: datetime) -> Any:  # noqa: ANN401 - one symbol or several
        return api.get_inference_data(symbol, moment, 5, _TIMEFRAMES, USUAL)

    def each_minute(symbol: Any, count: int) -> list[float]:  # noqa: ANN401 - one symbol or several
        moments = [end - _BEFORE + timedelta(minutes=number) for number in range(count + 1)]
        ask(symbol, moments[0])
        return [stopwatch(lambda moment=moment: ask(symbol, moment)) for moment in moments[1:]]  # type: ignore[misc]

    section = Section(f"peers: inference frames of {len(_TIMEFRAMES)} timeframes and {len(USUAL)} indicators, warm")
    waits, all_at_once = each_minute(names[0], _TIMES * asking.repeat), each_minute(names, 2 * asking.repeat)
    one, slow = Measure("one symbol", waits), Measure("one symbol, p95", [float(np.percentile(waits, 95))])
    many = Measure(f"{len(names)} symbols in one call", all_at_once)
    section.add({each.name: each for each in (one, slow, many)})
    section.limit(slow, 0.010)
    section.limit(many, 0.150)
    section.facts["each call"] = "asks for another minute, so that no answer is one that was given before"
    return section


def _joined(asking: Asking) -> Section:
    names, (start, end) = symbols(asking.size.resampled), asking.size.month_span
    rows = min(_ROWS, 5_000 * asking.size.newest)
    random = np.random.default_rng(7)
    low, high = (int(moment.timestamp() * 1e6) for moment in (start, end))
    moments = np.sort(random.integers(low, high, rows)).view("datetime64[us]")
    left = pl.DataFrame({"ts": moments, "symbol": random.choice(names, rows)}).with_columns(
        pl.col("ts").dt.replace_time_zone("UTC")
    )
    api = asking.fresh()
    bars = api.get_multi_symbol(names, start, end, "1m", columns=["close"], output="polars")
    ends = (pl.col("ts") + pl.duration(minutes=1)).alias("ts")
    right = bars.select(pl.col("symbol").cast(pl.String), ends, "close").sort("ts")

    def ours() -> Any:  # noqa: ANN401 - a frame of polars
        return api.asof_join(left, by="symbol", columns=["close"], timeframe="1m")

    def theirs() -> Any:  # noqa: ANN401 - a frame of polars
        return left.join_asof(right, on="ts", by="symbol", check_sortedness=False)

    if not ours()["close"].equals(theirs()["close"]):
        raise AssertionError("the join of polars has other bars")
    contestants = {"Chandlery, its minutes in memory": ours, "polars.join_asof on the same arrays": theirs}
    seconds = take_turns({name: lambda do=do: stopwatch(do) for name, do in contestants.items()}, asking.repeat)  # type: ignore[misc]
    one, other = (Measure(name, taken, rows, "rows") for name, taken in seconds.items())
    section = Section(
        f"peers: the last of {right.height:,} minutes of {len(names)} symbols beside each of {rows:,} rows"
    )
    section.add({one.name: one, other.name: other})
    section.compare(one, other, aim=1.0)
    return section
