"""The memory of a process: what counts, what goes first, what a child has."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from multiprocessing.connection import Connection

import pyarrow as pa

from chandlery.cache.base import compact, retained_bytes
from chandlery.cache.memory import MemoryCache
from tests.tables import bars, bits, is_one_chunk

ROWS = 1000
SIZE = retained_bytes(bars(ROWS))


def test_what_was_used_least_recently_goes_first() -> None:
    cache = MemoryCache(3 * SIZE + 3 * 1024)
    for key in "abc":
        cache.put(key, bars(ROWS))
    assert cache.get("a") is not None
    cache.put("d", bars(ROWS))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    stats = cache.stats()
    assert (stats.evictions, stats.entries, stats.hits, stats.misses) == (1, 3, 4, 1)
    assert stats.bytes is not None
    assert 3 * SIZE <= stats.bytes <= cache.max_bytes


def test_what_is_larger_than_all_there_may_be_is_left_out_and_removes_nothing() -> None:
    cache = MemoryCache(SIZE + 1024)
    cache.put("small", bars(ROWS))
    cache.put("large", bars(3 * ROWS))
    assert (cache.get("large"), cache.stats().skipped, cache.stats().evictions) == (None, 1, 0)
    assert cache.get("small") is not None


def test_the_same_key_again_counts_once() -> None:
    cache = MemoryCache(10 * SIZE)
    for _ in range(5):
        cache.put("a", bars(ROWS))
    assert (cache.stats().entries, cache.stats().evictions) == (1, 0)
    assert cache.stats().bytes == SIZE + 512


def test_a_part_of_a_large_table_does_not_keep_the_whole_of_it() -> None:
    whole = bars(100_000)
    part = whole.slice(500, 10)
    cache = MemoryCache(10 * SIZE)
    cache.put("part", part)
    found = cache.get("part")
    assert found is not None
    assert bits(found) == bits(part)
    assert retained_bytes(whole.slice(500, 10)) == retained_bytes(whole)
    assert (cache.stats().bytes or 0) < SIZE


def test_a_column_of_a_message_counts_with_the_whole_message() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, bars(ROWS).schema) as writer:
        writer.write_table(bars(ROWS))
    message = sink.getvalue().to_pybytes()
    column = pa.ipc.open_stream(message).read_all().select(["close"])
    assert retained_bytes(column) == len(message)


def test_a_table_is_given_back_with_one_chunk_per_column_whatever_it_had() -> None:
    cache = MemoryCache(10 * SIZE)
    several = pa.concat_tables([bars(3), bars(5, seed=1), bars(4).slice(0, 0)])
    for key, table in {"several": several, "empty": bars(4).slice(0, 0), "none": bars(0).schema.empty_table()}.items():
        cache.put(key, table)
        found = cache.get(key)
        assert found is not None
        assert is_one_chunk(found)
        assert bits(found) == bits(table)
    assert compact(bars(3)).column(0).chunk(0).buffers()[1].size > 0


def test_an_answer_counts_for_its_version_alone() -> None:
    cache = MemoryCache(10_000)
    frame = object()
    cache.put_answer(("AAPL", "1m"), (1, 2), frame, 100)
    assert cache.get_answer(("AAPL", "1m"), (1, 2)) is frame
    assert cache.get_answer(("AAPL", "1m"), (1, 3)) is None
    newer = object()
    cache.put_answer(("AAPL", "1m"), (1, 3), newer, 100)
    assert cache.get_answer(("AAPL", "1m"), (1, 2)) is None
    assert cache.get_answer(("AAPL", "1m"), (1, 3)) is newer
    assert cache.stats().entries == 1


def test_answers_and_tables_share_one_limit_and_not_their_keys() -> None:
    cache = MemoryCache(SIZE + 2048)
    cache.put("a", bars(ROWS))
    cache.put_answer("a", 1, "answer", 100)
    assert cache.get("a") is not None
    assert cache.get_answer("a", 1) == "answer"
    cache.put_answer("b", 1, "answer", SIZE)
    assert cache.get("a") is None
    assert (cache.stats().bytes or 0) <= cache.max_bytes


def test_threads_that_put_and_get_at_once_leave_the_count_right() -> None:
    cache = MemoryCache(20 * SIZE)
    wrong = []

    def work(number: int) -> None:
        for turn in range(80):
            key = (number * 7 + turn) % 40
            cache.put(str(key), bars(10, seed=key))
            found = cache.get(str(key))
            if found is not None and bits(found) != bits(bars(10, seed=key)):
                wrong.append(key)
            cache.put_answer(key, turn, turn, SIZE)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    stats = cache.stats()
    assert stats.bytes == sum(entry.bytes for entry in cache._entries.values()) <= cache.max_bytes
    assert stats.entries == len(cache._entries)


def _child(cache: MemoryCache, pipe: Connection) -> None:
    found = cache.get("a")
    pipe.send((found is not None and bits(found) == bits(bars(5)), cache.stats().hits))
    cache.put("b", bars(6))
    pipe.send(cache.get("b") is not None)


def test_a_forked_child_keeps_the_entries_and_has_locks_of_its_own() -> None:
    cache = MemoryCache(10 * SIZE)
    cache.put("a", bars(5))
    ours, theirs = multiprocessing.Pipe()
    with cache._lock:  # as if another thread of ours held it at the moment of the fork
        child = multiprocessing.get_context("fork").Process(target=_child, args=(cache, theirs))
        child.start()
        assert ours.recv() == (True, 1)
        assert ours.recv() is True
        child.join()
    assert cache.get("b") is None


def test_a_child_counts_anew_if_a_thread_was_counting_at_the_fork() -> None:
    cache = MemoryCache(10 * SIZE)
    cache.put("a", bars(5))
    right = cache.stats().bytes
    cache._bytes += 1  # as between two statements of a thread
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, str(cache.stats().bytes).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 99).decode() == str(right)
    os.close(reading)
    os.close(writing)


def test_it_is_empty_where_it_is_unpickled() -> None:
    cache = MemoryCache(10 * SIZE)
    cache.put("a", bars(5))
    again = pickle.loads(pickle.dumps(cache))
    assert (again.max_bytes, again.stats().entries) == (cache.max_bytes, 0)
