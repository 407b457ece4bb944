"""A process that loads from a remote provider is killed, again and again: what was landed is never asked for twice.

In the end everything has arrived exactly once.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.ingest import landing as landing_zone
from chandlery.ingest import validate as judging
from chandlery.ingest.landing_zone import make_zone
from chandlery.lake.staged_file import StagedFile
from chandlery.lake.store import Lake
from chandlery.providers.coinbase import CoinbaseProvider
from chandlery.publishing import publish as publishing
from chandlery.tiers.warehouse import Warehouse
from tests.acceptance.workers import AcceptingGate, context
from tests.remote import PAIRS, Remote, day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.http import Request
from tests.servers.market import Market
from tests.support import open_warehouse

START, END = day("2024-02-27"), day("2024-03-03")  # of each of two pairs, two months: four requests, 42 calls
LATER = day("2024-06-01")

#: What a process does that a kill may follow; where it is a statement of a transaction, before that is committed.
DEEDS: dict[str, tuple[object, str]] = {
    "call": (CoinbaseProvider, "_candles"),
    "file written": (StagedFile, "write"),
    "file landed": (StagedFile, "commit"),
    "answer entered": (landing_zone, "_enter"),
    "bars merged": (publishing, "write"),
    "consequences recorded": (publishing, "record"),
    "published": (judging, "publish_without"),
    "asking recorded": (judging, "record_requested"),
    "settled": (judging, "mark_processed"),
}


class Moment(NamedTuple):
    """After the ``number``-th ``deed``. The process makes no call for ``withheld``, so that some are left."""

    deed: str
    number: int
    withheld: str = ""


class Asked(NamedTuple):
    """Candles of a pair that start in ``[start, end)``."""

    symbol: str
    start: datetime
    end: datetime


def live(dsn: str, server: Elsewhere, folder: Path, last: Moment, reached: Connection) -> None:
    """In a process: load everything; say so when ``last`` is reached, and be killed there."""
    if last.withheld:
        CoinbaseProvider._candles = _withheld(CoinbaseProvider._candles, last.withheld)  # type: ignore[method-assign]
    owner, name = DEEDS[last.deed]
    setattr(owner, name, _mortal(getattr(owner, name), last.number, reached))
    remote = Remote.open(open_warehouse(dsn), server, folder)  # type: ignore[arg-type] - all it needs of a server is its URL
    remote.load(START, END, now=LATER, gate=AcceptingGate())


class Elsewhere(NamedTuple):
    """A server in another process."""

    url: str


def _withheld(candles: Callable[..., Any], withheld: str) -> Callable[..., Any]:
    @wraps(candles)
    def call(provider: CoinbaseProvider, symbol: str, *args: Any) -> Any:  # noqa: ANN401
        if symbol == withheld:
            threading.Event().wait()
        return candles(provider, symbol, *args)

    return call


def _mortal(deed: Callable[..., Any], number: int, reached: Connection) -> Callable[..., Any]:
    count = itertools.count(1)

    @wraps(deed)
    def done(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        result = deed(*args, **kwargs)
        if next(count) == number:
            reached.send(number)
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()
        return result

    return done


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.invent(PAIRS, Timeframe.M1, START, END)


@pytest.fixture
def remote(warehouse: Warehouse, market: Market, tmp_path: Path) -> Iterator[Remote]:
    with CoinbaseServer(market, page=350) as server:
        remote = Remote.open(warehouse, server, tmp_path)
        with warehouse.connection() as connection:
            make_zone(connection, Lake(tmp_path / "landing"))  # so that the files which land are those of answers
        yield remote


@pytest.mark.slow
@pytest.mark.parametrize(
    "moments",
    [
        [Moment("call", 1)],
        [Moment("call", 30)],
        [Moment("file written", 2)],
        [Moment("file landed", 1), Moment("file landed", 2)],
        [Moment("answer entered", 3)],
        [Moment("bars merged", 1)],
        [Moment("consequences recorded", 1), Moment("published", 1)],
        [Moment("asking recorded", 1)],
        [Moment("settled", 1, withheld=PAIRS[1]), Moment("call", 1)],
    ],
    ids=lambda moments: ", ".join(f"{moment.deed} {moment.number}" for moment in moments).replace(" ", "_"),
)
def test_a_kill_at_any_moment_costs_no_call_for_what_was_landed(
    remote: Remote, market: Market, moments: Sequence[Moment]
) -> None:
    kept: list[Asked] = []
    for moment in moments:
        before = len(remote.server.requests)
        live_until(remote, moment)
        assert not _again(kept, remote.server.requests[before:])
        kept = _landed(remote)
        if moment.deed not in ("call", "file written"):
            assert kept
    before = len(remote.server.requests)
    outcomes = remote.load(START, END, now=LATER)
    assert {outcome.status for outcome in outcomes} <= {"published", "complete"}
    assert not _again(kept, remote.server.requests[before:])
    assert remote.is_whole(market, START, END)
    total = sum(len(bars["ts"]) for bars in market.bars.values())
    assert remote.scalar("SELECT count(*) FROM market.bars_1m") == total
    assert remote.scalar("SELECT count(*) FROM market.bars_revision") == 0
    assert remote.scalar("SELECT sum(present)::int8 FROM ops.coverage WHERE timeframe = '1m'") == total
    assert remote.scalar("SELECT count(*) FROM ops.landing WHERE processed_at IS NULL") == 0
    assert remote.scalar("SELECT sum(row_count)::int8 FROM ops.landing") == total
    assert len(_files(remote)) == remote.scalar("SELECT count(*) FROM ops.landing")
    before = len(remote.server.requests)
    assert {outcome.status for outcome in remote.load(START, END, now=LATER)} == {"complete"}
    assert len(remote.server.requests) == before


def live_until(remote: Remote, moment: Moment) -> None:
    """Let a process load everything until it is killed at ``moment``, which it must have reached."""
    here, there = context().Pipe(duplex=False)
    arguments = (remote.warehouse.database.dsn, Elsewhere(remote.server.url), remote.folder, moment, there)
    process = context().Process(target=live, args=arguments)
    process.start()
    there.close()  # so that the pipe ends with the process
    try:
        assert here.recv() == moment.number
    except EOFError:
        pytest.fail(f"it ended without having reached {moment}")
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _files(remote: Remote) -> list[Path]:
    """Return the files that landed, without those that were still on their way."""
    return list((remote.folder / "landing" / "coinbase").rglob("*.parquet"))


def _landed(remote: Remote) -> list[Asked]:
    """Return what is in the landing zone, by its files; every row has one."""
    files = _files(remote)
    with remote.warehouse.connection() as connection:
        paths = {path for (path,) in connection.execute("SELECT path FROM ops.landing").fetchall()}
    assert paths <= {str(file.relative_to(remote.folder / "landing")) for file in files}
    kept = []
    for file in files:
        note = json.loads(pq.read_schema(file).metadata[b"chandlery.landing"])
        start, end = (datetime.fromisoformat(note[name]) for name in ("start_ts", "end_ts"))
        kept += [Asked(symbol, start, end) for symbol in note["symbols"]]
    return kept


def _again(kept: Sequence[Asked], requests: Sequence[Request]) -> list[Asked]:
    """Return which requests ask for any of what is kept."""
    asked = [
        Asked(
            request.path.split("/")[-2].replace("-", "/"),
            *(datetime.fromtimestamp(int(request.query[name]), UTC) for name in ("start", "end")),
        )
        for request in requests
    ]
    return [
        one for one in asked if any(one.symbol == k.symbol and one.start < k.end and one.end >= k.start for k in kept)
    ]
