"""What is written together with bars: coverage, the days that became stale, the windows that changed, and the log.

Sessions are counted while they are published, so that coverage never has to count bars. Not here: reading these tables
(``coverage``, ``rollups.stale``), the windows' other states (``window_states``), and what the orchestrator has on
record of them (``recorded_windows``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.bars.merge import Changes
from chandlery.bars.origin import Origin
from chandlery.bars.rows import Batch, pair_keys, split_keys
from chandlery.bars.session_counts import count_sessions
from chandlery.core.calendars import get_calendar
from chandlery.core.periods import Days, Ids
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant, window_starts
from chandlery.database.array_text import array_text
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query

#: What the log takes from ``Origin`` as it is.
_NOTED = ("run_id", "rules", "provider", "requested_at", "request_start", "request_end")
#: A day that could not be rolled up is tried again after this long at first, then twice as long each time ...
FIRST_PAUSE = timedelta(minutes=1)
#: ... and this long at most.
LONGEST_PAUSE = timedelta(hours=1)
#: The variables of ``record_changes`` that hold the columns of ``count_sessions``.
_COVERED = (
    "covered",
    "session",
    "present",
    "outside",
    "first",
    "last",
    "missing_start",
    "missing_slots",
    "hours",
    "widths",
)


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publishing transaction did to the bars of one timeframe.

    Attributes:
        timeframe: of the bars.
        batch: the bars that were offered.
        changes: those that were inserted or revised, and those that ended, which count as revised; there may be none.
        known_at: from when on a read with ``as_of`` sees them, UTC.
        ended: how many of the changes are bars that ended.
    """

    timeframe: Timeframe
    batch: Batch
    changes: Changes
    known_at: datetime
    ended: int = 0

    @property
    def unchanged(self) -> int:
        """How many of the bars that were offered were there with the same values."""
        return len(self.batch) - (len(self.changes) - self.ended)

    @property
    def extent(self) -> tuple[datetime, datetime]:
        """The earliest and the latest start of a bar that was offered or, where none was, that ended."""
        if len(self.batch):
            return self.batch.first, self.batch.last
        first, last = (int(ts.astype(np.int64)) for ts in (self.changes.ts.min(), self.changes.ts.max()))
        return instant(first), instant(last)


def record(
    connection: psycopg.Connection,
    publications: Sequence[Publication],
    *,
    calendars: Mapping[int, str],
    origin: Origin,
) -> psycopg.Cursor:
    """Record what these publications changed: see the module. Part of the publishing transaction.

    Sessions are counted of ``1m`` only: derived bars are as complete as their base, and a bar of a day is its own
    session. Derived bars make no day stale.

    Args:
        connection: in that transaction, which holds the instruments' locks.
        publications: at most one of each timeframe, each with changes.
        calendars: calendar's name by instrument id, for every instrument in their changes.
        origin: what publishes, for the log.

    Returns:
        The cursor whose rows hold timeframe and number of each. (To read them waits for the server.)
    """
    values = _columns(publications)
    values |= {
        "origin": origin.kind,
        "calendars": array_text(sorted(f'"{get_calendar(name).label}"' for name in set(calendars.values()))),
        "files": json.dumps(dict(origin.files)) if origin.files else None,
    }
    values |= {name: getattr(origin, name) for name in _NOTED}
    values |= {name: array_text(getattr(origin, name)) for name in ("landing_ids", "quarantine_ids")}
    stale, touched = [], []
    for place, publication in enumerate(publications, 1):
        timeframe, changes = publication.timeframe, publication.changes
        touched.append((place, changes.instrument_id, window_starts(timeframe, changes.ts)))
        if timeframe.is_ingested:
            stale.append((place, changes.instrument_id, changes.ts.astype("datetime64[D]")))
    values |= _distinct("stale_of", "stale", "day", stale) | _distinct("touched_of", "touched", "start", touched)
    covered = count_sessions(*_new_minutes(publications), calendars)
    return connection.execute(
        query("bars/record_changes"), values | dict(zip(_COVERED, map(Column, covered), strict=True))
    )


def _columns(publications: Sequence[Publication]) -> dict[str, object]:
    """Return the publications' own columns as variables of ``record_changes``."""
    revised = [int(each.changes.revised.sum()) for each in publications]
    touched = [array_text(np.unique(each.changes.instrument_id).tolist()) for each in publications]
    return {
        "timeframes": array_text(each.timeframe.value for each in publications),
        "known_at": array_text(f'"{each.known_at}"' for each in publications),
        "inserted": array_text(len(each.changes) - count for each, count in zip(publications, revised, strict=True)),
        "revised": array_text(revised),
        "unchanged": array_text(each.unchanged for each in publications),
        "first_ts": array_text(f'"{each.extent[0]}"' for each in publications),
        "last_ts": array_text(f'"{each.extent[1]}"' for each in publications),
        "instruments": array_text(len(each.batch.symbols) for each in publications),
        "instrument_ids": array_text(f'"{ids}"' for ids in touched),
    }


def _new_minutes(publications: Sequence[Publication]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return instruments and times (µs since the epoch) of the minutes that were inserted."""
    changes = next((each.changes for each in publications if each.timeframe is Timeframe.M1), Changes.none())
    return changes.instrument_id[~changes.revised], changes.ts[~changes.revised].astype(np.int64)


def measure_missing_runs(connection: psycopg.Connection, sessions: Sequence[tuple[int, date]]) -> None:
    """Measure the longest run of minutes without a bar in each of these sessions, and count their bars anew.

    A session that a publication is changing now is left out: waiting for it, while others are locked, might stop both.

    Args:
        connection: in a transaction.
        sessions: instrument id and session date; they need rows in ``ops.coverage``.
    """
    ids, days = [owner for owner, _ in sessions], [day for _, day in sessions]
    # Two statements, so that the second sees what was there when the rows were locked.
    locked = connection.execute(query("bars/lock_coverage"), {"ids": ids, "sessions": days}).fetchall()
    values = {"ids": [owner for owner, _ in locked], "sessions": [day for _, day in locked]}
    connection.execute(query("bars/measure_missing_runs"), values)


def take_stale_days(
    connection: psycopg.Connection,
    base: Timeframe,
    ids: Sequence[int],
    start: datetime,
    end: datetime,
    *,
    only_due: bool = False,
) -> tuple[Ids, Days]:
    """Take the stale days of these instruments in ``[start, end)``, UTC, off the list.

    Args:
        connection: in the transaction that rolls them up: if that fails, they are stale still.
        base: ``1m`` or ``1d``.
        ids: of the instruments.
        start: inclusive.
        end: exclusive.
        only_due: leave days that failed and wait for another try.

    Returns:
        Parallel arrays: instrument ids and days, sorted.
    """
    values = {
        "base": base.value,
        "ids": Column(np.array(ids, np.int32)),
        "start": start,
        "end": end,
        "only_due": only_due,
    }
    rows = connection.execute(query("bars/take_stale_days"), values).fetchall()
    table = np.array(sorted(rows), np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1].astype("datetime64[D]")


def note_failed_days(  # noqa: PLR0917 - one range, and what became of it
    connection: psycopg.Connection, base: Timeframe, ids: Sequence[int], start: datetime, end: datetime, error: str
) -> None:
    """Note that the stale days of these instruments in ``[start, end)``, UTC, could not be rolled up, and why."""
    values = {
        "base": base.value,
        "ids": list(ids),
        "start": start,
        "end": end,
        "error": error,
        "first_pause": FIRST_PAUSE,
        "longest_pause": LONGEST_PAUSE,
    }
    connection.execute(query("bars/note_failed_days"), values)


def note_stale_days(connection: psycopg.Connection, base: Timeframe, days: Sequence[tuple[int, date]]) -> None:
    """Note that what is derived from these days, (instrument, day), is stale, though no bar of them changed.

    Part of a transaction that holds the instruments' locks.
    """
    values = {"timeframe": base.value, "ids": [owner for owner, _ in days], "days": [day for _, day in days]}
    connection.execute(query("bars/note_stale_days"), values)


def replace_counts(
    connection: psycopg.Connection,
    instrument_id: int,
    first: date,
    last: date,
    counts: Sequence[npt.NDArray[np.generic]],
) -> None:
    """Have the coverage of an instrument's minutes be ``counts``, in the sessions from ``first`` to ``last``.

    Args:
        connection: in a transaction that holds the instrument's lock.
        instrument_id: whose.
        first: first session, inclusive.
        last: last session, inclusive.
        counts: of all of its bars in these sessions, as ``count_sessions`` returns them.
    """
    connection.execute(
        "DELETE FROM ops.coverage WHERE timeframe = '1m' AND instrument_id = %(instrument_id)s"
        " AND session BETWEEN %(first)s AND %(last)s",
        {"instrument_id": instrument_id, "first": first, "last": last},
    )
    connection.execute(query("bars/count_anew"), dict(zip(_COVERED, map(Column, counts), strict=True)))


def forget_missing_runs(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Have the longest missing runs measured again of the sessions of minutes that overlap ``[start, end)``, UTC.

    Sessions whose bars are in the lake keep theirs: nobody can measure them any more.
    """
    values = {"instrument_id": instrument_id, "start": start, "end": end}
    connection.execute(query("bars/forget_missing_runs"), values)


def record_days(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Record the coverage of the days of one instrument in ``[start, end)``, UTC, before their bars leave the store.

    While they are there, the bars of days are their own coverage.
    """
    values = {"instrument_id": instrument_id, "start": start, "end": end}
    connection.execute(query("bars/record_days"), values)


def forget_days(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Undo ``record_days``, because the bars of these days are in the store again."""
    connection.execute(
        "DELETE FROM ops.coverage WHERE timeframe = '1d' AND instrument_id = %(instrument_id)s"
        " AND session >= %(start)s AND session < %(end)s",
        {"instrument_id": instrument_id, "start": start.date(), "end": end.date()},
    )


def _distinct(
    place_name: str,
    id_name: str,
    time_name: str,
    parts: Sequence[tuple[int, npt.NDArray[np.int32], npt.NDArray[np.datetime64]]],
) -> dict[str, Column]:
    """Return the distinct pairs of an id and a time in each part, with its place, as three variables of a statement."""
    keys = [np.unique(pair_keys(ids, times)) for _, ids, times in parts]
    places = [np.full(len(own), place, np.int32) for (place, _, _), own in zip(parts, keys, strict=True)]
    ids, times = split_keys(np.concatenate([*keys, np.empty(0, np.int64)]))
    place = np.concatenate([*places, np.empty(0, np.int32)])
    return {place_name: Column(place), id_name: Column(ids), time_name: Column(times)}
