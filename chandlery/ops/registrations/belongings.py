"""What is stored of an instrument, how much of that is stale, and forgetting an instrument of which no bar is.

Not here: what a registration says (``instruments.registry``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

import psycopg
from psycopg.rows import class_row

from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.filled import days_with_bars
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.rollups.stale import list_stale_days

#: The rooms that know of instruments, those that refer to others first.
_FORGETTING = (
    "quality/forget_instrument",
    "ingest/forget_instrument",
    "rollups/forget_instrument",
    "coverage/forget_instrument",
    "bars/forget_instrument",
    "instruments/forget_instrument",
)


@dataclass(frozen=True, slots=True)
class Belongings:
    """What is stored of an instrument.

    Attributes:
        windows: months or years in which it has or had a bar of any timeframe.
        halts: that a person recorded.
        quarantined: entries of the quarantine that wait.
        rejected: all of its entries, released and replaced ones among them.
        findings: that nobody dismissed.
        answers: of providers that landed and wait to be processed.
        aliases: its other names.
        requested: timeframes of which a provider ever answered, be it with nothing.
    """

    windows: int
    halts: int
    quarantined: int
    rejected: int
    findings: int
    answers: int
    aliases: int
    requested: int

    @property
    def lost(self) -> list[str]:
        """What of it goes with the instrument, in words; bars never do."""
        waiting = f"of which {counted(self.quarantined, 'waits', 'wait')}"
        counts = [
            (self.rejected, f"entry in quarantine, {waiting}", f"entries in quarantine, {waiting}"),
            (self.halts, "halt", "halts"),
            (self.findings, "finding", "findings"),
            (self.answers, "landed answer that nobody will process", "landed answers that nobody will process"),
            (self.aliases, "other name", "other names"),
        ]
        return [counted(*each) for each in counts if each[0]]


def hold_instruments(connection: psycopg.Connection) -> None:
    """Let nobody else register, change or delete an instrument until the caller's transaction ends."""
    connection.execute("LOCK TABLE market.instrument IN SHARE ROW EXCLUSIVE MODE")


def read_belongings(connection: psycopg.Connection, instrument: Instrument) -> Belongings:
    """Return what is stored of ``instrument``."""
    values = {"instrument_id": instrument.instrument_id, "symbol": instrument.symbol}
    with connection.cursor(row_factory=class_row(Belongings)) as cursor:
        found = cursor.execute(query("ops/belongings"), values).fetchone()
    assert found is not None  # noqa: S101 - it is one row of counts
    return found


def forget(connection: psycopg.Connection, instrument: Instrument) -> None:
    """Delete an instrument that has no bars, with all that is noted of it; part of the caller's transaction."""
    for name in _FORGETTING:
        connection.execute(query(name), {"instrument_id": instrument.instrument_id})


def forget_untouched(connection: psycopg.Connection, symbols: Iterable[str]) -> list[str]:
    """Forget those of these instruments of which nothing at all is stored, because what registered them failed.

    Returns:
        Their symbols.
    """
    untouched: list[str] = []
    if not (symbols := list(symbols)):
        return untouched
    with connection.transaction():
        hold_instruments(connection)
        known = load_instruments(connection)
        for instrument in (known[symbol] for symbol in symbols if symbol in known):
            belongings = read_belongings(connection, instrument)
            stored = any(asdict(replace(belongings, aliases=0)).values())
            if instrument.in_universe is None and not stored:
                forget(connection, instrument)
                untouched.append(instrument.symbol)
    return untouched


def count_stale_days(connection: psycopg.Connection, base: Timeframe, instrument_id: int) -> int:
    """Return how many days with bars are in weeks of which something derived is stale: a day may stand for its week."""
    pending = list_stale_days(connection, base, [instrument_id], *EVER)
    mondays = {day.date() - timedelta(days=day.weekday()) for _, of_instrument in pending for day in of_instrument}
    days = [monday + timedelta(days=number) for monday in mondays for number in range(7)]
    return len(days_with_bars(connection, base, instrument_id, days))
