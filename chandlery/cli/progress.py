"""Hears what a run does: keeps the tally and shows how far it is. Not here: what is said at the end (``ingest``)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from chandlery.core.timeframe import Timeframe
from chandlery.ingest import fetch as fetching
from chandlery.ingest.validate import PartitionResult
from chandlery.rollups.refresh import Derived

_SECONDS_BETWEEN_LINES = 2.0


@dataclass
class Count:
    """What became of the rows of one symbol."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    quarantined: int = 0

    def add(self, other: PartitionResult | Count) -> None:
        """Add another's numbers."""
        self.inserted += other.inserted
        self.revised += other.revised
        self.unchanged += other.unchanged
        self.quarantined += other.quarantined

    def __str__(self) -> str:
        """Return ``inserted=3270 revised=0 unchanged=0 quarantined=0``."""
        return (
            f"inserted={self.inserted} revised={self.revised} unchanged={self.unchanged} quarantined={self.quarantined}"
        )


@dataclass
class Tally:
    """What a run did so far.

    Attributes:
        planned: partitions that are to be ingested.
        outcomes: of each partition heard of.
        rolled_up: derived bars that were inserted or revised, by timeframe.
        calls: calls made to the provider; None where it does not count them.
    """

    planned: int = 0
    outcomes: list[PartitionResult] = field(default_factory=list)
    rolled_up: dict[Timeframe, int] = field(default_factory=lambda: defaultdict(int))
    calls: int | None = None

    def add(self, other: Tally) -> None:
        """Add what another run did."""
        self.planned += other.planned
        self.outcomes += other.outcomes
        for timeframe, bars in other.rolled_up.items():
            self.rolled_up[timeframe] += bars

    def of(self, symbol: str) -> Count:
        """Return the sum over the partitions of ``symbol``."""
        count = Count()
        for outcome in self.outcomes:
            if outcome.partition.symbol == symbol:
                count.add(outcome)
        return count

    def total(self) -> Count:
        """Return the sum over all partitions."""
        count = Count()
        for outcome in self.outcomes:
            count.add(outcome)
        return count

    @property
    def failed(self) -> Sequence[PartitionResult]:
        """Partitions that the provider did not deliver."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    @property
    def empty(self) -> Sequence[PartitionResult]:
        """Partitions of which a remote provider has nothing."""
        return [outcome for outcome in self.outcomes if outcome.status == "empty"]

    @property
    def rejected(self) -> Sequence[PartitionResult]:
        """Partitions of which something went into quarantine, or that were refused without a row to put there."""
        return [outcome for outcome in self.outcomes if outcome.status == "rejected" or outcome.quarantined]

    @property
    def rows(self) -> int:
        """Rows that providers delivered."""
        total = self.total()
        return total.inserted + total.revised + total.unchanged + total.quarantined


class TallyListener:
    """Keeps the tally, silently."""

    def __init__(self) -> None:
        self.tally = Tally()

    def planned(self, partitions: int) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.planned += partitions

    def fetched(self, progress: fetching.Progress) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.calls = progress.calls

    def ingested(self, outcome: PartitionResult) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.outcomes.append(outcome)

    def derived(self, derived: Derived) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.rolled_up[derived.timeframe] += derived.report.inserted + derived.report.revised


class LineListener(TallyListener):
    """Keeps the tally and prints a line every few seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._begun = self._said = time.monotonic()
        self._rows = 0
        self._asked: fetching.Progress | None = None

    def planned(self, partitions: int) -> None:
        """See ``orchestrator.Listener``."""
        if not self.tally.planned:  # getting ready is not part of the speed
            self._begun = time.monotonic()
        super().planned(partitions)

    def fetched(self, progress: fetching.Progress) -> None:
        """See ``orchestrator.Listener``."""
        super().fetched(progress)
        self._asked = progress
        self._say()

    def ingested(self, outcome: PartitionResult) -> None:
        """See ``orchestrator.Listener``."""
        super().ingested(outcome)
        self._rows += _rows_of(outcome)
        self._say()

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            done, elapsed = len(self.tally.outcomes), now - self._begun
            # What was complete before took no time: where a provider is asked, its answers tell how long it takes.
            begun, planned = (self._asked.answered, self._asked.planned) if self._asked else (done, self.tally.planned)
            left = f"about {elapsed / begun * max(0, planned - begun):.0f} s left" if begun else "no estimate yet"
            calls = f", {fetching.describe_calls(self._asked)}" if self._asked else ""
            self._console.print(
                f"{done}/{self.tally.planned} partitions, {self._rows / elapsed:,.0f} rows/s, {elapsed:.0f} s elapsed,"
                f" {left}{calls}",
                highlight=False,
                soft_wrap=True,
            )


class BarListener(TallyListener):
    """Keeps the tally and moves a progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self._progress = progress
        self._task = task
        self._begun: float | None = None
        self._rows = 0

    def planned(self, partitions: int) -> None:
        """See ``orchestrator.Listener``."""
        super().planned(partitions)
        self._begun = self._begun or time.monotonic()
        self._progress.update(self._task, total=self.tally.planned, doing="ingesting")

    def ingested(self, outcome: PartitionResult) -> None:
        """See ``orchestrator.Listener``."""
        super().ingested(outcome)
        self._rows += _rows_of(outcome)
        elapsed = time.monotonic() - self._begun if self._begun else 0.0
        speed = f"{self._rows / elapsed:,.0f} rows/s" if elapsed else ""
        self._progress.update(self._task, advance=1, speed=speed)

    def fetched(self, progress: fetching.Progress) -> None:
        """See ``orchestrator.Listener``."""
        super().fetched(progress)
        self._progress.update(self._task, doing=f"ingesting ({fetching.describe_calls(progress)})")

    def derived(self, derived: Derived) -> None:
        """See ``orchestrator.Listener``."""
        super().derived(derived)
        self._progress.update(self._task, doing=f"rolling up {derived.timeframe.value}")


@contextmanager
def show_progress(console: Console) -> Iterator[TallyListener]:
    """Lend a listener that shows what it hears: a bar on a terminal, lines otherwise."""
    if not console.is_terminal:
        yield LineListener(console)
        return
    columns = (
        TextColumn("{task.fields[doing]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarListener(progress, progress.add_task("ingest", total=None, doing="starting", speed=""))


def _rows_of(outcome: PartitionResult) -> int:
    return outcome.inserted + outcome.revised + outcome.unchanged + outcome.quarantined
