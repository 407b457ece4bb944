"""When an incoming bar leaves the stored one as it is, so that nothing is written.

It does if the two are identical: if all of ``VALUES`` are equal, numbers by value (so 0.0 and -0.0 are equal), and
null to nothing but null. Their sources and the times at which they were learnt do not count, with one exception: a bar
of a day that was rolled up from minutes never replaces a provider's, and a provider's always replaces it, so that it is
known to be there. (So it is with weeks and months of such days.) A bar whose values are not finite never comes here
(``rows.Batch``).

``sql/queries/bars/merge_bars.sql`` says the same of rows in the store; one table of cases tests both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from chandlery.core.schema import VALUES
from chandlery.database.arrays import Column


def are_unchanged(
    incoming: Mapping[str, Column], stored: Mapping[str, Column], derived: Collection[int] = ()
) -> npt.NDArray[np.bool_]:
    """Return of each place whether the incoming bar leaves the stored one as it is.

    Args:
        incoming: columns of bars, all of the same length; ``VALUES`` and ``source`` (ids) among them.
        stored: the same columns of the stored bars, in the same order of keys.
        derived: ids of the sources of days that were rolled up.
    """
    is_derived, was_derived = (np.isin(bars["source"].values, list(derived)) for bars in (incoming, stored))
    return np.where(is_derived == was_derived, _are_identical(incoming, stored), is_derived)


def _are_identical(incoming: Mapping[str, Column], stored: Mapping[str, Column]) -> npt.NDArray[np.bool_]:
    identical = np.ones(len(incoming[VALUES[0]].values), np.bool_)
    for name in VALUES:
        new, old = incoming[name], stored[name]
        is_known, was_known = _validity(new), _validity(old)
        identical &= (is_known == was_known) & (~is_known | (new.values == old.values))
    return identical


def _validity(column: Column) -> npt.NDArray[np.bool_]:
    return np.ones(len(column.values), np.bool_) if column.valid is None else column.valid
