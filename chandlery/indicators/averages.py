"""Moving averages and lines: of the close, unless said otherwise."""

from __future__ import annotations

import itertools

import numpy as np

from chandlery.indicators.declaration import Parameter, declare
from chandlery.indicators.smoothing import (
    EMA_LENGTHS,
    NESTED_LENGTHS,
    WILDER_LENGTHS,
    between_standstills,
    ema,
    rma,
    run,
    talib,
)
from chandlery.indicators.windows import (
    Floats,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_sum,
    rolling_weighted_mean,
    shift,
)


@declare("SMA", inputs=["close"], parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def sma(close: Floats, n: int) -> Floats:
    """Simple average: the mean of n closes."""
    return rolling_mean(close, n)


@declare("EMA", inputs=["close"], parameters=[Parameter("n", 20)], warmup=lambda n: EMA_LENGTHS * n + n)
def exponential(close: Floats, n: int) -> Floats:
    """Exponential average, of weight 2 / (n + 1)."""
    return ema(close, n)


@declare("RMA", inputs=["close"], parameters=[Parameter("n", 14)], warmup=lambda n: WILDER_LENGTHS * n + n)
def wilder(close: Floats, n: int) -> Floats:
    """Wilder's average, of weight 1 / n."""
    return rma(close, n)


@declare("WMA", inputs=["close"], parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def wma(close: Floats, n: int) -> Floats:
    """Weighted average: the newest of n closes weighs n, the oldest 1."""
    return rolling_weighted_mean(close, n)


@declare("DEMA", inputs=["close"], parameters=[Parameter("n", 20)], warmup=lambda n: NESTED_LENGTHS * n + 2 * n)
def dema(close: Floats, n: int) -> Floats:
    """Double exponential average: 2 EMA - EMA(EMA)."""
    once = ema(close, n)
    return 2 * once - ema(once, n)


@declare("TEMA", inputs=["close"], parameters=[Parameter("n", 20)], warmup=lambda n: NESTED_LENGTHS * n + 3 * n)
def tema(close: Floats, n: int) -> Floats:
    """Triple exponential average: 3 EMA - 3 EMA(EMA) + EMA(EMA(EMA))."""
    once = ema(close, n)
    twice = ema(once, n)
    return 3 * once - 3 * twice + ema(twice, n)


@declare("TRIMA", inputs=["close"], parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def trima(close: Floats, n: int) -> Floats:
    """Triangular average: the middle of n closes weighs most; the simple average of a simple average."""
    half = n // 2
    return rolling_mean(rolling_mean(close, half + n % 2), half + 1)


@declare("HMA", inputs=["close"], parameters=[Parameter("n", 16, least=2)], warmup=lambda n: n + int(n**0.5) - 2)
def hma(close: Floats, n: int) -> Floats:
    """Hull's average: WMA, over the root of n, of 2 WMA(n / 2) - WMA(n)."""
    return rolling_weighted_mean(
        2 * rolling_weighted_mean(close, n // 2) - rolling_weighted_mean(close, n), int(n**0.5)
    )


@declare(
    "T3",
    inputs=["close"],
    parameters=[Parameter("n", 5, least=2), Parameter("factor", 0.7, least=0, most=1, whole=False)],
    warmup=lambda n, _: (NESTED_LENGTHS + 6) * n,
)
def t3(close: Floats, n: int, factor: float) -> Floats:
    """Tillson's average: six exponential ones, weighed by factor."""
    return run(talib().T3, close, n, factor)


@declare(
    "KAMA",
    inputs=["close"],
    parameters=[Parameter("n", 10), Parameter("fast", 2), Parameter("slow", 30, most=1000)],
    warmup=lambda n, fast, slow: n + int(21 * (max(fast, slow) + 1) ** 2 / 4),
)
def kama(close: Floats, n: int, fast: int, slow: int) -> Floats:
    """Kaufman's adaptive average: fast where n closes go one way, slow where they go nowhere."""
    moves = rolling_sum(np.abs(close - shift(close, 1)), n)[n:]
    if not len(moves):
        return np.full(len(close), np.nan)
    way = np.abs(close[n:] - close[:-n])
    ratio = np.where(moves > 0, np.minimum(way / np.where(moves > 0, moves, 1), 1), 1)
    weight = (ratio * (2 / (fast + 1) - 2 / (slow + 1)) + 2 / (slow + 1)) ** 2
    steps = itertools.accumulate(
        zip(weight.tolist(), close[n:].tolist(), strict=True),
        lambda before, step: before + step[0] * (step[1] - before),
        initial=float(close[n - 1]),
    )
    made = np.fromiter(steps, np.float64, len(weight) + 1)
    return np.concatenate((np.full(n, np.nan), made[1:]))


@declare("VWMA", inputs=["close", "volume"], parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def vwma(close: Floats, volume: Floats, n: int) -> Floats:
    """Average of n closes, each weighed by its volume."""
    return rolling_sum(close * volume, n) / rolling_sum(volume, n)


#: No cycle that it sees is longer.
_LONGEST_CYCLE = 50


@declare("HT_TRENDLINE", inputs=["close"], warmup=1000)
def ht_trendline(close: Floats) -> Floats:
    """Ehlers' instantaneous trend line, by a Hilbert transform."""
    trend, moves = talib().HT_TRENDLINE, close - shift(close, 1)
    return between_standstills(trend, [close], moves, _LONGEST_CYCLE)


@declare("MIDPOINT", inputs=["close"], parameters=[Parameter("n", 14)], warmup=lambda n: n - 1)
def midpoint(close: Floats, n: int) -> Floats:
    """Middle between the highest and the lowest of n closes."""
    return (rolling_max(close, n) + rolling_min(close, n)) / 2


@declare("MIDPRICE", inputs=["high", "low"], parameters=[Parameter("n", 14)], warmup=lambda n: n - 1)
def midprice(high: Floats, low: Floats, n: int) -> Floats:
    """Middle between the highest high and the lowest low of n bars."""
    return (rolling_max(high, n) + rolling_min(low, n)) / 2


@declare("AVGPRICE", inputs=["open", "high", "low", "close"])
def avgprice(opened: Floats, high: Floats, low: Floats, close: Floats) -> Floats:
    """Mean of open, high, low and close."""
    return (opened + high + low + close) / 4


@declare("MEDPRICE", inputs=["high", "low"])
def medprice(high: Floats, low: Floats) -> Floats:
    """Middle between high and low."""
    return (high + low) / 2


@declare("TYPPRICE", inputs=["high", "low", "close"])
def typprice(high: Floats, low: Floats, close: Floats) -> Floats:
    """Typical price: the mean of high, low and close."""
    return (high + low + close) / 3


@declare("WCLPRICE", inputs=["high", "low", "close"])
def wclprice(high: Floats, low: Floats, close: Floats) -> Floats:
    """Mean of high, low and close, where the close weighs twice."""
    return (high + low + 2 * close) / 4
