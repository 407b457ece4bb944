"""Everything Dagster loads, put together from its parts.

``build_defs`` takes what differs between installations and tests as arguments; only ``defs``, which Dagster calls,
finds the installation's configuration. Not here: any part itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.bars import build_bars
from assets.catalog import describe
from assets.coverage import build_coverage
from assets.freshness import build_freshness
from assets.quarantine import quarantine
from assets.reference import build_providers, instruments, provider_key
from assets.rollups import build_rollups
from assets.tiers import build_archive, compression, retention
from chandlery.app.configuration import Configuration
from chandlery.app.orchestrator import SilentListener
from chandlery.config.providers import ProvidersConfig
from chandlery.config.universe import Universe
from chandlery.core.calendar_changes import use_changes
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.providers.catalog import is_static, serves
from chandlery.settings import Settings
from pipelines.jobs import build_derive_jobs, build_ingest_job, maintain, release_quarantined, replay_landed
from pipelines.partitions import build_partitions
from pipelines.schedules import build_schedules
from pipelines.sensors import build_sensors
from resources.gate import GateResource
from resources.providers import ProvidersResource
from resources.store import StoreResource


def build_defs(configuration: Configuration, *, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return a fresh set of definitions.

    Args:
        configuration: says how far back partitions reach, which calendars need schedules, and where lineage starts;
            the resources hand it to what runs.
        resource_overrides: replace resources by name: ``store``, ``providers``, ``gate``, ``listener``.
    """
    universe, providers = configuration.universe, configuration.providers
    use_changes(configuration.calendars.changes)
    partitions = {base: build_partitions(base, universe.history) for base in INGESTED}
    live = {
        instrument.calendar
        for instrument in universe.instruments
        # A schedule would ask the others in vain.
        if instrument.provider is not None and not is_static(providers.provider(instrument.provider))
    }
    calendars = {"XNYS", "24/7", *(instrument.calendar for instrument in universe.instruments)}
    return dg.Definitions(
        assets=dg.map_asset_specs(describe, _build_assets(providers, partitions)),
        asset_checks=[build_freshness(base) for base in INGESTED],
        jobs=[
            *(build_ingest_job(base) for base in INGESTED),
            *build_derive_jobs(),
            maintain,
            release_quarantined,
            replay_landed,
        ],
        schedules=build_schedules(calendars, live),
        sensors=build_sensors(),
        executor=dg.in_process_executor,
        resources={
            "store": StoreResource(configuration=configuration),
            "providers": ProvidersResource(config=providers),
            "gate": gate_resource(universe),
            "listener": SilentListener(),
            **(resource_overrides or {}),
        },
    )


def _build_assets(
    providers: ProvidersConfig, partitions: Mapping[Timeframe, dg.MultiPartitionsDefinition]
) -> list[Any]:
    """Return all assets, in the order in which the data flows."""
    sources = {
        base: [provider_key(name) for name, provider in providers.providers.items() if serves(provider, base)]
        for base in INGESTED
    }
    made = [
        instruments,
        *(build_bars(base, partitions[base], [*sources[base], instruments.key]) for base in INGESTED),
        *(build_rollups(base, partitions[base]) for base in INGESTED),
        *(build_coverage(base) for base in INGESTED),
        quarantine,
        *(build_archive(base, partitions[base]) for base in INGESTED),
        compression,
        retention,
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # references to code may change their form
        return [*build_providers(providers.providers), *dg.with_source_code_references(made)]


@dg.definitions
def defs() -> dg.Definitions:
    """Return the installation's definitions, from its configuration files."""
    return build_defs(Configuration(Settings().config))


def gate_resource(universe: Universe) -> GateResource:
    """Return the gate with the limits of ``universe.yaml``."""
    gate = universe.gate
    return GateResource(max_rejected_share=gate.max_rejected_share, max_rejected_rows=gate.max_rejected_rows)
