"""Alpaca's historical bars on loopback. For a person: ``python -m tests.servers.alpaca``."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from chandlery.core.timeframe import INGESTED, Timeframe
from tests.servers.http import Answer, Request, VendorServer, run
from tests.servers.market import Market

_TIMEFRAMES = {"1Min": Timeframe.M1, "1Day": Timeframe.D1}
_COMMON = {"symbols", "timeframe", "start", "end", "limit", "sort", "page_token"}
_PARAMETERS = {
    "/v2/stocks/bars": _COMMON | {"adjustment", "feed", "asof", "currency"},
    "/v1beta3/crypto/us/bars": _COMMON,
}
_NEW_YORK = ZoneInfo("America/New_York")


class AlpacaServer(VendorServer):
    """Serves bars as Alpaca does: a page counts the bars of all symbols, and a full page always has a next one.

    Args:
        market: what there is.
        secret: the right secret.
        **how: see ``VendorServer``.
    """

    def __init__(self, market: Market, *, secret: str = "try-out", **how: Any) -> None:  # noqa: ANN401
        super().__init__(market, **{"page": 10_000, **how})
        self.secret = secret

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        return self.refusal(request) or self._bars(request)

    def refusal(self, request: Request) -> Answer | None:
        """Return how Alpaca would refuse ``request``; None where it would not."""
        given = (request.headers.get("apca-api-key-id"), request.headers.get("apca-api-secret-key"))
        if given != (self.key, self.secret):
            return Answer({"message": "forbidden."}, 403)
        if request.path not in _PARAMETERS:
            return Answer({"message": "endpoint not found."}, 404)
        if wrong := self._wrong(request):
            return Answer({"message": wrong}, 400)
        return None

    def _wrong(self, request: Request) -> str | None:
        if unexpected := request.query.keys() - _PARAMETERS[request.path]:
            return f"unexpected parameter(s): {', '.join(sorted(unexpected))}"
        for symbol in request.query["symbols"].split(","):
            if not re.fullmatch(r"[A-Z0-9./]+", symbol) or ("/" in symbol) != ("crypto" in request.path):
                return f"invalid symbol: {symbol}"
        if request.query["end"] < request.query["start"]:
            return "end should not be before start"
        if not 1 <= int(request.query.get("limit", "1000")) <= 10_000:
            return "limit must be between 1 and 10000"
        if "stocks" in request.path and request.query.get("adjustment", "raw") != "raw":
            return "this server has no adjusted bars"
        return None

    def _bars(self, request: Request) -> Answer:
        """Symbol by symbol, each in ascending order; the token says from which bar to go on, and is opaque."""
        rows = list(self._rows(request))
        first, again = _read_token(request.query.get("page_token"))
        last = first + min(int(request.query.get("limit", "1000")), self.page)
        full = last <= len(rows)
        token = None
        if full and self.repeat_pages and not again:
            token = _make_token(first, again=True)
        elif full:
            token = _make_token(last, again=False)
        page = rows[first:last]
        if self.shuffled:
            random.Random(3).shuffle(page)
            page.sort(key=lambda row: row[0])
        bars = {symbol: [bar for _, bar in group] for symbol, group in groupby(page, key=lambda row: row[0])}
        return Answer({"bars": bars, "next_page_token": token})

    def _rows(self, request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
        timeframe = _TIMEFRAMES[request.query["timeframe"]]
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start", "end"))
        for symbol in sorted(set(request.query["symbols"].split(","))):
            # Days are found by their label, and stamped later than that.
            series = self.market.between(symbol, timeframe, start - timedelta(days=1), end + timedelta(days=1))
            columns = (
                series[name].tolist() for name in ("ts", "open", "high", "low", "close", "volume", "trades", "vwap")
            )
            for ts, *values in zip(*columns, strict=True):
                at = datetime.fromtimestamp(ts / 1_000_000, UTC)
                if timeframe is Timeframe.D1 and "stocks" in request.path:
                    at = at.replace(tzinfo=_NEW_YORK).astimezone(UTC)
                if start <= at <= end:
                    yield (
                        symbol,
                        {
                            "t": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                            **dict(zip("ohlcvn", values, strict=False)),
                            "vw": values[-1],
                        },
                    )


def _make_token(first: int, *, again: bool) -> str:
    return base64.b64encode(f"{first}|{again:d}".encode()).decode()


def _read_token(token: str | None) -> tuple[int, bool]:
    first, again = base64.b64decode(token).decode().split("|") if token else ("0", "0")
    return int(first), again == "1"


if __name__ == "__main__":
    run(
        AlpacaServer,
        ["AAPL", "MSFT", "BTC/USD"],
        tuple(INGESTED),
        "  alpaca:\n    kind: alpaca\n    options: {{url: '{url}'}}\n"
        "    key_env: {{key: ALPACA_API_KEY, secret: ALPACA_API_SECRET}}",
        keys={"ALPACA_API_KEY": "{key}", "ALPACA_API_SECRET": "try-out"},
    )
