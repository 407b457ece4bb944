"""Sums, means and extremes of every window of ``n`` values, as numpy arrays.

Each result depends on the values of its own window alone, bit for bit: a window is put together from halves, quarters
and so on, always in the same way, and never from the window before it. So no value depends on where an array began,
and what is absurd in one window leaves nothing behind in the next, which running sums cannot say of themselves. All
take about ``log2(n)`` passes over the array. Not here: which windows make an indicator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


def lead(values: Floats, length: int) -> Floats:
    """Return ``values`` as the last of ``length``, with NaN before them."""
    return np.concatenate((np.full(min(length, length - len(values)), np.nan), values))


def rolling_sum(values: Floats, n: int) -> Floats:
    """Return the sum of each window of ``n`` values, at the place of its last; NaN before the first whole window."""
    (total,) = _rolling((values,), n, lambda older, newer, _before, _after: (older[0] + newer[0],))
    return total


def rolling_mean(values: Floats, n: int) -> Floats:
    """Return the mean of each window of ``n`` values; see ``rolling_sum``."""
    return rolling_sum(values, n) / n


def rolling_moments(values: Floats, n: int) -> tuple[Floats, Floats]:
    """Return the mean of each window of ``n`` values, and the sum of their squared distances from it.

    Of equal values the second is exactly 0.
    """

    def join(older: _Parts, newer: _Parts, before: int, after: int) -> _Parts:
        whole, distance = before + after, newer[0] - older[0]
        mean = older[0] + distance * (after / whole)
        return mean, older[1] + newer[1] + distance * distance * (before * after / whole)

    mean, squares = _rolling((values, np.zeros(len(values))), n, join)
    return mean, squares


def rolling_weighted_mean(values: Floats, n: int) -> Floats:
    """Return the mean of each window of ``n`` values, where the oldest weighs 1 and the newest ``n``."""

    def join(older: _Parts, newer: _Parts, before: int, _after: int) -> _Parts:
        return older[0] + newer[0], older[1] + newer[1] + before * newer[0]

    _, weighted = _rolling((values, values), n, join)
    return weighted / (n * (n + 1) / 2)


def rolling_max(values: Floats, n: int) -> Floats:
    """Return the largest value of each window of ``n``; see ``rolling_sum``."""
    return _extreme(values, n, np.maximum)


def rolling_min(values: Floats, n: int) -> Floats:
    """Return the smallest value of each window of ``n``; see ``rolling_sum``."""
    return _extreme(values, n, np.minimum)


def rolling_mean_deviation(values: Floats, n: int) -> tuple[Floats, Floats]:
    """Return the mean of each window of ``n`` values, and their mean distance from it. Takes ``n`` passes."""
    mean, count = rolling_mean(values, n), len(values) - n + 1
    if count < 1:
        return mean, mean
    total, distance, centre = np.zeros(count), np.empty(count), mean[n - 1 :]
    for place in range(n):
        np.subtract(values[place : place + count], centre, out=distance)
        total += np.abs(distance, out=distance)
    return mean, lead(total / n, len(values))


def shift(values: Floats, n: int) -> Floats:
    """Return at each place the value of ``n`` places before; NaN where there is none."""
    return lead(values[: max(len(values) - n, 0)], len(values))


_Parts: TypeAlias = tuple[Floats, ...]
#: Joins what is known of the older and the newer part of windows, of so many values each.
_Join: TypeAlias = Callable[[_Parts, _Parts, int, int], _Parts]


def _rolling(values: _Parts, n: int, join: _Join) -> _Parts:
    """Return for each window of ``n`` what ``join`` makes of its parts, of which ``values`` has those of one value."""
    length = len(values[0])
    if n > length:
        return tuple(np.full(length, np.nan) for _ in values)
    width, part, done, known = 1, values, 0, None
    while True:
        if n & width:
            known = part if known is None else join(_until(known, width), _after(part, done), done, width)
            done += width
        if done == n:
            break
        part = join(_until(part, width), _after(part, width), width, width)
        width *= 2
    assert known is not None  # noqa: S101 - for the type checker: n has a bit that is set
    return tuple(lead(each, length) for each in known)


def _until(parts: _Parts, last: int) -> _Parts:
    """Return ``parts`` without their ``last`` places."""
    return tuple(each[: len(each) - last] for each in parts)


def _after(parts: _Parts, first: int) -> _Parts:
    """Return ``parts`` without their ``first`` places."""
    return tuple(each[first:] for each in parts)


def _extreme(values: Floats, n: int, choose: Callable[..., Any]) -> Floats:
    length = len(values)
    if n > length:
        return np.full(length, np.nan)
    width, part = 1, values
    while width * 2 <= n:
        part = choose(part[:-width], part[width:])
        width *= 2
    rest = n - width
    return lead(choose(part[: len(part) - rest], part[rest:]) if rest else part, length)
