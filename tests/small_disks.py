"""A file system of its own that is soon full. Not here: what is written to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Mount a file system of ``size`` (``2m``) in memory while the block runs; skip the test where none can be."""
    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("a file system of its own can be mounted on Linux only")
    place = Path(tempfile.mkdtemp(prefix="chandlery-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        place.rmdir()
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()
