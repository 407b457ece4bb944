"""The token of the web UI: where it comes from, and what is refused."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chandlery.app.ui_token import FILE_NAME, TOKEN_VARIABLE, check_token, ui_token
from chandlery.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def test_a_token_is_made_once_in_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    token = ui_token(home)
    assert len(token) >= 32
    assert ui_token(home) == token
    assert stat.S_IMODE((home / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [path.name for path in home.iterdir()] == [FILE_NAME]
    assert ui_token(tmp_path / "other") != token


def test_those_who_begin_at_once_have_the_same_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ui_token, [tmp_path] * 32))) == 1


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "chosen-by-the-owner")
    assert ui_token(tmp_path) == "chosen-by-the-owner"
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 257, "with a space, and long", "line\nbreak-line-break", "umläut-umläut-umläut"]
)
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigurationError, match="holds no token") as caught:
        check_token(token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    ui_token(tmp_path)
    (tmp_path / FILE_NAME).chmod(mode)
    with pytest.raises(ConfigurationError, match="by others; delete it"):
        ui_token(tmp_path)


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("a-token-of-somebody-else")
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="is no file of a token"):
        ui_token(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    ui_token(tmp_path)
    os.chown(tmp_path / FILE_NAME, 65534, 65534)
    with pytest.raises(ConfigurationError, match="by others; delete it"):
        ui_token(tmp_path)
