"""What a lake in a folder needs of the file system. Not here: the lake (``store``)."""

from __future__ import annotations

import os


def link(path: str) -> str:
    """Give a local file a second name beside its own, and return it; its own where the file system has no links."""
    second = f"{path}-link"
    try:
        os.link(path, second)
    except OSError:
        return path
    return second


def flush(path: str) -> None:
    """Have a file, or the names in a folder, on the disk before this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
