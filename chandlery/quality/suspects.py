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
        spike: a close is extreme from so many robust standard deviations of the past returns on ...
        spike_alone: or so many, where the next bar is not there yet, so that not each lively day is marked.
        spike_floor: and from a move of this size on.
        spike_back: the next open has to take back this share of the move, 0 to 1.
        spike_rest: after the next close, at most this share of the larger of both moves may be left.
        spike_volume: with more than so many times the usual volume, a close is no false print.
        wick: a high or low is extreme from so many usual ranges beyond its close and the one before on.
        wick_floor: and from this distance on.
        wick_volume: with more than so many times the usual volume, a high or low is no false print ...
        wick_certain: unless it is at least this far away.
    """

    spike: float = 2.3
    spike_alone: float = 3.15
    spike_floor: float = 0.025
    spike_back: float = 0.7
    spike_rest: float = 0.7
    spike_volume: float = 2.5
    wick: float = 8.0
    wick_floor: float = 0.15
    wick_volume: float = 2.0
    wick_certain: float = 0.7


DAILY = SuspectLimits()
#: Returns of minutes jump to and fro between bid and ask; only what is far is told from that.
INTRADAY = SuspectLimits(spike=12.0, spike_alone=12.0, spike_floor=0.02, wick=20.0, wick_floor=0.05)


@dataclass(frozen=True, slots=True)
class Prices:
    """The bars of one instrument in order of time, a column each; prices and volumes.

    Attributes:
        open: the first price of each bar.
        high: the highest.
        low: the lowest.
        close: the last.
        volume: NaN where it is not known.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Bars that are suspect.

    Attributes:
        confirmed: positions, ascending, of those that the next bar took back.
        open: positions of those that wait for the next bar: the last one, or none.
    """

    confirmed: npt.NDArray[np.int64]
    open: npt.NDArray[np.int64]


def find_suspects(bars: Prices, limits: SuspectLimits) -> Suspects:
    """Return which bars of one instrument are suspect.

    A false close is far from the one before, and already the next open is back. A false high, low or open is far from
    both closes. In a crash much is traded, and the next open goes on where the close was.

    Args:
        bars: of one instrument. Where a price is not above zero, there is no logarithm, and no bar near it is suspect.
        limits: how far is far.
    """
    nothing = np.empty(0, dtype=np.int64)
    if len(bars.close) <= LEAST_PAST:
        return Suspects(nothing, nothing)
    prices = np.array([bars.open, bars.high, bars.low, bars.close])
    opens, highs, lows, closes = np.log(np.where(prices.min(axis=0) > 0, prices, np.nan))
    levels = Prices(opens, highs, lows, closes, bars.volume)
    spikes, is_last_extreme = _spikes(levels, limits)
    wicks, is_last_wick = _wicks(levels, limits)
    is_open = is_last_extreme or is_last_wick
    return Suspects(np.union1d(spikes, wicks), np.array([len(bars.close) - 1]) if is_open else nothing)


def _spikes(levels: Prices, limits: SuspectLimits) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the bars whose close the next bar took back, and whether the last close is extreme."""
    moves = np.diff(levels.close)  # the move to bar i is moves[i - 1]
    size = np.abs(moves)
    there, back = moves[:-1], moves[1:]
    smaller, larger = np.minimum(size[:-1], size[1:]), np.maximum(size[:-1], size[1:])
    opened = (levels.open[2:] - levels.close[1:-1]) * -np.sign(there)
    is_candidate = (
        ((there > 0) != (back > 0))
        & (smaller > limits.spike_floor)
        & (opened > limits.spike_back * size[:-1])
        & (np.abs(there + back) < limits.spike_rest * larger)
    )
    candidates = (np.flatnonzero(is_candidate) + 1).tolist()
    found = [bar for bar in candidates if _is_extreme(size, bar, float(smaller[bar - 1]), limits.spike)]
    found = [bar for bar in found if not _is_busy(levels.volume, bar, limits.spike_volume)]
    last = len(levels.close) - 1
    if found and found[-1] == last - 1:  # the last move was the way back
        return np.array(found, dtype=np.int64), False
    move = float(size[-1])
    is_last = move > limits.spike_floor and _is_extreme(size, last, move, limits.spike_alone)
    return np.array(found, dtype=np.int64), is_last and not _is_busy(levels.volume, last, limits.spike_volume)


def _is_extreme(size: Floats, bar: int, move: float, deviations: float) -> bool:
    past = size[max(0, bar - 1 - PAST) : bar - 1]
    return len(past) >= LEAST_PAST and move > deviations * _MAD_TO_SIGMA * float(np.median(past))


def _is_busy(volume: Floats, bar: int, limit: float) -> bool:
    """Return whether more than ``limit`` times the usual volume was traded in a bar; not where that is not known."""
    past = volume[max(0, bar - PAST) : bar]
    traded = past[~np.isnan(past)]
    return len(traded) > 0 and bool(volume[bar] > limit * np.median(traded))


def _wicks(levels: Prices, limits: SuspectLimits) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the bars with a high or low that stands alone, and whether the last bar may have one."""
    high, low, close = levels.high, levels.low, levels.close
    before = np.concatenate((close[:1], close[:-1]))
    above = high - np.maximum(close, before)
    below = np.minimum(close, before) - low
    found: list[int] = []
    last = len(close) - 1
    for bar in np.flatnonzero(np.maximum(above, below) > limits.wick_floor).tolist():
        past = slice(max(0, bar - PAST), bar)
        usual = float(np.median((high - low)[past])) if bar >= LEAST_PAST else np.inf
        distance = max(above[bar], below[bar])
        if not distance > limits.wick * usual:  # nor where what is usual is not known
            continue
        if distance < limits.wick_certain and _is_busy(levels.volume, bar, limits.wick_volume):
            continue
        if bar == last:
            return np.array(found, dtype=np.int64), True
        # Where the next bar went there too, it was no false print.
        lone_high, lone_low = high[bar] - high[bar + 1], low[bar + 1] - low[bar]
        is_alone = lone_high > above[bar] / 2 if above[bar] > below[bar] else lone_low > below[bar] / 2
        if is_alone:
            found.append(bar)
    return np.array(found, dtype=np.int64), False
