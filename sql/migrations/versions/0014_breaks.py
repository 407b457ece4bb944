"""The breaks within sessions."""

from sql.migrations.run import run_file

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns."""
    run_file("0014_breaks.up.sql")


def downgrade() -> None:
    """Drop the columns."""
    run_file("0014_breaks.down.sql")
