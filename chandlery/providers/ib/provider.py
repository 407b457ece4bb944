"""Bars of US stocks from Interactive Brokers, through ib_async and a running TWS or IB Gateway.

Format: TWS API documentation, "Historical Bars" and "Historical Data Limitations"
(https://interactivebrokers.github.io/tws-api/historical_bars.html). Minutes are stamped with their start in seconds
(``formatDate=2``), days with their date. A request names an end and a duration: so many days worth of bars before the
end, whichever days those are; what lies before the requested range is dropped. By the documented step sizes a call
holds a day of minutes or a year of days. Each ends at midnight in New York, so that no session is cut in two: a day
that ends at midnight UTC would lack its last hour of extended trading in winter.

TRADES bars are adjusted for splits up to the moment of the call, not for dividends. IB does not report the splits, so
this cannot be undone: the provider is refused unless its option ``allow_adjusted`` is set, and every row then says
``ib:split-adjusted``. A row fetched before a split and one fetched after it are on different scales.

Pacing: at most 60 calls in 10 minutes (the rate limit), six for a contract in 2 s (no two are under way at a time), and
none that is identical to another within 15 s (``identical_call_after`` of the retry policy). IB enforces this for bars
of 30 s and less, and slows down those who request too much for wider ones.

What ib_async does not do by itself, and is done here:

* Its time-out, and by default any error, end in an empty list. Its time-outs are off, and errors raise. Only an error
  that says so means that there are no bars; an empty answer without one is a failure.
* A refused client id, a port that closes, a request found invalid (321, to it a warning) and a lost line (1100, 2110)
  leave it waiting. They end the call.
* It logs an answer that it cannot read, and waits for another: that is a time-out here.
* Its ``connect`` also requests positions, orders and executions. Only its handshake is used.

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
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pydantic import Field

from chandlery.config.yaml_document import Section
from chandlery.core.calendars import microseconds
from chandlery.core.optional import import_optional
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import (
    ConfigurationError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderTransientError,
)
from chandlery.providers.base import BarRequest, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.caller import RetryPolicy
from chandlery.providers.http.normalize import shape_bars
from chandlery.providers.http.remote import RemoteProvider
from chandlery.providers.ib.codes import HISTORY, INVALID, LOST, TAKEN, explain_code

_FEED = "split-adjusted"
_NEW_YORK = ZoneInfo("America/New_York")
_DAY = timedelta(days=1)
_BAR_SIZES = {Timeframe.M1: "1 min", Timeframe.D1: "1 day"}
_DAYS_PER_CALL = {Timeframe.M1: 1, Timeframe.D1: 365}
#: What ib_async calls ``schema.VALUES``.
_FIELDS = ("open", "high", "low", "close", "volume", "average", "barCount")
#: ib_async's bars.
Bars: TypeAlias = Sequence[Any]


class IbOptions(Section):
    """The options of kind ``ib``.

    Attributes:
        host: where TWS or IB Gateway listens.
        port: likewise.
        client_id: this installation's own; no other program may use it at the same time.
        regular_hours: whether extended hours are left out.
        allow_adjusted: whether prices that are adjusted for splits will do.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 4002
    client_id: Annotated[int, Field(strict=True, ge=0)] = 71
    regular_hours: bool = False
    allow_adjusted: bool = False


class IbProvider(RemoteProvider[Bars]):
    """Serves ``1m`` and ``1d`` of US stocks like ``AAPL`` and ``BRK.B``, adjusted for splits and named so.

    Each call is a connection of its own, under the client id of the options: nothing is left open between calls, which
    are ten seconds apart, and other processes of the installation find the id free. Extended hours are included, also
    in the volume of a day, unless the option ``regular_hours`` is set. Volumes are shares only while TWS's setting
    "Send market data in lots for US stocks" is off. What the account has no market data subscription for is a failure
    of the symbol.

    Raises:
        ConfigurationError: its options do not allow adjusted prices, or ``ib_async`` is not installed.
    """

    #: Extended trading ends four hours after the close. No longer than needed: what is requested again after a split
    #: comes on another scale.
    limits = ProviderLimits(
        remote=True,
        symbols_per_request=1,
        bars_per_request=31 * 1440,
        bars_per_call={Timeframe.M1: 1440 * _DAYS_PER_CALL[Timeframe.M1], Timeframe.D1: _DAYS_PER_CALL[Timeframe.D1]},
        workers=1,
        settlement_delay=dict.fromkeys(INGESTED, timedelta(hours=5)),
    )

    def __init__(self, setup: ProviderSetup[IbOptions]) -> None:
        super().__init__(setup)
        self.source = setup.source(_FEED)
        if not setup.options.allow_adjusted:
            raise ConfigurationError(
                f"provider {self.name!r}: Interactive Brokers adjusts for splits without telling them, and its prices"
                f" cannot be made raw; set the option allow_adjusted: true to take them as {self.source}"
            )
        import_optional("ib_async", extra="ib", needed_by=f"provider {self.name!r}", package="ib-async")
        self._options = setup.options
        self._repeat_after = setup.caller.retry.identical_call_after
        self._lock = threading.Lock()

    def download(self, request: BarRequest) -> Mapping[str, Bars]:
        """See ``RemoteProvider``."""
        (symbol,) = request.symbols
        if "/" in symbol:
            text = f"{self.name}: {symbol} is a pair; only US stocks are served"
            raise ProviderNotFoundError(text, provider=self.name, symbol=symbol)
        bars: list[Any] = []
        for window in _windows(request, datetime.now(UTC)):
            bars += self.call(partial(self._call_once, symbol, window), window)
        return {symbol: bars}

    def to_bars(self, request: BarRequest, symbol: str, download: Bars) -> pa.Table:
        """See ``RemoteProvider``."""
        table = np.array([[getattr(bar, name) for name in _FIELDS] for bar in download], np.float64)
        table = table.reshape(-1, len(_FIELDS))
        # IB writes -1 where a bar has no volume, average or count.
        table[:, 4:][table[:, 4:] == -1] = np.nan
        return shape_bars(
            request,
            symbol,
            np.array([microseconds(_start(bar.date)) for bar in download], np.int64),
            dict(zip(VALUES, table.T, strict=True)),
            source=self.source,
            provider=self.name,
        )

    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """See ``RemoteProvider``."""
        if isinstance(error, OSError):  # a TimeoutError is one
            return ProviderTransientError(
                str(error), provider=self.name, symbol=request.symbols[0], retry_after=self._repeat_after
            )
        return None

    def _call_once(self, symbol: str, window: BarRequest) -> Bars:
        """Make one call, in a thread of its own: this one may be running an event loop, as a notebook's does."""
        with self._lock, ThreadPoolExecutor(1, thread_name_prefix=self.name) as pool:
            bars = pool.submit(asyncio.run, self._converse(symbol, window)).result()
        if not all(_has_expected_form(bar.date, window.timeframe) for bar in bars):
            text = "the times of its bars are not of the form that was requested"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol)
        return bars

    async def _converse(self, symbol: str, window: BarRequest) -> Bars:
        """Connect, request the bars of ``window``, and disconnect."""
        from ib_async import IB, RequestError, Stock  # noqa: PLC0415 - slow to import

        ib = IB()
        ib.RaiseRequestErrors = True
        trouble = _watch(ib)
        try:
            await self._connect(ib.client, trouble, symbol)
            bars: Bars = await self._first(
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
            if error.code == HISTORY and "returned no data" in error.message.lower():
                return []
            raise explain_code(
                error.code, error.message, provider=self.name, symbol=symbol, retry_after=self._repeat_after
            ) from error
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
        timeout = self.caller.timeout
        await asyncio.wait({task, trouble}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        # Before the task is cancelled: that closes the connection, which is trouble of our own making.
        error = trouble.result() if trouble.done() else TimeoutError(f"no answer within {timeout:g} s")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise error


def _watch(ib: Any) -> asyncio.Future[Exception]:  # noqa: ANN401 - an ib_async.IB; slow to import
    """Return what will hold the first error that ends a call and that ib_async would wait through."""
    from ib_async import RequestError  # noqa: PLC0415 - slow to import

    trouble: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def end(error: Exception) -> None:
        if not trouble.done():
            trouble.set_result(error)

    def on_error(request: int, code: int, text: str, _contract: object) -> None:
        if code in LOST or code == TAKEN or (code == INVALID and request >= 0):
            end(RequestError(request, code, text))

    ib.errorEvent += on_error
    ib.client.conn.disconnected += lambda text: end(ConnectionError(text or "the other side closed the connection"))
    return trouble


def _windows(request: BarRequest, now: datetime) -> Iterator[BarRequest]:
    """Yield the parts of the range that one call each can answer, oldest first: whole days, up to the present.

    Days are New York's for minutes, and the labels themselves for days. Weekends, on which US stocks do not trade by
    way of ``SMART``, are not requested alone.
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


def _has_expected_form(stamp: date, timeframe: Timeframe) -> bool:
    """Whether a bar's time is a date for a day, and an instant with its zone for a minute."""
    if isinstance(stamp, datetime):
        return timeframe.is_intraday and stamp.tzinfo is not None
    return not timeframe.is_intraday


KIND = ProviderKind(
    name="ib",
    factory=IbProvider,
    options=IbOptions,
    calls_per_minute=6,
    limits=IbProvider.limits,
    retry=RetryPolicy(identical_call_after=16.0),  # 15 and a little, since IB looks at its own clock
)
