"""How much prices move, and bands and channels as wide as that.

A volatility is in the logarithm of the price and of one bar; nothing is made a year's.
"""

from __future__ import annotations

import math

import numpy as np

from chandlery.indicators.declaration import Parameter, declare
from chandlery.indicators.smoothing import EMA_LENGTHS, WILDER_LENGTHS, ema, talib
from chandlery.indicators.windows import (
    Floats,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_moments,
    shift,
)

_BAR = ["high", "low", "close"]
_BAND = [Parameter("n", 20, least=2), Parameter("k", 2, least=0.01, most=100, whole=False)]


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return the range of each bar with the close before it; NaN of the first."""
    before = shift(close, 1)
    return np.maximum(high, before) - np.minimum(low, before)


@declare("TRANGE", inputs=_BAR, warmup=1)
def trange(high: Floats, low: Floats, close: Floats) -> Floats:
    """True range: from low to high, and to the close before."""
    return true_range(high, low, close)


@declare("ATR", inputs=_BAR, parameters=[Parameter("n", 14)], warmup=lambda n: (WILDER_LENGTHS + 1) * n)
def atr(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Average true range, by Wilder's average."""
    made: Floats = talib().ATR(high, low, close, n)
    return made


@declare("NATR", inputs=_BAR, parameters=[Parameter("n", 14)], warmup=lambda n: (WILDER_LENGTHS + 1) * n)
def natr(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Average true range in percent of the close."""
    return atr(high, low, close, n) / close * 100


@declare("STDDEV", inputs=["close"], parameters=[Parameter("n", 20, least=2)], warmup=lambda n: n - 1)
def stddev(close: Floats, n: int) -> Floats:
    """Standard deviation of n closes, as of a whole population."""
    return np.sqrt(var(close, n))


@declare("VAR", inputs=["close"], parameters=[Parameter("n", 20, least=2)], warmup=lambda n: n - 1)
def var(close: Floats, n: int) -> Floats:
    """Variance of n closes, as of a whole population."""
    return rolling_moments(close, n)[1] / n


@declare("ZSCORE", inputs=["close"], parameters=[Parameter("n", 20, least=2)], warmup=lambda n: n - 1)
def zscore(close: Floats, n: int) -> Floats:
    """Distance of the close from the mean of n, in standard deviations."""
    mean, squares = rolling_moments(close, n)
    return (close - mean) / np.sqrt(squares / n)


@declare("BB", inputs=["close"], parameters=_BAND, suffixes=["_upper", "_middle", "_lower"], warmup=lambda n, _: n - 1)
def bb(close: Floats, n: int, k: float) -> tuple[Floats, Floats, Floats]:
    """Bollinger's bands: k standard deviations above and below the mean of n closes."""
    mean, squares = rolling_moments(close, n)
    width = k * np.sqrt(squares / n)
    return mean + width, mean, mean - width


@declare("BBP", inputs=["close"], parameters=_BAND, warmup=lambda n, _: n - 1)
def bbp(close: Floats, n: int, k: float) -> Floats:
    """Where the close lies between Bollinger's bands: 0 is the lower, 1 the upper."""
    return zscore(close, n) / (2 * k) + 0.5


@declare("BBW", inputs=["close"], parameters=_BAND, warmup=lambda n, _: n - 1)
def bbw(close: Floats, n: int, k: float) -> Floats:
    """Width of Bollinger's bands in percent of the middle."""
    upper, middle, lower = bb(close, n, k)
    return (upper - lower) / middle * 100


@declare(
    "DONCHIAN",
    inputs=["high", "low"],
    parameters=[Parameter("n", 20)],
    suffixes=["_upper", "_middle", "_lower"],
    warmup=lambda n: n - 1,
)
def donchian(high: Floats, low: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """Donchian's channel: the highest high and the lowest low of n bars, and their middle."""
    upper, lower = rolling_max(high, n), rolling_min(low, n)
    return upper, (upper + lower) / 2, lower


@declare(
    "KELTNER",
    inputs=_BAR,
    parameters=[*_BAND, Parameter("atr", 10)],
    suffixes=["_upper", "_middle", "_lower"],
    warmup=lambda n, _, atr: max((EMA_LENGTHS + 1) * n, (WILDER_LENGTHS + 1) * atr),
)
def keltner(  # noqa: PLR0917 - a bar, and the parameters as the name has them
    high: Floats, low: Floats, close: Floats, n: int, k: float, length: int
) -> tuple[Floats, Floats, Floats]:
    """Keltner's channel: k average true ranges above and below the exponential average of n closes."""
    middle, width = ema(close, n), k * atr(high, low, close, length)
    return middle + width, middle, middle - width


@declare("RETURN", inputs=["close"], parameters=[Parameter("n", 1)], warmup=lambda n: n)
def simple_return(close: Floats, n: int) -> Floats:
    """Return over n bars: 0.01 is one percent."""
    return close / shift(close, n) - 1


@declare("LOGRETURN", inputs=["close"], parameters=[Parameter("n", 1)], warmup=lambda n: n)
def log_return(close: Floats, n: int) -> Floats:
    """Logarithm of the close over the one of n bars before."""
    return np.log(close / shift(close, n))


@declare("REALIZED_VOL", inputs=["close"], parameters=[Parameter("n", 20, least=2)], warmup=lambda n: n)
def realized_vol(close: Floats, n: int) -> Floats:
    """Realized volatility of a bar: the standard deviation of n log returns, as of a sample."""
    _, squares = rolling_moments(log_return(close, 1), n)
    return np.sqrt(squares / (n - 1))


@declare("PARKINSON", inputs=["high", "low"], parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def parkinson(high: Floats, low: Floats, n: int) -> Floats:
    """Parkinson's volatility of a bar, from n ranges of high and low."""
    return np.sqrt(rolling_mean(np.log(high / low) ** 2, n) / (4 * math.log(2)))


@declare("GARMAN_KLASS", inputs=["open", *_BAR], parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def garman_klass(opened: Floats, high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Garman and Klass's volatility of a bar, from n bars' open, high, low and close."""
    squares = np.log(high / low) ** 2 / 2 - (2 * math.log(2) - 1) * np.log(close / opened) ** 2
    return np.sqrt(rolling_mean(squares, n))
