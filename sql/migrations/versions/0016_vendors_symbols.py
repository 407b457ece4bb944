"""Symbols as vendors write them."""

from sql.migrations.run import run_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Allow them."""
    run_file("0016_vendors_symbols.up.sql")


def downgrade() -> None:
    """Allow them no longer, unless there are some."""
    run_file("0016_vendors_symbols.down.sql")
