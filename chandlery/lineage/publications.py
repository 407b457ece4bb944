"""From a bar's ``known_at`` back to the publication that made its values known, and to what that was made from.

Not here: the log of publications (``bars.bookkeeping`` writes it).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from chandlery.database.named_queries import query
from chandlery.lineage.place import Place
from chandlery.lineage.rejections import RejectedBar, find_answers
from chandlery.lineage.steps import Answer, Publication, Rejection


@dataclass(frozen=True, slots=True)
class LoggedPublication:
    """A row of ``ops.publication``; see there."""

    publication_id: int
    known_at: datetime
    kind: str
    recorded: bool
    run_id: str | None
    rules: str | None
    provider: str | None
    requested_at: datetime | None
    request_start: datetime | None
    request_end: datetime | None
    file: str | None
    calendars: Sequence[str]
    landing_ids: Sequence[int]
    quarantine_ids: Sequence[int]


def find_publications(
    connection: psycopg.Connection, place: Place, known: Collection[datetime], last: datetime | None = None
) -> dict[datetime, LoggedPublication]:
    """Return the publications that made bars known at these times, by time; those that the log has.

    Args:
        connection: to the market database.
        place: the bar, or the first of several.
        known: when the bars were learned, UTC.
        last: start of the last of several, UTC, inclusive.
    """
    values = {
        "timeframe": place.timeframe.value,
        "instrument_id": place.instrument.instrument_id,
        "symbol": place.instrument.symbol,
        "known": list(known),
        "first": place.ts,
        "last": last or place.ts,
    }
    with connection.cursor(row_factory=class_row(LoggedPublication)) as cursor:
        return {row.known_at: row for row in cursor.execute(query("lineage/find_publications"), values)}


def describe_publication(
    connection: psycopg.Connection,
    place: Place,
    logged: LoggedPublication,
    rejected: Sequence[RejectedBar],
    bar: Mapping[str, float | int | None],
    *,
    as_of: datetime | None = None,
) -> Publication:
    """Return what the log knows of a publication that made ``bar`` known.

    Args:
        connection: to the market database.
        place: which bar.
        logged: the publication.
        rejected: the bars of ``place`` that the gate ever rejected.
        bar: its values.
        as_of: see ``find_answers``.
    """
    return Publication(
        logged.publication_id,
        logged.known_at,
        logged.kind,
        logged.recorded,
        run_id=logged.run_id,
        rules=logged.rules,
        calendar=_calendar(place, logged.calendars),
        answer=_answer(connection, place, logged, as_of),
        release=_release(logged, rejected, bar),
    )


def _answer(
    connection: psycopg.Connection, place: Place, logged: LoggedPublication, as_of: datetime | None
) -> Answer | None:
    """Return the answer that a bar came with: of those that landed the one for its time, else what was requested."""
    if logged.landing_ids:
        answers = find_answers(connection, place, logged.landing_ids, as_of)
        if answers:
            return answers[0]
    if not (logged.provider and logged.requested_at and logged.request_start and logged.request_end):
        return None
    return Answer(logged.provider, logged.requested_at, logged.request_start, logged.request_end, file=logged.file)


def _release(
    logged: LoggedPublication, rejected: Sequence[RejectedBar], bar: Mapping[str, float | int | None]
) -> Rejection | None:
    """Return the rejection of these very values that a person had undone when they were published."""
    for each in rejected:
        if each.rejection.quarantine_id in logged.quarantine_ids and each.has(bar):
            return each.rejection
    return None


def _calendar(place: Place, labels: Sequence[str]) -> str | None:
    """Return the label of the instrument's calendar; of the only one there is, where it has another by now."""
    of_instrument = [label for label in labels if label.startswith(f"{place.instrument.calendar} ")]
    candidates = of_instrument or labels
    return candidates[0] if len(candidates) == 1 else None
