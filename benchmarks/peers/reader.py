"""``python -m benchmarks.peers.reader DSN LAKE``: another process, which reads through ``DataAPI`` what it is asked.

Not here: what it is measured against (``questions``, ``pressure``).
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.data import COLUMNS
from chandlery.api.data import DataAPI
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.database.connections import Database
from chandlery.lake.store import Lake
from chandlery.tiers.warehouse import Warehouse

_DISK = 4 << 30


def main() -> None:
    """Answer each request with one line."""
    dsn, lake = sys.argv[1:]
    warehouse = Warehouse(Database(dsn), Lake(Path(lake)))
    for line in sys.stdin:
        request = json.loads(line)
        work = {"disk": _from_disk, "memory": _in_memory}[request.pop("question")]
        print(json.dumps(work(warehouse, **request)), flush=True)
    warehouse.close()


def _from_disk(
    warehouse: Warehouse, *, folder: str, symbol: str, start: str, end: str, columns: list[str]
) -> dict[str, Any]:
    """Read as a process does that has nothing in memory, but the files that another one left on the disk."""
    cache = Cache(None, [DiskCache(Path(folder), _DISK)])
    api = DataAPI(warehouse, cache=cache)
    gc.collect()
    begin = time.perf_counter()
    found = api.get_ohlc(symbol, start, end, "1m", columns=columns)
    seconds = time.perf_counter() - begin
    hits = sum(each.hits for each in cache.stats())
    return {"seconds": seconds, "rows": len(found), "sum": float(found["close"].sum()), "hits": hits}


def _in_memory(
    warehouse: Warehouse, *, symbols: list[str], start: str, end: str, output: str, cache: int
) -> dict[str, Any]:
    """Read many bars at once, and say how much memory the process took for it at the most."""
    api = DataAPI(warehouse, cache=Cache(MemoryCache(cache)))
    api.get_ohlc(symbols[0], start, end, "1m", limit=5, columns=COLUMNS, output=output)  # imports what it needs
    gc.collect()
    before = _peak()
    begin = time.perf_counter()
    found = api.get_multi_symbol(symbols, start, end, "1m", columns=COLUMNS, output=output)
    seconds = time.perf_counter() - begin
    size = found.nbytes if output == "arrow" else int(found.memory_usage(index=True).sum())
    return {"seconds": seconds, "rows": len(found), "bytes": size, "before": before, "peak": _peak()}


def _peak() -> int:
    """Return the most memory that this process had at any time, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # where ``getrusage`` begins with the memory of the process that started this one
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
