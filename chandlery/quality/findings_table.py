"""Findings as an Arrow table. Not here: finding them in the database (``findings``), which needs no Arrow."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from chandlery.core.schema import TS
from chandlery.quality.findings import Finding

#: Schema of ``findings_table``: a row for each; ``start`` is inclusive, ``end`` exclusive, ``evidence`` is JSON.
TABLE = pa.schema(
    [
        ("finding", pa.int64()),
        *((name, pa.string()) for name in ("symbol", "timeframe", "rule", "scope")),
        *((name, TS) for name in ("start", "end")),
        ("times", pa.int32()),
        *((name, pa.string()) for name in ("detail", "state")),
        *((name, TS) for name in ("found_at", "changed_at", "closed_at")),
        *((name, pa.string()) for name in ("closed_by", "reason", "evidence")),
    ]
)


def findings_table(found: Sequence[Finding]) -> pa.Table:
    """Return findings as a table of schema ``TABLE``."""
    columns = [[_cell(each, name) for each in found] for name in TABLE.names]
    return pa.table([pa.array(column, each.type) for column, each in zip(columns, TABLE, strict=True)], schema=TABLE)


def _cell(finding: Finding, name: str) -> object:
    if name == "evidence":
        return json.dumps(finding.evidence, default=str)
    return getattr(finding, {"finding": "finding_id", "times": "span_count"}.get(name, name))
