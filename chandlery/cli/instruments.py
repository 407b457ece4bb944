"""``instruments``: which instruments there are, what is known of them, and correcting that.

Not here: ``rename``, ``merge`` and ``remove`` (``registrations``).
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

import typer

from chandlery.cli import registrations
from chandlery.cli.options import AsJson
from chandlery.cli.output import note, say, say_json, show_table, table
from chandlery.cli.session import Session
from chandlery.config.universe import InstrumentConfig
from chandlery.core.calendars import get_calendar
from chandlery.core.symbols import AssetClass
from chandlery.core.text import counted
from chandlery.core.windows import EVER
from chandlery.coverage.calendar_changes import apply_instruments
from chandlery.coverage.summary import Summary, summarize
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument, describe, list_instruments
from chandlery.ops.registrations.belongings import count_stale_days

app = typer.Typer(
    no_args_is_help=True,
    help="See which instruments there are, and correct what was guessed of them.",
    epilog="Examples:\n\nchandlery instruments list\n\nchandlery instruments show ENI.MI"
    "\n\nchandlery instruments set ENI.MI --calendar XMIL"
    "\n\nchandlery instruments rename FB META --until 2022-06-09",
)
Symbol = Annotated[str, typer.Argument(help="Which instrument, by any name that it ever had.")]
_NAMES = ("symbol", "asset_class", "calendar", "provider", "timeframes", "name", "listed", "delisted", "universe")


def register(commands: typer.Typer) -> None:
    """Add the group."""
    registrations.register(app)
    commands.add_typer(app, name="instruments")


@app.command("list", epilog="Example: chandlery instruments list --json")
def list_(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List every instrument, in the order of registration."""
    with Session.of(ctx).warehouse.connection() as connection:
        rows = [_plain(instrument) for instrument in list_instruments(connection)]
    if as_json:
        say_json(rows)
        return
    if not rows:
        note("No instrument is registered; `chandlery init` registers those of universe.yaml.")
        return
    grid = table(*_NAMES, left=_NAMES, keys=["symbol", "calendar"])
    for row in rows:
        grid.add_row(*("" if row[name] is None else str(row[name]) for name in _NAMES))
    show_table(grid)


@app.command(epilog="Example: chandlery instruments show AAPL")
def show(ctx: typer.Context, *, symbol: Symbol, as_json: AsJson = False) -> None:
    """Show what is known of an instrument: its description, its aliases, and what is stored of it."""
    installation = Session.of(ctx).installation
    with installation.warehouse.connection() as connection:
        instrument = resolve(connection, symbol, *EVER)
        config = describe(connection, instrument)
        stored = summarize(connection, [instrument], static=installation.static)
    row = _plain(instrument) | {
        "aliases": [f"{each.ticker} {each.valid_from or ''}..{each.valid_until or ''}" for each in config.aliases],
        "stored": {summary.timeframe.value: _range(summary) for summary in stored},
    }
    if as_json:
        say_json(row)
        return
    for name, value in row.items():
        parts = value if isinstance(value, list) else value.items() if isinstance(value, dict) else [value]
        for part in parts:
            text = " ".join(part) if isinstance(part, tuple) else str("-" if part is None else part)
            say(f"{name:<12} {text}")


@app.command("set", epilog="Example: chandlery instruments set ENI.MI --calendar XMIL")
def set_(
    ctx: typer.Context,
    *,
    symbol: Symbol,
    calendar: Annotated[str | None, typer.Option(help="By which it trades: XNYS, 24/7, ...")] = None,
    asset_class: Annotated[str | None, typer.Option(help="What it is: equity, crypto, ...")] = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Correct what was guessed of an instrument that universe.yaml does not list, and say what follows from it.

    With another calendar, weeks, months and days from minutes are derived anew by the next ingest or by the pipeline,
    and sessions are counted anew at once. Bars that providers gave stay as they are.
    """
    given = {"calendar": calendar, "asset_class": asset_class, "name": name}
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise UsageError("nothing to set; give --calendar, --asset-class or --name")
    if calendar is not None:
        get_calendar(calendar)
    if asset_class is not None and asset_class not in get_args(AssetClass):
        raise UsageError(f"asset_class={asset_class!r} is not known; allowed: {' '.join(get_args(AssetClass))}")
    warehouse = Session.of(ctx).warehouse
    with warehouse.connection() as connection:
        instrument = resolve(connection, symbol, *EVER)
        if instrument.in_universe:
            raise UsageError(
                f"{instrument.symbol} is described in universe.yaml: change it there and run `chandlery init`"
            )
        config = describe(connection, instrument)
        config = InstrumentConfig.model_validate(config.model_dump(by_alias=True) | changes)
        apply_instruments(connection, warehouse, [config])
        after = resolve(connection, instrument.symbol, *EVER)
        stale = {base: count_stale_days(connection, base, after.instrument_id) for base in config.timeframes}
    before, row = _plain(instrument), _plain(after)
    changed = {key: [before[key], row[key]] for key in _NAMES if before[key] != row[key]}
    if as_json:
        stale_days = {base.value: count for base, count in stale.items()}
        say_json({"symbol": after.symbol, "changed": changed, "stale_days": stale_days})
        return
    for key, (old, new) in changed.items():
        say(f"{after.symbol}  {key}: {old} is now {new}")
    for base, count in stale.items():
        if count:
            say(f"{after.symbol}  what derives from {counted(count, 'day')} of {base.value} will be derived anew")
    if not changed:
        say(f"{after.symbol}  is so already; nothing changed")


def _plain(instrument: Instrument) -> dict[str, Any]:
    listed = {True: "listed", False: "removed", None: "not listed"}
    return {
        "symbol": instrument.symbol,
        "asset_class": instrument.asset_class,
        "calendar": instrument.calendar,
        "provider": instrument.provider,
        "timeframes": " ".join(instrument.timeframes),
        "name": instrument.name,
        "listed": _text(instrument.listed),
        "delisted": _text(instrument.delisted),
        "universe": listed[instrument.in_universe],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _range(summary: Summary) -> str:
    return f"{counted(summary.rows, 'bar')} from {summary.first_ts:%Y-%m-%d} to {summary.last_ts:%Y-%m-%d}"
