"""The disk: files of Arrow IPC that every process of the machine maps into its memory.

A file is removed while another process has it mapped without harm to that process. Its checksum is verified once per
process and file. What happens to the bytes on the disk after that, and before this process ends, is not noticed: a bit
that flips there reaches a reader if the system had dropped the page from its own memory and reads it again. The next
process notices it. A file that somebody else cuts short while it is mapped ends the process that reads it (SIGBUS), so
nobody should write to these files; removing them is always harmless.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from chandlery.cache.base import Counters, PlaceStats, compact
from chandlery.cache.breaker import Breaker
from chandlery.cache.folder import CacheFolder, Kept, remove, taken
from chandlery.cache.sealed import decode, encode, is_whole
from chandlery.database.forks import forget_in_children

_log = logging.getLogger("chandlery.cache")
#: Smaller files are read, not mapped: that is as fast, and a process may map only some ten thousands.
_MAPPED_BYTES = 262_144
#: The share of the limit that is made free at a time, and that a process writes before it looks what others wrote.
_FREED, _UNSEEN = 8, 64
#: Of so many files it is remembered that they were whole.
_REMEMBERED = 100_000


class DiskCache:
    """Tables in files of a folder, which all processes of its owner share.

    All processes together keep within the limit. While several write at the same time, each may pass it by a 64th.

    A folder that cannot be read or written, a full disk, and a folder or file that disappears at any time mean misses,
    never an error; the first failure is logged as a warning.

    Args:
        folder: it is made (mode 0700) where its parent is there.
        max_bytes: the most that all files together may take.
    """

    name = "disk"

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._folder = CacheFolder(folder)
        self._writing = Breaker()
        self._counters = Counters()
        #: What the folder took when this process last looked, and what it wrote since; None before the first look.
        self._seen: int | None = None
        self._written = 0
        self._lock = threading.Lock()
        self._verified: dict[str, tuple[int, int, int]] = {}
        forget_in_children(self)

    def __reduce__(self) -> tuple[type[DiskCache], tuple[Path, int]]:
        """Be opened anew where it is unpickled."""
        return DiskCache, (self.folder, self.max_bytes)

    def forget(self) -> None:
        """Count anew in a child; the files are the same."""
        self._lock = threading.Lock()
        self._counters.forget()
        self._writing.forget()

    def get(self, key: str) -> pa.Table | None:
        """Return the table, or None. One of more than 256 KB is mapped from the file and takes no memory of ours."""
        path = self._folder.path_of(key)
        try:
            self._folder.check()
            table = self._read(key, path)
        except OSError:
            table = None
        self._counters.add(hits=table is not None, misses=table is None)
        return table

    def get_many(self, keys: Sequence[str]) -> dict[str, pa.Table]:
        """Return those of the tables that are there."""
        found = ((key, self.get(key)) for key in keys)
        return {key: table for key, table in found if table is not None}

    def put(self, key: str, table: pa.Table) -> None:
        """Write the table to its file, if it is not there yet. It is whole or not there, whoever dies meanwhile."""
        if not self._writing.allows():
            self._counters.add(skipped=1)
            return
        path = self._folder.path_of(key)
        try:
            if not self._folder.touch(path):
                header, content = encode(key, compact(table))
                size = taken(len(header) + content.size)
                if size > self.max_bytes:
                    self._counters.add(skipped=1)
                    return
                self._make_room(size)
                self._folder.write(path, header, content)
        except OSError as error:
            self._counters.add(skipped=1)
            if self._writing.failed(f"{self.folder}: {error.strerror or error}"):
                _log.warning("tables are not kept in %s for now: %s", self.folder, error.strerror or error)
        else:
            self._writing.succeeded()

    def stats(self) -> PlaceStats:
        """Return what this process did, and what is in the folder now."""
        counted, files = self._counters, self._folder.files()
        return PlaceStats(
            place=self.name,
            where=str(self.folder),
            hits=counted.hits,
            misses=counted.misses,
            evictions=counted.evictions,
            bytes=sum(file.bytes for file in files),
            entries=len(files),
            limit=self.max_bytes,
            damaged=counted.damaged,
            skipped=counted.skipped,
            trouble=self._writing.trouble,
        )

    def clear(self) -> None:
        """Remove every file of ours, also of other processes, and what dead writers left."""
        self._folder.clear()
        with self._lock:
            self._seen = None

    def close(self) -> None:
        """Do nothing: nothing is open between two calls."""

    def _read(self, key: str, path: str) -> pa.Table | None:
        """Return the table in a file; remove the file if it is damaged.

        Raises:
            OSError: there is none, or it cannot be read.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            state = os.fstat(descriptor)
            if state.st_size < _MAPPED_BYTES:
                sealed = pa.py_buffer(os.read(descriptor, state.st_size + 1))
            else:
                # Arrow opens it by its name. Python's own mapping would keep a descriptor open for as long as it lives.
                with pa.memory_map(path) as file:
                    state = os.fstat(file.fileno())
                    sealed = file.read_buffer()
            self._note_use(descriptor, state)
        finally:
            os.close(descriptor)
        identity = (state.st_ino, state.st_size, state.st_mtime_ns)
        if is_whole(key, sealed, check_content=self._verified.get(path) != identity):
            table = decode(sealed)
            if table is not None:
                if len(self._verified) >= _REMEMBERED:
                    self._verified.clear()
                self._verified[path] = identity
                return table
        remove(path)
        self._counters.add(damaged=1)
        return None

    @staticmethod
    def _note_use(descriptor: int, state: os.stat_result) -> None:
        try:
            os.utime(descriptor, ns=(time.time_ns(), state.st_mtime_ns))
        except OSError:
            return  # a file system that can only be read

    def _make_room(self, size: int) -> None:
        """Remove what was used least recently until ``size`` bytes more are within the limit."""
        with self._lock:
            unseen = self._written + size
            if self._seen is not None and unseen <= min(self.max_bytes // _UNSEEN, self.max_bytes - self._seen):
                self._written = unseen
                return
            self._folder.remove_leftovers()
            files = self._folder.files()
            self._seen = self._evict(files, size)
            self._written = size

    def _evict(self, files: list[Kept], size: int) -> int:
        """Return what the files that stay take."""
        total = sum(file.bytes for file in files)
        if total + size <= self.max_bytes:
            return total
        evictions = 0
        for file in sorted(files):
            if total + size <= self.max_bytes - self.max_bytes // _FREED:
                break
            evictions += remove(file.path)
            total -= file.bytes
        self._counters.add(evictions=evictions)
        return total
