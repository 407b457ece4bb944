"""The configuration that comes with the package, and its copy for a person to edit.

A wheel carries the checkout's ``config/`` as ``chandlery/defaults`` (see ``setup.py``). Not here: what the files mean
(``universe``, ``providers``, ``lifecycle``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chandlery.errors import ConfigurationError

_PACKAGE = Path(__file__).parents[1]
#: The file that makes a folder a configuration; it is copied last, so that an interrupted copy is completed.
_LAST = Path("universe.yaml")


def copy_defaults(folder: Path, *, source: Path | None = None) -> Sequence[Path]:
    """Copy the default configuration to ``folder``, unless a configuration is there. Idempotent.

    Args:
        folder: made where it is absent. A file that is there already is never overwritten.
        source: the folder of the defaults; by default the package's own.

    Returns:
        The files that were written; none where ``folder`` holds a ``universe.yaml``.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    if (folder / _LAST).exists():
        return []
    source = source or default_folder()
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    names = [name for name in names if name != _LAST] + [_LAST]
    try:
        return [folder / name for name in names if _copy(source / name, folder / name)]
    except OSError as error:
        raise ConfigurationError(
            f"the default configuration cannot be written to {folder}: {error.strerror}; go to a folder where you may"
            " write, or name one with CHANDLERY_HOME"
        ) from None


def default_folder() -> Path:
    """Return the folder of the default configuration: in the wheel, or in the checkout this package is part of."""
    packaged = _PACKAGE / "defaults"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "config"


def _copy(source: Path, target: Path) -> bool:
    """Copy a file, whole or not at all, unless there is one; return whether it was copied."""
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(source.read_bytes())
    unfinished = Path(name)
    unfinished.chmod(0o644)
    unfinished.rename(target)
    return True
