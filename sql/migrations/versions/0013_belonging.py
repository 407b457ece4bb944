"""Which lake belongs to the database, and what was requested before that was recorded."""

from sql.migrations.run import run_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the table, and record what was requested."""
    run_file("0013_belonging.up.sql")


def downgrade() -> None:
    """Drop the table."""
    run_file("0013_belonging.down.sql")
