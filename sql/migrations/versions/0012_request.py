"""Files of a person's own, and the requests of what was rejected."""

from sql.migrations.run import run_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add it."""
    run_file("0012_request.up.sql")


def downgrade() -> None:
    """Forget it."""
    run_file("0012_request.down.sql")
