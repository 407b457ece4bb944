"""Which change of each window the orchestrator has on record.

A window is a month (of bars within a day) or a year (of others) of an instrument, of derived bars too. Publishing notes
when it changed, in the same transaction (``bookkeeping``); what the orchestrator has on record is noted here. Not here:
bringing the orchestrator's records in line (``pipelines.reconcile``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A window whose last change the orchestrator is not known to have on record.

    Attributes:
        timeframe: of its bars.
        symbol: canonical symbol of its instrument.
        start: its first day.
        changed_at: ``known_at`` of the publication that changed it last, UTC.
        publication_id: number of that publication; None where it is not known.
        origin: what published it; None where it is not known.
        run_id: the orchestrator's number of the run that published it; None outside of a run.
    """

    timeframe: str
    symbol: str
    start: date
    changed_at: datetime
    publication_id: int | None
    origin: str | None
    run_id: str | None

    @property
    def key(self) -> str:
        """Key of the partition: ``AAPL|2024-01``."""
        return f"{self.symbol}|{Timeframe(self.timeframe).window_of(self.start).key}"


def log_position(connection: psycopg.Connection) -> list[int]:
    """Return numbers that are others as soon as anything was published."""
    row = connection.execute(query("bars/log_position")).fetchone()
    return list(row or ())


def list_unrecorded(
    connection: psycopg.Connection, *, limit: int, unfinished: Collection[str] = ()
) -> list[Unrecorded]:
    """Return windows whose last change the orchestrator is not known to have on record, the oldest change first.

    Args:
        connection: to the database.
        limit: how many at most.
        unfinished: numbers of runs; what they published is left out, because they are about to record it themselves.
    """
    values = {"limit": limit, "unfinished": list(unfinished)}
    with connection.cursor(row_factory=class_row(Unrecorded)) as cursor:
        return cursor.execute(query("bars/unrecorded_windows"), values).fetchall()


def newest_changes(
    connection: psycopg.Connection, timeframe: Timeframe, keys: Collection[str] | None = None
) -> dict[str, datetime]:
    """Return when each window that has bars changed last, UTC, by key of its partition.

    Args:
        connection: to the database.
        timeframe: of the bars.
        keys: of partitions; those without bars are left out. By default, all.
    """
    symbols = None if keys is None else sorted({key.rpartition("|")[0] for key in keys})
    values = {"timeframe": timeframe.value, "symbols": symbols}
    rows = connection.execute(query("bars/newest_changes"), values).fetchall()
    newest = {f"{symbol}|{timeframe.window_of(start).key}": changed_at for symbol, start, changed_at in rows}
    return newest if keys is None else {key: newest[key] for key in keys if key in newest}


def note_recorded(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    recorded: Mapping[str, datetime | None],
    *,
    all_others: bool = False,
) -> None:
    """Note which change of windows the orchestrator has on record.

    Args:
        connection: to the database.
        timeframe: of the windows.
        recorded: the change, UTC, by key of the partition; None where the orchestrator has none that is known.
        all_others: whether it has none of the timeframe's other windows on record.
    """
    keys = [(key.rpartition("|")[0], timeframe.window(key.rpartition("|")[2]).start.date()) for key in recorded]
    values = {
        "timeframe": timeframe.value,
        "symbols": [symbol for symbol, _ in keys],
        "starts": [start for _, start in keys],
        "recorded": list(recorded.values()),
        "all_others": all_others,
    }
    connection.execute(query("bars/note_recorded"), values)
