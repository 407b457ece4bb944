"""Who gets into the web UI: every request that somebody else could send, or make a browser send, is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from pipelines.guard import Access, Guard
from pipelines.web import access

TOKEN = "the-token-of-these-tests"
PORT = 3000
OURS = "127.0.0.1:3000"
JSON = {"content-type": "application/json"}
BEARER = {"authorization": f"Bearer {TOKEN}"}
COOKIE = {"cookie": f"chandlery_ui_{PORT}={TOKEN}"}


@dataclass
class Server:
    """A web server that remembers what reached it."""

    reached: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["path"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await PlainTextResponse("in")(scope, receive, send)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Headers
    reached: bool


def send(
    path: str,
    headers: Mapping[str, str] | list[tuple[str, str]] = (),  # type: ignore[assignment]
    *,
    method: str = "GET",
    host: str | None = OURS,
    kind: str = "http",
    allowed: Access | None = None,
) -> Reply:
    """Send a request to a guarded server."""
    server, sent = Server(), list[Message]()
    path, _, query = path.partition("?")
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    pairs += [("host", host)] if host is not None else []
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        "scheme": "http" if kind == "http" else "ws",
        "server": ("127.0.0.1", PORT),
        "root_path": "",
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def remember(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(server, allowed or access(TOKEN, "127.0.0.1", PORT))(scope, receive, remember))
    first = sent[0]
    status = {"websocket.accept": 101, "websocket.close": 403}.get(first["type"]) or first["status"]
    return Reply(status, Headers(raw=first.get("headers", [])), bool(server.reached))


@pytest.mark.parametrize("path", ["/", "/runs", "/graphql", "/server_info", "/report_asset_materialization/bars_1d"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept": "text/html"},
        {"authorization": "Bearer another-token-of-some-length"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"cookie": f"chandlery_ui_3001={TOKEN}"},
        {"cookie": f"chandlery_ui_{PORT}={TOKEN}x"},
        {"cookie": f"chandlery_ui_{PORT}="},
        {"authorization": "Bearer \xe4\xf6\xfc"},
    ],
)
def test_without_the_token_nobody_gets_in(path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        reply = send(path, headers | (JSON if method == "POST" else {}), method=method)
        assert (reply.status, reply.reached) == (401, False)


@pytest.mark.parametrize("given", [BEARER, COOKIE, {"cookie": f"a=b; chandlery_ui_{PORT}={TOKEN}; c=d"}])
def test_the_token_opens(given: dict[str, str]) -> None:
    assert send("/runs", given).reached
    assert send("/graphql", given | JSON, method="POST").reached
    assert send("/graphql", given | {"accept": "text/html"}).reached
    assert send("/graphql", given, kind="websocket").status == 101


def test_an_address_with_the_token_becomes_a_cookie_and_loses_it() -> None:
    reply = send(f"/runs?view=all&token={TOKEN}&x=1")
    assert (reply.status, reply.reached, reply.headers["location"]) == (303, False, "/runs?view=all&x=1")
    cookie = reply.headers["set-cookie"].lower()
    assert cookie.startswith(f"chandlery_ui_{PORT}={TOKEN};".lower())
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert send("/?token=another-token-of-some-length").status == 401
    assert "set-cookie" not in send("/?token=another-token-of-some-length").headers
    assert send(f"//evil.example/x?token={TOKEN}").headers["location"] == "/evil.example/x"
    assert send(f"/\\evil.example/x?token={TOKEN}").headers["location"] == "/%5Cevil.example/x"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.evil.example:3000",
        "127.0.0.1:3001",
        "127.0.0.1",
        "127.0.0.1:3000@evil.example",
        "evil.example@127.0.0.1:3000",
        "192.168.1.7:3000",
        "[::2]:3000",
        "127.0.0.1:3000/x",
        "127.0.0.1:port",
        "[::1",
        "",
        None,
    ],
)
def test_a_name_that_is_not_ours_is_refused_whatever_else_is_right(host: str | None) -> None:
    for kind in ("http", "websocket"):
        reply = send("/graphql", COOKIE | JSON, method="POST", host=host, kind=kind)
        assert not reply.reached
        assert reply.status in {421, 403}


def test_two_hosts_are_none() -> None:
    assert send("/", [("host", OURS), *COOKIE.items()], host="evil.example").status == 421


@pytest.mark.parametrize("host", [OURS, "localhost:3000", "LOCALHOST:3000", "[::1]:3000"])
def test_our_own_names_are_answered(host: str) -> None:
    assert send("/", COOKIE, host=host).reached


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "https://evil.example:3000"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://localhost"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": ""},
        {"origin": f"http://{OURS}.evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "whatever"},
    ],
)
@pytest.mark.parametrize(("method", "kind"), [("GET", "http"), ("POST", "http"), ("GET", "websocket")])
def test_a_page_of_another_origin_reaches_nothing_though_the_browser_sends_the_cookie(
    headers: dict[str, str], method: str, kind: str
) -> None:
    for path in ("/graphql", "/server_info", f"/?token={TOKEN}"):
        reply = send(path, COOKIE | JSON | headers, method=method, kind=kind)
        assert (reply.status, reply.reached) == (403, False)


def test_a_link_from_elsewhere_opens_a_page_and_does_nothing() -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert send("/runs", COOKIE | link).reached
    assert not send("/graphql", COOKIE | link).reached
    assert not send("/graphql", COOKIE | JSON | link, method="POST").reached
    assert not send("/runs", COOKIE | JSON | link, method="POST").reached


@pytest.mark.parametrize("origin", [f"http://{OURS}", "http://localhost:3000"])
def test_our_own_pages_may_do_everything(origin: str) -> None:
    ours = COOKIE | {"origin": origin, "sec-fetch-site": "same-origin"}
    assert send("/graphql", ours | JSON, method="POST").reached
    assert send("/graphql", ours, kind="websocket").status == 101


@pytest.mark.parametrize("path", ["/graphql?query=mutation", "/graphql/?query={version}", "/graphql?x=1&query="])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_executed_that_is_not_posted(path: str, method: str) -> None:
    assert send(path, BEARER, method=method).status == 405


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "text/plain; application/json",
        "application/jsonp",
    ],
)
def test_only_json_is_posted(kind: str | None) -> None:
    given = BEARER | ({"content-type": kind} if kind else {})
    assert send("/graphql", given, method="POST").status == 415
    assert send("/report_asset_materialization/bars_1d", given, method="POST").status == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_not_used(method: str) -> None:
    assert send("/graphql", BEARER | JSON, method=method).status == 405


def test_health_needs_no_token_and_says_nothing() -> None:
    reply = send("/healthz", host="whatever")
    assert (reply.status, reply.reached) == (204, False)
    assert send("/healthz", method="POST", host="whatever").status == 421


def test_no_page_may_show_ours_within_itself() -> None:
    for reply in (send("/", COOKIE), send("/", {"accept": "text/html"})):
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "same-origin"


def test_on_another_address_the_server_is_called_by_numbers_or_by_names_that_were_given() -> None:
    wide = access(TOKEN, "0.0.0.0", PORT, ["Bars.Example"])
    for host in ("10.1.2.3:3000", "[fe80::1]:8080", "bars.example", "bars.example:443", "localhost:8080"):
        assert send("/", COOKIE, host=host, allowed=wide).reached
    for host in ("evil.example", "0.0.0.0.evil.example:3000"):
        assert send("/", COOKIE, host=host, allowed=wide).status == 421
    assert send("/", host="10.1.2.3:3000", allowed=wide).status == 401
