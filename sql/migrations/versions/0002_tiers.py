"""The tiers: files of the lake, and which windows of bars have left the store."""

from sql.migrations.run import run_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the manifest and the windows, and enter the bars there are."""
    run_file("0002_tiers.up.sql")


def downgrade() -> None:
    """Drop them, unless bars are in the lake alone."""
    run_file("0002_tiers.down.sql")
