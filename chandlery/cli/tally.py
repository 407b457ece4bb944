"""Counts what a run did. Not here: how far it is (``progress``), and what is said at the end (``ingest``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from chandlery.core.timeframe import Timeframe
from chandlery.ingest import fetch as fetching
from chandlery.ingest.result import PartitionResult
from chandlery.rollups.refresh import Derived


@dataclass
class Count:
    """Counts of rows, by what became of them, and of open findings."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    quarantined: int = 0
    warnings: int = 0
    vanished: int = 0
    retracted: int = 0

    def add(self, result: PartitionResult) -> None:
        """Add the rows of one partition."""
        self.inserted += result.inserted
        self.revised += result.revised
        self.unchanged += result.unchanged
        self.quarantined += result.quarantined
        self.warnings += result.warnings
        self.vanished += result.vanished
        self.retracted += result.retracted

    def __str__(self) -> str:
        """Return ``inserted=3270 revised=0 unchanged=0 quarantined=0 warnings=0``, and what vanished, if anything."""
        rare = {"vanished": self.vanished, "retracted": self.retracted}
        return (
            f"inserted={self.inserted} revised={self.revised} unchanged={self.unchanged}"
            f" quarantined={self.quarantined} warnings={self.warnings}"
            + "".join(f" {name}={count}" for name, count in rare.items() if count)
        )


@dataclass
class Tally:
    """What a run did so far.

    Attributes:
        planned: how many partitions are to be ingested.
        outcomes: the result of each partition that was processed.
        rolled_up: how many derived bars were inserted or revised, by timeframe.
        fetched: how far the fetching from each remote provider is, by its name.
    """

    planned: int = 0
    outcomes: list[PartitionResult] = field(default_factory=list)
    rolled_up: dict[Timeframe, int] = field(default_factory=lambda: defaultdict(int))
    fetched: dict[str, fetching.Progress] = field(default_factory=dict)

    @property
    def calls(self) -> int | None:
        """How many calls were made to the providers; None where none of them counts them."""
        return fetching.add_up(self.fetched.values()).calls

    def add(self, tally: Tally) -> None:
        """Add what another run did."""
        self.planned += tally.planned
        self.outcomes += tally.outcomes
        for timeframe, bars in tally.rolled_up.items():
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
        """The partitions that the provider did not deliver."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    @property
    def empty(self) -> Sequence[PartitionResult]:
        """The partitions of which their provider has nothing."""
        return [outcome for outcome in self.outcomes if outcome.status == "empty"]

    @property
    def rejected(self) -> Sequence[PartitionResult]:
        """The partitions of which something went into quarantine, or that were refused without a row to put there."""
        return [outcome for outcome in self.outcomes if outcome.status == "rejected" or outcome.quarantined]

    @property
    def rows(self) -> int:
        """The number of rows that providers delivered."""
        total = self.total()
        return total.inserted + total.revised + total.unchanged + total.quarantined


class TallyListener:
    """Counts what a run does, and shows nothing."""

    def __init__(self) -> None:
        self.tally = Tally()

    def planned(self, partitions: int) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.planned += partitions

    def fetched(self, progress: fetching.Progress) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.fetched[progress.provider] = progress

    def ingested(self, result: PartitionResult) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.outcomes.append(result)
        for timeframe, bars in result.derived.items():
            self.tally.rolled_up[timeframe] += bars

    def derived(self, derived: Derived) -> None:
        """See ``orchestrator.Listener``."""
        self.tally.rolled_up[derived.timeframe] += derived.report.inserted + derived.report.revised
