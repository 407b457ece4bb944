"""Where things are and how to reach the database: read from the environment once, at the edge.

Not here: which instruments and providers there are (``config``), and any secret of a provider (``providers.catalog``).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from chandlery.errors import ConfigurationError
from chandlery.redaction.text import remember

#: No secret is longer, in characters.
_LONGEST_SECRET = 65_536
_NOWHERE = "the working directory is gone; change to another one, and try again"


#: The environment variable that sets each field, and what makes the field's value of its text.
VARIABLES = {
    "home_override": ("CHANDLERY_HOME", Path),
    "config_override": ("CHANDLERY_CONFIG", Path),
    "database_url": ("CHANDLERY_DATABASE_URL", SecretStr),
    "database_password": ("CHANDLERY_DATABASE_PASSWORD", SecretStr),
    "dagster_url": ("CHANDLERY_DAGSTER_URL", SecretStr),
    "dagster_password": ("CHANDLERY_DAGSTER_PASSWORD", SecretStr),
    "lake_override": ("CHANDLERY_LAKE", str),
    "landing_override": ("CHANDLERY_LANDING", str),
    "cache_override": ("CHANDLERY_CACHE", Path),
    "cache_memory_override": ("CHANDLERY_CACHE_MEMORY", str),
    "cache_disk_override": ("CHANDLERY_CACHE_DISK", str),
    "redis_url": ("CHANDLERY_REDIS_URL", SecretStr),
    "redis_password": ("CHANDLERY_REDIS_PASSWORD", SecretStr),
}
#: How much the cache may take where nothing is said of it.
_CACHE_MEMORY, _CACHE_DISK = "512MB", "4GB"
_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)\s?(?P<unit>[KMGT]?)(?:I?B)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of an installation. What is not given comes from the environment; an empty variable is none.

    What may hold a secret can also come from a file, which the variable with ``_FILE`` after its name names.

    Attributes:
        project: the folder with ``config/``; by default the nearest folder from the working directory upwards that has
            ``config/universe.yaml``, otherwise the checkout this package was imported from. A package that was not
            imported from a checkout takes the folder that holds the home where ``CHANDLERY_HOME`` is set, otherwise
            the working directory.
        home: where the embedded database, Dagster's files and reports live; ``.chandlery`` in the project by default.
        database_url: a PostgreSQL 15 or newer (``postgresql://user:password@host/name``); without it the embedded
            server is used.
        database_password: of the role in ``database_url``, where that holds none.
        dagster_url: the database of Dagster's own records; by default it stands beside the market's.
        dagster_password: of the role in ``dagster_url``, where that holds none.
        lake: where bars are archived, a folder or ``s3://bucket/prefix``; ``lake`` in the home by default.
        landing: where answers of providers are kept before they are validated, likewise; ``landing`` in the home by
            default.
        cache: the folder of tables that were read once and that all processes share; ``cache`` in the home by default.
        cache_memory: how many bytes of such tables a process keeps in memory; 0 for none.
        cache_disk: how many bytes may be in ``cache``; 0 for none.
        redis_url: a Redis or Valkey that several machines share as a cache; none by default.
        redis_password: for ``redis_url``, where that holds none.
        config: the folder with ``universe.yaml`` and ``providers.yaml``; ``config`` in the project by default.
    """

    home_override: Path | None = None
    config_override: Path | None = None
    database_url: SecretStr | None = None
    database_password: SecretStr | None = None
    dagster_url: SecretStr | None = None
    dagster_password: SecretStr | None = None
    lake_override: str | None = None
    landing_override: str | None = None
    cache_override: Path | None = None
    cache_memory_override: str | None = None
    cache_disk_override: str | None = None
    redis_url: SecretStr | None = None
    redis_password: SecretStr | None = None
    project: Path = field(init=False)

    def __post_init__(self) -> None:
        """Read the environment, and find the project.

        Raises:
            ConfigurationError: a secret is given twice, or its file cannot be read; or there is no working directory.
        """
        by_hand = {name for name in VARIABLES if getattr(self, name) is not None}
        for field_name, (variable, kind) in VARIABLES.items():
            # The environment's password is that of the environment's address, and of no other.
            if {field_name, field_name.replace("_password", "_url")} & by_hand:
                continue
            # An empty variable is none: otherwise `CHANDLERY_HOME=$UNSET` would mean the working directory.
            if value := read_secret(variable) if kind is SecretStr else os.environ.get(variable):
                object.__setattr__(self, field_name, kind(value))
        object.__setattr__(self, "project", _find_project(self.home_override))

    @property
    def own_dagster_password(self) -> SecretStr | None:
        """The password for Dagster's database, where it came by itself and not within an address."""
        return self.database_password if self.dagster_url is None else self.dagster_password

    @cached_property
    def landing(self) -> str:
        """Folder or ``s3://bucket/prefix`` of what providers answered."""
        return self.landing_override or str(self.home / "landing")

    @cached_property
    def lake(self) -> str:
        """Folder or ``s3://bucket/prefix`` of the archived bars."""
        return self.lake_override or str(self.home / "lake")

    @cached_property
    def cache(self) -> Path:
        """Folder of the disk's cache, be it made yet or not."""
        return _absolute("CHANDLERY_CACHE", self.cache_override or self.home / "cache")

    @cached_property
    def cache_memory(self) -> int:
        """The most bytes that the cache takes in the memory of a process."""
        return _bytes("CHANDLERY_CACHE_MEMORY", self.cache_memory_override or _CACHE_MEMORY)

    @cached_property
    def cache_disk(self) -> int:
        """The most bytes that the cache takes on disk."""
        return _bytes("CHANDLERY_CACHE_DISK", self.cache_disk_override or _CACHE_DISK)

    @cached_property
    def home(self) -> Path:
        """Folder for everything this installation writes."""
        return _absolute("CHANDLERY_HOME", self.home_override or self.project / ".chandlery")

    @cached_property
    def embedded_data(self) -> Path:
        """Folder of the embedded server's data, be it made yet or not."""
        return self.home / "postgres"

    @cached_property
    def config(self) -> Path:
        """Folder with the configuration files."""
        return _absolute("CHANDLERY_CONFIG", self.config_override or self.project / "config")


def read_secret(name: str) -> str | None:
    """Return the secret that the variable ``name`` holds, or the file that ``<name>_FILE`` names; None without either.

    A file holds the secret in one line and nothing else. What is read is hidden in texts from then on.

    Raises:
        ConfigurationError: both variables are set, or the file cannot be read or holds no secret.
    """
    value, place = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if not place:
        return value or None
    if value:
        raise ConfigurationError(f"{name} and {name}_FILE are both set; keep one of them")
    try:
        with Path(place).open(encoding="utf-8") as file:
            secret = file.read(_LONGEST_SECRET + 1).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(
            f"{name}_FILE names {place}, which cannot be read ({reason}); it has to hold the secret in one line"
        ) from None
    if not secret.strip() or len(secret.splitlines()) > 1 or len(secret) > _LONGEST_SECRET:
        raise ConfigurationError(
            f"{name}_FILE names {place}, which has to hold the secret in one line and nothing else"
        )
    remember(secret)
    return secret


def _bytes(name: str, given: str) -> int:
    """Return the number of bytes that the variable ``name`` means; units are powers of 1024.

    Raises:
        ConfigurationError: it is no size.
    """
    size = _SIZE.fullmatch(given.strip())
    if size is None:
        raise ConfigurationError(
            f"{name}={given!r} is no size; give a number with KB, MB, GB or TB after it, such as 512MB, or 0 for none"
        )
    power = " KMGT".index(size["unit"].upper() or " ")
    return int(Decimal(size["number"]) * 1024**power)


def _absolute(name: str, given: Path) -> Path:
    """Return the path that the variable ``name`` means.

    Raises:
        ConfigurationError: it begins with a home that nobody has, or the working directory is gone.
    """
    try:
        return given.expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(f"{name}={given}: there is no such user's home; write the whole path") from None
    except FileNotFoundError:
        raise ConfigurationError(_NOWHERE) from None


def _find_project(home: Path | None) -> Path:
    try:
        start = Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError(_NOWHERE) from None
    for folder in (start, *start.parents):
        if (folder / "config" / "universe.yaml").is_file():
            return folder
    checkout = Path(__file__).parent.parent
    if (checkout / "config" / "universe.yaml").is_file():
        return checkout
    return _absolute("CHANDLERY_HOME", home).parent if home else start
