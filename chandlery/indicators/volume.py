"""What volume says.

Some count up without end. ``VWAP`` counts from where the session began, as everybody who compares with it does. The
others (``OBV``, ``AD``, ``PVT``) have no level that means anything, only changes; intraday they count from where the
session began, so that a value does not take years of minutes to compute, and with bars of a day and wider from the
first bar there is, so that no change in between is an artefact. A hole starts all of them anew, like everything else.
"""

from __future__ import annotations

import numpy as np

from chandlery.indicators.declaration import Parameter, declare
from chandlery.indicators.smoothing import EMA_LENGTHS, NESTED_LENGTHS, ema, talib
from chandlery.indicators.windows import Floats, rolling_mean, rolling_sum, shift

_BAR = ["high", "low", "close", "volume"]


def _vwap_of_one(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    return np.where(volume > 0, (high + low + close) / 3, np.nan)


@declare("VWAP", inputs=_BAR, counted_from="session", of_one_bar=_vwap_of_one)
def vwap(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Mean of the typical prices since the session began, weighed by volume."""
    return np.cumsum((high + low + close) / 3 * volume) / np.cumsum(volume)


@declare("OBV", inputs=["close", "volume"], counted_from="beginning")
def obv(close: Floats, volume: Floats) -> Floats:
    """On balance volume: volume added where the close rises, taken away where it falls."""
    way = np.sign(np.diff(close, prepend=close[:1]))
    way[:1] = 1
    return np.cumsum(way * volume)


@declare("AD", inputs=_BAR, counted_from="beginning")
def ad(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Accumulation and distribution: volume added by where the close lies in the range of the bar."""
    return np.cumsum(_money_flow(high, low, close, volume))


@declare("PVT", inputs=["close", "volume"], counted_from="beginning")
def pvt(close: Floats, volume: Floats) -> Floats:
    """Price volume trend: volume added in proportion to the return of each bar."""
    return np.cumsum(np.nan_to_num(close / shift(close, 1) - 1, nan=0.0) * volume)


@declare(
    "ADOSC",
    inputs=_BAR,
    parameters=[Parameter("fast", 3, least=2), Parameter("slow", 10, least=2)],
    warmup=lambda fast, slow: NESTED_LENGTHS * max(fast, slow),
)
def adosc(  # noqa: PLR0917 - a bar, and the parameters as the name has them
    high: Floats, low: Floats, close: Floats, volume: Floats, fast: int, slow: int
) -> Floats:
    """Chaikin's oscillator: fast less slow exponential average of AD, whose level does not matter to it."""
    made: Floats = talib().ADOSC(high, low, close, volume, fast, slow)
    return made


@declare("MFI", inputs=_BAR, parameters=[Parameter("n", 14)], warmup=lambda n: n)
def mfi(high: Floats, low: Floats, close: Floats, volume: Floats, n: int) -> Floats:
    """Money flow index: the share of price times volume on rises of the typical price in n bars; 0 to 100."""
    price = (high + low + close) / 3
    move, flow = price - shift(price, 1), price * volume
    rises = rolling_sum(np.where(np.isnan(move), move, np.where(move > 0, flow, 0)), n)
    falls = rolling_sum(np.where(np.isnan(move), move, np.where(move < 0, flow, 0)), n)
    return 100 * rises / (rises + falls)


@declare("CMF", inputs=_BAR, parameters=[Parameter("n", 20)], warmup=lambda n: n - 1)
def cmf(high: Floats, low: Floats, close: Floats, volume: Floats, n: int) -> Floats:
    """Chaikin's money flow: volume by where the close lies in the bar, over all volume of n bars; -1 to 1."""
    return rolling_sum(_money_flow(high, low, close, volume), n) / rolling_sum(volume, n)


@declare("EFI", inputs=["close", "volume"], parameters=[Parameter("n", 13)], warmup=lambda n: (EMA_LENGTHS + 1) * n + 1)
def efi(close: Floats, volume: Floats, n: int) -> Floats:
    """Elder's force index: the exponential average of move times volume."""
    return ema((close - shift(close, 1)) * volume, n)


@declare("RVOL", inputs=["volume"], parameters=[Parameter("n", 20)], warmup=lambda n: n)
def rvol(volume: Floats, n: int) -> Floats:
    """Relative volume: over the mean of the n bars before."""
    return volume / shift(rolling_mean(volume, n), 1)


def _money_flow(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Return volume times -1, where the close is the low, to 1, where it is the high; 0 of a bar without a range."""
    span = high - low
    return np.where(span > 0, (2 * close - low - high) / np.where(span > 0, span, 1), 0) * volume
