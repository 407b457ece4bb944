"""The service on loopback, with invented bars: a real server for tests, and for a person to try.

``python tests/acme_server.py`` serves on port 8000 until Ctrl-C. Symbols with a slash trade always; others from 09:30
to 16:00 in New York, Monday to Friday. The prices are a smooth curve, the same every time.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

SYMBOLS = ("AAPL", "BTC/USD")
_EXCHANGE = ZoneInfo("America/New_York")
_OPEN, _CLOSE = time(9, 30), time(16)
_WIDTHS = {"1m": timedelta(minutes=1), "1d": timedelta(days=1)}


def invent(symbol: str, timeframe: str, start: datetime, end: datetime) -> list[dict[str, float]]:
    """Return the bars of ``symbol`` that start in ``[start, end)``, UTC, as the service sends them."""
    return [_bar(at, _WIDTHS[timeframe]) for at in _starts(symbol, timeframe, start, end)]


def _starts(symbol: str, timeframe: str, start: datetime, end: datetime) -> Iterator[datetime]:
    width = _WIDTHS[timeframe]
    at = datetime.fromtimestamp(math.ceil(start.timestamp() / width.total_seconds()) * width.total_seconds(), UTC)
    while at < end:
        there = at.astimezone(_EXCHANGE) if timeframe == "1m" else at
        if "/" in symbol or (there.weekday() < 5 and (timeframe == "1d" or _OPEN <= there.time() < _CLOSE)):
            yield at
        at += width


def _bar(at: datetime, width: timedelta) -> dict[str, float]:
    first, last = _price(at), _price(at + width)
    high, low = round(max(first, last) + 0.05, 2), round(min(first, last) - 0.05, 2)
    return {"t": at.timestamp() * 1000, "o": first, "h": high, "l": low, "c": last, "v": 1000.0 + at.minute}


def _price(at: datetime) -> float:
    return round(100 + 10 * math.sin(at.timestamp() / 5e6), 2)


class AcmeServer:
    """Serves until the ``with`` block ends.

    Args:
        key: the only key that it takes. A refusal quotes the wrong one, as some services do.
        port: 0 for a free one.

    Attributes:
        failing: statuses that it answers the next requests with, whatever they are for.
        bodies: what it answers the next requests with, instead of bars.
        paths: what was requested, in order.
    """

    def __init__(self, key: str, port: int = 0) -> None:
        """Bind the port."""
        self.key = key
        self.failing: deque[int] = deque()
        self.bodies: deque[str] = deque()
        self.paths: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = server.answer(self.path, self.headers.get("X-Api-Key"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, path: str, key: str | None) -> tuple[int, str]:
        """Return status and body of an answer."""
        parts = urlsplit(path)
        self.paths.append(path)
        symbol = unquote(parts.path.removeprefix("/bars/"))
        if key != self.key:
            return 401, json.dumps({"error": f"no such key: {key}"})
        if self.failing:
            return self.failing.popleft(), json.dumps({"error": "not now"})
        if self.bodies:
            return 200, self.bodies.popleft()
        if symbol not in SYMBOLS:
            return 404, json.dumps({"error": f"no such symbol: {symbol}"})
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        start, end = (datetime.fromisoformat(query[name]) for name in ("from", "to"))
        return 200, json.dumps({"bars": invent(symbol, query["timeframe"], start, end)})

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


if __name__ == "__main__":
    with AcmeServer("try-out", port=8000) as acme:
        sys.stdout.write(f"Invented bars of {' and '.join(SYMBOLS)} on {acme.url}, until Ctrl-C. The key is try-out.\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
