"""What every adapter keeps, through its vendor's real client, against a real server on loopback."""

from __future__ import annotations

import itertools
import logging
import pkgutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from inspect import isabstract

import numpy as np
import pyarrow.compute as pc
import pytest

import tests.contract
from chandlery.core.schema import BARS, VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.base import BarReply, BarRequest, Provider
from tests.contract.vendor import Vendor
from tests.servers.http import RETRY_AFTER, Fault, VendorServer
from tests.servers.market import Market

# A Monday to Wednesday of two months, without a holiday and after the last change of the clocks.
START, END = datetime(2024, 4, 29, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)


def _vendors() -> list[Vendor]:
    modules = [
        import_module(f"tests.contract.{module.name}")
        for module in pkgutil.iter_modules(tests.contract.__path__)
        if not module.name.startswith(("test_", "conftest", "vendor"))
    ]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Vendor) and not isabstract(kind)
    }
    return sorted((kind() for kind in kinds), key=lambda vendor: type(vendor).__name__)


VENDORS = _vendors()


@pytest.fixture(params=VENDORS, ids=lambda vendor: type(vendor).__name__.lower())
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Each vendor in turn."""
    vendor: Vendor = request.param
    return vendor


@pytest.fixture(params=[Timeframe.M1, Timeframe.D1])
def timeframe(request: pytest.FixtureRequest, vendor: Vendor) -> Timeframe:
    """Each timeframe that the vendor has."""
    if request.param not in vendor.timeframes:
        pytest.skip(f"{vendor.kind} has no {request.param} bars")
    return Timeframe(request.param)


@pytest.fixture
def market(vendor: Vendor) -> Market:
    """Minutes and days of the vendor's symbols."""
    return _market(vendor, START, END)


@pytest.fixture
def server(vendor: Vendor, market: Market) -> Iterator[VendorServer]:
    """The vendor's server."""
    with vendor.serve(market, key=vendor.keys.get("key", "")) as server:
        yield server


@pytest.fixture
def provider(vendor: Vendor, server: VendorServer, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The adapter, pointed at the server."""
    return vendor.connect(server, monkeypatch)


@pytest.fixture(autouse=True)
def _no_key_is_logged(
    vendor: Vendor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Nothing that was logged or printed, at any level, may hold a key."""
    caplog.set_level(logging.DEBUG)
    yield
    output = caplog.text + "".join(capfd.readouterr())
    for name, key in vendor.keys.items():
        assert key not in output, f"the {name} was shown"


def ask(
    provider: Provider,
    symbols: Sequence[str],
    timeframe: Timeframe = Timeframe.M1,
    *,
    start: datetime = START,
    end: datetime = END,
) -> BarReply:
    """Ask for bars of ``symbols``."""
    return provider.fetch(BarRequest(symbols, timeframe, start, end))


def check(
    vendor: Vendor,
    reply: BarReply,
    market: Market,
    symbols: Sequence[str],
    timeframe: Timeframe,
    *,
    start: datetime = START,
    end: datetime = END,
) -> None:
    """Compare a reply with what the market has, value by value."""
    assert not reply.failures
    assert reply.bars.schema.equals(BARS)
    assert sorted(reply.bars["symbol"].unique().to_pylist()) == sorted(symbols)
    assert reply.bars["source"].unique().to_pylist() == [vendor.source]
    for symbol in symbols:
        bars = reply.bars.filter(pc.equal(reply.bars["symbol"], symbol))
        expected = market.between(symbol, timeframe, start, end)
        ts = bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
        np.testing.assert_array_equal(ts, expected["ts"])
        for name in VALUES:
            if name in vendor.values:
                np.testing.assert_array_equal(bars[name].to_numpy(), expected[name], err_msg=name)
            else:
                assert bars[name].null_count == len(bars), name


def _market(vendor: Vendor, start: datetime, end: datetime) -> Market:
    market = Market({})
    for timeframe in vendor.timeframes:
        market |= Market.invent(vendor.symbols, timeframe, start, end)
    return market


# Good answers


def test_gives_every_bar_of_one_symbol(
    vendor: Vendor, provider: Provider, market: Market, timeframe: Timeframe
) -> None:
    """Values and times are exactly the vendor's."""
    check(vendor, ask(provider, vendor.symbols[:1], timeframe), market, vendor.symbols[:1], timeframe)


def test_gives_every_bar_of_several_symbols(
    vendor: Vendor, provider: Provider, market: Market, timeframe: Timeframe
) -> None:
    """However the vendor mixes symbols over pages."""
    check(vendor, ask(provider, vendor.symbols, timeframe), market, vendor.symbols, timeframe)


def test_reads_to_the_last_page(vendor: Vendor, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages, a last one that is short, and one that is exactly full."""
    if not vendor.pages:
        pytest.skip(f"{vendor.kind} answers in one piece")
    symbol = vendor.symbols[0]
    rows = len(market.between(symbol, Timeframe.M1, START, END)["ts"]) if Timeframe.M1 in vendor.timeframes else 3
    for page in (vendor.page,) if vendor.page else (350, rows, rows - 1):
        with vendor.serve(market, key=vendor.keys.get("key", ""), page=page) as server:
            provider = vendor.connect(server, monkeypatch)
            check(vendor, ask(provider, [symbol]), market, [symbol], Timeframe.M1)
            assert len(server.requests) >= -(-rows // page)


def test_the_end_is_exclusive(vendor: Vendor, provider: Provider, market: Market, timeframe: Timeframe) -> None:
    """A bar that starts at the end is not part of the answer, one that starts at the start is."""
    symbol = vendor.symbols[0]
    ts = market.between(symbol, timeframe, START, END)["ts"]
    start, end = (datetime.fromtimestamp(int(ts[at]) / 1e6, UTC) for at in (1, -1))
    reply = ask(provider, [symbol], timeframe, start=start, end=end)
    check(vendor, reply, market, [symbol], timeframe, start=start, end=end)


def test_nothing_in_the_range_is_an_empty_answer(vendor: Vendor, provider: Provider, timeframe: Timeframe) -> None:
    """Of a known symbol: neither an error nor a failure."""
    start, end = datetime(2024, 5, 4, tzinfo=UTC), datetime(2024, 5, 6, tzinfo=UTC)  # a weekend, after all bars
    reply = ask(provider, vendor.symbols[:2], timeframe, start=start, end=end)
    assert (reply.bars.num_rows, dict(reply.failures)) == (0, {})
    assert reply.bars.schema.equals(BARS)


def test_an_unknown_symbol_fails_alone(vendor: Vendor, provider: Provider, market: Market) -> None:
    """The others are served. Where the vendor does not tell, there is just nothing of it."""
    known = vendor.symbols[0]
    unknown = "NOSUCH/USD" if "/" in known else "NOSUCH"
    timeframe = vendor.timeframes[0]
    reply = ask(provider, [known, unknown], timeframe)
    assert set(reply.failures) == ({unknown} if vendor.distinguishes_unknown else set())
    for error in reply.failures.values():
        assert isinstance(error, ProviderNotFoundError)
        assert unknown in str(error)
    check(vendor, BarReply(reply.bars), market, [known], timeframe)


def test_bars_in_no_order_are_put_in_order(
    vendor: Vendor, server: VendorServer, provider: Provider, market: Market
) -> None:
    """Ascending by start."""
    server.shuffled = True
    check(
        vendor,
        ask(provider, vendor.symbols[:2], vendor.timeframes[0]),
        market,
        vendor.symbols[:2],
        vendor.timeframes[0],
    )


def test_a_page_that_comes_twice_counts_once(
    vendor: Vendor, server: VendorServer, provider: Provider, market: Market
) -> None:
    """Each start once."""
    server.page, server.repeat_pages = 350, True
    check(
        vendor,
        ask(provider, vendor.symbols[:1], vendor.timeframes[0]),
        market,
        vendor.symbols[:1],
        vendor.timeframes[0],
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2024, 3, 7, tzinfo=UTC), datetime(2024, 3, 13, tzinfo=UTC)),
        (datetime(2024, 10, 31, tzinfo=UTC), datetime(2024, 11, 6, tzinfo=UTC)),
    ],
    ids=["spring", "autumn"],
)
def test_when_the_clocks_change(
    vendor: Vendor, timeframe: Timeframe, start: datetime, end: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes keep their instant, days their date, on both sides of the change."""
    market = _market(vendor, start, end)
    with vendor.serve(market, key=vendor.keys.get("key", "")) as server:
        provider = vendor.connect(server, monkeypatch)
        reply = ask(provider, vendor.symbols[:1], timeframe, start=start, end=end)
    check(vendor, reply, market, vendor.symbols[:1], timeframe, start=start, end=end)


def test_threads_may_share_it(vendor: Vendor, provider: Provider, market: Market) -> None:
    """As many as its limits allow."""
    timeframe = vendor.timeframes[0]
    with ThreadPoolExecutor(provider.limits.workers) as pool:
        replies = list(pool.map(lambda symbol: ask(provider, [symbol], timeframe), vendor.symbols * 2))
    for symbol, reply in zip(vendor.symbols * 2, replies, strict=True):
        check(vendor, reply, market, [symbol], timeframe)


# Bad answers


def test_a_refused_key_stops_everything(vendor: Vendor, server: VendorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, without another try, and without showing it."""
    if not vendor.keys:
        pytest.skip(f"{vendor.kind} needs no key")
    wrong = {name: f"WRONG-{name}-7Q9XKEYMATERIAL" for name in vendor.keys}
    provider = vendor.connect(server, monkeypatch, keys=wrong)
    with pytest.raises(ProviderAuthError) as caught:
        ask(provider, vendor.symbols, vendor.timeframes[0])
    assert len(server.requests) == 1
    _shows_no_key(caught.value, [*wrong.values()])


def test_a_refusal_that_quotes_the_keys_is_quoted_without_them(
    vendor: Vendor, server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them is replaced by stars; what they were called stays."""
    if not vendor.keys:
        pytest.skip(f"{vendor.kind} needs no key")
    server.quotes_headers = True
    wrong = {name: f"WRONG-{name}-7Q9X/KEY+MATERIAL=" for name in vendor.keys}
    provider = vendor.connect(server, monkeypatch, keys=wrong)
    with pytest.raises(ProviderAuthError) as caught:
        ask(provider, vendor.symbols, vendor.timeframes[0])
    assert str(caught.value).count("***") == len(wrong)
    _shows_no_key(caught.value, ["WRONG", "7Q9X", "MATERIAL"])


_PASSING: tuple[Fault, ...] = ("rate_limited", "http_500", "http_502", "http_503", "http_504", "drop", "hang")


def _quick(fault: Fault, *, attempts: int) -> dict[str, float]:
    """Return limits with which a server that hangs is given up soon, and no other, however busy the machine is."""
    return {"timeout": 0.5, "attempts": attempts} if fault == "hang" else {}


@pytest.mark.parametrize("fault", _PASSING)
def test_what_passes_is_tried_again(
    vendor: Vendor, server: VendorServer, market: Market, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice in a row, then all bars arrive, each once."""
    _needs(vendor, fault)
    provider = vendor.connect(server, monkeypatch, **_quick(fault, attempts=20))
    server.faults.extend([fault, fault])
    symbols, timeframe = vendor.symbols[:1], vendor.timeframes[0]
    check(vendor, ask(provider, symbols, timeframe), market, symbols, timeframe)
    assert not server.faults


@pytest.mark.parametrize("fault", _PASSING)
def test_an_outage_is_not_an_empty_market(
    vendor: Vendor, server: VendorServer, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not pass is an error that says what was asked of whom, and how often."""
    _needs(vendor, fault)
    provider = vendor.connect(server, monkeypatch, **_quick(fault, attempts=3))
    server.faults.extend([fault] * 50)
    error = _trouble(provider, vendor)
    assert isinstance(error, ProviderRateLimitError if fault == "rate_limited" else ProviderTransientError)
    for part in (provider.name, vendor.symbols[0], vendor.timeframes[0], "2024-04-29", "tried 3 times"):
        assert part in str(error)
    _shows_no_key(error, list(vendor.keys.values()))


def test_advice_to_wait_is_followed(vendor: Vendor, server: VendorServer, provider: Provider, market: Market) -> None:
    """``Retry-After`` is how long it waits, not what it would have drawn."""
    _needs(vendor, "rate_limited_retry_after")
    server.faults.append("rate_limited_retry_after")
    symbols, timeframe = vendor.symbols[:1], vendor.timeframes[0]
    check(vendor, ask(provider, symbols, timeframe), market, symbols, timeframe)
    first, second = (request.at for request in server.requests[:2])
    assert second - first >= RETRY_AFTER


@pytest.mark.parametrize("fault", ["malformed", "truncated"])
def test_an_unreadable_answer_is_bad_data(
    vendor: Vendor, server: VendorServer, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never taken for no bars, nor for fewer. To one vendor's client it is a silence, so that is waited for briefly."""
    _needs(vendor, fault)
    provider = vendor.connect(server, monkeypatch, timeout=0.5)
    server.faults.extend([fault] * 50)
    error = _trouble(provider, vendor)
    assert isinstance(error, ProviderBadDataError | ProviderTransientError)
    _shows_no_key(error, list(vendor.keys.values()))


def _needs(vendor: Vendor, fault: Fault) -> None:
    if fault not in vendor.faults:
        pytest.skip(f"{vendor.kind} has nothing like {fault}")


def _trouble(provider: Provider, vendor: Vendor) -> ProviderError:
    """Return the error of asking for one symbol, raised or reported."""
    try:
        reply = ask(provider, vendor.symbols[:1], vendor.timeframes[0])
    except ProviderError as error:
        return error
    assert reply.bars.num_rows == 0
    assert list(reply.failures) == [vendor.symbols[0]]
    return reply.failures[vendor.symbols[0]]


def _shows_no_key(error: BaseException, keys: Sequence[str]) -> None:
    chain = [error, *itertools.chain.from_iterable((e.__cause__, e.__context__) for e in [error])]
    text = " ".join(f"{e!s} {e!r} {vars(e)}" for e in chain if e is not None)
    for key in keys:
        assert key not in text
