"""Programs that answer one request at a time over a pipe, in processes of their own. Not here: what they do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).parents[2]


class Pipe:
    """A program that answers each line of JSON with another one.

    Args:
        command: starts it, in the folder of the checkout.
    """

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()  # its input ends, and so it does

    def ask(self, **request: object) -> dict[str, Any]:
        """Return the answer to a request; raise ``RuntimeError`` with what the program says went wrong."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("it has no pipe")
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
