"""What the gate noticed of published partitions becomes findings. Not here: the findings themselves (``quality``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import Verdict
from chandlery.ingest.missing_sessions import RULE, still_missing
from chandlery.quality.findings import Audited, Noticed, record_findings

if TYPE_CHECKING:
    from chandlery.ingest.result import PartitionResult


def record_warnings(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    provider: str,
    results: Sequence[PartitionResult],
) -> list[PartitionResult]:
    """Record what the gate noticed of the published partitions, in the transaction that publishes them.

    Returns:
        The results, each with the number of its findings that are open, suspect prints among them.
    """
    audited: list[Audited] = []
    rules: dict[str, None] = {}
    for result in results:
        verdict, partition = result.verdict, result.partition
        if result.status == "published" and verdict is not None and partition.start < partition.end:
            rules |= dict.fromkeys(check.name for check in verdict.checks if check.severity == "warning")
            noticed = _noticed(connection, verdict, provider, result.rules)
            place = partition.instrument_id, partition.window.key
            audited.append(Audited(*place, partition.start, partition.end, noticed))
    counts = record_findings(connection, timeframe, list(rules), audited)
    if not counts:
        return list(results)
    return [
        replace(result, warnings=counts.get((result.partition.instrument_id, result.partition.window.key), 0))
        if result.status == "published"
        else result
        for result in results
    ]


def _noticed(connection: psycopg.Connection, verdict: Verdict, provider: str, rules: str | None) -> Sequence[Noticed]:
    found = [
        Noticed(check.name, check.spans, {"detail": check.detail, "provider": provider, "rules": rules})
        for check in verdict.checks
        if check.severity == "warning" and not check.passed and check.spans
    ]
    # A batch may lack what an earlier one brought.
    left = [still_missing(connection, verdict.partition, each) if each.rule == RULE else each for each in found]
    return [each for each in left if each is not None]
