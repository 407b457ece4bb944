"""What became of one partition that was requested. Not here: how it came to that (``validate``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ChandleryError
from chandlery.ingest.gate import Verdict

Status: TypeAlias = Literal["published", "rejected", "failed", "complete", "empty", "unlisted"]


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What became of one partition.

    Attributes:
        partition: which partition.
        status: ``published``: audited, and its good rows are in the store (there may be none, where none were
            expected); ``rejected``: the gate refused it, and it waits in quarantine; ``failed``: the provider did not
            deliver it, or could not be used at all; ``complete``: all of it was requested before and is final, so that
            a remote provider was not called, and another one has what is stored;
            ``empty``: the provider answered that it has nothing, where there were sessions; ``unlisted``: the
            instrument was not listed at any time of the window, so that nothing was requested.
        inserted: bars that were not there.
        revised: bars whose values changed.
        unchanged: bars that were there already.
        quarantined: rows that wait in quarantine.
        verdict: the gate's; None where ``failed`` or ``complete``.
        error: why; None unless ``failed``.
        released: rows that are published because a person released them.
        warnings: findings of its window that nobody dismissed.
        vanished: bars that a person's files held before and hold no longer, and that stay.
        retracted: such bars that ended, because a person wanted it.
        derived: how many bars of other widths ended with these, because no minute of them is left.
        quarantine_id: number of the entry in quarantine, if any row was rejected.
        sources: sources of the rows that were offered.
        rules: version of the rules by which the gate audited it.
        landed: the provider's answer in the landing zone, a path below its root; None where it was not kept.
        publication_id: number in the log of the publication that changed it; None where it stayed as it was.
        known_at: of that publication, UTC; None where it stayed as it was.
    """

    partition: Partition
    status: Status
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    quarantined: int = 0
    released: int = 0
    warnings: int = 0
    vanished: int = 0
    retracted: int = 0
    derived: Mapping[Timeframe, int] = field(default_factory=dict, hash=False)
    verdict: Verdict | None = field(default=None, repr=False)
    error: ChandleryError | None = None
    quarantine_id: int | None = None
    sources: Sequence[str] = ()
    rules: str | None = None
    landed: str | None = None
    publication_id: int | None = None
    known_at: datetime | None = None

    @property
    def is_believed(self) -> bool:
        """Whether the answer counts: bars of it were published, or there were none."""
        return self.status in {"published", "empty"}


def list_names(names: Sequence[str], shown: int = 5) -> str:
    """Return names for people: all of a few, the first of many and how many more there are."""
    more = len(names) - shown
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:shown])} and {more} more"
