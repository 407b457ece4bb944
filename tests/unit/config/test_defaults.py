"""The default configuration is copied once, and nothing of a person's own is ever overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from chandlery.config.defaults import copy_defaults, default_folder
from chandlery.config.universe import load_universe
from chandlery.errors import ConfigurationError
from chandlery.providers.catalog import load_providers
from chandlery.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_in_a_checkout_the_defaults_are_those_of_the_checkout() -> None:
    assert default_folder() == CONFIG


def test_the_defaults_are_copied_whole_and_can_be_read(tmp_path: Path) -> None:
    copied = copy_defaults(tmp_path / "config")
    assert content(tmp_path / "config") == content(CONFIG)
    assert sorted(copied) == sorted(tmp_path / "config" / name for name in content(CONFIG))
    assert load_universe(tmp_path / "config" / "universe.yaml").preset("sp500")
    assert load_providers(tmp_path / "config" / "providers.yaml").providers


def test_a_configuration_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "universe.yaml").write_text("mine")
    assert copy_defaults(tmp_path) == []
    assert content(tmp_path) == {"universe.yaml": b"mine"}


def test_an_interrupted_copy_is_completed_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "providers.yaml").write_text("mine")
    copied = copy_defaults(tmp_path)
    assert copied[-1] == tmp_path / "universe.yaml"
    assert tmp_path / "providers.yaml" not in copied
    assert content(tmp_path) == content(CONFIG) | {"providers.yaml": b"mine"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be written to .*file/config: .*name one with CHANDLERY_HOME"):
        copy_defaults(tmp_path / "file" / "config")


def test_the_project_is_the_nearest_folder_with_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_defaults(tmp_path / "config")
    below = tmp_path / "some" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Settings().config == tmp_path / "config"


def test_outside_any_project_it_is_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))
    assert Settings().config == CONFIG
    assert Settings().home == tmp_path / "home"
