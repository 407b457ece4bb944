"""An installation: its settings, configuration and warehouse, opened together.

Not here: Dagster's part of it (``pipelines.instance``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from chandlery.app.configuration import Configuration
from chandlery.app.opening import open_warehouse
from chandlery.config.calendars import check_changes
from chandlery.config.defaults import copy_defaults
from chandlery.config.lifecycle import Lifecycle
from chandlery.config.universe import Universe, check_calendars
from chandlery.core.calendar_changes import use_changes
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.dsn import ensure_database, market_dsn
from chandlery.database.editions.install import install
from chandlery.database.migrate import migrate
from chandlery.database.schema_check import check_tables
from chandlery.ingest.cost import Cost
from chandlery.ingest.landing import Landing
from chandlery.ingest.request import IngestRequest, PreparedIngest, plan_ingest
from chandlery.instruments.registry import Instrument, SyncReport, list_instruments
from chandlery.lake.store import Lake
from chandlery.ops.registrations.universe import follow_universe
from chandlery.providers.configured import ConfiguredProviders
from chandlery.providers.http.shared_rate_limit import shared_rate_limiters
from chandlery.rollups.continuous import refresh_aggregates, sync_aggregates
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

#: How far ahead of the present there is always room for bars.
ROOM_AHEAD = timedelta(days=62)


@dataclass(frozen=True)
class Installation:
    """Everything a command needs to know about where it runs.

    Attributes:
        settings: from the environment.
        configuration: from the files that the settings point at.
        warehouse: the market database and the lake.
        new_config_files: the files of the default configuration that ``create`` copied to where a person can edit
            them; empty where there was a configuration.
    """

    settings: Settings
    configuration: Configuration
    warehouse: Warehouse
    new_config_files: Sequence[Path] = ()

    def __post_init__(self) -> None:
        """Let what the configuration says of calendars hold in this process."""
        use_changes(self.configuration.calendars.changes)

    @classmethod
    def open(cls, settings: Settings | None = None) -> Installation:
        """Open an installation that was set up.

        Raises:
            StoreError: its database is unreachable, has no schema yet, or that of another version of Chandlery.
        """
        settings = settings or Settings()
        return cls(settings, Configuration(settings.config), open_warehouse(settings))

    @classmethod
    def create(cls, settings: Settings | None = None) -> tuple[Installation, SyncReport]:
        """Set up the database (create, migrate, choose its edition, make room ahead) and its instruments. Idempotent.

        Where there is no configuration yet, the default one is copied into the project first (see ``Settings``), unless
        ``CHANDLERY_CONFIG`` names another place.

        Continuous aggregates that ``lifecycle.yaml`` asks for are made and filled where the edition has them, and those
        that it does not ask for are dropped; ``refused_aggregates`` tells which could not be.

        Raises:
            ConfigurationError: a configuration file is wrong; nothing was touched.
            StoreError: the database cannot be reached, created or migrated.
        """
        settings = settings or Settings()
        new_config_files = () if settings.config_override else copy_defaults(settings.config)
        configuration = Configuration(settings.config)
        universe, lifecycle = configuration.universe, configuration.lifecycle
        check_calendars(universe)
        check_changes(configuration.calendars)
        dsn = market_dsn(settings)
        ensure_database(dsn)
        installation = cls(settings, configuration, Warehouse(Database(dsn), Lake(settings.lake)), new_config_files)
        with installation.warehouse.connection() as connection:
            migrate(connection)
            install(connection)
            check_tables(connection)
            report = follow_universe(connection, installation.warehouse, universe.instruments)
            sync_aggregates(connection, installation.warehouse.edition, lifecycle.continuous_aggregates)
        installation.make_room()
        refresh_aggregates(installation.warehouse.database)
        return installation, report

    @property
    def universe(self) -> Universe:
        """What ``universe.yaml`` says."""
        return self.configuration.universe

    @property
    def lifecycle(self) -> Lifecycle:
        """What ``lifecycle.yaml`` says; the defaults where there is none."""
        return self.configuration.lifecycle

    @cached_property
    def providers(self) -> ConfiguredProviders:
        """The configured providers; all processes of the installation share the rate limit of a key."""
        return ConfiguredProviders(self.configuration.providers, shared_rate_limiters(self.warehouse.database))

    @property
    def static(self) -> frozenset[str]:
        """Names of the providers that have everything from the start, and never newer bars."""
        return self.providers.static

    def current_instruments(self) -> list[Instrument]:
        """Return the instruments that were not removed from ``universe.yaml``, in the order of registration.

        That the file lists one no longer counts at once, also before the next ``chandlery init``.
        """
        listed = {config.symbol for config in self.universe.instruments}
        with self.warehouse.connection() as connection:
            known = list_instruments(connection)
        return [i for i in known if i.in_universe is None or i.symbol in listed]

    def scheduled_instruments(self, timeframe: Timeframe) -> list[Instrument]:
        """Return the instruments whose bars of ``timeframe`` are kept up to date, in the order of registration.

        Those that were removed from ``universe.yaml`` are left out, and those of providers that never have newer bars;
        those of a provider that cannot be used are not, so that a run says so.
        """
        current = self.current_instruments()
        return [i for i in current if timeframe.value in i.timeframes and i.provider not in self.static]

    @cached_property
    def landing(self) -> Landing:
        """Where answers of providers are kept before they are processed."""
        return Landing(self.warehouse.database, Lake(self.settings.landing, "CHANDLERY_LANDING"))

    @property
    def refused_aggregates(self) -> Sequence[Timeframe]:
        """Continuous aggregates that ``lifecycle.yaml`` asks for and this edition does not have."""
        return () if self.warehouse.edition.keeps_aggregates else self.lifecycle.continuous_aggregates

    def plan_ingest(
        self,
        request: IngestRequest,
        approve: Callable[[Sequence[Cost]], None] = lambda _: None,
        *,
        register: bool = True,
    ) -> PreparedIngest:
        """Return the plan for ``request`` in this installation; see ``ingest.request.plan_ingest``."""
        return plan_ingest(
            request,
            warehouse=self.warehouse,
            universe=self.universe,
            providers=self.providers,
            approve=approve,
            register=register,
        )

    def make_room(self, now: datetime | None = None) -> Sequence[Timeframe]:
        """Make sure that bars of the near future have a place to go; return the timeframes looked after. Idempotent."""
        now = now or datetime.now(UTC)
        with self.warehouse.connection() as connection:
            for timeframe in Timeframe:
                self.warehouse.edition.prepare(connection, timeframe, now, now + ROOM_AHEAD)
        return list(Timeframe)
