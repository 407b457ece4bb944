"""When an instrument was listed, and whether it still is wanted: outside of that, nothing is requested or expected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from chandlery.app.installation import Installation
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.session_states import state_runs
from chandlery.coverage.summary import summarize
from chandlery.errors import UsageError
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.quarantine import list_entries
from chandlery.ingest.request import IngestRequest
from chandlery.settings import Settings
from expectations.gate import BarGate
from pipelines.partitions import RANGE_END, RANGE_START, range_tags
from tests.pipeline import Workbench, failure_text, install, moment, open_workbench, requests
from tests.remote import coinbase_at, day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market

NOW = day("2024-06-01")
LISTED, DELISTED = date(2024, 2, 10), date(2024, 3, 20)
PAIRS = ["BTC/USD", "ETH/USD"]


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.invent(PAIRS, Timeframe.D1, day("2023-01-01"), day("2024-06-01"))


@pytest.fixture
def server(market: Market) -> Iterator[CoinbaseServer]:
    with CoinbaseServer(market, page=350) as server:
        yield server


@pytest.fixture
def bench(
    server: CoinbaseServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    """A pair that was listed for five weeks, and another one."""
    instruments: list[dict[str, Any]] = [{"symbol": pair, "provider": "coinbase"} for pair in PAIRS]
    instruments[0] |= {"listed": LISTED, "delisted": DELISTED}
    coinbase = {"coinbase": coinbase_at(server, attempts=1)}
    with open_workbench(install(tmp_path, database_url, monkeypatch, instruments, coinbase)) as bench:
        yield bench


def load(bench: Workbench, first: str, last: str) -> dg.ExecuteInProcessResult:
    return bench.materialize("bars_1d", tags=range_tags(*PAIRS, first, last))


def requested(server: CoinbaseServer, pair: str) -> tuple[datetime, datetime]:
    """Return the first and the last instant, exclusive, of which the server was asked."""
    found = [request.query for request in server.requests if pair.replace("/", "-") in request.path]
    first = min(int(query["start"]) for query in found)
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(max(int(q["end"]) for q in found) + 1, UTC)


# --- listed and delisted


def test_nothing_is_requested_outside_of_the_listing(bench: Workbench, server: CoinbaseServer) -> None:
    result = load(bench, "2023", "2024")
    assert result.success, failure_text(result)
    assert requested(server, "BTC/USD") == (day("2024-02-10"), day("2024-03-20"))
    assert requested(server, "ETH/USD")[0] == day("2023-01-01")
    assert bench.materialized("bars_1d") == {"BTC/USD|2024", "ETH/USD|2023", "ETH/USD|2024"}
    assert bench.scalar("SELECT count(*) FROM market.bars_1d WHERE instrument_id = 1") == (DELISTED - LISTED).days
    assert {outcome.status for outcome in bench.heard.outcomes if outcome.partition.key == "BTC/USD|2023"} == {
        "unlisted"
    }
    texts = [entry.user_message for entry in bench.instance.all_logs(result.run_id)]
    assert "BTC/USD|2023: not requested, because it was not listed then" in texts


def test_no_session_outside_of_the_listing_is_expected(bench: Workbench, server: CoinbaseServer) -> None:
    load(bench, "2023", "2024")
    with bench.installation.warehouse.connection() as connection:
        # Of what was published before anybody knew when it was listed.
        connection.execute("UPDATE market.instrument SET listed = '2024-02-15' WHERE symbol = 'BTC/USD'")
        instrument = bench.instrument("BTC/USD")
        runs = state_runs(connection, [instrument], Timeframe.D1, now=NOW).to_pylist()
        (summary,) = summarize(connection, [instrument], [Timeframe.D1])
    assert [(run["state"], run["first"]) for run in runs] == [
        ("not_listed", date(2024, 2, 10)),
        ("complete", date(2024, 2, 15)),
        ("not_listed", DELISTED),
    ]
    assert (summary.expected, summary.present) == (34, 34)
    assert summary.outside == 5


def test_a_range_outside_of_the_listing_is_told_and_the_others_are_planned(bench: Workbench) -> None:
    request = IngestRequest(Timeframe.D1, PAIRS, start=day("2023-01-01"), end=day("2024-01-01"))
    prepared = bench.installation.plan_ingest(request)
    assert [instrument.symbol for instrument in prepared.unlisted] == ["BTC/USD"]
    assert [instrument.symbol for instrument in prepared.plan.ranges] == ["ETH/USD"]
    delisted = IngestRequest(Timeframe.D1, PAIRS[:1], start=day("2023-01-01"))
    (span,) = bench.installation.plan_ingest(delisted).plan.ranges.values()
    assert span == (day("2024-02-10"), day("2024-03-20"))
    with pytest.raises(UsageError, match="2024-03-20"):  # without a start the last two weeks are meant
        bench.installation.plan_ingest(IngestRequest(Timeframe.D1, PAIRS[:1]))
    alone = IngestRequest(Timeframe.D1, PAIRS[:1], start=day("2023-01-01"), end=day("2024-01-01"))
    with pytest.raises(
        UsageError, match="BTC/USD was listed from 2024-02-10 until 2024-03-20: there is nothing to req"
    ):
        bench.installation.plan_ingest(alone)


def test_rows_of_a_ticker_that_was_used_before_do_not_reject_the_year(bench: Workbench, server: CoinbaseServer) -> None:
    """They landed before anybody knew when the instrument was listed, and are processed again."""
    warehouse = bench.installation.warehouse
    with warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET listed = NULL, delisted = NULL")
    load(bench, "2024", "2024")
    with warehouse.connection() as connection:
        connection.execute("DELETE FROM market.bars_1d")
        connection.execute("UPDATE market.instrument SET listed = '2024-02-10' WHERE symbol = 'BTC/USD'")
        instruments = {symbol: bench.instrument(symbol) for symbol in PAIRS}
    landing = bench.installation.landing
    pipeline = IngestPipeline(warehouse, BarGate(), instruments, landing=landing, now=NOW)
    limits = bench.installation.providers.limits("coinbase")
    results = {r.partition.symbol: r for r in pipeline.replay(landing.find("coinbase", Timeframe.D1), limits)}
    assert (results["BTC/USD"].status, results["BTC/USD"].quarantined) == ("published", 40)
    assert results["ETH/USD"].quarantined == 0
    with warehouse.connection() as connection:
        (entry,) = list_entries(connection)
    assert (entry.kind, entry.row_count) == ("rows", 40)
    assert entry.reason.startswith("while_listed: 40 rows: 2024-01-01T00:00:00Z")
    assert entry.reason.endswith("; before listing on 2024-02-10")
    first = bench.scalar("SELECT min(ts) FROM market.bars_1d WHERE instrument_id = 1")
    assert first == day("2024-02-10")


# --- removed from universe.yaml


def without(folder: Path, symbol: str) -> None:
    """Remove a symbol from ``universe.yaml``."""
    file = folder / "config" / "universe.yaml"
    universe = yaml.safe_load(file.read_text())
    universe["instruments"] = [each for each in universe["instruments"] if each["symbol"] != symbol]
    file.write_text(yaml.safe_dump(universe))


def wanted(bench: Workbench) -> list[str]:
    """Return the symbols that the schedule and the sensor of repairs request."""
    tick = moment(f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d} 00:30", "UTC")
    resources = {"store": bench.resources["store"]}
    with dg.build_schedule_context(
        instance=bench.instance,
        scheduled_execution_time=tick,
        resources=resources,
        repository_def=bench.repository,
    ) as schedule:
        found = requests(bench.repository.get_schedule_def("always_open_1d_after_close").evaluate_tick(schedule))
    with dg.build_sensor_context(
        instance=bench.instance, repository_def=bench.repository, resources=resources
    ) as sensor:
        found += requests(bench.repository.get_sensor_def("repair_1d").evaluate_tick(sensor))
    corners = [request.tags[end].split("|")[0] for request in found for end in (RANGE_START, RANGE_END)]
    return sorted(set(corners))


def test_a_symbol_that_was_removed_is_requested_no_longer_and_its_history_stays(
    bench: Workbench, tmp_path: Path, server: CoinbaseServer
) -> None:
    with bench.installation.warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET listed = NULL, delisted = NULL")
    load(bench, "2024", "2024")
    stored = bench.scalar("SELECT count(*) FROM market.bars_1d WHERE instrument_id = 1")
    assert wanted(bench) == PAIRS

    without(tmp_path, "BTC/USD")
    with open_workbench(Installation.open(Settings()), bench.instance) as before_init:
        assert wanted(before_init) == ["ETH/USD"]
    installation, report = Installation.create(Settings())
    assert report.removed == ["BTC/USD"]
    assert Installation.create(Settings())[1].removed == []
    with open_workbench(installation, bench.instance) as after:
        assert wanted(after) == ["ETH/USD"]
        assert after.instrument("BTC/USD").is_removed
        assert after.scalar("SELECT count(*) FROM market.bars_1d WHERE instrument_id = 1") == stored
        with after.installation.warehouse.connection() as connection:
            runs = state_runs(connection, [after.instrument("BTC/USD")], Timeframe.D1).to_pylist()
        assert runs[-1]["last"] < datetime.now(UTC).date() + timedelta(days=1)


def test_a_symbol_that_a_command_registered_was_not_removed(bench: Workbench) -> None:
    bench.installation.plan_ingest(IngestRequest(Timeframe.D1, ["SOL/USD"], provider="coinbase"))
    _, report = Installation.create(Settings())
    assert report.removed == []
    bench.register()
    assert "SOL/USD" in wanted(bench)


def test_a_symbol_that_comes_back_is_requested_again(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "config" / "universe.yaml"
    before = file.read_text()
    without(tmp_path, "ETH/USD")
    assert Installation.create(Settings())[1].removed == ["ETH/USD"]
    file.write_text(before)
    installation, report = Installation.create(Settings())
    assert report.removed == []
    assert [i.symbol for i in installation.scheduled_instruments(Timeframe.D1)] == PAIRS
