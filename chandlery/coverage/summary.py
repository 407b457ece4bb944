"""What is there of each instrument, session by session.

Intraday sessions were counted by the publishing transaction (``bars.bookkeeping``); bars of a day are their own
coverage. Not here: why something is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import dict_row

from chandlery.core.timeframe import Timeframe
from chandlery.coverage.freshness import GRACE
from chandlery.coverage.known_range import known_sessions
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument

#: Shape of ``monthly_coverage``.
MONTHLY = pa.schema([("symbol", pa.string()), ("month", pa.date32()), ("share", pa.float64())])


@dataclass(frozen=True, slots=True)
class Summary:
    """What is there of one instrument and timeframe.

    Attributes:
        symbol: canonical symbol.
        timeframe: of the bars.
        rows: number of bars.
        first_ts: start of the first bar, UTC.
        last_ts: start of the last bar, UTC.
        sources: their sources, sorted; of ``1m`` those of each session's first and last bar in the
            store, and of every bar that left it.
        expected: sessions of the calendar from the first that was requested or has a bar to the last that closed by
            now; of a provider whose data never changes, to the last that was requested or has a bar. None where
            derived.
        present: those of which there is a bar; None where derived.
        slots_expected: minutes in which these sessions are open; None except for ``1m``.
        slots_present: bars within them; None except for ``1m``.
        outside: bars outside every session; None where derived.
        stale_since: when the first session closed of which there is nothing, nor of any after it, UTC; None where the
            newest sessions are there, where none come any more, and where derived.
    """

    symbol: str
    timeframe: Timeframe
    rows: int
    first_ts: datetime
    last_ts: datetime
    sources: Sequence[str]
    expected: int | None = None
    present: int | None = None
    slots_expected: int | None = None
    slots_present: int | None = None
    outside: int | None = None
    stale_since: datetime | None = None

    @property
    def missing(self) -> int | None:
        """Sessions of which there is no bar; None where derived."""
        return None if self.expected is None or self.present is None else self.expected - self.present


def summarize(
    connection: psycopg.Connection,
    instruments: Iterable[Instrument],
    timeframes: Iterable[Timeframe] = tuple(Timeframe),
    *,
    static: Collection[str] = (),
    now: datetime | None = None,
) -> list[Summary]:
    """Return what is there of each instrument and timeframe that has any bar, in the order given.

    Args:
        connection: to the database.
        instruments: which.
        timeframes: which.
        static: providers whose data never changes: nothing is expected after what is known of their instruments.
        now: the present, UTC; the clock by default.
    """
    instruments = list(instruments)
    order = {instrument.instrument_id: place for place, instrument in enumerate(instruments)}
    names = {instrument.instrument_id: instrument.symbol for instrument in instruments}
    summaries: list[tuple[int, int, Summary]] = []
    for timeframe in timeframes:
        for row in _measure(connection, timeframe, instruments, static, now):
            instrument_id = row.pop("instrument_id")
            row["sources"] = sorted(row["sources"] or ())
            if timeframe is Timeframe.D1:
                row["outside"] = row["rows"] - row["present"]
            summary = Summary(symbol=names[instrument_id], timeframe=timeframe, **row)
            summaries.append((order[instrument_id], timeframe.rank, summary))
    return [summary for _, _, summary in sorted(summaries, key=lambda item: item[:2])]


def missing_sessions(
    connection: psycopg.Connection,
    instrument: Instrument,
    timeframe: Timeframe,
    *,
    static: Collection[str] = (),
    now: datetime | None = None,
) -> list[tuple[date, date, int]]:
    """Return the sessions of which there is no bar, of those that are expected; see ``summarize``.

    Returns:
        Runs of consecutive sessions, oldest first: the first session, the last (inclusive), and how many.

    Raises:
        UsageError: ``timeframe`` is derived.
    """
    runs = []
    presence = _presence(connection, [instrument], timeframe, static, now)
    for present, sessions in groupby(presence, key=lambda row: row[2]):
        if not present:
            days = [day for _, day, _ in sessions]
            runs.append((days[0], days[-1], len(days)))
    return runs


def monthly_coverage(
    connection: psycopg.Connection,
    instruments: Iterable[Instrument],
    timeframe: Timeframe,
    *,
    static: Collection[str] = (),
    now: datetime | None = None,
) -> pa.Table:
    """Return the share of expected sessions of which there is a bar, by month; see ``summarize``.

    Returns:
        Table of schema ``MONTHLY``: ``month`` is its first day, ``share`` is 0 to 1; no row for a month in which no
        session is expected. Sorted by instrument and month.

    Raises:
        UsageError: ``timeframe`` is derived.
    """
    rows = []
    presence = _presence(connection, list(instruments), timeframe, static, now)
    for (symbol, month), days in groupby(presence, key=lambda row: (row[0], row[1].replace(day=1))):
        marks = [present for _, _, present in days]
        rows.append((symbol, month, sum(marks) / len(marks)))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, MONTHLY, strict=True)], MONTHLY)


def _presence(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    static: Collection[str],
    now: datetime | None,
) -> Iterator[tuple[str, date, bool]]:
    """Yield (symbol, session, whether there is a bar of it), by instrument and session."""
    if not timeframe.is_ingested:
        raise UsageError(f"timeframe={timeframe.value!r} is derived and as complete as its base; allowed: 1m 1d")
    parts = _expected(connection, instruments, timeframe, static, now)
    yield from connection.execute(query("coverage/session_presence", timeframe=timeframe.value, **parts))


def _expected(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    static: Collection[str],
    now: datetime | None,
) -> dict[str, object]:
    """Return the variables of a query about the sessions that are expected: of which instruments, and which."""
    now = now or datetime.now(UTC)
    known = known_sessions(connection, instruments, timeframe, None, static)
    return {
        "ids": list(known),
        "firsts": [first for first, _ in known.values()],
        "lasts": [last for _, last in known.values()],
        "now": now,
        "closed_by": now - GRACE,
    }


def _measure(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instruments: Sequence[Instrument],
    static: Collection[str],
    now: datetime | None,
) -> list[dict[str, Any]]:
    names = {Timeframe.D1: "coverage/coverage_of_days", Timeframe.M1: "coverage/coverage_of_minutes"}
    if timeframe in names:
        parts = _expected(connection, instruments, timeframe, static, now)
        statement = query(names[timeframe], **parts)
    else:
        ids = [instrument.instrument_id for instrument in instruments]
        statement = query("coverage/coverage_of_derived", ids=ids, bars=sql.Identifier("market", timeframe.table))
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement).fetchall()
