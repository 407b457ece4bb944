"""Bars of crypto pairs from Coinbase: its public candles, which need no key.

Format: Coinbase Developer Platform, Advanced Trade API, "Get Public Product Candles": at most 350 candles a call,
newest first, numbers as decimal strings, ``start`` in seconds and the bar's start. Each decimal is parsed once, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import requests

from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarRequest, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.errors import explain_status, explain_words
from chandlery.providers.http.normalize import shape_bars, windows
from chandlery.providers.http.remote import RemoteOptions, RemoteProvider

_URL = "https://api.coinbase.com"
_CANDLES_PER_CALL = 350
_GRANULARITIES = {Timeframe.M1: "ONE_MINUTE", Timeframe.D1: "ONE_DAY"}
_FIELDS = ("open", "high", "low", "close", "volume")
#: The numbers of each candle: its start in seconds, then the values of ``_FIELDS``.
Candles: TypeAlias = list[list[float]]


class CoinbaseProvider(RemoteProvider[Candles]):
    """Serves ``1m`` and ``1d`` of pairs like ``BTC/USD``; a day is a UTC day."""

    #: A candle may be corrected for a moment after it closed.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=1,
        bars_per_request=20 * _CANDLES_PER_CALL,
        bars_per_call=dict.fromkeys(INGESTED, _CANDLES_PER_CALL),
        workers=8,
        settlement_delay=dict.fromkeys(INGESTED, timedelta(minutes=5)),
    )

    def __init__(self, setup: ProviderSetup[RemoteOptions]) -> None:
        super().__init__(setup)
        self._url = (setup.options.url or _URL).rstrip("/")
        self._session = requests.Session()

    def download(self, request: BarRequest) -> Mapping[str, Candles]:
        """See ``RemoteProvider``."""
        (symbol,) = request.symbols
        candles: Candles = []
        for part in windows(request, _CANDLES_PER_CALL):
            candles += self.call(partial(self._candles, symbol, part), part)
        return {symbol: candles}

    def to_bars(self, request: BarRequest, symbol: str, download: Candles) -> pa.Table:
        """See ``RemoteProvider``."""
        table = np.array(download, np.float64).reshape(-1, 1 + len(_FIELDS))
        return shape_bars(
            request,
            symbol,
            (table[:, 0] * 1_000_000).astype(np.int64),
            {name: table[:, place] for place, name in enumerate(_FIELDS, 1)},
            source=self.source,
            provider=self.name,
        )

    def _candles(self, symbol: str, part: BarRequest) -> Candles:
        product = quote(symbol.replace("/", "-"), safe="")
        answer = self._session.get(
            f"{self._url}/api/v3/brokerage/market/products/{product}/candles",
            params={
                # Both ends are inclusive.
                "start": str(int(part.start.timestamp())),
                "end": str(int(part.end.timestamp()) - 1),
                "granularity": _GRANULARITIES[part.timeframe],
                "limit": str(_CANDLES_PER_CALL),
            },
            timeout=self.caller.timeout,
        )
        if answer.status_code >= 400:
            how = {"provider": self.name, "symbol": symbol}
            raise explain_status(answer.status_code, answer.text, answer.headers, keyed=False, **how)
        body = answer.json()
        if "candles" not in body and (words := body.get("message") or body.get("error")):
            raise explain_words(str(words), provider=self.name, symbol=symbol)
        candles: list[dict[str, Any]] = body["candles"] if body["candles"] is not None else []
        return [[float(candle["start"]), *(float(candle[name]) for name in _FIELDS)] for candle in candles]

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """See ``RemoteProvider``."""
        (symbol,) = request.symbols
        match error:
            case requests.JSONDecodeError() | KeyError() | TypeError() | ValueError():
                text = f"the answer is not a list of candles: {error!r}"
                return ProviderBadDataError(text, provider=self.name, symbol=symbol)
            case requests.RequestException():
                return ProviderTransientError(str(error), provider=self.name, symbol=symbol)
        return None


KIND = ProviderKind(
    name="coinbase",
    factory=CoinbaseProvider,
    options=RemoteOptions,
    calls_per_minute=600,  # ten a second
    limits=CoinbaseProvider.limits,
)
