"""Lets only the owner into the web UI: checks every request before Dagster's web server sees it.

A request has to name a host that is ours (a page of another origin could make a name of its own point here: DNS
rebinding), to come from a page of ours where a browser says from which page it comes, and to carry the token of the
installation. GET changes nothing, and whatever changes something is a POST of JSON, which no form of another page can
send. A browser remembers not the token but a secret of this start of the server, and gives it to no other server of the
same host: browsers keep cookies by host and path, whatever the port, so all pages stand below a path that nobody else
knows. Sources: OWASP, "Cross-Site Request Forgery Prevention"; W3C, "Fetch Metadata Request Headers"; RFC 6265, 6454.

Not here: the server behind it (``web``), and where the token comes from (``chandlery.app.ui_token``).
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chandlery.core.hosts import is_called

#: Answered without a token, with no content: whether the server is up.
HEALTH = "/healthz"
#: Parameter of an address that brings the token; it is taken out of the address at once.
PARAMETER = "token"
_GRAPHQL = "/graphql"
_READING = frozenset({"GET", "HEAD"})

_LOGIN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Chandlery</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem }
body { background: #fbfaf7; color: #23262d }
input { font: inherit; padding: .4rem .6rem; width: 100%; box-sizing: border-box }
button { font: inherit; margin-top: .8rem; padding: .4rem 1rem }
</style>
<h1>Chandlery</h1>
<p>This page is for the owner of the installation. Open the address that <code>chandlery ui</code> printed, or enter the
token that stands in it.</p>
<form method="get"><input name="token" type="password" autocomplete="current-password" aria-label="token" autofocus>
<button>Enter</button></form></html>
"""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the web UI, and under which names.

    Attributes:
        token: the secret of the installation.
        port: on which the server listens; part of a host and of the cookie's name.
        hosts: names by which the server may be called, in lower case, without a port.
        any_address: whether the server may also be called by any address in numbers, which nobody can rebind: for a
            server that listens on more than this machine.
        proxies: names, among ``hosts``, of proxies before it, by which browsers know its pages.
        session: what a browser that showed the token sends from then on, until the server ends.
    """

    token: str
    port: int
    hosts: frozenset[str]
    any_address: bool = False
    proxies: frozenset[str] = frozenset()
    session: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the session."""
        return f"chandlery_ui_{self.port}"

    @property
    def prefix(self) -> str:
        """Begin of the path of every page, the same at every start: only who has the token knows it."""
        return "/" + hmac.new(self.token.encode(), b"path of the pages", "sha256").hexdigest()[:32]

    def knows_host(self, host: str) -> bool:
        """Whether ``host``, as in a ``Host`` header or an origin, names this server."""
        return is_called(host, self.hosts, self.port, any_address=self.any_address)

    def has_page(self, origin: str, host: str) -> bool:
        """Whether a page of ``origin`` is ours, where the request calls the server ``host``."""
        scheme, _, name = origin.partition("://")
        if scheme not in {"http", "https"} or not self.knows_host(name):
            return False
        # Elsewhere than on loopback, a page of another port or address may be anybody's.
        return not self.any_address or name.lower() == host.lower() or _name_of(name) in self.proxies

    def is_within(self, path: str) -> bool:
        """Whether ``path`` is that of a page, or of what pages ask for."""
        return path == self.prefix or path.startswith(f"{self.prefix}/")


def _is_same(given: str | None, secret: str) -> bool:
    """Return whether ``given`` is ``secret``; takes as long whatever it is."""
    return given is not None and hmac.compare_digest(given.encode(), secret.encode())


class Guard:
    """ASGI middleware that hands on only what the owner sends.

    Args:
        app: the web server, below ``access.prefix``.
        access: who may use it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        response = self._answer(HTTPConnection(scope), str(scope.get("method", "GET")))
        if response is None:
            await self._app(self._below_prefix(scope), receive, _with_headers(send))
        elif scope["type"] == "websocket":
            # Before it is accepted, so that the browser's handshake fails with 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await response(scope, receive, _with_headers(send))

    def _answer(self, connection: HTTPConnection, method: str) -> Response | None:
        """Return the answer to a request that is not handed on; None for one that is."""
        headers, path = connection.headers, connection.scope["path"]
        if path == HEALTH and method in _READING:
            return Response(status_code=204)
        if len(headers.getlist("host")) != 1 or not self._access.knows_host(headers["host"]):
            return _refuse(421, "this server is not called by that name; see --allow-host of `chandlery ui`")
        if not self._comes_from_us(headers, navigates=_navigates(headers, method, path)):
            return _refuse(403, "requests from pages of other origins are refused")
        entering = self._enter(connection, method)
        if entering is not None:
            return entering
        if not self._is_owner(connection):
            page = "text/html" in headers.get("accept", "")
            return HTMLResponse(_LOGIN, 401) if page else _refuse(401, "a token is needed: Authorization: Bearer TOKEN")
        return _refuse_change(method, headers, path, connection.url.query)

    def _comes_from_us(self, headers: Headers, *, navigates: bool) -> bool:
        """Whether a browser, if it is one, says that a page of ours or the person sent this."""
        origin = headers.get("origin")
        if origin is not None and not self._access.has_page(origin, headers["host"]):
            return False
        site = headers.get("sec-fetch-site", "none")
        # "same-site" is another port of this machine, where anybody may listen. A link is followed all the same.
        return site in {"same-origin", "none"} or navigates

    def _enter(self, connection: HTTPConnection, method: str) -> Response | None:
        """Take the token out of the address and into a cookie, where it is right."""
        parameters = parse_qsl(connection.url.query, keep_blank_values=True)
        given = [value for name, value in parameters if name == PARAMETER]
        if connection.scope["type"] != "http" or method != "GET" or len(given) != 1:
            return None
        if not _is_same(given[0], self._access.token):
            return HTMLResponse(_LOGIN, 401)
        rest = urlencode([(name, value) for name, value in parameters if name != PARAMETER])
        # The path alone, so that no address can send the browser elsewhere.
        place = f"{self._access.prefix}/{connection.url.path.removeprefix(self._access.prefix).lstrip('/')}"
        response = RedirectResponse(place + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(
            self._access.cookie, self._access.session, path=self._access.prefix, httponly=True, samesite="strict"
        )
        return response

    def _is_owner(self, connection: HTTPConnection) -> bool:
        """Whether the token came, or within the pages the session that a browser got for it."""
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _is_same(bearer.strip(), self._access.token)
        within = self._access.is_within(connection.scope["path"])
        return within and _is_same(connection.cookies.get(self._access.cookie), self._access.session)

    def _below_prefix(self, scope: Scope) -> Scope:
        """Return the request of a program, which sends the token, as one below the prefix."""
        if self._access.is_within(scope["path"]):
            return scope
        prefix = self._access.prefix
        raw = {"raw_path": prefix.encode() + scope["raw_path"]} if scope.get("raw_path") else {}
        return {**scope, "path": prefix + scope["path"], **raw}


def _navigates(headers: Headers, method: str, path: str) -> bool:
    """Whether a person followed a link to a page: that reads, and shows what it read to nobody but the person."""
    page_load = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return method in _READING and page_load == ("navigate", "document") and not path.rstrip("/").endswith(_GRAPHQL)


def _refuse_change(method: str, headers: Headers, path: str, query: str) -> Response | None:
    """Return the refusal of a request that changes something in a way that a form or a link could; None otherwise."""
    if method in _READING:
        if path.rstrip("/").endswith(_GRAPHQL) and "query" in dict(parse_qsl(query, keep_blank_values=True)):
            return _refuse(405, "GraphQL is asked by POST of JSON", {"Allow": "POST"})
        return None
    if method != "POST":
        return _refuse(405, f"{method} is not used here", {"Allow": "GET, POST"})
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refuse(415, "only JSON is accepted: Content-Type: application/json")
    return None


def _refuse(status: int, text: str, headers: dict[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(f"{text}\n", status, headers)


def _with_headers(send: Send) -> Send:
    """Return ``send`` that lets no other page show this one within itself, or read its address."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Frame-Options"] = "DENY"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Referrer-Policy"] = "same-origin"
        await send(message)

    return guarded


def _name_of(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "").lower()
