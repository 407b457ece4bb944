"""What an ingest would do with a person's files: how they are understood, and what the gate says of their bars.

Nothing is registered, stored or quarantined. Not here: how it is shown (``cli.preview``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError
from chandlery.ingest.answer import ProviderAnswer
from chandlery.ingest.decided import read_decided
from chandlery.ingest.gate import Gate, Verdict
from chandlery.ingest.plan import partitions_between
from chandlery.ingest.request import PreparedIngest
from chandlery.ingest.vanished import find_vanished
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import BarRequest, Provider
from chandlery.providers.configured import ConfiguredProviders
from chandlery.tiers.warehouse import Warehouse

#: So many bars are audited at a time, roughly.
_ROWS = 500_000


class Account(Protocol):
    """How a provider reads the files of a symbol.

    Attributes:
        files: which.
        form: their kind: ``text, utf-8, cells divided by ','``.
        columns: what each column was taken for, by its name there.
        first_time: how the first row writes its time.
        tz: zone of the times that carry none, where one was given.
    """

    files: Sequence[Path]
    form: str
    columns: Mapping[str, str]
    first_time: str
    tz: str | None


@runtime_checkable
class DescribesFiles(Protocol):
    """A provider of files, which can say how it reads them."""

    def describe(self, symbol: str, timeframe: Timeframe) -> Account:
        """Return how the files of ``symbol`` are read."""
        ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What would come of the files of one instrument.

    Attributes:
        instrument: registered, or as it would be.
        is_new: whether it would be registered.
        account: how its files are read; None where they cannot be.
        bars: those of the range, as in ``schema.BARS``.
        verdicts: what the gate says, window by window.
        error: why nothing would come of them; None where something would.
        vanished: bars that its files held before and hold no longer.
    """

    instrument: Instrument
    is_new: bool
    account: Account | None
    bars: pa.Table = field(repr=False)
    verdicts: Sequence[Verdict] = ()
    error: ProviderError | None = None
    vanished: int = 0


def preview_files(
    prepared: PreparedIngest,
    providers: ConfiguredProviders,
    gate: Gate,
    warehouse: Warehouse,
    now: datetime | None = None,
) -> Iterator[Preview]:
    """Yield what would come of each instrument of a plan whose provider reads files.

    Args:
        prepared: the plan, of which nothing was registered.
        providers: that are configured.
        gate: that would audit the bars.
        warehouse: where the bars of before are.
        now: the present, UTC; the clock by default.
    """
    now = now or datetime.now(UTC)
    plan = prepared.plan
    by_provider: dict[str, list[Instrument]] = {}
    for instrument in plan.ranges:
        by_provider.setdefault(plan.options.provider or instrument.provider, []).append(instrument)
    for name, instruments in by_provider.items():
        calendars = {instrument.symbol: instrument.calendar for instrument in instruments}
        provider = providers.build(
            name, options=plan.options.provider_options, calendars=calendars, tickers=prepared.tickers
        )
        if isinstance(provider, DescribesFiles):
            yield from _Previewer(prepared, gate, warehouse, now).preview(provider, instruments)


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of one instrument's files, and how many bars of before they hold no longer."""

    instrument: Instrument
    account: Account
    bars: pa.Table
    vanished: int


@dataclass(frozen=True, slots=True)
class _Previewer:
    prepared: PreparedIngest
    gate: Gate
    warehouse: Warehouse
    now: datetime

    def preview(self, provider: Provider, instruments: Sequence[Instrument]) -> Iterator[Preview]:
        """Yield what would come of the files of these instruments, audited many at a time."""
        waiting: list[_Read] = []
        for instrument in instruments:
            try:
                waiting.append(self._read(provider, instrument))
            except ProviderError as error:
                yield Preview(instrument, instrument.instrument_id < 0, None, pa.table({}), error=error)
            if sum(read.bars.num_rows for read in waiting) > _ROWS:
                yield from self._audited(waiting)
                waiting = []
        yield from self._audited(waiting)

    def _read(self, provider: Provider, instrument: Instrument) -> _Read:
        assert isinstance(provider, DescribesFiles)  # noqa: S101 - for the type checker
        timeframe, (start, end) = self.prepared.plan.timeframe, self.prepared.plan.ranges[instrument]
        account = provider.describe(instrument.symbol, timeframe)
        reply = provider.fetch(BarRequest([instrument.symbol], timeframe, start, end))
        partitions = list(partitions_between([instrument], timeframe, start, end))
        answer = ProviderAnswer(partitions, reply.bars, dict(reply.failures), self.now, held=reply.held)
        gone = find_vanished(self.warehouse, timeframe, [answer])
        return _Read(instrument, account, reply.bars, sum(each.bars.num_rows for each in gone.values()))

    def _audited(self, waiting: Sequence[_Read]) -> Iterator[Preview]:
        if not waiting:
            return
        partitions: list[Partition] = []
        for read in waiting:
            start, end = self.prepared.plan.ranges[read.instrument]
            partitions += partitions_between([read.instrument], self.prepared.plan.timeframe, start, end)
        bars = pa.concat_tables([read.bars for read in waiting]).unify_dictionaries()
        verdicts: dict[str, list[Verdict]] = {}
        with self.warehouse.connection() as connection:
            decided = read_decided(connection, self.prepared.plan.timeframe, partitions)
        for verdict in self.gate.audit(bars, partitions, now=self.now, decided=decided).verdicts:
            verdicts.setdefault(verdict.partition.symbol, []).append(verdict)
        for read in waiting:
            each, found = read.instrument, verdicts.get(read.instrument.symbol, [])
            yield Preview(each, each.instrument_id < 0, read.account, read.bars, found, vanished=read.vanished)
