"""Where an installation is, by its variables: also by those that say nothing, or what cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chandlery.errors import ConfigurationError, StoreError
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

NAMES = ("HOME", "CONFIG", "LAKE", "LANDING", "DATABASE_URL", "CACHE", "CACHE_MEMORY", "CACHE_DISK", "REDIS_URL")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(f"CHANDLERY_{name}", raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    without = Settings()
    monkeypatch.setenv(f"CHANDLERY_{name}", "")
    places = ("home", "config", "lake", "landing", "database_url", "cache", "cache_memory", "cache_disk", "redis_url")
    assert [getattr(Settings(), place) for place in places] == [getattr(without, place) for place in places]


@pytest.mark.parametrize("name", ["HOME", "CONFIG", "CACHE"])
def test_the_home_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"CHANDLERY_{name}", "~nosuch/x")
    with pytest.raises(ConfigurationError, match=f"CHANDLERY_{name}=~nosuch/x: there is no such user's home"):
        _ = Settings().home, Settings().config, Settings().cache


def test_a_working_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = "import os, sys; os.rmdir(os.getcwd()); from chandlery.cli import app; sys.argv[1:] = ['status']; app()"
    done = subprocess.run([sys.executable, "-c", command], cwd=gone, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: the working directory is gone; change to another one, and try again\n"


def test_a_home_without_an_installation_is_not_made_by_whoever_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "typo"))
    with pytest.raises(StoreError, match=f"there is no installation in {tmp_path / 'typo'}: run `chandlery init`"):
        Warehouse.open(Settings())
    assert list(tmp_path.iterdir()) == []
