"""Which server holds the databases: connection strings and URLs of them, and making a database that is absent.

Not here: connections (``connections``).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo, sql
from pydantic import SecretStr

from chandlery.database.connect import open_connection
from chandlery.database.errors import explain, is_connection_lost
from chandlery.errors import ConfigurationError, StoreError
from chandlery.redaction.text import passwords_of, remember
from chandlery.settings import Settings

EMBEDDED_DATABASE = "chandlery"


def market_dsn(settings: Settings) -> str:
    """Return the libpq connection string of the market database; starts the embedded server where it is the one.

    Raises:
        ConfigurationError: ``CHANDLERY_DATABASE_URL`` is malformed, or there are two passwords.
        StoreError: the embedded server does not start.
    """
    if settings.database_url is None:
        if settings.database_password is not None:
            raise ConfigurationError("CHANDLERY_DATABASE_PASSWORD needs CHANDLERY_DATABASE_URL, which says whose it is")
        return embedded_dsn(settings.embedded_data, EMBEDDED_DATABASE)
    return _parse("DATABASE", settings.database_url, settings.database_password)


def _parse(name: str, given: SecretStr, password: SecretStr | None) -> str:
    """Return the connection string of the URL ``CHANDLERY_<name>_URL``, with the password that came by itself."""
    url, variable = given.get_secret_value(), f"CHANDLERY_{name}_URL"
    # SQLAlchemy's spelling of the same thing is common in .env files.
    scheme, _, rest = url.partition("://")
    if scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"{variable} is not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
        )
    _refuse_unescaped(variable, rest)
    try:
        dsn = conninfo.make_conninfo(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"{variable} cannot be parsed as a PostgreSQL URL; write % within the password as %25"
        ) from None
    remember(*passwords_of(url))
    if password is None:
        return dsn
    if conninfo.conninfo_to_dict(dsn).get("password"):
        raise ConfigurationError(
            f"{variable} holds a password, and CHANDLERY_{name}_PASSWORD is another; keep one of them"
        )
    remember(password.get_secret_value())
    return conninfo.make_conninfo(dsn, password=password.get_secret_value())


def _refuse_unescaped(variable: str, rest: str) -> None:
    """Raise where libpq would take a part of the password for something else, and repeat it in an error."""
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    if rest.partition("?")[0].count("@") > 1:
        raise ConfigurationError(f"{variable} has more than one @; write one within the password as %40")
    if "@" in rest and "@" not in authority and ":" in authority:
        raise ConfigurationError(
            f"{variable} has an @ after the host's end; write / within the password as %2F, and ? as %3F"
        )


def embedded_dsn(data: Path, database: str) -> str:
    """Return the libpq connection string of a database of the embedded server in ``data``, which is started.

    Raises:
        ConfigurationError: this system cannot run it.
        StoreError: it does not start.
    """
    try:
        from chandlery.database import embedded  # noqa: PLC0415 - only where it is used
    except ModuleNotFoundError as error:  # of the standard library of a Unix
        raise ConfigurationError(
            f"the embedded server runs on Linux and macOS ({error}); name a PostgreSQL in CHANDLERY_DATABASE_URL"
        ) from None
    socket = embedded.start(data)
    return conninfo.make_conninfo(host=socket, port=embedded.PORT, user=embedded.ROLE, dbname=database)


def dagster_dsn(settings: Settings) -> str:
    """Return the libpq connection string of Dagster's own database, which stands beside the market's if nobody says.

    Raises:
        ConfigurationError: a URL is malformed.
        StoreError: the embedded server does not start.
    """
    if settings.dagster_url is not None:
        return _parse("DAGSTER", settings.dagster_url, settings.dagster_password)
    if settings.dagster_password is not None:
        raise ConfigurationError("CHANDLERY_DAGSTER_PASSWORD needs CHANDLERY_DAGSTER_URL, which says whose it is")
    market = market_dsn(settings)
    return conninfo.make_conninfo(market, dbname=f"{database_name(market)}_dagster")


def database_name(dsn: str) -> str | None:
    """Return the name of the database in a libpq connection string; None where it has none."""
    name = conninfo.conninfo_to_dict(dsn).get("dbname")
    return str(name) if name else None


def without_password(dsn: str) -> str:
    """Return a libpq connection string without its password."""
    return conninfo.make_conninfo(**{name: value for name, value in _options(dsn).items() if name != "password"})


def sqlalchemy_url(dsn: str) -> str:
    """Return a libpq connection string as a URL for SQLAlchemy that names psycopg2, password included.

    A bare ``postgresql://`` would mean another driver since SQLAlchemy 2.1.
    """
    options = _options(dsn)
    user, password, name = options.pop("user", ""), options.pop("password", ""), options.pop("dbname", "")
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    server = _server(options)
    query = f"?{urlencode(options)}" if options else ""
    return f"postgresql+psycopg2://{login}@{server}/{quote(name, safe='')}{query}"


def hide_password(dsn: str) -> str:
    """Return a libpq connection string as a URL to be shown, with asterisks for what is secret."""
    options = {name: "***" if "password" in name else value for name, value in _options(dsn).items()}
    user, password, name = options.pop("user", ""), options.pop("password", ""), options.pop("dbname", "")
    user = quote(user, safe="")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    server = _server(options)
    query = f"?{urlencode(options, safe='/*')}" if options else ""
    return f"postgresql://{login}{server}/{quote(name, safe='')}{query}"


def ensure_database(dsn: str) -> None:
    """Create the database that ``dsn`` names, where it is absent.

    Raises:
        StoreError: it is absent and this role may not create it.
        StoreUnavailableError: the server cannot be reached, or refuses this role.
    """
    failure = _find_failure(dsn)
    if failure is None:
        return
    if failure.sqlstate not in {"3D000", None}:
        raise failure
    name = database_name(dsn)
    try:
        with psycopg.connect(conninfo.make_conninfo(dsn, dbname="postgres"), autocommit=True) as connection:
            # Asked, because not every system lets us know why the server refused.
            listed = connection.execute("SELECT FROM pg_database WHERE datname = %(name)s", {"name": name})
            if listed.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))
                return
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return  # somebody else was faster; which of the two the server says is a matter of moments
    except psycopg.Error as error:
        if failure.sqlstate is None:
            raise failure from None
        if is_connection_lost(error):
            raise explain(error, dsn) from None
        text = (
            f"database {name!r} is absent and cannot be created ({explain(error, dsn)}); "
            f"ask your administrator for: CREATE DATABASE {name}"
        )
        raise StoreError(text, sqlstate=failure.sqlstate) from None
    failure = _find_failure(dsn)  # it is there: somebody may have made it since
    if failure is not None:
        raise failure


def find_tables_in_public(dsn: str) -> None:
    """Let every session of this role in the database that ``dsn`` names look for tables in ``public``, come what may.

    For a database of ours whose user says nothing about where its tables are. What the server or the role prefers
    elsewhere stays.

    Raises:
        StoreError: the server refuses.
    """
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            if connection.execute("SELECT current_schema()").fetchone() == ("public",):
                return
            # Also in this very session, which a pooler may lend again.
            connection.execute("SET search_path = public")
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path = public").format(name))
    except psycopg.Error as error:
        raise explain(error, dsn) from None


def _find_failure(dsn: str) -> StoreError | None:
    """Return why no connection can be made; None where one can."""
    try:
        open_connection(dsn).close()
    except psycopg.OperationalError as error:
        return explain(error, dsn)
    return None


def _options(dsn: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if value is not None}


def _server(options: dict[str, str]) -> str:
    """Take host and port out of ``options`` and return them as a part of a URL; a socket's folder stays an option."""
    host, port = options.pop("host", ""), options.pop("port", "")
    if host.startswith("/"):
        rest = dict(options)
        options.clear()
        options.update({"host": host} | rest)
        host = ""
    return host + (f":{port}" if port else "")
