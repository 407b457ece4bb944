"""Providers stand apart: one that cannot be used fails alone, by name, and the others publish."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from chandlery.core.timeframe import Timeframe
from pipelines.partitions import range_tags
from tests.pipeline import Workbench, failure_text, install, moment, open_workbench, requests
from tests.remote import coinbase_at
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market

NOW = datetime.now(UTC)
MONTH = Timeframe.M1.window_of(NOW.replace(day=1) - timedelta(days=1))
DAY = timedelta(days=1)
PAIRS = ["BTC/USD", "ETH/USD"]
#: By symbol, a provider that cannot be used, and what is said of it.
BROKEN = {
    "KEYLESS": ("keyless", "'keyless' needs the environment variable NO_SUCH_KEY"),
    "FILED": ("files", "there is no folder"),
    "FOLDERLESS": ("folderless", "'folderless' has no folder"),
    "REFUSED": ("ib", "'ib'"),
    "UNKNOWN": ("unknown", "'unknown' is not configured"),
    "DOWN/USD": ("down", "down: DOWN/USD 1m"),
}


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.invent([*PAIRS, "DOWN/USD"], Timeframe.M1, MONTH.start, MONTH.start + DAY)


@pytest.fixture
def server(market: Market) -> Iterator[CoinbaseServer]:
    with CoinbaseServer(market, page=350) as server:
        yield server


@pytest.fixture
def down(market: Market) -> Iterator[CoinbaseServer]:
    with CoinbaseServer(market, page=350) as server:
        server.faults.extend(["http_503"] * 10_000)
        yield server


@pytest.fixture
def bench(
    server: CoinbaseServer, down: CoinbaseServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    """Symbols of providers that work stand between those of others."""
    names = [PAIRS[0], *BROKEN, PAIRS[1]]
    of = dict.fromkeys(PAIRS, "coinbase") | {symbol: name for symbol, (name, _) in BROKEN.items()}
    instruments = [
        {
            "symbol": symbol,
            "provider": "files" if of[symbol] == "unknown" else of[symbol],
            "calendar": "24/7",
            "asset_class": "crypto",
            "timeframes": ["1m"],
        }
        for symbol in names
    ]
    key = dict.fromkeys(("key", "secret"), "NO_SUCH_KEY")
    providers: dict[str, Any] = {
        "coinbase": coinbase_at(server, attempts=1),
        "down": coinbase_at(down, attempts=1),
        "keyless": {"kind": "alpaca", "key_env": key},
        "folderless": {"kind": "files"},
        "ib": {"kind": "ib"},
    }
    with open_workbench(install(tmp_path, database_url, monkeypatch, instruments, providers)) as bench:
        with bench.installation.warehouse.connection() as connection:
            connection.execute("UPDATE market.instrument SET provider = 'unknown' WHERE symbol = 'UNKNOWN'")
        yield bench


def load(bench: Workbench, **config: object) -> dg.ExecuteInProcessResult:
    span = [MONTH.start.isoformat(), (MONTH.start + DAY).isoformat()]
    ranges = dict.fromkeys([*PAIRS, *BROKEN], span)
    tags = range_tags(PAIRS[0], PAIRS[1], MONTH.key, MONTH.key)
    return bench.materialize("bars_1m", tags=tags, config={"ranges": ranges, **config})


def test_providers_that_cannot_be_used_fail_alone_and_by_name(bench: Workbench, market: Market) -> None:
    result = load(bench)
    assert not result.success
    text = failure_text(result)
    assert f"{len(BROKEN)} symbols did not come through; the others are published" in text
    for symbol, (_, said) in BROKEN.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{symbol}: ")]
        assert said in line
    assert bench.materialized("bars_1m") == {f"{pair}|{MONTH.key}" for pair in PAIRS}
    expected = sum(len(market.between(pair, Timeframe.M1, MONTH.start, MONTH.end)["ts"]) for pair in PAIRS)
    assert bench.scalar("SELECT count(*) FROM market.bars_1m") == expected


def test_those_who_only_stand_between_are_left_alone(bench: Workbench, down: CoinbaseServer) -> None:
    result = load(bench, symbols=PAIRS)
    assert result.success, failure_text(result)
    assert bench.materialized("bars_1m") == {f"{pair}|{MONTH.key}" for pair in PAIRS}
    assert {outcome.partition.symbol for outcome in bench.heard.outcomes} == set(PAIRS)
    assert down.requests == []
    (line,) = [
        entry.user_message for entry in bench.instance.all_logs(result.run_id) if "left alone" in entry.user_message
    ]
    assert "KEYLESS, FILED, FOLDERLESS, REFUSED, UNKNOWN and 1 more" in line


def test_a_symbol_that_nobody_registered_fails_alone(bench: Workbench) -> None:
    with bench.installation.warehouse.connection() as connection:
        connection.execute("DELETE FROM market.instrument WHERE symbol = 'KEYLESS'")
    result = load(bench, symbols=[*PAIRS, "KEYLESS"])
    assert failure_text(result) == "not registered: KEYLESS; run `chandlery init`"
    assert bench.materialized("bars_1m") == {f"{pair}|{MONTH.key}" for pair in PAIRS}


def test_the_schedule_takes_whoever_has_news_and_nobody_else(bench: Workbench) -> None:
    tick = moment(f"{NOW + DAY:%Y-%m-%d} 00:30", "UTC")
    context = dg.build_schedule_context(
        instance=bench.instance,
        scheduled_execution_time=tick,
        resources={"store": bench.resources["store"]},
        repository_def=bench.repository,
    )
    with context:
        found = bench.repository.get_schedule_def("always_open_1m_after_close").evaluate_tick(context)
    chosen: list[str] = []
    order = bench.instance.get_dynamic_partitions("symbol")
    for request in requests(found):
        first, last = (request.tags[f"dagster/asset_partition_range_{end}"].split("|")[0] for end in ("start", "end"))
        within = order[order.index(first) : order.index(last) + 1]
        config = request.run_config.get("ops", {}).get("bars_1m", {}).get("config", {})
        chosen += config.get("symbols", within)
    assert sorted(chosen) == sorted([*PAIRS, *BROKEN.keys() - {"FILED", "FOLDERLESS"}])
