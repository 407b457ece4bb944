"""Bars of crypto pairs from Coinbase: its public candles, which need no key.

Format: Coinbase Developer Platform, Advanced Trade API, "Get Public Product Candles": at most 350 candles a call,
newest first, numbers as decimal strings, ``start`` in seconds and the bar's start. Each decimal is parsed once, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import requests
from pydantic import SecretStr

from chandlery.config.providers import RemoteOptions
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderAuthError, ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarReply, BarRequest, ProviderLimits
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.errors import explain_status
from chandlery.providers.http.normalize import describe, join_bars, shape_bars, windows

_URL = "https://api.coinbase.com"
_CANDLES_PER_CALL = 350
_GRANULARITIES = {Timeframe.M1: "ONE_MINUTE", Timeframe.D1: "ONE_DAY"}
_FIELDS = ("open", "high", "low", "close", "volume")


class CoinbaseProvider:
    """Serves ``1m`` and ``1d`` of pairs like ``BTC/USD``; a day is a UTC day.

    Args:
        name: as in ``providers.yaml``.
        options: the address.
        keys: none.
        calendars: not needed.
        calls: makes its calls.
    """

    timeframes = frozenset(INGESTED)
    #: A candle may be corrected for a moment after it closed.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=1,
        bars_per_request=20 * _CANDLES_PER_CALL,
        workers=8,
        settlement_delay=dict.fromkeys(INGESTED, timedelta(minutes=5)),
    )

    def __init__(
        self,
        name: str,
        *,
        options: RemoteOptions,
        keys: Mapping[str, SecretStr],
        calendars: Mapping[str, str],
        calls: Caller,
    ) -> None:
        del keys, calendars
        self.name = name
        self._url = (options.url or _URL).rstrip("/")
        self.calls = calls
        self._session = requests.Session()

    def fetch(self, request: BarRequest) -> BarReply:
        """See ``Provider.fetch``."""
        parts: list[pa.Table] = []
        failures: dict[str, ProviderError] = {}
        for symbol in request.symbols:
            try:
                parts.append(self._bars(replace(request, symbols=[symbol]), symbol))
            except ProviderAuthError:
                raise
            except ProviderError as error:
                failures[symbol] = error
        return BarReply(join_bars(parts), failures)

    def span(self, symbol: str, timeframe: Timeframe) -> None:  # noqa: ARG002
        """Return None: it does not tell."""
        return

    def _bars(self, request: BarRequest, symbol: str) -> pa.Table:
        rows: list[list[float]] = []
        for part in windows(request, _CANDLES_PER_CALL):
            rows += self.calls.call(
                partial(self._candles, symbol, part),
                explain=partial(self._explain, symbol=symbol),
                about=describe(part),
            )
        table = np.array(rows, np.float64).reshape(-1, 1 + len(_FIELDS))
        return shape_bars(
            request,
            symbol,
            (table[:, 0] * 1_000_000).astype(np.int64),
            {name: table[:, place] for place, name in enumerate(_FIELDS, 1)},
            source="coinbase",
            provider=self.name,
        )

    def _candles(self, symbol: str, part: BarRequest) -> list[list[float]]:
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
            timeout=self.calls.timeout,
        )
        if answer.status_code >= 400:
            raise explain_status(answer.status_code, answer.text, answer.headers, provider=self.name, symbol=symbol)
        candles: list[dict[str, Any]] = answer.json()["candles"]
        return [[float(candle["start"]), *(float(candle[name]) for name in _FIELDS)] for candle in candles]

    def _explain(self, error: Exception, symbol: str) -> ProviderError | None:
        """Turn what ``requests`` raises into our errors."""
        match error:
            case requests.JSONDecodeError() | KeyError() | TypeError() | ValueError():
                text = f"the answer is not a list of candles: {error!r}"
                return ProviderBadDataError(text, provider=self.name, symbol=symbol)
            case requests.RequestException():
                return ProviderTransientError(str(error), provider=self.name, symbol=symbol)
        return None
