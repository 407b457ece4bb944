"""Shares that changed their ticker, by real histories of tickers: who is found under which name, and when."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from chandlery.api.data import DataAPI
from chandlery.config.universe import AliasConfig, InstrumentConfig, load_universe
from chandlery.errors import UnknownSymbolError
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import partitions_between
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import sync_instruments
from chandlery.providers.sample import SampleProvider
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from tests.acceptance.real_library import D1, NOW, dates, session_dates
from tests.support import instruments_of, utc

PROJECT = Path(__file__).parents[2]


class TestRenames:
    def test_a_renamed_share_is_found_by_its_former_ticker_while_it_had_it(
        self, warehouse: Warehouse, shared_data: Path, gate: BarGate
    ) -> None:
        meta = load_universe(PROJECT / "config/universe.yaml").instrument("META")
        [first, _] = read_rename(shared_data / "renames/fb.csv")
        [alias] = meta.aliases
        assert (alias.ticker, alias.valid_from) == ("FB", first[0])
        events = json.loads((shared_data / "recordings/polygon/vX_reference_ticker_events_META.json").read_text())
        [told] = [e["date"] for e in events["results"]["events"] if e["ticker_change"]["ticker"] == "META"]
        xnys = session_dates("XNYS")
        assert date.fromisoformat(told) not in xnys  # a Saturday: the vendor's date is not the one to use
        with warehouse.connection() as connection:
            sync_instruments(connection, [meta])
        provider = SampleProvider()
        span = provider.span("META", D1)
        assert span is not None
        instruments = instruments_of(warehouse)
        partitions = partitions_between(instruments.values(), D1, *span)
        pipeline = IngestPipeline(warehouse, gate, instruments, now=NOW)
        assert {outcome.status for outcome in pipeline.ingest(provider, partitions)} == {"published"}
        api = DataAPI(warehouse)
        year = ("2012-05-18", "2013-01-01")
        bars = api.get_multi_symbol(["FB"], *year, output="arrow")
        assert set(bars["symbol"].to_pylist()) == {"FB"}
        assert dates(bars) == sorted(day for day in xnys if date(2012, 5, 18) <= day < date(2013, 1, 1))
        assert bars.drop_columns("symbol") == api.get_ohlc("META", *year, output="arrow")
        with pytest.raises(UnknownSymbolError, match="META from 2012-05-18 until 2022-06-09"):
            api.get_ohlc("FB", told, "2023-01-01")

    def test_a_ticker_that_passed_on_names_whoever_had_it(self, warehouse: Warehouse, shared_data: Path) -> None:
        configs = {}
        for symbol in ("GOOG", "GOOGL"):
            (start, _), *spells = read_rename(shared_data / f"renames/{symbol.lower()}.csv")
            [(until, former)] = spells[:-1]
            alias = AliasConfig.model_validate({"ticker": former, "from": start, "until": until + timedelta(days=1)})
            configs[symbol] = InstrumentConfig(symbol=symbol, provider="files", calendar="XNYS", aliases=(alias,))
        with warehouse.connection() as connection:
            sync_instruments(connection, [configs["GOOGL"]])
            found = resolve(connection, "GOOG", utc("2014-04-02"), utc("2014-04-03"))
            assert found.symbol == "GOOGL"
            with pytest.raises(UnknownSymbolError, match="GOOGL from 2004-08-19 until 2014-04-03"):
                resolve(connection, "GOOG", utc("2014-04-03"), utc("2014-04-04"))
            sync_instruments(connection, [configs["GOOG"]])
            found = resolve(connection, "GOOCV", utc("2014-03-27"), utc("2014-04-03"))
            assert found.symbol == "GOOG"
            # A canonical symbol names its instrument always, even where another had it as a ticker.
            assert resolve(connection, "GOOG", utc("2014-04-02"), utc("2014-04-03")).symbol == "GOOG"


def read_rename(file: Path) -> list[tuple[date, str]]:
    """Return the first day, then the last day of each spell, with the ticker in capitals."""
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    return [(date.fromisoformat(day), ticker.upper()) for day, ticker, _ in rows]
