"""The sample must be what its package publishes, under the present tickers, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pyarrow.compute as pc
import pytest

from chandlery.core.calendars import get_calendar
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderNotFoundError, UsageError
from chandlery.providers.base import BarRequest, Provider
from chandlery.providers.sample import SampleProvider

ALL = ("AAPL", "GOOG", "IBM", "META", "MSFT")
START, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)


def ask(*symbols: str, start: datetime = START, end: datetime = END) -> BarRequest:
    return BarRequest(symbols, Timeframe.D1, start, end)


def test_all_rows_arrive_in_the_canonical_shape() -> None:
    provider: Provider = SampleProvider()
    reply = provider.fetch(ask(*ALL))
    assert reply.failures == {}
    assert reply.bars.schema.equals(BARS)
    assert reply.bars.num_rows == 12_154
    assert set(reply.bars["symbol"].to_pylist()) == set(ALL)
    assert pc.unique(reply.bars["source"]).to_pylist() == ["sample:bokeh"]
    assert reply.bars["vwap"].null_count == reply.bars["trades"].null_count == 12_154


def test_the_prices_are_those_of_the_package_and_unadjusted() -> None:
    from bokeh_sampledata import stocks

    for symbol in ALL:
        published = getattr(stocks, "FB" if symbol == "META" else symbol)
        bars = SampleProvider().fetch(ask(symbol)).bars
        assert [moment.date().isoformat() for moment in bars["ts"].to_pylist()] == list(published["date"])
        for column in ("open", "high", "low", "close", "volume"):
            assert bars[column].to_pylist() == published[column], column


def test_the_unadjusted_close_agrees_with_another_vendor(shared_data: object) -> None:
    import pandas as pd

    reference = pd.read_csv(f"{shared_data}/bars_1d/AAPL.csv.gz", index_col="ts")["close"]
    bars = SampleProvider().fetch(ask("AAPL")).bars
    closes = pd.Series(bars["close"].to_pylist(), index=[f"{moment:%Y-%m-%d}" for moment in bars["ts"].to_pylist()])
    off = (closes / reference.reindex(closes.index) - 1).abs()
    assert off.notna().all()
    assert (off < 0.01).mean() > 0.99


@pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")  # exchange_calendars 4.13
def test_the_days_are_sessions_of_the_exchange() -> None:
    bars = SampleProvider().fetch(ask(*ALL)).bars
    assert get_calendar("XNYS").is_session(bars["ts"].cast("int64").to_numpy()).all()


def test_a_range_is_half_open() -> None:
    day = datetime(2013, 2, 28, tzinfo=UTC)
    bars = SampleProvider().fetch(ask("IBM", "META", start=day, end=day + timedelta(days=1))).bars
    assert bars["ts"].to_pylist() == [day, day]
    assert bars["symbol"].to_pylist() == ["IBM", "META"]
    assert SampleProvider().fetch(ask("IBM", start=day, end=day)).bars.num_rows == 0


def test_an_unknown_symbol_fails_alone() -> None:
    reply = SampleProvider().fetch(ask("FB", "META", "XYZ"))
    assert set(reply.failures) == {"FB", "XYZ"}
    assert all(isinstance(error, ProviderNotFoundError) for error in reply.failures.values())
    assert "META" in str(reply.failures["FB"])
    assert set(reply.bars["symbol"].to_pylist()) == {"META"}
    with pytest.raises(ProviderNotFoundError, match="XYZ"):
        SampleProvider().span("XYZ", Timeframe.D1)


def test_nothing_asked_for_gives_an_empty_table_of_bars() -> None:
    assert SampleProvider().fetch(ask()).bars.schema.equals(BARS)


def test_the_span_ends_after_the_last_day() -> None:
    span = SampleProvider().span("META", Timeframe.D1)
    assert span == (datetime(2012, 5, 18, tzinfo=UTC), datetime(2013, 3, 2, tzinfo=UTC))
    assert SampleProvider().symbols(Timeframe.D1) == sorted(ALL)
    assert date(2013, 3, 1) == (span[1] - timedelta(days=1)).date()


def test_minutes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"1m.*allowed: 1d"):
        SampleProvider().fetch(BarRequest(["AAPL"], Timeframe.M1, START, END))


def test_the_package_is_imported_only_when_needed() -> None:
    code = "import sys, chandlery.providers.sample; sys.exit('bokeh_sampledata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
