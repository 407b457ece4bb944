"""When an incoming bar is identical to the one that is stored, so that nothing is written.

Two bars of one instrument that start at the same time are identical if all of ``VALUES`` are equal: numbers by value
(so 0.0 and -0.0 are equal), and null to nothing but null. Their sources and the times at which they were learnt do not
count. A bar whose values are not finite never comes here (``rows.Batch``).

``sql/queries/bars/merge_bars.sql`` says the same of rows in the store; one table of cases tests both.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from chandlery.core.schema import VALUES
from chandlery.database.arrays import Column


def are_identical(incoming: Mapping[str, Column], stored: Mapping[str, Column]) -> npt.NDArray[np.bool_]:
    """Return of each place whether the incoming bar is identical to the stored one.

    Args:
        incoming: columns of bars, all of the same length; ``VALUES`` among them.
        stored: the same columns of the stored bars, in the same order of keys.
    """
    identical = np.ones(len(incoming[VALUES[0]].values), np.bool_)
    for name in VALUES:
        new, old = incoming[name], stored[name]
        is_known, was_known = _validity(new), _validity(old)
        identical &= (is_known == was_known) & (~is_known | (new.values == old.values))
    return identical


def _validity(column: Column) -> npt.NDArray[np.bool_]:
    return np.ones(len(column.values), np.bool_) if column.valid is None else column.valid
