"""What stands before every answer: names, pages, tokens, rates, and counting. Not here: the rules (``access``)."""

from __future__ import annotations

import logging
import math
import time

from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chandlery.serve.access import TOKENS, Access, Client
from chandlery.serve.answers import problem
from chandlery.serve.metrics import Metrics

#: Answered to whoever reaches the service: whether it is up, and how it is used.
OPEN = frozenset({"/health", "/docs", "/openapi.json"})
FAULT = "the answer failed because of a fault of the service; its standard error says more"
#: Printed by the server, as it prints its own.
_log = logging.getLogger("uvicorn.error")


class Gate:
    """ASGI middleware that hands on what may be asked, and counts.

    Args:
        app: answers.
        access: who may ask.
        metrics: counts.
        paths: that exist; others are counted as one.
    """

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app, self._access, self._metrics, self._paths = app, access, metrics, paths
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, path = time.perf_counter(), scope["path"] if scope["path"] in self._paths else "other"
        # Who asks for the head alone gets it from the server, which leaves the body out.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        status: list[int] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        try:
            asked["client_name"], asked["is_open"] = None, not self._access.clients
            await (self._refuse(asked) or self._app)(asked, receive, watched)
        except Exception:  # noqa: BLE001 - whatever it is, who asks gets an answer
            # The traceback is for the log of whoever runs this, never for who asks.
            _log.exception("an answer failed")
            if not status:
                await problem(500, FAULT)(asked, receive, watched)
        finally:
            self._metrics.requests.labels(path, str(status[-1] if status else 499)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - began)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the answer to what is not handed on; None for what is."""
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not self._access.knows_host(headers["host"]):
            return problem(421, "this service is not called by that name; see --allow-host of `chandlery serve`")
        if not self._access.knows_page(headers.get("origin"), headers.get("sec-fetch-site", "none"), headers["host"]):
            return problem(403, "requests from pages of other origins are refused")
        if scope["method"] != "GET":
            return problem(405, f"{scope['method']} is not used here; everything is read", {"Allow": "GET, HEAD"})
        return self._refuse_client(scope, headers) if self._access.clients else None

    def _refuse_client(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to who has no token, or asks too often."""
        client = self._access.find_client(headers.get("authorization", ""))
        if client is None:
            if scope["path"] in OPEN:
                return None
            missing = "authorization" not in headers
            kind = 'Bearer realm="chandlery"' + ("" if missing else ', error="invalid_token"')
            return problem(
                401,
                f"a token is needed: Authorization: Bearer TOKEN, one of {TOKENS}" if missing else "no such token",
                {"WWW-Authenticate": kind},
            )
        scope["client_name"] = client.name
        return self._limit(client)

    def _limit(self, client: Client) -> Response | None:
        if self._limiter.hit(client.rate, client.name):
            return None
        reset = self._limiter.get_window_stats(client.rate, client.name).reset_time
        seconds = max(1, math.ceil(reset - time.time()))
        return problem(
            429, f"{client.name} may ask {client.rate}; try again in {seconds} s", {"Retry-After": str(seconds)}
        )
