"""The token that opens the web UI: from the environment, or made once and kept in a file that only the owner can read.

Not here: checking it at each request (``pipelines.guard``).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

from chandlery.errors import ConfigurationError
from chandlery.redaction.text import remember
from chandlery.settings import read_secret

TOKEN_VARIABLE = "CHANDLERY_UI_TOKEN"  # noqa: S105 - the variable's name
FILE_NAME = "ui-token"
#: What a cookie and a header carry as it is; long enough that nobody guesses it.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")


def check_token(token: str, place: str = TOKEN_VARIABLE) -> str:
    """Return ``token``; raise ``ConfigurationError``, which does not repeat it, where it cannot be one."""
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"{place} holds no token for the web UI: write 16 to 256 letters, digits or . _ ~ -, for example from"
            " `openssl rand -hex 24`"
        )
    remember(token)
    return token


def ui_token(home: Path) -> str:
    """Return the token of the installation in ``home``: the environment's or, without one, that of its own file.

    The file is made where it is absent, with a random token of 192 bits.

    Raises:
        ConfigurationError: the variable holds no token, or others than the owner can read or write the file.
    """
    given = read_secret(TOKEN_VARIABLE)
    if given:
        return check_token(given)
    path = home / FILE_NAME
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    return check_token(_read_private(path), str(path))


def _make(path: Path) -> None:
    """Make the file, whole or not at all; leave it alone where somebody else was faster."""
    descriptor, name = tempfile.mkstemp(prefix=f".{FILE_NAME}-", dir=path.parent)  # only its owner can read it
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)  # noqa: PTH108 - beside os.link


def _read_private(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise ConfigurationError(
            f"{path} is no file of a token ({error.strerror}); delete it, and one is made"
        ) from None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read or written by others; delete it, and a new token is made")
        return file.read(1024).strip()
