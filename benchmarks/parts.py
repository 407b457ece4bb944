"""Single parts by themselves, for whoever wants to know where the time goes. No aims.

Not here: anything with a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa

from benchmarks.harness import Measure, Section, stopwatch, take_turns
from benchmarks.pipeline import write_files
from benchmarks.world import World, bars, minutes, partitions
from chandlery.core.timeframe import Timeframe
from chandlery.providers.base import BarRequest
from chandlery.providers.files.provider import FilesProvider
from expectations.gate import BarGate


def run(world: World) -> Iterator[Section]:
    """Yield the result."""
    names, start, end = minutes(world.rows)
    table = bars(names, Timeframe.M1, start, end)
    planned = partitions(names, Timeframe.M1, start, end)
    folder = write_files(world.folder / "parts", table)
    request = BarRequest(names, Timeframe.M1, start, end)
    gate, now = BarGate(), datetime.now(UTC)
    gate.audit(table, planned, now=now)  # imports Great Expectations
    seconds = take_turns(
        {
            "simulated provider": lambda: stopwatch(lambda: bars(names, Timeframe.M1, start, end)),
            "files provider, Parquet": lambda: stopwatch(lambda: _read(folder, request, table.num_rows)),
            "gate": lambda: stopwatch(lambda: gate.audit(table, planned, now=now)),
        },
        world.repeat,
    )
    section = Section(f"parts: {table.num_rows:,} minute bars in {len(planned)} partitions")
    section.add({name: Measure(name, taken, table.num_rows, "rows") for name, taken in seconds.items()})
    yield section


def _read(folder: object, request: BarRequest, rows: int) -> pa.Table:
    found = FilesProvider(folder).fetch(request).bars  # type: ignore[arg-type]
    if found.num_rows != rows:
        raise AssertionError(f"read {found.num_rows} rows, not {rows}")
    return found
