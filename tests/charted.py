"""A chart with everything on it, for tests of the page: minutes of two sessions, every kind of gap and mark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chandlery.pictures.candle_chart import Blank, CandleChart, Kind, Line, Mark

MINUTE, DAY = 60_000_000, 86_400_000_000
#: 2024-06-13 14:30 UTC.
FIRST = int(np.datetime64("2024-06-13T13:30", "us").astype(np.int64))
#: What a hostile provider, symbol or person may write.
HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"


def bars_at(ts: np.ndarray, seed: int = 7) -> pa.Table:
    """Return bars of a random walk on a grid of cents, at these times, µs since 1970-01-01."""
    random = np.random.default_rng(seed)
    close = np.round(90 + np.cumsum(random.normal(0, 0.06, len(ts))), 2)
    opens = np.round(np.r_[90.0, close[:-1]] + random.normal(0, 0.01, len(ts)), 2)
    high = np.round(np.maximum(opens, close) + np.abs(random.normal(0, 0.04, len(ts))), 2)
    low = np.round(np.minimum(opens, close) - np.abs(random.normal(0, 0.04, len(ts))), 2)
    volume = np.round(random.lognormal(7, 1, len(ts)))
    times = pa.array(ts, pa.int64()).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    return pa.table({"ts": times, "open": opens, "high": high, "low": low, "close": close, "volume": volume})


def everything() -> CandleChart:
    """Return minutes of two sessions with a gap for each reason, and a mark of each kind."""
    reasons = {
        "no_trades": (40, 2), "halted": (80, 15), "provider_gap": (130, 30), "not_observed": (180, 20),
        "never_fetched": (220, 60), "quarantined": (300, 6), "not_final": (330, 8), "not_known": (360, 4),
        "not_listed": (380, 9),
    }  # fmt: skip
    day = np.arange(-60, 450)  # with an hour of extended hours on both sides
    missing = np.concatenate([np.arange(first, first + count) for first, count in reasons.values()])
    ts = np.concatenate([FIRST + np.setdiff1d(day, missing) * MINUTE, FIRST + 4 * DAY + day * MINUTE])
    blanks = [
        Blank(
            FIRST + first * MINUTE,
            FIRST + (first + count) * MINUTE,
            count,
            reason,
            HOSTILE if reason == "halted" else "",
        )
        for reason, (first, count) in reasons.items()
    ]
    midnight = (FIRST // DAY + 1) * DAY
    blanks.append(Blank(midnight, midnight + DAY, 1, "closed"))
    bars = bars_at(ts)
    close = bars["close"].to_numpy()
    smooth = np.convolve(close, np.ones(20) / 20, "full")[: len(close)]
    smooth[:19] = np.nan
    wave = 50 + 40 * np.sin(np.arange(len(ts)) / 25.0)
    later = FIRST + 4 * DAY
    values = (90.1, 91.5, 89.9, 90.4, 1000.0)
    return CandleChart(
        symbol="SIM",
        name="Simulated <b>Inc.</b>",
        width="1m",
        is_intraday=True,
        bars=bars,
        extended=~np.isin((ts - FIRST) % DAY // MINUTE, np.arange(390)),
        blanks=blanks,
        marks=[
            *(
                Mark(FIRST + at * MINUTE, "rejected", f"low -1: low_is_lowest {HOSTILE}", (88.0, 88.3, -1.0, 87.9, 5.0))
                for at in range(300, 306)
            ),
            *(_mark(later + at * MINUTE, "revision", values) for at in (100, 250)),
            _mark(later + 250 * MINUTE, "revision", values),
            _mark(later + 140 * MINUTE, "false_print"),
            _mark(later + 180 * MINUTE, "finding"),
            _mark(later + 320 * MINUTE, "released"),
        ],
        lines=[
            Line("SMA_20", "", smooth),
            Line("MACD_12_26_9", "MACD_12_26_9", np.gradient(smooth) * 10),
            Line("RSI_14", "RSI_14", wave),
        ],
        facts=[("bars", f"{len(ts)}"), ("source", f"test:one{HOSTILE}"), ("calendar", "XNYS")],
        notes=["A note of the chart."],
    )


def _mark(ts: int, kind: Kind, values: tuple[float | None, ...] | None = None) -> Mark:
    return Mark(ts, kind, f"{kind} at {np.datetime64(ts, 'us')}, close 90.4", values)
