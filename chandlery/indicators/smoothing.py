"""What TA-Lib computes: recursive averages, in C.

TA-Lib is an extra, and imported when something needs it. Its running sums are not used (see ``windows``): these are
the functions whose memory of old bars fades. Not here: which indicator is made of what.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chandlery.core.optional import import_optional
from chandlery.indicators.windows import Floats, lead

#: Times its length, and the memory of an exponential average is below 1e-9 of what it was: exp(-2 * 15) for one ...
EMA_LENGTHS = 15
#: ... for averages of averages, whose differences are small beside them ...
NESTED_LENGTHS = 25
#: ... for Wilder's average, which forgets half as fast: exp(-25) ...
WILDER_LENGTHS = 25
#: ... and for one of what Wilder's averages make.
NESTED_WILDER_LENGTHS = 35
#: After so many lengths without any move, what is left in Wilder's averages is only the memory of older moves.
STILL_LENGTHS = 5
#: So long are a warm-up and the standstill after which there is no value, together.
RATIO_LENGTHS = WILDER_LENGTHS + STILL_LENGTHS
NESTED_RATIO_LENGTHS = NESTED_WILDER_LENGTHS + STILL_LENGTHS


@lru_cache(maxsize=1)
def talib() -> Any:  # noqa: ANN401 - a module
    """Return TA-Lib.

    Raises:
        ConfigurationError: it is not installed.
    """
    return import_optional("talib", extra="indicators", needed_by="this indicator", package="ta-lib")


def ema(values: Floats, n: int) -> Floats:
    """Return the exponential average, of weight ``2 / (n + 1)``; it begins as the mean of the first ``n``.

    ``values`` may begin with NaN.
    """
    if n == 1:
        return values
    return run(talib().EMA, values, n)


def rma(values: Floats, n: int) -> Floats:
    """Return Wilder's average of ``values``, of weight ``1 / n``; it begins as the mean of the first ``n``."""
    if n == 1:
        return values
    return run(talib().RMA, values, n)


def run(function: Callable[..., Any], values: Floats, *parameters: float) -> Floats:
    """Return what a function of TA-Lib makes of ``values`` after the NaN that they may begin with."""
    first = int(np.argmin(np.isnan(values))) if len(values) else 0
    made: Floats = function(values[first:], *parameters)
    return lead(made, len(values)) if first else made


def between_standstills(function: Callable[..., Floats], inputs: Sequence[Floats], moves: Floats, n: int) -> Floats:
    """Return what ``function`` makes of ``inputs``, where it begins anew after each standstill, and NaN within.

    The market stands still where ``moves`` were 0 for five times ``n`` bars. By then a ratio of Wilder's averages is
    one of two memories, of bars that are as good as forgotten, and no warm-up could be long enough to know it.
    """
    length, places = STILL_LENGTHS * n, np.arange(len(moves))
    latest = np.maximum.accumulate(np.where((moves != 0) & ~np.isnan(moves), places, -length))
    is_moving = places - latest < length
    # The bar before the first move belongs to it.
    begins = np.flatnonzero(is_moving[length:] & ~is_moving[length - 1 : -1]) + length - 1
    edges = [0, *begins.tolist(), len(moves)]
    parts = [function(*(each[first:after] for each in inputs)) for first, after in itertools.pairwise(edges)]
    return np.where(is_moving, np.concatenate(parts), np.nan)
