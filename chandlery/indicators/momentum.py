"""Oscillators and rates of change: how far and how fast prices go, and whether they went too far.

Where a ratio has nothing below its line, as in a market that stands still, there is no value.
"""

from __future__ import annotations

import numpy as np

from chandlery.indicators.declaration import Parameter, declare
from chandlery.indicators.smoothing import (
    EMA_LENGTHS,
    NESTED_LENGTHS,
    NESTED_RATIO_LENGTHS,
    RATIO_LENGTHS,
    between_standstills,
    ema,
    talib,
)
from chandlery.indicators.windows import (
    Floats,
    rolling_max,
    rolling_mean,
    rolling_mean_deviation,
    rolling_min,
    rolling_sum,
    shift,
)

#: An RSI that stays within a thousandth of a point stands still.
_STILL_RSI = 1e-3
_FAST, _SLOW = Parameter("fast", 12, least=2), Parameter("slow", 26, least=2)


@declare("RSI", inputs=["close"], parameters=[Parameter("n", 14, least=2)], warmup=lambda n: RATIO_LENGTHS * n)
def rsi(close: Floats, n: int) -> Floats:
    """Relative strength index: the share of gains in all moves, by Wilder's averages; 0 to 100."""
    return between_standstills(lambda part: talib().RSI(part, n), [close], close - shift(close, 1), n)


@declare("CMO", inputs=["close"], parameters=[Parameter("n", 14, least=2)], warmup=lambda n: RATIO_LENGTHS * n)
def cmo(close: Floats, n: int) -> Floats:
    """Chande's momentum oscillator: gains less losses over both, by Wilder's averages; -100 to 100."""
    return between_standstills(lambda part: talib().CMO(part, n), [close], close - shift(close, 1), n)


@declare(
    "MACD",
    inputs=["close"],
    parameters=[_FAST, _SLOW, Parameter("signal", 9)],
    suffixes=["", "_signal", "_hist"],
    warmup=lambda fast, slow, signal: (EMA_LENGTHS + 5) * (max(fast, slow) + signal),
)
def macd(close: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats, Floats]:
    """Fast less slow exponential average; the exponential average of that; and the distance of the two."""
    line, average, distance = talib().MACD(close, fast, slow, signal)
    return line, average, distance


@declare(
    "PPO",
    inputs=["close"],
    parameters=[_FAST, _SLOW, Parameter("signal", 9)],
    suffixes=["", "_signal", "_hist"],
    warmup=lambda fast, slow, signal: (EMA_LENGTHS + 5) * (max(fast, slow) + signal),
)
def ppo(close: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats, Floats]:
    """MACD in percent of the slow average, the exponential average of that, and the distance of the two."""
    base = ema(close, max(fast, slow))
    line = (ema(close, min(fast, slow)) - base) / base * 100
    average = ema(line, signal)
    return line, average, line - average


@declare(
    "APO",
    inputs=["close"],
    parameters=[_FAST, _SLOW],
    warmup=lambda fast, slow: (EMA_LENGTHS + 5) * max(fast, slow),
)
def apo(close: Floats, fast: int, slow: int) -> Floats:
    """Absolute price oscillator: fast less slow exponential average."""
    return ema(close, min(fast, slow)) - ema(close, max(fast, slow))


@declare("TRIX", inputs=["close"], parameters=[Parameter("n", 15)], warmup=lambda n: (NESTED_LENGTHS + 3) * n + 1)
def trix(close: Floats, n: int) -> Floats:
    """Rate of change, in percent, of a threefold exponential average."""
    average = ema(ema(ema(close, n), n), n)
    return (average / shift(average, 1) - 1) * 100


@declare(
    "TSI",
    inputs=["close"],
    parameters=[Parameter("slow", 25, least=2), Parameter("fast", 13, least=2)],
    warmup=lambda slow, fast: (NESTED_LENGTHS + 5) * (slow + fast),
)
def tsi(close: Floats, slow: int, fast: int) -> Floats:
    """True strength index: twice averaged moves over twice averaged sizes of moves; -100 to 100."""

    def averaged(part: Floats) -> Floats:
        move = part - shift(part, 1)
        return 100 * ema(ema(move, slow), fast) / ema(ema(np.abs(move), slow), fast)

    return between_standstills(averaged, [close], close - shift(close, 1), slow + fast)


def _place_in_range(close: Floats, high: Floats, low: Floats, n: int) -> Floats:
    """Return where the close lies between the lowest low and the highest high of ``n`` bars, 0 to 100."""
    lowest = rolling_min(low, n)
    return 100 * (close - lowest) / (rolling_max(high, n) - lowest)


@declare(
    "STOCH",
    inputs=["high", "low", "close"],
    parameters=[Parameter("n", 14), Parameter("k", 3), Parameter("d", 3)],
    suffixes=["_k", "_d"],
    warmup=lambda n, k, d: n + k + d - 3,
)
def stoch(  # noqa: PLR0917 - a bar, and the parameters as the name has them
    high: Floats, low: Floats, close: Floats, n: int, k: int, d: int
) -> tuple[Floats, Floats]:
    """Slow stochastic: where the close lies in the range of n bars, averaged over k, and that averaged over d."""
    slow = rolling_mean(_place_in_range(close, high, low, n), k)
    return slow, rolling_mean(slow, d)


@declare(
    "STOCHF",
    inputs=["high", "low", "close"],
    parameters=[Parameter("n", 14), Parameter("d", 3)],
    suffixes=["_k", "_d"],
    warmup=lambda n, d: n + d - 2,
)
def stochf(high: Floats, low: Floats, close: Floats, n: int, d: int) -> tuple[Floats, Floats]:
    """Fast stochastic: where the close lies in the range of n bars, and that averaged over d."""
    fast = _place_in_range(close, high, low, n)
    return fast, rolling_mean(fast, d)


@declare(
    "STOCHRSI",
    inputs=["close"],
    parameters=[Parameter("rsi", 14, least=2), Parameter("n", 14), Parameter("k", 3), Parameter("d", 3)],
    suffixes=["_k", "_d"],
    warmup=lambda rsi, n, k, d: NESTED_RATIO_LENGTHS * rsi + n + k + d - 3,
)
def stochrsi(close: Floats, length: int, n: int, k: int, d: int) -> tuple[Floats, Floats]:
    """Slow stochastic of the RSI: where it lies in its range of n bars, averaged over k, and that over d."""
    strength = rsi(close, length)
    # While closes are equal, the RSI does not move but for rounding, and its range is none.
    is_moving = rolling_max(strength, n) - rolling_min(strength, n) > _STILL_RSI
    place = np.where(is_moving, _place_in_range(strength, strength, strength, n), np.nan)
    slow = rolling_mean(place, k)
    return slow, rolling_mean(slow, d)


@declare("WILLR", inputs=["high", "low", "close"], parameters=[Parameter("n", 14)], warmup=lambda n: n - 1)
def willr(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Williams' %R: how far the close lies below the highest high in the range of n bars; -100 to 0."""
    highest = rolling_max(high, n)
    return -100 * (highest - close) / (highest - rolling_min(low, n))


@declare("ROC", inputs=["close"], parameters=[Parameter("n", 10)], warmup=lambda n: n)
def roc(close: Floats, n: int) -> Floats:
    """Rate of change over n bars, in percent."""
    return (close / shift(close, n) - 1) * 100


@declare("MOM", inputs=["close"], parameters=[Parameter("n", 10)], warmup=lambda n: n)
def mom(close: Floats, n: int) -> Floats:
    """Momentum: the close less the one of n bars before."""
    return close - shift(close, n)


@declare("CCI", inputs=["high", "low", "close"], parameters=[Parameter("n", 20, least=2)], warmup=lambda n: n - 1)
def cci(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Commodity channel index: the typical price less its mean of n bars, over 0.015 times the mean distance."""
    price = (high + low + close) / 3
    mean, distance = rolling_mean_deviation(price, n)
    is_moving = rolling_max(price, n) > rolling_min(price, n)
    return np.where(is_moving, (price - mean) / (0.015 * distance), np.nan)


@declare(
    "ULTOSC",
    inputs=["high", "low", "close"],
    parameters=[Parameter("short", 7), Parameter("middle", 14), Parameter("long", 28)],
    warmup=max,
)
def ultosc(  # noqa: PLR0917 - a bar, and the parameters as the name has them
    high: Floats, low: Floats, close: Floats, short: int, middle: int, long: int
) -> Floats:
    """Ultimate oscillator: buying pressure over true range, of three lengths that weigh 4, 2 and 1; 0 to 100."""
    before = shift(close, 1)
    lowest = np.minimum(low, before)
    pressure, span = close - lowest, np.maximum(high, before) - lowest
    shares = [rolling_sum(pressure, n) / rolling_sum(span, n) for n in (short, middle, long)]
    return 100 * (4 * shares[0] + 2 * shares[1] + shares[2]) / 7


@declare("BOP", inputs=["open", "high", "low", "close"])
def bop(opened: Floats, high: Floats, low: Floats, close: Floats) -> Floats:
    """Balance of power: the way from open to close over the range of the bar; -1 to 1."""
    return (close - opened) / (high - low)
