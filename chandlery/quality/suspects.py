"""Prints that are probably false: a price far from its neighbours that the next bar takes back.

A crash persists and a false print comes back, so that the next bar decides: what is extreme is marked, and confirmed or
cleared once the next bar is there. Nothing is rejected and nothing is changed. Not here: where the marks are kept
(``suspect_findings``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

#: So many bars before a bar say what is usual, and at least so many have to.
PAST, LEAST_PAST = 60, 20
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class SuspectLimits:
    """How far is far, for the logarithms of prices.

    Attributes:
        spike: a close is extreme from so many robust standard deviations of the past returns on.
        spike_floor: and from a move of this size on.
        wick: a high or low is extreme from so many usual ranges beyond its close and the one before on.
        wick_floor: and from this distance on.
        volume: with more than so many times the usual volume, a high or low is no false print.
    """

    spike: float = 3.15
    spike_floor: float = 0.025
    wick: float = 8.0
    wick_floor: float = 0.15
    volume: float = 4.0


DAILY = SuspectLimits()
#: Returns of minutes jump to and fro between bid and ask; only what is far is told from that.
INTRADAY = SuspectLimits(spike=12.0, spike_floor=0.02, wick=20.0, wick_floor=0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Bars that are suspect.

    Attributes:
        confirmed: positions, ascending, of those that the next bar took back.
        open: positions of those that wait for the next bar: the last one, or none.
    """

    confirmed: npt.NDArray[np.int64]
    open: npt.NDArray[np.int64]


def find_suspects(high: Floats, low: Floats, close: Floats, volume: Floats, limits: SuspectLimits) -> Suspects:
    """Return which bars of one instrument are suspect.

    Args:
        high: of each bar, in order of time.
        low: likewise.
        close: likewise. An open is between high and low, so that a false one shows there.
        volume: likewise; NaN where it is not known.
        limits: how far is far.
    """
    nothing = np.empty(0, dtype=np.int64)
    if len(close) <= LEAST_PAST or not low.min() > 0:
        return Suspects(nothing, nothing)
    highs, lows, closes = np.log(high), np.log(low), np.log(close)
    spikes, is_last_extreme = _spikes(closes, limits)
    wicks, is_last_wick = _wicks(highs, lows, closes, volume, limits)
    is_open = is_last_extreme or is_last_wick
    return Suspects(np.union1d(spikes, wicks), np.array([len(close) - 1]) if is_open else nothing)


def _spikes(level: Floats, limits: SuspectLimits) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the bars whose close the next close took back, and whether the last close is extreme."""
    moves = np.diff(level)  # the move to bar i is moves[i - 1]
    size = np.abs(moves)
    back = (moves[:-1] > 0) != (moves[1:] > 0)
    smaller = np.minimum(size[:-1], size[1:])
    candidates = np.flatnonzero(back & (smaller > limits.spike_floor)) + 1
    found = [bar for bar in candidates.tolist() if _is_extreme(size, bar, float(smaller[bar - 1]), limits)]
    last = len(level) - 1
    if found and found[-1] == last - 1:  # the last move was the way back
        return np.array(found, dtype=np.int64), False
    is_last = bool(size[-1] > limits.spike_floor) and _is_extreme(size, last, float(size[-1]), limits)
    return np.array(found, dtype=np.int64), is_last


def _is_extreme(size: Floats, bar: int, move: float, limits: SuspectLimits) -> bool:
    past = size[max(0, bar - 1 - PAST) : bar - 1]
    return len(past) >= LEAST_PAST and move > limits.spike * _MAD_TO_SIGMA * float(np.median(past))


def _wicks(
    high: Floats, low: Floats, close: Floats, volume: Floats, limits: SuspectLimits
) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the bars with a high or low that stands alone, and whether the last bar may have one."""
    before = np.concatenate((close[:1], close[:-1]))
    above = high - np.maximum(close, before)
    below = np.minimum(close, before) - low
    found: list[int] = []
    last = len(close) - 1
    for bar in np.flatnonzero(np.maximum(above, below) > limits.wick_floor).tolist():
        past = slice(max(0, bar - PAST), bar)
        usual = float(np.median((high - low)[past])) if bar >= LEAST_PAST else np.inf
        traded = volume[past][~np.isnan(volume[past])]
        is_busy = len(traded) > 0 and volume[bar] > limits.volume * float(np.median(traded))
        if is_busy or max(above[bar], below[bar]) <= limits.wick * usual:
            continue
        if bar == last:
            return np.array(found, dtype=np.int64), True
        # Where the next bar went there too, it was no false print.
        lone_high, lone_low = high[bar] - high[bar + 1], low[bar + 1] - low[bar]
        is_alone = lone_high > above[bar] / 2 if above[bar] > below[bar] else lone_low > below[bar] / 2
        if is_alone:
            found.append(bar)
    return np.array(found, dtype=np.int64), False
