"""Making two registrations of the same thing one: the bars of one are given to the other, with all their history.

Only where no bar of one lies between bars of the other: otherwise it would have to be decided which of them counts.
Weeks and months of which both had a bar are derived anew; the bars of before are
their revisions. Not here: a new symbol of one instrument (``rename``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg import sql

from chandlery.bars.bookkeeping import note_stale_days
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.ops.registrations.belongings import hold_instruments
from chandlery.tiers.bring_back import bring_back
from chandlery.tiers.warehouse import Warehouse

_GIVING = (
    "quality/set_apart_closed",
    "quality/give_findings",
    "ingest/set_apart_rejected",
    "ingest/give_rejected",
    "bars/give_notes",
    "lake/give_entries",
)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did.

    Attributes:
        former: symbol of the registration that is gone, which is an alias now.
        symbol: canonical symbol of both.
        until: first day on which the former symbol no longer names it; None where it still does.
        given: bars that changed hands, by timeframe, of those that have any.
        replaced: derived bars of periods that both had a bar of; they are computed anew from the bars of both, and what
            they were stays in the revisions.
        restored: windows that came back from the lake, to be archived anew.
    """

    former: str
    symbol: str
    until: date | None
    given: Mapping[Timeframe, int] = field(default_factory=dict)
    replaced: int = 0
    restored: int = 0


def merge(
    connection: psycopg.Connection, warehouse: Warehouse, former: str, symbol: str, until: date | None = None
) -> Merged:
    """Give everything of one instrument to another, in one transaction; the first one's symbol becomes an alias.

    Args:
        connection: to the warehouse's database.
        warehouse: where both are.
        former: canonical symbol of the one that gives.
        symbol: canonical symbol of the one that receives.
        until: first day on which the former symbol no longer names it; by default it still does.

    Raises:
        UsageError: there are not two such instruments, they trade differently, ``universe.yaml`` lists the first, or
            bars of one lie between bars of the other. Nothing was changed.
        LakeError: a file that has to be read is missing or damaged. Nothing was changed.
    """
    with connection.transaction():
        hold_instruments(connection)
        giver, receiver = _two(load_instruments(connection), former, symbol)
        ids = [giver.instrument_id, receiver.instrument_id]
        restored = bring_back(connection, warehouse, ids)
        borders = {base: _border(connection, base, giver, receiver, until) for base in INGESTED}
        values = {"giver": giver.instrument_id, "receiver": receiver.instrument_id}
        _refuse_shared_session(connection, giver, receiver)
        given, replaced = _give_bars(connection, warehouse, values)
        noted = warehouse.edition.keeps_aggregates
        connection.execute(query("rollups/give_days"), values | {"noted": noted})
        names = values | {"symbol": giver.symbol, "until": until}
        for name in _GIVING:
            connection.execute(query(name), names)
        for base, border in borders.items():
            side = {"timeframe": base.value, "first": border.first, "after": border.after}
            connection.execute(query("coverage/give_requests"), values | side)
            note_stale_days(connection, base, [(receiver.instrument_id, day) for day in border.days])
        connection.execute(query("instruments/give_names"), names)
    return Merged(former, symbol, until, given, replaced, restored)


def _two(known: Mapping[str, Instrument], former: str, symbol: str) -> tuple[Instrument, Instrument]:
    for each in (former, symbol):
        if each not in known:
            raise UsageError(f"symbol {each!r} is not the symbol of any instrument; see `chandlery instruments list`")
    giver, receiver = known[former], known[symbol]
    if giver is receiver:
        raise UsageError(f"symbol {symbol!r} is given twice; name two registrations of the same thing")
    if giver.in_universe:
        raise UsageError(
            f"{former} is described in universe.yaml: take it out there, write `aliases: [{{ticker: {former}}}]` at"
            f" {symbol} if that is described there too, and run `chandlery init` first"
        )
    for name in ("calendar", "asset_class"):
        if getattr(giver, name) != getattr(receiver, name):
            raise UsageError(
                f"{former} has {name}={getattr(giver, name)}, and {symbol} {name}={getattr(receiver, name)}: correct"
                " one of them first, with `chandlery instruments set` or in universe.yaml"
            )
    return giver, receiver


@dataclass(frozen=True, slots=True)
class _Border:
    """Where the bars of one instrument end and those of the other begin.

    Attributes:
        days: the days beside it, of which derived bars are computed anew; none if either has no bars.
        first: first day on which answers to requests for the giver speak for the receiver too; None for ever.
        after: first day on which they no longer do; None for never.
    """

    days: Sequence[date] = ()
    first: date | None = None
    after: date | None = None


def _border(
    connection: psycopg.Connection, base: Timeframe, giver: Instrument, receiver: Instrument, until: date | None
) -> _Border:
    """Return where the bars of two instruments meet.

    What was answered for the giver beyond its bars, on the receiver's side, was about a symbol that nothing traded
    under: it says nothing of the receiver.

    Raises:
        UsageError: the ranges of their bars overlap; names both.
    """
    statement = query("bars/extent_of_instruments", bars=sql.Identifier("market", base.table))
    values = {"timeframe": base.value, "ids": [giver.instrument_id, receiver.instrument_id]}
    extents: dict[int, tuple[datetime, datetime]] = {
        owner: (first, last) for owner, first, last in connection.execute(statement, values).fetchall()
    }
    if giver.instrument_id not in extents:
        return _Border(first=date.max, after=date.max)
    if receiver.instrument_id not in extents:
        return _Border()
    (first, last), (other_first, other_last) = (extents[each.instrument_id] for each in (giver, receiver))
    if first <= other_last and other_first <= last:
        raise UsageError(
            f"the {base.value} bars of {giver.symbol} are from {first:%Y-%m-%d %H:%M}Z to {last:%Y-%m-%d %H:%M}Z, those"
            f" of {receiver.symbol} from {other_first:%Y-%m-%d %H:%M}Z to {other_last:%Y-%m-%d %H:%M}Z: they overlap,"
            " and it is not known which of them count"
        )
    if last < other_first:
        after = max(last.date() + timedelta(days=1), min(until or date.min, other_first.date()))
        return _Border([last.date(), other_first.date()], after=after)
    return _Border([other_last.date(), first.date()], first=first.date())


def _refuse_shared_session(connection: psycopg.Connection, giver: Instrument, receiver: Instrument) -> None:
    values = {"giver": giver.instrument_id, "receiver": receiver.instrument_id}
    row = connection.execute(query("bars/sessions_of_both"), values).fetchone()
    if row is not None:
        raise UsageError(f"{giver.symbol} and {receiver.symbol} both have minutes of the session {row[0]}")


def _give_bars(
    connection: psycopg.Connection, warehouse: Warehouse, values: Mapping[str, int]
) -> tuple[dict[Timeframe, int], int]:
    """Give the bars of every timeframe; return how many, and how many derived ones are computed anew."""
    now = datetime.now(UTC)
    warehouse.edition.prepare(connection, Timeframe.M1, now, now)  # so that compressed bars may change, too
    (merged_at,) = connection.execute("SELECT clock_timestamp()").fetchone() or (now,)
    counts: dict[Timeframe, int] = {}
    replaced = 0
    for timeframe in Timeframe:
        place = {"bars": sql.Identifier("market", timeframe.table), "timeframe": timeframe.value}
        if timeframe not in INGESTED:
            shared = query("bars/give_shared_bars", **place, merged_at=merged_at)
            replaced += (connection.execute(shared, values).fetchone() or (0,))[0]
        (given,) = connection.execute(query("bars/give_bars", **place), values).fetchone() or (0,)
        if given:
            counts[timeframe] = given
    return counts, replaced
