"""``status``: how the installation is doing. Not here: finding out (``ops.status``)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import typer

from chandlery.cli.cache import cache_facts
from chandlery.cli.options import PORT, AsJson
from chandlery.cli.output import columns_of, moment, number, say, say_json, show_table, size, table
from chandlery.cli.session import Session
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.detect import ServerReport
from chandlery.ops.status import LakeStatus, Status, read_status


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: chandlery status")(status)


def status(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show where things are, what is stored, and what waits for a person."""
    session = Session.of(ctx)
    seen = read_status(session.warehouse, session.settings)
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
        "cache": [asdict(place) for place in seen.cache],
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
        *cache_facts(seen.cache),
        ("instruments", number(seen.instruments)),
        *(
            [("landed", f"{counted(seen.landed, 'answer waits', 'answers wait')} to be processed")]
            if seen.landed
            else []
        ),
        ("quarantine", waiting),
        ("findings", f"{seen.findings} noticed: `chandlery findings list`" if seen.findings else "none"),
        (
            "stale days",
            f"{stale}, waiting to be rolled up" if stale else "none: derived bars are in step with their base",
        ),
        *(("failed", _failed(*each)) for each in seen.failed),
        *(
            [("aggregates", f"{counted(seen.aggregates_behind, 'day')} behind; the daily maintenance refreshes them")]
            if seen.aggregates_behind
            else []
        ),
        ("web interface", f"`chandlery ui` serves it on http://127.0.0.1:{PORT}"),
    ]


def _failed(base: Timeframe, days: int, next_try: datetime, error: str) -> str:
    tried = f"tried again by itself from {moment(next_try)} on"
    return f"{number(days)} of the stale days of {base.value} could not be rolled up; {tried}: {error}"


def _extensions(report: ServerReport) -> str:
    versions = {f"TimescaleDB ({report.licence} licence)": report.timescaledb, "pgvector": report.pgvector}
    return "".join(f", {name} {version}" for name, version in versions.items() if version)


def _lake(lake: LakeStatus) -> str:
    if not lake.files:
        return f"{lake.root}, empty: `chandlery archive` or the daily maintenance fills it"
    cold = (
        f"{counted(lake.cold, 'window is', 'windows are')} there alone"
        if lake.cold
        else "all of it is in the store as well"
    )
    return f"{lake.root}: {counted(lake.files, 'file')}, {size(lake.bytes)}, {counted(lake.bars, 'bar')}; {cold}"
