"""Whatever table of bars or of earlier values is kept, the very same comes back from every place of the cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chandlery.cache.base import Place
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.cache.redis import RedisCache
from chandlery.core.digest import digest
from chandlery.core.schema import STORED, SUPERSEDED
from tests.servers.valkey import Valkey
from tests.tables import bits, is_one_chunk

#: Doubles by their bits: zeros of both signs, NaN of every payload, infinities, subnormals.
doubles = st.integers(0, 2**64 - 1) | st.sampled_from(
    [0, 1 << 63, 0x7FF8_0000_0000_0000, 0x7FF0_0000_0000_0001, 0xFFF8_0000_0000_1234, 0x7FF0_0000_0000_0000, 1]
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@pytest.fixture(scope="module")
def places() -> Iterator[list[Place]]:
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder, Valkey(Path(folder)) as server:
        yield [MemoryCache(2**24), DiskCache(Path(folder) / "cache", 2**24), RedisCache(server.url)]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Draw a table in one or several chunks, whole or a part of a larger one, with all or some of the columns."""
    schema = draw(st.sampled_from([STORED, SUPERSEDED]))
    chunks = [draw(chunk(schema)) for _ in range(draw(st.integers(0, 3)))]
    table = pa.Table.from_batches(chunks, schema=schema)
    if draw(st.booleans()) and table.num_rows:
        start = draw(st.integers(0, table.num_rows))
        table = table.slice(start, draw(st.integers(0, table.num_rows)))
    names = draw(st.lists(st.sampled_from(schema.names), unique=True, min_size=1) | st.just(schema.names))
    table = table.select(names)
    return table.replace_schema_metadata({b"made": b"by hand"}) if draw(st.booleans()) else table


@st.composite
def chunk(draw: st.DrawFn, schema: pa.Schema) -> pa.RecordBatch:
    rows = draw(st.integers(0, 6))
    return pa.record_batch([draw(column(field, rows)) for field in schema], schema=schema)


@st.composite
def column(draw: st.DrawFn, field: pa.Field, rows: int) -> pa.Array:
    def several(strategy: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(strategy, min_size=rows, max_size=rows))

    missing = np.array(several(st.booleans() if field.nullable and draw(st.booleans()) else st.just(False)), bool)
    if pa.types.is_float64(field.type):
        values = np.array(several(doubles), np.uint64).view(np.float64)
        return pa.array(values, pa.float64(), mask=missing, from_pandas=False)
    if pa.types.is_dictionary(field.type):
        return pa.array(several(NAMES), pa.string(), mask=missing).dictionary_encode()
    if pa.types.is_timestamp(field.type):
        return pa.array(np.array(several(st.integers(-(2**63), 2**63 - 1)), np.int64), mask=missing).view(field.type)
    return pa.array(np.array(several(st.integers(-(2**31), 2**31 - 1)), np.int32), mask=missing)


@given(tables(), st.text())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_place_gives_back_what_it_was_given(places: list[Place], table: pa.Table, key: str) -> None:
    for place in places:
        place.clear()
        place.put(key, table)
        found = place.get(key)
        assert found is not None, place.name
        assert found.schema.equals(table.schema, check_metadata=True)
        assert bits(found) == bits(table)
        assert digest(found) == digest(table)
        assert is_one_chunk(found)
        assert place.get(f"{key}x") is None
