"""Which commands there are, and where. A command's module is imported when the command runs.

Importing all of them takes most of a second, which ``chandlery --help`` and the shell's completion should not wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand


@dataclass(frozen=True, slots=True)
class Entry:
    """A command, or a group of commands.

    Attributes:
        module: of ``chandlery.cli``; its ``register`` adds the command.
        help: what the list of commands says of it: the first sentences of its own help.
        reads: whether it soon reads the database, and a person waits for it.
    """

    module: str
    help: str
    reads: bool = False


#: In the order in which they are listed.
COMMANDS = {
    "init": Entry("setup", "Set up the database, its schema and the instruments of universe.yaml. Safe to run again."),
    "ingest": Entry(
        "ingest",
        "Load bars: ask a provider, let the gate audit, publish what is good, quarantine the rest, roll up.",
        reads=True,
    ),
    "replay": Entry(
        "replay",
        "Audit and publish again what landed, for example because a rule of the gate changed. No provider is called.",
    ),
    "query": Entry("query", "Show the bars of one symbol that start in [START, END).", reads=True),
    "chart": Entry(
        "chart",
        "Write the bars of one symbol that start in [START, END) as a chart: one HTML file, which needs no network.",
        reads=True,
    ),
    "revisions": Entry(
        "query", "Show every bar that was restated, with each value and when it was believed.", reads=True
    ),
    "indicators": Entry("indicators", "Show which indicators there are, with their parameters, columns and warm-up."),
    "why": Entry("why", "Show where a bar comes from and what it was before, or why there is none.", reads=True),
    "coverage": Entry(
        "coverage",
        "Show what is stored: rows, range, sessions present of those expected, sources;"
        " and why sessions lack something.",
        reads=True,
    ),
    "findings": Entry(
        "findings",
        "See what the gate noticed and did not reject: jumps, missing or extra sessions, copies, suspect prints.",
        reads=True,
    ),
    "instruments": Entry(
        "instruments", "See which instruments there are, and correct what was guessed of them.", reads=True
    ),
    "halts": Entry(
        "halts",
        "Record when trading was halted: what is missing meanwhile is then explained (see coverage).",
        reads=True,
    ),
    "archive": Entry(
        "tiers", "Write to the lake what closed and settled (see lifecycle.yaml) and is not there as it is now."
    ),
    "compress": Entry("tiers", "Compress older parts of the store (see lifecycle.yaml), where the server can."),
    "prune": Entry(
        "tiers",
        "Delete bars from the store whose time there is over (see lifecycle.yaml), if the lake provably holds them.",
    ),
    "restore": Entry(
        "tiers", "Bring bars back from the lake into the store. Reading them does not need it: answers are the same."
    ),
    "quarantine": Entry(
        "quarantine", "See what the gate rejected, and release it where it is right after all.", reads=True
    ),
    "cache": Entry(
        "cache",
        "Show what is kept of what was read, on disk and in Redis, and remove it. Reads do the rest by themselves.",
    ),
    "move": Entry(
        "move",
        "Copy everything to another server: bars, revisions, coverage, quarantine, actions, the lake's manifest.",
    ),
    "psql": Entry("psql", "Open psql on the market database. The embedded server runs as long as psql does."),
    "status": Entry("status", "Show where things are, what is stored, and what waits for a person.", reads=True),
    "serve": Entry(
        "serve",
        "Serve bars over HTTP until Ctrl-C: /v1/ohlc, latest, coverage and instruments; /health, /metrics and /docs.",
    ),
    "ui": Entry("setup", "Serve the web interface until Ctrl-C: runs, schedules, lineage, backfills."),
}


def placeholders() -> dict[str, Any]:
    """Return, for each name, a command that knows its help and cannot run: enough to list them."""
    return {name: TyperCommand(name, help=entry.help) for name, entry in COMMANDS.items()}


def load(name: str) -> Any:  # noqa: ANN401 - typer does not export its commands' base class
    """Return the command called ``name``, with its module imported."""
    whole = typer.Typer(callback=lambda: None, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    import_module(f"chandlery.cli.{COMMANDS[name].module}").register(whole)
    group: Any = typer.main.get_command(whole)
    return group.commands[name]
