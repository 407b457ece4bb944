"""What is particular to Polygon, over its client's old name and its new one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.base import BarReply, BarRequest, Provider
from chandlery.providers.http.errors import NotEntitledError
from chandlery.providers.http.rate_limit import LocalRateLimiter
from tests.contract.polygon import Massive, Polygon
from tests.servers.http import Answer, Fault, Request
from tests.servers.market import Market
from tests.servers.polygon import PolygonServer

START, END = datetime(2024, 4, 29, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)
KEY = Massive.keys["key"]
BAR = {"v": 10.0, "vw": 1.5, "o": 1.0, "c": 2.0, "h": 2.0, "l": 1.0, "t": 1714397400000, "n": 3}
GOOD = {"ticker": "AAPL", "adjusted": False, "status": "OK", "resultsCount": 1, "results": [BAR]}


class Canned(PolygonServer):
    """Answers what it was given, whatever is asked."""

    canned: Answer

    def aggregates(self, request: Request) -> Answer:
        return self.canned


@pytest.fixture(params=[Polygon(), Massive()], ids=["polygon", "massive"])
def vendor(request: pytest.FixtureRequest) -> Massive:
    """Each of the two clients."""
    vendor: Massive = request.param
    return vendor


@pytest.fixture
def server() -> Iterator[PolygonServer]:
    """Minutes and days of a stock and a pair."""
    market = Market({})
    for timeframe in Timeframe.M1, Timeframe.D1:
        market |= Market.invent(["AAPL", "BTC/USD"], timeframe, START, END)
    with PolygonServer(market, key=KEY, page=50_000) as server:
        yield server


@pytest.fixture
def canned() -> Iterator[Canned]:
    """To be given an answer."""
    with Canned(Market({}), key=KEY) as server:
        yield server


def ask(
    provider: Provider,
    symbol: str = "AAPL",
    timeframe: Timeframe = Timeframe.M1,
    start: datetime = START,
    end: datetime = END,
) -> BarReply:
    return provider.fetch(BarRequest([symbol], timeframe, start, end))


def trouble(provider: Provider, timeframe: Timeframe = Timeframe.M1) -> ProviderError:
    reply = ask(provider, timeframe=timeframe)
    assert reply.bars.num_rows == 0
    return reply.failures["AAPL"]


def minutes(server: PolygonServer) -> list[datetime]:
    """When the stock's minutes start."""
    stamps = server.market.between("AAPL", Timeframe.M1, START, END)["ts"].tolist()
    return [datetime.fromtimestamp(stamp / 1e6, UTC) for stamp in stamps]


def starts(reply: BarReply) -> list[datetime]:
    assert not reply.failures
    return list(reply.bars["ts"].to_pylist())


# What is asked


def test_the_new_client_is_used_where_it_is_installed(
    vendor: Massive, server: PolygonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(vendor.connect(server, monkeypatch))
    name = "Polygon.io" if isinstance(vendor, Polygon) else "Massive.com"
    assert server.requests[0].headers["user-agent"].startswith(name)


def test_minutes_are_asked_raw_and_to_the_last_millisecond(
    vendor: Massive, server: PolygonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(vendor.connect(server, monkeypatch))
    (sent,) = server.requests
    assert sent.path == "/v2/aggs/ticker/AAPL/range/1/minute/1714348800000/1714607999999"
    assert sent.query == {"adjusted": "false", "sort": "asc", "limit": "50000"}


def test_days_are_asked_by_date(vendor: Massive, server: PolygonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(starts(ask(vendor.connect(server, monkeypatch), timeframe=Timeframe.D1))) == 3
    (sent,) = server.requests
    assert sent.path == "/v2/aggs/ticker/AAPL/range/1/day/2024-04-29/2024-05-01"


def test_a_call_covers_a_month_of_minutes_at_most(vendor: Massive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair trades round the clock, so no minute may be lost or doubled where two calls meet."""
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)
    market = Market.invent(["BTC/USD"], Timeframe.M1, start, end)
    with PolygonServer(market, key=KEY, page=50_000) as server:
        received = starts(ask(vendor.connect(server, monkeypatch), "BTC/USD", start=start, end=end))
        spans = [[int(at) for at in request.path.split("/")[-2:]] for request in server.requests]
    assert len(spans) == 3
    assert all((last - first) / 60_000 < 50_000 for first, last in spans)
    expected = market.between("BTC/USD", Timeframe.M1, start, end)["ts"]
    np.testing.assert_array_equal([int(at.timestamp() * 1e6) for at in received], expected)


def test_each_page_is_a_call_within_the_rate_limit(
    vendor: Massive, server: PolygonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    class Counting(LocalRateLimiter):
        def reserve(self) -> float:
            taken.append("a call")
            return super().reserve()

    server.page = len(minutes(server)) // 4 + 1
    provider = vendor.connect(server, monkeypatch, rate_limiters=lambda name, per_minute: Counting(per_minute))
    assert starts(ask(provider)) == minutes(server)
    assert len(taken) == len(server.requests) == 4


def test_a_pair_is_asked_under_its_ticker_and_its_day_is_utc(
    vendor: Massive, server: PolygonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = ask(vendor.connect(server, monkeypatch), "BTC/USD", Timeframe.D1)
    assert starts(reply) == [START + timedelta(days=day) for day in range(3)]
    assert reply.bars["symbol"].unique().to_pylist() == ["BTC/USD"]
    assert server.requests[0].path.startswith("/v2/aggs/ticker/X:BTCUSD/range/1/day/")


# Where the next page is


def test_the_next_page_is_asked_where_the_first_was_and_without_the_key(
    vendor: Massive, server: PolygonServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``next_url`` names api.polygon.io and, here, carries the key."""
    caplog.set_level(logging.DEBUG)
    server.page, server.quotes_key = len(minutes(server)) // 3 + 1, True
    assert starts(ask(vendor.connect(server, monkeypatch))) == minutes(server)
    assert [set(request.query) for request in server.requests[1:]] == [{"cursor"}, {"cursor"}]
    assert "GET /v2/aggs/ticker/AAPL" in caplog.text  # urllib3 does log addresses
    assert KEY not in caplog.text


def test_pages_that_lead_nowhere_end(vendor: Massive, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    canned.canned = Answer(GOOD | {"next_url": "https://api.polygon.io/v2/aggs/again?cursor=1"})
    assert isinstance(error := trouble(vendor.connect(canned, monkeypatch)), ProviderBadDataError)
    assert "polygon: AAPL 1m 2024-04-29 00:00..2024-05-02 00:00: the next page is one that was read" in str(error)
    assert len(canned.requests) == 2


@pytest.mark.parametrize("address", ["@127.0.0.2/v2/aggs/x", "v2/aggs/x", 5])
def test_a_next_page_that_is_elsewhere_is_not_asked(
    vendor: Massive, canned: Canned, address: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.canned = Answer(GOOD | {"next_url": address})
    assert isinstance(trouble(vendor.connect(canned, monkeypatch)), ProviderBadDataError)
    assert len(canned.requests) == 1


# What is no good answer


@pytest.mark.parametrize("status", [429, 503])
def test_the_client_does_not_try_again_by_itself_and_hides_nothing(
    vendor: Massive, canned: Canned, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.canned = Answer({"status": "ERROR", "error": "not so fast"}, status, {"Retry-After": "7"})
    error = trouble(vendor.connect(canned, monkeypatch, attempts=1))
    assert isinstance(error, ProviderRateLimitError) == (status == 429)
    assert vars(error)["retry_after"] == 7
    assert f"HTTP {status}: " in str(error)
    assert "not so fast" in str(error)
    assert len(canned.requests) == 1


def test_what_the_plan_leaves_out_fails_alone(vendor: Massive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbol that the key may not see, or so long ago: the key is good for the rest."""

    class Plan(PolygonServer):
        def aggregates(self, request: Request) -> Answer:
            if "X:" not in request.path:
                return super().aggregates(request)
            text = "Your plan doesn't include this data timeframe."
            return Answer({"status": "NOT_AUTHORIZED", "request_id": "1", "message": text}, 403)

    with Plan(Market.invent(["AAPL", "BTC/USD"], Timeframe.D1, START, END), key=KEY) as server:
        provider = vendor.connect(server, monkeypatch)
        reply = provider.fetch(BarRequest(["BTC/USD", "AAPL"], Timeframe.D1, START, END))
    assert reply.bars["symbol"].unique().to_pylist() == ["AAPL"]
    assert list(reply.failures) == ["BTC/USD"]
    assert isinstance(error := reply.failures["BTC/USD"], ProviderAuthError)
    assert "Your plan doesn't include" in str(error)


def test_no_redirect_takes_the_key_elsewhere(
    vendor: Massive, server: PolygonServer, canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.canned = Answer("moved", 302, {"Location": f"{server.url}/v2/aggs/elsewhere"})
    assert isinstance(error := trouble(vendor.connect(canned, monkeypatch)), ProviderBadDataError)
    assert "HTTP 302" in str(error)
    assert not server.requests


@pytest.mark.parametrize("fault", ["malformed", "truncated"])
def test_an_unreadable_body_is_bad_data_at_once(
    vendor: Massive, server: PolygonServer, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client itself takes it for no bars."""
    server.faults.append(fault)
    assert isinstance(trouble(vendor.connect(server, monkeypatch)), ProviderBadDataError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        "",
        GOOD | {"status": "ERROR"},
        GOOD | {"adjusted": True},
        GOOD | {"results": None},
        GOOD | {"results": {}},
        GOOD | {"results": [None]},
        GOOD | {"results": [{name: value for name, value in BAR.items() if name != "v"}]},
        GOOD | {"results": [BAR | {"o": "cheap"}]},
        GOOD | {"results": [BAR | {"o": [1.0]}]},
        GOOD | {"results": [BAR | {"n": 0.5}]},
        GOOD | {"results": [BAR | {"t": None}]},
        GOOD | {"results": [BAR | {"t": BAR["t"] // 1000}]},
        GOOD | {"results": [BAR | {"t": BAR["t"] * 1_000_000}]},
        GOOD | {"results": [BAR | {"t": 10**400}]},
        {name: value for name, value in GOOD.items() if name != "results"},
    ],
    ids=lambda body: json.dumps(body)[-60:],
)
def test_what_is_no_page_of_raw_bars_is_bad_data(
    vendor: Massive, canned: Canned, body: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither no bars nor an error that stops the program."""
    canned.canned = Answer(body)
    assert isinstance(error := trouble(vendor.connect(canned, monkeypatch)), ProviderBadDataError)
    assert error.symbol == "AAPL"
    assert len(canned.requests) == 1


def test_an_answer_without_results_is_empty(vendor: Massive, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in "OK", "DELAYED":
        canned.canned = Answer({"ticker": "AAPL", "resultsCount": 0, "adjusted": False, "status": status})
        assert starts(ask(vendor.connect(canned, monkeypatch))) == []


def test_a_bar_without_average_and_count_is_a_bar_and_a_null_price_is_left_to_the_gate(
    vendor: Massive, canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = {name: value for name, value in BAR.items() if name not in {"vw", "n"}} | {"h": None}
    canned.canned = Answer(GOOD | {"results": [bar]})
    (row,) = ask(vendor.connect(canned, monkeypatch)).bars.to_pylist()
    assert (row["open"], row["volume"], row["vwap"], row["trades"]) == (1.0, 10.0, None, None)
    assert row["high"] != row["high"]  # not a number


@pytest.mark.parametrize("key", ["WRONG-key\n", "WRONG key", "WRONG-k\N{LATIN SMALL LETTER E WITH ACUTE}y"])
def test_a_key_that_cannot_be_sent_is_refused_before_it_is(
    vendor: Massive, server: PolygonServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderAuthError) as caught:
        vendor.connect(server, monkeypatch, keys={"key": key})
    assert "WRONG" not in str(caught.value)


# What Polygon itself answered


def recorded(shared_data: Path, name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((shared_data / "recordings/polygon" / name).read_text())
    return body


def test_recorded_days_of_both_sides_of_a_clock_change_keep_their_dates(
    vendor: Massive, canned: Canned, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks went forward between the two: midnight in New York is 05:00Z, then 04:00Z."""
    body = recorded(shared_data, "v2_aggs_AAPL_1day_2005-04-01_2005-04-04.json") | {"adjusted": False}
    canned.canned = Answer(body)
    start, end = datetime(2005, 4, 1, tzinfo=UTC), datetime(2005, 4, 5, tzinfo=UTC)
    reply = ask(vendor.connect(canned, monkeypatch), timeframe=Timeframe.D1, start=start, end=end)
    assert [at.date() for at in starts(reply)] == [date(2005, 4, 1), date(2005, 4, 4)]
    fields = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw", "trades": "n"}
    for name, short in fields.items():
        assert reply.bars[name].to_pylist() == [bar[short] for bar in body["results"]]
    # Fetched when AAPL had been split 28-fold since; that is why the answer said it is adjusted.
    traded = pd.read_csv(shared_data / "bars_1d/AAPL.csv.gz", index_col="ts")["close"]["2005-04-01"]
    assert reply.bars["close"][0].as_py() * 28 == pytest.approx(traded, abs=0.01)


def test_a_recorded_bar_outside_the_range_is_left_out(
    vendor: Massive, canned: Canned, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked from the second, this answer begins with the first."""
    body = recorded(shared_data, "v2_aggs_AAPL_1day_2005-04-02_2005-04-04.json")
    canned.canned = Answer(body | {"adjusted": False})
    start, end = datetime(2005, 4, 2, tzinfo=UTC), datetime(2005, 4, 5, tzinfo=UTC)
    reply = ask(vendor.connect(canned, monkeypatch), timeframe=Timeframe.D1, start=start, end=end)
    assert starts(reply) == [datetime(2005, 4, 4, tzinfo=UTC)]


def test_a_recorded_day_that_is_stamped_with_its_close_keeps_its_date(
    vendor: Massive, canned: Canned, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.canned = Answer(recorded(shared_data, "v2_aggs_AAPL_prev.json") | {"adjusted": False})
    start, end = datetime(2022, 4, 26, tzinfo=UTC), datetime(2022, 4, 27, tzinfo=UTC)
    reply = ask(vendor.connect(canned, monkeypatch), timeframe=Timeframe.D1, start=start, end=end)
    assert starts(reply) == [start]


def test_no_recorded_answer_to_another_question_is_taken_for_bars_or_for_none(
    canned: Canned, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is left are days, and those are adjusted: also refused."""
    provider = Massive().connect(canned, monkeypatch)
    files = sorted((shared_data / "recordings/polygon").glob("*.json"))
    assert len(files) == 43
    for file in files:
        canned.canned = Answer(json.loads(file.read_text()))
        assert isinstance(trouble(provider, timeframe=Timeframe.D1), ProviderBadDataError), file.name


@pytest.mark.parametrize("name", ["v3_quotes_AAPL", "v3_reference_options_contracts", "v3_reference_tickers"])
def test_recorded_cursors_are_followed_as_they_stand(
    vendor: Massive, shared_data: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They name api.massive.com, and lead to a page that has none."""
    first, second = (recorded(shared_data, f"{name}_page{page}.json") for page in (1, 2))

    class Cursors(PolygonServer):
        def is_about_bars(self, request: Request) -> bool:
            return True

        def aggregates(self, request: Request) -> Answer:
            page = second if "cursor" in request.query else first
            return Answer(GOOD | {"next_url": page["next_url"]} if "next_url" in page else GOOD)

    with Cursors(Market({}), key=KEY) as server:
        assert starts(ask(vendor.connect(server, monkeypatch))) == [datetime(2024, 4, 29, 13, 30, tzinfo=UTC)]
    _, sent = server.requests
    assert f"https://api.massive.com{sent.path}?cursor={sent.query['cursor']}" == first["next_url"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, NotEntitledError),
        ({"status": "ERROR", "error": "You've exceeded the maximum requests per minute."}, ProviderRateLimitError),
        ({"status": "ERROR", "error": "internal error, try again"}, ProviderTransientError),
        ({"status": "ERROR", "error": "what is that?"}, ProviderBadDataError),
    ],
)
def test_an_error_in_a_good_answer_is_told_in_its_words(
    vendor: Massive, canned: Canned, monkeypatch: pytest.MonkeyPatch, body: dict[str, str], kind: type[ProviderError]
) -> None:
    canned.canned = Answer(body)
    error = trouble(vendor.connect(canned, monkeypatch))
    assert type(error) is kind
    assert str(list(body.values())[1]) in str(error)


def test_null_in_the_place_of_bars_is_no_bars(vendor: Massive, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    canned.canned = Answer({"status": "OK", "adjusted": False, "resultsCount": 0, "results": None})
    reply = ask(vendor.connect(canned, monkeypatch))
    assert (reply.failures, reply.bars.num_rows) == ({}, 0)
