"""Invented bars must be the same every time, consistent in themselves, and at home in their calendar."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from chandlery.core.calendars import get_calendar, microseconds
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.providers.base import BarRequest, Provider
from chandlery.providers.simulated.provider import SimulatedProvider

# exchange_calendars 4.13 reads Series.values, which pandas 3.1 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning:pandas.errors.Pandas4Warning")

M1, D1 = Timeframe.M1, Timeframe.D1
START, END = datetime(2023, 11, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
SYMBOLS = ("AAPL", "BTC/USD", "BRK.B", "XRP-ETH")


def bars(
    *symbols: str, timeframe: Timeframe = M1, start: datetime = START, end: datetime = END, seed: int = 7
) -> pa.Table:
    reply = SimulatedProvider(seed).fetch(BarRequest(symbols, timeframe, start, end))
    assert reply.failures == {}
    return reply.bars


def frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas().astype({"symbol": str, "source": str})


def digest(table: pa.Table) -> str:
    columns = (table[name].combine_chunks() for name in BARS.names if name not in {"symbol", "source"})
    return hashlib.sha256(b"".join(np.asarray(column).tobytes() for column in columns)).hexdigest()


@pytest.mark.parametrize("timeframe", [M1, D1])
def test_the_reply_has_the_canonical_shape(timeframe: Timeframe) -> None:
    provider: Provider = SimulatedProvider()
    table = provider.fetch(BarRequest(SYMBOLS, timeframe, START, END)).bars
    assert table.schema.equals(BARS)
    assert all(column.num_chunks == 1 and column.null_count == 0 for column in table.columns)
    assert table["source"].unique().to_pylist() == ["simulated"]
    assert table["symbol"].unique().to_pylist() == list(SYMBOLS)
    assert provider.span("AAPL", timeframe) is None


@pytest.mark.parametrize("timeframe", [M1, D1])
def test_every_bar_is_possible(timeframe: Timeframe) -> None:
    table = frame(bars(*SYMBOLS, timeframe=timeframe))
    assert (table["low"] <= table[["open", "close"]].min(axis=1)).all()
    assert (table["high"] >= table[["open", "close"]].max(axis=1)).all()
    assert table["vwap"].between(table["low"], table["high"]).all()
    assert (table["low"] > 0).all()
    assert (table["volume"] > 0).all()
    assert (table["trades"] > 0).all()
    assert not table.duplicated(["symbol", "ts"]).any()
    for name in ("open", "high", "low", "close"):
        assert (table[name] == (table[name] * 100).round() / 100).all(), name
    coins = table["symbol"].str.contains("[/-]")
    assert (table.loc[~coins, "volume"] % 1 == 0).all()
    assert (table["volume"] == (table["volume"] * 10_000).round() / 10_000).all()


@pytest.mark.parametrize("timeframe", [M1, D1])
def test_a_part_of_a_range_is_exactly_that_part_of_the_whole(timeframe: Timeframe) -> None:
    # Half a year makes several blocks of sessions, so parts are cut and grouped differently from the whole.
    first = datetime(2023, 7, 1, tzinfo=UTC)
    whole = {symbol: bars(symbol, timeframe=timeframe, start=first) for symbol in SYMBOLS}
    rng = np.random.default_rng(1)
    for _ in range(12):
        cut = sorted(first + timedelta(minutes=int(minute)) for minute in rng.integers(0, 184 * 1440, 2))
        for symbol, table in whole.items():
            ts = table["ts"].cast(pa.int64()).to_numpy()
            low, high = np.searchsorted(ts, [microseconds(moment) for moment in cut])
            part = bars(symbol, timeframe=timeframe, start=cut[0], end=cut[1])
            assert part.num_rows == high - low
            assert digest(part) == digest(table.slice(low, high - low).combine_chunks())


def test_another_process_makes_the_same_bars() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore');"
        "from datetime import datetime, UTC; from chandlery.providers.base import BarRequest;"
        "from chandlery.providers.simulated.provider import SimulatedProvider;"
        "from chandlery.core.timeframe import Timeframe;"
        "r = BarRequest(['AAPL'], Timeframe.M1, datetime(2023, 12, 1, tzinfo=UTC), datetime(2023, 12, 5, tzinfo=UTC));"
        "t = SimulatedProvider(7).fetch(r).bars; print(t['close'].to_pylist() + t['volume'].to_pylist())"
    )
    env = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(path for path in sys.path if path)}
    seen = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout
    here = bars("AAPL", start=datetime(2023, 12, 1, tzinfo=UTC), end=datetime(2023, 12, 5, tzinfo=UTC))
    assert seen.strip() == str(here["close"].to_pylist() + here["volume"].to_pylist())


def test_company_does_not_change_a_symbol() -> None:
    together = frame(bars("MSFT", "BTC/USD", "AAPL"))
    alone = frame(bars("AAPL"))
    pd.testing.assert_frame_equal(together[together["symbol"] == "AAPL"].reset_index(drop=True), alone)
    assert bars("AAPL", "AAPL").num_rows == len(alone)


def test_another_seed_or_symbol_is_another_story() -> None:
    stories = [digest(table) for table in (bars("AAPL"), bars("AAPL", seed=8), bars("MSFT"), bars("AAPL", seed=-1))]
    assert len(set(stories)) == 4


def test_minutes_add_up_to_the_day() -> None:
    for symbol in SYMBOLS:
        minutes, days = frame(bars(symbol)), frame(bars(symbol, timeframe=D1))
        by_day = minutes.groupby(minutes["ts"].dt.floor("D"))
        assert list(by_day.groups) == list(days["ts"])
        for name, how in {"open": "first", "high": "max", "low": "min", "close": "last", "trades": "sum"}.items():
            assert (by_day[name].agg(how).to_numpy() == days[name].to_numpy()).all(), name
        np.testing.assert_allclose(by_day["volume"].sum(), days["volume"], rtol=1e-12)
        vwap = (minutes["vwap"] * minutes["volume"]).groupby(minutes["ts"].dt.floor("D")).sum() / by_day["volume"].sum()
        np.testing.assert_allclose(vwap, days["vwap"], rtol=0.05)


def test_bars_lie_within_their_sessions_and_few_minutes_are_thin() -> None:
    for symbol, calendar_name in (("AAPL", "XNYS"), ("BTC/USD", "24/7")):
        calendar = get_calendar(calendar_name)
        ts = bars(symbol)["ts"].cast(pa.int64()).to_numpy()
        assert calendar.session_of(ts)[1].all()
        assert (ts % 60_000_000 == 0).all()
        where = calendar.between(START, END)
        expected = int(((calendar.closes[where] - calendar.opens[where]) // 60_000_000).sum())
        assert 0.990 < len(ts) / expected < 0.999
        assert len(np.unique(calendar.session_of(ts)[0])) == where.stop - where.start


def test_a_half_day_ends_at_its_early_close() -> None:
    day = datetime(2023, 11, 24, tzinfo=UTC)
    stamps = bars("AAPL", start=day, end=day + timedelta(days=1))["ts"].to_pylist()
    assert stamps[0] == day + timedelta(hours=14, minutes=30)
    assert stamps[-1] == day + timedelta(hours=17, minutes=59)


def test_a_holiday_has_no_bars() -> None:
    day = datetime(2023, 12, 25, tzinfo=UTC)
    for timeframe in (M1, D1):
        assert bars("AAPL", timeframe=timeframe, start=day, end=day + timedelta(days=1)).num_rows == 0
        assert bars("BTC/USD", timeframe=timeframe, start=day, end=day + timedelta(days=1)).num_rows > 0


def test_the_calendar_can_be_chosen() -> None:
    day = datetime(2023, 12, 25, tzinfo=UTC)
    request = BarRequest(["AAPL"], D1, day, day + timedelta(days=1))
    assert SimulatedProvider(calendars={"AAPL": "24/7"}).fetch(request).bars.num_rows == 1
    with pytest.raises(UsageError, match="NOWHERE"):
        SimulatedProvider(calendars={"AAPL": "NOWHERE"}).fetch(request)


def test_prices_move_as_prices_do() -> None:
    years = {"start": datetime(2004, 1, 1, tzinfo=UTC), "timeframe": D1}
    for symbol in ("AAPL", "BTC/USD"):
        days = frame(bars(symbol, **years))
        returns = np.log(days["close"]).diff().dropna()
        assert 0.005 < returns.std() < 0.06
        assert returns.abs().max() < 0.3
        gap = np.log(days["open"] / days["close"].shift()).dropna()
        assert gap.std() < returns.std()
    coin = frame(bars("BTC/USD"))
    assert (coin["open"].iloc[1:].to_numpy() == coin["close"].iloc[:-1].to_numpy()).mean() > 0.99


def test_a_stock_is_busiest_at_the_open_and_the_close() -> None:
    table = frame(bars("AAPL"))
    hour = table["ts"].dt.hour * 60 + table["ts"].dt.minute
    full = table["ts"].dt.date.astype(str) > "2023-11-26"  # one offset and no half day
    by_minute = table[full].groupby(hour[full])["volume"].mean()
    assert by_minute.loc[870:900].mean() > 1.5 * by_minute.loc[1030:1090].mean()
    assert by_minute.loc[1230:1259].mean() > 1.5 * by_minute.loc[1030:1090].mean()


def test_a_derived_timeframe_is_refused() -> None:
    with pytest.raises(UsageError, match=r"1h.*allowed: 1m 1d"):
        bars("AAPL", timeframe=Timeframe.H1)


def test_nothing_asked_for_gives_an_empty_table_of_bars() -> None:
    assert bars().schema.equals(BARS)
    assert bars("AAPL", start=START, end=START).num_rows == 0
