"""Writes schema, new migrations, docs/cli.md and types down: ``python -m tests.golden.update``. Read the difference."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psycopg

from chandlery.database.dsn import embedded_dsn, ensure_database
from chandlery.database.migrate import migrate
from chandlery.database.schema_check import EXPECTED, describe_schema
from tests.golden.async_stub import STUB, stub
from tests.golden.cli import DOCUMENT, document
from tests.golden.migrations import CHECKSUMS, new_checksums
from tests.golden.schema import GOLDEN, dump


def main() -> None:
    """Migrate a database of its own and write down what came out."""
    folder = tempfile.mkdtemp(prefix="chandlery-golden-")
    dsn = embedded_dsn(Path(folder) / "data", "golden")
    ensure_database(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        migrate(connection)
        EXPECTED.write_text("\n".join(describe_schema(connection)) + "\n", encoding="utf-8")
    GOLDEN.write_text(dump(dsn), encoding="utf-8")
    DOCUMENT.write_text(document(), encoding="utf-8")
    STUB.write_text(stub(), encoding="utf-8")
    CHECKSUMS.write_text(new_checksums(), encoding="utf-8")


if __name__ == "__main__":
    main()
