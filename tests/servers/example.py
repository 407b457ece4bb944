"""The service that the example in docs/providers.md asks, on loopback.

``GET /bars/<symbol>?timeframe=1d&from=...&to=...`` with the key in ``X-Api-Key`` is answered with
``{"bars": [{"t": ..., "o": ..., "h": ..., "l": ..., "c": ..., "v": ...}]}``: ``t`` in ms, ``to`` exclusive.
"""

from __future__ import annotations

import random
from datetime import datetime

from chandlery.core.timeframe import Timeframe
from tests.servers.http import Answer, Request, VendorServer

_NAMES = {"t": "ts", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


class ExampleServer(VendorServer):
    """Serves at most 50,000 bars a call. A refusal quotes the key, as some vendors do."""

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        if request.headers.get("x-api-key") != self.key:
            return Answer({"error": f"no such key: {request.headers.get('x-api-key')}"}, 401)
        symbol = request.path.removeprefix("/bars/")
        if not self.market.knows(symbol):
            return Answer({"error": f"no such symbol: {symbol}"}, 404)
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("from", "to"))
        columns = self.market.between(symbol, Timeframe(request.query["timeframe"]), start, end)
        rows = zip(*(columns[name].tolist() for name in _NAMES.values()), strict=True)
        bars = [{"t": ts // 1000, **dict(zip("ohlcv", values, strict=True))} for ts, *values in rows]
        if len(bars) > 50_000:
            return Answer({"error": "too many bars"}, 400)
        if self.shuffled:
            random.Random(3).shuffle(bars)
        return Answer({"bars": bars * 2 if self.repeat_pages else bars})
