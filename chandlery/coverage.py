"""What is there of each session.

Intraday sessions are counted in ``ops.coverage`` by the publishing transaction itself; bars of a day are their own
coverage. Not here: why something is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import dict_row

from chandlery.calendars import get_calendar
from chandlery.errors import UsageError
from chandlery.instruments import Instrument
from chandlery.store.queries import query
from chandlery.timeframe import Timeframe

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
        sources: their sources, sorted; of ``1m`` those of each session's first and last bar.
        expected: sessions of the calendar from the first bar's to the last bar's, both inclusive; None where derived.
        present: those of which there is a bar; None where derived.
        slots_expected: minutes in which these sessions are open; None except for ``1m``.
        slots_present: bars within them; None except for ``1m``.
        outside: bars outside every session; None where derived.
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

    @property
    def missing(self) -> int | None:
        """Sessions of which there is no bar; None where derived."""
        return None if self.expected is None or self.present is None else self.expected - self.present


def record_sessions(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instrument_id: npt.NDArray[np.int32],
    ts: npt.NDArray[np.datetime64],
) -> None:
    """Add newly inserted bars to the coverage of their sessions. Part of the publishing transaction.

    Exact because every bar is inserted once, while its instrument is locked. Only ``1m`` is counted: derived bars are
    as complete as their base, and a bar of a day is its own session.
    """
    if timeframe is not Timeframe.M1 or not len(ts):
        return
    rows = connection.execute(
        "SELECT instrument_id, calendar FROM market.instrument WHERE instrument_id = ANY(%s)",
        (np.unique(instrument_id).tolist(),),
    ).fetchall()
    order = np.argsort(instrument_id, kind="stable")
    ids, micros = instrument_id[order], ts[order].astype(np.int64)
    columns: list[list[object]] = [[], [], [], [], [], []]
    for one, name in rows:
        first, last = np.searchsorted(ids, [one, one + 1])
        for row in _count(name, np.sort(micros[first:last])):
            for column, value in zip(columns, (one, *row), strict=True):
                column.append(value)
    connection.execute(_ADD, [timeframe.value, *columns])


def _count(calendar_name: str, ts: npt.NDArray[np.int64]) -> list[tuple[int, int, int, int, int]]:
    """Return (session, present, outside, first, last) for each session that ``ts`` (sorted, µs) touches."""
    calendar = get_calendar(calendar_name)
    session, inside = calendar.session_of(ts)
    starts = np.flatnonzero(np.r_[True, session[1:] != session[:-1]])
    ends = np.r_[starts[1:], len(ts)]
    present = np.add.reduceat(inside.astype(np.int64), starts)
    return list(
        zip(
            calendar.sessions[session[starts]].tolist(),
            present.tolist(),
            (ends - starts - present).tolist(),
            ts[starts].tolist(),
            ts[ends - 1].tolist(),
            strict=True,
        )
    )


def summarize(
    connection: psycopg.Connection,
    instruments: Iterable[Instrument],
    timeframes: Iterable[Timeframe] = tuple(Timeframe),
) -> list[Summary]:
    """Return what is there of each instrument and timeframe that has any bar, in the order given."""
    instruments = list(instruments)
    order = {instrument.instrument_id: place for place, instrument in enumerate(instruments)}
    names = {instrument.instrument_id: instrument.symbol for instrument in instruments}
    found: list[tuple[int, int, Summary]] = []
    for timeframe in timeframes:
        for row in _measure(connection, timeframe, list(names)):
            instrument_id = row.pop("instrument_id")
            row["sources"] = sorted(row["sources"] or ())
            if timeframe is Timeframe.D1:
                row["outside"] = row["rows"] - row["present"]
            summary = Summary(symbol=names[instrument_id], timeframe=timeframe, **row)
            found.append((order[instrument_id], timeframe.rank, summary))
    return [summary for _, _, summary in sorted(found, key=lambda item: item[:2])]


def missing_sessions(
    connection: psycopg.Connection, instrument: Instrument, timeframe: Timeframe
) -> list[tuple[date, date, int]]:
    """Return the sessions of which there is no bar, between the first and the last that have one.

    Returns:
        Runs of consecutive sessions, oldest first: the first session, the last (inclusive), and how many.

    Raises:
        UsageError: ``timeframe`` is derived.
    """
    runs = []
    for present, sessions in groupby(_presence(connection, [instrument], timeframe), key=lambda row: row[2]):
        if not present:
            days = [day for _, day, _ in sessions]
            runs.append((days[0], days[-1], len(days)))
    return runs


def monthly_coverage(
    connection: psycopg.Connection, instruments: Iterable[Instrument], timeframe: Timeframe
) -> pa.Table:
    """Return the share of expected sessions of which there is a bar, by month.

    Returns:
        Table of schema ``MONTHLY``: ``month`` is its first day, ``share`` is 0 to 1; no row for a month before the
        first bar or after the last. Sorted by instrument and month.

    Raises:
        UsageError: ``timeframe`` is derived.
    """
    rows = []
    presence = _presence(connection, list(instruments), timeframe)
    for (symbol, month), days in groupby(presence, key=lambda row: (row[0], row[1].replace(day=1))):
        marks = [present for _, _, present in days]
        rows.append((symbol, month, sum(marks) / len(marks)))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, MONTHLY, strict=True)], MONTHLY)


def _presence(
    connection: psycopg.Connection, instruments: Sequence[Instrument], timeframe: Timeframe
) -> Iterator[tuple[str, date, bool]]:
    """Yield (symbol, session, whether there is a bar of it), by instrument and session."""
    if not timeframe.is_ingested:
        raise UsageError(f"timeframe={timeframe.value!r} is derived and as complete as its base; allowed: 1m 1d")
    statement = query("session_presence").format(
        ids=sql.Literal([instrument.instrument_id for instrument in instruments]),
        timeframe=sql.Literal(timeframe.value),
    )
    yield from connection.execute(statement)


def _measure(connection: psycopg.Connection, timeframe: Timeframe, ids: Sequence[int]) -> list[dict[str, Any]]:
    names = {Timeframe.D1: "coverage_of_days", Timeframe.M1: "coverage_of_minutes"}
    parts: dict[str, sql.Composable] = {"ids": sql.Literal(ids)}
    if timeframe not in names:
        parts["bars"] = sql.Identifier("market", timeframe.table)
    statement = query(names.get(timeframe, "coverage_of_derived")).format(**parts)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement).fetchall()


_ADD = """
INSERT INTO ops.coverage AS c (instrument_id, timeframe, session, present, outside, first_ts, last_ts)
SELECT id, %s, date '1970-01-01' + day, present, outside,
       timestamptz 'epoch' + first * interval '1 microsecond', timestamptz 'epoch' + last * interval '1 microsecond'
FROM unnest(%s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int8[], %s::int8[])
    AS n (id, day, present, outside, first, last)
ON CONFLICT (instrument_id, timeframe, session) DO UPDATE
SET present = c.present + excluded.present, outside = c.outside + excluded.outside,
    first_ts = least(c.first_ts, excluded.first_ts), last_ts = greatest(c.last_ts, excluded.last_ts)
"""
