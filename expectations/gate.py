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
from chandlery.core.text import counted
from chandlery.ingest.gate import DECIDED_AGAIN, REJECTED, AuditReport, Check, Verdict
from expectations.copies import drop_copies
from expectations.decisions import Decisions, find_decisions
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

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        """Audit ``bars`` against ``partitions``.

        Args:
            bars: schema ``BARS``, any order, possibly impossible rows.
            partitions: what was requested: of one timeframe, not overlapping, ranges half-open in UTC.
            now: the present, with a time zone; a bar that starts later is from the future.
            decided: rows of which a person decided before, schema ``DECIDED``. The same values again break no rule and
                do not count: what was released stays so, and what was left out of a release does too.

        Returns:
            A verdict for each partition, in the order given, and the accepted rows sorted by (symbol, ts). Every row
            is accepted, or in exactly one of one verdict's tables, or an identical copy of another. A row outside all
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
        breaks, decisions = self._check_rows(layout, now), find_decisions(layout, decided)
        undecided = {name: rows[decisions.entry[rows] == 0] for name, rows in breaks.items()}
        broken = {name: rows for name, rows in undecided.items() if len(rows)}
        flaws = _flaws(layout, breaks, broken, decisions)
        measures = measure(layout, flaws, copies, now, self._limits)
        intraday = partitions[0].timeframe.is_intraday
        failed = self._suites.find_partitions(measures.evidence, intraday=intraday)
        checks = self._checks(layout, broken, measures, failed)
        critical = [rule.name for rule in batch_rules(self._limits, intraday=intraday) if rule.severity == "critical"]
        refused = np.zeros(len(partitions), dtype=np.bool_)
        for name in critical:
            refused[failed[name]] = True
        report = _report(layout, breaks, decisions, flaws, refused=refused, checks=checks)
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


def _flaws(layout: Layout, breaks: Mapping[str, Int64s], broken: Mapping[str, Int64s], decisions: Decisions) -> Flaws:
    """Sort the rows that break a rule by what that means for their partition; ``broken`` are those not decided of."""
    nothing = np.empty(0, dtype=np.int64)
    bad, otherwise, left_out = (np.zeros(len(layout.ts), dtype=np.bool_) for _ in range(3))
    for rows in breaks.values():
        left_out[rows] = decisions.left_out[rows]
    for name, rows in broken.items():
        bad[rows] = True
        if name != "on_session":
            otherwise[rows] = True
    extra = broken.get("on_session", nothing)
    unlisted = broken.get("while_listed", nothing)
    return Flaws(bad | left_out, unlisted, extra[~otherwise[extra]], np.flatnonzero(left_out))


def _examples(layout: Layout, rows: Int64s, position: int, count: int) -> str:
    begin = np.searchsorted(rows, layout.first[position])
    moments = layout.ts[rows[begin : begin + min(count, _NAMED)]].astype("datetime64[us]")
    more = ", ..." if count > _NAMED else ""
    return (
        f"{counted(count, 'row')}: " + ", ".join(f"{text}Z" for text in np.datetime_as_string(moments, unit="s")) + more
    )


def _listing(partition: Partition) -> str:
    """Return, for people, outside of which dates a bar is not of this instrument."""
    limits = (("before listing on", partition.listed), ("after delisting on", partition.delisted))
    return "; " + " or ".join(f"{words} {day}" for words, day in limits if day is not None)


def _report(
    layout: Layout,
    breaks: Mapping[str, Int64s],
    decisions: Decisions,
    flaws: Flaws,
    *,
    refused: Bools,
    checks: Sequence[Sequence[Check]],
) -> AuditReport:
    left_out = np.zeros(len(layout.ts), dtype=np.bool_)
    left_out[flaws.left_out] = True
    out = flaws.bad & ~left_out
    released = np.zeros(len(layout.ts), dtype=np.bool_)
    for rows in breaks.values():
        released[rows] = True
    for position in np.flatnonzero(refused):
        own = slice(layout.first[position], layout.stop[position])
        out[own], released[own] = ~left_out[own] & ~decisions.released[own], True
    released &= decisions.released
    rejected = _by_partition(layout, np.flatnonzero(out), breaks)
    released_again, left_again = (
        _by_partition(layout, rows := np.flatnonzero(mask), breaks, decisions.entry[rows])
        for mask in (released, left_out)
    )
    verdicts = [
        Verdict(
            partition,
            not refused[position],
            int(layout.stop[position] - layout.first[position]),
            checks[position],
            rejected[position],
            released=released_again[position],
            left_out=left_again[position],
        )
        for position, partition in enumerate(layout.partitions)
    ]
    elsewhere = out | released | left_out
    return AuditReport(verdicts, layout.table.filter(pa.array(~elsewhere)) if elsewhere.any() else layout.table)


def _by_partition(
    layout: Layout, rows: Int64s, breaks: Mapping[str, Int64s], entry: Int64s | None = None
) -> list[pa.Table]:
    """Return those of ``rows`` (ascending positions) that lie in each partition, with the rules that they break.

    They are of schema ``REJECTED`` or, given the ``entry`` of each, ``DECIDED_AGAIN``.
    """
    if not len(rows):
        return [(REJECTED if entry is None else DECIDED_AGAIN).empty_table()] * len(layout.partitions)
    table = _with_reasons(layout.table, rows, breaks)
    if entry is not None:
        table = table.append_column("quarantine_id", pa.array(entry)).cast(DECIDED_AGAIN)
    starts, stops = np.searchsorted(rows, layout.first), np.searchsorted(rows, layout.stop)
    return [table.slice(start, stop - start) for start, stop in zip(starts, stops, strict=True)]


def _with_reasons(table: pa.Table, rows: Int64s, broken: Mapping[str, Int64s]) -> pa.Table:
    """Return ``rows`` of ``table`` in schema ``REJECTED``, each with the names of all rules that it breaks."""
    names = [rule.name for rule in ROW_RULES if rule.name in broken]
    breaks = np.zeros((len(rows), len(names)), dtype=np.bool_)
    for at, name in enumerate(names):
        breaks[:, at] = np.isin(rows, broken[name])
    offsets = np.concatenate(([0], np.cumsum(breaks.sum(axis=1))))
    reasons = pa.array(names, pa.string()).take(pa.array(np.nonzero(breaks)[1]))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), reasons)
    return table.take(rows).append_column("reasons", lists).cast(REJECTED)
