"""Whatever bars are archived, the very same bars are read back; whatever is damaged is noticed."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chandlery.core.digest import digest
from chandlery.core.schema import PRICES
from chandlery.errors import LakeError
from chandlery.lake import bar_file, parquet

SYMBOLS = ["AAPL", "BTC/USD", "ÅÄÖ"]
SOURCES = ["alpaca:sip", "files"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Doubles as vendors publish them, as arithmetic leaves them, and at the edges of what a double can be.
decimals = st.builds(lambda number, scale: number / 10.0**scale, st.integers(-(10**12), 10**12), st.integers(0, 12))
noisy = st.builds(lambda number, scale: number * 10.0**-scale, st.integers(1, 10**6), st.integers(1, 9))
edges = st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, 2.0**53, 2.0**53 - 1, 1e-15, 9007199.254740993]
)
floats = st.floats(allow_nan=False, allow_infinity=False)
#: A column is usually of one kind, so that each encoding gets its turn.
kinds = [st.integers(0, 10**6).map(float), decimals, noisy, edges, floats, decimals | edges]
moments = st.integers(-(2**40), 2**52)


@st.composite
def doubles(draw: st.DrawFn, rows: int, *, nullable: bool) -> pa.Array:
    kind = draw(st.sampled_from(kinds))
    values = draw(
        st.lists(st.none() | kind if nullable and draw(st.booleans()) else kind, min_size=rows, max_size=rows)
    )
    return pa.array([None] * rows if nullable and draw(st.integers(0, 4)) == 0 else values, pa.float64())


@st.composite
def files(draw: st.DrawFn) -> pa.Table:
    """Draw a table of bars or of earlier values of bars, in any order."""
    rows = draw(st.integers(0, 40))

    def several(strategy: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(strategy, min_size=rows, max_size=rows))

    schema = draw(st.sampled_from([bar_file.BAR_FILE, bar_file.REVISION_FILE]))
    columns = {
        "symbol": pa.array(several(st.sampled_from(SYMBOLS)), pa.string()).dictionary_encode(),
        "source": pa.array(several(st.sampled_from(SOURCES)), pa.string()).dictionary_encode(),
        "trades": pa.array(several(st.none() | st.integers(-(2**31), 2**31 - 1)), pa.int32()),
        **{name: draw(doubles(rows, nullable=False)) for name in PRICES},
        **{name: draw(doubles(rows, nullable=True)) for name in ("volume", "vwap")},
        **{
            name: pa.array(several(draw(st.sampled_from([moments, st.just(0)]))), pa.int64()).view(
                bar_file.BAR_FILE.field("ts").type
            )
            for name in ("ts", "known_at", "superseded_at")
        },
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def written(table: pa.Table, rows_per_group: int = parquet.ROWS_PER_GROUP) -> tuple[bytes, bytes]:
    sink = io.BytesIO()
    footer = parquet.write(table, sink, rows_per_group=rows_per_group)
    return sink.getvalue(), footer


def bits(table: pa.Table) -> list[list[object]]:
    """The values, doubles by their bits, so that -0.0 is not 0.0."""
    return [
        [value.hex() if isinstance(value, float) else value for value in column.to_pylist()] for column in table.columns
    ]


@given(files(), st.integers(1, 50))
@settings(deadline=None)
def test_what_was_written_is_read_bit_for_bit(table: pa.Table, rows_per_group: int) -> None:
    content, footer = written(table, rows_per_group)
    found = parquet.read(io.BytesIO(content), footer_digest=footer)
    assert found.schema.equals(table.schema)
    assert bits(found) == bits(table)
    assert digest(found) == digest(table)


@given(files(), st.integers(1, 10), st.none() | st.lists(st.sampled_from([*SYMBOLS, "MSFT"]), max_size=2), st.data())
@settings(deadline=None)
def test_a_part_is_what_a_filter_leaves_of_the_whole(
    table: pa.Table, rows_per_group: int, symbols: list[str] | None, data: st.DataObject
) -> None:
    content, footer = written(table, rows_per_group)
    present = table["ts"].cast(pa.int64()).to_pylist()
    bounds = st.sampled_from([n + near for n in present or [0] for near in (-1, 0, 1)])
    start, end = data.draw(st.none() | bounds), data.draw(st.none() | bounds)
    first, last = (None if micros is None else EPOCH + timedelta(microseconds=micros) for micros in (start, end))
    found = parquet.read(io.BytesIO(content), footer_digest=footer, symbols=symbols, start=first, end=last)
    wanted = [
        (symbols is None or symbol in symbols) and (start is None or ts >= start) and (end is None or ts < end)
        for symbol, ts in zip(table["symbol"].to_pylist(), present, strict=True)
    ]
    assert bits(found) == bits(table.filter(pa.array(wanted, pa.bool_())))


@given(files().filter(lambda table: table.num_rows), st.data())
@settings(deadline=None)
def test_any_damage_is_noticed(table: pa.Table, data: st.DataObject) -> None:
    content, footer = written(table)
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 64))
    noise = data.draw(st.binary(min_size=0, max_size=length))
    damaged = content[:start] + noise + content[start + length :]
    if damaged == content:
        return
    with pytest.raises(LakeError):
        parquet.read(io.BytesIO(damaged), footer_digest=footer)


@given(files().filter(lambda table: table.num_rows), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_digest_is_of_the_values_not_of_their_form(table: pa.Table, choice: object) -> None:
    names = {name: table[name].cast(pa.string()) for name in ("symbol", "source")}
    reordered = {
        name: pa.chunked_array(
            [
                pa.DictionaryArray.from_arrays(
                    pa.array([2 * order.index(n) for n in column.to_pylist()], pa.int32()), doubled
                )
            ]
        )
        for name, column in names.items()
        for order in [sorted(set(column.to_pylist()), reverse=True)]
        for doubled in [pa.array([n for n in order for _ in (0, 1)])]
    }
    chunked = pa.concat_tables([table.slice(n, 1) for n in range(table.num_rows)])
    padded = pa.concat_tables([table.slice(0, 1), table]).slice(1)
    assert digest(chunked) == digest(padded) == digest(table)
    for form in (names, reordered):
        other = pa.table([form.get(name, table[name]) for name in table.column_names], names=table.column_names)
        assert digest(other) == digest(table)


@given(files().filter(lambda table: table.num_rows), st.data())
@settings(deadline=None)
def test_the_digest_differs_where_a_single_bit_does(table: pa.Table, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    field = table.schema.field(place)
    column = table.column(place).combine_chunks()
    if pa.types.is_dictionary(field.type):
        values = column.to_pylist()
        values[row] += "x"
        changed = pa.array(values).dictionary_encode()
    elif column[row].is_valid and data.draw(st.booleans()) and field.nullable:
        changed = pa.array([None if n == row else value for n, value in enumerate(column.to_pylist())], field.type)
    else:
        width = field.type.bit_width
        numbers = np.frombuffer(column.buffers()[1], f"<u{width // 8}", len(column), column.offset * width // 8).copy()
        numbers[row] ^= numbers.dtype.type(1 << data.draw(st.integers(0, width - 1)))
        valid = column.is_valid().to_numpy(zero_copy_only=False).copy()
        valid[row] = True
        changed = pa.Array.from_buffers(
            field.type, len(column), [pa.py_buffer(np.packbits(valid, bitorder="little")), pa.py_buffer(numbers)]
        )
    assert digest(table.set_column(place, field, changed)) != digest(table)


@given(st.lists(floats, min_size=1, max_size=20))
@example([0.1, 0.25, 100.0])
def test_order_and_number_of_rows_count(values: list[float]) -> None:
    table = pa.table({"x": pa.array(values)})
    assert digest(table) != digest(pa.table({"x": pa.array([*values, 0.0])}))
    assert digest(table) != digest(table.rename_columns(["y"]))
    if values[::-1] != values:
        assert digest(table) != digest(pa.table({"x": pa.array(values[::-1])}))
