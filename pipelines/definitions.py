"""Everything Dagster loads, put together from its parts.

``build_defs`` takes what differs between installations and tests as arguments; only ``defs``, which Dagster calls,
reads the installation's configuration. Not here: any part itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.bars import build_bars
from assets.coverage import build_coverage
from assets.reference import build_providers, instruments, provider_key
from assets.rollups import build_rollups
from assets.tiers import build_archive, compression, retention
from chandlery.app.orchestrator import SilentListener
from chandlery.config.providers import ProvidersConfig
from chandlery.config.universe import Universe, load_universe
from chandlery.core.timeframe import INGESTED
from chandlery.providers.catalog import is_static, load_providers
from chandlery.settings import Settings
from pipelines.jobs import build_derive_jobs, build_ingest_jobs, maintain
from pipelines.partitions import build_partitions
from pipelines.schedules import build_schedules
from pipelines.sensors import build_sensors
from resources.gate import GateResource
from resources.providers import ProvidersResource
from resources.store import StoreResource


def build_defs(
    universe: Universe, providers: ProvidersConfig, *, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Return a fresh set of definitions.

    Args:
        universe: for how far back partitions reach, and which calendars need schedules.
        providers: for where lineage starts.
        resource_overrides: replace resources by name: ``store``, ``providers``, ``gate``, ``listener``.
    """
    partitions = {base: build_partitions(base, universe.history) for base in INGESTED}
    sources = [provider_key(name) for name in providers.providers]
    live = {
        instrument.calendar
        for instrument in universe.instruments
        # A schedule would ask the others in vain.
        if instrument.provider is not None and not is_static(providers.provider(instrument.provider))
    }
    calendars = {"XNYS", "24/7", *(instrument.calendar for instrument in universe.instruments)}
    return dg.Definitions(
        assets=[
            *build_providers(providers.providers),
            instruments,
            *(build_bars(base, partitions[base], sources) for base in INGESTED),
            *(build_rollups(base, partitions[base]) for base in INGESTED),
            *(build_coverage(base) for base in INGESTED),
            *(build_archive(base, partitions[base]) for base in INGESTED),
            compression,
            retention,
        ],
        jobs=[*build_ingest_jobs(), *build_derive_jobs(), maintain],
        schedules=build_schedules(calendars, live),
        sensors=build_sensors(),
        executor=dg.in_process_executor,
        resources={
            "store": StoreResource(),
            "providers": ProvidersResource(),
            "gate": GateResource(),
            "listener": SilentListener(),
            **(resource_overrides or {}),
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the installation's definitions, from its configuration files."""
    config = Settings().config
    return build_defs(load_universe(config / "universe.yaml"), load_providers(config / "providers.yaml"))
