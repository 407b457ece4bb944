"""Runs the SQL file of a migration, so that the schema can be read (and run) without Python."""

from pathlib import Path

from alembic import op


def run_file(name: str) -> None:
    """Run ``sql/migrations/<name>`` on the migration's connection, as it is written."""
    statements = (Path(__file__).parent / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
