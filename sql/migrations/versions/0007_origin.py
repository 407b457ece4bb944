"""Where each publication comes from."""

from sql.migrations.run import run_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add it."""
    run_file("0007_origin.up.sql")


def downgrade() -> None:
    """Forget it."""
    run_file("0007_origin.down.sql")
