"""Which windows the lake holds, and in which file: to compare with what an orchestrator has on record.

Not here: writing the files (``archive``), and the orchestrator's records (``pipelines.reconcile_archive``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query


@dataclass(frozen=True, slots=True)
class ArchivedPartition:
    """A window that the lake holds.

    Attributes:
        symbol: canonical symbol; "" where the file holds every instrument's.
        start: first day of the window.
        path: of the file that holds it, below the lake's root.
        version: of the file.
        row_count: bars in the file.
        written_at: when the file was entered in the manifest, UTC.
    """

    symbol: str
    start: date
    path: str
    version: int
    row_count: int
    written_at: datetime

    def key(self, timeframe: Timeframe) -> str:
        """Key of the partition: ``AAPL|2024-01`` of minutes, ``2024`` of days."""
        window = timeframe.window_of(self.start).key
        return f"{self.symbol}|{window}" if self.symbol else window


def manifest_position(connection: psycopg.Connection) -> list[int]:
    """Return numbers that are others as soon as a file was entered in the manifest or retired."""
    row = connection.execute(
        "SELECT coalesce(max(manifest_id), 0), count(*), count(retired_at) FROM ops.manifest"
    ).fetchone()
    return list(row or ())


def list_archived(connection: psycopg.Connection, timeframe: Timeframe) -> dict[str, ArchivedPartition]:
    """Return what the lake holds of ``1m`` or ``1d``, by key of the partition."""
    with connection.cursor(row_factory=class_row(ArchivedPartition)) as cursor:
        found = cursor.execute(query("tiers/archived_partitions"), {"timeframe": timeframe.value}).fetchall()
    return {partition.key(timeframe): partition for partition in found}
