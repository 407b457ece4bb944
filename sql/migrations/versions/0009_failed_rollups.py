"""Which stale days could not be rolled up."""

from sql.migrations.run import run_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add it."""
    run_file("0009_failed_rollups.up.sql")


def downgrade() -> None:
    """Forget it."""
    run_file("0009_failed_rollups.down.sql")
