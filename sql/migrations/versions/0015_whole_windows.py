"""SQL sees whole windows only."""

from sql.migrations.run import run_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Replace the view."""
    run_file("0015_whole_windows.up.sql")


def downgrade() -> None:
    """Bring the view back as it was."""
    run_file("0015_whole_windows.down.sql")
