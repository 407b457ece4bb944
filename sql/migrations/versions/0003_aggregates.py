"""Continuous aggregates: the days that they have not been brought up to date for."""

from sql.migrations.run import run_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the list."""
    run_file("0003_aggregates.up.sql")


def downgrade() -> None:
    """Drop it, and whatever aggregates there are."""
    run_file("0003_aggregates.down.sql")
