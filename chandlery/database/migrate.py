"""Brings a database to this version's schema, and back. The schema itself is in ``sql/migrations``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from chandlery.core.own_packages import SQL, load_own
from chandlery.database.connect import TRANSACTION_SETTINGS, open_another
from chandlery.database.errors import explain
from chandlery.database.locks import hold_lock
from chandlery.database.named_queries import query
from chandlery.errors import StoreError

if TYPE_CHECKING:
    import sqlalchemy
    from alembic.config import Config

#: Serialises migrations of several processes; any fixed number will do.
_MIGRATION_LOCK = 0x63616E646C65
#: The newest revision in ``sql/migrations``, which this version of the code needs.
REVISION = "0018"


def migrate(connection: psycopg.Connection, revision: str = "head") -> None:
    """Upgrade (or, for an older ``revision``, downgrade) the schema. Does nothing if it is there already.

    All steps are one transaction: if one of them refuses, the schema and what it holds are as they were.

    Args:
        connection: in autocommit mode, of a role that may create schemas.
        revision: ``head``, ``base`` or a revision's number.

    Raises:
        StoreError: the server refused a statement, or the schema is newer than this version; nothing was changed.
    """
    current = current_revision(connection) or ""
    wanted = {"head": REVISION, "base": ""}.get(revision, revision)
    if current > REVISION:
        raise StoreError(
            f"the database's schema is at {current}, which is newer than this version's {REVISION}; update Chandlery"
        )
    if current == wanted:
        return
    import sqlalchemy  # noqa: PLC0415 - slow to import and rarely needed

    with open_another(connection) as holder, hold_lock(holder, _MIGRATION_LOCK):
        current = current_revision(connection) or ""  # somebody else may have been faster
        if not wanted and current:
            _refuse_to_destroy(connection)
        try:
            with _transaction(connection) as bind:
                _step(bind, current, wanted)
        except sqlalchemy.exc.SQLAlchemyError as error:
            reason = explain(error, connection.info.dsn) if isinstance(error, sqlalchemy.exc.DBAPIError) else error
            raise StoreError(f"the database schema could not be migrated to {revision}: {reason}") from error


def _refuse_to_destroy(connection: psycopg.Connection) -> None:
    is_in_use = connection.execute(query("database/is_in_use")).fetchone() == (True,)
    if not is_in_use and connection.execute("SELECT to_regclass('market.halt')").fetchone() != (None,):
        is_in_use = connection.execute("SELECT EXISTS (SELECT FROM market.halt)").fetchone() == (True,)
    if is_in_use:
        raise StoreError(
            "the schema is not removed, because it holds bars, halts or quarantined rows; drop the database where that"
            " is what you want"
        )


def current_revision(connection: psycopg.Connection) -> str | None:
    """Return the schema's revision, or None where there is no schema yet."""
    table = connection.execute(query("database/version_table")).fetchone()
    if table is None or table[0] is None:
        return None
    place = sql.Identifier(*table[0].split("."))
    row = connection.execute(sql.SQL("SELECT version_num FROM {}").format(place)).fetchone()
    return str(row[0]) if row else None


@contextmanager
def _transaction(connection: psycopg.Connection) -> Iterator[sqlalchemy.Connection]:
    """Yield another connection to where ``connection`` leads, in a transaction."""
    import sqlalchemy  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    def connect() -> psycopg.Connection:
        another = open_another(connection)
        another.autocommit = False
        return another

    engine = sqlalchemy.create_engine("postgresql+psycopg://", poolclass=StaticPool, creator=connect)
    try:
        with engine.begin() as bind:
            bind.exec_driver_sql(TRANSACTION_SETTINGS)
            yield bind
    finally:
        engine.dispose()


def _step(bind: sqlalchemy.Connection, current: str, wanted: str) -> None:
    """Upgrade or downgrade step by step, from one revision to another; none is an empty text."""
    from alembic import command  # noqa: PLC0415 - slow to import and rarely needed

    _find_version_table(bind)
    config = _config()
    config.attributes["connection"] = bind
    while current < wanted:
        current = _number(int(current or 0) + 1)
        command.upgrade(config, current)
        _run_beside(bind, current, "restore")
    while current > wanted:
        previous = _number(int(current) - 1)
        if previous:
            _run_beside(bind, current, "keep")
            command.downgrade(config, previous)
        else:
            # The schemas are dropped, and with them the table from which Alembic would take its number.
            _run_beside(bind, current, "down")
        current = previous


def _number(step: int) -> str:
    return f"{step:04}" if step else ""


def _run_beside(bind: sqlalchemy.Connection, revision: str, purpose: str) -> None:
    """Run ``<revision>_*.<purpose>.sql`` where there is such a file.

    Before a step back, ``keep`` sets aside what nobody could find out again; ``restore`` brings it back.
    """
    for file in (SQL / "migrations").glob(f"{revision}_*.{purpose}.sql"):
        bind.exec_driver_sql(file.read_text(encoding="utf-8").replace("%", "%%"))


def _find_version_table(bind: sqlalchemy.Connection) -> None:
    """Bring the table of the revision to where Alembic expects it, or let Alembic make it."""
    if bind.exec_driver_sql("SELECT to_regnamespace('ops')").scalar() is None:
        bind.exec_driver_sql("CREATE SCHEMA ops")
    elif bind.exec_driver_sql(query("database/version_table").as_string()).scalar() == "public.schema_version":
        bind.exec_driver_sql("ALTER TABLE public.schema_version SET SCHEMA ops")


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    load_own("sql")  # the revisions import it
    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations").replace("%", "%%"))
    return config
