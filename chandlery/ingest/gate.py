"""What the gate is asked and what it answers, as plain data.

The gate itself lives in ``expectations`` and is handed in by the caller, so that a notebook can import this library
without the auditor. Not here: any rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.core.schema import BARS

Severity: TypeAlias = Literal["critical", "warning"]

#: A rejected row: a bar and why. ``reasons`` is empty for a row that is only in bad company.
REJECTED = BARS.append(pa.field("reasons", pa.list_(pa.string())))


@dataclass(frozen=True, slots=True)
class Check:
    """One rule's outcome for one partition.

    Attributes:
        name: the rule, in snake case: ``low_is_lowest``.
        severity: a failed ``critical`` check of the batch rejects the partition; of a row, that row.
        passed: whether it held for every row (or for the batch).
        failed_rows: how many rows broke it; 0 for a rule about the batch.
        detail: what was seen and what was expected, for a person.
    """

    name: str
    severity: Severity
    passed: bool
    failed_rows: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer for one partition.

    Attributes:
        partition: what was judged.
        passed: whether its good rows may be published.
        rows: rows that were offered.
        checks: every rule, in a fixed order.
        rejected: table of schema ``REJECTED``: the bad rows where ``passed``, otherwise the whole batch.
    """

    partition: Partition
    passed: bool
    rows: int
    checks: Sequence[Check]
    rejected: pa.Table

    @property
    def reason(self) -> str:
        """Why rows (or all of them) were rejected, in one line; empty where none was."""
        return "; ".join(
            f"{check.name}: {check.detail or f'{check.failed_rows} rows'}"
            for check in self.checks
            if not check.passed and check.severity == "critical"
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The gate's answer for a batch.

    Attributes:
        verdicts: one per partition asked about, in that order.
        accepted: table of schema ``BARS``: the good rows of the partitions that passed, sorted by (symbol, ts).
    """

    verdicts: Sequence[Verdict]
    accepted: pa.Table = field(repr=False)


class Gate(Protocol):
    """Judges a batch before it is published."""

    def audit(self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime) -> AuditReport:
        """Judge ``bars`` (schema ``BARS``, any order, possibly impossible rows) against ``partitions``.

        Args:
            bars: what a provider answered for exactly these partitions.
            partitions: of one timeframe.
            now: the present, UTC; a bar that starts later is from the future.
        """
        ...
