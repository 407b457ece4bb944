"""Where bars were that a frame is made of. Not here: reading them (``reading``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from chandlery.bars.rows import pair_keys, split_keys
from chandlery.bars.window_states import find_windows
from chandlery.core.arrow import numpy_of
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import window_starts
from chandlery.tiers.warehouse import Warehouse


def where(warehouse: Warehouse, timeframe: Timeframe, tables: Sequence[pa.Table]) -> str:
    """Return which of ``store`` and ``lake`` hold the bars of ``tables``: one, both, or none where there are none.

    Args:
        warehouse: where they are.
        timeframe: of the bars.
        tables: with ``instrument_id`` and ``ts``.
    """
    ids = np.concatenate([np.empty(0, np.int64), *(numpy_of(table["instrument_id"]) for table in tables)])
    if not len(ids) or not timeframe.is_ingested:  # derived bars never leave the store
        return "store" if len(ids) else "none"
    days = window_starts(timeframe, np.concatenate([numpy_of(table["ts"]) for table in tables]))
    used_ids, used_starts = split_keys(np.unique(pair_keys(ids, days)))
    starts = used_starts.astype("datetime64[D]")
    first, until = starts.min().item(), (starts.max() + 1).item()
    with warehouse.connection() as connection:
        cold = find_windows(connection, timeframe, first, until, ids=set(used_ids.tolist()), cold=True)
    left = {(window.instrument_id, window.start) for window in cold}
    used = set(zip(used_ids.tolist(), starts.tolist(), strict=True))
    places = [name for name, some in (("lake", used & left), ("store", used - left)) if some]
    return " and ".join(places)
