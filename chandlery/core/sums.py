"""Sums of floating-point numbers by groups, correctly rounded, so that neither order nor batching shows.

Not here: what is summed (``rollups.aggregate``, ``reading.resample``).
"""

from __future__ import annotations

from functools import cached_property
from math import fsum

import numpy as np
import numpy.typing as npt

_EXACT = float(2**53)

_Floats = npt.NDArray[np.float64]
_Wide = npt.NDArray[np.longdouble]
_Places = npt.NDArray[np.intp]


class Summands:
    """Numbers that are summed by groups, of several widths."""

    def __init__(self, values: _Floats) -> None:
        self.values = values

    def sums(self, starts: _Places, ends: _Places) -> _Floats:
        """Return the correctly rounded sum of each group, which is the same in any order."""
        if self._are_exact:
            return np.asarray(np.add.reduceat(self.values, starts))
        # In extended precision, where the machine has it, nearly every sum is known well enough to be rounded: the
        # error of adding n numbers is below n x eps x the sum of their absolutes (Higham, Accuracy and Stability, 4.2).
        total = np.add.reduceat(self._wide, starts)
        absolute = total if self._absolute is self._wide else np.add.reduceat(self._absolute, starts)
        with np.errstate(invalid="ignore"):
            error = absolute * (ends - starts) * np.finfo(np.longdouble).eps
            low, high = ((total + side).astype(np.float64) for side in (-error, error))
        sums: _Floats = low + 0.0
        for place in np.flatnonzero(~(low == high)).tolist():
            sums[place] = fsum(self.values[starts[place] : ends[place]].tolist())
        return sums

    @cached_property
    def _are_exact(self) -> bool:
        """Whether they are whole numbers that add up exactly as they are."""
        whole = float(np.abs(self.values).sum()) < _EXACT
        return whole and bool((self.values == np.rint(self.values)).all())

    @cached_property
    def _wide(self) -> _Wide:
        return self.values.astype(np.longdouble)

    @cached_property
    def _absolute(self) -> _Wide:
        return self._wide if bool((self.values >= 0).all()) else np.abs(self._wide)
