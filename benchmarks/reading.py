"""Reading beside what researchers use today: ArcticDB, DuckDB, Polars and ``pandas.read_sql``, on the same bars.

They need other versions of pandas than Chandlery, so that they are in an environment of their own, ``.venv-peers``,
which ``make bench`` makes. Without it, Chandlery is measured alone. Not here: what is asked (``peers``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Section, say
from benchmarks.peers import frames, pressure, questions
from benchmarks.peers.data import FULL, QUICK, load, open_peers
from benchmarks.peers.pipe import Pipe
from benchmarks.world import World
from chandlery.cache.disk import DiskCache

_PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
_WORKER = Path(__file__).parent / "peers" / "worker.py"


def run(world: World, *, python: Path = _PYTHON) -> Iterator[Section]:
    """Yield the results: each question, then readers beside a writer, then memory."""
    size = QUICK if world.quick else FULL
    folder = world.folder / "peers"
    with world.warehouse("reading", size.names) as warehouse, ExitStack() as opened:
        load(warehouse, size, folder)
        worker, versions = None, {}
        if python.exists():
            worker = opened.enter_context(Pipe(python, "-I", _WORKER))
            versions = open_peers(worker, folder, warehouse.database.dsn)
        else:
            say(f"there is no {python}: Chandlery is measured alone; `make bench` makes it")
        reader = (sys.executable, "-m", "benchmarks.peers.reader", warehouse.database.dsn, world.lake("reading"))
        second = opened.enter_context(Pipe(*reader))
        cache = DiskCache(world.folder / "cache_reading", 4 << 30)
        asking = questions.Asking(warehouse, size, worker, list(versions), second, reader, cache, world.repeat)
        sections = questions.run(asking)
        first = next(sections)
        first.facts["versions"] = versions or "there are no peers here"
        yield first
        yield from sections
        yield from frames.run(asking)
        yield from pressure.run(asking, 1.0 if world.quick else 15.0)
