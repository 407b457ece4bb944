"""Bars of stocks and crypto pairs from Polygon, which now calls itself Massive, through its own client.

Format: Polygon (Massive) REST documentation, "Custom Bars (OHLC)", ``/v2/aggs/ticker/{ticker}/range/...``; both ends
are inclusive, ``t`` is the bar's start in ms since the epoch, and an answer without ``results`` holds no bars, be it
that there was no trade or that there is no such ticker. Where the client is installed under its new name ``massive``,
that one is used: classes, methods and wire format are the same.

What the client does not do by itself, and is done here:

* Its time-outs are ignored by ``polygon``; they are set on its connection pool.
* Its retries turn 429 and 5xx into errors without status or ``Retry-After``, and other refusals into a bare text; they
  are off, and the answer itself is looked at.
* Its generator asks for page after page unseen; each page is a call of ours. ``limit`` counts base aggregates, of
  which one call covers about a month of minutes.
* It reads an unreadable body as no bars; bodies are read here.
* ``next_url`` may carry the key, and urllib3 logs addresses; it is taken out, since the client sends it in a header.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import urllib3
from urllib3.exceptions import DecodeError, HTTPError

from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarRequest, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.errors import NotEntitledError, explain_status, explain_words
from chandlery.providers.http.normalize import describe, label_days, shape_bars, windows
from chandlery.providers.http.remote import RemoteOptions, RemoteProvider

_LIMIT = 50_000
_MINUTES_OF_A_MONTH = 31 * 24 * 60
_TIMESPANS = {Timeframe.M1: "minute", Timeframe.D1: "day"}
#: Names of the values in an answer; the last two may be absent.
_FIELDS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw", "trades": "n"}
_OPTIONAL = frozenset({"vw", "n"})
#: The years 1973 and 10000 in milliseconds. Between them lies no bar's time in any other unit.
_EARLIEST, _LATEST = 100_000_000_000, 253_402_300_800_000

#: One row for each bar: its start (µs since the epoch) and the values of ``_FIELDS``.
Page: TypeAlias = npt.NDArray[np.float64]


class PolygonProvider(RemoteProvider[Sequence[Page]]):
    """Serves ``1m`` and ``1d`` of US stocks like ``AAPL`` and crypto pairs like ``BTC/USD``, as traded.

    Minutes include extended hours. A day of a stock is New York's, stamped by Polygon with midnight there; a day of a
    pair is UTC's. How far back it goes depends on the key's plan: what the plan leaves out is a failure of the symbol,
    while a key that is refused stops everything. Currencies (``C:EURUSD``) are not served.
    """

    #: A day's late and corrected trades are in its files by the next day's noon in New York.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=1,
        bars_per_request=_MINUTES_OF_A_MONTH,
        bars_per_call=dict.fromkeys(INGESTED, _MINUTES_OF_A_MONTH),
        workers=8,
        settlement_delay=dict.fromkeys(INGESTED, timedelta(days=1)),
    )

    def __init__(self, setup: ProviderSetup[RemoteOptions]) -> None:
        super().__init__(setup)
        key = setup.keys["key"].get_secret_value()
        self._client = _connect(key, setup.options.url, setup.caller.timeout, self.limits.workers)

    def download(self, request: BarRequest) -> Mapping[str, Sequence[Page]]:
        """See ``RemoteProvider``."""
        (symbol,) = request.symbols
        return {symbol: [page for window in windows(request, _MINUTES_OF_A_MONTH) for page in self._pages(window)]}

    def to_bars(self, request: BarRequest, symbol: str, download: Sequence[Page]) -> pa.Table:
        """See ``RemoteProvider``."""
        table = np.concatenate([np.empty((0, 1 + len(_FIELDS))), *download])
        values = {name: table[:, place] for place, name in enumerate(_FIELDS, 1)}
        ts = table[:, 0].astype(np.int64)
        return shape_bars(request, symbol, ts, values, source=self.source, provider=self.name)

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """See ``RemoteProvider``."""
        (symbol,) = request.symbols
        match error:
            case _RefusedError(answer=answer):
                text = answer.data.decode(errors="replace")
                meaning = explain_status(answer.status, text, answer.headers, provider=self.name, symbol=symbol)
                if answer.status == 403:  # the key is good, but its plan does not include these bars
                    return NotEntitledError(str(meaning), provider=self.name, symbol=symbol)
                return meaning
            case DecodeError():
                return ProviderBadDataError(str(error), provider=self.name, symbol=symbol)
            case HTTPError():
                return ProviderTransientError(str(error), provider=self.name, symbol=symbol)
        return None

    def _pages(self, window: BarRequest) -> Iterator[Page]:
        (symbol,) = window.symbols
        path: str | None = None
        visited: set[str] = set()
        while True:
            rows, path = self.call(partial(self._page, window, symbol, path), window)
            yield rows
            if path is None:
                return
            if path in visited:
                text = f"{self.name}: {describe(window)}: the next page is one that was read before"
                raise ProviderBadDataError(text, provider=self.name, symbol=symbol)
            visited.add(path)

    def _page(self, window: BarRequest, symbol: str, path: str | None) -> tuple[Page, str | None]:
        """Make one call: for the first page, or the one at ``path``. Return its rows, and where the next one is."""
        if path is None:
            daily = window.timeframe is Timeframe.D1
            last = window.end - timedelta(microseconds=1)
            answer = self._client.list_aggs(
                _ticker(symbol),
                1,
                _TIMESPANS[window.timeframe],
                window.start.date() if daily else microseconds(window.start) // 1000,
                last.date() if daily else microseconds(last) // 1000,
                adjusted=False,
                sort="asc",
                limit=_LIMIT,
                raw=True,
            )
        else:
            answer = self._client._get(path, raw=True)  # noqa: SLF001 - what the client's own paging calls
        try:
            body = json.loads(answer.data)
            if words := _told_error(body):
                raise explain_words(words, provider=self.name, symbol=symbol)
            return _read_rows(body, symbol, window.timeframe), _next_path(body)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            text = f"the answer is not a page of raw bars: {error!r}"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol) from error


class _RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _connect(key: str, url: str | None, timeout: float, connections: int) -> Any:  # noqa: ANN401 - client is untyped
    """Make the vendor's client: of ``massive`` where that is installed, else of ``polygon``."""
    package = import_module("massive" if find_spec("massive") else "polygon")
    client = package.RESTClient(key, retries=0, **({"base": url.rstrip("/")} if url else {}))
    client.client.connection_pool_kw.update(
        timeout=urllib3.Timeout(connect=timeout, read=timeout),
        retries=urllib3.Retry(False),  # also follows no redirect, which would take the key to another host
        maxsize=connections,
    )
    send = client.client.request

    def request(*args: Any, **options: Any) -> urllib3.BaseHTTPResponse:  # noqa: ANN401 - handed on
        answer: urllib3.BaseHTTPResponse = send(*args, **options)
        if answer.status != 200:
            raise _RefusedError(answer)
        return answer

    client.client.request = request
    return client


def _ticker(symbol: str) -> str:
    return quote(f"X:{symbol.replace('/', '')}" if "/" in symbol else symbol, safe=":")


def _told_error(body: Any) -> str | None:  # noqa: ANN401 - JSON
    """Return what an answer says in words instead of bars, if it does."""
    if not isinstance(body, Mapping) or body.get("status") in {"OK", "DELAYED"}:
        return None
    words = next((str(body[name]) for name in ("error", "message") if body.get(name)), "")
    return f"{body.get('status') or 'no status'}: {words}" if words else None


def _read_rows(body: Mapping[str, Any], symbol: str, timeframe: Timeframe) -> Page:
    """Return one row for each bar of an answer: its start (µs since the epoch) and the values of ``_FIELDS``.

    Raises:
        ArithmeticError, LookupError, TypeError, ValueError: it is no such answer, or its prices are adjusted.
    """
    # Every answer about bars has these two, also one without bars; "DELAYED" is what cheaper plans get.
    if body["status"] not in {"OK", "DELAYED"} or body["adjusted"] is not False:
        raise ValueError(f"status {body['status']!r}, adjusted {body['adjusted']!r}")
    bars = body.get("results") or []
    if not bars and body.get("resultsCount"):
        raise ValueError(f"{body['resultsCount']} bars are announced and none is there")
    names = _FIELDS.values()
    rows = [[bar["t"], *(bar.get(name) if name in _OPTIONAL else bar[name] for name in names)] for bar in bars]
    table = np.array(rows, np.float64).reshape(-1, 1 + len(_FIELDS))
    if not ((table[:, 0] >= _EARLIEST) & (table[:, 0] < _LATEST)).all():
        raise ValueError("a bar's time is not in milliseconds")
    table[:, 0] *= 1000
    if timeframe is Timeframe.D1:
        table[:, 0] = label_days(table[:, 0].astype(np.int64), "UTC" if "/" in symbol else "America/New_York")
    return table


def _next_path(body: Mapping[str, Any]) -> str | None:
    """Return path and query of the next page; None after the last.

    The host is left out, as the client does it: the next page is where this one was. So is a key.
    """
    if not body.get("next_url"):
        return None
    parts = urlsplit(body["next_url"])
    if not parts.path.startswith("/"):
        raise ValueError("next_url is not an address")
    query = [part for part in parts.query.split("&") if not part.lower().startswith("apikey=")]
    return f"{parts.path}?{'&'.join(query)}"


KIND = ProviderKind(
    name="polygon",
    factory=PolygonProvider,
    options=RemoteOptions,
    keys=("key",),
    calls_per_minute=5,
    limits=PolygonProvider.limits,
)
