"""Yahoo's charts on loopback. For a person: ``python -m tests.servers.yahoo``."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from chandlery.core.timeframe import INGESTED, Timeframe
from tests.servers.http import Answer, Request, VendorServer, run
from tests.servers.market import Bars, Market

_CHART = "/v8/finance/chart/"
_NEW_YORK = ZoneInfo("America/New_York")
_DAY = 86_400
#: Date, and how many new shares come for how many old ones.
SplitEvent: TypeAlias = tuple[datetime, int, int]


class YahooServer(VendorServer):
    """Serves charts as Yahoo does: adjusted for splits, as 32-bit floats, a day stamped with its session's open.

    Args:
        market: raw bars.
        splits: by symbol, with the date at 00:00 UTC.
        how: as of ``VendorServer``.

    Attributes:
        paths: of all requests.
        late: timeframes whose prices are not adjusted yet, although the splits are reported.
    """

    def __init__(
        self,
        market: Market,
        *,
        splits: Mapping[str, Sequence[SplitEvent]] | None = None,
        **how: Any,  # noqa: ANN401 - VendorServer's
    ) -> None:
        super().__init__(market, **how)
        self.splits = dict(splits or {})
        self.paths: list[str] = []
        self.late: frozenset[Timeframe] = frozenset()

    def is_about_bars(self, request: Request) -> bool:
        """See ``VendorServer``."""
        self.paths.append(request.path)
        return request.path.startswith(_CHART)

    def answer(self, request: Request) -> Answer:
        """See ``VendorServer``."""
        if request.path == "/":  # what fc.yahoo.com does: not found, but here is a cookie
            return Answer("", 404, {"Set-Cookie": "A3=d=try-out; Max-Age=31557600; Path=/"})
        if request.path == "/v1/test/getcrumb":
            return Answer("try.out")
        if not request.path.startswith(_CHART):
            return Answer("<html>nothing here</html>", 404)
        names = {_write(symbol): symbol for symbol, _ in self.market.bars}
        name = request.path.removeprefix(_CHART)
        if name not in names:
            return _refuse(404, "Not Found", "No data found, symbol may be delisted")
        interval = request.query["interval"]
        now = int(datetime.now(UTC).timestamp())
        start, end = int(request.query.get("period1", now - _DAY)), int(request.query.get("period2", now))
        if interval == "1m" and end - start > 8 * _DAY:
            text = f"1m data not available for startTime={start} and endTime={end}. Only 8 days worth of 1m granularity"
            return _refuse(422, "Unprocessable Entity", f"{text} data are allowed to be fetched per request.")
        return Answer({"chart": {"result": [self._chart(names[name], interval, start, end)], "error": None}})

    def _chart(self, symbol: str, interval: str, start: int, end: int) -> dict[str, Any]:
        zone = ZoneInfo("UTC") if "/" in symbol else _NEW_YORK
        timeframe = Timeframe(interval)
        bars = self.market.bars.get((symbol, timeframe), {})
        stamps = _stamps(bars, timeframe, zone)
        places = np.flatnonzero((stamps >= start) & (stamps < end))
        if self.shuffled:
            places = np.array(random.Random(3).sample(places.tolist(), len(places)), np.int64)
        if self.repeat_pages:
            places = np.concatenate([places, places])
        chart: dict[str, Any] = {"meta": _meta(symbol, interval, zone, stamps[places])}
        events = {str(at): event for at, event in self._events(symbol, zone).items() if start <= at <= end}
        if events:
            chart["events"] = {"splits": events}
        if not len(places):
            return {**chart, "indicators": {"quote": [{}]}}
        quotes = _adjust(bars, () if timeframe in self.late else self.splits.get(symbol, ()))
        chart["timestamp"] = stamps[places].tolist()
        chart["indicators"] = {"quote": [{name: _numbers(values[places]) for name, values in quotes.items()}]}
        if timeframe is Timeframe.D1:  # adjusted for dividends too: another price
            chart["indicators"]["adjclose"] = [{"adjclose": _numbers(quotes["close"][places] * 0.97)}]
        return chart

    def _events(self, symbol: str, zone: ZoneInfo) -> dict[int, dict[str, Any]]:
        events = {}
        for date, new, old in self.splits.get(symbol, ()):
            at = _open(date, zone)
            events[at] = {"date": at, "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}"}
        return events


def _write(symbol: str) -> str:
    return symbol.replace("/", "-").replace("BRK.", "BRK-")


def _open(date: datetime, zone: ZoneInfo) -> int:
    opens = time(9, 30) if zone is _NEW_YORK else time(0)
    return int(datetime.combine(date.date(), opens, zone).timestamp())


def _stamps(bars: Bars, timeframe: Timeframe, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    seconds = np.asarray(bars.get("ts", []), np.int64) // 1_000_000
    if timeframe is Timeframe.M1:
        return seconds
    return np.array([_open(datetime.fromtimestamp(int(at), UTC), zone) for at in seconds], np.int64)


def _adjust(bars: Bars, splits: Sequence[SplitEvent]) -> dict[str, npt.NDArray[np.float64]]:
    """Return raw bars adjusted for what came after them, in the precision that Yahoo has."""
    dates = np.asarray(bars["ts"], np.int64) // 1_000_000
    factor = np.ones(len(dates))
    for date, new, old in splits:
        factor[dates < int(date.timestamp())] *= new / old
    quotes = {
        name: (np.asarray(bars[name], np.float64) / factor).astype(np.float32).astype(np.float64)
        for name in ("high", "low", "open", "close")
    }
    return {**quotes, "volume": np.asarray(bars["volume"], np.float64) * factor}


def _numbers(values: npt.NDArray[np.float64]) -> list[float | int | None]:
    return [None if np.isnan(v) else int(v) if v == int(v) else v for v in values.tolist()]


def _meta(symbol: str, interval: str, zone: ZoneInfo, stamps: npt.NDArray[np.int64]) -> dict[str, Any]:
    def period(date: datetime) -> dict[str, Any]:
        start = _open(date, zone)
        length = timedelta(hours=6, minutes=30) if zone is _NEW_YORK else timedelta(hours=23, minutes=59)
        return {"timezone": zone.key, "start": start, "end": start + int(length.total_seconds()), "gmtoffset": 0}

    meta = {
        "currency": "USD",
        "symbol": _write(symbol),
        "instrumentType": "CRYPTOCURRENCY" if "/" in symbol else "EQUITY",
        "exchangeTimezoneName": zone.key,
        "regularMarketPrice": 1.0,
        "priceHint": 2,
        "dataGranularity": interval,
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        "currentTradingPeriod": {name: period(datetime.now(UTC)) for name in ("pre", "regular", "post")},
    }
    if interval == "1m" and len(stamps):
        dates = sorted({datetime.fromtimestamp(at, zone).date() for at in stamps.tolist()})
        meta["tradingPeriods"] = [[period(datetime.combine(date, time(), UTC))] for date in dates]
    return meta


def _refuse(status: int, code: str, description: str) -> Answer:
    return Answer({"chart": {"result": None, "error": {"code": code, "description": description}}}, status)


if __name__ == "__main__":
    run(
        YahooServer,
        ["AAPL", "MSFT", "BTC/USD"],
        tuple(INGESTED),
        "  yahoo:\n    kind: yahoo\n    options: {{url: '{url}'}}",
        timeframe=Timeframe.D1,
    )
