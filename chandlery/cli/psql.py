"""``psql``: PostgreSQL's own terminal on the market database."""

from __future__ import annotations

from typing import Annotated

import typer

from chandlery.database.client import run_psql
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

_EPILOG = """Examples:

chandlery psql

chandlery psql --command "SELECT symbol, count(*) FROM market.ohlcv WHERE timeframe = '1d' GROUP BY symbol"

chandlery psql --csv --command "SELECT * FROM market.ohlcv LIMIT 5" --output bars.csv
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["--help"]}
    app.command("psql", epilog=_EPILOG, context_settings=settings)(run)


def run(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="...", help="Anything that psql takes; `man psql` lists it.")
    ] = None,
) -> None:
    """Open psql on the market database. The embedded server runs as long as psql does.

    It connects as the owner of the tables: look with SELECT, and leave changes to the other commands. Times are shown
    in UTC. The exit code is psql's.
    """
    warehouse = Warehouse.open(Settings())
    try:
        raise typer.Exit(run_psql(warehouse.database.dsn, arguments or []))
    finally:
        warehouse.close()
