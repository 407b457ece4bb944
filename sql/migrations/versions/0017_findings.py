"""What the gate noticed and did not reject, and which bars a person released."""

from sql.migrations.run import run_file

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the tables."""
    run_file("0017_findings.up.sql")


def downgrade() -> None:
    """Drop them."""
    run_file("0017_findings.down.sql")
