"""Checksums of the migrations: one that was committed is never edited, because databases have it.

Not here: what they make (``schema``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from chandlery.core.own_packages import SQL

CHECKSUMS = Path(__file__).with_name("migrations.txt")


def read_checksums() -> dict[str, str]:
    """Return the SHA-256 of each file, by its path below ``sql/migrations``, as it was written down."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines() if CHECKSUMS.exists() else []
    return {name: checksum for checksum, name in (line.split("  ") for line in lines)}


def present_checksums() -> dict[str, str]:
    """Return the SHA-256 of each file as it is."""
    folder = SQL / "migrations"
    files = sorted([*folder.glob("[0-9]*.sql"), *folder.glob("versions/[0-9]*.py")])
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def new_checksums() -> str:
    """Return the file anew: new migrations are added, and what was written down stays."""
    known = present_checksums() | read_checksums()
    return "".join(f"{known[name]}  {name}\n" for name in sorted(known))
