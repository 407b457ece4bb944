"""The spine: instruments, bars, revisions, coverage, quarantine."""

from sql.migrations.run import run_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the schemas ``market`` and ``ops``."""
    run_file("0001_spine.up.sql")


def downgrade() -> None:
    """Drop the schemas ``market`` and ``ops`` with all they hold."""
    run_file("0001_spine.down.sql")
