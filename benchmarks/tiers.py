"""Where bars live: bytes per bar of each tier, archiving, and the same question to the store, the lake, and both.

With ``CHANDLERY_TEST_TIMESCALE_URL``, the same of TimescaleDB. Not here: publishing and reading as such.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import conninfo, sql

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.world import World, bars, months, symbols
from chandlery.api.data import DataAPI
from chandlery.config.universe import InstrumentConfig
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.dsn import ensure_database
from chandlery.database.editions.install import install
from chandlery.database.migrate import migrate
from chandlery.instruments.registry import sync_instruments
from chandlery.lake.manifest import find_entries
from chandlery.lake.read import read_file
from chandlery.lake.store import Lake
from chandlery.publishing.publish import publish
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.verify import verify
from chandlery.tiers.warehouse import Warehouse

_YEAR = months(12)
_SEALED = datetime(2024, 2, 1, tzinfo=UTC)
_RESTATED = 1000
_SHAPES = ("of one symbol, successive", "of ten symbols, the same minutes")


def run(world: World) -> Iterator[Section]:
    """Yield the results: the lake, reading from either tier, then TimescaleDB where there is one."""
    names = symbols(10)
    table = bars(names, Timeframe.M1, *_YEAR)
    say(f"{table.num_rows:,} minute bars of {len(names)} symbols")
    with world.warehouse("tiers", names) as warehouse:
        _load(warehouse, table)
        yield _archiving(warehouse, table, world.repeat)
        yield _reading(warehouse, names[0], world.repeat)
    if world.timescale is not None:
        with timescale(world.timescale, names) as warehouse:
            yield _columnstore(world, warehouse, table, names)


def _load(warehouse: Warehouse, table: pa.Table) -> None:
    with warehouse.connection() as connection:
        publish(connection, warehouse, Timeframe.M1, table, now=datetime(2024, 1, 1, tzinfo=UTC))
        connection.execute("VACUUM ANALYZE market.bars_1m")


def _archiving(warehouse: Warehouse, table: pa.Table, repeat: int) -> Section:
    section = Section(f"archive: {table.num_rows:,} minute bars, a file of a year for each symbol")

    def write() -> float:
        with warehouse.connection() as connection:
            connection.execute("UPDATE ops.bar_window SET manifest_id = NULL, archived_change = NULL")
            due = find_due(connection, Timeframe.M1, _SEALED)
        return stopwatch(lambda: list(archive(warehouse, due)))

    plain = table.append_column("known_at", pa.repeat(datetime(2024, 1, 1, tzinfo=UTC), table.num_rows))
    sizes: dict[str, int] = {}

    def by_hand() -> float:
        sink = io.BytesIO()
        taken = stopwatch(lambda: pq.write_table(plain, sink, compression="zstd"))
        sizes["zstd on doubles"] = sink.tell()
        return taken

    seconds = take_turns(
        {
            "archive: read, write, read back, enter": write,
            "verify the whole lake": lambda: stopwatch(lambda: list(verify(warehouse))),
            "pyarrow.write_table alone, zstd": by_hand,
        },
        repeat,
    )
    of = {name: Measure(name, taken, table.num_rows, "bars") for name, taken in seconds.items()}
    section.add(of)
    section.compare(of["archive: read, write, read back, enter"], of["pyarrow.write_table alone, zstd"])
    with warehouse.connection() as connection:
        heap = sum(chunk.bytes for chunk in warehouse.edition.chunks(connection, Timeframe.M1))
        lake = sum(entry.bars.size for entry in find_entries(connection).values())
    section.facts["bytes a bar: heap and key"] = round(heap / table.num_rows, 1)
    section.facts["bytes a bar: Parquet, zstd on doubles"] = round(sizes["zstd on doubles"] / table.num_rows, 2)
    section.facts["bytes a bar: lake"] = round(lake / table.num_rows, 2)
    section.facts["heap and key : lake"] = round(heap / lake, 1)
    return section


def _reading(warehouse: Warehouse, symbol: str, repeat: int) -> Section:
    api = DataAPI(warehouse)
    expected = api.get_ohlc(symbol, *_YEAR, "1m", output="arrow")
    section = Section(f"read one symbol's year of minutes from either tier: {expected.num_rows:,} bars")

    def ask() -> float:
        found: list[Any] = []
        taken = stopwatch(lambda: found.append(api.get_ohlc(symbol, *_YEAR, "1m", output="arrow")))
        if not found[0].equals(expected):
            raise AssertionError("the answer depends on where the bars are")
        return taken

    hot = [ask() for _ in range(3 * repeat)]
    apply_retention(warehouse, Timeframe.M1, _SEALED)
    with warehouse.connection() as connection:
        [entry] = [e for e in find_entries(connection).values() if f"={symbol}/" in e.bars.path]
    lake = warehouse.lake
    if lake is None:
        raise AssertionError("there is no lake")
    file = Path(lake.root) / entry.bars.path
    cold: list[float] = []
    seconds = take_turns(
        {
            "lake": lambda: (cold.append(ask()), cold[-1])[1],
            "lake, the file alone": lambda: stopwatch(lambda: read_file(lake, entry.bars)),
            "polars.read_parquet of the file": lambda: stopwatch(lambda: pl.read_parquet(file)),
        },
        3 * repeat,
    )
    restore(warehouse, Timeframe.M1, ["2023-11", "2023-12"], symbols=[symbol])
    mixed = [ask() for _ in range(3 * repeat)]
    of = {
        name: Measure(name, taken, expected.num_rows, "bars")
        for name, taken in {"store": hot, **seconds, "two months in the store, ten in the lake": mixed}.items()
    }
    section.add(of)
    section.compare(of["lake"], of["store"])
    section.compare(of["two months in the store, ten in the lake"], of["store"])
    section.compare(of["lake"], of["polars.read_parquet of the file"])
    return section


def _columnstore(world: World, warehouse: Warehouse, table: pa.Table, names: list[str]) -> Section:
    section = Section(f"TimescaleDB, {warehouse.edition.name}: {table.num_rows:,} minute bars")
    across = table.take(pc.sort_indices(table["ts"]))
    plain: list[float] = []
    hyper: list[float] = []
    with world.warehouse("plain", names) as other:
        for _ in range(min(world.repeat, 3)):
            for one, taken in ((other, plain), (warehouse, hyper)):
                with one.connection() as connection:
                    connection.execute("TRUNCATE market.bars_1m, market.bars_revision, ops.bar_window, ops.coverage")
                    one.edition.prepare(connection, Timeframe.M1, *_YEAR)
                taken.append(stopwatch(lambda one=one: _load(one, table)))  # type: ignore[misc]
                say(f"{one.edition.name}: {taken[-1]:.2f} s")
    with warehouse.connection() as connection:
        before = sum(chunk.bytes for chunk in warehouse.edition.chunks(connection, Timeframe.M1))
        uncompressed = [_restate(warehouse, connection, each, range(world.repeat)) for each in (table, across)]
        began = time.perf_counter()
        chunks = list(warehouse.edition.compress(connection, Timeframe.M1, _SEALED))
        took = time.perf_counter() - began
        after = sum(chunk.bytes for chunk in warehouse.edition.chunks(connection, Timeframe.M1))
        later = range(world.repeat, 2 * world.repeat)
        compressed = [_restate(warehouse, connection, each, later) for each in (table, across)]
    of = {
        "ingest into plain PostgreSQL": Measure("ingest into plain PostgreSQL", plain, table.num_rows, "bars"),
        "ingest into a hypertable": Measure("ingest into a hypertable", hyper, table.num_rows, "bars"),
    }
    for shape, slow, fast in zip(_SHAPES, compressed, uncompressed, strict=True):
        for tier, taken in (("compressed", slow), ("uncompressed", fast)):
            of[f"{shape}, {tier}"] = Measure(f"restate {_RESTATED} bars {shape}, {tier}", taken, _RESTATED, "bars")
    section.add(of)
    section.compare(of["ingest into a hypertable"], of["ingest into plain PostgreSQL"])
    if warehouse.edition.compresses:
        for shape in _SHAPES:
            section.compare(of[f"{shape}, compressed"], of[f"{shape}, uncompressed"], aim=0.5)
        section.facts["compressing"] = f"{len(chunks)} chunks in {took:.1f} s"
        section.facts["bytes a bar: hypertable"] = round(before / table.num_rows, 1)
        section.facts["bytes a bar: columnstore"] = round(after / table.num_rows, 1)
    return section


def _restate(warehouse: Warehouse, connection: psycopg.Connection, table: pa.Table, turns: range) -> list[float]:
    """Restate a thousand bars that stand together in ``table``, others each time."""
    taken = []
    for turn in turns:
        part = table.slice(20_000 + turn * 3 * _RESTATED, _RESTATED)
        volume = pc.add(part["volume"], 1.0)
        part = part.set_column(part.column_names.index("volume"), "volume", volume)
        taken.append(stopwatch(lambda part=part: publish(connection, warehouse, Timeframe.M1, part)))  # type: ignore[misc]
    return taken


@contextmanager
def timescale(server: str, names: list[str], *, calendar: str = "XNYS") -> Iterator[Warehouse]:
    """Lend a fresh database on a TimescaleDB server."""
    dsn = conninfo.make_conninfo(server, dbname=f"bench_{os.getpid()}")
    ensure_database(dsn)
    warehouse = Warehouse(Database(dsn), Lake(tempfile.mkdtemp(prefix="chandlery-bench-")))
    with warehouse.connection() as connection:
        migrate(connection)
        install(connection)
        sync_instruments(
            connection, [InstrumentConfig(symbol=s, calendar=calendar, provider="simulated") for s in names]
        )
    try:
        yield warehouse
    finally:
        warehouse.close()
        with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
            name = sql.Identifier(f"bench_{os.getpid()}")
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
