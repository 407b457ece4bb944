"""Bars of shares, funds, currencies and crypto pairs from Yahoo Finance: without a key, and without a promise.

Yahoo does not document ``/v8/finance/chart``; what is known of it is in yfinance
(https://ranaroussi.github.io/yfinance/reference/api/yfinance.Ticker.history.html). Minutes reach back 30 days, at most
8 days a request. For extended hours it gives no volume, so only regular hours are requested.

yfinance fetches the charts, but its ``history()`` does not read them: it drops and merges rows, turns a missing volume
into 0, calls an outage "possibly delisted", and keeps past answers in a cache of the process, so that a second try
makes no call. A cookie and a crumb, which charts do not need, are not fetched here either: that would be up to three
more requests a call, outside of the rate limit, and a page of errors once taken for a crumb would be sent for ever.

Prices and volumes come adjusted for splits (``adjclose`` for dividends too; it is not read). That is undone: a chart
reports the splits in its range, so a chart of days is requested up to the present, and before each split prices are
multiplied by its ratio and volumes divided by it. Where the prices themselves show that only some were adjusted,
nothing is served (``splits``). Not here: reading a chart (``chart``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pyarrow as pa

from chandlery.core.optional import import_optional
from chandlery.core.schema import empty_bars
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderBadDataError, ProviderError, ProviderTransientError
from chandlery.providers.base import BarRequest, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.errors import explain_status, explain_words
from chandlery.providers.http.normalize import shape_bars, windows
from chandlery.providers.http.remote import RemoteOptions, RemoteProvider
from chandlery.providers.http.splits import check_days, check_minutes, split_factors
from chandlery.providers.yahoo.chart import Chart, read_chart, restore_values, told_error

_URL = "https://query2.finance.yahoo.com"
_DAY = timedelta(days=1)
#: What Yahoo says of a symbol that it knows, of a range before its first day or after its last.
_BEFORE_ITS_TIME = "Data doesn't exist for startDate"
#: A request may span 8 days of minutes; a day less, for whole days may be what Yahoo counts.
_MINUTES_PER_CALL = 7 * 24 * 60


class Charts(NamedTuple):
    """What was downloaded of one symbol.

    Attributes:
        minutes: a chart of the minutes in the range; None where days were requested.
        days: a chart of days up to the present, with every split since; None where there are no minutes.
    """

    minutes: Chart | None
    days: Chart | None


class YahooProvider(RemoteProvider[Charts]):
    """Serves ``1m`` of the last month and ``1d``, raw.

    Symbols are written as Yahoo does: BRK.B is requested as ``BRK-B`` and BTC/USD as ``BTC-USD``, while an exchange's
    suffix stays (``VOD.L``, ``7203.T``).

    Raises:
        ConfigurationError: ``yfinance`` is not installed.
    """

    #: Volumes of a day are completed overnight. Minutes are kept for 30 days; the oldest day may end during the call.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=1,
        bars_per_request=20_000,
        bars_per_call={Timeframe.M1: _MINUTES_PER_CALL},
        workers=4,
        settlement_delay=dict.fromkeys(INGESTED, _DAY),
        history_depth={Timeframe.M1: 29 * _DAY},
    )

    def __init__(self, setup: ProviderSetup[RemoteOptions]) -> None:
        super().__init__(setup)
        for module, package in (("curl_cffi", "curl-cffi"), ("yfinance", "yfinance")):
            import_optional(module, extra="yahoo", needed_by=f"provider {self.name!r}", package=package)
        self._client = _connect(setup.options.url, setup.caller.timeout)

    def download(self, request: BarRequest) -> Mapping[str, Charts]:
        """See ``RemoteProvider``."""
        (symbol,) = request.symbols
        minutes = None
        if request.timeframe is Timeframe.M1:
            # Before the days: a split that comes between the calls must not be missing from the later answer.
            parts = windows(request, _MINUTES_PER_CALL)
            minutes = Chart.join([self.call(partial(self._chart, part, symbol), request) for part in parts])
            if not len(minutes.ts):
                return {symbol: Charts(minutes, None)}
        # A day earlier: east of Greenwich a session opens on the day before its date, UTC.
        start, end = request.start - _DAY, max(request.end, datetime.now(UTC))
        whole = replace(request, timeframe=Timeframe.D1, start=start, end=end)
        return {symbol: Charts(minutes, self.call(partial(self._chart, whole, symbol), request))}

    def to_bars(self, request: BarRequest, symbol: str, download: Charts) -> pa.Table:
        """See ``RemoteProvider``."""
        minutes, days = download
        if days is None:
            return empty_bars()
        try:
            check_days(days.dates, days.values, days.splits)
            if minutes is not None:
                check_minutes(minutes.dates, minutes.values["close"], days.dates, days.values, days.splits)
        except ValueError as error:
            text = f"raw prices cannot be restored: {error}"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol) from None
        bars, starts = (days, days.dates) if minutes is None else (minutes, minutes.ts)
        values = restore_values(bars.values, split_factors(bars.dates, days.splits))
        return shape_bars(request, symbol, starts, values, source=self.source, provider=self.name)

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """See ``RemoteProvider``."""
        from curl_cffi.requests.exceptions import RequestException  # noqa: PLC0415 - slow, only where it is used

        (symbol,) = request.symbols
        match error:
            case _RefusedError(status=404) if '"Not Found"' not in error.body:
                # Only Yahoo itself can say that there is no such symbol; this came from something in front of it.
                text = "HTTP 404 that does not come from the chart service"
                return ProviderTransientError(text, provider=self.name, symbol=symbol)
            case _RefusedError():
                how = {"provider": self.name, "symbol": symbol}
                return explain_status(error.status, error.body, error.headers, keyed=False, **how)
            case RequestException():
                return ProviderTransientError(str(error), provider=self.name, symbol=symbol)
        return None

    def _chart(self, request: BarRequest, symbol: str) -> Chart:
        """Make one call."""
        params = {
            "period1": math.floor(request.start.timestamp()),
            "period2": math.ceil(request.end.timestamp()),
            "interval": request.timeframe.value,
            "includePrePost": "false",
            "events": "div,splits,capitalGains",
        }
        path = f"/v8/finance/chart/{quote(write_symbol(symbol), safe='')}"
        try:
            answer = self._client.get(_URL + path, params=params, timeout=self.caller.timeout)
        except _RefusedError as error:
            # What Yahoo says of a symbol that it knows, where the range lies before its first day or after its last.
            if error.status == 400 and _BEFORE_ITS_TIME in error.body:
                return Chart.join([])
            raise
        if "Will be right back" in answer.text:
            raise ProviderTransientError("Yahoo is down for maintenance", provider=self.name, symbol=symbol)
        try:
            body = answer.json()
            if words := told_error(body):
                if _BEFORE_ITS_TIME in words:
                    return Chart.join([])
                raise explain_words(words, provider=self.name, symbol=symbol)
            return read_chart(body, request.timeframe)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            text = f"the answer is not a chart: {error!r}"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol) from None


def write_symbol(symbol: str) -> str:
    """Return how Yahoo writes a canonical symbol.

    The letter after a dot is a class of shares, unless it is one of Yahoo's exchanges: Frankfurt (F), London (L),
    Tokyo (T), TSX Venture (V).
    """
    return re.sub(r"\.(?![FLTV]$)([A-Z])$", r"-\1", symbol).replace("/", "-")


class _RefusedError(Exception):
    """Yahoo answered with a status of 400 or more."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.headers = status, body, headers


def _connect(base: str | None, timeout: float) -> Any:  # noqa: ANN401 - yfinance has no types
    """Return yfinance's client with a session that keeps our time-out, calls ``base`` instead, and hides no status."""
    from curl_cffi.requests import Response, Session  # noqa: PLC0415 - slow, only where it is used
    from yfinance.config import YfConfig  # noqa: PLC0415 - likewise
    from yfinance.data import YfData  # noqa: PLC0415 - likewise

    class StrictSession(Session[Response]):
        def request(self, method: Any, url: str, **how: Any) -> Response:  # type: ignore[override]  # noqa: ANN401
            address = base.rstrip("/") + urlsplit(url).path if base else url
            answer = super().request(method, address, **{**how, "timeout": timeout})
            if answer.status_code >= 400:
                # Raised here, because the client would repeat the call by itself, and then call it an empty chart.
                headers = {name: value or "" for name, value in answer.headers.items()}
                raise _RefusedError(answer.status_code, answer.text, headers)
            return answer

    class ChartClient(YfData):  # type: ignore[misc]
        def _get_cookie_and_crumb(self, timeout: float = 30) -> tuple[None, str]:  # noqa: ARG002
            return None, "basic"

    YfConfig.network.retries = 0
    # Past the metaclass, which would share one client and its session among all in this process.
    return type.__call__(ChartClient, StrictSession(impersonate="chrome"))


KIND = ProviderKind(
    name="yahoo", factory=YahooProvider, options=RemoteOptions, calls_per_minute=60, limits=YahooProvider.limits
)
