"""Runs the SQL file of a migration, so that the schema can be read (and run) without Python."""

from importlib.resources import files

from alembic import op


def run_file(name: str) -> None:
    """Run ``sql/migrations/<name>`` on the migration's connection, as it is written."""
    statements = files("sql.migrations").joinpath(name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
