"""Recording and removing halts of trading, together with what follows: what they no longer explain is measured again.

Not here: reading halts from texts and files, and listing them (``instruments.halts``), and what a halt does to the
state of a session (``session_states``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from chandlery.bars.bookkeeping import forget_missing_runs
from chandlery.errors import ChandleryError, UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.halts import Halt, delete_halt, put_halt, read_halts


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


def record_halts(connection: psycopg.Connection, halts: Iterable[Halt]) -> HaltReport:
    """Record all of the halts, or none of them, in one transaction. Idempotent.

    A halt of the same instrument with the same start is replaced. Symbols may be aliases of the time.

    Raises:
        UnknownSymbolError: a symbol named no instrument then. Nothing was recorded.
    """
    counts: Counter[str] = Counter()
    with connection.transaction():
        for halt in halts:
            instrument_id = resolve(connection, halt.symbol, halt.start, halt.end).instrument_id
            before = put_halt(connection, instrument_id, halt)
            counts["added" if before is None else "unchanged" if before == halt else "changed"] += 1
            if before is not None and before.end > halt.end:
                forget_missing_runs(connection, instrument_id, halt.start, before.end)
    return HaltReport(**counts)


def import_halts(connection: psycopg.Connection, path: Path) -> HaltReport:
    """Record the halts of a file; see ``read_halts`` and ``record_halts``."""
    halts = read_halts(path)
    try:
        return record_halts(connection, halts)
    except ChandleryError as error:
        raise UsageError(f"{path}: {error}; nothing was recorded") from None


def remove_halt(connection: psycopg.Connection, symbol: str, start: datetime) -> Halt:
    """Remove the halt of ``symbol`` that begins at ``start``, UTC, and was recorded by mistake; return it.

    Raises:
        UsageError: no halt of the symbol begins at ``start``.
    """
    instrument = resolve(connection, symbol, start, start + timedelta(microseconds=1))
    with connection.transaction():
        row = delete_halt(connection, instrument.instrument_id, start)
        if row is None:
            raise UsageError(
                f"start={start:%Y-%m-%dT%H:%M:%SZ} begins no halt of {instrument.symbol}; see `halts list`"
            )
        halt = Halt(instrument.symbol, start, *row)
        forget_missing_runs(connection, instrument.instrument_id, halt.start, halt.end)
    return halt
