"""Bars of US stocks from Interactive Brokers, through ib_async and a running TWS or IB Gateway.

Format: TWS API documentation, "Historical Bars", "Historical Data Limitations" and "Message Codes"
(https://interactivebrokers.github.io/tws-api/historical_bars.html). Minutes are stamped with their start in seconds
(``formatDate=2``), days with their date. A request names an end and a duration: so many days worth of bars before the
end, whichever days those are; what lies before the range asked for is dropped. By the documented step sizes a call
holds a day of minutes or a year of days. Each ends at midnight in New York, so that no session is cut in two: a day
that ends at midnight UTC would lack its last hour of extended trading in winter.

TRADES bars are adjusted for splits up to the moment of the call, not for dividends. IB does not tell the splits, so
this cannot be undone: the provider is refused unless its option ``allow_adjusted`` is set, and every row then says
``ib:split-adjusted``. A row fetched before a split and one fetched after it are on different scales.

Pacing: at most 60 calls in 10 minutes (the budget), six for a contract in 2 s (no two are under way at a time), and
none that is identical within 15 s: so long a failed call waits. IB enforces this for bars of 30 s and less, and slows
down those who ask too much for wider ones.

What ib_async does not do by itself, and is done here:

* Its time-out, and by default any error, end in an empty list. Its time-outs are off, and errors raise. Only an error
  that says so means that there are no bars; an empty answer without one is a failure.
* A refused client id, a port that closes, a request found invalid (321, to it a warning) and a lost line (1100, 2110)
  leave it waiting. They end the call.
* It logs an answer that it cannot read, and waits for another: that is a time-out here.
* Its ``connect`` also asks for positions, orders and executions. Only its handshake is used.

Not here: crypto pairs. Which exchange serves them depends on the account, and where their days end is not documented.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pydantic import SecretStr

from chandlery.config.providers import IbOptions
from chandlery.core.calendars import microseconds
from chandlery.core.optional import import_optional
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import (
    ConfigurationError,
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.base import BarReply, BarRequest, ProviderLimits
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.normalize import describe, join_bars, shape_bars

_SOURCE = "ib:split-adjusted"
_NEW_YORK = ZoneInfo("America/New_York")
_DAY = timedelta(days=1)
_BAR_SIZES = {Timeframe.M1: "1 min", Timeframe.D1: "1 day"}
_DAYS_PER_CALL = {Timeframe.M1: 1, Timeframe.D1: 365}
#: What ib_async calls ``schema.VALUES``.
_FIELDS = ("open", "high", "low", "close", "volume", "average", "barCount")
#: Seconds before a call may be repeated as it was: 15 and a little, since IB looks at its own clock.
_REPEAT_AFTER = 16.0

#: Errors by code. ``_LOST`` and ``_TAKEN`` concern the connection and come with no request's number.
_NO_CONTRACT, _TOO_FAST, _HISTORY, _INVALID, _TAKEN = 200, 100, 162, 321, 326
_LOST = frozenset({1100, 1300, 2110})
_PASSING = _LOST | {_TAKEN, 502, 504, 10182}
_NOT_ENTITLED = frozenset({203, 354, 10089, 10090, 10186})


class IbProvider:
    """Serves ``1m`` and ``1d`` of US stocks like ``AAPL`` and ``BRK.B``, adjusted for splits and named so.

    Each call is a connection of its own, under the client id of the options: nothing is left open between calls, which
    are ten seconds apart, and other processes of the installation find the id free. Extended hours are included, also
    in the volume of a day, unless the option ``regular_hours`` is set. Volumes are shares only while TWS's setting
    "Send market data in lots for US stocks" is off. What the account has no market data subscription for is a failure
    of the symbol.

    Args:
        name: as in ``providers.yaml``.
        options: where TWS or IB Gateway listens, and what to ask it for.
        keys: none; TWS and IB Gateway are logged in.
        calendars: not needed.
        calls: makes its calls.

    Raises:
        ConfigurationError: it was not said that adjusted prices are welcome, or ``ib_async`` is not installed.
    """

    timeframes = frozenset(INGESTED)
    #: Extended trading ends four hours after the close. No longer than needed: what is asked for again after a split
    #: comes on another scale.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=1,
        bars_per_request=31 * 1440,
        workers=1,
        settlement_delay=dict.fromkeys(INGESTED, timedelta(hours=5)),
    )

    def __init__(
        self,
        name: str,
        *,
        options: IbOptions,
        keys: Mapping[str, SecretStr],
        calendars: Mapping[str, str],
        calls: Caller,
    ) -> None:
        del keys, calendars
        if not options.allow_adjusted:
            raise ConfigurationError(
                f"provider {name!r}: Interactive Brokers adjusts for splits without telling them, and its prices cannot"
                f" be made raw; set the option allow_adjusted: true to take them as {_SOURCE}"
            )
        import_optional("ib_async", extra="ib", needed_by=f"provider {name!r}", package="ib-async")
        self.name = name
        self._options = options
        self.calls = calls
        self._lock = threading.Lock()

    def fetch(self, request: BarRequest) -> BarReply:
        """See ``Provider.fetch``."""
        parts: list[pa.Table] = []
        failures: dict[str, ProviderError] = {}
        for symbol in request.symbols:
            try:
                parts.append(self._bars(replace(request, symbols=[symbol]), symbol))
            except ProviderError as error:
                failures[symbol] = error
        return BarReply(join_bars(parts), failures)

    def span(self, symbol: str, timeframe: Timeframe) -> None:  # noqa: ARG002
        """Return None: asking for it is a call within the same budget."""
        return

    def _bars(self, request: BarRequest, symbol: str) -> pa.Table:
        if "/" in symbol:
            text = f"{self.name}: {symbol} is a pair; only US stocks are served"
            raise ProviderNotFoundError(text, provider=self.name, symbol=symbol)
        bars: list[Any] = []
        for window in _windows(request, datetime.now(UTC)):
            bars += self.calls.call(
                partial(self._ask, symbol, window),
                explain=partial(self._explain, symbol=symbol),
                about=describe(window),
            )
        table = np.array([[getattr(bar, name) for name in _FIELDS] for bar in bars], np.float64)
        table = table.reshape(-1, len(_FIELDS))
        # IB writes -1 where a bar has no volume, average or count.
        table[:, 4:][table[:, 4:] == -1] = np.nan
        return shape_bars(
            request,
            symbol,
            np.array([microseconds(_start(bar.date)) for bar in bars], np.int64),
            dict(zip(VALUES, table.T, strict=True)),
            source=_SOURCE,
            provider=self.name,
        )

    def _ask(self, symbol: str, window: BarRequest) -> Sequence[Any]:
        """Ask once, in a thread of its own: the caller's may be running an event loop, as a notebook's does."""
        with self._lock, ThreadPoolExecutor(1, thread_name_prefix=self.name) as pool:
            bars = pool.submit(asyncio.run, self._converse(symbol, window)).result()
        if not all(_is_as_asked(bar.date, window.timeframe) for bar in bars):
            text = "the times of its bars are not of the form that was asked for"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol)
        return bars

    async def _converse(self, symbol: str, window: BarRequest) -> Sequence[Any]:
        """Connect, ask for the bars of ``window``, and disconnect."""
        from ib_async import IB, RequestError, Stock  # noqa: PLC0415 - slow to import

        ib = IB()
        ib.RaiseRequestErrors = True
        trouble = _watch(ib)
        try:
            await self._connect(ib.client, trouble, symbol)
            bars: Sequence[Any] = await self._first(
                ib.reqHistoricalDataAsync(
                    Stock(symbol.replace(".", " "), "SMART", "USD"),
                    endDateTime=window.end if window.timeframe.is_intraday else window.end.replace(tzinfo=_NEW_YORK),
                    durationStr=f"{round((window.end - window.start) / _DAY)} D",
                    barSizeSetting=_BAR_SIZES[window.timeframe],
                    whatToShow="TRADES",
                    useRTH=self._options.regular_hours,
                    formatDate=2,
                    timeout=0,
                ),
                trouble,
            )
        except RequestError as error:
            if error.code == _HISTORY and "returned no data" in error.message.lower():
                return []
            raise explain_code(error.code, error.message, provider=self.name, symbol=symbol) from error
        finally:
            ib.client.disconnect()  # type: ignore[no-untyped-call]
        if not bars:
            raise ConnectionError("an empty answer that gave no reason")
        return bars

    async def _connect(self, client: Any, trouble: asyncio.Future[Exception], symbol: str) -> None:  # noqa: ANN401 - untyped
        at = self._options
        try:
            await self._first(client.connectAsync(at.host, at.port, at.client_id, timeout=None), trouble)
        except OSError as error:
            text = (
                f"cannot connect to TWS or IB Gateway at {at.host}:{at.port}: {error};"
                " is it running and logged in, with its API enabled for this machine?"
            )
            raise ProviderTransientError(text, provider=self.name, symbol=symbol) from error

    async def _first(self, step: Coroutine[Any, Any, Any], trouble: asyncio.Future[Exception]) -> Any:  # noqa: ANN401 - the step's
        """Return what ``step`` returns, unless there is trouble first or it takes too long."""
        task = asyncio.create_task(step)
        timeout = self.calls.timeout
        await asyncio.wait({task, trouble}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        # Before the task is cancelled: that closes the connection, which is trouble of our own making.
        error = trouble.result() if trouble.done() else TimeoutError(f"no answer within {timeout:g} s")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise error

    def _explain(self, error: Exception, symbol: str) -> ProviderError | None:
        """Turn what a call raises, once it asked, into our errors."""
        if isinstance(error, OSError):  # a TimeoutError is one
            return ProviderTransientError(str(error), provider=self.name, symbol=symbol, retry_after=_REPEAT_AFTER)
        return None


def _watch(ib: Any) -> asyncio.Future[Exception]:  # noqa: ANN401 - an ib_async.IB; slow to import
    """Return what will hold the first error that ends a call and that ib_async would wait through."""
    from ib_async import RequestError  # noqa: PLC0415 - slow to import

    trouble: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def tell(error: Exception) -> None:
        if not trouble.done():
            trouble.set_result(error)

    def hear(request: int, code: int, text: str, _contract: object) -> None:
        if code in _LOST or code == _TAKEN or (code == _INVALID and request >= 0):
            tell(RequestError(request, code, text))

    ib.errorEvent += hear
    ib.client.conn.disconnected += lambda text: tell(ConnectionError(text or "the other side closed the connection"))
    return trouble


def explain_code(code: int, text: str, *, provider: str, symbol: str) -> ProviderError:
    """Return the error that one of IB's message codes stands for.

    Code 162 is whatever the historical data service says, in words.

    Args:
        code: from the message.
        text: from the message.
        provider: name for the error.
        symbol: for the error.
    """
    said, told = text.lower(), f"code {code}: {text}"
    if code == _TOO_FAST or "pacing violation" in said:
        return ProviderRateLimitError(told, provider=provider, symbol=symbol, retry_after=_REPEAT_AFTER)
    if code in _NOT_ENTITLED or "permission" in said:
        told += "; the account needs a market data subscription for it"
        return ProviderAuthError(told, provider=provider, symbol=symbol)
    if code == _NO_CONTRACT:
        return ProviderNotFoundError(told, provider=provider, symbol=symbol)
    # A query that was cancelled, a service that was disconnected, a session that is connected from elsewhere.
    if code in _PASSING or (code == _HISTORY and ("connect" in said or "cancel" in said)):
        told += "; give this installation an id of its own (option client_id)" if code == _TAKEN else ""
        return ProviderTransientError(told, provider=provider, symbol=symbol, retry_after=_REPEAT_AFTER)
    return ProviderBadDataError(f"the request was refused: {told}", provider=provider, symbol=symbol)


def _windows(request: BarRequest, now: datetime) -> Iterator[BarRequest]:
    """Yield the parts of the range that one call each can answer, oldest first: whole days, up to the present.

    Days are New York's for minutes, and the labels themselves for days. Weekends, on which US stocks do not trade by
    way of ``SMART``, are not asked for alone.
    """
    zone = _NEW_YORK if request.timeframe.is_intraday else UTC
    last = min(request.end, now) - timedelta(microseconds=1)
    day, stop = request.start.astimezone(zone).date(), last.astimezone(zone).date() + _DAY
    while day < stop:
        until = min(day + _DAY * _DAYS_PER_CALL[request.timeframe], stop)
        if any((day + _DAY * n).weekday() < 5 for n in range((until - day).days)):
            yield replace(request, start=_midnight(day, zone), end=_midnight(until, zone))
        day = until


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _start(stamp: date) -> datetime:
    """Return a bar's start: an instant as it is, or the label of a day."""
    return stamp if isinstance(stamp, datetime) else _midnight(stamp, UTC)


def _is_as_asked(stamp: date, timeframe: Timeframe) -> bool:
    """Whether a bar's time is a date for a day, and an instant with its zone for a minute."""
    if isinstance(stamp, datetime):
        return timeframe.is_intraday and stamp.tzinfo is not None
    return not timeframe.is_intraday
