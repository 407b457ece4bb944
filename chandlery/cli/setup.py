"""``init``, ``status`` and ``ui``: setting up, how it is doing, and the web interface."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from chandlery.app.installation import Installation
from chandlery.cli.options import AsJson
from chandlery.cli.output import columns_of, moment, note, number, say, say_json, show_table, size, table
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.detect import ServerReport
from chandlery.instruments.registry import SyncReport
from chandlery.ops.status import LakeStatus, Status, describe_server, read_status

_PORT = 3000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Examples:\n\nchandlery init"
        "\n\nCHANDLERY_DATABASE_URL=postgresql://user:password@host/bars chandlery init"
    )(init)
    app.command(epilog="Example: chandlery status")(status)
    app.command(epilog="Examples:\n\nchandlery ui\n\nchandlery ui --port 3100")(ui)


def init(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Set up the database, its schema and the instruments of universe.yaml. Safe to run again."""
    session = Session.of(ctx)
    installation, report = session.create()
    session.orchestrator(installation).prepare()
    edition = installation.warehouse.edition
    facts = [
        ("home", str(installation.settings.home)),
        ("config", str(installation.settings.config)),
        ("database", describe_server(installation.warehouse, installation.settings)),
        ("edition", f"{edition.name}: {edition.meaning}"),
        *_aggregates(installation),
        ("instruments", f"{len(installation.universe.instruments)} in universe.yaml"),
        ("added", ", ".join(report.added) or "none"),
        ("changed", ", ".join(report.changed) or "none"),
    ]
    if report.removed:
        facts.append(("removed", f"{', '.join(report.removed)} (no longer requested; what is stored stays)"))
    if as_json:
        say_json(_plain_report(installation, report))
        return
    for line in columns_of(facts):
        say(line)
    say()
    if installation.new_config_files:
        say(f"The default configuration was copied to {installation.settings.config}: it is yours to edit.")
    say("Ready. Next: `chandlery ingest --preset demo-daily`, then `chandlery query AAPL`, or `chandlery ui`.")


def status(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show where things are, what is stored, and what waits for a person."""
    installation = Session.of(ctx).installation
    seen = read_status(installation.warehouse, installation.settings)
    if as_json:
        say_json(_plain_status(seen))
        return
    for line in columns_of(_facts(seen)):
        say(line)
    if seen.rows:
        grid = table("timeframe", "bars in the store", left=["timeframe"])
        for timeframe, rows in seen.rows.items():
            grid.add_row(timeframe.value, number(rows.count) if rows.exact else f"~{number(rows.count)}")
        show_table(grid)
        if not all(rows.exact for rows in seen.rows.values()):
            say("~ is the planner's estimate; smaller tables are counted.")
    else:
        say("No bars yet: `chandlery ingest --preset demo-daily` loads some.")
    if seen.publications:
        grid = table("published", "timeframe", "inserted", "revised", "by", left=["published", "timeframe", "by"])
        for item in seen.publications:
            grid.add_row(
                moment(item.known_at), item.timeframe, number(item.inserted), number(item.revised), item.origin
            )
        show_table(grid)


def ui(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = _PORT,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name of this server, such as that of a proxy. May be repeated.")
    ] = None,
) -> None:
    """Serve the web interface until Ctrl-C: runs, schedules, lineage, backfills.

    It opens to whoever has the token in the address that is printed. The token is kept in the file ui-token of the
    home, or comes from CHANDLERY_UI_TOKEN.
    """
    if not _is_loopback(host):
        note(f"warning: on {host}, the token travels over the network as it is; put a proxy with TLS before it")
    session = Session.of(ctx)
    raise typer.Exit(session.orchestrator(session.installation).serve(host, port, allow_host or ()))


def _plain_report(installation: Installation, report: SyncReport) -> dict[str, object]:
    return {
        "home": installation.settings.home,
        "config": installation.settings.config,
        "database": describe_server(installation.warehouse, installation.settings),
        "edition": installation.warehouse.edition.name,
        "instruments": len(installation.universe.instruments),
        "added": list(report.added),
        "changed": list(report.changed),
        "removed": list(report.removed),
    }


def _plain_status(seen: Status) -> dict[str, object]:
    return {
        "home": seen.home,
        "server": seen.server,
        "postgresql": seen.report.postgresql,
        "timescaledb": seen.report.timescaledb,
        "edition": seen.report.edition.name,
        "advice": seen.report.advice or None,
        "schema": seen.revision,
        "bytes": seen.bytes,
        "lake": asdict(seen.lake),
        "instruments": seen.instruments,
        "bars": {timeframe: asdict(count) for timeframe, count in seen.rows.items()},
        "landed": seen.landed,
        "quarantined": seen.quarantined,
        "findings": seen.findings,
        "stale_days": dict(seen.stale),
        "failed": [
            {"timeframe": base, "days": days, "next_try": next_try, "error": error}
            for base, days, next_try, error in seen.failed
        ],
        "aggregates_behind": seen.aggregates_behind,
        "publications": [asdict(each) for each in seen.publications],
    }


def _facts(seen: Status) -> list[tuple[str, str]]:
    stale = ", ".join(f"{number(days)} of {base.value}" for base, days in seen.stale.items())
    waiting = f"{seen.quarantined} waiting: `chandlery quarantine list`" if seen.quarantined else "empty"
    return [
        ("home", str(seen.home)),
        ("server", f"{seen.server}, PostgreSQL {seen.report.postgresql}{_extensions(seen.report)}"),
        ("edition", f"{seen.report.edition.name}: {seen.report.edition.meaning}"),
        *([("advice", seen.report.advice)] if seen.report.advice else []),
        ("schema", seen.revision or "none"),
        ("size", size(seen.bytes)),
        ("lake", _lake(seen.lake)),
        ("instruments", number(seen.instruments)),
        *([("landed", f"{number(seen.landed)} answers wait to be processed")] if seen.landed else []),
        ("quarantine", waiting),
        ("findings", f"{seen.findings} noticed: `chandlery findings list`" if seen.findings else "none"),
        (
            "stale days",
            f"{stale}, waiting to be rolled up" if stale else "none: derived bars are in step with their base",
        ),
        *(("failed", _failed(*each)) for each in seen.failed),
        *(
            [("aggregates", f"{number(seen.aggregates_behind)} days behind; the daily maintenance refreshes them")]
            if seen.aggregates_behind
            else []
        ),
        ("web interface", f"`chandlery ui` serves it on http://127.0.0.1:{_PORT}"),
    ]


def _failed(base: Timeframe, days: int, next_try: datetime, error: str) -> str:
    tried = f"tried again by itself from {moment(next_try)} on"
    return f"{number(days)} of the stale days of {base.value} could not be rolled up; {tried}: {error}"


def _aggregates(installation: Installation) -> list[tuple[str, str]]:
    requested = " ".join(installation.lifecycle.continuous_aggregates)
    if installation.refused_aggregates:
        return [
            ("aggregates", f"none: lifecycle.yaml asks for {requested}, which takes TimescaleDB with its own licence")
        ]
    return [("aggregates", f"{requested}, kept by the server: market.aggregate_*")] if requested else []


def _extensions(report: ServerReport) -> str:
    versions = {f"TimescaleDB ({report.licence} licence)": report.timescaledb, "pgvector": report.pgvector}
    return "".join(f", {name} {version}" for name, version in versions.items() if version)


def _lake(lake: LakeStatus) -> str:
    if not lake.files:
        return f"{lake.root}, empty: `chandlery archive` or the daily maintenance fills it"
    cold = f"{number(lake.cold)} windows are there alone" if lake.cold else "all of it is in the store as well"
    return f"{lake.root}: {number(lake.files)} files, {size(lake.bytes)}, {number(lake.bars)} bars; {cold}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
