"""Which rows a person decided of before: those that come again with the same values.

Not here: the decisions themselves (``chandlery.ingest.quarantine``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chandlery.core.calendars import Int64s
from chandlery.core.schema import VALUES
from expectations.layout import Bools, Layout


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What was decided of the rows of a batch.

    Attributes:
        released: for each row, whether a person released it.
        left_out: for each row, whether a person left it out of a release.
        entry: for each row the number of the entry in which it was decided; 0 where it was not.
    """

    released: Bools
    left_out: Bools
    entry: Int64s


def find_decisions(layout: Layout, decided: pa.Table | None) -> Decisions:
    """Return what was decided of the rows of ``layout``; of two decisions about a row the later one, further down.

    Args:
        layout: the batch without identical copies.
        decided: schema ``chandlery.ingest.gate.DECIDED``.
    """
    count = len(layout.ts)
    found = Decisions(np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.zeros(count, np.int64))
    if decided is None or not decided.num_rows:
        return found
    again = np.flatnonzero(np.isin(layout.ts, decided["ts"].cast(pa.int64()).to_numpy()))
    known = {key: place for place, key in enumerate(_keys(decided))}
    places = np.array([known.get(key, -1) for key in _keys(layout.table.take(pa.array(again)))], np.int64)
    again, places = again[places >= 0], places[places >= 0]
    found.entry[again] = decided["quarantine_id"].to_numpy()[places]
    released = decided["released"].to_numpy()[places]
    found.released[again[released]] = True
    found.left_out[again[~released]] = True
    # Of two values of one bar that were both released, neither is the present one: a person has to say which.
    twice = found.released[1:] & found.released[:-1] & (layout.ts[1:] == layout.ts[:-1])
    twice &= layout.symbol[1:] == layout.symbol[:-1]
    both = np.append(twice, False) | np.append(False, twice)
    found.released[both], found.entry[both] = False, 0
    return found


def _keys(rows: pa.Table) -> Iterator[tuple[object, ...]]:
    """Return what makes each row the same as another: everything, where NaN equals itself and null does too."""
    columns = [[_comparable(cell) for cell in rows[name].to_pylist()] for name in ("symbol", "ts", "source", *VALUES)]
    return zip(*columns, strict=True)


def _comparable(cell: object) -> object:
    return "NaN" if isinstance(cell, float) and math.isnan(cell) else cell
