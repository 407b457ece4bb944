"""Which instruments universe.yaml lists."""

from sql.migrations.run import run_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add it."""
    run_file("0010_universe.up.sql")


def downgrade() -> None:
    """Forget it."""
    run_file("0010_universe.down.sql")
