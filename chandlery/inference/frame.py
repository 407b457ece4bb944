"""What a model sees of a symbol at a moment. Not here: what was known then (``known``), and reading (``api``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from chandlery.core.text import counted
from chandlery.errors import UsageError
from chandlery.inference.known import Knowledge
from chandlery.reading.formats import convert


class Tables(Mapping[str, Any]):
    """Tables by name, each of which becomes what ``output`` says when it is first looked at."""

    def __init__(self, tables: Mapping[str, pa.Table], output: str) -> None:
        self.arrow = dict(tables)
        self._output = output
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - by ``output``
        if name not in self._made:
            if name not in self.arrow:
                raise KeyError(f"{name!r} is not among {' '.join(self.arrow)}")
            self._made[name] = convert(self.arrow[name], self._output, index="ts")
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrow)

    def __len__(self) -> int:
        return len(self.arrow)

    def __repr__(self) -> str:
        counts = [f"{name}: {counted(table.num_rows, 'row')}" for name, table in self.arrow.items()]
        return f"<{', '.join(counts)}>"


@dataclass(frozen=True, slots=True, eq=False)
class InferenceDataFrame:
    """What was known of a symbol at a moment, and nothing else. All times are UTC.

    Attributes:
        symbol: as it was requested.
        timestamp: the moment.
        knowledge: ``as_learned``: every bar had ended, and had been learned here, by then. ``as_published``: it had
            ended, and ``latency`` had passed; when it was learned here does not count.
        latency: of ``as_published``.
        bars: by timeframe, oldest first, as pandas frames indexed by ``ts``, or as requested.
        indicators: by timeframe, a row for each bar of ``bars``.
        available_at: since when each part is known: ``bars.1h``, ``indicators.1h``, ``context``; None where it is
            empty.
        data_source: where the bars of each timeframe were: ``store``, ``lake and store``, ...; of several symbols, of
            all together.
        query_latency_ms: how long all took; of several symbols, of all together.
        price: the close of the bar that ended last; None where nothing was known.
        parts: ``context``, and ``after`` where it was requested; see the properties of these names.
        book: the order book; None, because there are no books yet.
        trades: None, because there are no trades yet.
        imbalances: None, because there are none yet.
    """

    symbol: str
    timestamp: datetime
    knowledge: Knowledge
    latency: timedelta
    bars: Tables
    indicators: Tables
    available_at: Mapping[str, datetime | None]
    data_source: Mapping[str, str]
    query_latency_ms: float
    price: float | None
    parts: Tables = field(repr=False)
    book: None = None
    trades: None = None
    imbalances: None = None

    @property
    def context(self) -> Any:  # noqa: ANN401 - by the output that was requested
        """The minutes of the context window, up to ``timestamp``."""
        return self.parts["context"]

    @property
    def after(self) -> Any:  # noqa: ANN401 - by the output that was requested
        """The minutes that ended after ``timestamp``, as they are known today; None unless they were requested."""
        return self.parts.get("after")

    def get_latest_price(self) -> float:
        """Return ``price``.

        Raises:
            UsageError: nothing was known of the symbol at ``timestamp``.
        """
        if self.price is not None:
            return self.price
        raise UsageError(f"nothing was known of {self.symbol} at {self.timestamp.isoformat()}: there is no price")
