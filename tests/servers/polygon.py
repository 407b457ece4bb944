"""Polygon's aggregates on loopback. For a person: ``python -m tests.servers.polygon``."""

from __future__ import annotations

import random
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import numpy as np

from chandlery.core.timeframe import INGESTED, Timeframe
from tests.servers.http import Answer, Request, VendorServer, run

_PATH = re.compile(r"(/v2/aggs/ticker/([^/]+)/range/1/(minute|day))/([^/]+)/([^/]+)")
_TIMEFRAMES = {"minute": Timeframe.M1, "day": Timeframe.D1}
_NAMES = {"v": "volume", "vw": "vwap", "o": "open", "c": "close", "h": "high", "l": "low", "t": "t", "n": "trades"}
_ID = "6a7e466379af0a71039d60cc78e72282"


class PolygonServer(VendorServer):
    """Serves aggregates as Polygon does: pages by ``next_url``, days stamped with midnight, the unknown just empty.

    Attributes:
        quotes_key: whether ``next_url`` carries the key.
    """

    quotes_key = False

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer({"status": "ERROR", "request_id": _ID, "error": "Unknown API Key"}, 401)
        return self.aggregates(request)

    def is_about_bars(self, request: Request) -> bool:
        """See ``VendorServer``."""
        return request.path.startswith("/v2/aggs/")

    def aggregates(self, request: Request) -> Answer:
        """Return what is answered to a good key."""
        match = _PATH.fullmatch(request.path)
        if not match:
            return Answer({"status": "NOT_FOUND", "request_id": _ID, "message": "page not found"}, 404)
        start_of_path, ticker, timespan, *ends = match.groups()
        query = _open_cursor(request.query["cursor"]) if "cursor" in request.query else dict(request.query)
        zone = ZoneInfo("UTC" if ticker.startswith("X:") else "America/New_York")
        first, last = (_milliseconds(end, zone, last=end is ends[1]) for end in ends)
        bars = self._bars(ticker, _TIMEFRAMES[timespan], zone, first, last)
        size = min(int(query.get("limit", 5000)), self.page)
        page, rest = bars[:size], bars[size:]
        body = {
            "ticker": ticker,
            "queryCount": len(page),
            "resultsCount": len(page),
            "adjusted": query.get("adjusted") != "false",
            **({"results": page} if page else {}),
            "status": "OK",
            "request_id": _ID,
            "count": len(page),
        }
        if rest:
            again = self.repeat_pages and "again" not in query
            query = {name: value for name, value in query.items() if name != "again"} | (
                {"again": "1"} if again else {}
            )
            start = (page if again else rest)[0]["t"]
            key = f"&apiKey={self.key}" if self.quotes_key else ""
            # As in reality, it names a host of its own.
            address = f"https://api.polygon.io{start_of_path}/{start}/{ends[1]}"
            body["next_url"] = f"{address}?cursor={_close_cursor(query)}{key}"
        if self.shuffled:
            random.Random(3).shuffle(page)
        return Answer(body)

    def _bars(self, ticker: str, timeframe: Timeframe, zone: ZoneInfo, first: int, last: int) -> list[dict[str, Any]]:
        """Return the bars stamped from ``first`` to ``last``, both included, in ms."""
        symbols = {name for name, _ in self.market.bars}
        pair = next((name for name in symbols if "/" in name and f"X:{name.replace('/', '')}" == ticker), ticker)
        day = timedelta(days=1)  # a date's label and its midnight are less than a day apart
        ends = datetime.fromtimestamp(first / 1000, UTC) - day, datetime.fromtimestamp(last / 1000, UTC) + day
        values = self.market.between(pair, timeframe, *ends)
        stamps = values["ts"].astype(np.int64) // 1000
        if timeframe is Timeframe.D1:
            stamps = np.array([_midnight(stamp, zone) for stamp in stamps.tolist()], np.int64)
        inside = (stamps >= first) & (stamps <= last)
        columns = [(stamps if name == "t" else values[name])[inside].tolist() for name in _NAMES.values()]
        return [dict(zip(_NAMES, row, strict=True)) for row in zip(*columns, strict=True)]


def _milliseconds(end: str, zone: ZoneInfo, *, last: bool) -> int:
    """Return a date's or a stamp's ms; of the last date the end."""
    if end.isdigit():
        return int(end)
    day = datetime.combine(date.fromisoformat(end) + timedelta(days=last), datetime.min.time(), zone)
    return int(day.timestamp()) * 1000 - last


def _midnight(label: int, zone: ZoneInfo) -> int:
    """Return when the day labelled with its 00:00 UTC began in ``zone``, in ms."""
    return int(datetime.fromtimestamp(label / 1000, UTC).replace(tzinfo=zone).timestamp()) * 1000


def _close_cursor(query: dict[str, str]) -> str:
    return urlsafe_b64encode(urlencode(query).encode()).decode().rstrip("=")


def _open_cursor(cursor: str) -> dict[str, str]:
    return dict(parse_qsl(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()))


if __name__ == "__main__":
    run(
        PolygonServer,
        ["AAPL", "MSFT", "BTC/USD"],
        tuple(INGESTED),
        "  polygon:\n    kind: polygon\n    options: {{url: '{url}'}}\n"
        "    key_env: {{key: POLYGON_API_KEY}}\n    limits: {{calls_per_minute: 6000}}",
        keys={"POLYGON_API_KEY": "{key}"},
    )
