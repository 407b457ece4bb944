"""Bars of US stocks and crypto pairs from Alpaca, through its own client, ``alpaca-py``.

Format: Alpaca, Market Data API, "Historical bars" (docs.alpaca.markets/reference/stockbars and .../cryptobars-1).
``t`` is a bar's start, RFC 3339 in UTC; start and end of a request are inclusive; a page holds 10,000 bars of all
symbols together.

* Of stocks, a day is stamped with midnight in New York (05:00Z in winter, 04:00Z in summer) and stands for that date.
* Of crypto, a day is a UTC day, stamped 00:00Z, those of earlier years too. Until July 2025 Alpaca cut all of them at
  midnight in Chicago (06:00Z, 05:00Z), as its older samples still show (alpacahq/alpaca-py issue 169 has the old way,
  Lumiwealth/lumibot pull request 826 the new). A day cut so is refused: labelled as a UTC day, it would hold other
  hours.
* A symbol that is well formed but unknown is answered like one without trades: nothing. An ill-formed one, with 400
  for all of the request; it is then left out and the others are requested again.
* A symbol means whoever bears it today: before a rename come the bars of its older names.
* A crypto bar may be without trades (``n`` and ``v`` 0, alpacahq/alpaca-py issue 598); its ``vw`` of 0 is none.
* Without a paid plan, feed ``sip`` refuses the last 15 minutes with 403, as it does a wrong key; the body gives the
  reason. The range ends 16 minutes back then, by option ``delay`` or once that was found out.

The client has no time-out, pages by itself, and sleeps for fixed 3 seconds on 429 and 504. So it is called page by
page, each a call of ours, with its own retries off and a time-out put into its session.

Not here: streams, and corporate actions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import requests
from pydantic import Field
from requests.adapters import HTTPAdapter

from chandlery.core.calendars import Int64s
from chandlery.core.schema import TS, VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.base import BarRequest, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.errors import NotEntitledError, explain_status, explain_words
from chandlery.providers.http.normalize import label_days, shape_bars
from chandlery.providers.http.remote import RemoteOptions, RemoteProvider

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient

_BARS_PER_PAGE = 10_000
_TIMEFRAMES = {Timeframe.M1: "1Min", Timeframe.D1: "1Day"}
#: What a plan without paid data leaves out are the last 15 minutes.
_HELD_BACK = timedelta(minutes=16)
#: What is said of a key that is good.
_PLAN = re.compile(r"subscription|not entitled|your plan", re.IGNORECASE)
_REQUIRED, _OPTIONAL = ("o", "h", "l", "c", "v"), ("vw", "n")


class _Market(NamedTuple):
    """One of Alpaca's endpoints: its client and path, the parameters that only it takes, and the source of its rows."""

    client: RESTClient
    path: str
    parameters: Mapping[str, str]
    source: str


class _Columns(NamedTuple):
    """Starts of bars, µs since the epoch, and their values, one column for each of ``VALUES``."""

    ts: Int64s
    values: npt.NDArray[np.float64]


class AlpacaOptions(RemoteOptions):
    """The options of kind ``alpaca``.

    Attributes:
        feed: of stocks: ``iex`` (one exchange) or ``sip`` (all of them).
        delay: minutes by which the key's plan holds back what is recent of ``sip``; found out by itself where it is 0.
    """

    feed: Literal["iex", "sip"] = "iex"
    delay: Annotated[int, Field(strict=True, ge=0, le=1440)] = 0


class _RecentError(ProviderError):
    """The key's plan does not include what is recent; what is older, it does."""


class AlpacaProvider(RemoteProvider[Sequence[_Columns]]):
    """Serves ``1m`` and ``1d``, unadjusted, of stocks like ``BRK.B`` and of crypto pairs like ``BTC/USD``.

    A day of a stock is a date in New York, a day of a pair is a UTC day.
    """

    #: A minute is corrected half a minute later, and when a trade is reported late; those of after-hours trading come
    #: for four hours after the close. A day grows until then, and may be corrected overnight.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=100,
        bars_per_request=20 * _BARS_PER_PAGE,
        bars_per_call=dict.fromkeys(_TIMEFRAMES, _BARS_PER_PAGE),
        workers=8,
        settlement_delay={Timeframe.M1: timedelta(hours=5), Timeframe.D1: timedelta(days=1)},
    )

    def __init__(self, setup: ProviderSetup[AlpacaOptions]) -> None:
        from alpaca.data.historical import (  # noqa: PLC0415 - takes seconds
            CryptoHistoricalDataClient,
            StockHistoricalDataClient,
        )

        super().__init__(setup)
        key, secret = (setup.keys[part].get_secret_value() for part in ("key", "secret"))
        url, feed = setup.options.url, setup.options.feed
        url = url.rstrip("/") if url else None
        stocks = StockHistoricalDataClient(key, secret, url_override=url)
        pairs = CryptoHistoricalDataClient(key, secret, url_override=url)
        for client in (stocks, pairs):
            _restrain(client, setup.caller.timeout)
        only_stocks = {"adjustment": "raw", "feed": feed}
        self._stocks = _Market(stocks, "/stocks/bars", only_stocks, setup.source(feed))
        self._pairs = _Market(pairs, "/crypto/us/bars", {}, setup.source("crypto"))
        self._delay = timedelta(minutes=setup.options.delay)

    def divide(self, request: BarRequest) -> Iterator[BarRequest]:
        """Yield a request for the stocks and one for the pairs."""
        for market in (self._stocks, self._pairs):
            if symbols := [symbol for symbol in request.symbols if self._market(symbol) is market]:
                yield replace(request, symbols=symbols)

    def download(self, request: BarRequest) -> Mapping[str, Sequence[_Columns]]:
        """Return the bars of every page, by symbol; the symbols are all stocks or all pairs."""
        market = self._market(request.symbols[0])
        pages: dict[str, list[_Columns]] = {symbol: [] for symbol in request.symbols}
        token: str | None = None
        while (served := self._without_recent(request)).start < served.end:
            try:
                bars, token = self.call(partial(self._page, market, served, token), served)
            except _RecentError as error:
                if self._delay >= _HELD_BACK:
                    raise NotEntitledError(str(error), provider=self.name) from None
                self._delay = _HELD_BACK
                continue
            for symbol, columns in bars.items():
                pages[symbol].append(columns)
            if token is None:
                break
        return pages

    def to_bars(self, request: BarRequest, symbol: str, download: Sequence[_Columns]) -> pa.Table:
        """See ``RemoteProvider``."""
        market = self._market(symbol)
        ts = np.concatenate([np.empty(0, np.int64), *(page.ts for page in download)])
        values = np.concatenate([np.empty((0, len(VALUES))), *(page.values for page in download)])
        if request.timeframe is Timeframe.D1:
            if market is self._stocks:
                ts = label_days(ts, "America/New_York")
            elif (ts % DAY_US).any():
                text = "its days do not start at 00:00 UTC; ask for 1m instead"
                raise ProviderBadDataError(text, provider=self.name, symbol=symbol)
        columns = dict(zip(VALUES, values.T, strict=True))
        return shape_bars(request, symbol, ts, columns, source=market.source, provider=self.name)

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """See ``RemoteProvider``."""
        from alpaca.common.exceptions import APIError  # noqa: PLC0415 - takes seconds, unless there is a client

        match error:
            case APIError():
                return self._explain_answer(error.response, request.symbols)
            case requests.exceptions.InvalidHeader() | UnicodeEncodeError():
                text = "the key or its secret has a character that cannot be sent; check both"
                return ProviderAuthError(text, provider=self.name)
            case KeyError() | TypeError() | ValueError():
                return ProviderBadDataError(f"the answer is not a page of bars: {error!r}", provider=self.name)
            case requests.RequestException():
                return ProviderTransientError(str(error), provider=self.name)
        return None

    def _without_recent(self, request: BarRequest) -> BarRequest:
        """Return the part of a request that the key's plan does not hold back."""
        if not self._delay or self._market(request.symbols[0]) is self._pairs:
            return request
        return replace(request, end=min(request.end, datetime.now(UTC) - self._delay))

    def _market(self, symbol: str) -> _Market:
        return self._pairs if "/" in symbol else self._stocks

    def _page(self, market: _Market, request: BarRequest, token: str | None) -> tuple[dict[str, _Columns], str | None]:
        """Return the bars of one page, and the token of the next page, where there is one."""
        answer: Any = market.client.get(
            market.path,
            {
                "symbols": ",".join(request.symbols),
                "timeframe": _TIMEFRAMES[request.timeframe],
                "start": request.start.astimezone(UTC).isoformat(),
                "end": (request.end.astimezone(UTC) - timedelta.resolution).isoformat(),
                "limit": _BARS_PER_PAGE,
                "page_token": token,
                **market.parameters,
            },
        )
        if isinstance(answer, Mapping) and "bars" not in answer and (words := answer.get("message")):
            raise explain_words(str(words), provider=self.name)
        # Nothing at all, or nothing of a symbol, may be written as null.
        bars, following = dict(answer["bars"] if answer["bars"] is not None else {}), answer["next_page_token"]
        if unrequested := bars.keys() - set(request.symbols):
            text = f"the answer has bars of {', '.join(sorted(unrequested))}, which nobody requested"
            raise ProviderBadDataError(text, provider=self.name)
        if following is not None and following == token:
            raise ProviderBadDataError("the page after this one is this one again", provider=self.name)
        return {symbol: self._read(symbol, columns or []) for symbol, columns in bars.items()}, following

    def _read(self, symbol: str, bars: Sequence[Mapping[str, Any]]) -> _Columns:
        try:
            return _columns(bars)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # Arrow's errors are such, too
            text = f"{symbol} does not come as bars: {error!r}"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol) from error

    def _explain_answer(self, answer: requests.Response, symbols: Sequence[str]) -> ProviderError:
        invalid = re.search(r"invalid symbol: ([^\s\"]+)", answer.text)
        if answer.status_code == 400 and invalid and invalid[1] in symbols:
            return ProviderNotFoundError(invalid[0], provider=self.name, symbol=invalid[1])
        if answer.status_code in {403, 422} and "recent sip data" in answer.text.lower():
            return _RecentError("the key's plan does not include what is recent of sip", provider=self.name)
        if answer.status_code == 403 and _PLAN.search(answer.text):
            text = f"HTTP 403: {answer.text.strip()[:200]}; the key is good, but its plan does not include these bars"
            return NotEntitledError(text, provider=self.name)
        if answer.status_code == 404:
            return ProviderBadDataError("HTTP 404: no such endpoint; check the option url", provider=self.name)
        error = explain_status(answer.status_code, answer.text, answer.headers, provider=self.name)
        reset = answer.headers.get("X-RateLimit-Reset", "")
        if isinstance(error, ProviderRateLimitError) and error.retry_after is None and reset.isdecimal():
            error.retry_after = max(0.0, int(reset) - time.time())
        return error


class _TimeoutAdapter(HTTPAdapter):
    """Sends with a time-out, for connecting and for each read."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """See ``HTTPAdapter.send``."""
        return super().send(request, *args, **{**kwargs, "timeout": self._timeout})


def _restrain(client: RESTClient, timeout: float) -> None:
    """Let ``client`` make each call once, with a time-out. It has no public way to say either."""
    client._retry = 0  # noqa: SLF001
    for scheme in ("http://", "https://"):
        client._session.mount(scheme, _TimeoutAdapter(timeout))  # noqa: SLF001


def _columns(bars: Sequence[Mapping[str, Any]]) -> _Columns:
    """Return one symbol's bars of a page; raise ``KeyError``, ``TypeError`` or ``ValueError`` where they are none."""
    stamps = pa.array([bar["t"] for bar in bars], pa.string())
    if stamps.null_count:
        raise ValueError("a bar without its start")
    # Stamps may have nine digits after the second.
    ts = stamps.cast(pa.timestamp("ns", "UTC")).cast(TS, safe=False).cast(pa.int64()).to_numpy()
    rows = [[*(bar[name] for name in _REQUIRED), *(bar.get(name) for name in _OPTIONAL)] for bar in bars]
    values = np.array(rows, np.float64).reshape(-1, len(VALUES))
    vwap = values[:, VALUES.index("vwap")]
    vwap[vwap == 0] = np.nan
    return _Columns(ts, values)


KIND = ProviderKind(
    name="alpaca",
    factory=AlpacaProvider,
    options=AlpacaOptions,
    keys=("key", "secret"),
    calls_per_minute=200,
    limits=AlpacaProvider.limits,
)
