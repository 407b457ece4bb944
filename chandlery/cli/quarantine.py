"""``quarantine list``, ``show`` and ``release``: what the gate rejected, and a person's decision about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from chandlery.cli.output import Format, columns_of, moment, note, number, out, say, table, write_rows
from chandlery.cli.session import Session
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.ingest import quarantine
from chandlery.ingest.quarantine import QuarantineEntry
from chandlery.ingest.release import release as release_entry
from chandlery.instruments.aliases import resolve
from chandlery.rollups.refresh import Derived, catch_up
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa


app = typer.Typer(
    no_args_is_help=True,
    help="See what the gate rejected, and release it where it is right after all.",
    epilog="Examples:\n\nchandlery quarantine list\n\nchandlery quarantine show 3"
    '\n\nchandlery quarantine release 3 --reason "checked against the exchange"',
)
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the entry, as listed.")]


@app.command("list", epilog="Example: chandlery quarantine list --symbol AAPL --all")
def list_(
    ctx: typer.Context,
    *,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol's.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was released, or replaced by a later answer.")
    ] = False,
) -> None:
    """List what waits, oldest first."""
    with Session.of(ctx).installation.warehouse.connection() as connection:
        if symbol is not None:
            symbol = resolve(connection, symbol, *EVER).symbol
        entries = quarantine.list_entries(connection, symbol=symbol, everything=everything)
    if not entries:
        note(f"Nothing {'was ever' if everything else 'waits'} in quarantine{f' of {symbol}' if symbol else ''}.")
        return
    names = ["id", "symbol", "timeframe", "window", "kind", "rows", "provider", "arrived", "state", "reason"]
    grid = table(*names if everything else [name for name in names if name != "state"], left=[*names[1:5], *names[6:]])
    grid.columns[-1].no_wrap = False
    for entry in entries:
        grid.add_row(
            str(entry.quarantine_id),
            entry.symbol,
            entry.timeframe,
            entry.window_key,
            entry.kind,
            number(entry.row_count),
            entry.provider,
            moment(entry.arrived_at),
            *([_state(entry)] if everything else []),
            entry.reason,
        )
    out().print(grid)


@app.command(epilog="Example: chandlery quarantine show 3 --format csv")
def show(
    ctx: typer.Context,
    *,
    quarantine_id: Number,
    form: Annotated[Format, typer.Option("--format", "-f", help="table, csv or json")] = Format.TABLE,
) -> None:
    """Show an entry's rows, each with the rules it broke."""
    with Session.of(ctx).installation.warehouse.connection() as connection:
        entry, rows = quarantine.read_entry(connection, quarantine_id)
    if form is not Format.TABLE:
        write_rows(_flat(rows) if form is Format.CSV else rows, form, None, day=False)
        return
    facts = [
        ("entry", f"{entry.quarantine_id}: {entry.symbol} {entry.timeframe} {entry.window_key} from {entry.provider}"),
        ("rejected", "the whole partition" if entry.kind == "batch" else "these rows; the others were published"),
        ("reason", entry.reason),
        ("arrived", moment(entry.arrived_at)),
        ("state", f"{_state(entry)}: {entry.release_reason}" if entry.released_at else _state(entry)),
        *([("by", entry.released_by)] if entry.released_by else []),
    ]
    for line in columns_of(facts):
        say(line)
    write_rows(rows.drop_columns("symbol"), Format.TABLE, None, day=not Timeframe(entry.timeframe).is_intraday)
    if entry.released_at is None and entry.replaced:
        say("To release it all the same would make these values the present ones again.")
    elif entry.released_at is None:
        say(f'If it is right after all: chandlery quarantine release {entry.quarantine_id} --reason "..."')


@app.command(epilog='Example: chandlery quarantine release 3 --reason "checked against the exchange"')
def release(
    ctx: typer.Context,
    *,
    quarantine_id: Number,
    reason: Annotated[str, typer.Option(help="Why it is right after all; recorded for good.")],
    by: Annotated[
        str | None, typer.Option(help="Your name, for the record; that of the operating system's user by default.")
    ] = None,
    good_rows_only: Annotated[
        bool, typer.Option("--good-rows-only", help="Only the rows that broke no rule of their own.")
    ] = False,
) -> None:
    """Publish an entry's rows, and bring derived bars in step."""
    session = Session.of(ctx)
    installation = session.installation
    result = release_entry(installation.warehouse, quarantine_id, reason, released_by=by, good_rows_only=good_rows_only)
    say(f"released {quarantine_id}: inserted={result.inserted} revised={result.revised} unchanged={result.unchanged}")
    steps = _derive(installation.warehouse, result.partition)
    session.orchestrator(installation).record_release(result, reason, steps)


def _derive(warehouse: Warehouse, partition: Partition) -> list[Derived]:
    """Bring what derives from the released bars in step, and say so."""
    with warehouse.connection() as connection:
        instrument = resolve(connection, partition.symbol, *EVER)
    base = partition.timeframe
    steps = list(catch_up(warehouse, base, [instrument], *EVER))
    changed = sum(step.report.inserted + step.report.revised for step in steps)
    widths = " ".join(timeframe.value for timeframe in Timeframe if timeframe.rank > base.rank)
    say(f"derived bars ({widths}) are in step: {number(changed)} changed")
    return steps


def _state(entry: QuarantineEntry) -> str:
    if entry.released_at is not None:
        return f"released {moment(entry.released_at)}"
    return "replaced by a later answer" if entry.replaced else "waits"


def _flat(rows: pa.Table) -> pa.Table:
    """Return ``rows`` with the reasons as one text, since CSV knows no lists."""
    import pyarrow.compute as pc  # noqa: PLC0415

    place = rows.schema.get_field_index("reasons")
    return rows.set_column(place, "reasons", pc.binary_join(rows["reasons"], "; "))
