"""``python install.py``, with the Python of an environment: installs there what Chandlery is measured against.

Everything at once; where that fails, each peer with what it needs, so that one that cannot be installed here leaves
the others. Not here: which versions (``requirements.lock``).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: The packages that one peer needs and the others do not, by their beginnings.
PEERS = {
    "ArcticDB": ("arcticdb",),
    "DuckDB": ("duckdb",),
    "Polars": ("polars",),
    "pandas.read_sql": ("psycopg2-binary", "sqlalchemy"),
}
_LOCK = Path(__file__).with_name("requirements.lock")


def main() -> int:
    """Install; say which peers cannot be; return 1 if there are any."""
    lock = _LOCK.read_text()
    if not _install(lock, say=False):
        return 0
    failed = [name for name in PEERS if _install(part_for(name, lock), say=True)]
    for name in failed:
        print(f"{name} cannot be installed here (see above): make bench goes on without it", file=sys.stderr)
    return bool(failed)


def part_for(name: str, lock: str) -> str:
    """Return the part of a lock that peer ``name`` needs, and perhaps more, but nothing that is another peer's."""
    others = tuple(package for peer, packages in PEERS.items() if peer != name for package in packages)
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return "".join(block for block in blocks if not block.startswith(others))


def _install(requirements: str, *, say: bool) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            file.name,
        ]
        return subprocess.run([sys.executable, *command], check=False, capture_output=not say).returncode


if __name__ == "__main__":
    sys.exit(main())
