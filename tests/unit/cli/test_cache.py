"""``chandlery cache``: what it shows and removes, and what it says where Redis does not answer."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from chandlery.cache.opening import open_cache
from chandlery.cli import app
from chandlery.settings import Settings
from tests.interpreter import loaded_by
from tests.servers.valkey import Valkey
from tests.tables import bars


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="valkey-") as place, Valkey(Path(place), password="open-sesame") as server:
        monkeypatch.setenv("CHANDLERY_REDIS_URL", server.url)
        yield server


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", *arguments])


def fill() -> None:
    cache = open_cache(Settings())
    for key in "abc":
        cache.put(key, bars(1000))
    cache.close()


def test_files_are_counted_and_removed(home: Path) -> None:
    assert run().stdout == f"cache  {home}/cache: 0 B of at most 4.0 GB in 0 files\n"
    fill()
    assert run().stdout == f"cache  {home}/cache: 240 KB of at most 4.0 GB in 3 files\n"
    [disk] = json.loads(run("--json").stdout)
    assert disk == {
        "place": "disk",
        "where": f"{home}/cache",
        "bytes": 245_760,
        "entries": 3,
        "limit": 4 * 2**30,
        "trouble": None,
    }
    assert run("clear").stdout == f"cache  {home}/cache: 0 B of at most 4.0 GB in 0 files\n"
    assert [path.name for path in (home / "cache").iterdir()] == []


def test_redis_says_what_it_holds_and_is_emptied(server: Valkey) -> None:
    fill()
    server.client.set("somebody", "else")
    assert f"redis  {server.socket}: " in run().stdout
    assert ", 4 keys in the whole server\n" in run().stdout
    assert run("clear").exit_code == 0
    assert server.client.keys() == [b"somebody"]
    assert "sesame" not in run().output + run("--json").output


def test_redis_that_does_not_answer_is_said(server: Valkey) -> None:
    fill()
    server.kill()
    shown = run()
    assert shown.exit_code == 0
    assert f"redis  {server.socket} cannot be read from: " in shown.stdout
    assert shown.stdout.endswith("; reads go on without it\n")
    [_, redis] = json.loads(run("--json").stdout)
    assert (redis["bytes"], redis["entries"]) == (None, None)
    assert "cannot be read from" in redis["trouble"]
    cleared = run("clear")
    assert cleared.exit_code == 1
    assert "in 0 files" in cleared.stdout


def test_a_folder_of_somebody_else_is_said(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    fill()
    os.chown(home / "cache" / "v1", 65534, 65534)
    assert "belongs to another user (number 65534); reads go on without it" in run().stdout


def test_what_is_turned_off_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_CACHE_DISK", "0")
    assert run().stdout == "turned off: see CHANDLERY_CACHE_DISK\n"
    assert run("--json").stdout == "[]\n"


def test_a_wrong_variable_is_wrong_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_CACHE_DISK", "plenty")
    assert run().exit_code == 2
    assert run().stderr.startswith("error: CHANDLERY_CACHE_DISK='plenty' is no size")


def test_to_look_needs_no_columns(home: Path) -> None:
    code = "from typer.testing import CliRunner; from chandlery.cli import app; CliRunner().invoke(app, ['cache'])"
    assert loaded_by(code, ["pyarrow", "numpy", "redis", "xxhash"]) == []
