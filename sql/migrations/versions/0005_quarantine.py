"""Quarantine: the sessions that wait in it."""

from sql.migrations.run import run_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    run_file("0005_quarantine.up.sql")


def downgrade() -> None:
    """Drop them."""
    run_file("0005_quarantine.down.sql")
