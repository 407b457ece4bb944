"""The provider ``acme``: daily and minute bars of a service that answers with JSON.

The service takes ``GET /bars/<symbol>?timeframe=1d&from=...&to=...`` with the key in ``X-Api-Key``, and answers
``{"bars": [{"t": ..., "o": ..., "h": ..., "l": ..., "c": ..., "v": ...}]}``: ``t`` is a bar's start in milliseconds,
and ``to`` is exclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import requests

from chandlery.core.timeframe import INGESTED
from chandlery.errors import ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarRequest, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.errors import explain_status
from chandlery.providers.http.normalize import shape_bars
from chandlery.providers.http.remote import RemoteOptions, RemoteProvider

_BARS_PER_CALL = 50_000


class AcmeProvider(RemoteProvider[np.ndarray]):
    """Asks for one symbol at a time."""

    limits = ProviderLimits(
        remote=True,  # a call costs something: answers are kept, and what is final is not requested again
        symbols_per_request=1,
        bars_per_request=_BARS_PER_CALL,  # longer ranges are divided
        bars_per_call=dict.fromkeys(INGESTED, _BARS_PER_CALL),  # so that a person hears what a request will cost
        workers=4,
        settlement_delay=dict.fromkeys(INGESTED, timedelta(hours=1)),  # after the close, it corrects bars for an hour
    )

    def __init__(self, setup: ProviderSetup[RemoteOptions]) -> None:
        """Keep the address and the key."""
        super().__init__(setup)
        self._url, self._key = setup.options.url, setup.keys["key"]

    def download(self, request: BarRequest) -> Mapping[str, np.ndarray]:
        """Return what the service sends of the symbol: a row of t, o, h, l, c, v for each bar."""
        (symbol,) = request.symbols
        return {symbol: self.call(partial(self._get, request, symbol), request)}

    def to_bars(self, request: BarRequest, symbol: str, download: np.ndarray) -> pa.Table:
        """Return that as bars. The service has milliseconds, and bars have microseconds."""
        values = {name: download[:, n] for n, name in enumerate(("open", "high", "low", "close", "volume"), start=1)}
        starts = (download[:, 0] * 1000).astype(np.int64)
        return shape_bars(request, symbol, starts, values, source=self.source, provider=self.name)

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """Say what went wrong in a call. None means a mistake in this file, which is shown as it is."""
        (symbol,) = request.symbols
        if isinstance(error, requests.JSONDecodeError | KeyError | TypeError | ValueError):
            return ProviderBadDataError(f"no list of bars: {error!r}", provider=self.name, symbol=symbol)
        if isinstance(error, requests.RequestException):
            return ProviderTransientError(str(error), provider=self.name, symbol=symbol)
        return None

    def _get(self, request: BarRequest, symbol: str) -> np.ndarray:
        answer = requests.get(
            f"{self._url}/bars/{quote(symbol, safe='')}",
            params={
                "timeframe": request.timeframe.value,
                "from": request.start.isoformat(),
                "to": request.end.isoformat(),
            },
            headers={"X-Api-Key": self._key.get_secret_value()},
            timeout=self.caller.timeout,
            allow_redirects=False,  # a redirect would take the key along
        )
        if answer.status_code >= 400:
            raise explain_status(answer.status_code, answer.text, answer.headers, provider=self.name, symbol=symbol)
        rows = [[bar[field] for field in "tohlcv"] for bar in answer.json()["bars"]]
        return np.array(rows, np.float64).reshape(-1, 6)


KIND = ProviderKind(
    name="acme",
    factory=AcmeProvider,
    options=RemoteOptions,
    keys=("key",),
    calls_per_minute=60,  # unless `limits` in config/providers.yaml says otherwise
    limits=AcmeProvider.limits,
)
