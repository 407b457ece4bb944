"""Files of the lake: how they are stored, that other readers see the same numbers, that no damage goes unnoticed."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.digest import digest
from chandlery.core.schema import TS, conform
from chandlery.core.timeframe import Timeframe
from chandlery.errors import LakeError, UsageError
from chandlery.lake import bar_file, parquet
from chandlery.providers.base import BarRequest
from chandlery.providers.simulated.provider import SimulatedProvider
from tests.support import utc

DOUBLES = ("open", "high", "low", "close", "volume", "vwap")
FIRST = utc("2024-01-02T14:30")
KNOWN_AT = utc("2025-02-03T04:05:06.789012")

#: A column, and the type it is stored in. The last value of the noise is 0.1 + 0.2.
STORED = {
    "whole": ([15.0, 3.0], "DECIMAL(9, 0)"),
    "cents": ([0.29, 187.1, 12.0], "DECIMAL(9, 2)"),
    "nine digits": ([9_999_999.99], "DECIMAL(9, 2)"),
    "ten digits": ([10_000_000.0, 0.01], "DECIMAL(18, 2)"),
    "below zero": ([-37.63, 0.0], "DECIMAL(9, 2)"),
    "satoshi": ([1e-8, 0.00154262], "DECIMAL(9, 8)"),
    "small coins": ([1.234e-9], "DECIMAL(18, 12)"),
    "some missing": ([None, 0.5, None], "DECIMAL(9, 1)"),
    "largest": ([2.0**53 - 1], "DECIMAL(18, 0)"),
    "too large": ([2.0**53], "DOUBLE"),
    "noise": ([0.1, 0.30000000000000004], "DOUBLE"),
    "subnormal": ([5e-324, 1.0], "DOUBLE"),
    "negative zero": ([-0.0, 1.5], "DOUBLE"),
    "not finite": ([float("inf"), float("nan"), -float("inf")], "DOUBLE"),
    "huge": ([1.7976931348623157e308], "DOUBLE"),
    "all missing": ([None, None], "DOUBLE"),
}


def bars(values: dict[str, list[float | None]], *, symbol: str = "AAPL", first: datetime = FIRST) -> pa.Table:
    """Return bars of consecutive minutes with these columns; the others are whole numbers."""
    rows = len(next(iter(values.values())))
    columns = {
        "symbol": [symbol] * rows,
        "ts": [first + timedelta(minutes=n) for n in range(rows)],
        **{name: values.get(name, [1.0] * rows) for name in DOUBLES},
        "trades": list(range(rows)),
        "source": ["files"] * rows,
        "known_at": [KNOWN_AT] * rows,
    }
    return pa.table([pa.array(columns[f.name], f.type) for f in bar_file.BAR_FILE], schema=bar_file.BAR_FILE)


def simulated(symbols: list[str], timeframe: Timeframe, start: str, end: str) -> pa.Table:
    request = BarRequest(symbols=symbols, timeframe=timeframe, start=utc(start), end=utc(end))
    return with_known_at(SimulatedProvider().fetch(request).bars)


def with_known_at(table: pa.Table) -> pa.Table:
    return conform(table).append_column(bar_file.BAR_FILE.field("known_at"), pa.array([KNOWN_AT] * table.num_rows, TS))


def written(table: pa.Table, rows_per_group: int = parquet.ROWS_PER_GROUP) -> tuple[bytes, bytes]:
    sink = io.BytesIO()
    footer = parquet.write(table, sink, rows_per_group=rows_per_group)
    return sink.getvalue(), footer


def column_types(content: bytes) -> dict[str, str]:
    schema = pq.read_metadata(io.BytesIO(content)).schema
    found = {}
    for n in range(len(schema.names)):
        kind = schema.column(n)
        decimal = kind.logical_type.type == "DECIMAL"
        found[kind.name] = f"DECIMAL({kind.precision}, {kind.scale})" if decimal else kind.physical_type
    return found


def same_bits(found: object, wanted: object) -> bool:
    left, right = (np.asarray(values, np.float64).view(np.int64) for values in (found, wanted))
    return left.shape == right.shape and bool((left == right).all())


# How it is stored


@pytest.mark.parametrize("name", STORED)
def test_a_column_has_the_smallest_type_that_loses_nothing(name: str) -> None:
    values, kind = STORED[name]
    table = bars({"vwap": values})
    content, footer = written(table)
    assert column_types(content)["vwap"] == kind
    found = parquet.read(io.BytesIO(content), footer_digest=footer)["vwap"]
    assert found.is_valid().to_pylist() == [value is not None for value in values]
    assert same_bits(found.drop_null().to_numpy(), [value for value in values if value is not None])


def test_what_lies_beneath_a_null_does_not_matter() -> None:
    table = bars({"vwap": [0.5, None, 1.5]})
    valid = table["vwap"].chunk(0).buffers()[0]
    beneath = pa.py_buffer(np.array([0.5, float("nan"), 1.5]))
    hidden = pa.Array.from_buffers(pa.float64(), 3, [valid, beneath], 1)
    same = table.set_column(table.schema.get_field_index("vwap"), bar_file.BAR_FILE.field("vwap"), hidden)
    assert digest(same) == digest(table)
    content, footer = written(same)
    assert column_types(content)["vwap"] == "DECIMAL(9, 1)"
    assert digest(parquet.read(io.BytesIO(content), footer_digest=footer)) == digest(table)


def test_every_other_column_has_a_standard_type() -> None:
    content, _ = written(bars({"open": [1.0]}))
    schema = pq.read_metadata(io.BytesIO(content)).schema
    assert {schema.column(n).name: str(schema.column(n).logical_type) for n in (0, 1, 8, 9, 10)} == {
        "symbol": "String",
        "ts": "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false,"
        " force_set_converted_type=false)",
        "trades": "None",
        "source": "String",
        "known_at": "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false,"
        " force_set_converted_type=false)",
    }
    assert schema.column(8).physical_type == "INT32"


def test_only_encodings_are_used_that_every_engine_reads() -> None:
    content, _ = written(bars({"open": [0.1, 0.30000000000000004], "close": [1.25, 1.5]}))
    group = pq.read_metadata(io.BytesIO(content)).row_group(0)
    used = {encoding for n in range(group.num_columns) for encoding in group.column(n).encodings}
    assert used == {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED"}
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}


def test_times_that_repeat_have_a_dictionary_and_others_are_deltas() -> None:
    live = bars({"open": [1.0] * 1000})
    moments = [KNOWN_AT + timedelta(minutes=n, microseconds=n * 7919 % 1_000_003) for n in range(1000)]
    live = live.set_column(10, bar_file.BAR_FILE.field("known_at"), pa.array(moments, TS))
    for table, name in ((live, "DELTA_BINARY_PACKED"), (bars({"open": [1.0] * 1000}), "RLE_DICTIONARY")):
        group = pq.read_metadata(io.BytesIO(written(table)[0])).row_group(0)
        assert name in group.column(10).encodings
        assert "DELTA_BINARY_PACKED" in group.column(1).encodings


def test_row_groups_are_of_a_size() -> None:
    for rows, groups in ((0, []), (1, [1]), (100, [100]), (101, [51, 50]), (305, [77, 77, 77, 74])):
        metadata = pq.read_metadata(io.BytesIO(written(bars({"open": [1.0] * rows}), 100)[0]))
        assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == groups


@pytest.mark.slow
def test_a_year_of_generated_minutes_is_small() -> None:
    for symbol, limit in (("AAPL", 10.8), ("BTC/USD", 9.6)):
        table = simulated([symbol], Timeframe.M1, "2024-01-01", "2024-07-01")
        content, _ = written(table)
        plain = io.BytesIO()
        pq.write_table(table, plain, compression="zstd")
        assert len(content) / table.num_rows < limit
        assert len(content) < 0.45 * len(plain.getvalue())


@pytest.mark.parametrize(
    ("name", "limit"),
    [("AAPL.csv.gz", 7.2), ("SPY.csv.gz", 7.5), ("BTC-PERP_2022-01.parquet", 14.7), ("UNITTEST-BTC.parquet", 26.0)],
)
def test_real_minutes_are_small_and_come_back_bit_for_bit(shared_data: Path, name: str, limit: float) -> None:
    path = shared_data / "bars_1m" / name
    frame = pd.read_csv(path) if name.endswith(".csv.gz") else pd.read_parquet(path)
    frame = frame.assign(ts=pd.to_datetime(frame["ts"], utc=True), symbol="X", source="files")
    table = with_known_at(pa.Table.from_pandas(frame, preserve_index=False))
    content, footer = written(table)
    assert len(content) / table.num_rows < limit
    assert digest(parquet.read(io.BytesIO(content), footer_digest=footer)) == digest(table)


# What is read


def test_a_part_of_a_table_is_itself() -> None:
    whole = bars({"open": [0.25, 0.5, 0.75, 1.0], "vwap": [None, 0.5, None, 1.0]})
    part, alone = whole.slice(2), bars({"open": [0.75, 1.0], "vwap": [None, 1.0]}, first=FIRST + timedelta(minutes=2))
    alone = alone.set_column(8, "trades", pa.array([2, 3], pa.int32()))
    content, footer = written(part)
    assert digest(part) == digest(alone) == digest(parquet.read(io.BytesIO(content), footer_digest=footer))


def test_the_digest_is_the_same_in_every_process_and_version() -> None:
    symbols = pa.array(["SPY", "AAPL", "BTC/USD", "ÅÄÖ"]).dictionary_encode()
    table = bars({"open": [0.25, -0.0, 1e300, 5e-324], "vwap": [None, 0.5, None, 1.0]}).set_column(0, "symbol", symbols)
    assert digest(table).hex() == "e8381f2de7209ddfd94994f7f812ef2f61a58f3658e04b158ee4998077311ca3"


@pytest.mark.parametrize("schema", [bar_file.BAR_FILE, bar_file.REVISION_FILE])
def test_a_file_without_rows_is_read_as_such(schema: pa.Schema) -> None:
    content, footer = written(schema.empty_table())
    found = parquet.read(io.BytesIO(content), footer_digest=footer, symbols=["AAPL"], start=KNOWN_AT)
    assert found.schema.equals(schema)
    assert found.num_rows == 0


def test_any_kind_of_file_will_do(tmp_path: Path) -> None:
    table = simulated(["AAPL", "MSFT"], Timeframe.D1, "2024-01-01", "2024-03-01")
    path = str(tmp_path / "x.parquet")
    with pa.OSFile(path, "wb") as sink:
        footer = parquet.write(table, sink)
    with pa.memory_map(path) as mapped, pa.OSFile(path) as opened, Path(path).open("rb") as plain:
        for source in (mapped, opened, plain):
            assert digest(parquet.read(source, footer_digest=footer)) == digest(table)


def test_a_range_is_half_open_wherever_row_groups_begin() -> None:
    content, footer = written(bars({"open": [1.0] * 9}), 3)
    for first, last in product(range(-1, 11), repeat=2):
        start, end = (FIRST + timedelta(minutes=n) for n in (first, last))
        found = parquet.read(io.BytesIO(content), footer_digest=footer, start=start, end=end)
        assert found["trades"].to_pylist() == list(range(max(first, 0), min(last, 9)))


class CountingFile(io.BytesIO):
    """Counts how many bytes are read, and how often."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads: list[int] = []

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        count = super().readinto(buffer)
        self.reads.append(count)
        return count


def test_only_row_groups_that_may_hold_the_rows_are_read() -> None:
    minutes = simulated(["BTC/USD"], Timeframe.M1, "2024-01-01", "2024-07-01")
    content, footer = written(minutes)
    assert pq.read_metadata(io.BytesIO(content)).num_row_groups == 4
    whole, day, nothing = CountingFile(content), CountingFile(content), CountingFile(content)
    parquet.read(whole, footer_digest=footer)
    assert sum(whole.reads) == len(content)
    assert len(whole.reads) == 2
    start, end = utc("2024-02-03"), utc("2024-02-04")
    found = parquet.read(day, footer_digest=footer, start=start, end=end)
    assert (found["ts"][0].as_py(), found["ts"][-1].as_py()) == (start, end - timedelta(minutes=1))
    assert sum(day.reads) < 0.4 * len(content)
    assert parquet.read(nothing, footer_digest=footer, start=utc("2025-01-01")).num_rows == 0
    assert sum(nothing.reads) == 65_536


@pytest.mark.slow
def test_one_symbol_of_many_is_read_without_most_of_the_others() -> None:
    symbols = [f"S{n:03}" for n in range(600)]
    days = simulated(symbols, Timeframe.D1, "2024-01-01", "2025-01-01")
    content, footer = written(days)
    source = CountingFile(content)
    found = parquet.read(source, footer_digest=footer, symbols=["S042"])
    assert set(found["symbol"].to_pylist()) == {"S042"}
    assert found.num_rows == 252
    assert sum(source.reads) < 0.45 * len(content)


# What is not


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.drop_columns("vwap"),
        lambda t: t.rename_columns([*t.column_names[:-1], "x"]),
        lambda t: t.select(t.column_names[::-1]),
    ],
)
def test_other_columns_are_refused(change: Callable[[pa.Table], pa.Table]) -> None:
    with pytest.raises(UsageError, match="a file of bars has the columns"):
        parquet.write(change(bars({"open": [1.0]})), io.BytesIO())


def test_other_types_are_refused() -> None:
    table = bars({"open": [1.0]})
    with pytest.raises(UsageError, match="a file of bars has the columns"):
        parquet.write(table.set_column(2, "open", table["open"].cast(pa.float32())), io.BytesIO())


def test_a_file_of_somebody_else_is_refused() -> None:
    sink = io.BytesIO()
    pq.write_table(bars({"open": [1.0]}), sink)
    with pytest.raises(LakeError, match="was not written by Chandlery"):
        parquet.read(sink)


def test_a_source_that_fails_is_a_damaged_file() -> None:
    class Broken(io.BytesIO):
        def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
            raise OSError(5, "Input/output error")

    with pytest.raises(LakeError, match=r"cannot be read: .*Input/output error"):
        parquet.read(Broken(written(bars({"open": [1.0]}))[0]))


def test_a_source_that_ends_early_is_a_damaged_file() -> None:
    class Shrunk(io.BytesIO):
        def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
            return 0

    with pytest.raises(LakeError, match="cut short"):
        parquet.read(Shrunk(written(bars({"open": [1.0]}))[0]))


@pytest.fixture(scope="module")
def archived() -> tuple[pa.Table, bytes, bytes]:
    """A table, and its file of several row groups with a column that is no decimal, and its footer's digest."""
    table = simulated(["AAPL", "MSFT", "SPY"], Timeframe.M1, "2024-01-02", "2024-01-04")
    noise = pa.array(table["vwap"].to_numpy() * 1.1)
    table = table.set_column(7, bar_file.BAR_FILE.field("vwap"), noise)
    return table, *written(table, 800)


def expect_damage(content: bytes, footer: bytes) -> None:
    with pytest.raises(LakeError, match=r"row group \d+ of 3 .* is not what was written|footer|cut short"):
        parquet.read(io.BytesIO(content), footer_digest=footer)


def test_a_change_of_any_byte_is_noticed(archived: tuple[pa.Table, bytes, bytes]) -> None:
    table, content, footer = archived
    assert digest(parquet.read(io.BytesIO(content), footer_digest=footer)) == digest(table)
    choice = random.Random(5)
    places = {*range(0, len(content), 37), *range(len(content) - 3000, len(content), 3), *range(100)}
    for place in sorted(places | {choice.randrange(len(content)) for _ in range(3000)}):
        damaged = bytearray(content)
        damaged[place] ^= 1 << choice.randrange(8)
        expect_damage(bytes(damaged), footer)


def test_a_file_cut_short_or_overwritten_is_noticed(archived: tuple[pa.Table, bytes, bytes]) -> None:
    _, content, footer = archived
    for length in (0, 1, 4, 8, 11, 12, 100, len(content) // 2, len(content) - 1):
        expect_damage(content[:length], footer)
        expect_damage(content[:length] + bytes(len(content) - length), footer)
    for extra in (b"\0", b"PAR1", content):
        expect_damage(content + extra, footer) if extra is not content else expect_damage(extra[1:], footer)
    for start in range(0, len(content) - 512, 4096):
        expect_damage(content[:start] + bytes(512) + content[start + 512 :], footer)


def test_a_footer_that_claims_to_be_enormous_is_noticed(archived: tuple[pa.Table, bytes, bytes]) -> None:
    _, content, _ = archived
    for length in (2**32 - 1, 2**31, len(content), len(content) - 8, 0):
        with pytest.raises(LakeError):
            parquet.read(io.BytesIO(content[:-8] + length.to_bytes(4, "little") + b"PAR1"))


def test_pieces_of_another_file_are_noticed(archived: tuple[pa.Table, bytes, bytes]) -> None:
    _, content, footer = archived
    metadata = pq.read_metadata(io.BytesIO(content))
    starts = [metadata.row_group(n).column(0).dictionary_page_offset for n in range(3)]
    (first, second), (_, third) = pairwise(starts)
    swapped = content[:first] + content[second:third] + content[first:second] + content[third:]
    expect_damage(swapped, footer)


def test_damage_elsewhere_does_not_matter_to_a_part(archived: tuple[pa.Table, bytes, bytes]) -> None:
    table, content, footer = archived
    damaged = bytearray(content)
    damaged[2000] ^= 1
    expect_damage(bytes(damaged), footer)
    found = parquet.read(io.BytesIO(bytes(damaged)), footer_digest=footer, symbols=["SPY"])
    assert found.to_pylist() == [row for row in table.to_pylist() if row["symbol"] == "SPY"]


def test_a_damaged_footer_is_noticed_without_knowing_its_digest(archived: tuple[pa.Table, bytes, bytes]) -> None:
    table, content, _ = archived
    assert digest(parquet.read(io.BytesIO(content))) == digest(table)
    choice = random.Random(6)
    for place in range(1, int.from_bytes(content[-8:-4], "little") + 8 + 32 + 1):
        damaged = bytearray(content)
        damaged[-place] ^= 1 << choice.randrange(8)
        with pytest.raises(LakeError, match="footer"):
            parquet.read(io.BytesIO(bytes(damaged)))


def test_another_whole_file_is_noticed(archived: tuple[pa.Table, bytes, bytes]) -> None:
    other, footer = written(bars({"open": [1.0]}))
    with pytest.raises(LakeError, match="another file than the one that was written"):
        parquet.read(io.BytesIO(archived[1]), footer_digest=footer)
    assert parquet.read(io.BytesIO(other), footer_digest=footer).num_rows == 1


def test_a_file_of_a_later_version_is_refused() -> None:
    content, _ = written(bars({"open": [1.0]}))
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    key, version, later = b"chandlery.format\x18\x01", b"1", b"2"
    assert content.count(key + version, start) == 1
    footer = content[start:].replace(key + version, key + later)
    digest = hashlib.sha256(footer).digest()
    with pytest.raises(LakeError, match="later version"):
        parquet.read(io.BytesIO(content[: start - len(digest)] + digest + footer), footer_digest=digest)


def test_pages_carry_checksums_for_other_readers(archived: tuple[pa.Table, bytes, bytes]) -> None:
    _, content, _ = archived
    group = pq.read_metadata(io.BytesIO(content)).row_group(1)
    column = group.column(7)  # doubles: whatever their bits, they can be decoded, if not decompressed
    damaged = bytearray(content)
    damaged[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.ParquetFile(pa.BufferReader(bytes(damaged)), page_checksum_verification=True).read()


# Other readers


@pytest.fixture
def lake(tmp_path: Path) -> dict[str, Path]:
    """Files whose columns have different types, by symbol; prices are numbers of every scale, or no decimals."""
    choice = np.random.default_rng(3)
    files = {}
    for scale in [*range(16), None]:
        digits = 9 if scale is not None and scale < 6 else 15
        numbers = choice.integers(-(10**digits), 10**digits, 500)
        values = choice.normal(100, 5, 500) if scale is None else numbers / 10.0**scale
        volume = [None if n % 7 == 0 else float(n) for n in range(500)]
        symbol = f"S{'X' if scale is None else scale}"
        table = bars({"close": values.tolist(), "volume": volume, "vwap": [None] * 500}, symbol=symbol)
        files[symbol] = tmp_path / f"{symbol}.parquet"
        files[symbol].write_bytes(written(table)[0])
    return files


def published(lake: dict[str, Path]) -> pa.Table:
    """What was published, in the order of symbols."""
    return pa.concat_tables([parquet.read(pa.OSFile(os.fspath(lake[symbol]))) for symbol in sorted(lake)])


def expect_published(lake: dict[str, Path], found: pa.Table) -> None:
    wanted = published(lake)
    for name in ("close", "open", "volume"):
        column = found[name].combine_chunks()
        assert column.type == pa.float64()
        assert column.is_valid().equals(wanted[name].combine_chunks().is_valid())
        assert same_bits(column.fill_null(0).to_numpy(), wanted[name].combine_chunks().fill_null(0).to_numpy())
    assert found["ts"].cast(pa.timestamp("us", tz="UTC")).to_pylist() == wanted["ts"].to_pylist()
    assert found["symbol"].to_pylist() == wanted["symbol"].to_pylist()
    assert found["vwap"].null_count == found.num_rows


def test_the_files_differ_in_type(lake: dict[str, Path]) -> None:
    kinds = {symbol: column_types(path.read_bytes())["close"] for symbol, path in lake.items()}
    assert kinds["S2"] == "DECIMAL(18, 2)" or kinds["S2"] == "DECIMAL(9, 2)"
    assert kinds["S8"] == "DECIMAL(18, 8)"
    assert kinds["S15"] == "DECIMAL(18, 15)"
    assert kinds["SX"] == "DOUBLE"


def in_duckdb(connection: duckdb.DuckDBPyConnection, source: str) -> pa.Table:
    names = ", ".join(f"{name}::DOUBLE AS {name}" for name in DOUBLES)
    return connection.sql(f"SELECT * REPLACE ({names}) FROM {source} ORDER BY symbol, ts").to_arrow_table()


def test_duckdb_reads_the_published_doubles(lake: dict[str, Path]) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for symbol, path in lake.items():
            expect_published({symbol: path}, in_duckdb(connection, f"'{path}'"))
        everything = f"read_parquet('{lake['SX'].parent}/*.parquet', union_by_name = true)"
        expect_published(lake, in_duckdb(connection, everything))
        lake.pop("SX").unlink()  # what is left becomes one DECIMAL, not DOUBLE
        expect_published(lake, in_duckdb(connection, everything))


def test_polars_reads_the_published_doubles(lake: dict[str, Path]) -> None:
    scans = [pl.scan_parquet(path).with_columns(pl.col(DOUBLES).cast(pl.Float64)) for path in lake.values()]
    expect_published(lake, pl.concat(scans).sort("symbol", "ts").collect().to_arrow())


def test_pandas_reads_the_published_doubles(lake: dict[str, Path]) -> None:
    frames = [pd.read_parquet(path).astype(dict.fromkeys(DOUBLES, "float64")) for path in lake.values()]
    frame = pd.concat(frames).sort_values(["symbol", "ts"])
    assert str(frame["ts"].dtype) == "datetime64[us, UTC]"
    expect_published(lake, pa.Table.from_pandas(frame, preserve_index=False))


def test_readers_filter_by_symbol_and_time(lake: dict[str, Path]) -> None:
    start = utc("2024-01-02T15:00").astimezone(UTC)
    path = lake["S2"]
    wanted = parquet.read(pa.OSFile(os.fspath(path)), start=start)["close"].to_numpy()
    scan = pl.scan_parquet(path).filter(pl.col("ts") >= start, pl.col("symbol") == "S2")
    assert same_bits(scan.select(pl.col("close").cast(pl.Float64)).collect()["close"].to_numpy(), wanted)
    found = duckdb.execute(f"SELECT close::DOUBLE FROM '{path}' WHERE ts >= ? AND symbol = 'S2'", [start]).fetchall()
    assert same_bits([row[0] for row in found], wanted)
