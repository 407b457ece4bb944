"""The values with which bars were first known, instead of those that a later restatement gave them.

Not here: values as of a time (``reading``).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from chandlery.bars.read import BarRange, read_stored_revisions, sort_by_key
from chandlery.core.arrow import number_array, numpy_of, to_rows
from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.database.connections import Database
from chandlery.reading.made import of_each


def with_first_values(database: Database, timeframe: Timeframe, bars: pa.Table, moment: datetime) -> pa.Table:
    """Return ``bars``; those that were restated after ``moment``, with the values of then, or else with their first.

    Args:
        database: where earlier values are; those of windows that left the store are not looked up.
        timeframe: of ``bars``.
        bars: present values, sorted by (instrument_id, ts), with ``known_at``.
        moment: UTC.
    """
    known_at = numpy_of(bars["known_at"]).view(np.int64)
    if not (known_at > microseconds(moment)).any():
        return bars
    ranges = [BarRange(owner, instant(int(ts[0])), instant(int(ts[-1]) + 1)) for owner, _, ts in of_each(bars)]
    earlier = read_stored_revisions(database, timeframe, ranges)
    if not earlier.num_rows:
        return bars
    values: dict[tuple[int, Any], list[dict[str, Any]]] = defaultdict(list)
    for row in to_rows(earlier):
        values[row["instrument_id"], row["ts"]].append(row)
    chosen = []
    for versions in values.values():
        versions.sort(key=lambda row: row["known_at"])
        before = [row for row in versions if row["known_at"] <= moment]
        chosen.append(before[-1] if before else versions[0])
    first = pa.Table.from_pylist(chosen, schema=earlier.schema).select(bars.column_names)
    keys = {(row["instrument_id"], row["ts"]) for row in chosen}
    present = to_rows(bars.select(["instrument_id", "ts", "known_at"]))
    kept = [row["known_at"] <= moment or (row["instrument_id"], row["ts"]) not in keys for row in present]
    replaced = {(row["instrument_id"], row["ts"]) for row, is_kept in zip(present, kept, strict=True) if not is_kept}
    taken = [(row["instrument_id"], row["ts"]) in replaced for row in chosen]
    tables = [bars.filter(number_array(np.array(kept))), first.filter(number_array(np.array(taken)))]
    return sort_by_key(pa.concat_tables(tables).unify_dictionaries().combine_chunks())
