"""Interactive Brokers: what it takes to get bars, all bars and only bars out of a gateway that rarely says no."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from ib_async import IB, StartupFetchNONE, Stock

from chandlery.config.providers import CallLimits, ProviderConfig, ProvidersConfig
from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ConfigurationError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.base import BarReply, BarRequest
from chandlery.providers.catalog import build_provider
from chandlery.providers.http.caller import RetryPolicy
from chandlery.providers.http.errors import NotEntitledError
from chandlery.providers.ib.provider import KIND, IbProvider
from tests.servers.http import Answer, Request
from tests.servers.ib import NEW_YORK, IbServer
from tests.servers.market import Market
from tests.support import wait_until

M1, D1 = Timeframe.M1, Timeframe.D1
SERVICE = "Historical Market Data Service error message:"


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bars_at(*starts: datetime) -> dict[str, Any]:
    """Bars that are alike but for their start."""
    values = {name: np.full(len(starts), 10.0) for name in ("open", "high", "low", "close", "volume", "vwap", "trades")}
    return {"ts": np.array([microseconds(start) for start in starts], np.int64), **values}


#: So brief that a test can wait for it.
QUICK = RetryPolicy(first_pause=0.02, identical_call_after=0.02)


def connect(
    port: int, *, timeout: float = 5, attempts: int = 2, retry: RetryPolicy = QUICK, **options: object
) -> IbProvider:
    config = ProviderConfig(
        kind="ib",
        options={"port": port, "allow_adjusted": True, **options},
        limits=CallLimits(calls_per_minute=60_000, timeout=timeout, attempts=attempts),
    )
    provider = build_provider("ib", ProvidersConfig(providers={"ib": config}), retry=retry)
    assert isinstance(provider, IbProvider)
    return provider


def ask(provider: IbProvider, symbol: str, timeframe: Timeframe, start: str, end: str) -> BarReply:
    return provider.fetch(BarRequest([symbol], timeframe, day(start), day(end)))


def refusal(provider: IbProvider, symbol: str = "AAPL", timeframe: Timeframe = D1) -> ProviderError:
    reply = ask(provider, symbol, timeframe, "2024-04-29", "2024-05-02")
    assert reply.bars.num_rows == 0
    return reply.failures[symbol]


@pytest.fixture(scope="module")
def market() -> Market:
    days = Market.invent(["AAPL", "BRK.B"], D1, day("2022-01-01"), day("2024-05-11"))
    return days | Market.invent(["AAPL", "BRK.B"], M1, day("2024-04-26"), day("2024-05-11"))


@pytest.fixture
def server(market: Market) -> Iterator[IbServer]:
    with IbServer(market) as server:
        yield server


# What it says of itself


def test_adjusted_prices_are_not_taken_unasked() -> None:
    """There is no way to make them raw, so somebody has to say that they will do."""
    with pytest.raises(ConfigurationError, match="allow_adjusted: true"):
        connect(4002, allow_adjusted=False)


def test_without_its_extra_it_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ib_async", None)  # as Python remembers a module that is not there
    expected = r"^provider 'ib' needs ib-async; install it with pip install 'chandlery\[ib\]'$"
    with pytest.raises(ConfigurationError, match=expected):
        connect(4002)


def test_a_failed_call_is_not_repeated_too_soon() -> None:
    assert KIND.retry.identical_call_after > 15


def test_by_default_it_calls_sixty_times_in_ten_minutes() -> None:
    made = {}

    class Endless:
        def reserve(self) -> float:
            return 0.0

        def pause(self, seconds: float) -> None:
            raise AssertionError

    def rate_limiters(name: str, per_minute: float | None) -> Endless:
        made[name] = per_minute
        return Endless()

    config = ProviderConfig(kind="ib", options={"allow_adjusted": True})
    build_provider("desk", ProvidersConfig(providers={"desk": config}), rate_limiters=rate_limiters)
    assert made == {"ib:desk": 6.0}


# What it asks


def test_minutes_are_asked_for_by_days_of_new_york(server: IbServer) -> None:
    """In summer and in winter, without weekends; extended hours too, in UTC seconds."""
    server.market |= Market({("AAPL", M1): bars_at(*(day("2023-11-03") + timedelta(hours=h) for h in range(24 * 5)))})
    reply = ask(connect(server.port), "AAPL", M1, "2023-11-03T04:00", "2023-11-08T05:00")
    queries = [request.query for request in server.requests]
    ends = ["20231104 04:00:00 UTC", "20231107 05:00:00 UTC", "20231108 05:00:00 UTC"]
    assert [query["end"] for query in queries] == ends
    for query in queries:
        form = [query[name] for name in ("symbol", "barSize", "duration", "useRTH", "whatToShow", "formatDate")]
        assert form == ["AAPL", "1 min", "1 D", "0", "TRADES", "2"]
    starts = reply.bars["ts"].to_pylist()
    assert {ts.astimezone(NEW_YORK).weekday() for ts in starts} == {4, 0, 1}
    assert len(starts) == 24 + 24 + 24 - 5  # invented until 24:00 UTC only


def test_the_last_hour_of_a_winter_evening_is_not_lost(server: IbServer) -> None:
    """It lies after midnight UTC: a day that ended there would end within the session."""
    evening = [datetime(2024, 1, 9, hour, 30, tzinfo=NEW_YORK).astimezone(UTC) for hour in (9, 18, 19)]
    server.market |= Market({("AAPL", M1): bars_at(*evening)})
    reply = ask(connect(server.port), "AAPL", M1, "2024-01-09", "2024-01-10T01:00")
    assert reply.bars["ts"].to_pylist() == evening
    before = ask(connect(server.port), "AAPL", M1, "2024-01-09", "2024-01-10")
    assert before.bars["ts"].to_pylist() == evening[:2]
    after = ask(connect(server.port), "AAPL", M1, "2024-01-10", "2024-01-10T01:00")
    assert after.bars["ts"].to_pylist() == evening[2:]


def test_days_are_asked_for_by_years(server: IbServer, market: Market) -> None:
    """None is lost between two calls, and the last ends when its day does in New York."""
    reply = ask(connect(server.port), "AAPL", D1, "2022-01-01", "2024-05-11")
    queries = [(request.query["end"], request.query["duration"]) for request in server.requests]
    ends = ["20230101 05:00:00 UTC", "20240101 05:00:00 UTC", "20240511 04:00:00 UTC"]
    assert queries == list(zip(ends, ["365 D", "365 D", "131 D"], strict=True))
    ts = reply.bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
    np.testing.assert_array_equal(ts, market.bars["AAPL", D1]["ts"])


def test_a_class_of_shares_is_written_with_a_space(server: IbServer) -> None:
    reply = ask(connect(server.port), "BRK.B", D1, "2024-04-29", "2024-05-02")
    assert server.requests[0].query["symbol"] == "BRK B"
    assert reply.bars["symbol"].unique().to_pylist() == ["BRK.B"]


def test_regular_hours_are_an_option(server: IbServer) -> None:
    ask(connect(server.port, regular_hours=True), "AAPL", D1, "2024-04-29", "2024-05-02")
    assert server.requests[0].query["useRTH"] == "1"


def test_neither_the_future_nor_a_weekend_is_asked_for(server: IbServer) -> None:
    later = datetime.now(UTC) + timedelta(days=30)
    provider = connect(server.port)
    for start, end in ((later, later + timedelta(days=40)), (day("2024-05-04"), day("2024-05-06"))):
        reply = provider.fetch(BarRequest(["AAPL"], D1, start, end))
        assert (reply.bars.num_rows, dict(reply.failures)) == (0, {})
    assert server.requests == []


def test_of_a_range_that_is_not_over_the_past_is_asked_for(server: IbServer) -> None:
    now = datetime.now(UTC)
    connect(server.port).fetch(BarRequest(["AAPL"], D1, now - timedelta(days=7), now + timedelta(days=900)))
    assert [request.query["duration"] for request in server.requests] == ["8 D"]


def test_a_pair_is_refused_without_a_call(server: IbServer) -> None:
    error = refusal(connect(server.port), "BTC/USD")
    assert isinstance(error, ProviderNotFoundError)
    assert "BTC/USD" in str(error)
    assert server.requests == []


def test_nothing_of_the_users_account_is_asked_for(server: IbServer) -> None:
    """Neither positions nor orders nor executions, as ``IB.connect`` does."""
    ask(connect(server.port), "AAPL", M1, "2024-04-29", "2024-05-02")
    assert (len(server.requests), server.accounts) == (3, 0)


# What it makes of the answer


def test_bars_from_before_the_range_are_left_out(server: IbServer) -> None:
    """On a holiday the gateway answers with the day before."""
    tuesday = datetime(2024, 7, 3, 13, 30, tzinfo=UTC)
    server.market |= Market({("AAPL", M1): bars_at(tuesday)})
    reply = ask(connect(server.port), "AAPL", M1, "2024-07-04T04:00", "2024-07-05T04:00")
    assert (len(server.requests), reply.bars.num_rows, dict(reply.failures)) == (1, 0, {})


def test_no_bars_is_what_the_gateway_calls_so(server: IbServer) -> None:
    """Before the first bar it says "no data", which is an error to the client."""
    reply = ask(connect(server.port), "AAPL", D1, "2020-01-01", "2020-02-01")
    assert (len(server.requests), reply.bars.num_rows, dict(reply.failures)) == (1, 0, {})


def test_an_empty_answer_without_a_reason_is_a_failure(server: IbServer) -> None:
    server.empty = True
    error = refusal(connect(server.port))
    assert isinstance(error, ProviderTransientError)
    assert "gave no reason (tried 2 times)" in str(error)


def test_what_a_bar_does_not_have_is_null(server: IbServer) -> None:
    """The gateway writes -1."""
    bars = bars_at(day("2024-05-01"))
    for name in ("volume", "vwap", "trades"):
        bars[name][:] = np.nan
    server.market |= Market({("AAPL", D1): bars})
    [row] = ask(connect(server.port), "AAPL", D1, "2024-04-29", "2024-05-02").bars.to_pylist()
    assert [row[name] for name in ("ts", "close", "volume", "vwap", "trades")] == [day("2024-05-01"), 10, *3 * [None]]


@pytest.mark.parametrize(("timeframe", "stamp"), [(D1, "1714521600"), (M1, "20240501"), (M1, "20240501 09:30:00")])
def test_times_of_another_form_are_bad_data(market: Market, timeframe: Timeframe, stamp: str) -> None:
    """A day that is an instant, or a minute without a zone, would be filed under a wrong time."""

    class Odd(IbServer):
        def answer(self, request: Request) -> Answer:
            return Answer([17, request.query["id"], "", "", 1, stamp, 1, 1, 1, 1, 1, 1, 1])

    with Odd(market) as server:
        assert isinstance(refusal(connect(server.port), timeframe=timeframe), ProviderBadDataError)


# When it says no


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (100, "Max rate of messages per second has been exceeded", ProviderRateLimitError),
        (162, f"{SERVICE}Historical data request pacing violation", ProviderRateLimitError),
        (162, f"{SERVICE}No market data permissions for NYSE STK", NotEntitledError),
        (354, "Requested market data is not subscribed.", NotEntitledError),
        (10197, "No market data during competing live session", ProviderTransientError),
        (10168, "Requested market data is not subscribed.", NotEntitledError),
        (10090, "Part of requested market data is not subscribed.", NotEntitledError),
        (200, "No security definition has been found for the request", ProviderNotFoundError),
        (162, f"{SERVICE}HMDS server disconnect occurred.  Attempting reconnection...", ProviderTransientError),
        (162, f"{SERVICE}Trading TWS session is connected from a different IP address", ProviderTransientError),
        (10182, "Failed to request live updates (disconnected).", ProviderTransientError),
        (1100, "Connectivity between IBKR and Trader Workstation has been lost.", ProviderTransientError),
        (2110, "Connectivity between Trader Workstation and server is broken.", ProviderTransientError),
        (162, f"{SERVICE}Time length exceed max.", ProviderBadDataError),
        (321, "Error validating request.-'bF' : cause - Invalid date", ProviderBadDataError),
        (366, "No historical data query found for ticker id", ProviderBadDataError),
    ],
)
def test_each_code_is_the_error_that_it_stands_for(
    server: IbServer, code: int, text: str, kind: type[ProviderError]
) -> None:
    """At once: some of them the client takes for a warning, and would wait."""
    server.refusals["AAPL"] = code, text
    error = refusal(connect(server.port, timeout=60))  # waiting for that would end in another error
    assert type(error) is kind
    for part in ("ib: AAPL 1d 2024-04-29..2024-05-02", f"code {code}: {text}"):
        assert part in str(error)
    assert len(server.requests) == (2 if issubclass(kind, ProviderTransientError) else 1)


def test_what_the_account_may_not_see_fails_alone(server: IbServer) -> None:
    """Another exchange's stocks may well be subscribed."""
    server.refusals["AAPL"] = 354, "Requested market data is not subscribed."
    reply = connect(server.port).fetch(BarRequest(["AAPL", "BRK.B"], D1, day("2024-04-29"), day("2024-05-02")))
    assert list(reply.failures) == ["AAPL"]
    assert reply.bars["symbol"].unique().to_pylist() == ["BRK.B"]


@pytest.mark.slow
def test_a_call_that_failed_is_not_identical_to_the_next_too_soon(market: Market) -> None:
    """Whatever failed, since the gateway may have counted it."""
    retry = RetryPolicy(first_pause=0.02, identical_call_after=0.6)
    with IbServer(market, identical_within=0.5) as server:
        server.faults.extend(["drop", "http_503", "rate_limited", "hang"])
        reply = ask(connect(server.port, attempts=5, timeout=3, retry=retry), "AAPL", D1, "2024-04-29", "2024-05-02")
        assert (reply.bars.num_rows, len(server.requests), server.refused) == (3, 5, 0)


# Connections


def test_a_client_id_in_use_is_said_at_once_and_waited_for(server: IbServer) -> None:
    """The client itself would wait for its whole time-out, and say nothing of it."""
    rival = socket.create_connection(("127.0.0.1", server.port))
    rival.sendall(b"API\0\0\0\0\x09v157..178" + b"\0\0\0\x0871\x002\x0071\0\0")
    try:
        wait_until(lambda: server.clients, "the client id is taken")
        error = refusal(connect(server.port, timeout=60))
        assert isinstance(error, ProviderTransientError)
        assert "code 326" in str(error)
        assert "option client_id" in str(error)
        assert ask(connect(server.port, client_id=5), "AAPL", D1, "2024-04-29", "2024-05-02").bars.num_rows == 3
    finally:
        rival.close()
    assert ask(connect(server.port), "AAPL", D1, "2024-04-29", "2024-05-02").bars.num_rows == 3


def test_a_gateway_that_does_not_run_is_an_outage() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = refusal(connect(port))
    assert isinstance(error, ProviderTransientError)
    assert f"127.0.0.1:{port}" in str(error)
    assert "tried 2 times" in str(error)


@pytest.mark.parametrize("greets", [False, True])
def test_a_port_that_says_nothing_is_waited_for_as_long_as_said(greets: bool) -> None:
    """Or one that greets and then does not let anybody in."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"\0\0\0\x06178\0t\0" if greets else b"")
                while connection.recv(1024):
                    pass

        thread = threading.Thread(target=accept)
        thread.start()
        began = time.monotonic()
        error = refusal(connect(listening.getsockname()[1], timeout=0.5, attempts=1))
        assert time.monotonic() - began >= 0.5
        thread.join()
    assert isinstance(error, ProviderTransientError)
    assert "no answer within 0.5 s" in str(error)


def test_a_port_that_hangs_up_is_noticed() -> None:
    """As TWS does with machines that it does not trust."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)

        thread = threading.Thread(target=accept)
        thread.start()
        error = refusal(connect(listening.getsockname()[1], timeout=60, attempts=1))
        thread.join()
    assert isinstance(error, ProviderTransientError)
    assert "closed the connection" in str(error)


def test_threads_take_turns(market: Market) -> None:
    """Two connections with one client id would refuse each other."""

    class Slow(IbServer):
        def answer(self, request: Request) -> Answer:
            time.sleep(0.3)
            return super().answer(request)

    with Slow(market) as server, ThreadPoolExecutor(4) as pool:
        provider = connect(server.port, attempts=1)
        replies = list(
            pool.map(lambda symbol: ask(provider, symbol, D1, "2024-04-29", "2024-05-02"), ["AAPL", "BRK.B"] * 2)
        )
    assert [reply.bars.num_rows for reply in replies] == [3] * 4


def test_the_caller_may_be_within_an_event_loop(server: IbServer) -> None:
    """A notebook is."""

    async def cell() -> BarReply:
        return ask(connect(server.port), "AAPL", D1, "2024-04-29", "2024-05-02")

    assert asyncio.run(cell()).bars.num_rows == 3


def test_nothing_stays_behind(server: IbServer) -> None:
    """Neither connections nor threads, also after what went wrong."""
    impatient, patient = connect(server.port, timeout=0.3), connect(server.port, timeout=60)
    before = {thread.name for thread in threading.enumerate()}
    server.faults.extend(["hang", "hang", "drop"])
    assert isinstance(refusal(impatient), ProviderTransientError)
    assert ask(patient, "AAPL", D1, "2024-04-29", "2024-05-02").bars.num_rows == 3
    wait_until(lambda: not server.clients, "the connections are closed")
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("ib") and thread.name not in before
    ]


# The server


def test_the_server_is_one_that_the_client_synchronizes_with(server: IbServer, market: Market) -> None:
    """Asked as ib_async's own documentation does, without any of ours."""

    async def bars() -> list[Any]:
        client = IB()
        await client.connectAsync("127.0.0.1", server.port, 1, timeout=5, fetchFields=StartupFetchNONE)
        try:
            contract = Stock("AAPL", "SMART", "USD")
            end = datetime(2024, 5, 1, tzinfo=NEW_YORK)
            return await client.reqHistoricalDataAsync(contract, end, "2 D", "1 day", "TRADES", True, formatDate=2)
        finally:
            client.disconnect()

    received = asyncio.run(bars())
    expected = market.between("AAPL", D1, day("2024-04-29"), day("2024-05-01"))
    assert [bar.date.isoformat() for bar in received] == ["2024-04-29", "2024-04-30"]
    assert [bar.close for bar in received] == expected["close"].tolist()
