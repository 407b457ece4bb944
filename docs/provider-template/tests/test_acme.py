"""What every provider has to keep, asked of this one through its entry point, against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from acme_server import AcmeServer, invent

from chandlery.config.providers import CallLimits, ProviderConfig, ProvidersConfig
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderTransientError,
)
from chandlery.providers.base import BarRequest, Provider
from chandlery.providers.catalog import build_provider
from chandlery.providers.http.caller import RetryPolicy

KEY = "acme+key/4711"
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
DAYS = BarRequest(["AAPL"], Timeframe.D1, START, END)


@pytest.fixture
def server() -> Iterator[AcmeServer]:
    """Lend the service, with nothing wrong yet."""
    with AcmeServer(KEY) as server:
        yield server


def connect(server: AcmeServer, monkeypatch: pytest.MonkeyPatch, *, key: str = KEY, name: str = "acme") -> Provider:
    """Make the provider as an installation does: from its configuration, and the key from a variable."""
    monkeypatch.setenv("ACME_TEST_KEY", key)
    config = ProviderConfig(
        kind="acme",
        options={"url": server.url},
        key_env={"key": "ACME_TEST_KEY"},
        limits=CallLimits(calls_per_minute=60_000, timeout=60, attempts=3),
    )
    pauses = RetryPolicy(first_pause=0.02)  # so brief that a test can wait for them
    return build_provider(name, ProvidersConfig(providers={name: config}), retry=pauses)


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.D1])
def test_all_bars_of_the_range_arrive_and_no_others(
    server: AcmeServer, monkeypatch: pytest.MonkeyPatch, timeframe: Timeframe
) -> None:
    start, end = datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)
    request = BarRequest(["AAPL", "BTC/USD"], timeframe, start, end)
    reply = connect(server, monkeypatch).fetch(request)
    assert reply.failures == {}
    assert reply.bars.schema == BARS
    rows = reply.bars.to_pylist()
    for symbol in request.symbols:
        arrived = [row for row in rows if row["symbol"] == symbol]
        sent = invent(symbol, timeframe.value, start, end)
        assert [row["ts"].timestamp() * 1000 for row in arrived] == [bar["t"] for bar in sent]
        for name in ("open", "high", "low", "close", "volume"):
            assert [row[name] for row in arrived] == [bar[name[0]] for bar in sent]


def test_an_empty_answer_is_no_error(server: AcmeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    weekend = datetime(2024, 1, 6, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC)
    reply = connect(server, monkeypatch).fetch(BarRequest(["AAPL"], Timeframe.D1, *weekend))
    assert (reply.bars.num_rows, reply.failures) == (0, {})


def test_an_unknown_symbol_fails_alone(server: AcmeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = connect(server, monkeypatch).fetch(BarRequest(["AAPL", "NONE"], Timeframe.D1, START, END))
    assert set(reply.bars["symbol"].to_pylist()) == {"AAPL"}
    assert isinstance(reply.failures["NONE"], ProviderNotFoundError)
    assert "NONE" in str(reply.failures["NONE"])


def test_rows_say_where_they_come_from(server: AcmeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = connect(server, monkeypatch, name="my-service").fetch(DAYS)
    assert set(reply.bars["source"].to_pylist()) == {"acme:my-service"}


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_tried_again(server: AcmeServer, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    server.failing.extend([status, status])
    reply = connect(server, monkeypatch).fetch(DAYS)
    assert reply.failures == {}
    assert len(server.paths) == 3


@pytest.mark.parametrize(
    ("statuses", "bodies", "kind"),
    [
        ([500] * 3, [], ProviderTransientError),
        ([], ["<html>maintenance</html>"], ProviderBadDataError),
        ([], ['{"bars": null}'], ProviderBadDataError),
        ([], ['{"bars": [{"t": 1704067200000}]}'], ProviderBadDataError),
    ],
)
def test_what_goes_wrong_is_named(
    server: AcmeServer,
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[int],
    bodies: list[str],
    kind: type[ProviderError],
) -> None:
    server.failing.extend(statuses)
    server.bodies.extend(bodies)
    failure = connect(server, monkeypatch).fetch(DAYS).failures["AAPL"]
    assert type(failure) is kind
    assert str(failure).startswith("acme: AAPL 1d")


def test_a_refused_key_is_never_shown(server: AcmeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "acme+key/0815"
    with pytest.raises(ProviderAuthError, match=r"no such key: \*\*\*") as caught:
        connect(server, monkeypatch, key=wrong).fetch(DAYS)
    assert wrong not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert len(server.paths) == 1
