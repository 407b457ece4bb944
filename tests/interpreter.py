"""Runs code in a Python interpreter of its own, for what must hold in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_HIDE = """\
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def run_python(
    code: str, *, env: Mapping[str, str] | None = None, cwd: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` as ``python -c`` does, with ``env`` added to the environment."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def hide(*packages: str) -> str:
    """Return code after which ``packages`` cannot be imported, as if they were not installed."""
    return _HIDE.format(names=set(packages))


def loaded_by(code: str, names: Sequence[str], *, env: Mapping[str, str] | None = None) -> list[str]:
    """Return which of the modules ``names`` are loaded once a new interpreter has run ``code``; it prints nothing."""
    done = run_python(f"import sys\n{code}\nprint(*[name for name in {list(names)} if name in sys.modules])", env=env)
    return done.stdout.split()
