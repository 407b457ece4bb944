"""Redis as a place of the cache, on a real Valkey: it comes back bit for bit, or the reader goes on without it."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import socket
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from chandlery.cache import redis as redis_place
from chandlery.cache.opening import open_cache
from chandlery.cache.redis import RedisCache
from chandlery.cache.redis_address import parse_address
from chandlery.errors import ConfigurationError
from chandlery.redaction.text import hide
from chandlery.settings import Settings
from tests.interpreter import hide as hide_packages
from tests.interpreter import run_python
from tests.servers.valkey import Valkey
from tests.tables import bars, bits, is_one_chunk

ROWS = 10_000


class Clock:
    """A clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="valkey-") as place:
        yield Path(place)


#: Tests of a server that is slow: for them, a read waits as short as it does for a user.
IMPATIENT = ("stands_still", "too_late", "too_slowly", "large_answer", "dead_server", "left_alone")


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads wait for a busy machine, where the test is of something else."""
    if not any(word in request.node.name for word in IMPATIENT):
        monkeypatch.setattr(redis_place, "READ_TIMEOUT", 30.0)


@pytest.fixture
def server(folder: Path) -> Iterator[Valkey]:
    with Valkey(folder) as server:
        yield server


def put_and_expect(cache: RedisCache, key: str, rows: int = ROWS) -> None:
    cache.put(key, bars(rows))
    found = cache.get(key)
    assert found is not None
    assert bits(found) == bits(bars(rows))


@pytest.mark.parametrize("rows", [0, 3, ROWS])
def test_a_table_comes_back_to_any_process(server: Valkey, rows: int) -> None:
    RedisCache(server.url).put("bars/1m/17", bars(rows))
    cache = RedisCache(server.url)
    found = cache.get("bars/1m/17")
    assert found is not None
    assert is_one_chunk(found)
    assert bits(found) == bits(bars(rows))
    assert cache.get("bars/1m/18") is None
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.trouble) == (1, 1, 1, None)
    assert (stats.bytes or 0) > 100_000


def test_many_keys_are_one_question_and_any_text_is_a_key(server: Valkey) -> None:
    cache = RedisCache(server.url)
    keys = [*map(str, range(70)), "Ä \ud800", "", "y" * 3000]
    for key in keys:
        cache.put(key, bars(3, seed=len(key)))
    found = cache.get_many([*keys, "absent"])
    assert server.client.info("commandstats")["cmdstat_mget"]["calls"] == 3
    assert sorted(found) == sorted(keys)
    assert bits(found["y" * 3000]) == bits(bars(3, seed=3000))


def test_only_what_is_ours_is_removed(server: Valkey) -> None:
    server.client.mset({"somebody": "else", "chandlery:0:old": "x"})
    cache = RedisCache(server.url)
    server.client.mset({f"chandlery:1:{number}": "x" for number in range(1199)})
    put_and_expect(cache, "a", 3)
    assert server.client.dbsize() == 1202
    cache.clear()
    assert sorted(server.client.keys()) == [b"chandlery:0:old", b"somebody"]


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "other key", "text"])
def test_a_value_that_is_not_what_was_put_is_a_miss(server: Valkey, change: str) -> None:
    cache = RedisCache(server.url)
    put_and_expect(cache, "a")
    value = bytearray(server.client.get("chandlery:1:a") or b"")
    value[len(value) // 2] ^= 1
    cache.put("b", bars(5))
    other = server.client.get("chandlery:1:b")
    changed = {"flip": bytes(value), "cut": bytes(value[:500]), "empty": b"", "other key": other, "text": b"hello" * 99}
    server.client.set("chandlery:1:a", changed[change] or b"")
    assert cache.get("a") is None
    assert (cache.stats().damaged, cache.stats().trouble) == (1, None)
    assert cache.get("b") is not None


def test_a_key_of_another_kind_is_a_miss(server: Valkey) -> None:
    server.client.lpush("chandlery:1:a", "x")
    cache = RedisCache(server.url)
    assert cache.get("a") is None


def test_a_dead_server_is_a_miss_and_one_warning_and_it_is_used_again_once_it_is_back(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    cache = RedisCache(server.url, clock=clock)
    put_and_expect(cache, "a")
    server.kill()
    for _ in range(20):
        assert cache.get("a") is None
        cache.put("b", bars(5))
    readers = [text for text in caplog.messages if "cannot be read from" in text]
    writers = [text for text in caplog.messages if "cannot be written to" in text]
    assert (len(readers), len(writers)) == (1, 1)
    assert "cannot be read from" in (cache.stats().trouble or "")
    server.start()
    assert cache.get("a") is None  # it is left alone for a while, and has lost what it had
    clock.now += 60
    put_and_expect(cache, "a")
    assert cache.stats().trouble is None


def test_a_server_that_is_left_alone_is_asked_by_one_reader_at_a_time(server: Valkey) -> None:
    clock = Clock()
    cache = RedisCache(server.url, clock=clock)
    server.kill()
    pauses = []
    for _ in range(9):
        assert cache.get("a") is None
        before = clock.now
        while cache._reading.is_pausing():
            clock.now += 0.5
        pauses.append(clock.now - before)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [cache._reading.allows() for _ in range(3)] == [True, False, False]


def test_a_server_that_stands_still_holds_up_one_call_and_no_other(server: Valkey) -> None:
    clock = Clock()
    cache = RedisCache(server.url, clock=clock)
    put_and_expect(cache, "a")
    server.stop()
    assert cache.get("a") is None
    assert "cannot be read from: Timeout" in (cache._reading.trouble or "")
    cache._reader = None  # whoever asked it now would fail
    assert [cache.get("a") for _ in range(1000)] == [None] * 1000
    server.go_on()
    cache._open_clients()
    clock.now += 60
    assert cache.get("a") is not None


def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_question(server: Valkey) -> None:
    clock = Clock()
    cache = RedisCache(server.url, clock=clock)
    cache.put("a", bars(3))
    cache.put("b", bars(4))
    assert cache.get("a") is not None
    server.stop()
    assert cache.get("a") is None
    server.go_on()
    clock.now += 60
    found = cache.get("b")
    assert found is not None
    assert found.num_rows == 4


@pytest.mark.parametrize(("seconds", "is_left_alone"), [(0.4, False), (0.7, True)])
def test_a_server_that_answers_too_slowly_is_left_alone_for_a_while(
    server: Valkey, seconds: float, is_left_alone: bool
) -> None:
    RedisCache(server.url).put("a", bars(3))
    moments = itertools.count(step=seconds)
    cache = RedisCache(server.url, clock=lambda: next(moments))
    assert cache.get("a") is not None  # what came is used all the same
    assert (cache._reading.trouble == f"cannot be read from: an answer took {seconds:.1f} s") == is_left_alone


def test_a_large_answer_may_take_longer(server: Valkey) -> None:
    for key in "abc":
        RedisCache(server.url).put(key, bars(100_000, seed=ord(key)))  # some 10 MB together
    moments = itertools.count(step=0.7)
    cache = RedisCache(server.url, clock=lambda: next(moments))
    assert len(cache.get_many("abc")) == 3
    assert cache._reading.trouble is None


def test_a_full_server_is_read_from_and_written_to_again_when_there_is_room(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Valkey(folder, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        clock = Clock()
        cache = RedisCache(server.url, clock=clock)
        for number in range(30):
            cache.put(str(number), bars(ROWS, seed=number))
        assert len([text for text in caplog.messages if "cannot be written to" in text]) == 1
        found = cache.get("0")
        assert found is not None
        assert bits(found) == bits(bars(ROWS, seed=0))
        assert cache.stats().skipped > 10
        server.client.flushall()
        clock.now += 60
        put_and_expect(cache, "new")


def test_a_server_that_makes_room_by_itself_keeps_the_newest(folder: Path) -> None:
    with Valkey(folder, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru") as server:
        cache = RedisCache(server.url)
        for number in range(30):
            cache.put(str(number), bars(ROWS, seed=number))
        assert cache.get("0") is None
        assert cache.get("29") is not None
        assert cache.stats().limit == 3 * 2**20
        assert cache.stats().trouble is None


def test_a_port_on_which_nobody_listens_and_one_that_speaks_something_else_are_misses() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/2"
        assert RedisCache(address).get("a") is None
    assert RedisCache(address).get("a") is None
    answers: list[bytes] = []

    def speak(listener: socket.socket) -> None:
        for answer in answers:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(answer)
            connection.close()

    answers += [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":5\r\n",
        b"*1\r\n",
        b"*2\r\n$-1\r\n$-1\r\n",
        b"$5\r\nab",
        b"\0" * 99,
    ]
    for answer in list(answers):
        answers[:] = [answer]
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=speak, args=(listener,))
            thread.start()
            assert RedisCache(f"redis://127.0.0.1:{listener.getsockname()[1]}").get("a") is None
            thread.join()


def test_the_password_opens_it_and_is_never_shown(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "s3cret/of@valkey"
    with Valkey(folder, password=secret) as server:
        address = f"unix://{server.socket}"
        put_and_expect(RedisCache(address.replace("://", "://:s3cret%2Fof%40valkey@")), "a")
        put_and_expect(RedisCache(address, secret), "b")
        wrong = RedisCache(address.replace("://", "://:wr0ng-password@"))
        assert wrong.get("a") is None
        assert RedisCache(address).get("a") is None
        assert "wr0ng-password" not in f"{caplog.text} {wrong.stats()} {wrong!r}"
        assert secret not in hide(f"it says {secret}")
        assert wrong.stats().trouble is not None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost:6379", "does not begin with redis://"),
        ("http://:hidden-pw@host", "does not begin with redis://"),
        ("redis://", "names no host"),
        ("redis://:hidden-pw@/0", "names no host"),
        ("redis://:hidden-pw@host:port", "a host or a port that cannot be"),
        ("redis://:hidden-pw@host:70000", "a host or a port that cannot be"),
        ("redis://:hidden-pw@[::1", "a host or a port that cannot be"),
        ("redis://:hidden-pw@host/zero", "does not end with the number"),
        ("redis://:hidden-pw/x@host", "a host or a port that cannot be"),
        ("redis://:hidden-pw@host/0?socket_timeout=60", "cannot be there (nothing can)"),
        ("rediss://:hidden-pw@host?ssl_cert_reqs=none", "(only ssl_ca_certs, ssl_certfile, ssl_keyfile can)"),
        ("redis://:hidden#pw@host", "a host or a port that cannot be"),
        ("redis://:hidden-pw@host#0", "a #"),
        ("redis://:hidden-pw@ho st", "a blank"),
        ("unix://", "names no path"),
        ("unix://:hidden-pw@host/path", "names no path"),
        ("unix:///path?db=x", "does not end with the number"),
    ],
)
def test_a_malformed_address_is_an_error_that_repeats_none_of_it(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANDLERY_REDIS_URL", url)
    with pytest.raises(ConfigurationError) as caught:
        open_cache(Settings())
    assert str(caught.value).startswith(f"CHANDLERY_REDIS_URL {reason}" if reason.startswith("does") else "CHANDLERY_")
    assert reason in str(caught.value)
    assert "redis://host:6379/0" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_every_part_of_an_address_is_understood() -> None:
    assert parse_address("redis://host") == {"host": "host", "port": 6379, "db": 0, "tls": False}
    assert parse_address("rediss://me:p%40ss@[::1]:7000/3?ssl_ca_certs=/ca.pem") == {
        "host": "::1",
        "port": 7000,
        "db": 3,
        "tls": True,
        "username": "me",
        "password": "p@ss",
        "ssl_ca_certs": "/ca.pem",
    }
    assert parse_address("unix:///run/valkey.sock?db=2") == {"path": "/run/valkey.sock", "db": 2, "tls": False}
    assert RedisCache("rediss://localhost?ssl_ca_certs=/no/such/file").get("a") is None


def test_address_and_password_come_from_files_and_are_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("redis://:of-a-file-1@localhost/1\n")
    (tmp_path / "password").write_text("of-a-file-2\n")
    monkeypatch.setenv("CHANDLERY_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(ConfigurationError, match="CHANDLERY_REDIS_PASSWORD needs CHANDLERY_REDIS_URL"):
        open_cache(Settings())
    monkeypatch.setenv("CHANDLERY_REDIS_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(ConfigurationError, match="CHANDLERY_REDIS_URL holds a password, and"):
        open_cache(Settings())
    assert "of-a-file" not in hide(f"{Settings()!r} of-a-file-1 of-a-file-2")
    monkeypatch.setenv("CHANDLERY_REDIS_URL_FILE", "")
    monkeypatch.setenv("CHANDLERY_REDIS_URL", "redis://localhost")
    assert [place.name for place in open_cache(Settings()).places] == ["memory", "disk", "redis"]


@pytest.mark.parametrize("package", ["redis", "hiredis"])
def test_a_package_that_is_not_installed_is_named(package: str) -> None:
    code = (
        hide_packages(package) + "from chandlery.cache.redis import RedisCache\n"
        "from chandlery.errors import ConfigurationError\n"
        "try: RedisCache('redis://localhost')\n"
        "except ConfigurationError as error: print(error)"
    )
    needed = f"CHANDLERY_REDIS_URL needs {package}; install it with pip install 'chandlery[redis]'\n"
    assert run_python(code).stdout == needed


def _child(cache: RedisCache, pipe: Connection) -> None:
    found = cache.get("a")
    pipe.send(found is not None and found.num_rows)
    cache.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_has_connections_of_its_own(server: Valkey, method: str) -> None:
    cache = RedisCache(server.url)
    put_and_expect(cache, "a", 7)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context(method).Process(target=_child, args=(cache, theirs))
    child.start()
    assert ours.recv() == 7
    child.join()
    assert child.exitcode == 0
    assert cache.get("a") is not None
    assert pickle.loads(pickle.dumps(cache)).get("a") is not None


def test_threads_share_it(server: Valkey) -> None:
    cache = RedisCache(server.url)
    wrong = []

    def work(number: int) -> None:
        for turn in range(30):
            key = (number + turn) % 5
            cache.put(str(key), bars(50, seed=key))
            found = cache.get(str(key))
            if found is None or bits(found) != bits(bars(50, seed=key)):
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
