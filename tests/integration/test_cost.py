"""What a request will cost is said before it is made, and a costly one is confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from chandlery.app.installation import Installation
from chandlery.cli.app import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.cost import Cost
from chandlery.ingest.request import IngestRequest
from tests.pipeline import Workbench, install, open_workbench
from tests.remote import day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market

NOW = datetime.now(UTC)
YEAR = (day("2023-01-01"), day("2024-01-01"))


@pytest.fixture
def server() -> Iterator[CoinbaseServer]:
    with CoinbaseServer(Market.invent(["BTC/USD"], Timeframe.M1, *YEAR), page=350) as server:
        yield server


@pytest.fixture
def bench(
    server: CoinbaseServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    monkeypatch.setenv("POLYGON_API_KEY", "never_sent_anywhere")
    monkeypatch.setenv("APCA_API_KEY_ID", "never_sent")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "anywhere")
    providers = {
        "coinbase": {"kind": "coinbase", "options": {"url": server.url}, "limits": {"calls_per_minute": 6000}},
        "polygon": {
            "kind": "polygon",
            "options": {"url": "http://127.0.0.1:1"},
            "key_env": {"key": "POLYGON_API_KEY"},
        },
        "alpaca": {
            "kind": "alpaca",
            "options": {"url": "http://127.0.0.1:1"},
            "key_env": {"key": "APCA_API_KEY_ID", "secret": "APCA_API_SECRET_KEY"},
        },
    }
    universe = [{"symbol": "OLD", "provider": "files", "calendar": "XNYS"}]
    with open_workbench(install(tmp_path, database_url, monkeypatch, universe, providers)) as bench:
        yield bench


def costs(installation: Installation, request: IngestRequest) -> list[Cost]:
    """Return what a request would cost, and register nothing."""
    heard: list[Cost] = []

    def refuse(found: Sequence[Cost]) -> None:
        heard.extend(found)
        raise typer.Exit

    with pytest.raises(typer.Exit):
        installation.plan_ingest(request, refuse)
    return heard


def test_calls_minutes_and_bars_are_estimated_by_each_providers_limits(bench: Workbench) -> None:
    start, end = YEAR
    (pair,) = costs(bench.installation, IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", start=start, end=end))
    assert (pair.calls, pair.bars, pair.symbols) == (1508, 525_600, 1)  # of each part of 20 calls, the last is short
    assert pair.minutes == pytest.approx(1508 * 61 / 6000 / 60, rel=0.001)
    (stock,) = costs(bench.installation, IngestRequest(Timeframe.M1, ["AAPL"], "polygon", start=start, end=end))
    assert (stock.calls, stock.bars) == (12, 250 * 390 - 2 * 180)  # a call a month; two half days
    assert stock.minutes == pytest.approx(12 * 61 / 5 / 60)
    symbols = [f"S{n}" for n in range(150)]
    (days,) = costs(bench.installation, IngestRequest(Timeframe.D1, symbols, "alpaca", start=start, end=end))
    assert (days.calls, days.bars, days.symbols) == (5, 150 * 250, 150)  # 100 symbols in three pages, 50 in two
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1


def test_without_a_range_a_remote_provider_is_asked_for_two_weeks(bench: Workbench) -> None:
    for timeframe in (Timeframe.M1, Timeframe.D1):
        request = IngestRequest(timeframe, ["BTC/USD"], "coinbase")
        (cost,) = costs(bench.installation, request)
        assert timedelta(days=14) <= NOW - cost.start < timedelta(days=21, hours=1)
        assert cost.end - NOW < timedelta(hours=1)
        assert not cost.is_high
    (span,) = bench.installation.plan_ingest(
        IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", end=day("2023-03-01"))
    ).plan.ranges.values()
    assert span == (day("2023-02-13"), day("2023-03-01"))


def test_what_is_final_costs_nothing_and_files_cost_nothing(bench: Workbench, tmp_path: Path) -> None:
    request = IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", start=YEAR[0], end=YEAR[1])
    bench.installation.plan_ingest(request)
    with bench.installation.warehouse.connection() as connection:
        connection.execute(
            "INSERT INTO ops.requested (instrument_id, timeframe, sessions, final, calendar)"
            " SELECT instrument_id, '1m', '{[2022-12-31,2023-12-31)}', '{[2022-12-31,2023-12-31)}', calendar"
            " FROM market.instrument WHERE symbol = 'BTC/USD'"
        )
    (cost,) = costs(bench.installation, request)
    assert (cost.bars, cost.calls) == (1440, 5)
    (again,) = costs(bench.installation, IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", *_ranged(), refresh=True))
    assert again.bars == 525_600
    mixed = IngestRequest(Timeframe.D1, ["OLD", "BTC/USD"], start=YEAR[0], end=YEAR[1])
    assert [cost.provider for cost in costs(bench.installation, mixed)] == ["coinbase"]  # no matter the other's folder
    (tmp_path / "data" / "bars_1d").mkdir(parents=True)
    files = IngestRequest(Timeframe.D1, ["OLD"], start=YEAR[0], end=YEAR[1])
    assert costs(bench.installation, files) == []


def _ranged() -> tuple[dict[str, object], datetime, datetime]:
    return {}, *YEAR


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), obj=Session())
    return result.exit_code, result.output


COSTLY = ("ingest", "BTC/USD", "--provider", "coinbase", "-t", "1m", "--start", "2023-01-01", "--end", "2024-01-01")


def test_a_costly_request_is_not_made_where_nobody_can_confirm_it(bench: Workbench, server: CoinbaseServer) -> None:
    code, said = run(*COSTLY)
    assert code == 2
    assert "coinbase: 1 symbol, 2023-01-01..2024-01-01: about 1,508 calls, up to 525,600 bars" in said
    assert "--yes" in said
    assert server.requests == []
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1


def test_a_dry_run_says_the_cost_and_requests_nothing(bench: Workbench, server: CoinbaseServer, tmp_path: Path) -> None:
    code, said = run(*COSTLY, "--dry-run")
    assert (code, said) == (0, "coinbase: 1 symbol, 2023-01-01..2024-01-01: about 1,508 calls, up to 525,600 bars\n")
    polygon = ("ingest", "AAPL", "--provider", "polygon", "-t", "1m", "--start", "2022-01-01", "--dry-run")
    assert "minutes at least" in run(*polygon)[1]
    (tmp_path / "data" / "bars_1d").mkdir(parents=True)
    assert run("ingest", "OLD", "--start", "2023-01-01", "--dry-run") == (0, "no call to a provider\n")
    assert server.requests == []
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1
