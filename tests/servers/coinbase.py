"""Coinbase's public candles on loopback. For a person: ``python -m tests.servers.coinbase``."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from chandlery.core.timeframe import INGESTED, Timeframe
from tests.servers.http import Answer, Request, VendorServer, run

_PREFIX = "/api/v3/brokerage/market/products/"
_TIMEFRAMES = {"ONE_MINUTE": Timeframe.M1, "ONE_DAY": Timeframe.D1}


class CoinbaseServer(VendorServer):
    """Serves candles as Coinbase does: newest first, all numbers as strings, at most 350 a call."""

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        if not (request.path.startswith(_PREFIX) and request.path.endswith("/candles")):
            return Answer({"error": "NOT_FOUND"}, 404)
        symbol = request.path.removeprefix(_PREFIX).removesuffix("/candles").replace("-", "/")
        if not self.market.knows(symbol):
            return Answer({"error": "NOT_FOUND", "message": "valid product_id is required"}, 404)
        start, end = int(request.query["start"]), int(request.query["end"])
        timeframe = _TIMEFRAMES[request.query["granularity"]]
        if (end - start) * 1_000_000 // timeframe.microseconds > min(350, self.page):
            return Answer({"error": "INVALID_ARGUMENT", "message": "too many candles"}, 400)
        bars = self.market.between(
            symbol, timeframe, datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end + 1, UTC)
        )
        candles: list[dict[str, Any]] = [
            {
                "start": str(ts // 1_000_000),
                "low": f"{low}",
                "high": f"{high}",
                "open": f"{first}",
                "close": f"{last}",
                "volume": f"{volume}",
            }
            for ts, first, high, low, last, volume in zip(
                *(bars[name].tolist() for name in ("ts", "open", "high", "low", "close", "volume")), strict=True
            )
        ][::-1]
        if self.shuffled:
            random.Random(3).shuffle(candles)
        if self.repeat_pages:
            candles += candles
        return Answer({"candles": candles})


if __name__ == "__main__":
    run(
        CoinbaseServer,
        ["BTC/USD", "ETH/USD"],
        tuple(INGESTED),
        "  coinbase:\n    kind: coinbase\n    options: {{url: '{url}'}}",
    )
