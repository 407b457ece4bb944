"""What is particular to Alpaca: its stamps, its pages, its two endpoints, and its ways to refuse."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.alpaca import AlpacaOptions, AlpacaProvider
from chandlery.providers.base import BarReply, BarRequest, ProviderSetup
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.errors import NotEntitledError
from chandlery.providers.http.rate_limit import LocalRateLimiter
from tests.servers.alpaca import AlpacaServer
from tests.servers.http import Answer, Fault, Request
from tests.servers.market import Market
from tests.support import Bar, rows, utc

pytestmark = pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")

Body: TypeAlias = dict[str, Any]
Recorded: TypeAlias = Callable[[str], Body]

M1, D1 = Timeframe.M1, Timeframe.D1
KEY, SECRET = "PK-RIGHT-KEY", "right/secret+material"
START, END = utc("2024-04-29"), utc("2024-05-02")


class Playback(AlpacaServer):
    """Plays recorded answers, one a request, once key and parameters were found good."""

    def __init__(self, *answers: Answer | Body) -> None:
        super().__init__(Market({}), key=KEY, secret=SECRET)
        self.answers = deque(answers)

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        if refusal := self.refusal(request):
            return refusal
        played = self.answers.popleft()
        return played if isinstance(played, Answer) else Answer(played)


def page(bars: Mapping[str, Sequence[Mapping[str, Any]]], following: str | None = None) -> Body:
    return {"bars": bars, "next_page_token": following}


def bar(t: str = "2024-04-29T13:30:00Z", **changed: object) -> Body:
    return {"t": t, "o": 10, "h": 12, "l": 9, "c": 11, "v": 100, "n": 7, "vw": 10.5, **changed}


def connect(
    server: AlpacaServer,
    *,
    key: str = KEY,
    secret: str = SECRET,
    feed: str = "iex",
    delay: int = 0,
    attempts: int = 1,
    rate_limiter: LocalRateLimiter | None = None,
    wait: Callable[[float], object] | None = None,
) -> AlpacaProvider:
    keys = {"key": SecretStr(key), "secret": SecretStr(secret)}
    rate_limiter = rate_limiter or LocalRateLimiter(None)
    caller = Caller("alpaca", rate_limiter, timeout=5, attempts=attempts, secrets=[*keys.values()], wait=wait)
    options = AlpacaOptions.model_validate({"url": f"{server.url}/", "feed": feed, "delay": delay})
    return AlpacaProvider(ProviderSetup("alpaca", "alpaca", options, keys=keys, calendars={}, caller=caller))


def ask(
    provider: AlpacaProvider, *symbols: str, timeframe: Timeframe = M1, start: datetime = START, end: datetime = END
) -> BarReply:
    return provider.fetch(BarRequest(symbols, timeframe, start, end))


def play(
    *answers: Answer | Body,
    symbols: Sequence[str] = ("AAPL",),
    timeframe: Timeframe = M1,
    start: datetime = START,
    end: datetime = END,
) -> BarReply:
    with Playback(*answers) as server:
        reply = ask(connect(server), *symbols, timeframe=timeframe, start=start, end=end)
    assert not server.answers
    return reply


@pytest.fixture
def market() -> Market:
    symbols = ["AAPL", "BRK.B", "BTC/USD"]
    return Market.invent(symbols, M1, START, END) | Market.invent(symbols, D1, START, END)


@pytest.fixture
def server(market: Market) -> Iterator[AlpacaServer]:
    with AlpacaServer(market, key=KEY, secret=SECRET) as server:
        yield server


@pytest.fixture
def recorded(shared_data: Path) -> Recorded:
    def load(name: str) -> Body:
        body: Body = json.loads((shared_data / "recordings/alpaca" / f"{name}.json").read_text())
        return body

    return load


# Recorded answers


def test_recorded_winter_days_get_their_date(recorded: Recorded) -> None:
    first, last = recorded("stocks_bars"), recorded("stocks_bars_single_empty")
    reply = play(first, last, timeframe=D1, start=utc("2022-02-01"), end=utc("2022-02-03"))
    assert rows(reply.bars) == [
        Bar("AAPL", utc("2022-02-01"), 174, 174.84, 172.31, 174.61, 85998033, 173.703516, 732412, "alpaca:iex"),
        Bar("AAPL", utc("2022-02-02"), 174.64, 175.88, 173.33, 175.84, 84817432, 174.941288, 675034, "alpaca:iex"),
    ]


def test_recorded_summer_days_newest_first_come_oldest_first(recorded: Recorded) -> None:
    first, last = recorded("stocks_bars_desc"), recorded("stocks_bars_single_empty")
    reply = play(first, last, symbols=["TSLA"], timeframe=D1, start=utc("2023-09-01"), end=utc("2023-09-28"))
    assert [(row.ts, row.close) for row in rows(reply.bars)] == [
        (utc("2023-09-25"), 246.99),
        (utc("2023-09-26"), 244.12),
        (utc("2023-09-27"), 240.5),
    ]


def test_recorded_bars_of_two_symbols(recorded: Recorded) -> None:
    answer = recorded("stocks_bars_multi")
    reply = play(answer, symbols=["TSLA", "AAPL"], timeframe=D1, start=utc("2022-02-01"), end=utc("2022-03-10"))
    assert {(row.symbol, row.ts, row.close) for row in rows(reply.bars)} == {
        ("AAPL", utc("2022-03-09"), 162.95),
        ("TSLA", utc("2022-03-09"), 858.97),
    }
    assert not reply.failures


def test_a_recorded_empty_answer_is_no_bars(recorded: Recorded) -> None:
    reply = play(recorded("stocks_bars_multi_empty"), symbols=["AAPL", "TSLA"], timeframe=D1)
    assert (reply.bars.num_rows, dict(reply.failures)) == (0, {})


def test_recorded_crypto_days_of_chicago_are_refused(recorded: Recorded) -> None:
    days = {
        symbol: [snapshot["prevDailyBar"], snapshot["dailyBar"]]
        for symbol, snapshot in recorded("crypto_snapshot_multi")["snapshots"].items()
    }
    for day in days["BTC/USD"]:
        at = datetime.fromisoformat(day["t"])
        assert at.astimezone(ZoneInfo("America/Chicago")).hour == 0
        assert at.astimezone(ZoneInfo("America/New_York")).hour == 1
    reply = play(page(days), symbols=[*days], timeframe=D1, start=utc("2022-03-27"), end=utc("2022-03-29"))
    assert reply.bars.num_rows == 0
    assert reply.failures.keys() == days.keys()
    for symbol, error in reply.failures.items():
        assert isinstance(error, ProviderBadDataError)
        assert str(error) == (
            f"alpaca: {symbol} 1d 2022-03-27..2022-03-29: its days do not start at 00:00 UTC; ask for 1m instead"
        )


def test_a_recorded_crypto_minute_keeps_its_instant(recorded: Recorded) -> None:
    minute = recorded("crypto_latest_bar")["bars"]["BTC/USD"]
    answer = page({"BTC/USD": [minute]})
    reply = play(answer, symbols=["BTC/USD"], start=utc("2022-05-27"), end=utc("2022-05-28"))
    expected = Bar("BTC/USD", utc("2022-05-27T10:18"), 28999, 29003, 28999, 29003, 0.01, 29001, 4, "alpaca:crypto")
    assert rows(reply.bars) == [expected]


# What it asks


def test_stocks_and_pairs_may_be_asked_for_together(server: AlpacaServer) -> None:
    reply = ask(connect(server, feed="sip"), "BTC/USD", "AAPL", "BRK.B", timeframe=D1)
    assert not reply.failures
    assert [(row.symbol, row.source) for row in rows(reply.bars)] == [
        *[("AAPL", "alpaca:sip")] * 3,
        *[("BRK.B", "alpaca:sip")] * 3,
        *[("BTC/USD", "alpaca:crypto")] * 3,
    ]
    stocks, crypto = server.requests
    common = {"timeframe": "1Day", "start": "2024-04-29T00:00:00+00:00", "end": "2024-05-01T23:59:59.999999+00:00"}
    common["limit"] = "10000"
    assert stocks.query == {"symbols": "AAPL,BRK.B", "adjustment": "raw", "feed": "sip", **common}
    assert crypto.query == {"symbols": "BTC/USD", **common}


def test_every_page_is_a_call_within_the_rate_limit(server: AlpacaServer) -> None:
    class Counted(LocalRateLimiter):
        taken = 0

        def reserve(self) -> float:
            self.taken += 1
            return super().reserve()

    server.page, rate_limiter = 500, Counted(None)
    assert ask(connect(server, rate_limiter=rate_limiter), "AAPL", "BRK.B").bars.num_rows == 2334
    assert rate_limiter.taken == len(server.requests) == 5
    assert [request.query["limit"] for request in server.requests] == ["10000"] * 5


def test_nothing_is_asked_about_an_empty_range(server: AlpacaServer) -> None:
    reply = ask(connect(server), "AAPL", start=START, end=START)
    assert (reply.bars.num_rows, dict(reply.failures), server.requests) == (0, {}, [])


@pytest.mark.parametrize("fault", ["rate_limited", "http_504"])
def test_the_client_does_not_try_again_by_itself(server: AlpacaServer, fault: Fault) -> None:
    server.faults.extend([fault] * 5)
    assert isinstance(ask(connect(server), "AAPL").failures["AAPL"], ProviderTransientError)
    assert len(server.requests) == 1


# What it refuses


@pytest.mark.parametrize(("key", "secret"), [("PK-WRONG-KEY", SECRET), (KEY, "wrong/secret")])
def test_key_and_secret_are_both_checked(
    server: AlpacaServer, key: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ProviderAuthError, match=r"HTTP 403: \{\"message\": \"forbidden\.\"\}; check the key") as caught:
        ask(connect(server, key=key, secret=secret), "AAPL")
    assert caught.value.__cause__ is caught.value.__context__ is None
    for part in (key, secret):
        assert part not in caplog.text + str(caught.value)


@pytest.mark.parametrize("ending", ["\n", "\u2026"])
def test_a_key_that_cannot_be_sent_is_not_told(server: AlpacaServer, ending: str) -> None:
    with pytest.raises(ProviderAuthError, match="cannot be sent") as caught:
        ask(connect(server, secret=SECRET + ending), "AAPL")
    assert SECRET not in repr(caught.value)
    assert server.requests == []


RECENT = {"message": "subscription does not permit querying recent SIP data"}


@pytest.mark.parametrize("status", [403, 422])
def test_a_plan_that_holds_back_recent_bars_gives_the_older_ones(status: int) -> None:
    now = datetime.now(UTC)
    with Playback(Answer(RECENT, status), page({"AAPL": [bar()]}), page({})) as server:
        provider = connect(server, feed="sip")
        reply = ask(provider, "AAPL", end=now)
        assert not reply.failures
        assert rows(reply.bars) == [Bar("AAPL", utc("2024-04-29T13:30"), source="alpaca:sip")]
        ask(provider, "IBM", end=now)  # it has learned
    first, second, third = (datetime.fromisoformat(request.query["end"]) for request in server.requests)
    assert now - first < timedelta(seconds=1)
    assert all(timedelta(minutes=15) < now - end < timedelta(minutes=16, seconds=1) for end in (second, third))


def test_a_delay_that_is_declared_needs_no_refusal_and_a_range_within_it_no_call() -> None:
    now = datetime.now(UTC)
    with Playback(page({"AAPL": [bar()]})) as server:
        provider = connect(server, feed="sip", delay=16)
        assert not ask(provider, "AAPL", end=now).failures
        assert not ask(provider, "AAPL", start=now - timedelta(minutes=10), end=now).failures
    assert len(server.requests) == 1


def test_a_plan_that_refuses_older_bars_too_fails_the_symbol_and_not_the_key() -> None:
    reply = play(Answer(RECENT, 403), Answer(RECENT, 403))
    assert "plan" in str(reply.failures["AAPL"])
    reply = play(Answer({"message": "subscription does not permit querying SIP data"}, 403))
    assert "the key is good" in str(reply.failures["AAPL"])
    with pytest.raises(ProviderAuthError, match="check the key"):
        play(Answer({"message": "forbidden."}, 403))


@pytest.mark.parametrize("bars", [None, {"AAPL": None}, {"AAPL": []}, {}], ids=str)
def test_null_in_the_place_of_bars_is_no_bars(bars: object) -> None:
    reply = play({"bars": bars, "next_page_token": None})
    assert (reply.failures, reply.bars.num_rows) == ({}, 0)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("too many requests.", ProviderRateLimitError),
        ("internal server error occurred", ProviderTransientError),
        ("subscription does not permit this", NotEntitledError),
        ("something else", ProviderBadDataError),
    ],
)
def test_an_error_in_a_good_answer_is_told_in_its_words(words: str, kind: type[ProviderError]) -> None:
    error = play({"code": 50010000, "message": words}).failures["AAPL"]
    assert type(error) is kind
    assert words in str(error)


def test_an_ill_formed_symbol_does_not_stop_the_others(server: AlpacaServer) -> None:
    reply = ask(connect(server), "AAPL", "^SPX", "BRK.B")
    assert isinstance(reply.failures["^SPX"], ProviderNotFoundError)
    assert str(reply.failures["^SPX"]).endswith("invalid symbol: ^SPX")
    assert reply.failures.keys() == {"^SPX"}
    assert set(reply.bars["symbol"].unique().to_pylist()) == {"AAPL", "BRK.B"}
    assert len(server.requests) == 2


def test_a_wrong_address_is_not_an_unknown_symbol() -> None:
    error = play(Answer({"message": "endpoint not found."}, 404)).failures["AAPL"]
    assert isinstance(error, ProviderBadDataError)
    assert "check the option url" in str(error)


def test_the_reset_of_the_rate_limit_is_waited_for() -> None:
    waited: list[float] = []
    reset = str(int(time.time()) + 30)
    with Playback(Answer({"message": "too many requests."}, 429, {"X-RateLimit-Reset": reset}), page({})) as server:
        reply = ask(connect(server, attempts=2, wait=waited.append), "AAPL")
    assert not reply.failures
    assert len(waited) == 1
    assert 25 < waited[0] <= 33


# What it does not take for bars


@pytest.mark.parametrize(
    "bad", [{"t": None}, {"t": 1714397400}, {"t": "2024-04-29 13:30"}, {"t": ""}, {"o": "much"}, {"v": []}], ids=str
)
def test_a_bar_that_is_none_fails_its_symbol_alone(bad: dict[str, Any]) -> None:
    answer = page({"AAPL": [bar()], "IBM": [bar(**bad)]})
    reply = play(answer, page({"AAPL": [bar()]}), symbols=["AAPL", "IBM"])
    assert reply.failures.keys() == {"IBM"}
    assert isinstance(reply.failures["IBM"], ProviderBadDataError)
    assert "IBM does not come as bars" in str(reply.failures["IBM"])
    assert rows(reply.bars) == [Bar("AAPL", utc("2024-04-29T13:30"), source="alpaca:iex")]


def test_a_bar_without_a_price_is_left_to_the_gate_but_one_without_the_field_is_not() -> None:
    assert play(page({"AAPL": [bar(c=None)]})).bars["close"].to_pylist() == [pytest.approx(float("nan"), nan_ok=True)]
    without = bar()
    del without["c"]
    assert isinstance(play(page({"AAPL": [without]})).failures["AAPL"], ProviderBadDataError)


@pytest.mark.parametrize(
    "answer",
    [{"message": "ok"}, {"bars": None}, {"bars": {}}, {"bars": []}, [], ""],
    ids=str,
)
def test_an_answer_that_is_no_page_is_not_an_empty_market(answer: object) -> None:
    error = play(Answer(answer)).failures["AAPL"]
    assert isinstance(error, ProviderBadDataError)


def test_bars_that_nobody_asked_for_are_refused() -> None:
    error = play(page({"MSFT": [bar()]})).failures["AAPL"]
    assert isinstance(error, ProviderBadDataError)
    assert "bars of MSFT, which nobody requested" in str(error)


def test_a_page_that_leads_to_itself_does_not_go_on_for_ever() -> None:
    error = play(page({"AAPL": [bar()]}, "same"), page({"AAPL": [bar()]}, "same")).failures["AAPL"]
    assert isinstance(error, ProviderBadDataError)
    assert "this one again" in str(error)


def test_a_crypto_bar_without_trades_has_no_vwap() -> None:
    reply = play(page({"BTC/USD": [bar(v=0, n=0, vw=0)]}), symbols=["BTC/USD"])
    expected = Bar("BTC/USD", utc("2024-04-29T13:30"), volume=0, vwap=None, trades=0, source="alpaca:crypto")
    assert rows(reply.bars) == [expected]


def test_digits_after_the_second_are_read() -> None:
    bars = [bar("2024-04-29T13:30:00.000000000Z"), bar("2024-04-29T13:31:00.000001999Z")]
    stored = rows(play(page({"AAPL": bars})).bars)
    minute = datetime(2024, 4, 29, 13, 30, tzinfo=UTC)
    assert [row.ts for row in stored] == [minute, minute + timedelta(minutes=1, microseconds=1)]
