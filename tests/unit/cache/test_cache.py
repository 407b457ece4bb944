"""The places together: what one has, those before it get; nobody waits for a slow one; nothing is lost but speed."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pytest

from chandlery.cache.base import PlaceStats, retained_bytes
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.cache.opening import open_cache
from chandlery.cache.redis import RedisCache
from chandlery.errors import ConfigurationError
from chandlery.settings import Settings
from tests.interpreter import loaded_by, run_python
from tests.servers.valkey import Valkey
from tests.tables import bars, bits, is_one_chunk

MB = 2**20


class Slow:
    """A place that says when it begins to put, and goes on when it may."""

    name = "slow"

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.kept: dict[str, pa.Table] = {}

    def get(self, key: str) -> pa.Table | None:
        return self.kept.get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, pa.Table]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    def put(self, key: str, table: pa.Table) -> None:
        self.begun.release()
        self.may_go_on.acquire()
        self.kept[key] = table

    def stats(self) -> PlaceStats:
        return PlaceStats("slow", None, 0, 0, 0, None, None, None)

    def clear(self) -> None:
        self.kept.clear()

    def close(self) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="valkey-") as place, Valkey(Path(place)) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path, server: Valkey) -> Iterator[Cache]:
    places = [DiskCache(tmp_path / "cache", 100 * MB), RedisCache(server.url)]
    cache = Cache(MemoryCache(100 * MB), places)
    yield cache
    cache.close()


def where(cache: Cache, key: str) -> list[str]:
    return [place.name for place in cache.places if place.get(key) is not None]


def test_a_table_goes_to_every_place_and_comes_from_the_fastest(cache: Cache) -> None:
    table = pa.concat_tables([bars(30), bars(20, seed=1)])
    cache.put("a", table)
    assert cache.flush()
    for number, place in enumerate(cache.places):
        found = cache.get("a")
        assert found is not None
        assert found.place == place.name
        assert bits(found.table) == bits(table)
        assert is_one_chunk(found.table)
        assert cache.flush()
        for faster in cache.places[: number + 1]:
            faster.clear()
    assert cache.get("a") is None


@pytest.mark.parametrize("last", [1, 2])
def test_the_places_before_the_one_that_has_it_get_it(cache: Cache, last: int) -> None:
    for number in range(40):
        cache.places[last].put(str(number), bars(10, seed=number))
    found = cache.get_many([*map(str, range(40)), "absent"])
    assert {key: each.place for key, each in found.items()} == dict.fromkeys(
        map(str, range(40)), cache.places[last].name
    )
    assert cache.flush()
    assert where(cache, "7") == ["memory", "disk", "redis"][: last + 1]
    again = cache.get("7")
    assert again is not None
    assert again.place == "memory"
    assert bits(again.table) == bits(bars(10, seed=7))


def test_each_place_is_optional() -> None:
    nothing = Cache()
    nothing.put("a", bars(3))
    nothing.put_answer("q", 1, "answer", 9)
    assert (nothing.get("a"), nothing.get_answer("q", 1), nothing.stats(), nothing.flush()) == (None, None, [], True)
    memory = Cache(MemoryCache(MB))
    memory.put("a", bars(3))
    memory.put_answer("q", 1, "answer", 9)
    assert memory.get("a") is not None
    assert memory.get_answer("q", 1) == "answer"
    assert memory.get_answer("q", 2) is None


def test_nobody_waits_for_a_slow_place_and_what_is_too_much_is_dropped() -> None:
    slow = Slow()
    size = retained_bytes(bars(1000))
    cache = Cache(MemoryCache(100 * MB), [slow], max_waiting=3 * size)
    cache.put("first", bars(1000))
    slow.begun.acquire()
    for number in range(9):
        cache.put(str(number), bars(1000))
        cache.put(str(number), bars(1000))  # waits already
    assert all(cache.get(str(number)) is not None for number in range(9))
    assert not cache.flush(0)
    for _ in range(4):
        slow.may_go_on.release()
    assert cache.flush()
    assert sorted(slow.kept) == ["0", "1", "2", "first"]
    [_, stats] = cache.stats()
    assert stats.skipped == 12


def test_a_table_larger_than_what_may_wait_goes_alone() -> None:
    slow = Slow()
    cache = Cache(None, [slow], max_waiting=10)
    slow.may_go_on.release()
    cache.put("a", bars(1000))
    assert cache.flush()
    assert list(slow.kept) == ["a"]


def test_a_place_that_hangs_does_not_hold_up_another(tmp_path: Path) -> None:
    slow = Slow()
    disk = DiskCache(tmp_path / "cache", MB)
    cache = Cache(None, [slow, disk])
    cache.put("a", bars(3))
    slow.begun.acquire()
    cache.put("b", bars(3))
    assert cache._writers["disk"].flush()
    assert disk.get("b") is not None
    slow.may_go_on.release()
    slow.may_go_on.release()
    assert cache.flush()


def test_what_waits_is_written_when_it_is_closed_and_it_may_be_used_again(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path / "cache", 100 * MB)
    cache = Cache(MemoryCache(100 * MB), [disk])
    for _ in range(3):
        for number in range(20):
            cache.put(str(number), bars(100, seed=number))
        cache.close()
        assert disk.stats().entries == 20
        assert cache.stats()[0].entries == 0
        assert cache._writers["disk"]._thread is None


def _process(folder: Path, then: str) -> str:
    return (
        "from pathlib import Path; from tests.tables import bars; from chandlery.cache.cache import Cache\n"
        "from chandlery.cache.disk import DiskCache; from chandlery.cache.memory import MemoryCache\n"
        f"disk = DiskCache(Path({str(folder)!r}), 2**30); cache = Cache(MemoryCache(2**30), [disk])\n"
        f"for number in range(30): cache.put(str(number), bars(1000, seed=number))\n{then}"
    )


def test_a_process_that_ends_without_closing_writes_what_waits(tmp_path: Path) -> None:
    done = run_python(_process(tmp_path / "cache", "print('end')"))
    assert (done.stdout, done.stderr) == ("end\n", "")
    assert DiskCache(tmp_path / "cache", MB).stats().entries == 30


def test_a_process_that_is_killed_leaves_only_whole_files(tmp_path: Path) -> None:
    kill = f"import os; os.kill(os.getpid(), {signal.SIGKILL})"
    assert run_python(_process(tmp_path / "cache", kill), check=False).returncode == -signal.SIGKILL
    disk = DiskCache(tmp_path / "cache", 100 * MB)
    for number in range(30):
        found = disk.get(str(number))
        assert found is None or bits(found) == bits(bars(1000, seed=number))
    assert disk.stats().damaged == 0


def test_a_thread_that_hangs_does_not_keep_the_process_alive() -> None:
    code = (
        "import threading; from tests.unit.cache.test_cache import Slow; from tests.tables import bars\n"
        "from chandlery.cache.cache import Cache\n"
        "slow = Slow(); cache = Cache(None, [slow]); cache.put('a', bars(3)); slow.begun.acquire(); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def _child(cache: Cache, pipe: Connection) -> None:
    has_it = where(cache, "a")
    cache.put("b", bars(4))
    pipe.send((has_it, cache.flush(), where(cache, "b")))
    cache.close()


@pytest.mark.parametrize(("method", "expected"), [("fork", ["memory", "disk", "redis"]), ("spawn", ["disk", "redis"])])
def test_a_child_reads_and_writes_with_a_thread_of_its_own(cache: Cache, method: str, expected: list[str]) -> None:
    cache.put("a", bars(3))
    assert cache.flush()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context(method).Process(target=_child, args=(cache, theirs))
    child.start()
    assert ours.recv() == (expected, True, ["memory", "disk", "redis"])
    child.join()
    assert child.exitcode == 0
    assert where(cache, "b") == ["disk", "redis"]


def test_a_child_that_is_forked_while_a_place_hangs_has_nothing_that_waits() -> None:
    slow = Slow()
    cache = Cache(None, [slow])
    cache.put("a", bars(3))
    slow.begun.acquire()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(cache.flush()))
    child.start()
    assert ours.recv() is True
    child.join()
    slow.may_go_on.release()
    assert cache.flush()


def test_it_is_opened_anew_where_it_is_unpickled(cache: Cache) -> None:
    cache.put("a", bars(3))
    assert cache.flush()
    again: Cache = pickle.loads(pickle.dumps(cache))
    assert [place.name for place in again.places] == ["memory", "disk", "redis"]
    found = again.get("a")
    assert found is not None
    assert found.place == "disk"
    again.close()


def test_readers_and_writers_in_threads_never_see_another_table(cache: Cache) -> None:
    wrong = []

    def work(number: int) -> None:
        for turn in range(60):
            key = (number * 5 + turn) % 12
            found = cache.get(str(key))
            if found is None:
                cache.put(str(key), bars(200, seed=key))
            elif bits(found.table) != bits(bars(200, seed=key)):
                wrong.append(key)
            if turn % 20 == number:
                cache.places[number % 3].clear()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [place.stats().damaged for place in cache.places] == [0, 0, 0]


def test_the_settings_say_which_places_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
    cache = open_cache(Settings())
    assert [(stats.place, stats.limit) for stats in cache.stats()] == [("memory", 512 * MB), ("disk", 4096 * MB)]
    assert list(tmp_path.iterdir()) == []
    cache.put("a", bars(3))
    assert cache.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    monkeypatch.setenv("CHANDLERY_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("CHANDLERY_CACHE_MEMORY", "0")
    monkeypatch.setenv("CHANDLERY_CACHE_DISK", "1.5 GiB")
    monkeypatch.setenv("CHANDLERY_REDIS_URL", "unix:///no/such/socket")
    cache = open_cache(Settings())
    assert [stats.place for stats in cache.stats()] == ["disk", "redis"]
    assert cache.stats()[0].limit == 1536 * MB
    cache.put("a", bars(3))
    assert cache.flush()
    assert (tmp_path / "elsewhere" / "v1").is_dir()


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("1000", 1000), ("64k", 65536), ("2mb", 2 * MB), ("1TB", MB**2)])
def test_a_size_has_a_unit_or_none(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_CACHE_MEMORY", text)
    assert Settings().cache_memory == size


@pytest.mark.parametrize("text", ["much", "-1", "5 apples", "1e9", "512MBB", "off", "٣MB"])
@pytest.mark.parametrize("name", ["MEMORY", "DISK"])
def test_what_is_no_size_is_named(text: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CHANDLERY_CACHE_{name}", text)
    with pytest.raises(ConfigurationError) as caught:
        open_cache(Settings())
    assert str(caught.value) == (
        f"CHANDLERY_CACHE_{name}={text!r} is no size; give a number with KB, MB, GB or TB after it, such as 512MB,"
        " or 0 for none"
    )


def test_redis_is_imported_only_where_it_is_asked_for() -> None:
    opening = (
        "from chandlery.cache.opening import open_cache; from chandlery.settings import Settings\n"
        "open_cache(Settings())"
    )
    assert loaded_by(opening, ["redis", "hiredis", "pandas"]) == []
