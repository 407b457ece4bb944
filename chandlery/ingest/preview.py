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
from chandlery.ingest.gate import Gate, Verdict
from chandlery.ingest.plan import partitions_between
from chandlery.ingest.request import PreparedIngest
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import BarRequest, Provider
from chandlery.providers.configured import ConfiguredProviders

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
    """

    instrument: Instrument
    is_new: bool
    account: Account | None
    bars: pa.Table = field(repr=False)
    verdicts: Sequence[Verdict] = ()
    error: ProviderError | None = None


def preview_files(
    prepared: PreparedIngest, providers: ConfiguredProviders, gate: Gate, now: datetime | None = None
) -> Iterator[Preview]:
    """Yield what would come of each instrument of a plan whose provider reads files.

    Args:
        prepared: the plan, of which nothing was registered.
        providers: that are configured.
        gate: that would audit the bars.
        now: the present, UTC; the clock by default.
    """
    now = now or datetime.now(UTC)
    plan = prepared.plan
    by_provider: dict[str, list[Instrument]] = {}
    for instrument in plan.ranges:
        by_provider.setdefault(plan.options.provider or instrument.provider, []).append(instrument)
    for name, instruments in by_provider.items():
        calendars = {instrument.symbol: instrument.calendar for instrument in instruments}
        provider = providers.build(name, options=plan.options.provider_options, calendars=calendars)
        if isinstance(provider, DescribesFiles):
            yield from _preview(prepared, provider, instruments, gate, now)


def _preview(
    prepared: PreparedIngest, provider: Provider, instruments: Sequence[Instrument], gate: Gate, now: datetime
) -> Iterator[Preview]:
    waiting: list[tuple[Instrument, Account, pa.Table]] = []
    for instrument in instruments:
        start, end = prepared.plan.ranges[instrument]
        timeframe = prepared.plan.timeframe
        try:
            assert isinstance(provider, DescribesFiles)  # noqa: S101 - for the type checker
            account = provider.describe(instrument.symbol, timeframe)
        except ProviderError as error:
            yield Preview(instrument, instrument.instrument_id < 0, None, pa.table({}), error=error)
            continue
        bars = provider.fetch(BarRequest([instrument.symbol], timeframe, start, end)).bars
        waiting.append((instrument, account, bars))
        if sum(table.num_rows for *_, table in waiting) > _ROWS:
            yield from _audited(prepared, waiting, gate, now)
            waiting = []
    yield from _audited(prepared, waiting, gate, now)


def _audited(
    prepared: PreparedIngest, waiting: Sequence[tuple[Instrument, Account, pa.Table]], gate: Gate, now: datetime
) -> Iterator[Preview]:
    if not waiting:
        return
    partitions: list[Partition] = []
    for instrument, _, _ in waiting:
        start, end = prepared.plan.ranges[instrument]
        partitions += partitions_between([instrument], prepared.plan.timeframe, start, end)
    report = gate.audit(pa.concat_tables([bars for *_, bars in waiting]).unify_dictionaries(), partitions, now=now)
    verdicts: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        verdicts.setdefault(verdict.partition.symbol, []).append(verdict)
    for instrument, account, bars in waiting:
        yield Preview(instrument, instrument.instrument_id < 0, account, bars, verdicts.get(instrument.symbol, []))
