"""Files of the cache: mapped, bounded, private; whole or not there whatever happens."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from chandlery.cache.disk import DiskCache
from chandlery.cache.folder import taken
from tests.interpreter import run_python
from tests.small_disks import small_disk as mounted
from tests.tables import bars, bits, is_one_chunk

ROWS = 10_000  # more than what is read instead of mapped
GB = 2**30
KEYS = ["bars/1m/17/2024-01-01/1711111111111111", "file/9f", "a/../../b", "Ä\N{SNOWMAN} \ud800\x00", "", "x" * 5000]


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", GB)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, of two megabytes."""
    with mounted("2m") as place:
        yield place


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def the_file(cache: DiskCache, key: str = "a") -> Path:
    cache.put(key, bars(ROWS))
    return Path(cache._folder.path_of(key))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rows", [0, 3, ROWS])
def test_any_key_is_a_file_in_the_folder_and_its_table_comes_back(cache: DiskCache, key: str, rows: int) -> None:
    cache.put(key, bars(rows))
    found = cache.get(key)
    assert found is not None
    assert is_one_chunk(found)
    assert bits(found) == bits(bars(rows))
    assert [path.parent.parent for path in files(cache.folder)] == [cache.folder / "v1"]
    assert cache.get(f"{key}?") is None


def test_a_large_table_is_mapped_and_leaves_no_file_open(cache: DiskCache) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("the system does not list open files")
    the_file(cache)
    before = len(list(Path("/proc/self/fd").iterdir()))
    allocated = pa.total_allocated_bytes()
    found = [cache.get("a") for _ in range(50)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert pa.total_allocated_bytes() - allocated < 100_000
    assert all(table is not None for table in found)
    assert "v1/" in Path("/proc/self/maps").read_text()


def test_another_process_finds_what_this_one_put(cache: DiskCache) -> None:
    cache.put("a", bars(ROWS))
    code = (
        "from chandlery.cache.disk import DiskCache; from pathlib import Path; from tests.tables import bars, bits;"
        f"print(bits(DiskCache(Path({str(cache.folder)!r}), 2**30).get('a')) == bits(bars({ROWS})))"
    )
    assert run_python(code).stdout == "True\n"


def test_only_its_owner_can_enter_the_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache = DiskCache(tmp_path / "cache", GB)
        file = the_file(cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((cache.folder / "v1").stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_that_was_there_keeps_its_mode_and_what_else_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    (folder / "letter.txt").write_text("dear")
    (folder / "v1").mkdir(mode=0o755)
    (folder / "v1" / "note.txt").write_text("note")
    cache = DiskCache(folder, GB)
    cache.put("a", bars(5))
    assert cache.get("a") is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "v1").stat().st_mode) == 0o700
    cache.clear()
    assert files(folder) == [folder / "letter.txt", folder / "v1" / "note.txt"]


def test_a_folder_of_somebody_else_is_neither_read_nor_written(cache: DiskCache) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    file = the_file(cache)
    os.chown(cache.folder / "v1", 65534, 65534)
    other = DiskCache(cache.folder, GB)
    assert other.get("a") is None
    other.put("b", bars(5))
    assert "belongs to another user" in (other.stats().trouble or "")
    assert files(cache.folder) == [file]


def test_a_link_in_the_place_of_our_folder_is_not_followed(cache: DiskCache, tmp_path: Path) -> None:
    the_file(cache)
    (cache.folder / "v1").rename(tmp_path / "elsewhere")
    (cache.folder / "v1").symlink_to(tmp_path / "elsewhere")
    other = DiskCache(cache.folder, GB)
    assert other.get("a") is None
    other.put("b", bars(5))
    assert len(files(tmp_path / "elsewhere")) == 1


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = DiskCache(tmp_path / "typo" / "cache", GB)
    cache.put("a", bars(5))
    assert cache.get("a") is None
    assert list(tmp_path.iterdir()) == []
    assert "typo" in caplog.text


@pytest.mark.parametrize("place", ["mark", "length", "checksum", "key", "content", "last byte"])
@pytest.mark.parametrize("rows", [5, ROWS])
def test_a_bit_that_flipped_is_noticed_and_the_file_is_removed(cache: DiskCache, place: str, rows: int) -> None:
    cache.put("a", bars(rows))
    file = Path(cache._folder.path_of("a"))
    content = bytearray(file.read_bytes())
    at = {"mark": 3, "length": 8, "checksum": 16, "key": 30, "content": len(content) // 2, "last byte": -1}[place]
    content[at] ^= 4
    file.write_bytes(content)
    assert cache.get("a") is None
    assert (cache.stats().damaged, cache.stats().misses, cache.stats().entries) == (1, 1, 0)
    assert not file.exists()
    cache.put("a", bars(rows))
    assert cache.get("a") is not None


@pytest.mark.parametrize("length", [0, 10, 64, 100, -1])
@pytest.mark.parametrize("tail", [b"", b"\xff" * 10_000_000])
def test_a_torn_file_is_noticed(cache: DiskCache, length: int, tail: bytes) -> None:
    file = the_file(cache)
    whole = file.read_bytes()
    file.write_bytes((whole[:length] + tail)[: len(whole)])
    assert cache.get("a") is None
    assert not file.exists()


def test_the_file_of_another_key_is_not_taken_for_this_one(cache: DiskCache) -> None:
    file = the_file(cache, "a")
    other = the_file(cache, "b")
    shutil.copy(other, file)
    assert cache.get("a") is None
    assert cache.get("b") is not None


def test_a_file_is_verified_once_per_process_and_again_when_it_is_another(cache: DiskCache) -> None:
    file = the_file(cache)
    assert cache.get("a") is not None
    state, content = file.stat(), bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a flip on the disk, which changes no time
    assert cache.get("a") is not None
    assert DiskCache(cache.folder, GB).get("a") is None


def test_all_files_stay_within_the_limit_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    probe = DiskCache(tmp_path / "probe", GB)
    size = taken(the_file(probe).stat().st_size)
    cache = DiskCache(tmp_path / "cache", 8 * size)
    for number in range(8):
        cache.put(str(number), bars(ROWS, seed=number))
    assert cache.stats().entries == 8
    assert DiskCache(cache.folder, GB).get("0") is not None  # used by another process
    for number in range(8, 20):
        cache.put(str(number), bars(ROWS, seed=number))
        assert (cache.stats().bytes or 0) <= cache.max_bytes
        if number == 8:
            assert cache.get("0") is not None
            assert cache.get("1") is None
    assert cache.get("19") is not None
    assert cache.stats().evictions >= 11


def test_what_is_larger_than_all_there_may_be_is_left_out(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 100_000)
    cache.put("small", bars(10))
    cache.put("large", bars(ROWS))
    assert (cache.get("large"), cache.stats().skipped, cache.stats().evictions) == (None, 1, 0)
    assert cache.get("small") is not None


def test_several_processes_together_stay_within_the_limit(tmp_path: Path) -> None:
    limit = 4_000_000
    code = (
        "import sys; from chandlery.cache.disk import DiskCache; from pathlib import Path;"
        "from tests.tables import bars, bits\n"
        f"cache = DiskCache(Path({str(tmp_path / 'cache')!r}), {limit})\n"
        "sys.stdin.readline()\n"
        "for number in range(17):\n"
        "    key = str((number * int(sys.argv[1])) % 17)\n"
        "    cache.put(key, bars(4000, seed=int(key)))\n"
        "    found = cache.get(key)\n"
        "    assert found is None or bits(found) == bits(bars(4000, seed=int(key)))\n"
        "print(cache.stats().damaged, cache.stats().trouble)"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in (1, 2, 3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert [worker.communicate()[0] for worker in workers] == ["0 None\n"] * 3
    files_now = files(tmp_path / "cache")
    assert sum(taken(file.stat().st_size) for file in files_now) <= limit + len(workers) * 400_000
    assert not list((tmp_path / "cache" / "v1" / "new").iterdir())


def test_two_writers_of_one_key_leave_one_whole_file(cache: DiskCache) -> None:
    others = [DiskCache(cache.folder, GB) for _ in range(4)]
    barrier = threading.Barrier(len(others))

    def write(one: DiskCache) -> None:
        barrier.wait()
        for number in range(8):
            one.put(str(number), bars(ROWS, seed=number))

    threads = [threading.Thread(target=write, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.stats().trouble for one in others] == [None] * 4
    assert len(files(cache.folder)) == 8
    for number in range(8):
        found = cache.get(str(number))
        assert found is not None
        assert bits(found) == bits(bars(ROWS, seed=number))


def test_a_file_that_is_evicted_stays_readable_for_whoever_has_it(cache: DiskCache) -> None:
    the_file(cache)
    found = cache.get("a")
    assert found is not None
    cache.clear()
    assert files(cache.folder) == []
    assert bits(found) == bits(bars(ROWS))


@pytest.mark.parametrize("removed", [".", "v1", "v1/new"])
def test_a_folder_that_disappears_is_made_again(cache: DiskCache, removed: str) -> None:
    the_file(cache)
    shutil.rmtree(cache.folder / removed)
    assert (cache.get("a") is None) == (removed != "v1/new")
    cache.put("b", bars(ROWS))
    assert cache.get("b") is not None
    assert cache.stats().trouble is None


#: What a writer does that can be seen by an audit hook of the interpreter.
STEPS = {"os.mkdir", "os.chmod", "open", "os.rename", "os.remove", "os.scandir", "os.utime"}


def die_while_putting(cache: DiskCache, *, step: int | None = None, size: int | None = None) -> bool:
    """Put a table in a child that dies before its ``step``-th step, or after ``size`` bytes; return whether it did."""
    if (child := os.fork()) == 0:
        steps = itertools.count()

        def watch(event: str, _: tuple[object, ...]) -> None:
            if event in STEPS and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        if size is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        cache.put("a", bars(ROWS))
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def expect_no_harm(cache: DiskCache) -> None:
    """Nothing but a whole table is found, and the next writer leaves no trace of the one that died."""
    other = DiskCache(cache.folder, GB)
    found = other.get("a")
    assert found is None or bits(found) == bits(bars(ROWS))
    other.put("a", bars(ROWS))
    other.put("b", bars(5))
    for key, rows in (("a", ROWS), ("b", 5)):
        again = other.get(key)
        assert again is not None
        assert bits(again) == bits(bars(rows))
    assert list((cache.folder / "v1" / "new").iterdir()) == []
    assert (other.stats().damaged, other.stats().trouble, other.stats().entries) == (0, None, 2)


def test_a_writer_may_die_at_any_step(tmp_path: Path) -> None:
    deaths = 0
    for step in itertools.count():
        cache = DiskCache(tmp_path / str(step), GB)
        died = die_while_putting(cache, step=step)
        expect_no_harm(cache)
        if not died:
            break
        deaths += 1
    assert deaths >= 6


@pytest.mark.parametrize("size", [1, 64, 100, 500_000])
def test_a_writer_may_die_within_a_file(cache: DiskCache, size: int) -> None:
    assert die_while_putting(cache, size=size)
    assert len(list((cache.folder / "v1" / "new").iterdir())) == 1
    expect_no_harm(cache)


def test_what_a_living_writer_writes_is_left_alone(cache: DiskCache) -> None:
    the_file(cache)
    code = (
        "import sys; from chandlery.cache.disk import DiskCache; from pathlib import Path\n"
        "from tests.tables import bars\n"
        "def wait(event, arguments):\n"
        "    if event == 'os.rename': print('writing', flush=True); sys.stdin.readline()\n"
        "sys.addaudithook(wait)\n"
        f"cache = DiskCache(Path({str(cache.folder)!r}), 2**30)\n"
        f"cache.put('b', bars({ROWS})); print(cache.stats().trouble)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "writing\n"
    DiskCache(cache.folder, GB).put("c", bars(5))
    assert len(list((cache.folder / "v1" / "new").iterdir())) == 1
    assert other.communicate("\n")[0] == "None\n"
    assert cache.get("b") is not None


def test_a_full_disk_is_said_once_and_reads_go_on(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = DiskCache(small_disk / "cache", GB)
    cache.put("a", bars(ROWS))
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            cache.put(str(number), bars(ROWS, seed=number))
    assert [record.getMessage() for record in caplog.records] == [
        f"tables are not kept in {cache.folder} for now: No space left on device"
    ]
    assert cache.get("a") is not None
    assert "No space left" in (cache.stats().trouble or "")
    assert list((cache.folder / "v1" / "new").iterdir()) == []
    cache.clear()
    again = DiskCache(small_disk / "cache", GB)
    again.put("b", bars(ROWS))
    assert again.get("b") is not None


def test_a_folder_that_can_only_be_read_is_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    DiskCache(small_disk / "cache", GB).put("a", bars(ROWS))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    cache = DiskCache(small_disk / "cache", GB)
    for key in "bcd":
        cache.put(key, bars(5))
    found = cache.get("a")
    assert found is not None
    assert bits(found) == bits(bars(ROWS))
    assert len(caplog.records) == 1
    assert cache.stats().skipped == 3
