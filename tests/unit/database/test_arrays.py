"""Columns and arrays: every type arrives in a real server, and comes back, bit for bit."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

from chandlery.database.arrays import Column, read_array, read_arrays
from chandlery.tiers.warehouse import Warehouse

_VALUES = {
    "int2": np.array([-32768, 0, 32767], np.int16),
    "int4": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "int8": np.array([-(2**63), 0, 2**63 - 1], np.int64),
    "float8": np.array([0.1 + 0.2, -0.0, 5e-324]),
    "timestamptz": np.array(["1999-12-31T23:59:59.999999", "2000-01-01", "2262-01-01"], "datetime64[us]"),
}


@pytest.mark.parametrize("kind", _VALUES)
@pytest.mark.parametrize("valid", [None, [True, True, True], [True, False, True], [False, False, False]])
def test_each_type_arrives_as_it_was(warehouse: Warehouse, kind: str, valid: list[bool] | None) -> None:
    values = _VALUES[kind]
    with warehouse.connection() as connection:
        found = _send(connection, kind, Column(values, None if valid is None else np.array(valid)))
    expected = [
        (known and (value.item().isoformat() if kind == "timestamptz" else repr(value.item()))) or None
        for value, known in zip(values, valid or [True] * 3, strict=True)
    ]
    assert found == expected


def test_no_values_are_an_empty_array(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        assert _send(connection, "float8", Column(np.empty(0))) == []


@pytest.mark.parametrize(
    "values",
    [*(_VALUES[kind] for kind in _VALUES if kind != "int8"), np.array([True, False]), np.empty(0, np.int32)],
    ids=[*(kind for kind in _VALUES if kind != "int8"), "bool", "none"],
)
def test_an_array_comes_back_as_it_was(warehouse: Warehouse, values: np.ndarray) -> None:
    kind = {"i2": "int2", "i4": "int4", "f8": "float8", "M8": "timestamptz", "b1": "bool"}[values.dtype.str[1:3]]
    given = values.tolist() if kind == "bool" else Column(values)
    with warehouse.connection() as connection:
        row = connection.execute(f"SELECT array_send(%s::{kind}[])", (given,), binary=True).fetchone()  # type: ignore[arg-type]
    assert row is not None
    found = read_array(row[0])
    assert found.dtype == values.dtype
    assert found.tolist() == values.tolist()
    assert read_arrays([row[0]] * 3).tolist() == values.tolist() * 3


def _send(connection: psycopg.Connection, kind: str, column: Column) -> list[str | None]:
    rows = connection.execute(f"SELECT unnest(%s::{kind}[])", (column,), binary=True).fetchall()  # type: ignore[arg-type]
    return [
        None if v is None else v.replace(tzinfo=None).isoformat() if kind == "timestamptz" else repr(v) for (v,) in rows
    ]
