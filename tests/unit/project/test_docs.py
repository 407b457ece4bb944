"""What the documentation shows must work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from pydantic import SecretStr

from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderTransientError,
)
from chandlery.providers.base import BarRequest, Provider, ProviderSetup
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.rate_limit import LocalRateLimiter
from tests.servers.example import ExampleServer
from tests.servers.http import Fault
from tests.servers.market import Market

DOCS = Path(__file__).parents[3] / "docs"
KEY = "acme+key/4711"
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[ExampleServer]:
    with ExampleServer(Market.invent(["AAPL", "BTC/USD"], Timeframe.D1, START, END), key=KEY) as server:
        yield server


def example(server: ExampleServer, *, key: str = KEY, name: str = "acme") -> Provider:
    """Make the provider that docs/providers.md prints."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "providers.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/providers.md", "exec"), names)
    kind = names["KIND"]
    keys = {"key": SecretStr(key)}
    setup: ProviderSetup[Any] = ProviderSetup(
        kind=kind.name,
        name=name,
        options=kind.options(url=server.url),
        keys=keys,
        calendars={},
        caller=Caller(name, LocalRateLimiter(None), timeout=5, secrets=[*keys.values()], wait=lambda seconds: None),
    )
    provider: Provider = kind.factory(setup)
    return provider


def test_the_provider_in_the_documentation_works_as_it_is_printed(server: ExampleServer) -> None:
    server.shuffled = server.repeat_pages = True
    reply = example(server).fetch(BarRequest(["AAPL", "NONE", "BTC/USD"], Timeframe.D1, START, END))

    assert reply.bars.schema == BARS
    assert set(reply.bars["source"].to_pylist()) == {"acme"}
    for symbol in ("AAPL", "BTC/USD"):
        bars = reply.bars.filter(pc.equal(reply.bars["symbol"], symbol))
        expected = server.market.between(symbol, Timeframe.D1, START, END)
        assert bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64).tolist() == expected["ts"].tolist()
        for name in ("open", "high", "low", "close", "volume"):
            assert bars[name].to_pylist() == expected[name].tolist()
    assert set(reply.failures) == {"NONE"}
    assert isinstance(reply.failures["NONE"], ProviderNotFoundError)


def test_the_provider_in_the_documentation_bears_its_configured_name(server: ExampleServer) -> None:
    reply = example(server, name="my-service").fetch(BarRequest(["AAPL", "NONE"], Timeframe.D1, START, END))
    assert set(reply.bars["source"].to_pylist()) == {"acme:my-service"}
    assert str(reply.failures["NONE"]).startswith("my-service: NONE")


def test_the_provider_in_the_documentation_takes_an_empty_answer(server: ExampleServer) -> None:
    never = datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 2, 1, tzinfo=UTC)
    reply = example(server).fetch(BarRequest(["AAPL"], Timeframe.D1, *never))
    assert reply.bars.schema == BARS
    assert (reply.bars.num_rows, reply.failures) == (0, {})


@pytest.mark.parametrize("fault", ["rate_limited", "rate_limited_retry_after", "http_503", "drop"])
def test_the_provider_in_the_documentation_tries_again(server: ExampleServer, fault: Fault) -> None:
    server.faults.extend([fault, fault])
    reply = example(server).fetch(BarRequest(["AAPL"], Timeframe.D1, START, END))
    assert reply.failures == {}
    assert reply.bars.num_rows == 21
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("malformed", ProviderBadDataError), ("truncated", ProviderBadDataError), ("http_500", ProviderTransientError)],
)
def test_the_provider_in_the_documentation_tells_what_went_wrong(
    server: ExampleServer, fault: Fault, kind: type[ProviderError]
) -> None:
    server.faults.extend([fault] * 6)
    reply = example(server).fetch(BarRequest(["AAPL", "BTC/USD"], Timeframe.D1, START, END))
    assert type(reply.failures["AAPL"]) is kind
    assert str(reply.failures["AAPL"]).startswith("acme: AAPL")


def test_the_provider_in_the_documentation_never_tells_its_key(server: ExampleServer) -> None:
    wrong = "acme+key/0815"
    with pytest.raises(ProviderAuthError, match=r"no such key: \*\*\*") as caught:
        example(server, key=wrong).fetch(BarRequest(["AAPL"], Timeframe.D1, START, END))
    assert wrong not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert len(server.requests) == 1


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md"), key=str), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_links_of_the_readme_lead_somewhere() -> None:
    readme = DOCS.parent / "README.md"
    for target in re.findall(r"\]\(([^)#]+)", readme.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (readme.parent / target).exists(), f"README.md links to {target}"
