"""Brings a database to this version's schema, and back. The schema itself is in ``sql/migrations``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import sqlalchemy
from sqlalchemy.pool import StaticPool

from chandlery.core.own_packages import SQL, load_own
from chandlery.database.errors import explain
from chandlery.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

#: Serialises migrations of several processes; any fixed number will do.
_MIGRATION_LOCK = 0x63616E646C65
#: The newest revision in ``sql/migrations``, which this version of the code needs.
REVISION = "0008"


def migrate(connection: psycopg.Connection, revision: str = "head") -> None:
    """Upgrade (or, for an older ``revision``, downgrade) the schema. Does nothing if it is there already.

    Args:
        connection: in autocommit mode, of a role that may create schemas.
        revision: ``head``, ``base`` or a revision's number.

    Raises:
        StoreError: the server refused a statement; that revision was not applied.
    """
    from alembic import command  # noqa: PLC0415 - slow to import and rarely needed

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        poolclass=StaticPool,
        creator=lambda: psycopg.connect(connection.info.dsn, password=connection.info.password),
    )
    connection.execute("SELECT pg_advisory_lock(%(lock)s)", {"lock": _MIGRATION_LOCK})
    try:
        with engine.connect() as bind:
            config = _config()
            config.attributes["connection"] = bind
            current = current_revision(connection) or ""
            is_older = revision == "base" or (revision != "head" and revision < current)
            (command.downgrade if is_older else command.upgrade)(config, revision)
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = explain(error, connection.info.dsn) if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        raise StoreError(f"the database schema could not be migrated to {revision}: {reason}") from error
    finally:
        engine.dispose()
        connection.execute("SELECT pg_advisory_unlock(%(lock)s)", {"lock": _MIGRATION_LOCK})


def current_revision(connection: psycopg.Connection) -> str | None:
    """Return the schema's revision, or None where there is no schema yet."""
    table = connection.execute("SELECT to_regclass('public.schema_version')").fetchone()
    if table is None or table[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM public.schema_version").fetchone()
    return str(row[0]) if row else None


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    load_own("sql")  # the revisions import it
    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations").replace("%", "%%"))
    return config
