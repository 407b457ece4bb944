"""The order and the form in which bars are handed out. Not here: reading them (``bars``, ``tail``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.optional import import_optional

OUTPUTS = ("pandas", "arrow", "polars")


def in_order_of(bars: pa.Table, ids: Sequence[int]) -> pa.Table:
    """Return ``bars``, which are sorted by instrument, in the order of ``ids``."""
    if list(ids) == sorted(ids):
        return bars
    owners = numpy_of(bars["instrument_id"])
    firsts, ends = np.searchsorted(owners, ids, "left"), np.searchsorted(owners, ids, "right")
    return bars.take(number_array(np.concatenate([np.arange(*place) for place in zip(firsts, ends, strict=True)])))


def convert(table: pa.Table, output: str, *, index: str | list[str]) -> Any:  # noqa: ANN401 - by ``output``
    """Return ``table`` as one of ``OUTPUTS``; for pandas, with the columns of ``index`` as the index."""
    if output == "arrow":
        return table
    if output == "polars":
        return import_optional("polars", extra="polars", needed_by="output='polars'").from_arrow(table)
    return table.to_pandas().set_index(index)
