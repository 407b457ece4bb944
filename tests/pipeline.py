"""What tests of the pipeline share: an installation of their own, Dagster's definitions for it, and ways to run them.

Not here: fixtures (``conftest``), and bars written by hand (``support``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import dagster as dg
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from psycopg import conninfo

from assets.reference import register_symbols
from chandlery.app.installation import Installation
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.fetch import Progress
from chandlery.ingest.plan import IngestOptions, IngestPlan
from chandlery.ingest.result import PartitionResult
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.providers.base import BarRequest
from chandlery.providers.simulated.provider import SimulatedProvider
from chandlery.rollups.refresh import Derived
from chandlery.settings import Settings
from pipelines.definitions import build_defs
from tests.support import utc


@dataclass
class Heard:
    """A listener that remembers."""

    partitions: int = 0
    outcomes: list[PartitionResult] = field(default_factory=list)
    steps: list[Derived] = field(default_factory=list)
    calls: int | None = None

    def planned(self, partitions: int) -> None:
        self.partitions += partitions

    def fetched(self, progress: Progress) -> None:
        self.calls = progress.calls

    def ingested(self, result: PartitionResult) -> None:
        self.outcomes.append(result)

    def derived(self, derived: Derived) -> None:
        self.steps.append(derived)

    def forget(self) -> None:
        self.partitions = 0
        self.outcomes.clear()
        self.steps.clear()

    def total(self, name: str) -> int:
        """Return the sum of an attribute of all outcomes."""
        return sum(getattr(outcome, name) for outcome in self.outcomes)


@dataclass
class Workbench:
    """An installation, its Dagster instance and its definitions."""

    installation: Installation
    instance: dg.DagsterInstance
    heard: Heard = field(default_factory=Heard)

    @cached_property
    def defs(self) -> dg.Definitions:
        return build_defs(self.installation.configuration, resource_overrides={"listener": self.heard})

    @property
    def repository(self) -> dg.RepositoryDefinition:
        return self.defs.get_repository_def()

    @property
    def resources(self) -> dict[str, Any]:
        return dict(self.repository.get_top_level_resources())

    def materialize(
        self,
        asset: str,
        partition: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run one asset as the web UI does: in the job that Dagster makes of all assets."""
        return self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset)],
            partition_key=partition,
            tags=dict(tags or {}),
            run_config={"ops": {asset: {"config": dict(config)}}} if config else None,
            raise_on_error=False,
        )

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Carry out what a schedule or sensor asked for."""
        assert request.job_name is not None
        job = self.defs.resolve_job_def(request.job_name)
        return job.execute_in_process(
            instance=self.instance, tags=dict(request.tags), run_config=request.run_config, raise_on_error=False
        )

    def register(self) -> None:
        """Make the registered instruments partitions."""
        with self.installation.warehouse.connection() as connection:
            register_symbols(self.instance, [instrument.symbol for instrument in list_instruments(connection)])

    def materialized(self, asset: str) -> set[str]:
        return set(self.instance.get_materialized_partitions(dg.AssetKey(asset)))

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - whatever it is
        """Return the one value that ``statement`` selects."""
        with self.installation.warehouse.connection() as connection:
            row = connection.execute(statement).fetchone()  # type: ignore[call-overload]
        return row[0]

    def instrument(self, symbol: str) -> Instrument:
        with self.installation.warehouse.connection() as connection:
            return next(found for found in list_instruments(connection) if found.symbol == symbol)

    def order(
        self, timeframe: str, symbols: Iterable[str], start: str, end: str, *, provider: str | None = None
    ) -> IngestPlan:
        ranges = {self.instrument(symbol): (utc(start), utc(end)) for symbol in symbols}
        return IngestPlan(Timeframe(timeframe), ranges, IngestOptions(provider=provider))


def configure(
    folder: Path, instruments: Sequence[Mapping[str, Any]], providers: Mapping[str, Any] | None = None
) -> Path:
    """Write ``universe.yaml`` and ``providers.yaml`` into ``folder/config`` and return that folder.

    The provider ``files`` reads ``folder/data``; ``providers`` are further ones.
    """
    config = folder / "config"
    config.mkdir()
    kinds: dict[str, Any] = {name: {"kind": name} for name in ("sample", "simulated")}
    kinds["files"] = {"kind": "files", "options": {"path": "data"}}
    (config / "providers.yaml").write_text(yaml.safe_dump({"providers": kinds | dict(providers or {})}))
    universe = {"history": {"1m": "2022-01-01", "1d": "2000-01-01"}, "instruments": list(instruments)}
    (config / "universe.yaml").write_text(yaml.safe_dump(universe))
    return config


def install(
    folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    instruments: Sequence[Mapping[str, Any]],
    providers: Mapping[str, Any] | None = None,
) -> Installation:
    """Set up an installation in ``folder`` and point this process's environment at it."""
    monkeypatch.setenv("CHANDLERY_CONFIG", str(configure(folder, instruments, providers)))
    monkeypatch.setenv("CHANDLERY_HOME", str(folder / "home"))
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    for name in (
        "DAGSTER_HOME",
        "CHANDLERY_DAGSTER_STORAGE",
    ):  # what opening Dagster's instance sets, undone at the end
        monkeypatch.setenv(name, "")
    return Installation.create(Settings())[0]


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Make a database for several tests; yield its URL. (The fixture ``database_url`` makes one for each test.)"""
    name = f"shared_{uuid4().hex}"
    parts = conninfo.conninfo_to_dict(server)
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {parts['dbname']}")
        yield f"postgresql://{parts['user']}@/{name}?host={parts['host']}"
        for each in (name, f"{name}_dagster"):
            admin.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


@contextmanager
def open_workbench(installation: Installation, instance: dg.DagsterInstance | None = None) -> Iterator[Workbench]:
    """Open a workbench; Dagster keeps its records in a temporary folder, unless ``instance`` is given."""
    with nullcontext(instance) if instance else dg.instance_for_test() as opened:
        bench = Workbench(installation, opened)
        bench.register()
        yield bench
    installation.warehouse.close()


def simulate(symbols: Sequence[str], timeframe: Timeframe, start: str, end: str, seed: int = 7) -> pa.Table:
    """Return invented bars."""
    return SimulatedProvider(seed).fetch(BarRequest(symbols, timeframe, utc(start), utc(end))).bars


def write_file(folder: Path, symbol: str, timeframe: Timeframe, bars: pa.Table) -> None:
    """Write ``bars`` where the provider of files looks for them."""
    directory = folder / "data" / timeframe.table
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(bars.drop_columns(["symbol", "source"]), directory / f"{symbol.replace('/', '-')}.parquet")


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    """Return what the first failed step said."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            described = data.user_failure_data.description if data.user_failure_data else None
            return described or str(data.error)
    raise AssertionError("no step failed")


class Tick(Protocol):
    """What came of evaluating a schedule or a sensor, as far as tests look at it."""

    @property
    def run_requests(self) -> Sequence[dg.RunRequest] | None: ...

    @property
    def skip_message(self) -> str | None: ...


def requests(tick: Tick) -> list[dg.RunRequest]:
    return list(tick.run_requests or [])


def moment(text: str, zone: str) -> datetime:
    """Return a wall-clock time of ``zone``."""
    from zoneinfo import ZoneInfo

    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
