"""What the orchestrator has on record of each window."""

from sql.migrations.run import run_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add it."""
    run_file("0011_recorded_windows.up.sql")


def downgrade() -> None:
    """Forget it."""
    run_file("0011_recorded_windows.down.sql")
