"""What the configuration files of an installation say, read once. Not here: what each may say (``config``)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from chandlery.config.calendars import Calendars, load_calendars
from chandlery.config.lifecycle import Lifecycle, load_lifecycle
from chandlery.config.providers import ProvidersConfig
from chandlery.config.universe import Universe, load_universe
from chandlery.providers.catalog import load_providers


class Configuration:
    """The configuration files in one folder. Each is read when it is first needed, and only once.

    Args:
        folder: with ``universe.yaml``, ``providers.yaml`` and, if there are any, ``lifecycle.yaml`` and
            ``calendars.yaml``.
        universe: stands for what ``universe.yaml`` says, which is not read then.
        providers: stands for what ``providers.yaml`` says.
        lifecycle: stands for what ``lifecycle.yaml`` says.
    """

    def __init__(
        self,
        folder: Path,
        *,
        universe: Universe | None = None,
        providers: ProvidersConfig | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        self.folder = folder
        self._universe = universe
        self._providers = providers
        self._lifecycle = lifecycle

    @cached_property
    def universe(self) -> Universe:
        """What ``universe.yaml`` says.

        Raises:
            ConfigurationError: it is absent or wrong.
        """
        return self._universe or load_universe(self.folder / "universe.yaml")

    @cached_property
    def providers(self) -> ProvidersConfig:
        """What ``providers.yaml`` says.

        Raises:
            ConfigurationError: it is absent or wrong.
        """
        return self._providers or load_providers(self.folder / "providers.yaml")

    @cached_property
    def lifecycle(self) -> Lifecycle:
        """What ``lifecycle.yaml`` says; the defaults where there is none.

        Raises:
            ConfigurationError: it is wrong.
        """
        return self._lifecycle or load_lifecycle(self.folder / "lifecycle.yaml")

    @cached_property
    def calendars(self) -> Calendars:
        """What ``calendars.yaml`` says; nothing where there is none.

        Raises:
            ConfigurationError: it is wrong.
        """
        return load_calendars(self.folder / "calendars.yaml")
