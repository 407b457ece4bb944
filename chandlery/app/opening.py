"""Opens the warehouse of an installation that was set up. Not here: setting it up (``installation``)."""

from __future__ import annotations

from chandlery.database.migrate import REVISION, current_revision
from chandlery.errors import StoreError
from chandlery.ops.move.unfinished import is_unfinished
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse


def open_warehouse(settings: Settings) -> Warehouse:
    """Return the installation's warehouse.

    Raises:
        StoreError: its database is unreachable, has no schema yet, or that of another version of Chandlery.
    """
    warehouse = Warehouse.open(settings)
    try:
        _check_schema(warehouse)
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def _check_schema(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        revision = current_revision(connection)
        unfinished = revision is not None and is_unfinished(connection)
    if revision is None:
        raise StoreError("the database has no schema yet; run `chandlery init`")
    if revision != REVISION:
        raise StoreError(
            f"the database's schema is at {revision} and this version needs {REVISION}; run `chandlery init`"
        )
    if unfinished:
        raise StoreError(
            "a move into this database is not complete; run the same `chandlery move` again, where it came from"
        )
