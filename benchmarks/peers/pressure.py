"""Sixteen readers beside a writer that publishes all the time, and how much memory a large read takes.

Not here: what single reads take (``questions``).
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import Comparison, Measure, Section
from benchmarks.peers.pipe import Pipe
from benchmarks.peers.questions import Asking
from benchmarks.world import bars, symbols
from chandlery.core.timeframe import Timeframe
from chandlery.publishing.publish import publish
from chandlery.tiers.warehouse import Warehouse

READERS = 16
#: Of one publication: two months, so that it changes several windows at once.
_SPAN = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC)
_SYMBOLS = 4
#: A large read may take so many times the memory of its answer, besides what the process has anyway.
_MOST_MEMORY = 5.0


def run(asking: Asking, seconds: float) -> Iterator[Section]:
    """Yield what readers wait while bars change, then the memory of a large read."""
    yield _together(asking, seconds)
    yield _memory(asking)


def _together(asking: Asking, seconds: float) -> Section:
    names, warehouse = symbols(_SYMBOLS), asking.warehouse
    table = bars(names, Timeframe.M1, *_SPAN)
    here, there = multiprocessing.Pipe()
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(warehouse, table, there))
    writer.start()
    if here.recv() != "begun":
        raise AssertionError("the writer did not begin")
    api, until = asking.fresh(), time.monotonic() + seconds
    waits: list[float] = []
    seen: set[float] = set()
    halves = 0

    def read() -> None:
        nonlocal halves
        while time.monotonic() < until:
            begin = time.perf_counter()
            found = api.get_multi_symbol(names, *_SPAN, "1m", columns=["volume"], output="arrow")
            waits.append(time.perf_counter() - begin)
            volumes = np.unique(found["volume"].to_numpy())
            halves += len(volumes) != 1 or len(found) != table.num_rows
            seen.update(volumes.tolist())

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here.send("stop")
    publications = here.recv()
    writer.join()
    if halves or not waits:
        raise AssertionError(f"{halves} of {len(waits)} reads saw half a publication")
    return _pressed(waits, publications, len(seen), table.num_rows, seconds)


def _pressed(waits: list[float], publications: int, seen: int, rows: int, seconds: float) -> Section:
    section = Section(f"peers: {READERS} readers of {rows:,} bars of {_SYMBOLS} symbols while all of them change")
    p50, p95, p99 = np.percentile(waits, [50, 95, 99]).tolist()
    for name, value in (("p50", p50), ("p95", p95), ("p99", p99)):
        section.add({name: Measure(f"a read, {name}", [value])})
    section.facts["reads that saw half a publication"] = f"none of {len(waits):,}"
    section.facts["publications meanwhile"] = f"{publications:,}, of which readers saw {seen:,}"
    section.facts["reads a second, all readers together"] = len(waits) / seconds
    return section


def _write(warehouse: Warehouse, table: pa.Table, pipe: Connection) -> None:
    """Publish the same bars with another volume each time, until something arrives."""
    count = 0
    with warehouse.connection() as connection:
        while not count or not pipe.poll():
            count += 1
            volume = pa.array(np.full(table.num_rows, float(count)))
            changed = table.set_column(table.column_names.index("volume"), "volume", volume)
            publish(connection, warehouse, Timeframe.M1, changed, now=datetime.now(UTC))
            if count == 1:
                pipe.send("begun")
    pipe.recv()
    pipe.send(count)
    warehouse.close()


def _memory(asking: Asking) -> Section:
    names, (start, end) = symbols(asking.size.minutes), asking.size.month_span
    section = Section("peers: memory of a large read")
    for output in ("arrow", "pandas"):
        asked = {"symbols": names, "start": f"{start:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}", "output": output}
        answer = _ask_anew(asking, **asked)
        name = f"{answer['rows']:,} minutes of {len(names)} symbols, to {output}"
        section.add({name: Measure(name, [answer["seconds"]], answer["rows"], "rows")})
        times = max(answer["peak"] - answer["before"], 1) / answer["bytes"]
        limit = f"{_MOST_MEMORY:g} times the bytes of its answer"
        section.comparisons.append(Comparison(f"memory, to {output}", limit, [_MOST_MEMORY / times], aim=1.0))
        section.facts[f"to {output}"] = (
            f"{answer['bytes'] / 2**20:,.0f} MiB, for which the process took {times:.2f} times as much at the most,"
            f" besides {answer['before'] / 2**20:,.0f} MiB that it had before"
        )
    return section


def _ask_anew(asking: Asking, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - as ``reader`` has it
    """Ask a process that read nothing else; its cache is small, as the answer is to be its only copy."""
    with Pipe(*asking.reader) as reader:
        return reader.ask(question="memory", cache=64 << 20, **request)
