"""The bars of one time that the gate rejected, whatever became of them.

Not here: the quarantine itself (``ingest.quarantine``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.rows import class_row

from chandlery.core.schema import TS, VALUES
from chandlery.database.named_queries import query
from chandlery.ingest.quarantine import QuarantineEntry
from chandlery.ingest.rejected_rows import read_entry
from chandlery.lineage.place import Place
from chandlery.lineage.steps import Answer, Rejection


@dataclass(frozen=True, slots=True)
class RejectedBar:
    """A rejection, and the values that were rejected: several where the batch had the bar more than once."""

    rejection: Rejection
    values: Sequence[Mapping[str, float | int | None]]

    def has(self, bar: Mapping[str, float | int | None]) -> bool:
        """Return whether these very values were rejected."""
        return any(rejected == bar for rejected in self.values)


def find_rejected(connection: psycopg.Connection, place: Place, as_of: datetime | None = None) -> list[RejectedBar]:
    """Return the bars of ``place`` that the gate rejected, newest first; none of a derived timeframe.

    Args:
        connection: to the market database.
        place: which bar.
        as_of: only what was rejected by then, UTC, and only the releases by then; everything by default.
    """
    if not place.timeframe.is_ingested:
        return []
    values = {
        "instrument_id": place.instrument.instrument_id,
        "timeframe": place.timeframe.value,
        "window": place.timeframe.window_of(place.ts).key,
        "session": place.session,
        "as_of": as_of,
    }
    found = []
    for (quarantine_id,) in connection.execute(query("lineage/find_entries"), values).fetchall():
        entry, rows = read_entry(connection, quarantine_id)
        bars = rows.filter(pc.equal(rows["ts"], pa.scalar(place.ts, TS))).to_pylist()
        if bars:
            broken = sorted({reason for bar in bars for reason in bar["reasons"]})
            rejection = _describe(connection, place, entry, broken, as_of)
            found.append(RejectedBar(rejection, [{name: bar[name] for name in VALUES} for bar in bars]))
    return found


def find_answers(
    connection: psycopg.Connection,
    place: Place,
    landing_ids: Sequence[int] | None = None,
    as_of: datetime | None = None,
) -> list[Answer]:
    """Return the landed answers for ``place``, newest first.

    Args:
        connection: to the market database.
        place: which bar.
        landing_ids: numbers of the answers to look at; all by default.
        as_of: only what was requested by then, UTC, and only the deletions by then; everything by default.
    """
    values = {
        "timeframe": place.timeframe.value,
        "symbol": place.instrument.symbol,
        "ts": place.ts,
        "landing_ids": None if landing_ids is None else list(landing_ids),
        "as_of": as_of,
    }
    with connection.cursor(row_factory=class_row(Answer)) as cursor:
        return cursor.execute(query("lineage/find_answers"), values).fetchall()


def _describe(
    connection: psycopg.Connection, place: Place, entry: QuarantineEntry, broken: Sequence[str], as_of: datetime | None
) -> Rejection:
    answers = [] if entry.landing_id is None else find_answers(connection, place, [entry.landing_id], as_of)
    if not answers and entry.requested_at and entry.request_start and entry.request_end:
        answers = [Answer(entry.provider, entry.requested_at, entry.request_start, entry.request_end, file=entry.file)]
    released = entry.released_at is not None and (as_of is None or entry.released_at <= as_of)
    return Rejection(
        quarantine_id=entry.quarantine_id,
        provider=entry.provider,
        rejected_at=entry.arrived_at.astimezone(UTC),
        broken=broken,
        reason=entry.reason,
        run_id=entry.run_id,
        rules=entry.rules,
        answer=answers[0] if answers else None,
        released_at=entry.released_at if released else None,
        released_by=entry.released_by if released else None,
        release_reason=entry.release_reason if released else None,
        replaced=entry.replaced,
    )
