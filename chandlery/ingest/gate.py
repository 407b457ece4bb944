"""The interface of the gate: a batch of bars and its partitions go in, a verdict for each partition comes out.

The gate itself lives in ``expectations`` and is handed in by the caller, so that a notebook can import this library
without Great Expectations. Not here: any rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.core.schema import BARS
from chandlery.core.text import counted

Severity: TypeAlias = Literal["critical", "warning"]

#: A half-open range of time, µs since the epoch, UTC.
Span: TypeAlias = tuple[int, int]

#: A rejected row: a bar and why. ``reasons`` is empty for a good row of a partition that was rejected whole.
REJECTED = BARS.append(pa.field("reasons", pa.list_(pa.string())))

#: A row of which a person decided before, in the entry of the quarantine that is named: whether it was released, or
#: left out where only an entry's good rows were.
DECIDED = BARS.append(pa.field("quarantine_id", pa.int64())).append(pa.field("released", pa.bool_()))

#: A row that comes again, with the rules that it breaks and the entry in which a person decided of it.
DECIDED_AGAIN = REJECTED.append(pa.field("quarantine_id", pa.int64()))


@dataclass(frozen=True, slots=True)
class Check:
    """One rule's outcome for one partition.

    Attributes:
        name: the rule, in snake case: ``low_is_lowest``.
        severity: a failed ``critical`` check of the batch rejects the partition; of a row, that row.
        passed: whether it held for every row (or for the batch).
        failed_rows: how many rows broke it; 0 for a rule about the batch.
        detail: what was seen and what was expected, for a person.
        spans: which times a failed rule about the batch is about; empty where it is about all of it, or passed.
    """

    name: str
    severity: Severity
    passed: bool
    failed_rows: int = 0
    detail: str = ""
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found of one partition.

    Attributes:
        partition: what was audited.
        passed: whether its good rows may be published.
        rows: rows that were offered, identical copies of one included.
        checks: every rule, in a fixed order.
        rejected: table of schema ``REJECTED``: the bad rows where ``passed``, otherwise the whole batch; without those
            of which a person decided before.
        copies: rows that were dropped, because another row equals them in everything.
        released: table of schema ``DECIDED_AGAIN``: what would be rejected, but that a person released before.
        left_out: likewise: bad rows that a person left out of a release. They are not published, and wait no more.
    """

    partition: Partition
    passed: bool
    rows: int
    checks: Sequence[Check]
    rejected: pa.Table
    copies: int = 0
    released: pa.Table = field(default_factory=DECIDED_AGAIN.empty_table)
    left_out: pa.Table = field(default_factory=DECIDED_AGAIN.empty_table)

    @property
    def reason(self) -> str:
        """Why rows (or all of them) were rejected, in one line; empty where none was."""
        return "; ".join(
            f"{check.name}: {check.detail or counted(check.failed_rows, 'row')}"
            for check in self.checks
            if not check.passed and check.severity == "critical"
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the gate found of a batch.

    Attributes:
        verdicts: one for each partition, in the order given.
        accepted: table of schema ``BARS``: the good rows of the partitions that passed, sorted by (symbol, ts).
        rules: version of the rules: another wherever a rule or one of its numbers is another. None where the gate does
            not tell.
    """

    verdicts: Sequence[Verdict]
    accepted: pa.Table = field(repr=False)
    rules: str | None = None


class Gate(Protocol):
    """Audits a batch before it is published."""

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        """Audit ``bars`` (schema ``BARS``, any order, possibly impossible rows) against ``partitions``.

        Args:
            bars: what a provider answered to a request for exactly these partitions.
            partitions: of one timeframe.
            now: the present, UTC; a bar that starts later is from the future.
            decided: rows of which a person decided before, schema ``DECIDED``; the same values are not audited again.
        """
        ...
