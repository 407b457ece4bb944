"""``AsyncDataAPI``: many calls at a time, cancelled calls, lost sessions, and other processes."""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import psycopg
import pytest

from chandlery import AsyncDataAPI
from chandlery.api.condition import Health
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.errors import UsageError
from chandlery.lake.store import Lake
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc, wait_until_blocked

DAYS = [utc("2024-06-03"), utc("2024-06-04"), utc("2024-06-05")]
CLOSES = [9.5, 10.5, 11.5]


@pytest.fixture
def api(warehouse: Warehouse) -> Iterator[AsyncDataAPI]:
    register(warehouse, {"AAA": "XNYS"})
    put(warehouse, Timeframe.D1, [Bar("AAA", day, close=close) for day, close in zip(DAYS, CLOSES, strict=True)])
    opened = AsyncDataAPI(warehouse)
    yield opened
    asyncio.run(opened.close())


async def closes(api: AsyncDataAPI, **options: int) -> list[float]:
    return list((await api.get_ohlc("AAA", **options))["close"])


def test_hundreds_of_calls_share_few_threads_and_connections(api: AsyncDataAPI) -> None:
    async def together() -> None:
        calls = [closes(api, limit=1 + n % 3) for n in range(400)]
        answers = await asyncio.gather(*calls)
        assert answers == [CLOSES[-(1 + n % 3) :] for n in range(400)]
        seen = await api.stats()
        assert seen.connections.open <= seen.connections.limit
        assert seen.connections.idle == seen.connections.open

    asyncio.run(together())


def test_errors_are_those_of_the_other_interface(api: AsyncDataAPI) -> None:
    with pytest.raises(UsageError, match="limit=0 is not allowed"):
        asyncio.run(closes(api, limit=0))
    with pytest.raises(UsageError, match="threads=0 is not allowed"):
        AsyncDataAPI(threads=0)


def test_a_cancelled_call_loses_no_connection_and_one_that_waits_never_begins(
    warehouse: Warehouse, api: AsyncDataAPI, database_url: str
) -> None:
    async def cancel() -> None:
        single = AsyncDataAPI(warehouse, threads=1)
        with psycopg.connect(database_url) as blocker:
            blocker.execute("LOCK TABLE market.instrument IN ACCESS EXCLUSIVE MODE")
            running = asyncio.create_task(closes(single))
            await asyncio.to_thread(wait_until_blocked, database_url)
            begun = asyncio.Event()

            async def call_too() -> object:
                begun.set()
                return await closes(single, limit=1)

            waiting = asyncio.create_task(call_too())
            await begun.wait()
            for task in (running, waiting):
                task.cancel()
            assert all(
                isinstance(each, asyncio.CancelledError)
                for each in await asyncio.gather(running, waiting, return_exceptions=True)
            )
        assert await closes(single) == CLOSES
        seen = (await single.stats()).connections
        assert (seen.idle, seen.waiting) == (seen.open, 0)
        await single.close()
        assert await closes(single) == CLOSES, "it is opened again"
        await single.close()

    asyncio.run(cancel())


def test_calls_go_on_when_the_server_ends_all_sessions(api: AsyncDataAPI, database_url: str) -> None:
    async def lose() -> None:
        for _ in range(3):
            assert await asyncio.gather(*(closes(api) for _ in range(20))) == [CLOSES] * 20
            with psycopg.connect(database_url, autocommit=True) as watcher:
                watcher.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND backend_type = 'client backend'"
                )
            assert await asyncio.gather(*(closes(api) for _ in range(20))) == [CLOSES] * 20

    asyncio.run(lose())


def test_one_interface_serves_one_loop_after_another(api: AsyncDataAPI) -> None:
    assert [asyncio.run(closes(api)) for _ in range(3)] == [CLOSES] * 3


def read_in_process(api: AsyncDataAPI) -> list[float]:
    return asyncio.run(closes(api))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_pool_read_for_themselves(api: AsyncDataAPI, method: str) -> None:
    assert asyncio.run(closes(api)) == CLOSES  # so that there are threads and connections
    context = multiprocessing.get_context(method)
    if method == "fork":  # a fork inherits; what a pool is given is pickled
        with context.Pool(2, initializer=_inherit, initargs=(api,)) as pool:
            assert pool.map(_read_inherited, range(4)) == [CLOSES] * 4
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(read_in_process, [api] * 4)) == [CLOSES] * 4
    assert asyncio.run(closes(api)) == CLOSES


_inherited: list[AsyncDataAPI] = []


def _inherit(api: AsyncDataAPI) -> None:
    _inherited.append(api)


def _read_inherited(_: int) -> list[float]:
    return read_in_process(_inherited[0])


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed here")
def test_a_data_loader_of_pytorch_reads_in_its_workers(api: AsyncDataAPI) -> None:
    loading = importlib.import_module("torch.utils.data")

    class Closes:
        def __len__(self) -> int:
            return len(CLOSES)

        def __getitem__(self, place: int) -> float:
            return read_in_process(api)[place]

    loader = loading.DataLoader(Closes(), num_workers=2, batch_size=1)
    assert sorted(float(batch[0]) for batch in loader) == CLOSES


def test_health_says_what_can_be_reached_and_how_long_it_took(api: AsyncDataAPI, warehouse: Warehouse) -> None:
    async def ask(of: AsyncDataAPI) -> Health:
        async with of:
            return await of.health()

    seen = asyncio.run(ask(api))
    assert (seen.ok, seen.database.ok, seen.lake.ok) == (True, True, True)
    assert seen.database.milliseconds > 0
    assert {"chandlery", "python", "pyarrow", "postgresql", "timescaledb", "edition"} <= set(seen.versions)
    assert [place.place for place in seen.stats.cache] == ["memory"]
    dead = Database("host=127.0.0.1 port=1 dbname=x user=u password=hunter2")
    lost = asyncio.run(ask(AsyncDataAPI(Warehouse(dead, Lake("/proc/none/lake")))))
    assert (lost.ok, lost.database.ok) == (False, False)
    assert "hunter2" not in repr(lost)
    assert lost.database.trouble


def test_it_says_where_it_reads_without_a_secret(api: AsyncDataAPI) -> None:
    assert repr(api).startswith("<AsyncDataAPI database ")
