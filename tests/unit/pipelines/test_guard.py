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
ALLOWED = access(TOKEN, "127.0.0.1", PORT)
#: Where a browser is that was let in, and what it sends.
IN = ALLOWED.prefix
COOKIE = {"cookie": f"chandlery_ui_{PORT}={ALLOWED.session}"}


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
    reached: str | None


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
        "raw_path": path.encode(),
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

    asyncio.run(Guard(server, allowed or ALLOWED)(scope, receive, remember))
    first = sent[0]
    status = {"websocket.accept": 101, "websocket.close": 403}.get(first["type"]) or first["status"]
    return Reply(status, Headers(raw=first.get("headers", [])), next(iter(server.reached), None))


@pytest.mark.parametrize("path", ["/", "/runs", "/graphql", "/server_info", "/report_asset_materialization/bars_1d"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept": "text/html"},
        {"authorization": "Bearer another-token-of-some-length"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"cookie": f"chandlery_ui_3001={ALLOWED.session}"},
        {"cookie": f"chandlery_ui_{PORT}={ALLOWED.session}x"},
        {"cookie": f"chandlery_ui_{PORT}={TOKEN}"},
        {"cookie": f"chandlery_ui_{PORT}={access(TOKEN, '127.0.0.1', PORT).session}"},  # of another start
        {"cookie": f"chandlery_ui_{PORT}="},
        {"authorization": "Bearer \xe4\xf6\xfc"},
    ],
)
def test_without_the_token_nobody_gets_in(path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        for place in (path, IN + path):
            reply = send(place, headers | (JSON if method == "POST" else {}), method=method)
            assert (reply.status, reply.reached) == (401, None)


#: What other servers of this machine have the browser send, too.
ODD_COOKIES = [
    "a=b",
    'prefs={"a": 1}',
    "flash=hello world",
    "a:b[c]=1",
    "x",
    "path=/",
    "expires=never",
    'q="',
    "=",
    "ä=ö",
]


@pytest.mark.parametrize("given", [COOKIE, *({"cookie": f"{odd}; {COOKIE['cookie']}; {odd}"} for odd in ODD_COOKIES)])
def test_a_browser_that_was_let_in_stays_in(given: dict[str, str]) -> None:
    assert send(f"{IN}/runs", given).reached == f"{IN}/runs"
    assert send(f"{IN}/graphql", given | JSON, method="POST").reached
    assert send(f"{IN}/graphql", given | {"accept": "text/html"}).reached
    assert send(f"{IN}/graphql", given, kind="websocket").status == 101


def test_what_a_browser_keeps_opens_nothing_outside_of_the_pages() -> None:
    for path in ("/", "/runs", "/graphql", f"{IN}x/runs", f"/x{IN}/runs"):
        assert send(path, COOKIE).status == 401


@pytest.mark.parametrize("path", ["/graphql", f"{IN}/graphql"])
def test_a_program_with_the_token_needs_to_know_nothing_else(path: str) -> None:
    assert send(path, BEARER | JSON, method="POST").reached == f"{IN}/graphql"
    assert send(path, BEARER, kind="websocket").reached == f"{IN}/graphql"


def test_an_address_with_the_token_becomes_a_cookie_and_loses_it() -> None:
    reply = send(f"/runs?view=all&token={TOKEN}&x=1")
    assert (reply.status, reply.reached, reply.headers["location"]) == (303, None, f"{IN}/runs?view=all&x=1")
    assert send(f"{IN}/runs?token={TOKEN}").headers["location"] == f"{IN}/runs"
    cookie = reply.headers["set-cookie"].lower()
    assert cookie.startswith(f"chandlery_ui_{PORT}={ALLOWED.session};".lower())
    assert f"; path={IN};" in f"{cookie};"
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    # Neither the token nor anything that lasts longer than the server is in the browser.
    assert TOKEN not in cookie
    assert "max-age" not in cookie
    assert "expires" not in cookie
    assert send("/?token=another-token-of-some-length").status == 401
    assert send(f"/?token={TOKEN}&token={TOKEN}").status == 401
    assert "set-cookie" not in send("/?token=another-token-of-some-length").headers
    assert send(f"//evil.example/x?token={TOKEN}").headers["location"] == f"{IN}/evil.example/x"
    assert send(f"/\\evil.example/x?token={TOKEN}").headers["location"] == f"{IN}/%5Cevil.example/x"


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
        reply = send(f"{IN}/graphql", COOKIE | JSON, method="POST", host=host, kind=kind)
        assert not reply.reached
        assert reply.status in {421, 403}


def test_two_hosts_are_none() -> None:
    assert send("/", [("host", OURS), *COOKIE.items()], host="evil.example").status == 421


@pytest.mark.parametrize("host", [OURS, "localhost:3000", "LOCALHOST:3000", "[::1]:3000"])
def test_our_own_names_are_answered(host: str) -> None:
    assert send(f"{IN}/", COOKIE, host=host).reached


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "https://evil.example:3000"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://localhost"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": f"ftp://{OURS}"},
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
    for path in (f"{IN}/graphql", f"{IN}/server_info", f"{IN}/?token={TOKEN}"):
        reply = send(path, COOKIE | JSON | headers, method=method, kind=kind)
        assert (reply.status, reply.reached) == (403, None)


def test_a_link_from_elsewhere_opens_a_page_and_does_nothing() -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert send(f"{IN}/runs", COOKIE | link).reached
    assert not send(f"{IN}/graphql", COOKIE | link).reached
    assert not send(f"{IN}/graphql", COOKIE | JSON | link, method="POST").reached
    assert not send(f"{IN}/runs", COOKIE | JSON | link, method="POST").reached


@pytest.mark.parametrize("origin", [f"http://{OURS}", "http://localhost:3000"])
def test_our_own_pages_may_do_everything(origin: str) -> None:
    ours = COOKIE | {"origin": origin, "sec-fetch-site": "same-origin"}
    assert send(f"{IN}/graphql", ours | JSON, method="POST").reached
    assert send(f"{IN}/graphql", ours, kind="websocket").status == 101


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
    assert (reply.status, reply.reached) == (204, None)
    assert send("/healthz", method="POST", host="whatever").status == 421


def test_no_page_may_show_ours_within_itself() -> None:
    for reply in (send(f"{IN}/", COOKIE), send("/", {"accept": "text/html"})):
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "same-origin"


def test_on_another_address_the_server_is_called_by_numbers_or_by_names_that_were_given() -> None:
    wide = access(TOKEN, "0.0.0.0", PORT, ["Bars.Example"])
    for host in ("10.1.2.3:3000", "[fe80::1]:8080", "bars.example", "bars.example:443", "localhost:8080"):
        assert send("/", BEARER, host=host, allowed=wide).reached
    for host in ("evil.example", "0.0.0.0.evil.example:3000"):
        assert send("/", BEARER, host=host, allowed=wide).status == 421
    assert send("/", host="10.1.2.3:3000", allowed=wide).status == 401


@pytest.mark.parametrize(
    ("origin", "host", "ours"),
    [
        ("http://10.1.2.3:3000", "10.1.2.3:3000", True),
        ("https://bars.example", "bars.example", True),
        ("https://bars.example", "127.0.0.1:3000", True),  # the proxy calls it by another name
        ("http://10.1.2.3:8080", "10.1.2.3:3000", False),
        ("http://10.1.2.3", "10.1.2.3:3000", False),
        ("http://203.0.113.5", "10.1.2.3:3000", False),
        ("http://127.0.0.1:9999", "127.0.0.1:3000", False),
        ("http://127.0.0.1:9999", "10.1.2.3:3000", False),
        ("http://evil.example", "10.1.2.3:3000", False),
    ],
)
def test_on_another_address_a_page_is_ours_where_the_browser_calls_both_alike(
    origin: str, host: str, ours: bool
) -> None:
    wide = access(TOKEN, "0.0.0.0", PORT, ["Bars.Example"])
    for kind in ("http", "websocket"):
        reply = send("/graphql", BEARER | JSON | {"origin": origin}, method="POST", host=host, kind=kind, allowed=wide)
        assert bool(reply.reached) == ours
