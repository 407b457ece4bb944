"""``coverage``: what there is of each instrument, and what of its sessions is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from chandlery.cli.output import Format, moment, note, number, out, say, table
from chandlery.cli.session import Session
from chandlery.coverage import Summary, missing_sessions, summarize
from chandlery.errors import UsageError
from chandlery.instruments import Instrument, list_instruments, resolve
from chandlery.timeframe import Timeframe, parse_range


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Examples:\n\nchandlery coverage\n\nchandlery coverage AAPL --timeframe 1d --format json")(
        coverage
    )


def coverage(
    ctx: typer.Context,
    *,
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Which; all by default. With one, missing sessions are listed.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", "-t", help="Which; all by default.")] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="table or json")] = Format.TABLE,
) -> None:
    """Show what is stored: rows, range, sessions present of those expected, sources.

    Sessions are expected from the first stored bar's to the last one's, by the instrument's calendar. Of 1m, also
    minutes: bars in open minutes, of those there are; and bars outside sessions. Derived bars are as complete as the
    bars they are derived from.
    """
    if form not in {Format.TABLE, Format.JSON}:
        raise UsageError(f"format={form.value!r} is not available here; allowed: table json")
    widths = [Timeframe.parse(timeframe)] if timeframe else list(Timeframe)
    with Session.of(ctx).installation.database.connection() as connection:
        instruments = [
            resolve(connection, symbol, *parse_range("1900-01-01", "2200-01-01")) for symbol in symbols or ()
        ]
        found = summarize(connection, instruments or list_instruments(connection), widths)
        gaps = {
            one.timeframe: missing_sessions(connection, instruments[0], one.timeframe)
            for one in found
            if len(instruments) == 1 and one.missing
        }
    if form is Format.JSON:
        say(json.dumps([_plain(one, gaps.get(one.timeframe)) for one in found], indent=2))
        return
    if not found:
        _explain_nothing(instruments, timeframe)
        return
    _show(found)
    for width, runs in gaps.items():
        sessions = ", ".join(f"{a}" if n == 1 else f"{a}..{b} ({n})" for a, b, n in runs)
        say(f"{width.value} sessions of {instruments[0].symbol} without a bar: {sessions}")


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
            _share(one.present, one.expected),
            number(one.missing),
            _share(one.slots_present, one.slots_expected),
            number(one.outside),
            ", ".join(one.sources),
        )
    out().print(grid)


def _share(present: int | None, expected: int | None) -> str:
    if present is None or expected is None:
        return number(None)
    percent = f" {100 * present / expected:.1f}%" if expected else ""
    return f"{number(present)}/{number(expected)}{percent}"


def _plain(one: Summary, gaps: Sequence[tuple[Any, Any, int]] | None) -> dict[str, object]:
    row = asdict(one) | {"missing": one.missing}
    for name in ("first_ts", "last_ts"):
        row[name] = f"{row[name]:%Y-%m-%dT%H:%M:%SZ}"
    if gaps is not None:
        row["missing_sessions"] = [{"first": f"{a}", "last": f"{b}", "sessions": n} for a, b, n in gaps]
    return row


def _explain_nothing(instruments: Sequence[Instrument], timeframe: str | None) -> None:
    of = f" of {', '.join(instrument.symbol for instrument in instruments)}" if instruments else ""
    note(f"No {timeframe + ' ' if timeframe else ''}bars{of} yet; `chandlery ingest --help` shows how to get some.")
