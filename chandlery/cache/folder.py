"""The folder of the disk's cache: its files, who may enter it, what is left of writers that died, what it takes.

``v1/<two letters>/<digest of the key>.arrow`` holds a table, and ``v1/new/`` what is being written. Only ``v1`` and
what is in it is ours. A file is written aside, under a lock that the system releases when its writer dies, and renamed.
It never changes after that. Not here: what the files hold (``sealed``), and what is kept (``disk``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chandlery.cache.keys import FORMAT, key_digest

if TYPE_CHECKING:
    import pyarrow as pa

_NAME = re.compile(r"[0-9a-f]{64}\.arrow")
_SUB_FOLDER = re.compile(r"[0-9a-f]{2}")
#: What a file of any size takes at least.
_BLOCK = 4096


class Kept(NamedTuple):
    """A file: when it was used last (nanoseconds), what it takes in bytes, and where it is."""

    used: int
    bytes: int
    path: str


class CacheFolder:
    """The files below one folder. All processes of its owner share them.

    Args:
        place: the folder. It is made where its parent is there; what else is in it is left alone.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ours = str(place / f"v{FORMAT}")
        self._new = os.path.join(self._ours, "new")  # noqa: PTH118 - in the way of each read, and ten times as fast
        self._is_checked = False

    def path_of(self, key: str) -> str:
        """Return where the table of ``key`` rests."""
        name = key_digest(key).hex()
        return f"{self._ours}/{name[:2]}/{name}.arrow"

    def check(self) -> None:
        """Make sure that nobody else can put files here; what is ours and lets others in is closed to them.

        Raises:
            OSError: the folder belongs to another user, or is none.
        """
        if self._is_checked:
            return
        state = os.lstat(self._ours)
        if not stat.S_ISDIR(state.st_mode):
            raise NotADirectoryError(f"{self._ours} is not a folder")
        if state.st_uid != os.geteuid():
            raise PermissionError(f"{self._ours} belongs to another user (number {state.st_uid})")
        if stat.S_IMODE(state.st_mode) & 0o077:
            os.chmod(self._ours, 0o700)  # noqa: PTH101 - see ``_new``
        self._is_checked = True

    def write(self, path: str, header: bytes, content: pa.Buffer) -> None:
        """Write a file aside and rename it to ``path``.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        for attempt in range(3):
            try:
                self._write(path, header, content)
            except (FileNotFoundError, BlockingIOError):
                # Somebody removed the folder, or took the file for one whose writer is dead.
                self._is_checked = False
                if attempt == 2:
                    raise
                self._make(Path(path).parent)
            else:
                return

    def touch(self, path: str) -> bool:
        """Note that a file is used now; return whether it is there."""
        try:
            state = os.stat(path)  # noqa: PTH116 - see ``_new``
            os.utime(path, ns=(time.time_ns(), state.st_mtime_ns))
        except FileNotFoundError:
            return False
        return True

    def files(self) -> list[Kept]:
        """Return the files, in no order; none where the folder cannot be read."""
        return list(self._files())

    def remove_leftovers(self) -> None:
        """Remove what dead writers left; what a living one writes is left alone."""
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(self._new)):
                with contextlib.suppress(OSError):
                    descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        _lock(descriptor)
                        os.unlink(entry.path)  # noqa: PTH108 - see ``_new``
                    finally:
                        os.close(descriptor)

    def clear(self) -> None:
        """Remove our files and our folders."""
        for file in self._files():
            remove(file.path)
        self.remove_leftovers()
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(self._ours)):
                with contextlib.suppress(OSError):
                    os.rmdir(entry.path)  # noqa: PTH106 - see ``_new``
            os.rmdir(self._ours)  # noqa: PTH106 - see ``_new``

    def _write(self, path: str, header: bytes, content: pa.Buffer) -> None:
        self.check()
        os.stat(os.path.dirname(path))  # noqa: PTH116, PTH120 - see ``_new``; before the work, not after it
        aside = f"{self._new}/{secrets.token_hex(16)}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
            for part in (header, content):
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            os.rename(aside, path)  # noqa: PTH104 - see ``_new``
        except BaseException:
            remove(aside)
            raise
        finally:
            os.close(descriptor)

    def _make(self, sub_folder: Path) -> None:
        for folder in (self.place, Path(self._ours), Path(self._new), sub_folder):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _files(self) -> Iterator[Kept]:
        try:
            folders = [entry.path for entry in os.scandir(self._ours) if _SUB_FOLDER.fullmatch(entry.name)]
        except OSError:
            return
        for folder in folders:
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    if _NAME.fullmatch(entry.name):
                        with contextlib.suppress(FileNotFoundError):
                            state = entry.stat(follow_symlinks=False)
                            yield Kept(state.st_atime_ns, taken(state.st_size), entry.path)


def taken(size: int) -> int:
    """Return how many bytes of the disk a file of ``size`` bytes takes."""
    return -(-size // _BLOCK) * _BLOCK


def remove(path: str) -> bool:
    """Remove a file; return whether it was there and is gone."""
    try:
        os.unlink(path)  # noqa: PTH108 - see ``CacheFolder._new``
    except OSError:
        return False
    return True


def _lock(descriptor: int) -> None:
    """Take the lock of a file that is being written.

    Raises:
        BlockingIOError: somebody has it.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
