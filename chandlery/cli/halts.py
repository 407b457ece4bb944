"""``halts add``, ``list``, ``import`` and ``remove``: when trading in an instrument was halted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from chandlery.cli.output import Format, moment, note, out, say, table
from chandlery.cli.session import Session
from chandlery.core.moments import parse_moment
from chandlery.core.windows import EVER
from chandlery.coverage.halts import HaltReport, import_halts, record_halts, remove_halt
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.halts import COLUMNS, list_halts, parse_halt

app = typer.Typer(
    no_args_is_help=True,
    help="Record when trading was halted: what is missing meanwhile is then explained (see coverage).",
    epilog="Examples:\n\nchandlery halts add AAPL 2024-06-03T14:41:00Z 2024-06-03T14:46:00Z --reason LUDP"
    "\n\nchandlery halts list AAPL\n\nchandlery halts import halts.csv",
)
Symbol = Annotated[str, typer.Argument(help="Which instrument.")]
Start = Annotated[str, typer.Argument(help="First instant, ISO 8601 with its zone.")]


@app.command(epilog="Example: chandlery halts add AAPL 2024-06-03T14:41:00Z 2024-06-03T14:46:00Z --reason LUDP")
def add(
    ctx: typer.Context,
    *,
    symbol: Symbol,
    start: Start,
    end: Annotated[str, typer.Argument(help="First instant after it, ISO 8601 with its zone.")],
    reason: Annotated[str, typer.Option(help="Why, for example the exchange's code.")],
) -> None:
    """Record a halt; one with the same start is replaced."""
    halt = parse_halt(symbol, start, end, reason)
    with Session.of(ctx).installation.warehouse.connection() as connection:
        report = record_halts(connection, [halt])
    _report(report)


@app.command("list", epilog="Example: chandlery halts list AAPL --format json")
def list_(
    ctx: typer.Context,
    *,
    symbols: Annotated[list[str] | None, typer.Argument(help="Which instruments; all by default.")] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="table or json")] = Format.TABLE,
) -> None:
    """List what is recorded, by symbol and time."""
    if form not in {Format.TABLE, Format.JSON}:
        raise UsageError(f"format={form.value!r} is not available here; allowed: table json")
    with Session.of(ctx).installation.warehouse.connection() as connection:
        names = [resolve(connection, symbol, *EVER).symbol for symbol in symbols or ()]
        recorded = list_halts(connection, names or None)
    if form is Format.JSON:
        rows = [
            {
                "symbol": halt.symbol,
                "start": f"{halt.start:%Y-%m-%dT%H:%M:%SZ}",
                "end": f"{halt.end:%Y-%m-%dT%H:%M:%SZ}",
                "reason": halt.reason,
            }
            for halt in recorded
        ]
        say(json.dumps(rows, indent=2))
        return
    if not recorded:
        note("No halt is recorded; `chandlery halts add --help` shows how to.")
        return
    grid = table(*COLUMNS, left=COLUMNS)
    for halt in recorded:
        grid.add_row(halt.symbol, moment(halt.start), moment(halt.end), halt.reason)
    out().print(grid)


@app.command("import", epilog="Example: chandlery halts import halts.csv")
def import_(
    ctx: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(help="CSV with the columns symbol,start,end,reason; ISO 8601 with its zone.")],
) -> None:
    """Record every halt of a file, or none if any line is wrong. Again changes nothing."""
    with Session.of(ctx).installation.warehouse.connection() as connection:
        report = import_halts(connection, file)
    _report(report)


@app.command(epilog="Example: chandlery halts remove AAPL 2024-06-03T14:41:00Z")
def remove(ctx: typer.Context, *, symbol: Symbol, start: Start) -> None:
    """Remove a halt that was recorded by mistake."""
    with Session.of(ctx).installation.warehouse.connection() as connection:
        removed = remove_halt(connection, symbol, parse_moment(start, name="start"))
    say(f"removed: {removed.symbol} {moment(removed.start)} to {moment(removed.end)}, {removed.reason}")


def _report(report: HaltReport) -> None:
    say(f"halts: added={report.added} changed={report.changed} unchanged={report.unchanged}")
