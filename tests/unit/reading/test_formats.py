"""The index of several symbols is the one that pandas makes of the same columns, whatever the times are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from chandlery.core.schema import TS
from chandlery.reading.formats import convert

DAY, MINUTE = 86_400_000_000, 60_000_000


@pytest.mark.parametrize(
    ("symbols", "times"),
    [
        ([], []),
        ([1], [0]),
        ([1, 1, 0, 0], [0, DAY, -DAY, 5 * DAY]),
        ([0, 0, 1, 2], [3 * MINUTE, DAY, 3 * MINUTE, 2 * DAY + MINUTE]),
        ([0, 0, 1], [0, 1, 2]),  # not on a grid
        ([0, 0, 1], [MINUTE, 40_000 * DAY + MINUTE, 2 * MINUTE]),  # far apart
    ],
)
def test_an_index_of_symbols_and_times_is_that_of_pandas(symbols: list[int], times: list[int]) -> None:
    names = pa.DictionaryArray.from_arrays(pa.array(symbols, pa.int32()), pa.array(["b", "a", "unused", "c"][:4]))
    ts = pa.array(np.array(times, np.int64).view("datetime64[us]")).cast(TS)
    table = pa.table({"symbol": names, "ts": ts, "close": pa.array(range(len(times)), pa.float64())})
    index = convert(table, "pandas", index=["symbol", "ts"]).index
    expected = pd.MultiIndex.from_arrays([names.to_pandas(), ts.to_pandas()], names=["symbol", "ts"])
    pd.testing.assert_index_equal(index, expected, exact=True)
    for level, other in zip(index.levels, expected.levels, strict=True):
        pd.testing.assert_index_equal(level, other, exact=True)
    assert [code.dtype for code in index.codes] == [code.dtype for code in expected.codes]
