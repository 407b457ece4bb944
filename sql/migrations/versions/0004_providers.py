"""Providers: call budgets, what was asked, the landing zone, gaps and halts."""

from sql.migrations.run import run_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    run_file("0004_providers.up.sql")


def downgrade() -> None:
    """Drop them."""
    run_file("0004_providers.down.sql")
