"""The gate: audits a batch of bars before it is published (``chandlery.ingest.gate.Gate``).

The way through: ``layout`` assigns rows to partitions, ``evidence`` measures rows, ``suites`` checks them, ``measures``
sums up the partitions, ``suites`` checks those, and the report is put together here.
Not here: what becomes of a verdict (publishing, quarantine).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from chandlery.core.calendars import Int64s
from chandlery.core.moments import parse_moment
from chandlery.core.partition import Partition
from chandlery.core.schema import empty_bars
from chandlery.ingest.gate import REJECTED, AuditReport, Check, Verdict
from expectations.copies import drop_copies
from expectations.evidence import row_evidence
from expectations.layout import Bools, Layout, lay_out
from expectations.limits import GateLimits
from expectations.measures import Flaws, Measures, measure
from expectations.rules import ROW_RULES, batch_rules, rules_version
from expectations.suites import Suites

_NAMED = 3


class BarGate:
    """Audits bars with Great Expectations: each row, then each partition.

    A bad row is rejected alone while its partition has few of them, by share or by number; a partition that breaks
    a critical rule is rejected whole. A bar of a day without a session waits alone and is not counted, because the
    calendar may be wrong. Of identical copies one is kept. Warnings reject nothing.

    Args:
        limits: the numbers in the rules.
    """

    def __init__(self, limits: GateLimits = GateLimits()) -> None:  # noqa: B008 - frozen
        self._limits = limits
        self._suites = Suites(limits)
        self._version = rules_version(limits)

    def audit(self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime) -> AuditReport:
        """Audit ``bars`` against ``partitions``.

        Args:
            bars: schema ``BARS``, any order, possibly impossible rows.
            partitions: what was requested: of one timeframe, not overlapping, ranges half-open in UTC.
            now: the present, with a time zone; a bar that starts later is from the future.

        Returns:
            A verdict for each partition, in the order given, and the accepted rows sorted by (symbol, ts). Every row
            is accepted, or in exactly one verdict's ``rejected``, or an identical copy of another. A row outside all
            ranges of its symbol is rejected with the nearest partition of that symbol.

        Raises:
            UsageError: a row is of a symbol that was not requested, or has no symbol, ts or source; the partitions are
                of several timeframes or overlap; a calendar is not known; ``now`` has no time zone.
            GateError: a rule could not be checked.
        """
        now = parse_moment(now, name="now")
        layout, copies = drop_copies(lay_out(bars, partitions))
        if not partitions:
            return AuditReport((), empty_bars(), self._version)
        broken = self._check_rows(layout, now)
        flaws = _flaws(layout, broken)
        measures = measure(layout, flaws, copies, now, self._limits)
        intraday = partitions[0].timeframe.is_intraday
        failed = self._suites.find_partitions(measures.evidence, intraday=intraday)
        checks = self._checks(layout, broken, measures, failed)
        critical = [rule.name for rule in batch_rules(self._limits, intraday=intraday) if rule.severity == "critical"]
        refused = np.zeros(len(partitions), dtype=np.bool_)
        for name in critical:
            refused[failed[name]] = True
        report = _report(layout, broken, flaws.bad, refused, checks)
        verdicts = [
            replace(verdict, rows=verdict.rows + len(ts), copies=len(ts)) if len(ts) else verdict
            for verdict, ts in zip(report.verdicts, copies, strict=True)
        ]
        return replace(report, verdicts=verdicts, rules=self._version)

    def _check_rows(self, layout: Layout, now: datetime) -> dict[str, Int64s]:
        """Return the rows that break each rule, for the rules that any row breaks."""
        if not len(layout.ts):
            return {}
        evidence = row_evidence(layout, now)
        rules = self._suites.screen_rows(evidence)
        return self._suites.find_rows(rules, evidence) if rules else {}

    def _checks(
        self, layout: Layout, broken: Mapping[str, Int64s], measures: Measures, failed: Mapping[str, Int64s]
    ) -> list[list[Check]]:
        """Return every rule's outcome for each partition."""
        checks: list[list[Check]] = [[] for _ in layout.partitions]
        for rule in ROW_RULES:
            passed = Check(rule.name, rule.severity, passed=True)
            counts = layout.count(broken[rule.name]) if rule.name in broken else np.zeros(len(checks), dtype=np.int64)
            for position, (of_partition, count) in enumerate(zip(checks, counts.tolist(), strict=True)):
                if count:
                    detail = _examples(layout, broken[rule.name], position, count)
                    if rule.name == "while_listed":
                        detail += _listing(layout.partitions[position])
                    of_partition.append(Check(rule.name, rule.severity, passed=False, failed_rows=count, detail=detail))
                else:
                    of_partition.append(passed)
        for rule in batch_rules(self._limits, intraday=layout.partitions[0].timeframe.is_intraday):
            broken_by = set(failed[rule.name].tolist())
            seen = measures.seen[rule.name]
            for position, (of_partition, each) in enumerate(zip(checks, seen, strict=True)):
                held = position not in broken_by
                spans = () if held else each.spans
                of_partition.append(Check(rule.name, rule.severity, held, detail=each.detail, spans=spans))
        return checks


def _flaws(layout: Layout, broken: Mapping[str, Int64s]) -> Flaws:
    """Sort the rows that break a rule by what that means for their partition."""
    nothing = np.empty(0, dtype=np.int64)
    bad, otherwise = (np.zeros(len(layout.ts), dtype=np.bool_) for _ in range(2))
    for name, rows in broken.items():
        bad[rows] = True
        if name != "on_session":
            otherwise[rows] = True
    extra = broken.get("on_session", nothing)
    return Flaws(bad, broken.get("while_listed", nothing), extra[~otherwise[extra]])


def _examples(layout: Layout, rows: Int64s, position: int, count: int) -> str:
    begin = np.searchsorted(rows, layout.first[position])
    moments = layout.ts[rows[begin : begin + min(count, _NAMED)]].astype("datetime64[us]")
    more = ", ..." if count > _NAMED else ""
    return f"{count} rows: " + ", ".join(f"{text}Z" for text in np.datetime_as_string(moments, unit="s")) + more


def _listing(partition: Partition) -> str:
    """Return, for people, outside of which dates a bar is not of this instrument."""
    limits = (("before listing on", partition.listed), ("after delisting on", partition.delisted))
    return "; " + " or ".join(f"{words} {day}" for words, day in limits if day is not None)


def _report(
    layout: Layout, broken: Mapping[str, Int64s], bad: Bools, refused: Bools, checks: Sequence[Sequence[Check]]
) -> AuditReport:
    out = bad.copy()
    for position in np.flatnonzero(refused):
        out[layout.first[position] : layout.stop[position]] = True
    rejected = np.flatnonzero(out)
    table = _with_reasons(layout.table, rejected, broken)
    ends = np.searchsorted(rejected, layout.stop)
    starts = np.searchsorted(rejected, layout.first)
    verdicts = [
        Verdict(partition, not refused[position], int(stop - first), checks[position], table.slice(start, end - start))
        for position, (partition, first, stop, start, end) in enumerate(
            zip(layout.partitions, layout.first, layout.stop, starts, ends, strict=True)
        )
    ]
    return AuditReport(verdicts, layout.table.filter(pa.array(~out)) if len(rejected) else layout.table)


def _with_reasons(table: pa.Table, rows: Int64s, broken: Mapping[str, Int64s]) -> pa.Table:
    """Return ``rows`` of ``table`` in schema ``REJECTED``, each with the names of all rules that it breaks."""
    names = [rule.name for rule in ROW_RULES if rule.name in broken]
    breaks = np.zeros((len(rows), len(names)), dtype=np.bool_)
    for at, name in enumerate(names):
        breaks[np.searchsorted(rows, broken[name]), at] = True
    offsets = np.concatenate(([0], np.cumsum(breaks.sum(axis=1))))
    reasons = pa.array(names, pa.string()).take(pa.array(np.nonzero(breaks)[1]))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), reasons)
    return table.take(rows).append_column("reasons", lists).cast(REJECTED)
