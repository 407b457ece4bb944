"""``quarantine list``, ``show`` and ``release``: what the gate rejected, and a person's decision about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from chandlery.cli.options import AsJson
from chandlery.cli.output import columns_of, moment, note, number, say, say_json, show_table, table
from chandlery.cli.rows import Format, write_rows
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.ingest import quarantine
from chandlery.ingest.quarantine import QuarantineEntry
from chandlery.instruments.aliases import resolve

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.core.partition import Partition
    from chandlery.rollups.refresh import Derived
    from chandlery.tiers.warehouse import Warehouse

app = typer.Typer(
    no_args_is_help=True,
    help="See what the gate rejected, and release it where it is right after all.",
    epilog="Examples:\n\nchandlery quarantine list\n\nchandlery quarantine show 3"
    '\n\nchandlery quarantine release 3 --reason "checked against the exchange"',
)
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the entry, as listed.")]


def register(commands: typer.Typer) -> None:
    """Add the group."""
    commands.add_typer(app, name="quarantine")


@app.command("list", epilog="Example: chandlery quarantine list --symbol AAPL --all")
def list_(
    ctx: typer.Context,
    *,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol's.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was released, or replaced by a later answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what waits, oldest first."""
    with Session.of(ctx).warehouse.connection() as connection:
        if symbol is not None:
            symbol = resolve(connection, symbol, *EVER).symbol
        entries = quarantine.list_entries(connection, symbol=symbol, everything=everything)
    if as_json:
        say_json([asdict(entry) for entry in entries])
        return
    if not entries:
        note(f"Nothing {'was ever' if everything else 'waits'} in quarantine{f' of {symbol}' if symbol else ''}.")
        return
    names = ["id", "symbol", "timeframe", "window", "kind", "rows", "provider", "arrived", "state", "reason"]
    grid = table(
        *names if everything else [name for name in names if name != "state"],
        left=[*names[1:5], *names[6:]],
        folded=["reason"],
        keys=["id", "symbol", "reason"],
    )
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
    show_table(grid)


@app.command(epilog="Example: chandlery quarantine show 3 --format csv")
def show(
    ctx: typer.Context,
    *,
    quarantine_id: Number,
    form: Annotated[Format, typer.Option("--format", "-f", help="table, csv or json")] = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    """Show an entry's rows, each with the rules it broke."""
    from chandlery.ingest.rejected_rows import good_rows, read_entry  # noqa: PLC0415 - slow to import

    form = Format.JSON if as_json else form
    with Session.of(ctx).warehouse.connection() as connection:
        entry, rows = read_entry(connection, quarantine_id)
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
    write_rows(
        _offenders_first(rows.drop_columns("symbol")),
        Format.TABLE,
        None,
        day=not Timeframe(entry.timeframe).is_intraday,
    )
    if entry.released_at is None and entry.replaced:
        say("To release it all the same would make these values the present ones again.")
    elif entry.released_at is None:
        say(f'If it is right after all: chandlery quarantine release {entry.quarantine_id} --reason "..."')
        if 0 < good_rows(rows).num_rows < rows.num_rows:
            say("Only the rows that broke no rule of their own: the same with --good-rows-only")


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
    as_json: AsJson = False,
) -> None:
    """Publish an entry's rows, and bring derived bars in step."""
    from chandlery.ingest.release import release as release_entry  # noqa: PLC0415 - slow to import

    session = Session.of(ctx)
    installation = session.installation
    result = release_entry(installation.warehouse, quarantine_id, reason, released_by=by, good_rows_only=good_rows_only)
    counts = {"inserted": result.inserted, "revised": result.revised, "unchanged": result.unchanged}
    if not as_json:
        say(f"released {quarantine_id}: {' '.join(f'{name}={count}' for name, count in counts.items())}")
    steps, changed = _derive(installation.warehouse, result.partition)
    widths = [timeframe.value for timeframe in Timeframe if timeframe.rank > result.partition.timeframe.rank]
    if as_json:
        say_json({"released": quarantine_id, **counts, "derived_changed": changed})
    else:
        say(f"derived bars ({' '.join(widths)}) are in step: {number(changed)} changed")
    session.orchestrator(installation).record_release(result, reason, steps)


def _derive(warehouse: Warehouse, partition: Partition) -> tuple[list[Derived], int]:
    """Bring what derives from the released bars in step; return what was done, and how many derived bars changed."""
    from chandlery.rollups.refresh import catch_up  # noqa: PLC0415 - slow to import

    with warehouse.connection() as connection:
        instrument = resolve(connection, partition.symbol, *EVER)
    base = partition.timeframe
    steps = list(catch_up(warehouse, base, [instrument], *EVER))
    return steps, sum(step.report.inserted + step.report.revised for step in steps)


def _state(entry: QuarantineEntry) -> str:
    if entry.released_at is not None:
        return f"released {moment(entry.released_at)}"
    return "replaced by a later answer" if entry.replaced else "waits"


def _offenders_first(rows: pa.Table) -> pa.Table:
    """Return the rows that broke a rule of their own, then the others, each in their order."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    broke = pc.fill_null(pc.greater(pc.list_value_length(rows["reasons"]), 0), False)
    return pa.concat_tables([rows.filter(broke), rows.filter(pc.invert(broke))])


def _flat(rows: pa.Table) -> pa.Table:
    """Return ``rows`` with the reasons as one text, since CSV knows no lists."""
    import pyarrow.compute as pc  # noqa: PLC0415

    place = rows.schema.get_field_index("reasons")
    return rows.set_column(place, "reasons", pc.binary_join(rows["reasons"], "; "))
