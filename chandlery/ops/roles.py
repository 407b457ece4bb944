"""The database roles of an installation in containers: a role for each service, with no more rights than it needs.

``python -m chandlery.ops.roles make`` makes them and the two databases, as a superuser; ``... grant`` gives them their
rights, as the owner of the schema and after each migration. Both are safe to run again. What each role may do is in
``sql/roles``, for people to read and run. Not here: roles of a server that somebody else looks after (docs/servers.md).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import conninfo, sql

from chandlery.core.own_packages import SQL
from chandlery.database.connect import open_connection
from chandlery.database.dsn import market_dsn
from chandlery.database.errors import explain
from chandlery.errors import ChandleryError, ConfigurationError
from chandlery.settings import Settings, read_secret

#: Each role, and the variable that holds its password or, with ``_FILE`` after its name, names the file of it.
PASSWORDS = {
    f"chandlery_{name}": f"CHANDLERY_{name.upper()}_ROLE_PASSWORD"
    for name in ("owner", "pipeline", "reader", "daemon", "dagster", "backup")
}
MARKET, DAGSTER = "chandlery", "chandlery_dagster"


def make_roles(dsn: str, passwords: Mapping[str, str]) -> None:
    """Make the roles and databases, and set the passwords. Idempotent.

    Args:
        dsn: libpq connection string of a superuser, to any database of the server.
        passwords: by role, of all roles. The server gets to see none of them, only what it needs to check them.

    Raises:
        StoreError: the server cannot be reached or refuses.
    """
    try:
        with open_connection(dsn) as connection:
            connection.execute(_script("roles"))
            for role, password in passwords.items():
                _set_password(connection, role, password)
            for name in (MARKET, DAGSTER):
                known = connection.execute("SELECT FROM pg_database WHERE datname = %(name)s", {"name": name})
                if known.fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with open_connection(conninfo.make_conninfo(dsn, dbname=MARKET)) as connection:
            connection.execute(_script("database"))
    except psycopg.Error as error:
        raise explain(error, dsn) from None


def grant(dsn: str) -> None:
    """Give the roles their rights on the tables of the market's database. Idempotent.

    Args:
        dsn: libpq connection string of the role ``chandlery_owner``, to a database with the schema.

    Raises:
        StoreError: the server cannot be reached or refuses.
    """
    try:
        with open_connection(dsn) as connection:
            connection.execute(_script("grants"))
    except psycopg.Error as error:
        raise explain(error, dsn) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the roles or give them their rights; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given not in (["make"], ["grant"]):
        print("usage: python -m chandlery.ops.roles make | grant", file=sys.stderr)
        return 2
    try:
        dsn = market_dsn(Settings())
        if given == ["make"]:
            make_roles(dsn, {role: _read_password(variable) for role, variable in PASSWORDS.items()})
            print(f"The roles are there: {', '.join(PASSWORDS)}.")
        else:
            grant(dsn)
            print("The roles have their rights.")
    except ChandleryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _read_password(variable: str) -> str:
    password = read_secret(variable)
    if not password:
        raise ConfigurationError(f"{variable}_FILE names no file; each role needs a password of its own")
    return password


def _set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    # Encrypted here, so that neither the server's log nor its statistics can hold the password.
    secret = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(secret)))


def _script(name: str) -> bytes:
    return (SQL / "roles" / f"{name}.sql").read_bytes()


if __name__ == "__main__":
    sys.exit(main())
