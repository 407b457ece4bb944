"""What a service without keys means by refusing, and what vendors say in words inside of good answers."""

from __future__ import annotations

from typing import Any

import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderAuthError, ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarReply, BarRequest, ProviderSetup
from chandlery.providers.coinbase import CoinbaseProvider
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.errors import explain_status, explain_words
from chandlery.providers.http.rate_limit import LocalRateLimiter
from chandlery.providers.http.remote import RemoteOptions
from tests.servers.coinbase import CoinbaseServer
from tests.servers.http import Answer, Request
from tests.servers.market import Market
from tests.support import utc


class Playback(CoinbaseServer):
    """Plays one answer, whatever is requested."""

    def __init__(self, played: Answer) -> None:
        super().__init__(Market({}))
        self.played = played

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        del request
        return self.played


def play(answer: Answer) -> BarReply:
    with Playback(answer) as server:
        caller = Caller("coinbase", LocalRateLimiter(None), timeout=5, attempts=1)
        options = RemoteOptions.model_validate({"url": server.url})
        setup: ProviderSetup[Any] = ProviderSetup("coinbase", "coinbase", options, keys={}, calendars={}, caller=caller)
        request = BarRequest(["BTC/USD"], Timeframe.M1, utc("2024-05-01"), utc("2024-05-01T01:00"))
        return CoinbaseProvider(setup).fetch(request)


@pytest.mark.parametrize("status", [401, 403])
def test_coinbase_without_a_key_speaks_of_none(status: int) -> None:
    error = play(Answer({"error": "forbidden"}, status)).failures["BTC/USD"]
    assert isinstance(error, ProviderTransientError)
    assert "key" not in str(error)


def test_coinbase_may_write_no_candles_as_null() -> None:
    reply = play(Answer({"candles": None}))
    assert (reply.failures, reply.bars.num_rows) == ({}, 0)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "INTERNAL", "message": "try again"}, ProviderTransientError),
        ({"error": "unknown", "message": "what is that?"}, ProviderBadDataError),
        ({}, ProviderBadDataError),
    ],
)
def test_coinbase_is_told_in_its_words(body: dict[str, str], kind: type[ProviderError]) -> None:
    error = play(Answer(body)).failures["BTC/USD"]
    assert type(error) is kind
    assert body.get("message", "not a list of candles") in str(error)


def test_a_refusal_is_the_key_s_fault_only_where_there_is_a_key() -> None:
    for status in (401, 403):
        assert type(explain_status(status, "no", {}, provider="any")) is ProviderAuthError
        assert type(explain_status(status, "no", {}, provider="any", keyed=False)) is ProviderTransientError


def test_words_without_meaning_are_quoted() -> None:
    error = explain_words("  kaboom\n", provider="any", symbol="AAPL")
    assert (type(error), str(error), error.symbol) == (ProviderBadDataError, "the answer is an error: kaboom", "AAPL")
