"""``halts add``, ``list``, ``import`` and ``remove``: when trading in an instrument was halted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chandlery.cli.options import AsJson
from chandlery.cli.output import moment, note, say, say_json, show_table, table
from chandlery.cli.session import Session
from chandlery.core.moments import parse_moment
from chandlery.core.windows import EVER
from chandlery.coverage.halts import HaltReport, import_halts, record_halts, remove_halt
from chandlery.instruments.aliases import resolve
from chandlery.instruments.halts import COLUMNS, Halt, list_halts, parse_halt

app = typer.Typer(
    no_args_is_help=True,
    help="Record when trading was halted: what is missing meanwhile is then explained (see coverage).",
    epilog="Examples:\n\nchandlery halts add AAPL 2024-06-03T14:41:00Z 2024-06-03T14:46:00Z --reason LUDP"
    "\n\nchandlery halts list AAPL\n\nchandlery halts import halts.csv",
)
Symbol = Annotated[str, typer.Argument(help="Which instrument.")]
Start = Annotated[str, typer.Argument(help="First instant, ISO 8601 with its zone.")]


def register(commands: typer.Typer) -> None:
    """Add the group."""
    commands.add_typer(app, name="halts")


@app.command(epilog="Example: chandlery halts add AAPL 2024-06-03T14:41:00Z 2024-06-03T14:46:00Z --reason LUDP")
def add(
    ctx: typer.Context,
    *,
    symbol: Symbol,
    start: Start,
    end: Annotated[str, typer.Argument(help="First instant after it, ISO 8601 with its zone.")],
    reason: Annotated[str, typer.Option(help="Why, for example the exchange's code.")],
    as_json: AsJson = False,
) -> None:
    """Record a halt; one with the same start is replaced."""
    halt = parse_halt(symbol, start, end, reason)
    with Session.of(ctx).warehouse.connection() as connection:
        report = record_halts(connection, [halt])
    _report(report, as_json=as_json)


@app.command("list", epilog="Example: chandlery halts list AAPL --json")
def list_(
    ctx: typer.Context,
    *,
    symbols: Annotated[list[str] | None, typer.Argument(help="Which instruments; all by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what is recorded, by symbol and time."""
    with Session.of(ctx).warehouse.connection() as connection:
        names = [resolve(connection, symbol, *EVER).symbol for symbol in symbols or ()]
        recorded = list_halts(connection, names or None)
    if as_json:
        say_json([_plain(halt) for halt in recorded])
        return
    if not recorded:
        note("No halt is recorded; `chandlery halts add --help` shows how to.")
        return
    grid = table(*COLUMNS, left=COLUMNS, keys=COLUMNS[:3])
    for halt in recorded:
        grid.add_row(halt.symbol, moment(halt.start), moment(halt.end), halt.reason)
    show_table(grid)


@app.command("import", epilog="Example: chandlery halts import halts.csv")
def import_(
    ctx: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(help="CSV with the columns symbol,start,end,reason; ISO 8601 with its zone.")],
    as_json: AsJson = False,
) -> None:
    """Record every halt of a file, or none if any line is wrong. Again changes nothing."""
    with Session.of(ctx).warehouse.connection() as connection:
        report = import_halts(connection, file)
    _report(report, as_json=as_json)


@app.command(epilog="Example: chandlery halts remove AAPL 2024-06-03T14:41:00Z")
def remove(ctx: typer.Context, *, symbol: Symbol, start: Start, as_json: AsJson = False) -> None:
    """Remove a halt that was recorded by mistake."""
    with Session.of(ctx).warehouse.connection() as connection:
        removed = remove_halt(connection, symbol, parse_moment(start, name="start"))
    if as_json:
        say_json({"removed": _plain(removed)})
        return
    say(f"removed: {removed.symbol} {moment(removed.start)} to {moment(removed.end)}, {removed.reason}")


def _plain(halt: Halt) -> dict[str, object]:
    return {"symbol": halt.symbol, "start": halt.start, "end": halt.end, "reason": halt.reason}


def _report(report: HaltReport, *, as_json: bool) -> None:
    if as_json:
        say_json({"added": report.added, "changed": report.changed, "unchanged": report.unchanged})
        return
    say(f"halts: added={report.added} changed={report.changed} unchanged={report.unchanged}")
