"""Which days of an instrument have bars, and whether anybody fills a timeframe: no bars in a range, or no bars ever.

Not here: how many sessions have bars (``summary``), and why others have none (``session_states``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import psycopg

from chandlery.core.timeframe import Timeframe, rolled_up_from
from chandlery.database.named_queries import query
from chandlery.errors import UnfilledTimeframeError


def check_filled(
    connection: psycopg.Connection, timeframe: Timeframe, names: Mapping[int, str], *, width: str | None = None
) -> None:
    """Raise where nobody fills ``timeframe``: its base has no bars, was never requested, and no schedule requests it.

    Args:
        connection: to the database.
        timeframe: any.
        names: the name to call each instrument by, by its id.
        width: what was asked for, if it is made of ``timeframe``; that itself by default.

    Raises:
        UnfilledTimeframeError: of one of the instruments; names each such, what it has, and what to do.
    """
    rows = connection.execute(query("coverage/filled_bases"), {"ids": list(names)})
    filled = {instrument_id: {Timeframe(name) for name in bases} for instrument_id, bases in rows}
    lacking = {owner: filled.get(owner, set()) for owner in names if not filled.get(owner, set()) & _bases(timeframe)}
    if not lacking:
        return
    base = timeframe.base
    symbols = " ".join(names[owner] for owner in lacking)
    asked = width or timeframe.value
    made = "" if asked == base.value else ", of which it is made,"
    raise UnfilledTimeframeError(
        f"timeframe={asked!r}: nobody fills it for {symbols}; {base.value} bars{made} were never requested, and no"
        f" schedule requests them. {' '.join(_describe(names[owner], bases) for owner, bases in lacking.items())}"
        f" `chandlery ingest {symbols} -t {base.value}` requests them"
    )


def days_with_bars(
    connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int, days: Sequence[date]
) -> set[date]:
    """Return on which of ``days`` an instrument has bars of ``timeframe`` (``1m`` or ``1d``), by session."""
    values = {"timeframe": timeframe.value, "instrument_id": instrument_id, "days": list(days)}
    return {row[0] for row in connection.execute(query("coverage/filled_sessions"), values)}


def _bases(timeframe: Timeframe) -> set[Timeframe]:
    """Return the ingested timeframes of which each fills ``timeframe``: minutes also make days, and what follows."""
    return {timeframe.base} if timeframe.is_intraday else {Timeframe.D1, Timeframe.M1}


def _describe(name: str, bases: set[Timeframe]) -> str:
    widths = {width for base in bases for width in (base, *rolled_up_from(base))}
    if Timeframe.D1 in widths:
        widths |= set(rolled_up_from(Timeframe.D1))
    return f"{name} has {' '.join(width.value for width in Timeframe if width in widths) or 'nothing'}."
