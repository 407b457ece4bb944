"""Names of tables and columns."""

from sql.migrations.run import run_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Rename them."""
    run_file("0006_names.up.sql")


def downgrade() -> None:
    """Give them their former names."""
    run_file("0006_names.down.sql")
