"""A real HTTP server on loopback that speaks a vendor's format, and misbehaves when told to.

A vendor's own server says what it answers (``answer``); everything that can go wrong on the way is here.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from chandlery.core.timeframe import Timeframe
from tests.servers.market import Market

#: What a server can be told to do instead of answering.
Fault: TypeAlias = Literal[
    "rate_limited",  # 429 without advice
    "rate_limited_retry_after",  # 429 with Retry-After: RETRY_AFTER
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "drop",  # closes the connection in the middle of the body
    "hang",  # takes the request and never answers
    "malformed",  # a good answer that is not what it says it is: HTML
    "truncated",  # half of the body, and no word of the rest
]
FAULTS: tuple[Fault, ...] = (
    "rate_limited",
    "rate_limited_retry_after",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "drop",
    "hang",
    "malformed",
    "truncated",
)
RETRY_AFTER = 1


@dataclass(frozen=True)
class Request:
    """What came in. ``query`` holds the last value of each parameter; ``at`` is monotonic seconds."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class Answer:
    """What goes out; ``body`` is sent as JSON unless it is text."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


_SECRET_HEADERS = ("apca-api-key-id", "apca-api-secret-key", "authorization")


class VendorServer(ABC):
    """Serves a ``Market`` in a vendor's format until the ``with`` block ends.

    Args:
        market: what there is.
        key: the right key, for vendors that have one.
        page: rows a page at most.
        per_minute: more calls than so many in any window of a minute are answered with 429.
        failing: share of calls that fail with 503, at random but the same every time.
        port: 0 for a free one.

    Attributes:
        faults: what to do instead with the next requests for bars, one each.
        repeat_pages: whether each page but the last is sent twice in a row.
        shuffled: whether the bars of a page come in no order.
        quotes_headers: whether a refusal quotes the headers that may hold a key, as pages for developers do.
        requests: what came in and concerned bars, in order.
        refused: how many calls were over the limit.
    """

    def __init__(
        self,
        market: Market,
        *,
        key: str = "",
        page: int = 1000,
        per_minute: float | None = None,
        failing: float = 0.0,
        port: int = 0,
    ) -> None:
        self.market = market
        self.key = key
        self.page = page
        self.per_minute = per_minute
        self.faults: deque[Fault] = deque()
        self.repeat_pages = False
        self.shuffled = False
        self.quotes_headers = False
        self.requests: list[Request] = []
        self.refused = 0
        self._failing = failing
        self._chance = random.Random(11)
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = self._listen(port)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def _listen(self, port: int) -> ThreadingHTTPServer | ThreadingTCPServer:
        """Return what listens; a vendor that does not speak HTTP has its own."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._handle(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        return ThreadingHTTPServer(("127.0.0.1", port), Handler)

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Return what the vendor would answer."""

    def is_about_bars(self, request: Request) -> bool:
        """Whether a request counts: asks for bars, and may meet a fault."""
        return True

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve_forever(self) -> None:
        """Serve until interrupted."""
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        request = Request(
            unquote(parts.path),
            {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
            {name.lower(): value for name, value in handler.headers.items()},
            time.monotonic(),
        )
        fault: Fault | None = None
        if self.is_about_bars(request):
            fault, wait = self._take(request)
            if wait is not None:
                _send(handler, Answer("too many requests", 429, {"Retry-After": f"{wait:.3f}"}))
                return
        if fault == "hang":
            self._closing.wait()
            return
        if fault is not None and fault.startswith(("http_", "rate_limited")):
            status = 429 if fault.startswith("rate") else int(fault[-3:])
            advice = {"Retry-After": str(RETRY_AFTER)} if fault == "rate_limited_retry_after" else {}
            _send(handler, Answer({"message": "not now"}, status, advice))
            return
        if fault == "malformed":
            _send(handler, Answer("<html><body>We are doing some maintenance.</body></html>"))
            return
        answer = self.answer(request)
        if self.quotes_headers and answer.status >= 400:
            answer = Answer({"headers": {name: request.headers.get(name) for name in _SECRET_HEADERS}}, answer.status)
        _send(handler, answer, cut="drop" if fault == "drop" else "end" if fault == "truncated" else None)

    def _take(self, request: Request) -> tuple[Fault | None, float | None]:
        """Count a request; return the fault that it meets, and how many seconds too early it came."""
        with self._lock:
            self.requests.append(request)
            fault = self.faults.popleft() if self.faults else None
            wait = self._over_limit(request.at)
            if fault is None and wait is None and self._chance.random() < self._failing:
                fault = "http_503"
        return fault, wait

    def _over_limit(self, now: float) -> float | None:
        """Count a call; return how many seconds too early it came, None where it was allowed."""
        if self.per_minute is None:
            return None
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) >= self.per_minute:
            self.refused += 1
            return self._recent[0] + 60 - now
        self._recent.append(now)
        return None


def _send(handler: BaseHTTPRequestHandler, answer: Answer, cut: Literal["drop", "end"] | None = None) -> None:
    text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    body = text.encode()
    handler.send_response(answer.status)
    kind = "application/json" if not isinstance(answer.body, str) else "text/html"
    handler.send_header("Content-Type", kind)
    # A truncated body claims to be whole; a dropped one is short of what was promised.
    handler.send_header("Content-Length", str(len(body) // 2 if cut == "end" else len(body)))
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2] if cut else body)
    if cut == "drop":
        handler.wfile.flush()
        linger = struct.pack("ii", 1, 0)  # resets the connection
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)


def run(
    build: type[VendorServer],
    symbols: list[str],
    timeframes: tuple[Timeframe, ...],
    entry: str,
    *,
    keys: Mapping[str, str] | None = None,
    timeframe: Timeframe = Timeframe.M1,
) -> None:
    """Serve invented bars of the last month (``1m``) and two years (``1d``) to a person, until interrupted.

    Args:
        build: makes the server.
        symbols: what it serves, unless the person says otherwise.
        timeframes: likewise.
        entry: what to write into ``providers.yaml`` under ``providers:``, with ``{url}`` and ``{port}``.
        keys: environment variables that hold keys, with ``{key}``.
        timeframe: what to ask for first.
    """
    parser = argparse.ArgumentParser(description=build.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="try-out")
    parser.add_argument("--symbols", nargs="+", default=symbols)
    given = parser.parse_args()
    now = datetime.now(UTC)
    market = Market({})
    for width in timeframes:
        reach = timedelta(days=30 if width is Timeframe.M1 else 730)
        market |= Market.invent(given.symbols, width, now - reach, now)
    server = build(market, key=given.key, port=given.port)
    text = entry.format(url=server.url, port=server.port)
    variables = [f"{name}={value.format(key=given.key)}" for name, value in (keys or {}).items()]
    start = now - timedelta(days=7 if timeframe is Timeframe.M1 else 700)
    ask = f"{given.symbols[0]} --provider {text.strip().partition(':')[0]} --timeframe {timeframe.value}"
    # Flushed, for it may be written to a file or a pipe.
    print(
        f"Invented bars of {', '.join(given.symbols)} on 127.0.0.1:{server.port}, until Ctrl-C."
        " In another terminal, in the same folder:\n",
        "export CHANDLERY_HOME=$(mktemp -d) CHANDLERY_CONFIG=$(mktemp -d)",
        "echo 'instruments: []' > $CHANDLERY_CONFIG/universe.yaml",
        f"cat > $CHANDLERY_CONFIG/providers.yaml <<'END'\nproviders:\n{text}\nEND",
        *([f"export {' '.join(variables)}"] if variables else []),
        "chandlery init",
        f"chandlery ingest {ask} --start {start:%Y-%m-%d}",
        f"chandlery coverage {given.symbols[0]}",
        sep="\n",
        flush=True,
    )
    server.serve_forever()
