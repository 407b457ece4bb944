"""The folder of the server's data, which holds its socket too, and by which path clients reach the socket.

Only the owner can enter, whatever the umask, the length of the path or the place.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import sys
import tempfile
from pathlib import Path

from chandlery.errors import StoreError

#: The server's socket, in the folder of its data.
SOCKET = ".s.PGSQL.5432"
#: How many bytes the path of a socket may have.
_LIMIT = 103 if sys.platform == "darwin" else 107
#: Paths that mean the same in every connection string: elsewhere, a comma divides hosts, and a plus sign is a space.
_PLAIN = re.compile(r"/[A-Za-z0-9/._-]*")


def check_private(folder: Path, uid: int) -> None:
    """Raise ``StoreError`` unless ``folder`` is a folder of ``uid`` that nobody else can enter.

    What is ours and lets others in (a restored backup, for example) is closed to them.
    """
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode):
        raise StoreError(f"{folder} is not a folder; the embedded server's data has to be one. Move it away")
    if state.st_uid != uid:
        raise StoreError(f"{folder} belongs to another user (number {state.st_uid}); move it away")
    if stat.S_IMODE(state.st_mode) != 0o700:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)


def find_address(data: Path) -> Path:
    """Return the folder by which clients reach the server's socket: ``data`` itself, or a link to it.

    Where the path of the socket would be too long, or not mean the same everywhere, the link stands in a folder that
    this user alone can enter, under ``XDG_RUNTIME_DIR`` or the system's temporary folder. It is made anew where it is
    gone.

    Raises:
        StoreError: there is no place for the link.
    """
    if _PLAIN.fullmatch(str(data)) and len(os.fsencode(data / SOCKET)) <= _LIMIT:
        return data
    uid = os.geteuid()
    digest = hashlib.sha256(os.fsencode(f"{uid} {data}")).hexdigest()[:16]
    tried = []
    for place in _places():
        folder = place / f"chandlery-{uid}-{digest}"
        link = folder / "postgres"
        if not _PLAIN.fullmatch(str(link)) or len(os.fsencode(link / SOCKET)) > _LIMIT:
            continue
        tried.append(folder)
        if _is_trusted(place) and _is_mine(folder):
            _point(link, data)
            return link
    raise StoreError(
        f"the path of {data} is too long for a socket, and a short one cannot be made: others can write or own"
        f" {' and '.join(map(str, tried)) or 'every temporary folder'}. Set XDG_RUNTIME_DIR to a folder of your own,"
        " or choose a shorter CHANDLERY_HOME"
    )


def accepts(data: Path) -> bool:
    """Return whether a server listens on the socket in ``data``."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(find_address(data) / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:  # it has more to accept than it can
            return True
        return True


def _places() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [Path(runtime)] if os.path.isabs(runtime) else []  # noqa: PTH117
    return list(dict.fromkeys([*places, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]))  # noqa: S108


def _is_trusted(place: Path) -> bool:
    """Return whether nobody else can rename or remove what is ours in ``place``."""
    try:
        state = place.stat()
    except OSError:
        return False
    shared = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return state.st_uid in {0, os.geteuid()} and (not shared or bool(state.st_mode & stat.S_ISVTX))


def _is_mine(folder: Path) -> bool:
    """Make ``folder``; return whether it is a folder of ours that nobody else can enter."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == 0o700


def _point(link: Path, data: Path) -> None:
    """Let ``link`` point to ``data``, whatever stood there."""
    if link.is_symlink() and os.readlink(link) == str(data):  # noqa: PTH115 - compared as text
        return
    new = link.with_name(f"{link.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(data)
    new.replace(link)
