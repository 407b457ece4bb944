"""The straight line through n closes, by least squares: its value, slope, angle, beginning and continuation."""

from __future__ import annotations

import numpy as np

from chandlery.indicators.declaration import Parameter, declare
from chandlery.indicators.windows import Floats, rolling_mean, rolling_weighted_mean

_N = Parameter("n", 14, least=2)


def _line(close: Floats, n: int) -> tuple[Floats, Floats]:
    """Return the slope, per bar, and the value in the middle of the line through each window of ``n``."""
    mean = rolling_mean(close, n)
    # The weighted mean has its centre two thirds on, so that it differs from the mean by (n - 1) / 6 slopes.
    return (rolling_weighted_mean(close, n) - mean) * (6 / (n - 1)), mean


@declare("LINEARREG", inputs=["close"], parameters=[_N], warmup=lambda n: n - 1)
def linearreg(close: Floats, n: int) -> Floats:
    """Last value of the straight line through n closes."""
    slope, middle = _line(close, n)
    return middle + slope * ((n - 1) / 2)


@declare("LINEARREG_SLOPE", inputs=["close"], parameters=[_N], warmup=lambda n: n - 1)
def linearreg_slope(close: Floats, n: int) -> Floats:
    """Slope of the straight line through n closes, per bar."""
    return _line(close, n)[0]


@declare("LINEARREG_ANGLE", inputs=["close"], parameters=[_N], warmup=lambda n: n - 1)
def linearreg_angle(close: Floats, n: int) -> Floats:
    """Angle of the straight line through n closes, in degrees."""
    return np.degrees(np.arctan(_line(close, n)[0]))


@declare("LINEARREG_INTERCEPT", inputs=["close"], parameters=[_N], warmup=lambda n: n - 1)
def linearreg_intercept(close: Floats, n: int) -> Floats:
    """First value of the straight line through n closes."""
    slope, middle = _line(close, n)
    return middle - slope * ((n - 1) / 2)


@declare("TSF", inputs=["close"], parameters=[_N], warmup=lambda n: n - 1)
def tsf(close: Floats, n: int) -> Floats:
    """Time series forecast: the straight line through n closes, one bar on."""
    slope, middle = _line(close, n)
    return middle + slope * ((n + 1) / 2)
