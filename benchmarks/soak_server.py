"""The server of the soak: a vendor that limits its rate and fails some calls, in a process of its own."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from tests.servers.alpaca import AlpacaServer
from tests.servers.http import Fault, Request
from tests.servers.market import Market

#: Share of the calls that fail.
FAILING = 0.05
#: Share of the failures in which the connection is dropped in the middle of the body; the others are 503.
_DROPPED = 0.3
_PER_CHUNK = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What the server has to tell.

    Attributes:
        calls: how many came.
        refused: over the limit.
        failed: answered with 503.
        dropped: the connection was dropped in the middle of the body.
        repeated: pages that were served whole more than once.
        busiest: most calls in any 60 s.
        checksums: of each symbol's bars.
        bars: how many there are.
    """

    calls: int
    refused: int
    failed: int
    dropped: int
    repeated: int
    busiest: int
    checksums: Mapping[str, bytes]
    bars: int


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server in another process."""

    url: str
    pipe: Connection

    def tell(self) -> Told:
        """Return what it saw."""
        self.pipe.send("tell")
        told: Told = self.pipe.recv()
        return told


class SoakServer(AlpacaServer):
    """Alpaca on a bad day: a share of calls fail, with 503 or in the middle of the body."""

    def __init__(self, market: Market, **how: Any) -> None:  # noqa: ANN401 - AlpacaServer's
        super().__init__(market, **how)
        self.failed: Counter[str] = Counter()
        self.served: Counter[tuple[str, ...]] = Counter()
        self._luck = random.Random(29)
        self._laid_out = lru_cache(maxsize=32)(self._lay_out)

    def tell(self) -> Told:
        """Return what came in and what there is."""
        at = np.sort([request.at for request in self.requests])
        in_window = np.searchsorted(at, at + 60) - np.arange(len(at))
        bars = {symbol: columns for (symbol, _), columns in self.market.bars.items()}
        return Told(
            calls=len(at),
            refused=self.refused,
            failed=self.failed["http_503"],
            dropped=self.failed["drop"],
            repeated=sum(count - 1 for count in self.served.values()),
            busiest=int(in_window.max(initial=0)),
            checksums={symbol: checksum(columns) for symbol, columns in bars.items()},
            bars=sum(len(columns["ts"]) for columns in bars.values()),
        )

    def _take(self, request: Request) -> tuple[Fault | None, float | None]:
        """See ``VendorServer``."""
        fault, wait = super()._take(request)
        with self._lock:
            if fault is None and wait is None and self._luck.random() < FAILING:
                fault = "drop" if self._luck.random() < _DROPPED else "http_503"
            if fault is not None:
                self.failed[fault] += 1
            elif wait is None:
                self.served[tuple(request.query.get(name, "") for name in ("symbols", "start", "page_token"))] += 1
        return fault, wait

    def _rows(self, request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
        """See ``AlpacaServer``. Laid out once for all pages of a request, so that a call costs this machine little."""
        yield from self._laid_out(request.path, *(request.query[name] for name in ("symbols", "start", "end")))

    def _lay_out(self, path: str, names: str, start: str, end: str) -> list[tuple[str, dict[str, Any]]]:
        query = {"symbols": names, "timeframe": "1Min", "start": start, "end": end}
        return list(super()._rows(Request(path, query, {}, 0.0)))


@contextmanager
def serve(names: Sequence[str], start: datetime, end: datetime, per_minute: float) -> Iterator[RemoteServer]:
    """Serve the invented minutes of ``names`` in ``[start, end)``, UTC, from a process of its own."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_serve, args=(theirs, names, start, end, per_minute), daemon=True)
    process.start()
    theirs.close()
    try:
        yield RemoteServer(ours.recv(), ours)
    finally:
        with suppress(OSError):  # it may have died
            ours.send("stop")
        process.join(30)
        process.kill()


def _serve(pipe: Connection, names: Sequence[str], start: datetime, end: datetime, per_minute: float) -> None:
    market = Market({})
    for first in range(0, len(names), _PER_CHUNK):
        market |= Market.invent(names[first : first + _PER_CHUNK], Timeframe.M1, start, end)
    with SoakServer(market, key="soak", secret="soak", per_minute=per_minute) as server:
        pipe.send(server.url)
        while pipe.recv() == "tell":
            pipe.send(server.tell())


def checksum(columns: Mapping[str, Any]) -> bytes:
    """Return a checksum of one symbol's bars: ``ts`` in µs since the epoch, and every value."""
    digest = blake2b(np.asarray(columns["ts"]).astype(np.int64).tobytes(), digest_size=16)
    for name in VALUES:
        digest.update(np.asarray(columns[name], np.float64).tobytes())
    return digest.digest()
