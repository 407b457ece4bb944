"""``coverage``: what there is of each instrument, what of its sessions is not, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer

from chandlery.cli.output import Format, moment, number, out, say, table
from chandlery.cli.session import Session
from chandlery.cli.states import (
    Order,
    count,
    describe_share,
    draw,
    explain_nothing,
    list_state,
    show_counts,
    tell_day,
    tell_never_asked,
)
from chandlery.core.timeframe import Timeframe, parse_range
from chandlery.coverage.summary import Summary, missing_sessions, summarize
from chandlery.errors import UsageError
from chandlery.instruments.registry import list_instruments, resolve

if TYPE_CHECKING:
    from chandlery.coverage.session_states import State

_EXAMPLES = """Examples:

chandlery coverage

chandlery coverage AAPL --timeframe 1d --format json

chandlery coverage AAPL --day 2024-12-25

chandlery coverage --state provider_gap --start 2024-01-01

chandlery coverage -t 1m --picture coverage.png"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLES)(coverage)


def coverage(
    ctx: typer.Context,
    *,
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Which; all by default. With one, missing sessions are listed.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", "-t", help="Which; all by default.")] = None,
    states: Annotated[bool, typer.Option("--states/--no-states", help="Count the sessions in each state.")] = True,
    start: Annotated[str | None, typer.Option(help="First session of the states; the first known by default.")] = None,
    end: Annotated[str | None, typer.Option(help="The states' end, exclusive; now by default.")] = None,
    day: Annotated[str | None, typer.Option(metavar="DATE", help="Tell the state of this day instead.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="List the sessions in this state instead.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the states instead; a file a timeframe.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="table or json")] = Format.TABLE,
) -> None:
    """Show what is stored: rows, range, sessions present of those expected, sources; and why sessions lack something.

    Sessions are expected from the first stored bar's to the last one's, by the instrument's calendar. Of 1m, also
    minutes: bars in open minutes, of those there are; and bars outside sessions. Derived bars are as complete as the
    bars they are derived from.

    States are of sessions from the first that was asked for or is there until now (or the last such, of a provider that
    never has news): complete; no_trades (thin trading, or the provider confirmed that there is no more); partial (not
    asked for as a whole); halted; provider_gap (asked for, and too much is missing); quarantined (lacks what the gate
    rejected); not_final (may still change); never_fetched; not_listed; and of days, closed.
    """
    if form not in {Format.TABLE, Format.JSON}:
        raise UsageError(f"format={form.value!r} is not available here; allowed: table json")
    if sum(option is not None for option in (day, state, picture)) > 1:
        raise UsageError("--day, --state and --picture exclude each other; give one")
    installation = Session.of(ctx).installation
    with installation.warehouse.connection() as connection:
        order = _order(connection, symbols or (), timeframe, (start, end), installation.static)
        if day is not None:
            tell_day(connection, order, _date("day", day), form)
        elif state is not None:
            list_state(connection, order, state, form)
        elif picture is not None:
            draw(connection, order, picture)
        else:
            _summarize(connection, order, form, states=states)


def _order(
    connection: psycopg.Connection,
    symbols: Sequence[str],
    timeframe: str | None,
    span: tuple[str | None, str | None],
    static: frozenset[str],
) -> Order:
    instruments = [resolve(connection, symbol, *parse_range("1900-01-01", "2200-01-01")) for symbol in symbols]
    since, until = (
        None if text is None else _date(name, text) for name, text in zip(("start", "end"), span, strict=True)
    )
    if since and until and since >= until:
        raise UsageError(f"start={since} is not before end={until}; ranges are half-open [start, end)")
    return Order(
        instruments or list_instruments(connection),
        bool(instruments),
        [Timeframe.parse(timeframe)] if timeframe else list(Timeframe),
        since,
        until,
        static,
    )


def _date(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a date; write 2024-01-31") from None


def _summarize(connection: psycopg.Connection, order: Order, form: Format, *, states: bool) -> None:
    found = summarize(connection, order.instruments, order.timeframes)
    one_only = order.named and len(order.instruments) == 1
    gaps = {
        one.timeframe: missing_sessions(connection, order.instruments[0], one.timeframe)
        for one in found
        if one_only and one.missing
    }
    counts = count(connection, order) if states else {}
    if form is Format.JSON:
        say(json.dumps(_rows(found, gaps, counts), indent=2))
        return
    if not found and not counts:
        explain_nothing(order)
        return
    if found:
        _show(found)
    for width, runs in gaps.items():
        sessions = ", ".join(f"{a}" if n == 1 else f"{a}..{b} ({n})" for a, b, n in runs)
        say(f"{width.value} sessions of {order.instruments[0].symbol} without a bar: {sessions}")
    if counts:
        show_counts(counts)
    if states and not order.named:
        tell_never_asked(connection, order)


def _rows(
    found: Sequence[Summary],
    gaps: dict[Timeframe, list[tuple[date, date, int]]],
    counts: dict[tuple[str, Timeframe], dict[State, int]],
) -> list[dict[str, object]]:
    """Return a row of each summary, and one of each instrument that was asked for and of which nothing came."""
    rows = []
    for one in found:
        row = _plain(one, gaps.get(one.timeframe))
        states = counts.pop((one.symbol, one.timeframe), None)
        rows.append(row if states is None else row | {"states": states})
    return rows + [
        {"symbol": symbol, "timeframe": timeframe, "rows": 0, "states": states}
        for (symbol, timeframe), states in counts.items()
    ]


def _show(found: Sequence[Summary]) -> None:
    grid = table(
        "symbol", "timeframe", "rows", "first", "last", "sessions", "missing", "minutes", "outside", "sources",
        left=["symbol", "timeframe", "sources"],
    )  # fmt: skip
    for one in found:
        day = not one.timeframe.is_intraday
        grid.add_row(
            one.symbol,
            one.timeframe.value,
            number(one.rows),
            moment(one.first_ts, day=day),
            moment(one.last_ts, day=day),
            describe_share(one.present, one.expected),
            number(one.missing),
            describe_share(one.slots_present, one.slots_expected),
            number(one.outside),
            ", ".join(one.sources),
        )
    out().print(grid)


def _plain(one: Summary, gaps: Sequence[tuple[Any, Any, int]] | None) -> dict[str, object]:
    row = asdict(one) | {"missing": one.missing}
    for name in ("first_ts", "last_ts"):
        row[name] = f"{row[name]:%Y-%m-%dT%H:%M:%SZ}"
    if gaps is not None:
        row["missing_sessions"] = [{"first": f"{a}", "last": f"{b}", "sessions": n} for a, b, n in gaps]
    return row
