"""The whole way of a batch (files, gate, publishing with coverage) against publishing alone.

Not here: each step by itself (``parts``), and the orchestrator around it (``orchestration``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.world import World, bars, minutes, partitions, reset
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.providers.files.provider import FilesProvider
from chandlery.publishing.publish import publish
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate


def run(world: World) -> Iterator[Section]:
    """Yield the result."""
    names, start, end = minutes(world.rows)
    table = bars(names, Timeframe.M1, start, end)
    planned = partitions(names, Timeframe.M1, start, end)
    folder = write_files(world.folder / "pipeline", table)
    say(f"{table.num_rows:,} minute bars in {len(planned)} partitions, as {len(names)} Parquet files")
    section = Section(f"pipeline: {table.num_rows:,} minute bars in {len(planned)} partitions")
    gate = BarGate()
    with world.warehouse("pipeline", names) as warehouse, warehouse.connection() as connection:
        _ingest(warehouse, folder, gate, planned, table.num_rows)  # imports Great Expectations and makes the partitions

        def whole() -> float:
            reset(connection)
            return stopwatch(lambda: _ingest(warehouse, folder, gate, planned, table.num_rows))

        seconds = take_turns(
            {"files, gate, publish": whole, "publish alone": lambda: _publish(warehouse, connection, table)},
            world.repeat,
        )
    of = {name: Measure(name, taken, table.num_rows, "bars") for name, taken in seconds.items()}
    section.add(of)
    section.compare(of["files, gate, publish"], of["publish alone"], aim=0.4)
    yield section


def write_files(folder: Path, table: pa.Table) -> Path:
    """Write minute bars as a user would have them, one Parquet file for each symbol; return the folder."""
    target = folder / "bars_1m"
    target.mkdir(parents=True)
    for name in pc.unique(table["symbol"]).to_pylist():
        mine = table.filter(pc.equal(table["symbol"], name))
        pq.write_table(mine.drop_columns(["symbol", "source"]), target / f"{name}.parquet", compression="zstd")
    return folder


def _ingest(warehouse: Warehouse, folder: Path, gate: BarGate, planned: list[Partition], rows: int) -> None:
    # A provider of its own each time, because it keeps what it has read.
    outcomes = list(IngestPipeline(warehouse, gate, {}).ingest(FilesProvider(folder), planned))
    if sum(outcome.inserted for outcome in outcomes) != rows:
        raise AssertionError(f"not everything was published: {[o for o in outcomes if o.status != 'published'][:3]}")


def _publish(warehouse: Warehouse, connection: psycopg.Connection, table: pa.Table) -> float:
    reset(connection)
    return stopwatch(lambda: publish(connection, warehouse, Timeframe.M1, table))
