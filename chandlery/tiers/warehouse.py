"""The warehouse: a market database and the lake that its older bars move to, together.

Whoever reads, publishes, archives or restores bars needs both. Not here: either of them (``database``, ``lake``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from chandlery.core.calendar_changes import CalendarChanges, use_changes
from chandlery.core.calendar_keeping import keep_calendars
from chandlery.database.connections import Database
from chandlery.database.dsn import hide_password, market_dsn
from chandlery.database.editions.base import Edition
from chandlery.errors import StoreError
from chandlery.lake.identity import claim_lake
from chandlery.lake.store import Lake
from chandlery.settings import Settings

if TYPE_CHECKING:
    from chandlery.core.calendars import Calendar


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A market database and its lake. Safe to share between threads.

    Attributes:
        database: holds the bars of recent windows, and knows which window is where.
        lake: holds the archived bars.
    """

    database: Database
    lake: Lake

    @classmethod
    def open(cls, settings: Settings) -> Warehouse:
        """Return the installation's warehouse; starts the embedded server where no other is configured.

        What ``calendars.yaml`` says holds in this process from then on; it is read when a calendar is first needed.

        Raises:
            ConfigurationError: ``CHANDLERY_DATABASE_URL`` or ``CHANDLERY_LAKE`` is malformed.
            StoreError: the embedded server was never set up, or does not start.
        """
        if settings.database_url is None and not settings.embedded_data.exists():
            raise StoreError(
                f"there is no installation in {settings.home}: run `chandlery init`, or let CHANDLERY_HOME name the"
                " home of one"
            )
        use_changes(partial(_read_changes, settings.config / "calendars.yaml"))
        keep_calendars(partial(_keep, settings.home / "calendars"))
        return cls(Database(market_dsn(settings)), Lake(settings.lake))

    @property
    def edition(self) -> Edition:
        """The edition of the database's server."""
        return self.database.edition

    def connection(self) -> AbstractContextManager[psycopg.Connection]:
        """Lend a connection to the database; see ``Database.connection``."""
        return self.database.connection()

    def claim_lake(self) -> None:
        """Make sure that the lake is the database's; see ``lake.identity``.

        Raises:
            LakeError: the database has another lake, or the lake belongs to another database.
        """
        with self.connection() as connection:
            claim_lake(connection, self.lake)

    def describe(self) -> str:
        """Return which database and which lake, without any password."""
        return f"database {hide_password(self.database.dsn)}, lake {self.lake.root}"

    def close(self) -> None:
        """Close the connections to the database that nobody uses."""
        self.database.close()


def _read_changes(path: Path) -> Mapping[str, CalendarChanges]:
    from chandlery.config.calendars import load_calendars  # noqa: PLC0415 - slow to import, and few reads need it

    return load_calendars(path).changes


def _keep(folder: Path, name: str, build: Callable[[], Calendar]) -> Calendar:
    from chandlery.instruments.kept_calendars import KeptCalendars  # noqa: PLC0415 - likewise

    return KeptCalendars(folder)(name, build)
