"""Arithmetic on half-open ranges ``[start, end)`` of dates or of instants.

A range is a pair, and its start comes before its end; a pair whose start does not is empty, and no function here
returns one. Ranges that touch do not overlap. Not here: the windows in which bars are kept (``windows``), and the
periods of wide bars (``periods``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TypeAlias, TypeVar

Moment = TypeVar("Moment", date, datetime)
#: ``start`` is inclusive, ``end`` is exclusive.
Range: TypeAlias = tuple[Moment, Moment]


def merge(ranges: Iterable[Range[Moment]]) -> list[Range[Moment]]:
    """Return the union of ``ranges``: ascending, disjoint, and with ranges joined that overlap or touch."""
    merged: list[Range[Moment]] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            before, until = merged[-1]
            merged[-1] = before, max(until, end)
        else:
            merged.append((start, end))
    return merged


def intersect(ranges: Iterable[Range[Moment]], limit: Range[Moment]) -> list[Range[Moment]]:
    """Return the part of each of ``ranges`` that lies within ``limit``, in their order and without empty ones."""
    low, high = limit
    parts = ((max(start, low), min(end, high)) for start, end in ranges)
    return [(start, end) for start, end in parts if start < end]


def subtract(ranges: Iterable[Range[Moment]], removed: Iterable[Range[Moment]]) -> list[Range[Moment]]:
    """Return what of each of ``ranges`` lies in none of ``removed``.

    The pieces stand in the order of ``ranges``, those of one range ascending.
    """
    remaining = [(start, end) for start, end in ranges if start < end]
    for begin, after in removed:
        if begin >= after:
            continue
        remaining = [
            piece
            for start, end in remaining
            for piece in ((start, min(end, begin)), (max(start, after), end))
            if piece[0] < piece[1]
        ]
    return remaining


def overlapping(ranges: Iterable[Range[Moment]], requested: Range[Moment]) -> Sequence[Range[Moment]]:
    """Return those of ``ranges`` that have a moment in common with ``requested``, whole and in their order."""
    first, last = requested
    return [(start, end) for start, end in ranges if max(start, first) < min(end, last)]
