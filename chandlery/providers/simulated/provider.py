"""Invented bars of any symbol, for demonstrations, benchmarks and tests: endless, and the same every time.

Not here: how they are invented (``world``), and anything that happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from chandlery.config.yaml_document import Section
from chandlery.core.calendars import get_calendar
from chandlery.core.schema import BARS, TS, empty_bars
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import UsageError
from chandlery.providers.base import BarReply, BarRequest, ProviderKind, ProviderLimits, ProviderSetup, source_name
from chandlery.providers.simulated.world import invent_bars

_KIND = "simulated"


class SimulatedOptions(Section):
    """The options of kind ``simulated``.

    Attributes:
        seed: another seed is another world.
    """

    seed: Annotated[int, Field(strict=True, ge=0)] = 7


class SimulatedProvider:
    """Serves ``1m`` and ``1d`` of any symbol, as far as its calendar reaches.

    Args:
        seed: another seed is another world.
        calendars: name of the calendar by symbol. By default ``24/7`` for a symbol with ``/`` or ``-``, else ``XNYS``.
        name: its own name, as configured.

    Attributes:
        name: as above.
        source: of its rows.
    """

    timeframes = frozenset(INGESTED)
    limits = ProviderLimits(endless=True)

    def __init__(self, seed: int = 7, calendars: Mapping[str, str] | None = None, *, name: str = _KIND) -> None:
        self.name = name
        self.source = source_name(_KIND, name)
        self._seed = seed
        self._calendars = dict(calendars or {})

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars that start in ``[start, end)``; no symbol ever fails.

        Raises:
            UsageError: the timeframe is derived, or a calendar is not known.
        """
        if request.timeframe not in self.timeframes:
            allowed = " ".join(INGESTED)
            raise UsageError(f"timeframe={request.timeframe.value!r} is derived, not simulated; allowed: {allowed}")
        symbols = list(dict.fromkeys(request.symbols))
        rows = np.zeros(len(symbols), np.int64)
        parts = []
        for place, symbol in enumerate(symbols):
            calendar = self._calendars.get(symbol, "24/7" if "/" in symbol or "-" in symbol else "XNYS")
            for part in invent_bars(self._seed, symbol, get_calendar(calendar), request):
                parts.append(part)
                rows[place] += len(part["ts"])
        if not rows.sum():
            return BarReply(empty_bars())
        # Built as the schema wants it: conform() would copy every column once more, a fifth of the time taken.
        columns = {name: pa.array(np.concatenate([part[name] for part in parts])) for name in parts[0]}
        codes = np.repeat(np.arange(len(symbols), dtype=np.int32), rows)
        columns["symbol"] = pa.DictionaryArray.from_arrays(codes, pa.array(symbols, pa.string()))
        columns["source"] = pa.DictionaryArray.from_arrays(np.zeros_like(codes), pa.array([self.source]))
        columns["ts"] = columns["ts"].view(TS)
        return BarReply(pa.table([columns[name] for name in BARS.names], schema=BARS))

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:  # noqa: ARG002
        """Return None: there is always more."""
        return None


def _make(setup: ProviderSetup[SimulatedOptions]) -> SimulatedProvider:
    return SimulatedProvider(setup.options.seed, setup.calendars, name=setup.name)


KIND = ProviderKind(
    name=_KIND,
    factory=_make,
    options=SimulatedOptions,
    run_options=frozenset(SimulatedOptions.model_fields),
    limits=SimulatedProvider.limits,
    static=True,
)
