"""``instruments rename``, ``merge`` and ``remove``: who is registered under which symbol.

Not here: seeing and describing instruments (``instruments``).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from chandlery.cli.options import AsJson
from chandlery.cli.output import note, number, say, say_json
from chandlery.cli.session import Session
from chandlery.core.moments import parse_moment
from chandlery.core.text import counted
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument
from chandlery.instruments.rename import describe_uses, former_uses
from chandlery.ops.registrations import merge as merging
from chandlery.ops.registrations import remove as removing
from chandlery.ops.registrations import rename as renaming

_FAILED = 1
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Until = Annotated[
    str | None, typer.Option(help="First day on which the former symbol no longer names it; by default it always does.")
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``instruments``."""
    group.command(epilog="Example: chandlery instruments rename FB META --until 2022-06-09")(rename)
    group.command(epilog="Example: chandlery instruments merge FB META --until 2022-06-09")(merge)
    group.command(epilog="Example: chandlery instruments remove BTCUSDT-1m-2024-01")(remove)


def rename(
    ctx: typer.Context,
    *,
    symbol: Annotated[str, typer.Argument(help="Its present symbol.")],
    new: Annotated[str, typer.Argument(help="The symbol that it gets.")],
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give an instrument another symbol. It keeps its history, and its former symbol still finds it.

    One that universe.yaml lists is renamed there: write the new symbol, and the former one among its aliases.
    """
    session = Session.of(ctx)
    last = _day(until)
    with session.installation.warehouse.connection() as connection:
        found = resolve(connection, symbol, *EVER)
        if found.symbol == new and symbol != new:
            done = renaming.Renamed(found.instrument_id, symbol, new, last)
            _say_unchanged(f"{symbol} is a former symbol of {new}", asdict(done), as_json=as_json)
            return
        taken = former_uses(connection, found, new)
    _refuse_listed(session, found, new)
    for text in describe_uses(taken, new, found.symbol):
        note(text)
    _confirm(f"{found.symbol} becomes {new}, and {found.symbol} another name of it{_until(last)}.", yes=yes)
    with session.installation.warehouse.connection() as connection:
        done = renaming.rename(connection, session.installation.warehouse, found.symbol, new, last)
    session.orchestrator(session.installation).forget([done.former])
    if as_json:
        say_json(asdict(done) | {"changed": True})
        return
    say(f"{done.former} is now {done.symbol}; {done.former} is another name of it{_until(last)}")
    _say_restored(done.restored)


def merge(
    ctx: typer.Context,
    *,
    symbol: Annotated[str, typer.Argument(help="The one that gives what it has, and is no more.")],
    into: Annotated[str, typer.Argument(help="The one that gets it.")],
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make two registrations of the same thing one. Every bar keeps its history.

    It is refused where bars of one lie between bars of the other. Weeks, months and hours of which both had a part are
    computed anew.
    """
    session = Session.of(ctx)
    last = _day(until)
    with session.installation.warehouse.connection() as connection:
        giver, receiver = (resolve(connection, each, *EVER) for each in (symbol, into))
    if giver.instrument_id == receiver.instrument_id and symbol != into:
        done = merging.Merged(symbol, receiver.symbol, last)
        _say_unchanged(f"{symbol} is another name of {receiver.symbol} already", asdict(done), as_json=as_json)
        return
    _confirm(
        f"All that is stored of {giver.symbol} becomes {receiver.symbol}'s, and {giver.symbol} another name of"
        f" it{_until(last)}. There is no way back.",
        yes=yes,
    )
    with session.installation.warehouse.connection() as connection:
        done = merging.merge(connection, session.installation.warehouse, giver.symbol, receiver.symbol, last)
    session.orchestrator(session.installation).forget([done.former])
    if as_json:
        say_json(asdict(done) | {"changed": True})
        return
    bars = ", ".join(f"{number(count)} of {timeframe.value}" for timeframe, count in done.given.items())
    say(f"{done.former} is now {done.symbol}; bars that it gave: {bars or 'none'}")
    if done.replaced:
        both = counted(done.replaced, "derived bar of a period", "derived bars of periods")
        say(f"{both} of both will be computed anew; `chandlery revisions` shows what the two had")
    _say_restored(done.restored)


def remove(
    ctx: typer.Context,
    *,
    symbol: Annotated[str, typer.Argument(help="Its symbol.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove an instrument that has no bars, and say what else goes with it."""
    session = Session.of(ctx)
    with session.installation.warehouse.connection() as connection:
        instrument, lost = removing.removable(connection, symbol)
    if lost:
        note(f"with {symbol} go {', '.join(lost)}")
    _confirm(f"{symbol} ({instrument.asset_class}, {instrument.calendar}) is no more then.", yes=yes)
    with session.installation.warehouse.connection() as connection:
        removing.remove(connection, symbol, lost)
    session.orchestrator(session.installation).forget([symbol])
    if as_json:
        say_json({"symbol": symbol, "lost": lost})
        return
    say(f"removed {symbol}{_with(lost)}")


def _refuse_listed(session: Session, found: Instrument, new: str) -> None:
    """Refuse what the next ``chandlery init`` would undo."""
    listed = {config.symbol for config in session.installation.universe.instruments}
    for symbol in (found.symbol, new):
        if symbol in listed:
            raise UsageError(
                f"{symbol} is described in universe.yaml: write there `symbol: {new}` with `aliases: [{{ticker:"
                f" {found.symbol}, until: YYYY-MM-DD}}]`, and run `chandlery init`"
            )


def _confirm(text: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"it was not confirmed: {text} Confirm with --yes")
    note(text)
    if not typer.confirm("Do it?", err=True):
        note("Nothing was changed.")
        raise typer.Exit(_FAILED)


def _say_unchanged(text: str, row: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        say_json(row | {"changed": False})
        return
    say(f"{text}; nothing changed")


def _say_restored(count: int) -> None:
    if count:
        came = counted(count, "window came back from the lake: it is", "windows came back from the lake: they are")
        say(f"{came} archived anew under the new symbol")


def _day(text: str | None) -> date | None:
    return None if text is None else parse_moment(text, name="until").date()


def _until(last: date | None) -> str:
    return "" if last is None else f" until {last}"


def _with(lost: Sequence[str]) -> str:
    return f", with {', '.join(lost)}" if lost else ""
