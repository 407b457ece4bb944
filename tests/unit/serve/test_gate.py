"""What stands before the answers: faults of ours, and tokens."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from chandlery.api.condition import Stats
from chandlery.database.connections import ConnectionStats
from chandlery.errors import ConfigurationError
from chandlery.serve.access import TOKENS, Access, is_loopback, read_clients
from chandlery.serve.answers import FORMS, choose_form
from chandlery.serve.gate import Gate
from chandlery.serve.metrics import Metrics

TOKEN = "a-token-of-24-characters"


async def broken(_: Scope, __: Receive, ___: Send) -> None:
    raise KeyError("secret detail")


def test_a_fault_of_ours_is_told_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(lambda: Stats([], ConnectionStats(0, 0, 0, 1, 0, 1)))
    gate = Gate(broken, Access((), 80, frozenset({"here"})), metrics, frozenset({"/x"}))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://here") as client:
            return await client.get("/x")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text, "whoever runs the service sees it"
    assert b'chandlery_requests_total{path="/x",status="500"} 1.0' in metrics.write()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("me", "entry 1 is no NAME:TOKEN"),
        ("me:short", "entry 1 is no NAME:TOKEN"),
        (f"me:{TOKEN}:often", "'often' is no rate"),
        (f"me:{TOKEN},me:{TOKEN}x", "entry 2 has a name or a token"),
        (f"me:{TOKEN},you:{TOKEN}", "entry 2 has a name or a token"),
    ],
)
def test_tokens_that_cannot_be_are_refused_without_repeating_them(
    monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setenv(TOKENS, text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_clients("600/minute")
    assert TOKEN not in str(caught.value)


def test_tokens_are_kept_as_digests_and_found_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKENS, f"me:{TOKEN} , you:{TOKEN}-2:5/second")
    clients = read_clients("600/minute")
    assert TOKEN not in repr(clients)
    access = Access(tuple(clients), 80, frozenset())
    found = {
        given: access.find_client(given) for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}-2", f"Basic {TOKEN}", "")
    }
    assert [each and each.name for each in found.values()] == ["me", "you", None, None]
    assert [str(each.rate) for each in clients] == ["600 per 1 minute", "5 per 1 second"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", FORMS[0]),
        ("*/*", FORMS[0]),
        ("text/*", "text/csv"),
        ("text/html, text/csv;q=0.5, */*;q=0.1", "text/csv"),
        ("application/json;q=0, text/csv", "text/csv"),
        ("TEXT/CSV ; q=1", "text/csv"),
        ("application/vnd.apache.parquet", FORMS[3]),
        ("image/png", None),
        ("text/csv;q=x", None),
    ],
)
def test_the_form_is_the_one_that_is_liked_best(accept: str, form: str | None) -> None:
    assert choose_form(accept) == form


def test_what_only_this_machine_reaches() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.0.0.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "", "192.0.2.1", "example.org")] == [False] * 5
