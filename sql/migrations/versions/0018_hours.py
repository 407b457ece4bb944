"""How many bars came in each hour of a session."""

from sql.migrations.run import run_file

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the column."""
    run_file("0018_hours.up.sql")


def downgrade() -> None:
    """Drop the column."""
    run_file("0018_hours.down.sql")
