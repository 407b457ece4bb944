"""The server of ``deploy/compose.yaml`` without its container: its certificates, its secrets, and who may enter.

Not here: the services on it (``integration/test_deploy``), and what each role may do (``integration/test_roles``).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml
from psycopg import conninfo, sql

from chandlery.database.connections import Database
from chandlery.database.editions.install import install
from chandlery.database.migrate import migrate
from chandlery.ops.roles import DAGSTER, MARKET, PASSWORDS, grant, make_roles
from tests.apache_server import UnavailableError
from tests.compose import DEPLOY
from tests.debian_server import PASSWORD, debian_server

ROLES = ("owner", "pipeline", "reader", "daemon", "dagster", "backup")
#: What the database's command in ``compose.yaml`` says of TLS.
_TLS = ("ssl", "ssl_min_protocol_version", "password_encryption")


@dataclass(frozen=True)
class Deployed:
    """A running server of that kind.

    Attributes:
        address: its host and port.
        authority: the file by which clients know it.
        secrets: the folder with a file for each password.
        admin: connection string of its administrator.
    """

    address: str
    authority: Path
    secrets: Path
    admin: str

    def dsn(self, role: str, database: str = "chandlery") -> str:
        """Return the connection string of a role, which verifies the server's certificate."""
        password = (self.secrets / f"{role}_password").read_text().strip()
        return conninfo.make_conninfo(self.admin, user=f"chandlery_{role}", password=password, dbname=database)

    def make_roles(self) -> None:
        """Make the roles and the databases, as the service ``roles`` does."""
        passwords = {f"chandlery_{role}": (self.secrets / f"{role}_password").read_text().strip() for role in ROLES}
        make_roles(self.admin, passwords)

    def migrate(self) -> None:
        """Make the tables and give the roles their rights, as the service ``migrate`` does."""
        with Database(self.dsn("owner")) as database, database.connection() as owner:
            migrate(owner)
            install(owner)
        grant(self.dsn("owner"))


@contextmanager
def deployed_server() -> Iterator[Deployed]:
    """Run a server with the certificates, the secrets and the rules of ``deploy``; nothing is in it yet.

    Raises:
        UnavailableError: this machine has not what it takes.
    """
    folder = Path(tempfile.mkdtemp(prefix="chandlery-deployed-"))
    try:
        folder.chmod(0o755)  # the server is another user
        secrets = make_secrets(folder / "deploy")
        (secrets / "superuser_password").chmod(0o644)
        (secrets / "superuser_password").write_text(PASSWORD)
        make_certificates(folder, "database", "localhost")

        def prepare(data: Path) -> None:
            shutil.copy(DEPLOY / "database" / "pg_hba.conf", data / "pg_hba.conf")
            with (data / "postgresql.conf").open("a") as settings:
                settings.write(f"ssl_cert_file = '{folder}/key/server.crt'\nssl_key_file = '{folder}/key/server.key'\n")
                settings.write("max_wal_senders = 4\n")
                settings.writelines(f"{name} = '{value}'\n" for name, value in server_options().items() if name in _TLS)

        with debian_server(prepare) as dsn:
            port = conninfo.conninfo_to_dict(dsn)["port"]
            authority = folder / "certificates" / "ca.crt"
            admin = conninfo.make_conninfo(dsn, host="localhost", sslmode="verify-full", sslrootcert=str(authority))
            yield Deployed(f"localhost:{port}", authority, secrets, admin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def roles_on(admin: str, folder: Path) -> Iterator[Deployed]:
    """Make the roles and the databases of ``deploy`` on a server that runs, and drop them again.

    Args:
        admin: connection string of its administrator.
        folder: for the secrets.

    Raises:
        UnavailableError: the server has an installation of Chandlery, which is nobody's to touch.
    """
    with psycopg.connect(admin, autocommit=True) as connection:
        taken = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%(roles)s)"
            " UNION SELECT datname FROM pg_database WHERE datname = ANY(%(databases)s)",
            {"roles": list(PASSWORDS), "databases": [MARKET, DAGSTER]},
        ).fetchall()
        if taken:
            raise UnavailableError(f"an installation has {taken[0][0]} there")
        deployed = Deployed("", folder, make_secrets(folder / "deploy"), admin)
        try:
            deployed.make_roles()
            yield deployed
        finally:
            for name in (MARKET, DAGSTER):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            for name in PASSWORDS:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def make_secrets(folder: Path) -> Path:
    """Run ``make-secrets.sh`` in a copy of ``deploy`` in ``folder``; return the folder of the secrets."""
    folder.mkdir(exist_ok=True)
    shutil.copy(DEPLOY / "make-secrets.sh", folder)
    subprocess.run(["sh", folder / "make-secrets.sh"], check=True, capture_output=True)
    return folder / "secrets"


def make_certificates(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run ``certificates.sh`` in the folders ``authority``, ``certificates`` and ``key`` of ``folder``."""
    places = [folder / name for name in ("authority", "certificates", "key")]
    for place in places:
        place.mkdir(exist_ok=True)
    group = pwd.getpwnam("nobody").pw_gid if os.geteuid() == 0 else os.getegid()
    done = subprocess.run(
        ["sh", DEPLOY / "certificates.sh", *places, str(group), *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if os.geteuid() != 0:
        (folder / "key" / "server.key").chmod(0o600)  # otherwise it would have to belong to root
    return done


def server_options() -> dict[str, str]:
    """Return the settings that the command of the service ``database`` gives to PostgreSQL."""
    command = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["database"]["command"]
    return dict(word.removeprefix("-c").split("=", 1) for word in command[1:])
