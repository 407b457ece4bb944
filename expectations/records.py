"""Verdicts as lists of plain records, safe for JSON: what a user interface or a run's metadata shows.

Not here: how they are drawn.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chandlery.ingest.gate import Verdict


def checks_as_records(verdict: Verdict) -> list[dict[str, Any]]:
    """Return one record for each check: rule, severity, passed, failed_rows, detail."""
    return [
        {
            "rule": check.name,
            "severity": check.severity,
            "passed": check.passed,
            "failed_rows": check.failed_rows,
            "detail": check.detail,
        }
        for check in verdict.checks
    ]


def rejected_as_records(verdict: Verdict, limit: int = 20) -> list[dict[str, Any]]:
    """Return the first ``limit`` rejected rows: symbol, ts (ISO 8601, UTC), prices, volume, reasons (joined by ", ").

    A number that JSON cannot write (NaN, infinity) is given as text.
    """
    columns = ["symbol", "ts", "open", "high", "low", "close", "volume", "reasons"]
    rows = verdict.rejected.select(columns).slice(0, limit).to_pylist()
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any cell of the table
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
