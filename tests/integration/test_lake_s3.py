"""A lake in a bucket of a real S3 server on loopback, reached over a wire that can fail."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from psycopg import conninfo

from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.errors import ConfigurationError, LakeError
from chandlery.lake.identity import FILE_NAME
from chandlery.lake.store import Lake
from chandlery.settings import Settings
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.verify import find_unknown_files, verify
from chandlery.tiers.warehouse import Warehouse
from tests.s3 import (
    ENVIRONMENT,
    KEY,
    REGION,
    SECRET,
    TOKEN,
    Request,
    Wire,
    client_of,
    keys,
    make_bucket,
    nothing,
    serve_s3,
    uploads,
    wire_to,
)
from tests.support import Bar, get, put, register, utc

M1, D1 = Timeframe.M1, Timeframe.D1
NOW = utc("2025-06-15")
SEALED = utc("2025-01-01")
PATH = "bars_1m/symbol=BTC%2FUSD/2024-01-01_2024-02-01_v1.parquet"
LARGE = 25 << 20
_numbers = itertools.count()


@dataclass
class Place:
    """A bucket of one test: the wire that the lake uses, and a client that sees it as it is."""

    url: str
    bucket: str
    wire: Wire
    client: Any

    def files(self) -> list[str]:
        """Paths of what is there under a name that somebody might read."""
        return [key for key in self.all() if not key.startswith("_staging/")]

    def all(self) -> list[str]:
        """Paths of everything that is there, but the lake's id."""
        found = [key.removeprefix("lake/") for key in keys(self.client, self.bucket)]
        return [path for path in found if path != FILE_NAME]

    def content(self, path: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=f"lake/{path}")["Body"].read()
        return body


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_s3() as found:
        yield found


@pytest.fixture
def place(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    client = client_of(port)
    bucket = f"bars-{next(_numbers)}"
    make_bucket(client, bucket)
    with wire_to(port) as wire:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": wire.endpoint}).items():
            monkeypatch.setenv(name, value)
        yield Place(f"s3://{bucket}/lake", bucket, wire, client)


@pytest.fixture
def lake(place: Place) -> Lake:
    return Lake(place.url)


@pytest.fixture
def tiered(database_url: str, lake: Lake) -> Iterator[Warehouse]:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), lake)
    yield warehouse
    warehouse.close()


@pytest.fixture
def ids(tiered: Warehouse) -> dict[str, int]:
    return register(tiered, {"AAA": "XNYS", "BTC/USD": "24/7"})


def minutes(symbol: str, start: str, count: int, close: float = 11.0) -> list[Bar]:
    return [Bar(symbol, utc(start) + timedelta(minutes=n), close=close + n % 7 / 100) for n in range(count)]


def fill(warehouse: Warehouse) -> list[datetime]:
    """Publish bars of two symbols and both timeframes, restate some, and return moments to ask about."""
    for symbol in ("AAA", "BTC/USD"):
        bars = minutes(symbol, "2024-01-31T14:30", 50) + minutes(symbol, "2024-02-01T14:30", 50)
        put(warehouse, M1, bars, now=utc("2024-03-01"))
        put(warehouse, D1, [Bar(symbol, utc("2023-12-29")), Bar(symbol, utc("2024-01-02"))], now=utc("2024-03-01"))
    put(warehouse, M1, minutes("BTC/USD", "2024-02-01T14:30", 20, close=12.0), now=utc("2024-03-03"))
    put(warehouse, D1, [Bar("AAA", utc("2023-12-29"), close=10.0)], now=utc("2024-03-03"))
    return [utc("2024-03-02"), utc("2024-03-04")]


def settle(warehouse: Warehouse, timeframe: Timeframe, before: datetime = SEALED) -> int:
    with warehouse.connection() as connection:
        due = find_due(connection, timeframe, before)
    return len(list(archive(warehouse, due)))


def prune(warehouse: Warehouse, timeframe: Timeframe) -> int:
    report = apply_retention(warehouse, timeframe, SEALED, now=NOW)
    assert report.refused == []
    return len(report.released)


def answers(warehouse: Warehouse, ids: dict[str, int], moments: list[datetime]) -> list[list[dict[str, object]]]:
    return [
        get(warehouse, timeframe, ids, as_of=moment).to_pylist()
        for timeframe in (M1, D1)
        for moment in (None, *moments)
    ]


def write(lake: Lake, content: bytes, path: str = PATH) -> None:
    with lake.staged(path) as file:
        file.write(content)
        file.commit()


def read(lake: Lake, path: str = PATH) -> bytes:
    with lake.open(path) as source:
        content: bytes = source.read()
    return content


def always(fault: str, meant: Callable[[Request], bool]) -> Callable[[Request], str | None]:
    return lambda request: fault if meant(request) else None


def is_upload(request: Request) -> bool:
    return request.method == "PUT" and "/_staging/" in request.path


def is_copy(request: Request) -> bool:
    return request.method == "PUT" and "/_staging/" not in request.path


# The life of a window


def test_a_whole_life_gives_the_same_answers_and_shows_whole_files_only(
    tiered: Warehouse, ids: dict[str, int], place: Place
) -> None:
    moments = fill(tiered)
    truth = answers(tiered, ids, moments)
    broken: list[str] = []
    place.wire.watch = lambda: broken.extend(path for path in place.files() if not _is_whole(place.content(path)))

    assert settle(tiered, M1, utc("2024-02-01")) == 2  # a month of each
    assert answers(tiered, ids, moments) == truth
    assert (settle(tiered, M1), settle(tiered, D1), settle(tiered, M1)) == (2, 2, 0)
    assert prune(tiered, M1) == 4
    assert answers(tiered, ids, moments) == truth
    assert prune(tiered, D1) == 4
    assert answers(tiered, ids, moments) == truth

    assert restore(tiered, M1, ["2024-02"], symbols=["BTC/USD"]) == {("BTC/USD", "2024-02"): 50}
    assert answers(tiered, ids, moments) == truth  # one window hot, one cold
    report = put(tiered, M1, minutes("BTC/USD", "2024-01-31T14:30", 50, close=13.0), now=utc("2025-02-01"))
    assert report.revised == 50
    assert answers(tiered, ids, moments)[1:3] == truth[1:3]  # of then, after it was restated
    after = answers(tiered, ids, moments)
    assert settle(tiered, M1) == 1
    assert prune(tiered, M1) == 2
    assert answers(tiered, ids, moments) == after

    assert [checked.fault for checked in verify(tiered) if checked.fault] == []
    assert find_unknown_files(tiered) == []
    assert sweep(tiered, timedelta(0), now=datetime.now(UTC) + timedelta(days=1)) > 0
    assert sum("symbol=BTC%2FUSD" in path for path in place.files()) == 2  # the bars and their earlier values
    assert [checked.fault for checked in verify(tiered) if checked.fault] == []
    assert answers(tiered, ids, moments) == after
    assert place.all() == place.files()
    assert broken == []


def test_strangers_and_lost_files_are_named(tiered: Warehouse, ids: dict[str, int], place: Place) -> None:
    fill(tiered)
    settle(tiered, M1)
    path = next(path for path in place.files() if path.startswith("bars_1m/symbol=BTC"))
    place.client.put_object(Bucket=place.bucket, Key="lake/bars_1m/of somebody.parquet", Body=b"else")
    assert find_unknown_files(tiered) == ["bars_1m/of somebody.parquet"]
    content = place.content(path)
    prune(tiered, M1)
    place.client.put_object(Bucket=place.bucket, Key=f"lake/{path}", Body=content[:-1])
    with pytest.raises(LakeError, match=r"symbol=BTC%2FUSD/.* bytes, not"):
        get(tiered, M1, ids)
    place.client.delete_object(Bucket=place.bucket, Key=f"lake/{path}")
    with pytest.raises(LakeError, match=r"symbol=BTC%2FUSD/.* is missing"):
        get(tiered, M1, ids)
    assert [checked.path for checked in verify(tiered) if checked.fault] == [path]


def test_other_readers_take_the_symbol_from_the_key(
    tiered: Warehouse, ids: dict[str, int], place: Place, tmp_path: Path
) -> None:
    fill(tiered)
    settle(tiered, M1)
    assert "bars_1m/symbol=BTC%2FUSD/2024-01-01_2025-01-01_v1.parquet" in place.files()
    expected = [("AAA", 100), ("BTC/USD", 100)]
    options = {"aws_endpoint_url": place.wire.endpoint, "aws_region": REGION, "aws_allow_http": "true"}
    options |= {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
    url = f"{place.url}/bars_1m/**/*.parquet"
    found = pl.scan_parquet(url, hive_partitioning=True, storage_options=options).group_by("symbol").len().collect()
    assert sorted(found.rows()) == expected

    for (
        path
    ) in place.files():  # DuckDB's extension for S3 has to be downloaded first, so it reads the same from a folder
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(place.content(path))
    question = f"SELECT symbol, count(*) FROM read_parquet('{tmp_path}/bars_1m/*/*.parquet', hive_partitioning = true)"
    assert duckdb.sql(f"{question} GROUP BY ALL ORDER BY ALL").fetchall() == expected


# Large files


def test_a_large_file_is_uploaded_in_parts(lake: Lake, place: Place) -> None:
    content = os.urandom(LARGE)
    write(lake, content)
    made = place.wire.requests
    # By its query, which has the number of the part: on a busy machine the client sends a part again.
    parts = {request.query: request for request in made if request.is_part}.values()
    assert next(request.query for request in made if request.method == "POST") == "uploads"
    assert len(parts) == 3
    assert LARGE <= sum(request.size for request in parts) < LARGE * 1.01  # with checksums in between
    assert all("/_staging/" in request.path for request in parts)
    assert next(request.size for request in made if is_copy(request)) == 0  # the server copies it by itself
    assert place.all() == [PATH]
    assert uploads(place.client, place.bucket) == []
    assert read(lake) == content


def test_a_small_file_is_uploaded_at_once(lake: Lake, place: Place) -> None:
    write(lake, b"bars")
    assert [(request.method, request.query) for request in place.wire.requests[:2]] == [("PUT", ""), ("PUT", "")]
    assert read(lake) == b"bars"


def test_a_part_that_cannot_be_uploaded_leaves_nothing_to_see(lake: Lake, place: Place) -> None:
    place.wire.fault = always("500", lambda request: "partNumber=2" in request.query)
    with pytest.raises(LakeError, match=f"{PATH} cannot be written"):
        write(lake, os.urandom(LARGE))
    assert place.all() == []
    assert len(uploads(place.client, place.bucket)) == 1  # which is what the bucket's own rule clears away
    place.wire.fault = nothing
    write(lake, b"bars")
    assert place.all() == [PATH]


# Failures that pass


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["503", "200", "close", "lose", "cut"])
def test_whatever_fails_once_is_done_again(
    tiered: Warehouse, ids: dict[str, int], lake: Lake, place: Place, fault: str
) -> None:
    put(tiered, M1, minutes("BTC/USD", "2024-01-31T14:30", 50), now=utc("2024-03-01"))
    put(tiered, M1, minutes("BTC/USD", "2024-01-31T14:30", 50, close=12.0), now=utc("2024-03-03"))
    truth = answers(tiered, ids, [utc("2024-03-02")])
    seen: Counter[tuple[str, str, str]] = Counter()

    def first(request: Request) -> str | None:
        if fault == "200" and request.method not in {"PUT", "POST"}:
            return None  # is not asked for in XML, so nobody can tell it from a success
        seen[request.method, request.path, request.query] += 1
        return fault if seen[request.method, request.path, request.query] == 1 else None

    place.wire.fault = first
    assert settle(tiered, M1) == 1
    assert prune(tiered, M1) == 1
    assert answers(tiered, ids, [utc("2024-03-02")]) == truth
    assert [checked.fault for checked in verify(tiered)] == [None, None]
    write(lake, os.urandom(LARGE))
    assert find_unknown_files(tiered) == [PATH]
    lake.delete(PATH)
    assert len(place.files()) == 2
    assert len(seen) > 10


@pytest.mark.slow
def test_silence_is_broken_off_and_asked_again(lake: Lake, place: Place) -> None:
    silent = Counter[str]()

    def once(request: Request) -> str | None:
        silent[request.method] += 1
        return "stall" if silent[request.method] == 1 else None

    write(lake, b"bars")
    place.wire.fault = once
    assert read(lake) == b"bars"
    assert silent == {"HEAD": 2, "GET": 2}
    write(lake, b"others")
    assert read(lake) == b"others"
    assert silent["PUT"] > 2


def test_a_short_answer_that_looks_whole_is_noticed(tiered: Warehouse, ids: dict[str, int], place: Place) -> None:
    moments = fill(tiered)
    settle(tiered, M1)
    prune(tiered, M1)
    place.wire.fault = always("200", lambda request: request.method == "GET")
    with pytest.raises(LakeError, match="symbol=AAA"):
        answers(tiered, ids, moments)


# Failures that stay


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "meant"),
    [("503", is_upload), ("lose", is_upload), ("close", is_copy), ("lose", is_copy), ("200", is_copy)],
)
def test_archiving_that_fails_changes_nothing_and_is_done_later(
    tiered: Warehouse, ids: dict[str, int], place: Place, fault: str, meant: Callable[[Request], bool]
) -> None:
    moments = fill(tiered)
    truth = answers(tiered, ids, moments)
    tiered.claim_lake()
    place.wire.fault = always(fault, meant)
    with pytest.raises(LakeError, match=r"symbol=AAA/.*parquet cannot be written"):
        settle(tiered, M1)
    whole = fault == "lose" and meant is is_copy  # the answer was lost, not the copy
    assert all(_is_whole(place.content(path)) for path in place.files())
    assert bool(place.files()) == whole
    assert list(verify(tiered)) == []
    assert apply_retention(tiered, M1, SEALED, now=NOW).released == []

    place.wire.fault = nothing
    assert settle(tiered, M1) == 2
    assert prune(tiered, M1) == 4
    assert answers(tiered, ids, moments) == truth
    assert find_unknown_files(tiered) == []


def test_a_copy_that_the_server_only_claims_is_not_believed(lake: Lake, place: Place) -> None:
    place.wire.fault = always("lie", is_copy)
    with pytest.raises(LakeError, match=f"{PATH} cannot be written: the server did not copy it"):
        write(lake, b"bars")
    assert place.all() == []


@pytest.mark.parametrize("fault", ["500", "cut", "close"])
def test_a_read_that_fails_names_the_file(lake: Lake, place: Place, fault: str) -> None:
    write(lake, b"bars" * 1000)
    place.wire.fault = always(fault, lambda request: request.method == "GET")
    texts = set()
    for _ in range(2):
        with pytest.raises(LakeError, match=f"{PATH} cannot be read: ") as caught:
            read(lake)
        texts.add(str(caught.value))
    assert len(texts) == 1  # so that whoever tries again can tell that nothing changed


@pytest.mark.slow
def test_a_dead_endpoint_is_an_error_within_a_minute(lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lake, b"bars")
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        dead = _lake_at(refusing, place, monkeypatch)
        for deed in (
            read,
            lambda lake: list(lake.list()),
            lambda lake: lake.delete(PATH),
            lambda lake: write(lake, b""),
        ):
            began = time.monotonic()
            with pytest.raises(LakeError, match=f"^{place.url}/.* cannot be .*(connect|timed out|Timeout)"):
                deed(dead)
            assert time.monotonic() - began < 60
    assert place.content(PATH) == b"bars"


# Writers that die


def test_a_writer_killed_during_an_upload_leaves_no_object(place: Place) -> None:
    lake = Lake(place.url)
    process = _start(f"with lake.staged({PATH!r}) as file:\n    file.write(bytes({LARGE}))\n    file.commit()", place)
    place.wire.fault = lambda request: _kill(process) if "partNumber=2" in request.query else None
    assert process.wait() == -9
    assert place.all() == []
    assert len(uploads(place.client, place.bucket)) == 1
    place.wire.fault = nothing
    assert lake.sweep(datetime.now(UTC) + timedelta(days=1)) == 0
    write(lake, b"bars")
    assert place.all() == [PATH]


@pytest.mark.slow
def test_a_kill_at_any_request_loses_nothing(tiered: Warehouse, ids: dict[str, int], place: Place) -> None:
    moments = fill(tiered)
    truth = answers(tiered, ids, moments)
    lake = Lake(place.url)
    code = (
        f"warehouse = Warehouse(Database({tiered.database.dsn!r}), lake)\n"
        "with warehouse.connection() as connection:\n"
        "    due = find_due(connection, Timeframe.M1, datetime(2025, 1, 1, tzinfo=UTC), symbols=['BTC/USD'])\n"
        "list(archive(warehouse, due))"
    )
    staged = 0
    for last in itertools.count(1):
        process = _start(code, place)
        count = itertools.count(1)
        place.wire.fault = lambda _, process=process, count=count, last=last: (  # type: ignore[misc]
            _kill(process) if next(count) == last else None
        )
        code_of_exit = process.wait()
        place.wire.fault = nothing
        assert code_of_exit in (0, -9)
        assert all(_is_whole(place.content(path)) for path in place.files())
        assert answers(tiered, ids, moments) == truth
        assert [checked.fault for checked in verify(tiered) if checked.fault] == []
        staged += lake.sweep(datetime.now(UTC) + timedelta(days=1))
        assert place.all() == place.files()
        if code_of_exit == 0:
            break
    assert last > 8
    assert staged > 4  # were swept up after those that died
    settle(tiered, M1)
    assert prune(tiered, M1) == 4
    assert answers(tiered, ids, moments) == truth


# What is wrong with the bucket or the environment


def test_a_missing_bucket_is_said(place: Place) -> None:
    lake = Lake("s3://no-such-bucket/lake")
    for deed in (read, lambda lake: lake.delete(PATH), lambda lake: list(lake.list()), lambda lake: lake.sweep(NOW)):
        with pytest.raises(LakeError, match="there is no bucket 'no-such-bucket'"):
            deed(lake)
    with pytest.raises(LakeError, match=r"no-such-bucket/lake/.*The specified bucket does not exist"):
        write(lake, b"bars")


def test_wrong_credentials_and_denied_deeds_are_said_without_the_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve_s3() as port:
        users = client_of(port, "iam")
        make_bucket(client_of(port), "guarded")
        allowed = _make_user(users, "writer", ["s3:PutObject", "s3:GetObject", "s3:ListBucket"])
        reader = _make_user(users, "reader", ["s3:GetObject", "s3:ListBucket"])
        _guard(port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_REGION", REGION)

        lake = _lake_of(monkeypatch, allowed)
        write(lake, b"bars")  # needs nothing to be deleted
        assert read(lake) == b"bars"
        assert [found.path for found in lake.list()] == [PATH]
        _assert_said(lambda: lake.delete(PATH), f"{PATH} cannot be deleted: .*ACCESS_DENIED", allowed)
        _assert_said(lambda: lake.sweep(datetime.now(UTC) + timedelta(1)), "_staging/.*ACCESS_DENIED", allowed)

        lake = _lake_of(monkeypatch, reader)
        assert read(lake) == b"bars"
        _assert_said(lambda: write(lake, b"others"), f"{PATH} cannot be written: .*ACCESS_DENIED", reader)
        assert read(lake) == b"bars"

        for wrong in ((allowed[0], SECRET), (KEY, SECRET)):
            lake = _lake_of(monkeypatch, wrong)
            _assert_said(lambda lake=lake: write(lake, b"others"), f"{PATH} cannot be written: ", wrong)
            _assert_said(lambda lake=lake: read(lake), f"{PATH} cannot be read: ", wrong)
            _assert_said(lambda lake=lake: list(lake.list()), "lake/ cannot be listed: ", wrong)
            assert SECRET not in repr(lake) + repr(vars(lake))


@pytest.mark.parametrize(
    ("action", "begin"),
    [
        (lambda lake: lake.delete(PATH), f"{PATH} cannot be deleted: "),
        (lambda lake: write(lake, b"bars" * 1000), f"{PATH} cannot be written: "),
        (lambda lake: list(lake.list()), "cannot be listed: "),
    ],
    ids=["delete", "write", "list"],
)
def test_credentials_that_a_server_quotes_are_hidden(
    lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch, action: Callable[[Lake], object], begin: str
) -> None:
    write(lake, b"bars")
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    place.wire.fault = always("quote", lambda request: request.method != "HEAD")
    with pytest.raises(LakeError, match=f"{begin}.*\\*\\*\\* with \\*\\*\\* and \\*\\*\\*") as caught:
        action(lake)
    assert not [secret for secret in (KEY, SECRET, TOKEN) if secret in str(caught.value)]


@pytest.mark.parametrize(
    "url",
    [
        f"s3://{KEY}:{SECRET}@bucket/lake",
        f"s3://bucket/lake?access_key={KEY}&secret_key={SECRET}",
        f"s3://bucket/lake#{SECRET}",
        f"gs://{SECRET}@bucket/lake",
        "s3://",
        "s3:///lake",
        "s3:/bucket/lake",
        "s3://bucket//lake",
        "s3://bucket/../lake",
    ],
)
def test_a_malformed_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix") as caught:
        Lake(url)
    assert SECRET not in _whole_text(caught.value)


@pytest.mark.parametrize("url", [f"http://{KEY}:{SECRET}@host:9000", "ftp://host", "http://host/a", "http://"])
def test_a_malformed_endpoint_is_refused_without_quoting_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL is not of the form") as caught:
        Lake("s3://bucket/lake")
    assert SECRET not in _whole_text(caught.value)


def test_half_a_pair_of_credentials_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(ConfigurationError, match="go together"):
        Lake("s3://bucket/lake")


def test_the_environment_names_the_lake(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_LAKE", f"{place.url}/")
    lake = Lake(Settings().lake)
    write(lake, b"bars")
    assert place.files() == [PATH]
    assert lake.describe(PATH) == f"{place.url}/{PATH}"


def test_a_bucket_may_be_a_lake_without_a_prefix(place: Place) -> None:
    lake = Lake(f"s3://{place.bucket}")
    assert list(lake.list()) == []
    write(lake, b"bars")
    assert [(found.path, found.bytes) for found in lake.list()] == [(PATH, 4)]
    assert keys(place.client, place.bucket) == [PATH]


def test_s3_is_started_only_by_who_needs_it() -> None:
    code = (
        "import psutil, chandlery.cli, chandlery.reading.planner, chandlery.tiers.archive\n"
        "from chandlery.lake.store import Lake\n"
        "threads = psutil.Process().num_threads()\n"
        "Lake('s3://bucket/lake'), list(Lake('/nowhere').list())\n"
        "assert psutil.Process().num_threads() == threads\n"
        "from pyarrow import fs\n"
        "fs.ensure_s3_initialized()\n"
        "assert psutil.Process().num_threads() > threads, 'threads do not tell'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def _is_whole(content: bytes) -> bool:
    return content[:4] == content[-4:] == b"PAR1"


def _start(code: str, place: Place) -> subprocess.Popen[bytes]:
    imports = (
        "from datetime import UTC, datetime\n"
        "from chandlery.tiers.archive import archive, find_due\n"
        "from chandlery.lake.store import Lake\n"
        "from chandlery.database.connections import Database\n"
        "from chandlery.tiers.warehouse import Warehouse\n"
        "from chandlery.core.timeframe import Timeframe\n"
        f"lake = Lake({place.url!r})\n"
    )
    return subprocess.Popen([sys.executable, "-c", imports + code])


def _kill(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    process.wait()
    return "close"


def _make_user(users: Any, name: str, actions: list[str]) -> tuple[str, str]:  # noqa: ANN401
    users.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    users.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
    key = users.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def _guard(port: int) -> None:
    """From now on the server looks at signatures and policies."""
    url, kind = f"http://127.0.0.1:{port}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(url, data=b"0", headers=kind, method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def _lake_at(dead: socket.socket, place: Place, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{dead.getsockname()[1]}")
    return Lake(place.url)


def _lake_of(monkeypatch: pytest.MonkeyPatch, credentials: tuple[str, str]) -> Lake:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials[1])
    return Lake("s3://guarded/lake")


def _assert_said(deed: Callable[[], object], text: str, credentials: tuple[str, str]) -> None:
    with pytest.raises(LakeError, match=text) as caught:
        deed()
    for secret in credentials:
        assert secret not in _whole_text(caught.value)


def _whole_text(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        text += f"{error!r} {error}\n"
        error = error.__cause__ or error.__context__
    return text
