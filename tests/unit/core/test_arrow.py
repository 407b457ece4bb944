"""Arrow arrays made without pandas: the same as Arrow's own ways make, and pandas stays out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chandlery.core.arrow import array_of, empty_table, number_array, numpy_of, text_array, to_list, to_rows
from chandlery.core.schema import STORED, TS
from tests.interpreter import loaded_by

MOMENTS = [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2024, 1, 2, tzinfo=UTC)]


@pytest.mark.parametrize("values", [[], [""], ["a", "", "Zürich", "a\0b"]])
def test_text_is_as_arrow_makes_it(values: list[str]) -> None:
    made = text_array(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), TS], ids=str
)
@pytest.mark.parametrize("valid", [[], [True], [False], [True, False, True], [False] * 9 + [True] * 9])
def test_values_of_python_are_as_arrow_makes_them(kind: pa.DataType, valid: list[bool]) -> None:
    samples: dict[pa.DataType, list[Any]] = {
        pa.string(): ["", "Zürich"],
        pa.bool_(): [True, False],
        pa.date32(): [moment.date() for moment in MOMENTS],
        TS: MOMENTS,
    }
    some = samples.get(kind, [7, -1])
    values = [some[place % 2] if is_valid else None for place, is_valid in enumerate(valid)]
    made = array_of(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize(
    "values",
    [
        np.array([], np.int32),
        np.arange(10, dtype=np.int16)[::3],
        np.array([1.5, np.nan, -0.0]),
        np.array([True] * 9 + [False, True]),
        np.array(["2024-01-02", "1969-12-31"], "datetime64[us]"),
    ],
)
def test_numbers_are_as_arrow_makes_them_and_come_back(values: np.ndarray[Any, Any]) -> None:
    made = number_array(values)
    made.validate(full=True)
    assert str(made) == str(pa.array(values))
    assert made.type == pa.array(values).type
    if values.dtype != np.bool_:
        np.testing.assert_array_equal(numpy_of(made), values)


def test_a_column_of_several_chunks_and_a_part_of_one_become_numbers() -> None:
    column = pa.chunked_array([pa.array([1, 2, 3], pa.int32()).slice(1), pa.array([], pa.int32()), [4]], pa.int32())
    assert numpy_of(column).tolist() == [2, 3, 4]
    assert numpy_of(pa.chunked_array([], TS)).dtype == "datetime64[us]"
    assert numpy_of(pa.array(MOMENTS, TS)).tolist() == [moment.replace(tzinfo=None) for moment in MOMENTS]


@pytest.mark.parametrize("column", [pa.array([1, None]), pa.array([True, False])])
def test_what_has_no_place_in_numpy_is_refused(column: pa.Array) -> None:
    with pytest.raises(ValueError, match="not numbers or times without nulls"):
        numpy_of(column)


def test_rows_are_as_arrow_makes_them() -> None:
    table = pa.table({"ts": pa.array([*MOMENTS, None], TS), "name": ["a", None, "c"], "reasons": [["x"], [], None]})
    assert to_rows(table) == table.to_pylist()
    assert to_list(table["ts"].slice(1)) == [MOMENTS[1], None]
    assert to_rows(table.slice(3)) == []


def test_an_empty_table_is_as_arrow_makes_it() -> None:
    assert empty_table(STORED).equals(STORED.empty_table())
    assert all(column.num_chunks == 1 for column in empty_table(STORED).columns)


def test_pandas_stays_out() -> None:
    code = """
import numpy as np, pyarrow as pa
from chandlery.core.arrow import array_of, empty_table, number_array, numpy_of, text_array, to_rows
from chandlery.core.schema import STORED, TS
times = number_array(np.array([1, 2], "datetime64[us]"))
times = pa.Array.from_buffers(TS, 2, times.buffers())
table = pa.Table.from_arrays([times, text_array(["a", "b"])], ["ts", "name"])
array_of([None], TS), array_of(["x", None], pa.string()), array_of([1.5], pa.float64())
empty_table(STORED), numpy_of(table["ts"]), to_rows(table)
"""
    assert loaded_by(code, ["pandas"]) == []
