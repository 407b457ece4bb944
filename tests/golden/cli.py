"""The reference of the command line, ``docs/cli.md``, written from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chandlery.cli.commands import COMMANDS, load

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"

_HEAD = """\
# The command line

Every command and option, as `chandlery COMMAND --help` shows them. This page is written by
`python -m tests.golden.update`; change the command instead.

Ranges are half-open, `[START, END)`, in UTC; a bare date means midnight UTC. Exit codes: 0 done, 1 failed, 2 wrong use,
3 done but something was rejected by the gate, 130 interrupted. Variables of the environment:
[environment.md](environment.md). The examples are checked against the options, and not run: they need data of your own.
"""


def document() -> str:
    """Return the page as it should be."""
    return "\n".join([_HEAD, *_lines()]).rstrip() + "\n"


def _lines() -> Iterator[str]:
    for name in COMMANDS:
        command = load(name)
        yield from _command(command, name, level=2)
        for part, each in getattr(command, "commands", {}).items():
            yield from _command(each, f"{name} {part}", level=3)


def _command(command: Any, name: str, *, level: int) -> Iterator[str]:  # noqa: ANN401 - typer does not export it
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"{'#' * level} `chandlery {name}`"
    yield ""
    yield inspect.cleandoc(command.help).replace("\f", "")
    yield ""
    if hasattr(command, "commands"):
        return
    yield f"Usage: `chandlery {' '.join([name, *command.collect_usage_pieces(context)])}`"
    yield ""
    records = [(param, param.get_help_record(context)) for param in command.get_params(context)]
    shown = [(param, record) for param, record in records if record is not None and "--help" not in record[0]]
    if shown:
        yield "| argument or option | |"
        yield "|---|---|"
        for param, (spelling, text) in shown:
            variables = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or ())
            more = f" Variable: `{'`, `'.join(variables)}`." if variables and "env var" not in text else ""
            yield f"| `{_cell(spelling)}` | {_cell(text)}{more} |"
        yield ""
    examples = [line.strip() for line in (command.epilog or "").replace("Example:", "").splitlines()]
    commands = [line for line in examples if line.startswith(("chandlery ", "CHANDLERY_"))]
    if commands:
        yield "```sh"
        yield from commands
        yield "```"
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
