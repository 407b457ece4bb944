"""Findings: what the gate or a check noticed and did not reject. They are open until evidence or a person closes them.

Not here: what is noticed (``expectations``), what was rejected (``ingest.quarantine``), and findings as Arrow
(``findings_table``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg.rows import class_row

from chandlery.core.text import shorten
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.errors import UsageError

State: TypeAlias = Literal["open", "confirmed", "dismissed"]
#: What may be asked for: the states, and ``current`` for those that nobody dismissed.
CHOICES = ("current", "open", "confirmed", "dismissed")
#: All rules of the gate and the checks that notice something.
RULES = (
    "identical_copies",
    "extra_sessions",
    "session_count",
    "price_jump",
    "zero_volume_run",
    "suspect_print",
    "vanished_rows",
)
#: Closes findings of which nothing is left.
GATE = "gate"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        finding_id: number by which it is shown and dismissed.
        instrument_id: number of the instrument.
        symbol: its canonical symbol.
        timeframe: of the bars.
        rule: what was noticed: ``price_jump``, ``extra_sessions``, ...
        scope: what it is about: a window (``2024``, ``2024-01``), or the start of a bar.
        start: the first instant that it is about, UTC, inclusive.
        end: the last one, UTC, exclusive.
        span_count: how many separate ranges it is about, between the two.
        evidence: what was seen: ``detail`` in words, ``provider``, ``rules`` (version of the gate's).
        state: ``open``; ``confirmed``: what was noticed is true; ``dismissed``: it is not, or no longer.
        found_at: when it was noticed first, UTC.
        changed_at: when it changed last, UTC.
        closed_at: when it was closed, UTC; None while it is open.
        closed_by: name of the person who closed it, or ``gate`` where later bars did.
        reason: why.
    """

    finding_id: int
    instrument_id: int
    symbol: str
    timeframe: str
    rule: str
    scope: str
    start: datetime
    end: datetime
    span_count: int
    evidence: Mapping[str, Any] = field(hash=False)
    state: State
    found_at: datetime
    changed_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reason: str | None

    @property
    def detail(self) -> str:
        """What was seen, in words."""
        return str(self.evidence.get("detail", ""))


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was noticed by one rule.

    Attributes:
        rule: its name.
        spans: half-open ranges of time that it is about, µs since the epoch, at least one.
        evidence: what was seen, safe for JSON.
    """

    rule: str
    spans: Sequence[tuple[int, int]]
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Audited:
    """What was audited, and what was noticed there.

    Attributes:
        instrument_id: of which instrument.
        scope: which window.
        start: first audited instant, UTC, inclusive.
        end: last one, UTC, exclusive.
        noticed: at most one for each rule.
    """

    instrument_id: int
    scope: str
    start: datetime
    end: datetime
    noticed: Sequence[Noticed]


def record_findings(
    connection: psycopg.Connection, timeframe: Timeframe, rules: Sequence[str], audited: Sequence[Audited]
) -> dict[tuple[int, str], int]:
    """Bring the findings of what was audited to what was noticed there, in the caller's transaction. Idempotent.

    What is no longer noticed in an audited range is dismissed by the gate. What a person closed stays closed, unless it
    is about other times now.

    Args:
        connection: to the market database.
        timeframe: of the bars.
        rules: that were audited.
        audited: at most one for each instrument and window.

    Returns:
        How many findings nobody dismissed, by instrument and window, of those that have any.
    """
    if not audited:
        return {}
    places = {"ids": [each.instrument_id for each in audited], "scopes": [each.scope for each in audited]}
    found = [(each, noticed) for each in audited for noticed in each.noticed]
    connection.execute(
        query("quality/record_findings"),
        {
            **places,
            "timeframe": timeframe.value,
            "rules": list(rules),
            "closed_by": GATE,
            "ranges": [f"[{each.start.isoformat()},{each.end.isoformat()})" for each in audited],
            "found_ids": [each.instrument_id for each, _ in found],
            "found_scopes": [each.scope for each, _ in found],
            "found_rules": [noticed.rule for _, noticed in found],
            "found_spans": [_multirange(noticed.spans) for _, noticed in found],
            "found_evidence": [json.dumps(noticed.evidence) for _, noticed in found],
        },
    )
    return count_current(connection, timeframe, [(each.instrument_id, each.scope) for each in audited])


def count_current(
    connection: psycopg.Connection, timeframe: Timeframe, windows: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], int]:
    """Return how many findings nobody dismissed, by instrument and window, of those of ``windows`` that have any."""
    ids, scopes = [owner for owner, _ in windows], [scope for _, scope in windows]
    values = {"timeframe": timeframe.value, "ids": ids, "scopes": scopes}
    rows = connection.execute(query("quality/count_open"), values)
    return {(instrument_id, scope): count for instrument_id, scope, count in rows}


def list_findings(
    connection: psycopg.Connection,
    *,
    instrument_ids: Sequence[int] | None = None,
    timeframe: Timeframe | None = None,
    rule: str | None = None,
    state: str | None = "current",
) -> list[Finding]:
    """Return findings, by symbol, timeframe and time.

    Args:
        connection: to the market database.
        instrument_ids: only of these; of all by default.
        timeframe: only of bars of this timeframe.
        rule: only what this rule noticed, one of ``RULES``.
        state: only those in this state, one of ``CHOICES``; None for all.

    Raises:
        UsageError: there is no such rule.
    """
    if rule is not None and rule not in RULES:
        raise UsageError(f"rule={shorten(rule)} is not known; {_meant(rule)}allowed: {' '.join(RULES)}")
    values = {
        "ids": None if instrument_ids is None else list(instrument_ids),
        "timeframe": None if timeframe is None else timeframe.value,
        "rule": rule,
        "state": state,
        "finding_id": None,
    }
    return _select(connection, values)


def check_timeframe(timeframe: Timeframe | None) -> None:
    """Refuse a person's question about a derived timeframe.

    Raises:
        UsageError: the timeframe is derived.
    """
    if timeframe is not None and not timeframe.is_ingested:
        raise UsageError(f"timeframe={timeframe.value!r} is derived: nothing is noticed of it; allowed: 1m 1d")


def read_finding(connection: psycopg.Connection, finding_id: int) -> Finding:
    """Return one finding.

    Raises:
        UsageError: there is none of that number.
    """
    values = dict.fromkeys(("ids", "timeframe", "rule", "state")) | {"finding_id": finding_id}
    found = _select(connection, values)
    if not found:
        raise UsageError(f"there is no finding {finding_id}; `chandlery findings list --all` lists them")
    return found[0]


def dismiss(connection: psycopg.Connection, finding_id: int, reason: str, *, by: str) -> Finding:
    """Close a finding because a person says that it is none, and return it.

    Args:
        connection: to the market database.
        finding_id: its number.
        reason: why; not blank.
        by: name of the person.

    Raises:
        UsageError: there is none of that number, it was dismissed already, or the reason is blank.
    """
    if not reason.strip():
        raise UsageError("reason is blank; a finding is dismissed with a reason")
    with connection.transaction():
        done = connection.execute(
            "UPDATE ops.finding SET state = 'dismissed', closed_at = clock_timestamp(), changed_at = clock_timestamp(),"
            " closed_by = %(by)s, reason = %(reason)s WHERE finding_id = %(finding_id)s AND state <> 'dismissed'",
            {"finding_id": finding_id, "reason": reason.strip(), "by": by},
        )
        finding = read_finding(connection, finding_id)
    if not done.rowcount:
        raise UsageError(f"finding {finding_id} was dismissed already, by {finding.closed_by}: {finding.reason}")
    return finding


def count_open(connection: psycopg.Connection) -> int:
    """Return how many findings there are that nobody dismissed."""
    row = connection.execute("SELECT count(*) FROM ops.finding WHERE state <> 'dismissed'").fetchone()
    return int(row[0]) if row else 0


def _select(connection: psycopg.Connection, values: Mapping[str, object]) -> list[Finding]:
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        return cursor.execute(query("quality/list_findings"), values).fetchall()


def _meant(rule: str) -> str:
    alike = get_close_matches(rule, RULES, n=2)
    return f"did you mean {' or '.join(alike)}? " if alike else ""


def _multirange(spans: Sequence[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{_text(start)},{_text(end)})" for start, end in spans) + "}"


def _text(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()
