"""Whether prices go one way: Wilder's directional movement, Aroon, and the vortex."""

from __future__ import annotations

import numpy as np

from chandlery.indicators.declaration import Parameter, declare
from chandlery.indicators.smoothing import NESTED_RATIO_LENGTHS, RATIO_LENGTHS, between_standstills, talib
from chandlery.indicators.volatility import true_range
from chandlery.indicators.windows import Floats, rolling_sum, shift

_BAR = ["high", "low", "close"]
_N = Parameter("n", 14, least=2)


def _moves(high: Floats, low: Floats) -> Floats:
    """Return how far each bar reaches out of the one before; 0 where it lies inside of it."""
    return np.maximum(np.maximum(high - shift(high, 1), shift(low, 1) - low), 0)


@declare("ADX", inputs=_BAR, parameters=[_N], warmup=lambda n: NESTED_RATIO_LENGTHS * n)
def adx(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Average directional index: how one-sided moves are, whichever way; 0 to 100."""
    return between_standstills(lambda *bars: talib().ADX(*bars, n), [high, low, close], _moves(high, low), n)


@declare("ADXR", inputs=_BAR, parameters=[_N], warmup=lambda n: (NESTED_RATIO_LENGTHS + 1) * n)
def adxr(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Mean of the ADX and of the one of n - 1 bars before."""
    index = adx(high, low, close, n)
    return (index + shift(index, n - 1)) / 2


@declare("DX", inputs=_BAR, parameters=[_N], warmup=lambda n: RATIO_LENGTHS * n)
def dx(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Directional index, which the ADX is the average of; 0 to 100."""
    return between_standstills(lambda *bars: talib().DX(*bars, n), [high, low, close], _moves(high, low), n)


@declare("PLUS_DI", inputs=_BAR, parameters=[_N], warmup=lambda n: RATIO_LENGTHS * n)
def plus_di(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Wilder's share of moves upwards in the true range; 0 to 100."""
    bars = [high, low, close]
    return between_standstills(lambda *part: talib().PLUS_DI(*part, n), bars, true_range(*bars), n)


@declare("MINUS_DI", inputs=_BAR, parameters=[_N], warmup=lambda n: RATIO_LENGTHS * n)
def minus_di(high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Wilder's share of moves downwards in the true range; 0 to 100."""
    bars = [high, low, close]
    return between_standstills(lambda *part: talib().MINUS_DI(*part, n), bars, true_range(*bars), n)


@declare(
    "AROON",
    inputs=["high", "low"],
    parameters=[Parameter("n", 25, least=2)],
    suffixes=["_up", "_down"],
    warmup=lambda n: n,
)
def aroon(high: Floats, low: Floats, n: int) -> tuple[Floats, Floats]:
    """How lately the highest high and the lowest low of n + 1 bars were; 100 is this bar, 0 is n bars ago."""
    down, up = talib().AROON(high, low, n)
    return up, down


@declare("AROONOSC", inputs=["high", "low"], parameters=[Parameter("n", 25, least=2)], warmup=lambda n: n)
def aroonosc(high: Floats, low: Floats, n: int) -> Floats:
    """Aroon up less Aroon down; -100 to 100."""
    up, down = aroon(high, low, n)
    return up - down


@declare(
    "VORTEX",
    inputs=_BAR,
    parameters=[Parameter("n", 14)],
    suffixes=["_plus", "_minus"],
    warmup=lambda n: n,
)
def vortex(high: Floats, low: Floats, close: Floats, n: int) -> tuple[Floats, Floats]:
    """Ways from the low before to the high, and from the high before to the low, over the true range of n bars."""
    span = rolling_sum(true_range(high, low, close), n)
    return rolling_sum(np.abs(high - shift(low, 1)), n) / span, rolling_sum(np.abs(low - shift(high, 1)), n) / span
