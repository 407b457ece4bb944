"""Where things are and how to reach the database: read from the environment once, at the edge.

Not here: which instruments and providers there are (``config``), and any secret of a provider (``providers.catalog``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from chandlery.errors import ConfigurationError

_NOWHERE = "the working directory is gone; change to another one, and try again"


#: The environment variable that sets each field, and what makes the field's value of its text.
VARIABLES = {
    "home_override": ("CHANDLERY_HOME", Path),
    "config_override": ("CHANDLERY_CONFIG", Path),
    "database_url": ("CHANDLERY_DATABASE_URL", SecretStr),
    "lake_override": ("CHANDLERY_LAKE", str),
    "landing_override": ("CHANDLERY_LANDING", str),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of an installation. What is not given comes from the environment; an empty variable is none.

    Attributes:
        project: the folder with ``config/``; by default the nearest folder from the working directory upwards that has
            ``config/universe.yaml``, otherwise the checkout this package was imported from. A package that was not
            imported from a checkout takes the folder that holds the home where ``CHANDLERY_HOME`` is set, otherwise
            the working directory.
        home: where the embedded database, Dagster's files and reports live; ``.chandlery`` in the project by default.
        database_url: a PostgreSQL 15 or newer (``postgresql://user:password@host/name``); without it the embedded
            server is used.
        lake: where bars are archived, a folder or ``s3://bucket/prefix``; ``lake`` in the home by default.
        landing: where answers of providers are kept before they are validated, likewise; ``landing`` in the home by
            default.
        config: the folder with ``universe.yaml`` and ``providers.yaml``; ``config`` in the project by default.
    """

    home_override: Path | None = None
    config_override: Path | None = None
    database_url: SecretStr | None = None
    lake_override: str | None = None
    landing_override: str | None = None
    project: Path = field(init=False)

    def __post_init__(self) -> None:
        """Read the environment, and find the project."""
        for field_name, (variable, kind) in VARIABLES.items():
            # An empty variable is none: otherwise `CHANDLERY_HOME=$UNSET` would mean the working directory.
            if getattr(self, field_name) is None and (value := os.environ.get(variable)):
                object.__setattr__(self, field_name, kind(value))
        object.__setattr__(self, "project", _find_project(self.home_override))

    @cached_property
    def landing(self) -> str:
        """Folder or ``s3://bucket/prefix`` of what providers answered."""
        return self.landing_override or str(self.home / "landing")

    @cached_property
    def lake(self) -> str:
        """Folder or ``s3://bucket/prefix`` of the archived bars."""
        return self.lake_override or str(self.home / "lake")

    @cached_property
    def home(self) -> Path:
        """Folder for everything this installation writes."""
        return _absolute("CHANDLERY_HOME", self.home_override or self.project / ".chandlery")

    @cached_property
    def config(self) -> Path:
        """Folder with the configuration files."""
        return _absolute("CHANDLERY_CONFIG", self.config_override or self.project / "config")


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
