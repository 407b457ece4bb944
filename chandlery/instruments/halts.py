"""Halts of trading: recorded by a person or from a file, so that what is missing meanwhile is explained.

Not here: what a halt does to the state of a session (``states``).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from chandlery.core.timeframe import parse_moment
from chandlery.database.named_queries import query
from chandlery.errors import ChandleryError, UsageError
from chandlery.instruments.registry import resolve

COLUMNS = ("symbol", "start", "end", "reason")
_HOW = "write 2024-01-31T14:30:00Z or 2024-01-31T09:30:00-05:00"


@dataclass(frozen=True, slots=True, order=True)
class Halt:
    """Trading in ``symbol`` was halted in ``[start, end)``, UTC, because of ``reason``."""

    symbol: str
    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class HaltReport:
    """What a recording did.

    Attributes:
        added: halts that were not there.
        changed: those that were there with another end or reason.
        unchanged: those that were there as they are.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0


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


def record_halts(connection: psycopg.Connection, halts: Iterable[Halt]) -> HaltReport:
    """Record halts: all of them, or none. Idempotent.

    A halt of the same instrument with the same start is replaced. Symbols may be aliases of the time.

    Raises:
        UnknownSymbolError: a symbol named no instrument then. Nothing was recorded.
    """
    found = {"added": 0, "changed": 0, "unchanged": 0}
    with connection.transaction():
        for halt in halts:
            owner = resolve(connection, halt.symbol, halt.start, halt.end).instrument_id
            row = connection.execute(
                "SELECT end_ts, reason FROM market.halt WHERE instrument_id = %s AND start_ts = %s FOR UPDATE",
                (owner, halt.start),
            ).fetchone()
            if row == (halt.end, halt.reason):
                found["unchanged"] += 1
                continue
            found["added" if row is None else "changed"] += 1
            connection.execute(
                "INSERT INTO market.halt (instrument_id, start_ts, end_ts, reason) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (instrument_id, start_ts)"
                " DO UPDATE SET end_ts = excluded.end_ts, reason = excluded.reason",
                (owner, halt.start, halt.end, halt.reason),
            )
            if row is not None and row[0] > halt.end:
                _forget_holes(connection, owner, halt.start, row[0])
    return HaltReport(**found)


def import_halts(connection: psycopg.Connection, path: Path) -> HaltReport:
    """Record the halts of a file; see ``read_halts`` and ``record_halts``."""
    halts = read_halts(path)
    try:
        return record_halts(connection, halts)
    except ChandleryError as error:
        raise UsageError(f"{path}: {error}; nothing was recorded") from None


def remove_halt(connection: psycopg.Connection, symbol: str, start: datetime) -> Halt:
    """Remove a halt that was recorded by mistake, and return it.

    Raises:
        UsageError: no halt of the symbol begins at ``start``.
    """
    owner = resolve(connection, symbol, start, start + timedelta(days=1))
    with connection.transaction():
        row = connection.execute(
            "DELETE FROM market.halt WHERE instrument_id = %s AND start_ts = %s RETURNING end_ts, reason",
            (owner.instrument_id, start),
        ).fetchone()
        if row is None:
            raise UsageError(f"start={start:%Y-%m-%dT%H:%M:%SZ} begins no halt of {owner.symbol}; see `halts list`")
        _forget_holes(connection, owner.instrument_id, start, row[0])
    return Halt(owner.symbol, start, *row)


def list_halts(connection: psycopg.Connection, symbols: Sequence[str] | None = None) -> list[Halt]:
    """Return what is recorded, sorted by symbol and start.

    Args:
        connection: to the database.
        symbols: canonical symbols; all by default.
    """
    found = connection.execute(
        "SELECT i.symbol, h.start_ts, h.end_ts, h.reason FROM market.halt AS h"
        " JOIN market.instrument AS i USING (instrument_id)"
        " WHERE %(symbols)s::text[] IS NULL OR i.symbol = ANY(%(symbols)s::text[]) ORDER BY i.symbol, h.start_ts",
        {"symbols": None if symbols is None else list(symbols)},
    )
    return [Halt(*row) for row in found]


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


def _agreeing(path: Path, found: Sequence[tuple[int, Halt]]) -> list[Halt]:
    """Return each halt once; two that begin at the same time and differ are refused."""
    by_key: dict[tuple[str, datetime], tuple[int, Halt]] = {}
    for line, halt in found:
        before, other = by_key.setdefault((halt.symbol, halt.start), (line, halt))
        if other != halt:
            raise UsageError(f"{path} line {line}: {halt.symbol} is halted at the same time in line {before} already")
    return [halt for _, halt in by_key.values()]


def _forget_holes(connection: psycopg.Connection, instrument_id: int, start: datetime, end: datetime) -> None:
    """Have the holes of sessions measured again of which less was halted than was thought."""
    wanted = {"instrument_id": instrument_id, "start": start, "end": end}
    connection.execute(query("instruments/forget_missing_runs"), wanted)
