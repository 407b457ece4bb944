"""``move``: everything to another server. Not here: how it is copied (``ops.move``)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from pydantic import SecretStr

from chandlery.cli.options import AsJson
from chandlery.cli.output import err, say, say_json
from chandlery.cli.progress import Display, Step, Stopwatch, open_display
from chandlery.cli.session import Session
from chandlery.core.text import counted
from chandlery.database.connections import Database
from chandlery.database.dsn import database_name, hide_password, market_dsn
from chandlery.errors import ConfigurationError, UsageError
from chandlery.ops.move.contents import TablePart
from chandlery.ops.move.move import move
from chandlery.ops.move.progress import MoveReport
from chandlery.settings import Settings

_VARIABLE = "CHANDLERY_MOVE_TO"
_EPILOG = f"""Examples:

chandlery move --to postgresql://user:password@host:5432/bars

{_VARIABLE}=postgresql://user:password@host:5432/bars chandlery move

The second keeps the password out of the list of processes; set the variable in a file that is read by the shell, and
it stays out of the shell's history too.

The target is any PostgreSQL from 15 on, with or without TimescaleDB. Its database is created where it is absent, and
has to be empty. Stop ingestion and schedules first. After an interruption, the same command goes on where it was.
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("move", epilog=_EPILOG)(run)


def run(
    ctx: typer.Context,
    *,
    to: Annotated[
        str,
        typer.Option(metavar="URL", envvar=_VARIABLE, help="Where to move: postgresql://user:password@host/database."),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy everything to another server: bars, revisions, coverage, quarantine, actions, the lake's manifest.

    This installation's database is only read and stays as it is. Every part is compared by count and checksum when it
    is copied, and once more at the end.
    """
    target = Database(_parse(to))
    session = Session.of(ctx)
    ctx.call_on_close(target.close)
    source = session.installation.warehouse
    began = time.monotonic()
    with open_display(err(), "looking") as display:
        report = move(source.database, target, _MoveProgress(display))
    if as_json:
        say_json(asdict(report))
        return
    for line in _summary(report, time.monotonic() - began):
        say(line)
    say(f"The lake's files are not copied: both databases name them by the same paths below {source.lake.root}.")
    if target.edition.compresses:
        say("Nothing is compressed there yet: `chandlery compress` does that.")
    say("Dagster's history of runs is not copied: `chandlery init` makes the new server ready for a new one.")
    say("From now on, set where Chandlery runs:")
    say(f"CHANDLERY_DATABASE_URL={hide_password(target.dsn)}")


def _parse(url: str) -> str:
    """Return the libpq connection string of ``url``."""
    try:
        dsn = market_dsn(Settings(database_url=SecretStr(url)))
    except ConfigurationError:
        raise UsageError("--to is not a PostgreSQL URL; write postgresql://user:password@host:5432/database") from None
    if not database_name(dsn):
        raise UsageError("--to names no database; write postgresql://user:password@host:5432/database")
    return dsn


def _summary(report: MoveReport, seconds: float) -> Iterator[str]:
    if report.copied_parts:
        yield (
            f"Copied {counted(report.copied_rows, 'row')} in {seconds:,.1f} s"
            f" ({report.copied_rows / seconds:,.0f} rows/s, comparing included)."
        )
    else:
        yield "Nothing to do: everything was there already."
    yield (
        f"Both servers hold the same {counted(report.rows, 'row')}: the counts and checksums of"
        f" {counted(report.parts, 'part agrees', 'parts agree')}."
    )


class _MoveProgress:
    """Shows how far a move is: first what is copied, then what is compared."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._watch = Stopwatch()
        self._parts = self._copied = self._compared = 0

    def planned(self, parts: int, rows: int) -> None:
        """See ``MoveListener``."""
        self._parts = parts
        self._watch = Stopwatch()
        line = f"{counted(rows, 'row')} in {counted(parts, 'part')}"
        self._display.show(Step(line, at_once=True, total=parts, doing=f"copying {counted(rows, 'row')}"))

    def copying(self, part: TablePart) -> None:
        """See ``MoveListener``."""
        self._display.show(Step(f"{self._copied}/{self._parts} copied; now {part}", doing=f"copying {part}"))

    def copied(self, part: TablePart, rows: int) -> None:
        """See ``MoveListener``."""
        self._copied += 1
        self._watch.add(rows)
        speed = self._watch.speed
        line = f"{self._copied}/{self._parts} copied, {speed}: {part}"
        self._display.show(Step(line, doing=f"copied {part}", done=1, speed=speed))

    def kept(self, part: TablePart) -> None:
        """See ``MoveListener``."""
        self._copied += 1
        self._display.show(Step(f"{self._copied}/{self._parts} was there: {part}", doing=f"was there: {part}", done=1))

    def verified(self, part: TablePart) -> None:
        """See ``MoveListener``."""
        first = not self._compared
        self._compared += 1
        line = f"{self._compared}/{self._parts} compared: {part}"
        self._display.show(Step(line, doing=f"compared {part}", done=1, restart=first))
