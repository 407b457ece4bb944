"""Starts a program of Dagster's in the place of this process, in an installation's environment. For containers.

``python -m pipelines.launch [--pid-file=FILE] PROGRAM ARGUMENT...``. The program finds Dagster's home and storage
there, as what ``chandlery ui`` starts does. Not here: the daemon, of which a database has one (``daemon``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from chandlery.errors import ChandleryError
from chandlery.settings import Settings
from pipelines.instance import prepare_home

_OPTION = "--pid-file="


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the program; return an exit code only where that is not possible."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    pid_file = given.pop(0).removeprefix(_OPTION) if given and given[0].startswith(_OPTION) else None
    if not given:
        print("usage: python -m pipelines.launch [--pid-file=FILE] PROGRAM ARGUMENT...", file=sys.stderr)
        return 2
    try:
        prepare_home(Settings())
    except ChandleryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_pid(pid_file)
    try:
        os.execvp(given[0], given)  # noqa: S606 - whatever the container is to run
    except OSError as error:
        print(f"error: {given[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return 1


def write_pid(path: str | None) -> None:
    """Write the number of this process to a file, for a health check that ends what stays unhealthy."""
    if path:
        Path(path).write_text(f"{os.getpid()}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
