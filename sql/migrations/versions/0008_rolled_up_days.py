"""Which days were rolled up from minutes."""

from sql.migrations.run import run_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add it."""
    run_file("0008_rolled_up_days.up.sql")


def downgrade() -> None:
    """Forget it."""
    run_file("0008_rolled_up_days.down.sql")
