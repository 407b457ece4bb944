"""An IB Gateway on loopback. For a person: ``python -m tests.servers.ib``.

It speaks the text protocol of TWS API server versions 157 to 178: messages of a length (4 bytes, big-endian) and
fields that end in NUL, after a greeting "API", NUL, and the range of versions that the client knows.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from chandlery.core.timeframe import INGESTED, Timeframe
from tests.servers.http import Answer, Request, VendorServer, run
from tests.servers.market import Bars, Market

NEW_YORK = ZoneInfo("America/New_York")
_TIMEFRAMES = {"1 min": Timeframe.M1, "1 day": Timeframe.D1}
#: The longest that a call may be by "Historical Data Limitations", in days.
_LONGEST = {Timeframe.M1: 1, Timeframe.D1: 365}
#: The names of the fields of a request for bars, after its number and the contract's; those without a name are ignored.
_QUERY_FIELDS = (
    *("symbol", "secType", "", "", "", "", "exchange", "", "currency", "", "", ""),
    *("end", "barSize", "duration", "useRTH", "whatToShow", "formatDate"),
)
#: Seconds that a client waits for its number: the connection that had it may be closing.
_CLIENT_ID_WAIT = 0.5
_SERVICE = "Historical Market Data Service error message:"
NO_DATA = f"{_SERVICE}HMDS query returned no data"
PACING = f"{_SERVICE}Historical data request pacing violation"


class IbServer(VendorServer):
    """Serves bars as IB Gateway does: so many days worth before an end, over a connection per client id.

    As the documentation has it, "the most recent bar will be the closest possible" to the end: on a holiday, that is
    one of a day before.

    Args:
        identical_within: a request that is identical to another within so many seconds is a pacing violation.
        market: see ``VendorServer``, as the rest.

    Attributes:
        refusals: by symbol, code and text of the error that answers a request.
        empty: whether a request is answered with no bars and no reason.
        accounts: how many requests were for what is the user's: positions, orders, accounts.
        clients: the client ids that are connected.
    """

    def __init__(self, market: Market, *, identical_within: float = 0.0, **how: Any) -> None:  # noqa: ANN401
        super().__init__(market, **how)
        self.identical_within = identical_within
        self.refusals: dict[str, tuple[int, str]] = {}
        self.empty = False
        self.accounts = 0
        self.clients: set[str] = set()
        self._freed = threading.Condition()
        self._last: dict[tuple[tuple[str, str], ...], float] = {}

    def answer(self, request: Request) -> Answer:
        """Return the fields of the message that answers a request for bars: its bars, or an error."""
        query = request.query
        symbol, timeframe = query["symbol"].replace(" ", "."), _TIMEFRAMES.get(query["barSize"], Timeframe.D1)
        days = int(query["duration"].removesuffix(" D"))
        code, text = self._refusal(symbol, query)
        if code:
            return _error(query["id"], code, text)
        if days > _LONGEST[timeframe]:
            return _error(query["id"], 162, f"{_SERVICE}Time length exceed max.")
        end = datetime.strptime(query["end"], "%Y%m%d %H:%M:%S %Z").replace(tzinfo=UTC)
        bars = _last_days(self.market.between(symbol, timeframe, _FIRST, end), timeframe, end, days)
        rows = [] if self.empty else _rows(bars, timeframe)
        if not rows and not self.empty:
            return _error(query["id"], 162, NO_DATA)
        if self.shuffled:
            random.Random(3).shuffle(rows)
        if self.repeat_pages:
            rows += rows
        return Answer([17, query["id"], "", "", len(rows), *(field for row in rows for field in row)])

    def _refusal(self, symbol: str, query: Mapping[str, str]) -> tuple[int, str]:
        """Return code and text of the error that a request deserves; code 0 for none."""
        if symbol in self.refusals:
            return self.refusals[symbol]
        if (query["secType"], query["exchange"], query["currency"]) != ("STK", "SMART", "USD"):
            return 200, "The contract description specified is not one of this server's"
        if not self.market.knows(symbol):
            return 200, "No security definition has been found for the request"
        if query["barSize"] not in _TIMEFRAMES or (query["whatToShow"], query["formatDate"]) != ("TRADES", "2"):
            return 321, "Error validating request.-'bF' : cause - not of this server's"
        return 0, ""

    @property
    def url(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self.port}"

    def _listen(self, port: int) -> ThreadingTCPServer:
        server = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    server._talk(self)

        class Server(ThreadingTCPServer):
            allow_reuse_address = True

        return Server(("127.0.0.1", port), Handler)

    def _talk(self, handler: StreamRequestHandler) -> None:
        """Greet one client, and answer it until it goes away."""
        if handler.rfile.read(4) != b"API\0":
            return
        size = struct.unpack(">I", handler.rfile.read(4))[0]
        first, last = handler.rfile.read(size).decode().removeprefix("v").split("..")
        if int(first) > 178 or int(last) < 157:
            return
        _send(handler, min(178, int(last)), datetime.now(UTC).strftime("%Y%m%d %H:%M:%S UTC"))
        client = ""
        try:
            for kind, *fields in _messages(handler):
                if kind == "71":
                    if not self._admit(fields[1]):
                        _send(handler, *_error("-1", 326, "Unable to connect as the client id is already in use").body)
                        return
                    client = fields[1]
                    _send(handler, 15, 1, "DU000001")
                    _send(handler, 9, 1, 1)
                    _send(handler, *_error("-1", 2106, "HMDS data farm connection is OK:ushmds").body)
                elif kind == "20":
                    self._serve(handler, fields)
                elif kind == "25":
                    _send(handler, *_error(fields[1], 162, f"{_SERVICE}API historical data query cancelled").body)
                else:
                    self.accounts += 1
                    if kind == "61":
                        _send(handler, 62, 1)
        finally:
            with self._freed:
                self.clients.discard(client)
                self._freed.notify_all()

    def _admit(self, client: str) -> bool:
        with self._freed:
            if not self._freed.wait_for(lambda: client not in self.clients, _CLIENT_ID_WAIT):
                return False
            self.clients.add(client)
            return True

    def _serve(self, handler: StreamRequestHandler, fields: list[str]) -> None:
        query = {
            "id": fields[0],
            **{name: value for name, value in zip(_QUERY_FIELDS, fields[2:], strict=False) if name},
        }
        request = Request("historical data", query, {}, time.monotonic())
        fault, wait = self._take(request)
        if wait is not None or fault == "rate_limited" or self._is_repeated(request):
            _send(handler, *_error(query["id"], 162, PACING).body)
        elif fault == "http_503":
            text = "Connectivity between IBKR and Trader Workstation has been lost."
            _send(handler, *_error("-1", 1100, text).body)
        elif fault != "hang":
            answer: list[Any] = self.answer(request).body
            if fault == "malformed":
                answer = [17, query["id"], "", "", "<html><body>We are doing some maintenance.</body></html>"]
            elif fault == "truncated":
                answer = answer[: len(answer) // 2]
            _send(handler, *answer, cut=fault == "drop")

    def _is_repeated(self, request: Request) -> bool:
        """Whether the same was asked a moment ago."""
        key = tuple(sorted((name, value) for name, value in request.query.items() if name != "id"))
        with self._lock:
            last = self._last.get(key, -np.inf)
            self._last[key] = request.at
            repeated = request.at - last < self.identical_within
            self.refused += repeated
        return repeated


_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def _last_days(bars: Bars, timeframe: Timeframe, end: datetime, days: int) -> Bars:
    """Return the bars of the last ``days`` days that have any and began before ``end`` in New York."""
    zone = NEW_YORK if timeframe is Timeframe.M1 else UTC
    dates = np.array([datetime.fromtimestamp(int(ts) / 1e6, zone).date().toordinal() for ts in bars["ts"]])
    local = end.astimezone(NEW_YORK)
    dates[dates > local.date().toordinal() - (local.hour + local.minute + local.second == 0)] = 0
    picked = np.isin(dates, np.unique(dates[dates > 0])[-days:])
    return {name: values[picked] for name, values in bars.items()}


def _rows(bars: Mapping[str, Any], timeframe: Timeframe) -> list[list[str]]:
    names = ("ts", "open", "high", "low", "close", "volume", "vwap", "trades")
    return [
        [
            f"{datetime.fromtimestamp(ts / 1e6, UTC):%Y%m%d}" if timeframe is Timeframe.D1 else str(ts // 1_000_000),
            *("-1" if np.isnan(value) else f"{value!r}" for value in prices),
            "-1" if np.isnan(trades) else str(int(trades)),
        ]
        for ts, *prices, trades in zip(*(bars[name].tolist() for name in names), strict=True)
    ]


def _error(request: str, code: int, text: str) -> Answer:
    return Answer([4, 2, request, code, text, ""])


def _messages(handler: StreamRequestHandler) -> Iterator[list[str]]:
    """Yield the fields of each message until the client goes away."""
    while len(size := handler.rfile.read(4)) == 4:
        yield handler.rfile.read(struct.unpack(">I", size)[0]).decode().split("\0")[:-1]


def _send(handler: StreamRequestHandler, *fields: object, cut: bool = False) -> None:
    """Send a message; where it is cut, half of it, and reset the connection."""
    body = "".join(f"{field}\0" for field in fields).encode()
    message = struct.pack(">I", len(body)) + body
    handler.wfile.write(message[: len(message) // 2] if cut else message)
    if cut:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        raise ConnectionAbortedError


if __name__ == "__main__":
    run(
        IbServer,
        ["AAPL", "MSFT", "BRK.B"],
        tuple(INGESTED),
        "  ib:\n    kind: ib\n    options: {{port: {port}, allow_adjusted: true}}\n"
        "    limits: {{calls_per_minute: 600}}",
        timeframe=Timeframe.D1,
    )
