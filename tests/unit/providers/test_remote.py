"""The loop that all remote providers share: what fails alone, what stops everything, and what is downloaded again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chandlery.core.calendars import microseconds
from chandlery.core.schema import BARS, PRICES
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderAuthError, ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarRequest, NoOptions, ProviderLimits, ProviderSetup
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.errors import NotEntitledError
from chandlery.providers.http.normalize import shape_bars
from chandlery.providers.http.rate_limit import LocalRateLimiter
from chandlery.providers.http.remote import RemoteProvider

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)


class Recording(RemoteProvider[float]):
    """Serves one bar of each symbol; remembers what was downloaded; fails for the symbols in ``errors``."""

    limits = ProviderLimits(remote=True)

    def __init__(self, errors: Mapping[str, ProviderError], *, together: bool = False) -> None:
        caller = Caller("desk", LocalRateLimiter(None), attempts=1)
        super().__init__(ProviderSetup("acme", "desk", NoOptions(), keys={}, calendars={}, caller=caller))
        self.errors = errors
        self.together = together
        self.downloads: list[Sequence[str]] = []

    def divide(self, request: BarRequest) -> Iterable[BarRequest]:
        return [request] if self.together else super().divide(request)

    def download(self, request: BarRequest) -> Mapping[str, float]:
        self.downloads.append(list(request.symbols))
        return self.call(lambda: self._download_once(request), request)

    def _download_once(self, request: BarRequest) -> Mapping[str, float]:
        for symbol in request.symbols:
            if symbol in self.errors:
                raise self.errors[symbol]
        return dict.fromkeys(request.symbols, 1.0)

    def to_bars(self, request: BarRequest, symbol: str, download: float) -> pa.Table:
        assert list(request.symbols) == [symbol]
        if symbol == "ODD":
            raise ProviderBadDataError("half a trade", provider=self.name, symbol=symbol)
        values: dict[str, Any] = dict.fromkeys((*PRICES, "volume"), np.array([download]))
        ts = np.array([microseconds(request.start)], np.int64)
        return shape_bars(request, symbol, ts, values, source=self.source, provider=self.name)

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        return None


def ask(provider: Recording, *symbols: str, end: datetime = END) -> tuple[list[str], dict[str, ProviderError]]:
    """Return the symbols of which there are bars, and the failures."""
    reply = provider.fetch(BarRequest(symbols, Timeframe.D1, START, end))
    assert reply.bars.schema.equals(BARS)
    assert set(reply.bars["source"].to_pylist()) <= {"acme:desk"}
    return reply.bars["symbol"].to_pylist(), dict(reply.failures)


def error(kind: type[ProviderError], symbol: str | None = None) -> ProviderError:
    return kind("no", provider="desk", symbol=symbol)


@pytest.mark.parametrize("kind", [ProviderTransientError, ProviderBadDataError, NotEntitledError])
def test_a_symbol_that_fails_is_reported_and_the_others_are_served(kind: type[ProviderError]) -> None:
    provider = Recording({"B": error(kind, "B")})
    served, failures = ask(provider, "A", "B", "C")
    assert served == ["A", "C"]
    assert type(failures.pop("B")) is kind
    assert not failures
    assert provider.downloads == [["A"], ["B"], ["C"]]


def test_a_refused_key_stops_everything_at_once() -> None:
    provider = Recording({"A": error(ProviderAuthError, "A")})
    with pytest.raises(ProviderAuthError, match="desk: A 1d"):
        ask(provider, "A", "B")
    assert provider.downloads == [["A"]]


def test_of_symbols_that_are_downloaded_together_the_one_that_fails_is_left_out() -> None:
    provider = Recording({"B": error(ProviderBadDataError, "B")}, together=True)
    served, failures = ask(provider, "A", "B", "C")
    assert (served, set(failures)) == (["A", "C"], {"B"})
    assert provider.downloads == [["A", "B", "C"], ["A", "C"]]


@pytest.mark.parametrize("symbol", [None, "STRANGER"])
def test_an_error_that_names_none_of_them_is_the_failure_of_all(symbol: str | None) -> None:
    provider = Recording({"B": error(ProviderTransientError, symbol)}, together=True)
    served, failures = ask(provider, "A", "B")
    assert (served, set(failures)) == ([], {"A", "B"})
    assert provider.downloads == [["A", "B"]]


def test_what_cannot_become_bars_fails_alone_with_what_was_requested_and_is_not_downloaded_again() -> None:
    provider = Recording({}, together=True)
    served, failures = ask(provider, "A", "ODD")
    assert served == ["A"]
    assert str(failures["ODD"]) == "desk: ODD 1d 2024-01-01..2024-01-03: half a trade"
    assert provider.downloads == [["A", "ODD"]]


def test_an_empty_range_and_no_symbols_cost_no_call() -> None:
    provider = Recording({})
    assert ask(provider, "A", end=START) == ([], {})
    assert ask(provider) == ([], {})
    assert provider.caller.made == 0


def test_what_all_have_in_common_is_there_without_being_said() -> None:
    provider = Recording({})
    assert (provider.name, provider.source, provider.timeframes) == ("desk", "acme:desk", frozenset(INGESTED))
    assert provider.span("A", Timeframe.D1) is None
