"""``findings list``, ``show`` and ``dismiss``: what the gate noticed and did not reject."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from chandlery.cli.options import AsJson
from chandlery.cli.output import columns_of, moment, note, number, say, say_json, show_table, table
from chandlery.cli.session import Session
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.ingest.person import system_user
from chandlery.instruments.aliases import resolve
from chandlery.quality import findings
from chandlery.quality.findings import Finding

app = typer.Typer(
    no_args_is_help=True,
    help="See what the gate noticed and did not reject: jumps, missing or extra sessions, copies, suspect prints.",
    epilog="Examples:\n\nchandlery findings list\n\nchandlery findings show 3"
    '\n\nchandlery findings dismiss 3 --reason "a split, see the corporate actions"',
)
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the finding, as listed.")]


def register(commands: typer.Typer) -> None:
    """Add the group."""
    commands.add_typer(app, name="findings")


@app.command("list", epilog="Example: chandlery findings list AAPL --timeframe 1d --all")
def list_(
    ctx: typer.Context,
    *,
    symbols: Annotated[list[str] | None, typer.Argument(help="Which instruments; all by default.")] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", "-t", help="Which; all by default.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only what this rule noticed, such as price_jump.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were dismissed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what nobody dismissed, by symbol and time."""
    with Session.of(ctx).warehouse.connection() as connection:
        ids = [resolve(connection, symbol, *EVER).instrument_id for symbol in symbols or ()]
        width = Timeframe.parse(timeframe) if timeframe else None
        findings.check_timeframe(width)
        found = findings.list_findings(
            connection,
            instrument_ids=ids or None,
            timeframe=width,
            rule=rule,
            state=None if everything else "current",
        )
    if as_json:
        say_json([asdict(finding) for finding in found])
        return
    if not found:
        note("Nothing was ever noticed." if everything else "No finding is there that nobody dismissed.")
        return
    names = ["id", "symbol", "timeframe", "rule", "from", "to", "times", "state", "detail"]
    grid = table(
        *names,
        left=[*names[1:6], *names[7:]],
        folded=["detail"],
        keys=["id", "symbol", "rule", "detail"],
    )
    for finding in found:
        day = not Timeframe(finding.timeframe).is_intraday
        grid.add_row(
            str(finding.finding_id),
            finding.symbol,
            finding.timeframe,
            finding.rule,
            moment(finding.start, day=day),
            moment(finding.end, day=day),
            number(finding.span_count),
            finding.state,
            finding.detail,
        )
    show_table(grid)


@app.command(epilog="Example: chandlery findings show 3")
def show(ctx: typer.Context, *, finding_id: Number, as_json: AsJson = False) -> None:
    """Show one finding, with its evidence."""
    with Session.of(ctx).warehouse.connection() as connection:
        finding = findings.read_finding(connection, finding_id)
    if as_json:
        say_json(asdict(finding))
        return
    for line in columns_of(_facts(finding)):
        say(line)
    if finding.state != "dismissed":
        say(f'If it is none: chandlery findings dismiss {finding.finding_id} --reason "..."')


@app.command(epilog='Example: chandlery findings dismiss 3 --reason "a split, see the corporate actions"')
def dismiss(
    ctx: typer.Context,
    *,
    finding_id: Number,
    reason: Annotated[str, typer.Option(help="Why it is none; recorded for good.")],
    by: Annotated[
        str | None, typer.Option(help="Your name, for the record; that of the operating system's user by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Close a finding because it is none. It opens again only if it is about other times then."""
    session = Session.of(ctx)
    with session.warehouse.connection() as connection:
        finding = findings.dismiss(connection, finding_id, reason, by=(by or "").strip() or system_user())
    session.orchestrator(session.installation).record_findings(Timeframe(finding.timeframe))
    if as_json:
        say_json(asdict(finding))
        return
    say(f"dismissed {finding_id}: {finding.symbol} {finding.timeframe} {finding.scope} {finding.rule}")


def _facts(finding: Finding) -> list[tuple[str, str]]:
    day = not Timeframe(finding.timeframe).is_intraday
    evidence = {name: str(value) for name, value in finding.evidence.items() if name != "detail"}
    facts = [
        ("finding", f"{finding.finding_id}: {finding.symbol} {finding.timeframe} {finding.scope}"),
        ("rule", finding.rule),
        ("noticed", finding.detail),
        ("from", moment(finding.start, day=day)),
        ("to", f"{moment(finding.end, day=day)} (exclusive), {counted(finding.span_count, 'time')}"),
        *evidence.items(),
        ("since", moment(finding.found_at)),
        ("state", finding.state),
    ]
    if finding.closed_at is not None:
        facts += [
            ("closed", moment(finding.closed_at)),
            ("by", finding.closed_by or ""),
            ("reason", finding.reason or ""),
        ]
    return facts
