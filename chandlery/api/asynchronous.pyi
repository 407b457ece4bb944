# Made from DataAPI by `python -m tests.golden.update`.
# ruff: noqa: ANN401 - the type is by ``output``
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, overload

import pandas as pd
import polars as pl
import pyarrow as pa

from chandlery.api.chart import Chart
from chandlery.api.condition import Health, Stats
from chandlery.api.in_threads import InThreads
from chandlery.api.joins import Table
from chandlery.api.reads import Moment, Output
from chandlery.api.versions import Version
from chandlery.core.grid import Anchor
from chandlery.inference.frame import InferenceDataFrame
from chandlery.lineage.steps import Lineage
from chandlery.ops.status import Status
from chandlery.reading.fill import Fill
from chandlery.reading.layouts import Layout
from chandlery.reading.made import Hours

class AsyncDataAPI(InThreads):
    @overload
    async def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = ...,
        end: Moment | None = ...,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        exclude_suspect: bool = ...,
        session: Hours = ...,
        anchor: Anchor = ...,
        fill: Fill = ...,
        adjust: str = ...,
        columns: Iterable[str] = ...,
        output: Literal["pandas"] = ...,
    ) -> pd.DataFrame: ...
    @overload
    async def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = ...,
        end: Moment | None = ...,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        exclude_suspect: bool = ...,
        session: Hours = ...,
        anchor: Anchor = ...,
        fill: Fill = ...,
        adjust: str = ...,
        columns: Iterable[str] = ...,
        output: Literal["arrow"],
    ) -> pa.Table: ...
    @overload
    async def get_ohlc(
        self,
        symbol: str,
        start: Moment | None = ...,
        end: Moment | None = ...,
        timeframe: str = ...,
        *,
        limit: int | None = ...,
        as_of: Moment | None = ...,
        final_only: bool = ...,
        exclude_suspect: bool = ...,
        session: Hours = ...,
        anchor: Anchor = ...,
        fill: Fill = ...,
        adjust: str = ...,
        columns: Iterable[str] = ...,
        output: Literal["polars"],
    ) -> pl.DataFrame: ...
    async def get_multi_symbol(
        self,
        symbols: Iterable[str] | str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        exclude_suspect: bool = False,
        session: Hours = "all",
        anchor: Anchor = "utc",
        fill: Fill = "none",
        adjust: str = "raw",
        columns: Iterable[str] = ...,
        layout: Layout = "long",
        output: Output = "pandas",
    ) -> Any: ...
    async def stats(self) -> Stats: ...
    async def health(self) -> Health: ...
    async def status(self) -> Status: ...
    async def get_ohlc_with_indicators(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        indicators: Iterable[str],
        limit: int | None = None,
        as_of: Moment | None = None,
        final_only: bool = False,
        exclude_suspect: bool = False,
        session: Hours = "all",
        anchor: Anchor = "utc",
        adjust: str = "raw",
        fill: Fill = "none",
        columns: Iterable[str] = ...,
        output: Output = "pandas",
    ) -> Any: ...
    async def coverage(
        self, symbols: Iterable[str] | str | None = None, timeframe: str | None = None, *, output: Output = "pandas"
    ) -> Any: ...
    async def missing_sessions(
        self, symbols: Iterable[str] | str | None = None, timeframe: str = "1d", *, output: Output = "pandas"
    ) -> Any: ...
    async def session_states(
        self,
        symbols: Iterable[str] | str | None = None,
        timeframe: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        state: str | None = None,
        output: Output = "pandas",
    ) -> Any: ...
    async def states_of_day(
        self,
        day: Moment,
        symbols: Iterable[str] | str | None = None,
        timeframe: str | None = None,
        *,
        output: Output = "pandas",
    ) -> Any: ...
    async def instruments(self, symbols: Iterable[str] | str | None = None, *, output: Output = "pandas") -> Any: ...
    async def aliases(self, symbols: Iterable[str] | str | None = None, *, output: Output = "pandas") -> Any: ...
    async def halts(self, symbols: Iterable[str] | str | None = None, *, output: Output = "pandas") -> Any: ...
    async def get_multi_timeframe_data(
        self,
        symbol: str,
        timeframes: Iterable[str],
        timestamp: Moment | None = None,
        limit: int | None = 100,
        *,
        columns: Iterable[str] = ...,
        output: Output = "pandas",
    ) -> Mapping[str, Any]: ...
    @overload
    async def get_inference_data(
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
    async def get_inference_data(
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
    async def asof_join(
        self,
        left: Table,
        symbols: str | Iterable[str] | None = None,
        *,
        on: str = "ts",
        by: str | None = None,
        tolerance: timedelta | None = None,
        columns: Iterable[str] = ...,
        timeframe: str = "1m",
        prefix: str = "",
        knowledge: str = "as_published",
        latency: timedelta = ...,
    ) -> Table: ...
    async def latest(
        self,
        symbols: Iterable[str] | str,
        timeframe: str = "1d",
        *,
        as_of: Moment | None = None,
        columns: Iterable[str] = ...,
        output: Output = "pandas",
    ) -> Any: ...
    async def plot(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        indicators: Iterable[str] = ...,
        as_of: Moment | None = None,
        session: Hours = "all",
        max_bars: int = ...,
    ) -> Chart: ...
    async def lineage(
        self, symbol: str, ts: Moment, timeframe: str = "1d", *, as_of: Moment | None = None
    ) -> Lineage: ...
    async def findings(
        self,
        symbols: Iterable[str] | str | None = None,
        timeframe: str | None = None,
        *,
        rule: str | None = None,
        state: str | None = "current",
        output: Output = "pandas",
    ) -> Any: ...
    async def revisions(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        output: Output = "pandas",
    ) -> Any: ...
    async def quarantine(
        self, symbols: Iterable[str] | str | None = None, *, everything: bool = False, output: Output = "pandas"
    ) -> Any: ...
    async def rejected_rows(self, quarantine_id: int, *, output: Output = "pandas") -> Any: ...
    async def version(
        self,
        symbols: Iterable[str] | str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        session: Hours = "all",
        anchor: Anchor = "utc",
    ) -> Version: ...
