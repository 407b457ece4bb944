"""What a person sees of a materialization in the web UI: counts, coverage, the gate's table, a picture of the candles.

Not here: what is computed.
"""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from assets.pictures import candles
from chandlery.core.calendars import get_calendar
from chandlery.core.text import counted, plural
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import Verdict
from chandlery.ingest.result import PartitionResult
from expectations.records import checks_as_records, rejected_as_records

_COMPLETE = "requested before, complete and final: the provider was not called (refresh: true calls it all the same)"
_EMPTY = "the provider has nothing of it; the coverage of the asset shows what is missing"
_ROLLED_UP = "rolled up from minutes, whose gate passed, for days that no provider gave"
_GATE_TABLE = dg.TableSchema(
    columns=[
        dg.TableColumn("rule", "string"),
        dg.TableColumn("passed", "bool"),
        dg.TableColumn("failed_rows", "int"),
        dg.TableColumn("severity", "string"),
        dg.TableColumn("detail", "string"),  # last, because it is long and the page may be narrow
    ]
)


def describe_check(result: PartitionResult) -> str:
    """Return one line for the history of the gate's check: the partition, the rules that rows broke, how many rows."""
    verdict = result.verdict
    if verdict is None:
        outcome = _EMPTY if result.status == "empty" else "final"
        return f"{result.partition.key}: {f'not delivered: {result.error}' if result.error else outcome}"
    if not verdict.rejected.num_rows and verdict.left_out.num_rows:
        were = plural(verdict.left_out.num_rows, "was", "were")
        left_out = f"{verdict.left_out.num_rows:,} of {counted(verdict.rows, 'row')} {were} left out of a release"
        return f"{result.partition.key}: {left_out}; entry {result.quarantine_id} in quarantine"
    if not verdict.rejected.num_rows:
        return f"{result.partition.key}: {counted(verdict.rows, 'row')}, none rejected"
    rejected = f"{verdict.rejected.num_rows:,} of {counted(verdict.rows, 'row')} rejected"
    return f"{result.partition.key}: {rejected} ({verdict.reason}); entry {result.quarantine_id} in quarantine"


def check_metadata(result: PartitionResult) -> dict[str, Any]:
    """Return what the gate's check shows for one partition."""
    verdict = result.verdict
    shown: dict[str, Any] = {"partition": result.partition.key}
    if verdict is None:
        note = _EMPTY if result.status == "empty" else _COMPLETE
        return shown | ({"error": str(result.error)} if result.error else {"note": note})
    shown |= {"rows": verdict.rows, "gate": gate_table(verdict), "rules": _rules(result)}
    if verdict.rejected.num_rows:
        broken = [check.name for check in verdict.checks if not check.passed and check.severity == "critical"]
        shown |= {
            "broken rules": ", ".join(broken),
            "rejected rows": verdict.rejected.num_rows,
            "reason": verdict.reason,
            "rejected": rejected_table(verdict),
            "quarantine": f"entry {result.quarantine_id}: `chandlery quarantine show {result.quarantine_id}`",
        }
    return shown


def ingest_metadata(result: PartitionResult, changed_at: datetime | None) -> dict[str, Any]:
    """Return what a materialization of bars shows: in this order, because that is the order on the page.

    Args:
        result: what became of the partition.
        changed_at: when it had changed last, UTC; None where it has no bars.
    """
    shown: dict[str, Any] = counts(result)
    if result.status == "complete":
        shown = {"note": _COMPLETE}
    if result.verdict is not None:
        coverage = next((check for check in result.verdict.checks if check.name == "session_count"), None)
        shown["coverage"] = (coverage and coverage.detail) or "-"
    if changed_at is not None:
        shown["candles"] = candles(result.partition.timeframe, result.partition.key, changed_at)
    if result.verdict is not None:
        shown |= {"gate": gate_table(result.verdict), **_origin(result)}
    return shown


def counts(result: PartitionResult) -> dict[str, Any]:
    """Return what became of a partition's rows; those in the store now are its row count."""
    rows = result.inserted + result.revised + result.unchanged
    return {
        "inserted": result.inserted,
        "revised": result.revised,
        "unchanged": result.unchanged,
        "quarantined": result.quarantined,
        **({"released by a person": result.released} if result.released else {}),
        "source": ", ".join(result.sources) or "-",
        "dagster/row_count": rows,
        "dagster/partition_row_count": rows,
    }


def _origin(result: PartitionResult) -> dict[str, str]:
    """Return where the bars come from, as `chandlery why` says it of each."""
    number = result.publication_id
    return {
        "publication": f"{number}" if number is not None else "none: nothing of it changed",
        "rules": _rules(result),
        "calendar": get_calendar(result.partition.calendar).label,
        "landed": result.landed or "not kept: the provider is no remote one",
        "origin of a bar": f"`chandlery why {result.partition.symbol} TIME -t {result.partition.timeframe.value}`",
    }


def _rules(result: PartitionResult) -> str:
    return f"version {result.rules}" if result.rules else "-"


def derived_metadata(
    timeframe: Timeframe, key: str, counts: Mapping[str, int], changed_at: datetime | None
) -> dict[str, Any]:
    """Return what a materialization of derived bars shows; of days also that they were not ingested.

    Args:
        timeframe: of the bars.
        key: of the partition.
        counts: how many bars were ``inserted``, and how many ``revised``.
        changed_at: when the partition had changed last, UTC; None where it has no bars.
    """
    shown: dict[str, Any] = {"note": _ROLLED_UP} if timeframe.is_ingested else {}
    shown |= {"inserted": counts.get("inserted", 0), "revised": counts.get("revised", 0)}
    return shown | ({"candles": candles(timeframe, key, changed_at)} if changed_at is not None else {})


def gate_table(verdict: Verdict) -> dg.TableMetadataValue:
    """Return every rule's result as a table."""
    return dg.MetadataValue.table([dg.TableRecord(record) for record in checks_as_records(verdict)], schema=_GATE_TABLE)


def rejected_table(verdict: Verdict) -> dg.TableMetadataValue:
    """Return the first rejected rows, with their reasons, as a table."""
    records = [{name: str(value) for name, value in row.items()} for row in rejected_as_records(verdict)]
    return dg.MetadataValue.table([dg.TableRecord(record) for record in records])


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Return a PNG as Markdown that holds the picture itself."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")
