"""The binary COPY stream: what psycopg reads back from it, and what the server does, is what went in."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from chandlery.database.arrays import Column
from chandlery.database.copy import encode

ROWS = 7
NAMES = ("id", "ts", "price", "count", "source")


def columns(*, price: str = "v" * ROWS, count: str = "v" * ROWS) -> dict[str, Column]:
    """Return columns of every type we write; ``v`` marks a value, ``-`` a NULL."""
    return {
        "id": Column(np.arange(ROWS, dtype=np.int32)),
        "ts": Column(np.datetime64("1999-12-31T23:59:59.999999") + np.arange(ROWS).astype("timedelta64[us]")),
        "price": Column(np.linspace(-1.5, 1e300, ROWS), marks(price)),
        "count": Column(np.arange(-3, ROWS - 3, dtype=np.int32), marks(count)),
        "source": Column(np.full(ROWS, -7, np.int16)),
    }


def marks(text: str) -> np.ndarray:
    return np.array([letter == "v" for letter in text])


def expected(given: dict[str, Column]) -> list[tuple[object, ...]]:
    """Return the rows as Python values."""
    lists = []
    for column in given.values():
        valid = np.ones(ROWS, np.bool_) if column.valid is None else column.valid
        lists.append([value if known else None for value, known in zip(column.values.tolist(), valid, strict=True)])
    return list(zip(*lists, strict=True))


def fields(stream: bytes) -> Iterator[list[bytes | None]]:
    """Take a stream apart as PostgreSQL's documentation says, without numpy."""
    assert stream[:11] == b"PGCOPY\n\xff\r\n\0"
    assert stream[11:19] == bytes(8)
    at = 19
    while (count := struct.unpack_from(">h", stream, at)[0]) != -1:
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", stream, at)
            at += 4
            row.append(None if length == -1 else stream[at : at + length])
            at += max(length, 0)
        yield row
    assert at + 2 == len(stream)


PATTERNS = [
    ("vvvvvvv", "vvvvvvv"),
    ("-------", "vvvvvvv"),
    ("-------", "-------"),
    ("v-v-v-v", "vvvvvvv"),
    ("v-v-v-v", "vv--vv-"),
    ("-------", "v-----v"),
    ("------v", "v------"),
]


@pytest.mark.parametrize(("price", "count"), PATTERNS)
def test_every_pattern_of_nulls_is_encoded_as_documented(price: str, count: str) -> None:
    given = columns(price=price, count=count)
    found = list(fields(b"".join(encode(given))))
    formats = (">i", ">q", ">d", ">i", ">h")
    decoded = [
        tuple(
            None if field is None else struct.unpack(form, field)[0] for form, field in zip(formats, row, strict=True)
        )
        for row in found
    ]
    micros = (given["ts"].values - np.datetime64("2000-01-01")).astype(np.int64).tolist()
    wanted = [(row[0], micros[row[0]], *row[2:]) for row in expected(given)]
    assert sorted(decoded, key=lambda row: row[0]) == wanted


def test_rows_keep_their_order_where_no_value_is_null() -> None:
    for pattern in ("v" * ROWS, "-" * ROWS):
        found = [struct.unpack(">i", row[0] or b"")[0] for row in fields(b"".join(encode(columns(price=pattern))))]
        assert found == list(range(ROWS))


@pytest.mark.parametrize(("price", "count"), PATTERNS)
def test_the_server_reads_what_was_written(server: str, price: str, count: str) -> None:
    given = columns(price=price, count=count)
    with psycopg.connect(server, options="-c timezone=UTC") as connection:
        connection.execute("CREATE TEMP TABLE t (id int4, ts timestamptz, price float8, count int4, source int2)")
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as wire:
            for block in encode(given):
                wire.write(block)
        found = connection.execute(
            "SELECT id, ts AT TIME ZONE 'UTC', price, count, source FROM t ORDER BY id"
        ).fetchall()
    assert found == expected(given)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308])
def test_every_double_arrives_bit_by_bit(server: str, value: float) -> None:
    with psycopg.connect(server) as connection:
        connection.execute("CREATE TEMP TABLE t (price float8)")
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as wire:
            for block in encode({"price": Column(np.array([value]))}):
                wire.write(block)
        (found,) = connection.cursor(binary=True).execute("SELECT price FROM t").fetchone() or (None,)
    assert struct.pack(">d", found) == struct.pack(">d", value)


@pytest.mark.parametrize("count", [65_535, 65_536, 65_537, 140_000])
def test_no_row_is_lost_or_doubled_between_blocks(count: int) -> None:
    numbers = np.arange(count, dtype=np.int64)
    stream = b"".join(encode({"n": Column(numbers)}))
    wire = np.dtype([("fields", ">i2"), ("length", ">i4"), ("n", ">i8")])
    found = np.frombuffer(stream, wire, offset=19, count=(len(stream) - 21) // wire.itemsize)
    assert len(stream) == 21 + count * wire.itemsize
    assert (found["n"] == numbers).all()


def test_no_rows_are_a_stream_without_rows() -> None:
    assert list(fields(b"".join(encode({"n": Column(np.empty(0, np.int32))})))) == []


def test_a_type_without_an_encoding_is_refused() -> None:
    with pytest.raises(TypeError, match="no COPY encoding for"):
        list(encode({"name": Column(np.array(["text"]))}))
