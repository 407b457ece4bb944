"""Draws the candles of a partition for the web UI, when somebody looks at them.

Not here: who may look (``guard``), and how candles are drawn (``chandlery.pictures``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from assets.pictures import CANDLES
from chandlery.bars.read import BarRange
from chandlery.core.moments import parse_moment
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ChandleryError, UnknownSymbolError, UsageError
from chandlery.instruments.registry import load_instruments
from chandlery.pictures.charts import candles_png
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

_PARAMETERS = ("timeframe", "symbol", "window", "as_of")
#: Fits into the column of a page's values on a small screen.
_SIZE = {"width_px": 450, "height_px": 250, "max_candles": 130}
#: What was known at a time stays what it was; a day is enough for whoever goes back and forth.
_KEPT = {"Cache-Control": "private, max-age=86400"}


class Candles:
    """ASGI middleware that answers for the pictures and hands on everything else.

    Args:
        app: the web server.
        open_warehouse: opens the warehouse of the installation; called when the first picture is looked at.
    """

    def __init__(self, app: ASGIApp, open_warehouse: Callable[[], Warehouse]) -> None:
        self._app = app
        self._open = open_warehouse
        self._warehouse: Warehouse | None = None
        self._opening = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification. The address of a picture is relative to that of the page that shows it."""
        if scope["type"] != "http" or not scope["path"].endswith(f"/{CANDLES}"):
            await self._app(scope, receive, send)
            return
        response = await run_in_threadpool(self._answer, Request(scope).query_params)
        await response(scope, receive, send)

    def close(self) -> None:
        """Close the warehouse, if it was opened."""
        with self._opening:
            if self._warehouse is not None:
                self._warehouse.close()
                self._warehouse = None

    def _answer(self, given: QueryParams) -> Response:
        missing = [name for name in _PARAMETERS if name not in given]
        if missing:
            return PlainTextResponse(f"the address lacks {', '.join(missing)}\n", 400)
        try:
            drawn = self._draw(*(given[name] for name in _PARAMETERS))
            if drawn is None:
                return PlainTextResponse("no bars were known then\n", 404)
            is_past = parse_moment(given["as_of"], name="as_of") <= datetime.now(UTC)
            return Response(drawn, media_type="image/png", headers=_KEPT if is_past else None)
        except UnknownSymbolError as error:
            return PlainTextResponse(f"{error}\n", 404)
        except UsageError as error:
            return PlainTextResponse(f"{error}\n", 400)
        except ChandleryError as error:
            return PlainTextResponse(f"{error}\n", 503)

    def _draw(self, name: str, symbol: str, key: str, as_of: str) -> bytes | None:
        timeframe, moment = Timeframe.parse(name), parse_moment(as_of, name="as_of")
        window = timeframe.window(key)
        with self._opening:
            if self._warehouse is None:
                self._warehouse = self._open()
            warehouse = self._warehouse
        with warehouse.connection() as connection:
            instrument = load_instruments(connection).get(symbol)
        if instrument is None:
            raise UnknownSymbolError(f"symbol={symbol!r} is not registered")
        wanted = [BarRange(instrument.instrument_id, window.start, window.end)]
        bars = read_bars(warehouse, timeframe, wanted, as_of=moment)
        title = f"{symbol} {timeframe.value} {window.key}"
        return candles_png(bars, title=title, **_SIZE) if bars.num_rows else None
