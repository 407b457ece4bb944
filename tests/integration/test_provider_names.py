"""Several providers of one kind: what each brings is told apart by its configured name, all the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from chandlery.core.schema import PRICES
from chandlery.core.timeframe import Timeframe
from tests.pipeline import Workbench, failure_text, install, open_workbench, simulate, write_file
from tests.remote import coinbase_at
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import utc

D1, M1 = Timeframe.D1, Timeframe.M1
START, END = utc("2024-02-27"), utc("2024-03-01")
FILES = {"AAA": "files", "BBB": "backup"}
PAIRS = {"BTC/USD": "coinbase", "ETH/USD": "second-desk"}


@pytest.fixture
def server() -> Iterator[CoinbaseServer]:
    with CoinbaseServer(Market.invent(list(PAIRS), M1, START, END), page=350) as server:
        yield server


@pytest.fixture
def bench(
    server: CoinbaseServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    """Two folders with a file each, and one server that is configured twice."""
    instruments = [{"symbol": symbol, "provider": name, "timeframes": ["1d"]} for symbol, name in FILES.items()]
    instruments += [{"symbol": symbol, "provider": name, "timeframes": ["1m"]} for symbol, name in PAIRS.items()]
    remote = coinbase_at(server)
    backup = {"kind": "files", "options": {"path": "backup/data"}}
    providers = {"backup": backup, "coinbase": remote, "second-desk": remote}
    for symbol, folder in (("AAA", tmp_path), ("BBB", tmp_path / "backup")):
        write_file(folder, symbol, D1, with_one_bad_row(simulate([symbol], D1, "2023-01-01", "2024-01-01")))
    with open_workbench(install(tmp_path, database_url, monkeypatch, instruments, providers)) as bench:
        yield bench


def with_one_bad_row(bars: pa.Table) -> pa.Table:
    """Return ``bars`` with prices in the last one that the gate rejects."""
    for name in PRICES:
        column = bars.schema.get_field_index(name)
        bars = bars.set_column(column, name, pa.array([*bars[name].to_pylist()[:-1], -1.0]))
    return bars


def load(bench: Workbench, symbol: str, timeframe: Timeframe, window: str) -> None:
    config = {"ranges": {symbol: [START.isoformat(), END.isoformat()]}} if timeframe is M1 else None
    result = bench.materialize(timeframe.table, f"{symbol}|{window}", config=config)
    assert result.success, failure_text(result)


def select(bench: Workbench, statement: str) -> set[tuple[str, str]]:
    with bench.installation.warehouse.connection() as connection:
        return {(str(symbol), str(name)) for symbol, name in connection.execute(statement.encode()).fetchall()}


def test_two_folders_are_told_apart_in_rows_and_in_quarantine(bench: Workbench) -> None:
    for symbol in FILES:
        load(bench, symbol, D1, "2023")
    assert select(
        bench,
        "SELECT DISTINCT i.symbol, s.name FROM market.bars_1d AS b"
        " JOIN market.instrument AS i USING (instrument_id) JOIN market.source AS s ON s.source_id = b.source",
    ) == {("AAA", "files"), ("BBB", "files:backup")}
    assert select(
        bench, "SELECT i.symbol, q.provider FROM ops.quarantine AS q JOIN market.instrument AS i USING (instrument_id)"
    ) == {("AAA", "files"), ("BBB", "backup")}


def test_one_vendor_under_two_names_lands_in_two_places(bench: Workbench, server: CoinbaseServer) -> None:
    for symbol in PAIRS:
        load(bench, symbol, M1, "2024-02")
    assert select(
        bench,
        "SELECT DISTINCT i.symbol, s.name FROM market.bars_1m AS b"
        " JOIN market.instrument AS i USING (instrument_id) JOIN market.source AS s ON s.source_id = b.source",
    ) == {("BTC/USD", "coinbase"), ("ETH/USD", "coinbase:second-desk")}
    assert select(bench, "SELECT DISTINCT symbols[1], provider FROM ops.landing") == set(PAIRS.items())
    assert select(bench, "SELECT DISTINCT symbols[1], split_part(path, '/', 1) FROM ops.landing") == set(PAIRS.items())
    # Without a key, a vendor's limit belongs to the provider.
    assert select(bench, "SELECT name, '' FROM ops.rate_limit") == {
        ("coinbase:coinbase", ""),
        ("coinbase:second-desk", ""),
    }
    assert len(server.requests) == 2 * -(-(END - START) // timedelta(minutes=350))
