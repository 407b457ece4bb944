"""Remote providers in Dagster: a run's events, the sensor that requests missing bars again, and replays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from chandlery.core.timeframe import Timeframe
from tests.pipeline import Workbench, failure_text, install, open_workbench, requests
from tests.remote import coinbase_at
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market

PAIRS = ["BTC/USD", "ETH/USD"]
NOW = datetime.now(UTC)
LAST = (NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)).replace(day=1)
MONTH = Timeframe.M1.window_of(LAST)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.invent(PAIRS, Timeframe.M1, MONTH.start, MONTH.start + timedelta(days=3))


@pytest.fixture
def server(market: Market) -> Iterator[CoinbaseServer]:
    with CoinbaseServer(market, page=350) as server:
        yield server


@pytest.fixture
def bench(
    server: CoinbaseServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    instruments = [{"symbol": pair, "provider": "coinbase", "timeframes": ["1m"]} for pair in PAIRS]
    coinbase = {"coinbase": coinbase_at(server, attempts=2)}
    with open_workbench(install(tmp_path, database_url, monkeypatch, instruments, coinbase)) as bench:
        with bench.installation.warehouse.connection() as connection:  # later days are not the subject here
            connection.execute(
                "UPDATE market.instrument SET delisted = %s", ((MONTH.start + timedelta(days=3)).date(),)
            )
        yield bench


def ranges(days: int, symbols: list[str] = PAIRS) -> dict[str, object]:
    end = MONTH.start + timedelta(days=days)
    return {"ranges": {symbol: [MONTH.start.isoformat(), end.isoformat()] for symbol in symbols}}


def load(bench: Workbench, days: int, **config: object) -> dg.ExecuteInProcessResult:
    tags = {
        "dagster/asset_partition_range_start": f"{PAIRS[0]}|{MONTH.key}",
        "dagster/asset_partition_range_end": f"{PAIRS[-1]}|{MONTH.key}",
    }
    return bench.materialize("bars_1m", tags=tags, config=ranges(days) | config)


def repair(bench: Workbench) -> list[dg.RunRequest]:
    sensor = bench.repository.get_sensor_def("repair_1m")
    with dg.build_sensor_context(
        instance=bench.instance, repository_def=bench.repository, resources={"store": bench.resources["store"]}
    ) as context:
        return requests(sensor.evaluate_tick(context))


def test_a_run_tells_how_many_calls_it_made_and_again_makes_none(bench: Workbench, server: CoinbaseServer) -> None:
    result = load(bench, 3)
    assert result.success, failure_text(result)
    assert bench.heard.calls == len(server.requests)
    assert bench.materialized("bars_1m") == {f"{pair}|{MONTH.key}" for pair in PAIRS}
    assert bench.scalar("SELECT count(*) FROM ops.rate_limit") == 1
    asked = len(server.requests)
    bench.heard.forget()
    assert load(bench, 3).success
    assert {outcome.status for outcome in bench.heard.outcomes} == {"complete"}
    assert len(server.requests) == asked
    event = bench.instance.get_latest_materialization_event(dg.AssetKey("bars_1m"))
    assert event is not None
    assert event.asset_materialization is not None
    assert "the provider was not called" in str(event.asset_materialization.metadata["note"].value)


def test_the_sensor_asks_for_what_is_missing_until_it_is_there(
    bench: Workbench, server: CoinbaseServer, market: Market
) -> None:
    assert repair(bench) == []  # nothing was ever wanted
    assert load(bench, 1).success
    (request,) = repair(bench)
    assert request.run_config["ops"]["bars_1m"]["config"]["refresh"] is True
    assert repair(bench) == []  # their pause is not over
    result = bench.run(request)
    assert result.success, failure_text(result)
    assert bench.scalar("SELECT count(*) FROM market.bars_1m") == sum(len(bars["ts"]) for bars in market.bars.values())
    with bench.installation.warehouse.connection() as connection:
        connection.execute("UPDATE ops.retry_schedule SET next_try = now()")
    assert repair(bench) == []


def test_an_outage_makes_the_run_red_and_says_of_whom_what_was_asked(bench: Workbench, server: CoinbaseServer) -> None:
    server.faults.extend(["http_503"] * 100)
    result = load(bench, 1)
    assert not result.success
    text = failure_text(result)
    assert "coinbase: BTC/USD 1m" in text
    assert "tried 2 times" in text
    assert not bench.materialized("bars_1m")


def test_what_landed_is_judged_again_without_asking(bench: Workbench, server: CoinbaseServer) -> None:
    assert load(bench, 3).success
    with bench.installation.warehouse.connection() as connection:
        connection.execute("TRUNCATE market.bars_1m")
        connection.execute("DELETE FROM ops.coverage")
    asked = len(server.requests)
    result = load(bench, 3, replay_since="2020-01-01")
    assert result.success, failure_text(result)
    assert len(server.requests) == asked
    assert bench.heard.total("inserted") == 2 * bench.scalar("SELECT count(*) FROM market.bars_1m")
