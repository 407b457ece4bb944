"""What is there of each instrument, session by session.

Intraday sessions were counted by the publishing transaction (``store.consequences``); bars of a day are their own
coverage. Not here: why something is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import dict_row

from chandlery.core.timeframe import Timeframe
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


def summarize(
    connection: psycopg.Connection,
    instruments: Iterable[Instrument],
    timeframes: Iterable[Timeframe] = tuple(Timeframe),
) -> list[Summary]:
    """Return what is there of each instrument and timeframe that has any bar, in the order given."""
    instruments = list(instruments)
    order = {instrument.instrument_id: place for place, instrument in enumerate(instruments)}
    names = {instrument.instrument_id: instrument.symbol for instrument in instruments}
    summaries: list[tuple[int, int, Summary]] = []
    for timeframe in timeframes:
        for row in _measure(connection, timeframe, list(names)):
            instrument_id = row.pop("instrument_id")
            row["sources"] = sorted(row["sources"] or ())
            if timeframe is Timeframe.D1:
                row["outside"] = row["rows"] - row["present"]
            summary = Summary(symbol=names[instrument_id], timeframe=timeframe, **row)
            summaries.append((order[instrument_id], timeframe.rank, summary))
    return [summary for _, _, summary in sorted(summaries, key=lambda item: item[:2])]


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
    statement = query(
        "coverage/session_presence",
        ids=[instrument.instrument_id for instrument in instruments],
        timeframe=timeframe.value,
    )
    yield from connection.execute(statement)


def _measure(connection: psycopg.Connection, timeframe: Timeframe, ids: Sequence[int]) -> list[dict[str, Any]]:
    names = {Timeframe.D1: "coverage/coverage_of_days", Timeframe.M1: "coverage/coverage_of_minutes"}
    parts: dict[str, sql.Composable] = {"ids": sql.Literal(ids)}
    if timeframe not in names:
        parts["bars"] = sql.Identifier("market", timeframe.table)
    statement = query(names.get(timeframe, "coverage/coverage_of_derived"), **parts)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement).fetchall()
