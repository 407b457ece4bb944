"""Which server holds the databases: connection strings, and making a database that is absent.

Not here: connections that are kept (``connections``).
"""

from __future__ import annotations

import psycopg
from psycopg import conninfo, sql

from chandlery.errors import ConfigurationError, StoreError
from chandlery.settings import Settings

EMBEDDED_DATABASE = "chandlery"


def market_dsn(settings: Settings) -> str:
    """Return the libpq connection string of the market database; starts the embedded server where it is the one."""
    if settings.database_url is None:
        from chandlery.database import embedded  # noqa: PLC0415 - only where it is used

        socket = embedded.start(settings.home / "postgres")
        return conninfo.make_conninfo(host=socket, user="postgres", dbname=EMBEDDED_DATABASE)
    url = settings.database_url.get_secret_value()
    # SQLAlchemy's spelling of the same thing is common in .env files.
    scheme, _, rest = url.partition("://")
    if scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            "CHANDLERY_DATABASE_URL is not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
        )
    try:
        return conninfo.make_conninfo(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        raise ConfigurationError("CHANDLERY_DATABASE_URL cannot be parsed as a PostgreSQL URL") from None


def dagster_dsn(settings: Settings) -> str:
    """Return the libpq connection string of Dagster's own database, which stands beside the market's."""
    market = market_dsn(settings)
    return conninfo.make_conninfo(market, dbname=f"{conninfo.conninfo_to_dict(market)['dbname']}_dagster")


def ensure_database(dsn: str) -> None:
    """Create the database that ``dsn`` names, where it is absent.

    Raises:
        StoreError: it is absent and this role may not create it.
    """
    wanted = conninfo.conninfo_to_dict(dsn)["dbname"]
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise StoreError(f"the database cannot be reached: {without_secret(str(error), dsn)}") from None
    else:
        return
    maintenance = conninfo.make_conninfo(dsn, dbname="postgres")
    try:
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(wanted))))
    except psycopg.errors.DuplicateDatabase:
        pass
    except psycopg.Error as error:
        raise StoreError(
            f"database {wanted!r} is absent and cannot be created ({without_secret(str(error), dsn)}); "
            f"ask your administrator for: CREATE DATABASE {wanted}"
        ) from None


def without_secret(text: str, dsn: str) -> str:
    """Return ``text`` without the password in ``dsn``."""
    password = conninfo.conninfo_to_dict(dsn).get("password")
    return text.replace(str(password), "***") if password else text
