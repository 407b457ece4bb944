"""Where a publication comes from, as it is logged: what published, for which run, by which rules, from which answers.

Not here: the log itself (``bookkeeping``), and the way back from a value to its publication (``lineage``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """What published some bars, and what they were made from.

    Attributes:
        kind: ``ingest``, ``roll-up``, or ``release of quarantine`` and the number of the entry.
        run_id: the orchestrator's number of the run; None outside of a run.
        rules: version of the rules by which the gate audited the bars; None where it did not.
        provider: name of the provider that delivered the bars; None of roll-ups.
        requested_at: when the first of the requests was sent, UTC; None where none is known.
        request_start: begin of what was requested, UTC, inclusive.
        request_end: its end, UTC, exclusive.
        files: by symbol, the file that its bars were read from, where the provider reads a person's files.
        landing_ids: numbers of the answers in the landing zone that the bars come from.
        quarantine_ids: numbers of the entries of the quarantine whose rows are among the bars, because a person
            released them.
    """

    kind: str = "ingest"
    run_id: str | None = None
    rules: str | None = None
    provider: str | None = None
    requested_at: datetime | None = None
    request_start: datetime | None = None
    request_end: datetime | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    landing_ids: Sequence[int] = ()
    quarantine_ids: Sequence[int] = ()


#: Of bars of which nothing more is known.
INGEST = Origin()
