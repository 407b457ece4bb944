"""Halts of trading: reading them from texts and files, and keeping them in ``market.halt``.

Not here: what a halt explains, and what follows from recording or removing one (``coverage.halts``).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psycopg

from chandlery.core.moments import parse_moment
from chandlery.database.named_queries import query
from chandlery.errors import UsageError

COLUMNS = ("symbol", "start", "end", "reason")
_HOW = "write 2024-01-31T14:30:00Z or 2024-01-31T09:30:00-05:00"


@dataclass(frozen=True, slots=True, order=True)
class Halt:
    """Trading in ``symbol`` was halted in ``[start, end)``, UTC, because of ``reason``."""

    symbol: str
    start: datetime
    end: datetime
    reason: str


def parse_halt(symbol: str, start: str, end: str, reason: str) -> Halt:
    """Return a halt from texts; the times are ISO 8601 with their zone.

    Raises:
        UsageError: names what is wrong, what was given, and what is allowed.
    """
    symbol, reason = symbol.strip(), reason.strip()
    if not symbol:
        raise UsageError("symbol='' is not allowed; name the instrument")
    if not reason:
        raise UsageError("reason='' is not allowed; say why trading was halted, for example the exchange's code")
    first, last = _instant(start, "start"), _instant(end, "end")
    if first >= last:
        raise UsageError(f"start={start} is not before end={end}; a halt is half-open, [start, end)")
    return Halt(symbol, first, last, reason)


def read_halts(path: Path) -> list[Halt]:
    """Return the halts of a CSV file with the columns ``symbol,start,end,reason`` in any order.

    Raises:
        UsageError: there is no such file, or a line is wrong; names the file, the line, and what is allowed.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            given = [name.strip().lower() for name in lines.fieldnames or ()]
            if sorted(given) != sorted(COLUMNS):
                raise UsageError(f"{path}: columns={','.join(given)!r}; allowed: {','.join(COLUMNS)}")
            lines.fieldnames = given
            return _agreeing(path, [(lines.line_num, _parse_line(path, lines.line_num, row)) for row in lines])
    except OSError as error:
        raise UsageError(f"file={str(path)!r} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"file={str(path)!r} is not CSV in UTF-8: {error}") from None


def put_halt(connection: psycopg.Connection, instrument_id: int, halt: Halt) -> Halt | None:
    """Record a halt of an instrument, in place of the one that begins at the same time, if there is any.

    Args:
        connection: in a transaction, which holds the row until it ends.
        instrument_id: of the instrument that the halt's symbol names.
        halt: what to record.

    Returns:
        The halt that was recorded before; None where there was none.
    """
    key = {"instrument_id": instrument_id, "start": halt.start}
    row = connection.execute(
        "SELECT end_ts, reason FROM market.halt WHERE instrument_id = %(instrument_id)s AND start_ts = %(start)s"
        " FOR UPDATE",
        key,
    ).fetchone()
    if row != (halt.end, halt.reason):
        connection.execute(query("instruments/put_halt"), key | {"end": halt.end, "reason": halt.reason})
    return None if row is None else replace(halt, end=row[0], reason=row[1])


def delete_halt(connection: psycopg.Connection, instrument_id: int, start: datetime) -> tuple[datetime, str] | None:
    """Delete the halt that begins at ``start``, UTC; return its end and its reason, or None where there is none."""
    return connection.execute(
        "DELETE FROM market.halt WHERE instrument_id = %(instrument_id)s AND start_ts = %(start)s"
        " RETURNING end_ts, reason",
        {"instrument_id": instrument_id, "start": start},
    ).fetchone()


def list_halts(connection: psycopg.Connection, symbols: Sequence[str] | None = None) -> list[Halt]:
    """Return what is recorded, sorted by symbol and start.

    Args:
        connection: to the database.
        symbols: canonical symbols; all by default.
    """
    rows = connection.execute(query("instruments/list_halts"), {"symbols": None if symbols is None else list(symbols)})
    return [Halt(*row) for row in rows]


def _instant(text: str, name: str) -> datetime:
    text = text.strip()
    if len(text) <= 10:
        raise UsageError(f"{name}={text!r} has no time of day with a zone; {_HOW}")
    return parse_moment(text, name=name)


def _parse_line(path: Path, line: int, row: dict[str, str | None]) -> Halt:
    if None in row or None in row.values():
        raise UsageError(f"{path} line {line}: allowed: {len(COLUMNS)} fields, {','.join(COLUMNS)}")
    try:
        return parse_halt(**{name: row[name] or "" for name in COLUMNS})
    except UsageError as error:
        raise UsageError(f"{path} line {line}: {error}") from None


def _agreeing(path: Path, numbered: Sequence[tuple[int, Halt]]) -> list[Halt]:
    """Return each halt once; two that begin at the same time and differ are refused."""
    by_key: dict[tuple[str, datetime], tuple[int, Halt]] = {}
    for line, halt in numbered:
        first_line, first = by_key.setdefault((halt.symbol, halt.start), (line, halt))
        if first != halt:
            raise UsageError(
                f"{path} line {line}: {halt.symbol} is halted at the same time in line {first_line} already"
            )
    return [halt for _, halt in by_key.values()]
