"""``coverage``: what is stored of each instrument, what is missing of its sessions, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chandlery.cli.options import AsJson
from chandlery.cli.output import moment, note, number, say, show_table, table
from chandlery.cli.rows import Format
from chandlery.cli.session import Session
from chandlery.cli.states import (
    Selection,
    count,
    count_findings,
    describe_share,
    draw,
    explain_nothing,
    list_state,
    note_never_requested,
    show_counts,
    show_day,
)
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.summary import Summary, missing_sessions, summarize
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import list_instruments
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    from chandlery.coverage.session_states import State

_EXAMPLES = """Examples:

chandlery coverage

chandlery coverage AAPL --timeframe 1d --json

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
    day: Annotated[str | None, typer.Option(metavar="DATE", help="Show the state of this day instead.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="List the sessions in this state instead.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the states instead; a file for each timeframe.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is stored: rows, range, sessions present of those expected, sources; and why sessions lack something.

    Sessions are expected from the first that was requested or has a bar until now (of a provider whose data never
    changes, until the last such), by the instrument's calendar. Of 1m, also minutes: bars in open minutes, of those
    there are; and bars outside sessions. "Stale since" is the close of the first session after the newest bar. Derived
    bars are as complete as the bars they are derived from.

    States are of sessions from the first that was requested or has bars until now (or until the last such, of a
    provider whose data never changes): complete; no_trades (thin trading, or the provider confirmed that there is no
    more); partial (not requested as a whole); halted; provider_gap (requested, and too much is missing); quarantined
    (lacks what the gate rejected); not_final (may still change); never_fetched; not_listed; and of days, closed.
    """
    form = Format.JSON if as_json else Format.TABLE
    if sum(option is not None for option in (day, state, picture)) > 1:
        raise UsageError("--day, --state and --picture exclude each other; give one")
    installation = Session.of(ctx).installation
    warehouse = installation.warehouse
    selection = _select(warehouse, symbols or (), timeframe, (start, end), installation.static)
    if day is not None:
        show_day(warehouse, selection, _date("day", day), form)
    elif state is not None:
        list_state(warehouse, selection, state, form)
    elif picture is not None:
        draw(warehouse, selection, picture)
    else:
        _summarize(warehouse, selection, form, states=states)


def _select(
    warehouse: Warehouse,
    symbols: Sequence[str],
    timeframe: str | None,
    span: tuple[str | None, str | None],
    static: frozenset[str],
) -> Selection:
    with warehouse.connection() as connection:
        instruments = [resolve(connection, symbol, *EVER) for symbol in symbols] or list_instruments(connection)
    since, until = (
        None if text is None else _date(name, text) for name, text in zip(("start", "end"), span, strict=True)
    )
    if since and until and since >= until:
        raise UsageError(f"start={since} is not before end={until}; ranges are half-open [start, end)")
    timeframes = [Timeframe.parse(timeframe)] if timeframe else list(Timeframe)
    return Selection(instruments, bool(symbols), timeframes, since, until, static)


def _date(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a date; write 2024-01-31") from None


def _summarize(warehouse: Warehouse, selection: Selection, form: Format, *, states: bool) -> None:
    with warehouse.connection() as connection:
        static = selection.static
        summaries = summarize(connection, selection.instruments, selection.timeframes, static=static)
        is_single = selection.named and len(selection.instruments) == 1
        missing = {
            summary.timeframe: missing_sessions(connection, selection.instruments[0], summary.timeframe, static=static)
            for summary in summaries
            if is_single and summary.missing
        }
    counts = count(warehouse, selection) if states else {}
    found = count_findings(warehouse, selection)
    if form is Format.JSON:
        rows = _rows(summaries, missing, counts)
        say(
            json.dumps([row | {"findings": found[str(row["symbol"]), str(row["timeframe"])]} for row in rows], indent=2)
        )
        return
    if not summaries and not counts:
        explain_nothing(selection)
        return
    if summaries:
        _show(summaries)
    for width, runs in missing.items():
        sessions = ", ".join(f"{first}" if n == 1 else f"{first}..{last} ({n})" for first, last, n in runs)
        say(f"{width.value} sessions of {selection.instruments[0].symbol} without a bar: {sessions}")
    if counts:
        show_counts(counts)
    if states and not selection.named:
        note_never_requested(warehouse, selection)
    if found:
        note(f"{counted(found.total(), 'finding')}: `chandlery findings list` shows what was noticed")


def _rows(
    summaries: Sequence[Summary],
    missing: dict[Timeframe, list[tuple[date, date, int]]],
    counts: dict[tuple[str, Timeframe], dict[State, int]],
) -> list[dict[str, object]]:
    """Return a row of each summary, and one of each instrument that was requested and of which no bar came."""
    rows = []
    for summary in summaries:
        row = _plain(summary, missing.get(summary.timeframe))
        states = counts.pop((summary.symbol, summary.timeframe), None)
        rows.append(row if states is None else row | {"states": states})
    return rows + [
        {"symbol": symbol, "timeframe": timeframe, "rows": 0, "states": states}
        for (symbol, timeframe), states in counts.items()
    ]


def _show(summaries: Sequence[Summary]) -> None:
    grid = table(
        "symbol", "timeframe", "rows", "first", "last", "sessions", "missing", "stale since", "minutes", "outside",
        "sources", left=["symbol", "timeframe"], folded=["sources"], keys=["symbol", "timeframe", "missing"],
    )  # fmt: skip
    for summary in summaries:
        day = not summary.timeframe.is_intraday
        grid.add_row(
            summary.symbol,
            summary.timeframe.value,
            number(summary.rows),
            moment(summary.first_ts, day=day),
            moment(summary.last_ts, day=day),
            describe_share(summary.present, summary.expected),
            number(summary.missing),
            "" if summary.stale_since is None else moment(summary.stale_since),
            describe_share(summary.slots_present, summary.slots_expected),
            number(summary.outside),
            ", ".join(summary.sources),
        )
    show_table(grid)


def _plain(summary: Summary, missing: Sequence[tuple[Any, Any, int]] | None) -> dict[str, object]:
    row = asdict(summary) | {"missing": summary.missing}
    for name in ("first_ts", "last_ts", "stale_since"):
        row[name] = row[name] and f"{row[name]:%Y-%m-%dT%H:%M:%SZ}"
    if missing is not None:
        row["missing_sessions"] = [
            {"first": f"{first}", "last": f"{last}", "sessions": n} for first, last, n in missing
        ]
    return row
