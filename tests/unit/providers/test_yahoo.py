"""What is particular to Yahoo: adjustment that must be undone, rows that are no bars, and outages in disguise."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from chandlery.core.calendars import microseconds
from chandlery.core.schema import PRICES
from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ConfigurationError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.base import BarReply, BarRequest, ProviderSetup
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.rate_limit import LocalRateLimiter
from chandlery.providers.http.remote import RemoteOptions
from chandlery.providers.http.splits import Split
from chandlery.providers.yahoo.provider import YahooProvider, write_symbol
from tests.servers.http import Answer, Request
from tests.servers.market import Bars, Market
from tests.servers.yahoo import YahooServer
from tests.support import rows, utc

Body: TypeAlias = dict[str, Any]

M1, D1 = Timeframe.M1, Timeframe.D1
NEW_YORK = "America/New_York"
VALUES = (*PRICES, "volume")
START, END = utc("1990-01-01"), utc("2030-01-01")
AAPL_SPLITS = [
    (utc("2000-06-21"), 2, 1),
    (utc("2005-02-28"), 2, 1),
    (utc("2014-06-09"), 7, 1),
    (utc("2020-08-31"), 4, 1),
]


class Playback(YahooServer):
    """Plays an answer for each interval, whatever the symbol."""

    def __init__(self, answers: Mapping[str, Answer | Body]) -> None:
        super().__init__(Market({}))
        self.answers = dict(answers)

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        played = self.answers[request.query["interval"]]
        return played if isinstance(played, Answer) else Answer(played)


def connect(server: YahooServer) -> YahooProvider:
    caller = Caller("yahoo", LocalRateLimiter(None), timeout=5, attempts=1)
    options = RemoteOptions.model_validate({"url": f"{server.url}/"})
    return YahooProvider(ProviderSetup("yahoo", "yahoo", options, keys={}, calendars={}, caller=caller))


def ask(
    server: YahooServer,
    symbol: str = "AAPL",
    timeframe: Timeframe = D1,
    *,
    start: datetime = START,
    end: datetime = END,
) -> BarReply:
    return connect(server).fetch(BarRequest([symbol], timeframe, start, end))


def play(answers: Mapping[str, Answer | Body], **how: Any) -> BarReply:  # noqa: ANN401 - those of ``ask``
    with Playback(answers) as server:
        return ask(server, **how)


def failure(reply: BarReply, symbol: str = "AAPL") -> ProviderError:
    assert reply.bars.num_rows == 0
    assert list(reply.failures) == [symbol]
    return reply.failures[symbol]


def chart(
    stamps: Sequence[int],
    closes: Sequence[float | None],
    *,
    interval: str = "1d",
    volume: Sequence[float | None] | None = None,
    splits: Sequence[Mapping[str, Any]] = (),
    zone: str = NEW_YORK,
    **meta: object,
) -> Body:
    """Return a chart whose four prices are the same."""
    quote = {name: list(closes) for name in PRICES}
    return {
        "chart": {
            "result": [
                {
                    "meta": {"exchangeTimezoneName": zone, "dataGranularity": interval, **meta},
                    "timestamp": list(stamps),
                    "events": {"splits": {str(split["date"]): split for split in splits}},
                    "indicators": {"quote": [{**quote, "volume": list(volume or [100] * len(stamps))}]},
                }
            ],
            "error": None,
        }
    }


def seconds(text: str) -> int:
    return int(utc(text).timestamp())


def split(on: str, new: float, old: float) -> Body:
    return {"date": seconds(on), "numerator": new, "denominator": old}


NO_DAYS: Body = {
    "chart": {
        "result": [
            {
                "meta": {"exchangeTimezoneName": NEW_YORK, "dataGranularity": "1d"},
                "indicators": {"quote": [{}]},
            }
        ],
        "error": None,
    }
}


# What Yahoo recorded


@pytest.fixture
def recorded(shared_data: Path) -> dict[str, Body]:
    folder = shared_data / "recordings" / "yahoo"
    return {file.stem: json.loads(file.read_text())["response"]["bodyJson"] for file in folder.glob("*.json")}


@pytest.fixture(scope="module")
def aapl(shared_data: Path) -> Bars:
    """The raw daily bars of AAPL, from another source."""
    return _read_days(shared_data / "bars_1d" / "AAPL.csv.gz")


def _read_days(file: Path) -> Bars:
    with gzip.open(file, "rt") as lines:
        table = list(csv.DictReader(lines))
    ts = np.array([microseconds(utc(row["ts"][:10])) for row in table], np.int64)
    return {"ts": ts, **{name: np.array([float(row[name]) for row in table]) for name in VALUES}}


def test_a_recorded_chart_after_a_split_agrees_with_another_source(recorded: dict[str, Body], aapl: Bars) -> None:
    bars = rows(play({"1d": recorded["chart_AAPL_1d_2020-08-31_2020-11-07_split"]}).bars)
    assert len(bars) == 49
    stamps = recorded["chart_AAPL_1d_2020-08-31_2020-11-07_split"]["chart"]["result"][0]["timestamp"]
    assert [f"{bar.ts:%F %T}" for bar in bars] == [f"{datetime.fromtimestamp(at, UTC):%F} 00:00:00" for at in stamps]
    assert bars[0].close == 129.04  # served as 129.0399932861328
    theirs = dict(zip(aapl["ts"].tolist(), aapl["close"].tolist(), strict=True))
    for bar in bars:
        assert bar.close == pytest.approx(theirs[microseconds(bar.ts)], rel=0.005)
    assert bars[0].volume == 225_702_700


def test_a_recorded_chart_before_a_split_is_unadjusted(recorded: dict[str, Body], aapl: Bars) -> None:
    body = recorded["chart_AAPL_1d_2020-01-02"]
    (result,) = body["chart"]["result"]
    result["events"] = recorded["chart_AAPL_1d_2020-08-31_2020-11-07_split"]["chart"]["result"][0]["events"]
    (bar,) = rows(play({"1d": body}).bars)
    place = aapl["ts"].tolist().index(microseconds(bar.ts))
    assert (bar.ts, bar.close, bar.volume, bar.source) == (utc("2020-01-02"), 300.35, 33_870_100, "yahoo")
    assert [bar.open, bar.high, bar.low] == pytest.approx([296.24, 300.6, 295.19])
    assert bar.close == aapl["close"][place]


def test_recorded_dividends_change_nothing(recorded: dict[str, Body]) -> None:
    bars = rows(play({"1d": recorded["chart_MSFT_1d_2021-02-01_2022-01-31_dividends"]}).bars)
    assert len(bars) == 252
    assert (bars[0].ts, bars[0].close) == (utc("2021-02-01"), 239.65)


def test_adjusted_closes_that_differ_between_fetches_are_not_read(recorded: dict[str, Body]) -> None:
    first, second = (recorded[f"chart_AAPL_1d_2020-01-02{again}"] for again in ("", "_refetched"))
    assert play({"1d": first}).bars.equals(play({"1d": second}).bars)


def test_a_recorded_weekend_is_empty(recorded: dict[str, Body]) -> None:
    reply = play({"1m": recorded["chart_AAPL_1m_2025-02-01_no_timestamp"]}, timeframe=M1, **_range("2025-02-01"))
    assert (reply.bars.num_rows, dict(reply.failures)) == (0, {})


def _range(day: str, days: int = 1) -> dict[str, datetime]:
    return {"start": utc(day), "end": utc(day) + timedelta(days=days)}


# Splits are undone


def test_raw_days_come_back_exactly_through_four_splits(aapl: Bars) -> None:
    """23 years, adjusted up to 112-fold and cut to 32 bits."""
    with YahooServer(Market({("AAPL", D1): aapl}), splits={"AAPL": AAPL_SPLITS}) as server:
        bars = ask(server).bars
    assert bars.num_rows == 5_849
    for name in VALUES:
        np.testing.assert_array_equal(bars[name].to_numpy(), aapl[name], err_msg=name)


def test_splits_after_the_range_are_undone_too(aapl: Bars) -> None:
    with YahooServer(Market({("AAPL", D1): aapl}), splits={"AAPL": AAPL_SPLITS}) as server:
        (bar,) = rows(ask(server, **_range("2014-06-06")).bars)
    assert (bar.ts, bar.close) == (utc("2014-06-06"), 645.57)
    assert int(server.requests[0].query["period2"]) >= datetime.now(UTC).timestamp() - 60


@pytest.fixture
def minutes(shared_data: Path) -> Bars:
    """Regular minutes of AAPL on three sessions around its split of seven for one."""
    with gzip.open(shared_data / "bars_1m" / "AAPL.csv.gz", "rt") as lines:
        table = list(csv.DictReader(lines))
    starts = [datetime.fromisoformat(row["ts"]) for row in table]
    kept = [time(9, 30) <= at.astimezone(ZoneInfo(NEW_YORK)).time() < time(16) for at in starts]
    ts = np.array([microseconds(at) for at in starts], np.int64)
    return {"ts": ts[kept], **{name: np.array([float(row[name]) for row in table])[kept] for name in VALUES}}


def test_raw_minutes_come_back_exactly(aapl: Bars, minutes: Bars) -> None:
    """With the splits of a chart of days up to the present."""
    market = Market({("AAPL", D1): aapl, ("AAPL", M1): minutes})
    with YahooServer(market, splits={"AAPL": AAPL_SPLITS}) as server:
        bars = ask(server, timeframe=M1, **_range("2014-06-05", 5)).bars
    assert bars.num_rows == 3 * 390
    for name in VALUES:
        np.testing.assert_array_equal(bars[name].to_numpy(), minutes[name], err_msg=name)
    assert [request.query["interval"] for request in server.requests] == ["1m", "1d"]


@pytest.mark.parametrize("late", [{D1}, {M1}, {M1, D1}])
def test_prices_that_yahoo_did_not_adjust_yet_are_refused(aapl: Bars, minutes: Bars, late: set[Timeframe]) -> None:
    """As on the morning of a split, when it is reported but not applied."""
    market = Market({("AAPL", D1): aapl, ("AAPL", M1): minutes})
    with YahooServer(market, splits={"AAPL": AAPL_SPLITS}) as server:
        server.late = frozenset(late)
        error = failure(ask(server, timeframe=M1, **_range("2014-06-06", 4)))
    assert isinstance(error, ProviderBadDataError)
    assert "split of 7 for 1 on 2014-06-09" in str(error)


@pytest.mark.parametrize(
    ("file", "reason", "raw"),
    [
        # Five for one on 2023-03-30; all but the last session before it were left as they were.
        ("4063-T-1d-bad-stock-split", "step 5-fold on 2023-03-29", ("2023-03-28", 20_710, 901_100)),
        # One for ten on 2023-05-24; one session before it was left as it was.
        ("MOB-ST-1d-bad-stock-split", "step 10.1-fold on 2023-05-22", ("2023-05-22", 2.275, 340_220)),
    ],
)
def test_real_charts_adjusted_in_part_are_refused_and_mended_ones_served(
    shared_data: Path, file: str, reason: str, raw: tuple[str, float, float]
) -> None:
    error = failure(play({"1d": _defect(shared_data, file)}, symbol="4063.T"), "4063.T")
    assert isinstance(error, ProviderBadDataError)
    assert reason in str(error)
    bars = {bar.ts: bar for bar in rows(play({"1d": _defect(shared_data, f"{file}-fixed")}, symbol="4063.T").bars)}
    day, close, volume = raw
    assert (bars[utc(day)].close, bars[utc(day)].volume) == (pytest.approx(close, rel=1e-6), volume)


def _defect(shared_data: Path, file: str) -> Body:
    with (shared_data / "defects" / f"{file}.csv").open() as lines:
        table = sorted(csv.DictReader(lines), key=lambda row: row["Date"])
    at = [int(datetime.fromisoformat(row["Date"]).timestamp()) for row in table]
    body = chart(
        at,
        [],
        volume=[float(row["Volume"]) for row in table],
        splits=[
            {"date": stamp, "numerator": float(row["Stock Splits"]), "denominator": 1}
            for stamp, row in zip(at, table, strict=True)
            if float(row["Stock Splits"])
        ],
        zone="Asia/Tokyo" if file.startswith("4063") else "Europe/Stockholm",
    )
    quote = body["chart"]["result"][0]["indicators"]["quote"][0]
    quote |= {name: [float(row[name.title()]) for row in table] for name in PRICES}
    return body


@pytest.mark.parametrize(
    "event",
    [
        split("2024-05-02 13:30", 0, 1),
        split("2024-05-02 13:30", 4, 0),
        split("2024-05-02 13:30", -4, 1),
        split("2024-05-02 13:30", float("nan"), 1),
        {"date": seconds("2024-05-02 13:30"), "splitRatio": "4:1"},
        {"date": seconds("2024-05-02 13:30"), "numerator": None, "denominator": 1},
    ],
)
def test_a_split_without_a_ratio_is_refused(event: Body) -> None:
    stamps = [seconds("2024-05-01 13:30"), seconds("2024-05-02 13:30")]
    assert isinstance(failure(play({"1d": chart(stamps, [10, 10], splits=[event])})), ProviderBadDataError)


def test_a_small_split_is_undone_even_on_a_day_that_moves_as_much() -> None:
    """Five for four: an overnight fall by a fifth is news, not evidence."""
    stamps = [seconds("2024-05-01 13:30"), seconds("2024-05-02 13:30")]
    bars = rows(play({"1d": chart(stamps, [10, 8], splits=[split("2024-05-02 13:30", 5, 4)])}).bars)
    assert [(bar.close, bar.volume) for bar in bars] == [(12.5, 80), (8, 100)]


def test_a_consolidation_is_undone() -> None:
    stamps = [seconds("2024-05-01 13:30"), seconds("2024-05-02 13:30")]
    bars = rows(play({"1d": chart(stamps, [22.75, 22], splits=[split("2024-05-02 13:30", 1, 10)])}).bars)
    assert [(bar.close, bar.volume) for bar in bars] == [(2.275, 1000), (22, 100)]


def test_a_crash_long_after_a_split_is_served(aapl: Bars) -> None:
    """AAPL halved on 2000-09-29, three months after two for one."""
    with YahooServer(Market({("AAPL", D1): aapl}), splits={"AAPL": AAPL_SPLITS}) as server:
        bars = rows(ask(server, start=utc("2000-06-01"), end=utc("2000-10-10")).bars)
    closes = {bar.ts: bar.close for bar in bars}
    assert (closes[utc("2000-09-28")], closes[utc("2000-09-29")]) == (53.38, 25.81)


def test_a_split_has_a_ratio() -> None:
    with pytest.raises(ValueError, match="split of 0 for 1 on 1970-01-01"):
        Split(0, 0.0)


# Noise of 32-bit floats


@pytest.mark.parametrize(
    ("served", "meant"),
    [
        (75.0875015258789, 75.0875),
        (129.0399932861328, 129.04),
        (0.00012345999130047858, 0.00012346),
        (67123.453125, 67123.45),
        (10.123456789, 10.123456789),  # no 32-bit float: as it is
        (187.5, 187.5),
        (0.0, 0.0),
        (-1.5, -1.5),
    ],
)
def test_prices_are_rounded_to_what_their_format_can_hold(served: float, meant: float) -> None:
    (bar,) = rows(play({"1d": chart([seconds("2024-05-01 13:30")], [served])}).bars)
    assert [bar.open, bar.high, bar.low, bar.close] == [meant] * 4


# Rows that are no bars


def test_minutes_without_a_trade_are_left_out() -> None:
    first = seconds("2024-05-01 13:30")
    body = chart(
        [first, first + 60, first + 120],
        [10, None, 11],
        volume=[5, None, None],
        interval="1m",
    )
    bars = rows(play({"1m": body, "1d": NO_DAYS}, timeframe=M1, **_range("2024-05-01")).bars)
    assert [(bar.ts, bar.close, bar.volume) for bar in bars] == [
        (utc("2024-05-01 13:30"), 10, 5),
        (utc("2024-05-01 13:32"), 11, None),
    ]


def test_a_bar_that_lacks_one_price_is_passed_on() -> None:
    body = chart([seconds("2024-05-01 13:30")], [10])
    body["chart"]["result"][0]["indicators"]["quote"][0]["open"] = [None]
    (bar,) = rows(play({"1d": body}).bars)
    assert np.isnan(bar.open)
    assert bar.close == 10


def test_the_last_price_is_not_a_minute() -> None:
    """Nor are rows after the close of a short day."""
    opens, closes = seconds("2024-07-03 13:30"), seconds("2024-07-03 17:00")
    stamps = [opens, opens + 73, closes - 60, closes, closes + 600]
    periods = [[{"start": opens, "end": closes}]]
    body = chart(stamps, [10, 12, 11, 11, 11], interval="1m", tradingPeriods=periods)
    bars = rows(play({"1m": body, "1d": NO_DAYS}, timeframe=M1, **_range("2024-07-03")).bars)
    assert [bar.ts for bar in bars] == [utc("2024-07-03 13:30"), utc("2024-07-03 16:59")]


def test_a_market_that_never_closes_has_its_last_minute() -> None:
    market = Market.invent(["BTC/USD"], M1, utc("2024-05-01"), utc("2024-05-03"))
    with YahooServer(market) as server:
        bars = ask(server, "BTC/USD", M1, **_range("2024-05-01", 2)).bars
    assert bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64).tolist() == (
        market.bars["BTC/USD", M1]["ts"].tolist()
    )
    assert utc("2024-05-01 23:59") in bars["ts"].to_pylist()
    assert server.requests[0].path.endswith("/BTC-USD")


def test_the_last_of_two_rows_of_today_counts() -> None:
    """While the market is open, the day comes twice; the second is the newer."""
    body = chart([seconds("2024-05-01 13:30"), seconds("2024-05-01 18:12:07")], [10, 11])
    (bar,) = rows(play({"1d": body}).bars)
    assert (bar.ts, bar.close) == (utc("2024-05-01"), 11)


@pytest.mark.parametrize(
    ("zone", "stamp", "day"),
    [
        ("Asia/Tokyo", "2024-05-01 00:00", "2024-05-01"),
        ("Australia/Sydney", "2024-01-09 23:00", "2024-01-10"),  # 10:00 of the next day there
        ("Europe/London", "2024-05-01 07:00", "2024-05-01"),
        ("America/Sao_Paulo", "2022-01-05 02:00", "2022-01-05"),  # an hour early, at 23:00 of the day before
        ("UTC", "2024-05-01 00:00", "2024-05-01"),
    ],
)
def test_a_day_is_that_of_the_exchange(zone: str, stamp: str, day: str) -> None:
    body = chart([seconds(stamp)], [10], zone=zone)
    (bar,) = rows(play({"1d": body}, **_range(day)).bars)
    assert bar.ts == utc(day)


def test_the_day_of_a_session_that_opens_before_midnight_is_asked_for() -> None:
    with Playback({"1d": chart([seconds("2024-01-09 23:00")], [10], zone="Australia/Sydney")}) as server:
        assert ask(server, "BHP.AX", **_range("2024-01-10")).bars.num_rows == 1
    assert int(server.requests[0].query["period1"]) <= seconds("2024-01-09 21:00")


# Calls


@pytest.mark.parametrize(("module", "package"), [("yfinance", "yfinance"), ("curl_cffi", "curl-cffi")])
def test_without_its_extra_it_is_refused_with_what_to_install(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python remembers a module that is not there
    expected = rf"^provider 'yahoo' needs {package}; install it with pip install 'chandlery\[yahoo\]'$"
    with YahooServer(Market({})) as server, pytest.raises(ConfigurationError, match=expected):
        connect(server)


def test_a_month_of_minutes_takes_windows_of_a_week() -> None:
    start, end = utc("2024-04-01"), utc("2024-05-01")
    market = Market.invent(["AAPL"], M1, start, end) | Market.invent(["AAPL"], D1, start, end)
    with YahooServer(market) as server:
        provider = connect(server)
        bars = provider.fetch(BarRequest(["AAPL"], M1, start, end)).bars
    np.testing.assert_array_equal(
        bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64), market.bars["AAPL", M1]["ts"]
    )
    windows = [(int(r.query["period1"]), int(r.query["period2"])) for r in server.requests[:-1]]
    assert [windows[0][0], windows[-1][1]] == [int(start.timestamp()), int(end.timestamp())]
    assert all(before[1] == after[0] for before, after in pairwise(windows))
    assert [request.query["interval"] for request in server.requests] == ["1m"] * 5 + ["1d"]
    # Every request is a call: no cookie, no crumb, no second try behind our back.
    assert len(server.paths) == provider.caller.made == 6


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 999])
def test_the_client_does_not_ask_again_by_itself(status: int) -> None:
    with Playback({"1d": Answer({"finance": {"error": "any"}}, status)}) as server, pytest.raises(ProviderError):
        raise failure(ask(server))
    assert len(server.paths) == 1


def test_nothing_is_answered_from_a_cache() -> None:
    at = seconds("2024-05-01 13:30")
    with Playback({"1d": chart([at], [10])}) as server:
        provider = connect(server)
        request = BarRequest(["AAPL"], D1, utc("2024-05-01"), utc("2024-05-02"))
        assert provider.fetch(request).bars["close"].to_pylist() == [10]
        server.answers["1d"] = chart([at], [11])
        assert provider.fetch(request).bars["close"].to_pylist() == [11]


def test_two_providers_and_other_users_of_yfinance_do_not_meet() -> None:
    from yfinance.data import YfData

    before = dict(type(YfData)._instances)
    at = seconds("2024-05-01 13:30")
    with Playback({"1d": chart([at], [10])}) as one, Playback({"1d": chart([at], [20])}) as two:
        first, second = connect(one), connect(two)
        request = BarRequest(["AAPL"], D1, utc("2024-05-01"), utc("2024-05-02"))
        assert second.fetch(request).bars["close"].to_pylist() == [20]
        assert first.fetch(request).bars["close"].to_pylist() == [10]
    assert type(YfData)._instances == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning:yfinance.*")
@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
def test_the_server_is_one_that_yfinance_itself_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the adapter would be tested against a format of our own."""
    import yfinance
    from curl_cffi.requests import Session
    from yfinance.data import YfData

    yfinance.set_tz_cache_location(str(tmp_path))
    monkeypatch.setattr(type(YfData), "_instances", {})
    market = Market.invent(["AAPL"], D1, utc("2024-04-01"), utc("2024-05-01"))
    market |= Market.invent(["AAPL"], M1, utc("2024-04-29"), utc("2024-05-01"))
    with YahooServer(market, splits={"AAPL": [(utc("2024-04-15"), 4, 1)]}) as server:

        class Loopback(Session):  # type: ignore[type-arg]
            def request(self, method: Any, url: str, **how: Any) -> Any:  # type: ignore[override]  # noqa: ANN401
                return super().request(method, server.url + (urlsplit(url).path or "/"), **how)

        ticker = yfinance.Ticker("AAPL", session=Loopback())
        days = ticker.history(start="2024-04-01", end="2024-05-01", auto_adjust=False)
        minutes = ticker.history(start="2024-04-29", end="2024-05-01", interval="1m", auto_adjust=False)
    assert days["Stock Splits"].max() == 4
    assert len(minutes) == len(market.bars["AAPL", M1]["ts"])
    expected = market.bars["AAPL", D1]
    factor = np.where(expected["ts"] < microseconds(utc("2024-04-15")), 4, 1)
    np.testing.assert_allclose(days["Close"].to_numpy(), expected["close"] / factor, rtol=1e-7)
    assert {"/", "/v1/test/getcrumb"} <= set(server.paths)


# Refusals


def _refusal(status: int, code: str, description: str) -> Answer:
    return Answer({"chart": {"result": None, "error": {"code": code, "description": description}}}, status)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_refusal(404, "Not Found", "No data found, symbol may be delisted"), ProviderNotFoundError),
        (Answer("<html>not here</html>", 404), ProviderTransientError),
        (Answer("Edge: Too Many Requests", 429), ProviderRateLimitError),
        (Answer("denied", 999), ProviderTransientError),
        (Answer("<html>Will be right back...</html>"), ProviderTransientError),
        (_refusal(422, "Unprocessable Entity", "1m data not available for startTime=1"), ProviderBadDataError),
        (Answer({"chart": {"result": None, "error": {"code": "any"}}}), ProviderBadDataError),
        (Answer({"chart": {"result": [], "error": None}}), ProviderBadDataError),
        (Answer([1, 2]), ProviderBadDataError),
        (Answer(chart([seconds("2024-05-01 13:30")], [10], interval="1mo")), ProviderBadDataError),
        (Answer(chart([seconds("2024-05-01 13:30")], [10, 11])), ProviderBadDataError),
        (Answer(chart([seconds("2024-05-01 13:30")], [10], zone="Nowhere/AtAll")), ProviderBadDataError),
    ],
)
def test_what_yahoo_refuses_or_garbles_is_told_apart(answer: Answer, kind: type[ProviderError]) -> None:
    error = failure(play({"1d": answer}))
    assert type(error) is kind
    assert str(error).startswith("yahoo: AAPL 1d 1990-01-01..2030-01-01: ")


def test_a_range_without_any_day_is_empty() -> None:
    text = "Data doesn't exist for startDate = 0, endDate = 86400"
    reply = play({"1d": _refusal(400, "Bad Request", text)})
    assert (reply.bars.num_rows, dict(reply.failures)) == (0, {})


@pytest.mark.parametrize("missing", ["timestamp", "meta"])
def test_prices_without_times_or_zone_are_refused(missing: str) -> None:
    body = chart([seconds("2024-05-01 13:30")], [10])
    del body["chart"]["result"][0][missing]
    assert isinstance(failure(play({"1d": body})), ProviderBadDataError)


@pytest.mark.parametrize(
    ("symbol", "theirs"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK-B"),
        ("BTC/USD", "BTC-USD"),
        ("VOD.L", "VOD.L"),
        ("4063.T", "4063.T"),
        ("MOB.ST", "MOB.ST"),
        ("SAP.DE", "SAP.DE"),
    ],
)
def test_symbols_are_written_as_yahoo_does(symbol: str, theirs: str) -> None:
    assert write_symbol(symbol) == theirs


CRUMB = {"finance": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}


@pytest.mark.parametrize("status", [200, 401, 403])
def test_a_refusal_of_a_service_without_keys_speaks_of_none_and_is_tried_again(status: int) -> None:
    error = failure(play({"1d": Answer(CRUMB, status)}))
    assert isinstance(error, ProviderTransientError)
    assert "Invalid Crumb" in str(error)
    assert "key" not in str(error)


@pytest.mark.parametrize(
    ("code", "description", "kind"),
    [
        ("Internal Server Error", "try again later", ProviderTransientError),
        ("Too Many Requests", "slow down", ProviderRateLimitError),
        ("Not Found", "No data found, symbol may be delisted", ProviderNotFoundError),
        ("Bad Request", "invalid interval", ProviderBadDataError),
    ],
)
def test_an_error_in_a_good_answer_is_told_in_its_words(code: str, description: str, kind: type[ProviderError]) -> None:
    body = {"chart": {"result": None, "error": {"code": code, "description": description}}}
    error = failure(play({"1d": body}))
    assert type(error) is kind
    assert f"{code}: {description}" in str(error)


def test_a_range_before_the_first_day_is_no_bars_also_in_a_good_answer() -> None:
    text = "Data doesn't exist for startDate = 1, endDate = 2"
    reply = play({"1d": {"chart": {"result": None, "error": {"code": "Bad Request", "description": text}}}})
    assert (reply.failures, reply.bars.num_rows) == ({}, 0)
