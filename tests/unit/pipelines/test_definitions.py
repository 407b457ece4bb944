"""What Dagster loads: that it can be loaded, what it consists of, and that loading it touches nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from assets.bars import IngestConfig
from assets.quarantine import ReleaseConfig
from assets.replay import ReplayConfig
from chandlery.app.configuration import Configuration
from chandlery.app.orchestrator import SilentListener
from chandlery.config.providers import ProviderConfig, ProvidersConfig
from chandlery.config.universe import HistoryConfig, InstrumentConfig, Universe
from pipelines.definitions import build_defs
from tests.golden.definitions import GOLDEN, describe_shipped

BARS = ("bars_1m", "bars_1d")
ROOT = Path(__file__).parents[3]
LAYERS = ["pipelines.definitions", "pipelines.orchestrator", "pipelines.serve", "pipelines.instance"]


def universe(*symbols: tuple[str, str, str]) -> Universe:
    """Return a universe of (symbol, calendar, provider)."""
    instruments = tuple(InstrumentConfig(symbol=s, calendar=c, provider=p) for s, c, p in symbols)
    return Universe(history=HistoryConfig(), instruments=instruments)


def providers(**kinds: str) -> ProvidersConfig:
    return ProvidersConfig(providers={name: ProviderConfig(kind=kind) for name, kind in kinds.items()})


def default_statuses(defs: dg.Definitions) -> dict[str, str]:
    return {schedule.name: schedule.default_status.value for schedule in defs.get_repository_def().schedule_defs}


def test_the_definitions_are_as_recorded() -> None:
    # Where this is meant to change: python -m tests.golden.definitions
    assert describe_shipped() == GOLDEN.read_text(encoding="utf-8")


def test_everything_is_described_and_every_asset_has_an_owner() -> None:
    shown = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for kind in ("assets", "jobs", "schedules", "sensors"):
        assert [name for name, found in shown[kind].items() if not found["description"]] == []
    assert [name for name, asset in shown["assets"].items() if not asset["owners"] or not asset["kinds"]] == []


def test_a_provider_is_upstream_only_of_what_it_serves() -> None:
    graph = defs_of(universe(), providers(sample="sample", simulated="simulated")).resolve_asset_graph()
    upstream = {name: {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys} for name in BARS}
    assert upstream == {
        "bars_1m": {"instruments", "provider/simulated"},
        "bars_1d": {"instruments", "provider/sample", "provider/simulated"},
    }


@pytest.mark.parametrize("config", [IngestConfig, ReleaseConfig, ReplayConfig])
def test_every_field_of_the_launchpad_is_explained(config: type[dg.Config]) -> None:
    assert [name for name, field in config.model_fields.items() if not field.description] == []


def defs_of(universe: Universe, providers: ProvidersConfig, **overrides: object) -> dg.Definitions:
    configuration = Configuration(Path("nowhere"), universe=universe, providers=providers)
    return build_defs(configuration, resource_overrides=overrides)


def test_the_definitions_can_be_loaded() -> None:
    dg.Definitions.validate_loadable(defs_of(universe(("AAPL", "XNYS", "sample")), providers(sample="sample")))


def test_an_empty_universe_can_be_loaded() -> None:
    dg.Definitions.validate_loadable(defs_of(universe(), providers()))


def test_what_dagster_calls_reads_the_installations_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.definitions import defs

    (tmp_path / "providers.yaml").write_text("providers: {mine: {kind: simulated}}\n")
    (tmp_path / "universe.yaml").write_text(
        "history: {1m: 2020-03-01}\ninstruments: [{symbol: ABC, calendar: XTKS, provider: mine}]\n"
    )
    monkeypatch.setenv("CHANDLERY_CONFIG", str(tmp_path))
    repository = defs().get_repository_def()
    assert dg.AssetKey(["provider", "mine"]) in repository.asset_graph.get_all_asset_keys()
    assert repository.has_schedule_def("xtks_1d_after_close")
    windows = repository.asset_graph.get(dg.AssetKey("bars_1m")).partitions_def
    assert isinstance(windows, dg.MultiPartitionsDefinition)
    assert windows.get_partitions_def_for_dimension("window").get_first_partition_key() == "2020-03"


def test_a_resource_can_be_replaced_by_its_name() -> None:
    listener = SilentListener()
    defs = defs_of(universe(), providers(), listener=listener)
    assert defs.get_repository_def().get_top_level_resources().keys() == {"store", "providers", "gate", "listener"}
    assert defs.resources is not None
    assert defs.resources["listener"] is listener
    assert defs_of(universe(), providers()).resources["listener"] is not listener  # type: ignore[index]


def test_schedules_are_on_only_where_a_provider_has_newer_bars() -> None:
    known = universe(("AAPL", "XNYS", "vendor"), ("BTC/USD", "24/7", "simulated"), ("VOD", "XLON", "files"))
    statuses = default_statuses(defs_of(known, providers(vendor="coinbase", simulated="simulated", files="files")))
    assert statuses == {
        "xnys_1m_after_close": "RUNNING",
        "xnys_1d_after_close": "RUNNING",
        "always_open_1m_after_close": "STOPPED",
        "always_open_1d_after_close": "STOPPED",
        "xlon_1m_after_close": "STOPPED",
        "xlon_1d_after_close": "STOPPED",
        "maintain_daily": "RUNNING",
    }


def test_a_provider_that_nobody_uses_turns_nothing_on() -> None:
    statuses = default_statuses(defs_of(universe(("AAPL", "XNYS", "sample")), providers(sample="sample", v="coinbase")))
    assert [name for name, status in statuses.items() if status == "RUNNING"] == ["maintain_daily"]


@pytest.mark.parametrize("modules", [LAYERS], ids=["all layers"])
def test_importing_reads_no_environment_opens_no_file_of_ours_and_no_connection(
    modules: Sequence[str], tmp_path: Path
) -> None:
    script = f"""
import sys
import dagster, psycopg, psycopg_pool, pydantic, numpy, pyarrow, yaml  # their own business
import os

touched = []
class Environment(type(os.environ)):
    def __getitem__(self, key):
        if key.startswith(("CHANDLERY", "DAGSTER_HOME", "PG")):
            touched.append(key)
        return super().__getitem__(key)
os.environ.__class__ = Environment

def watch(event, arguments):
    if event in ("socket.connect", "subprocess.Popen", "os.mkdir", "os.system"):
        touched.append((event, arguments))
    if event == "open" and isinstance(arguments[0], str):
        name, mode = arguments[0], arguments[1] or "r"
        if set(mode) & set("wax+") and "__pycache__" not in name:
            touched.append((event, arguments))
        if name.startswith({str(ROOT)!r}) and not name.endswith((".py", ".pyc")):
            touched.append((event, arguments))

sys.addaudithook(watch)
for name in {list(modules)!r}:
    __import__(name)
heavy = [m for m in ("great_expectations", "exchange_calendars", "matplotlib", "plotly", "polars") if m in sys.modules]
print(touched, heavy)
sys.exit(bool(touched or heavy))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CHANDLERY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "CHANDLERY_CONFIG": str(tmp_path / "absent"),
        "CHANDLERY_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
