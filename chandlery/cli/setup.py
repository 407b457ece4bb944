"""``init`` and ``ui``: setting up, and the web interface."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer

from chandlery.app.installation import Installation
from chandlery.cli.options import PORT, AsJson
from chandlery.cli.output import columns_of, note, say, say_json
from chandlery.cli.session import Session
from chandlery.instruments.registry import SyncReport
from chandlery.ops.status import describe_server


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Examples:\n\nchandlery init"
        "\n\nCHANDLERY_DATABASE_URL=postgresql://user:password@host/bars chandlery init"
    )(init)
    app.command(epilog="Examples:\n\nchandlery ui\n\nchandlery ui --port 3100")(ui)


def init(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Set up the database, its schema and the instruments of universe.yaml. Safe to run again."""
    session = Session.of(ctx)
    installation, report = session.create()
    session.orchestrator(installation).forget([former for former, _ in report.renamed])
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
    if report.renamed:
        renamed = ", ".join(f"{former} is now {symbol}" for former, symbol in report.renamed)
        facts.append(("renamed", f"{renamed} (its history stays)"))
    if report.removed:
        facts.append(("removed", f"{', '.join(report.removed)} (no longer requested; what is stored stays)"))
    if as_json:
        say_json(_plain_report(installation, report))
        return
    for line in columns_of(facts):
        say(line)
    say()
    for question in report.questions:
        note(question)
    if installation.new_config_files:
        say(f"The default configuration was copied to {installation.settings.config}: it is yours to edit.")
    say("Ready. Next: `chandlery ingest --preset demo-daily`, then `chandlery query AAPL`, or `chandlery ui`.")


def ui(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = PORT,
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
        "renamed": [{"former": former, "symbol": symbol} for former, symbol in report.renamed],
        "removed": list(report.removed),
        "questions": list(report.questions),
    }


def _aggregates(installation: Installation) -> list[tuple[str, str]]:
    requested = " ".join(installation.lifecycle.continuous_aggregates)
    if installation.refused_aggregates:
        return [
            ("aggregates", f"none: lifecycle.yaml asks for {requested}, which takes TimescaleDB with its own licence")
        ]
    return [("aggregates", f"{requested}, kept by the server: market.aggregate_*")] if requested else []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
