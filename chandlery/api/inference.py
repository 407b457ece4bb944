"""What was known at a moment: bars of several widths, and frames for models.

Not here: the rule by which something was known (``inference.known``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

from chandlery.api.reads import Moment, Output, Reads
from chandlery.core.arguments import check_choice, check_text
from chandlery.core.windows import EVER
from chandlery.inference.frame import InferenceDataFrame
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.arguments import COLUMNS, names_of
from chandlery.reading.formats import OUTPUTS

TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
_VALUES = ("open", "high", "low", "close", "volume", "vwap", "trades")

if TYPE_CHECKING:
    from chandlery.inference.request import Request


class Inference(Reads):
    """What was known of symbols at a moment.

    Examples:
        >>> frame = api.get_inference_data("AAPL", "2024-06-04T21:00Z", timeframes=["1d"], indicators=["SMA_2"])
        >>> frame.bars["1d"]["close"].tolist(), frame.get_latest_price(), frame.knowledge
        ([9.5, 10.5], 10.5, 'as_published')
        >>> frame.indicators["1d"]["SMA_2"].tolist()[-1]
        10.0
        >>> api.get_multi_timeframe_data("AAPL", ["daily"])["1d"]["close"].tolist()
        [9.5, 10.5, 11.5]
    """

    def get_multi_timeframe_data(
        self,
        symbol: str,
        timeframes: Iterable[str],
        timestamp: Moment | None = None,
        limit: int | None = 100,
        *,
        columns: Iterable[str] = COLUMNS,
        output: Output = "pandas",
    ) -> Mapping[str, Any]:
        """Return the last bars of several timeframes that were known at a moment, by timeframe.

        A bar belongs only if it had ended by then and its values had been learned by then; what was learned later of it
        does not show. A bar of a day or wider ends with its last session.

        Args:
            symbol: as of ``get_ohlc``.
            timeframes: of any width and spelling; the answer has them as they are written here: ``1h`` for ``60min``.
            timestamp: the moment, UTC; now by default.
            limit: how many bars of each at most; None for all.
            columns: as of ``get_ohlc``, but for ``state`` and ``released``.
            output: as of ``get_ohlc``.

        Raises:
            UnknownSymbolError: no instrument goes by that name.
            UsageError: any other argument is wrong; the text names it and what is allowed.
        """
        request = _parse_request(timestamp, timeframes=timeframes, limit=limit, knowledge="as_learned", columns=columns)
        name = check_text(symbol, name="symbol", example="AAPL")
        return self._frames([name], request, output, minutes=False)[name].bars

    @overload
    def get_inference_data(
        self,
        symbols: str,
        timestamp: Moment | None = ...,
        context_window_minutes: int = ...,
        timeframes: Iterable[str] = ...,
        indicators: Iterable[str] = ...,
        *,
        limit: int | None = ...,
        context_after_minutes: int | None = ...,
        knowledge: str = ...,
        latency: timedelta = ...,
        columns: Iterable[str] = ...,
        output: Output = ...,
    ) -> InferenceDataFrame: ...
    @overload
    def get_inference_data(
        self,
        symbols: list[str],
        timestamp: Moment | None = ...,
        context_window_minutes: int = ...,
        timeframes: Iterable[str] = ...,
        indicators: Iterable[str] = ...,
        *,
        limit: int | None = ...,
        context_after_minutes: int | None = ...,
        knowledge: str = ...,
        latency: timedelta = ...,
        columns: Iterable[str] = ...,
        output: Output = ...,
    ) -> dict[str, InferenceDataFrame]: ...
    def get_inference_data(
        self,
        symbols: str | list[str],
        timestamp: Moment | None = None,
        context_window_minutes: int = 5,
        timeframes: Iterable[str] = TIMEFRAMES,
        indicators: Iterable[str] = (),
        *,
        limit: int | None = 100,
        context_after_minutes: int | None = None,
        knowledge: str = "auto",
        latency: timedelta = timedelta(),
        columns: Iterable[str] = _VALUES,
        output: Output = "pandas",
    ) -> InferenceDataFrame | dict[str, InferenceDataFrame]:
        """Return what was known of a symbol at ``timestamp``; of several, by symbol. What comes later changes nothing.

        Args:
            symbols: one, or several, which are read together.
            timestamp: the moment, UTC; now by default.
            context_window_minutes: how many minutes before it the part ``context`` has.
            timeframes: of the bars, of any width and spelling.
            indicators: names as of ``get_ohlc_with_indicators``, computed on each timeframe.
            limit: how many bars of each timeframe at most; None for all.
            context_after_minutes: for labels: how many minutes after it the part ``after`` has; none by default.
            knowledge: ``as_learned``: bars count since they ended and were learned here; ``as_published``: since they
                ended and ``latency`` passed, with their first values; ``auto``: the latter where nothing of a symbol
                had been learned by then, because its history was loaded later. The frame says which.
            latency: how long after its end a bar is published.
            columns: of the bars.
            output: of each part: ``pandas``, ``arrow`` or ``polars``; made when it is looked at.

        Raises:
            UsageError: an argument is wrong, or nobody fills a timeframe; the text names it and what is allowed.
        """
        request = _parse_request(
            timestamp,
            timeframes=timeframes,
            indicators=indicators,
            limit=limit,
            context_window_minutes=context_window_minutes,
            context_after_minutes=context_after_minutes,
            knowledge=knowledge,
            latency=latency,
            columns=columns,
        )
        names = [check_text(symbols, name="symbols", example="AAPL")] if isinstance(symbols, str) else None
        frames = self._frames(names or self._symbols(symbols), request, output)
        return frames[names[0]] if names else frames

    def _frames(
        self, symbols: list[str], request: Request, output: str, *, minutes: bool = True
    ) -> dict[str, InferenceDataFrame]:
        """Return the frame of each symbol; with ``minutes``, with its context window."""
        from chandlery.inference.assemble import make_frame  # noqa: PLC0415 - slow to import, and bars do not need it

        check_choice(output, OUTPUTS, name="output")
        began = time.perf_counter()
        with self._warehouse.connection() as connection:
            instruments = resolve_all(connection, symbols, *EVER)
        names = names_of(symbols, [each.instrument_id for each in instruments])
        from chandlery.inference.reader import Reader  # noqa: PLC0415 - indicators are slow to import

        reader = Reader(self._warehouse, self._read, request, minutes=minutes)
        seen = reader.look(instruments)
        after, sources = reader.after(instruments), reader.sources(seen)
        spent = (time.perf_counter() - began) * 1000
        return {
            name: make_frame(
                (owner, name),
                request,
                seen[owner],
                after=after,
                data_source=sources,
                query_latency_ms=spent,
                output=output,
            )
            for owner, name in names.items()
        }


def _parse_request(timestamp: Moment | None, **given: Any) -> Request:  # noqa: ANN401 - handed on as they are
    from chandlery.inference.request import parse_request  # noqa: PLC0415 - indicators are slow to import

    return parse_request(timestamp, **given)
