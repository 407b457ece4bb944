"""The list of commands: it says what each command says of itself, and imports none of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chandlery.cli import app
from chandlery.cli.commands import COMMANDS, load

SLOW = ("pyarrow", "numpy", "pandas", "psycopg", "sqlalchemy", "alembic", "yaml", "exchange_calendars")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_sentences_of_its_help(name: str) -> None:
    command = load(name)
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name].help
    assert command.name == name


def test_every_command_of_a_module_is_listed() -> None:
    for module in {entry.module for entry in COMMANDS.values()}:
        whole = typer.Typer(callback=lambda: None)
        __import__(f"chandlery.cli.{module}", fromlist=["register"]).register(whole)
        group: Any = typer.main.get_command(whole)
        assert set(group.commands) == {n for n, entry in COMMANDS.items() if entry.module == module}


def walk(command: object, name: str) -> Iterator[tuple[str, Any]]:
    """Yield a command, or each of a group's."""
    inner = getattr(command, "commands", None)
    if not inner:
        yield name, command
    for part, each in (inner or {}).items():
        yield from walk(each, f"{name} {part}")


def test_every_command_but_those_that_open_something_else_prints_json() -> None:
    commands = [pair for name in COMMANDS for pair in walk(load(name), name)]
    without = [name for name, each in commands if not any("--json" in option.opts for option in each.params)]
    assert without == ["psql", "serve", "ui"]


def test_help_lists_every_command_in_order() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert re.findall(r"^\W+([a-z]+)  ", text[text.index("Commands") :], re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nope"]])
def test_listing_commands_imports_nothing_slow(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom chandlery.cli import app\n"
        f"try: app({arguments!r})\nexcept SystemExit: pass\n"
        f"sys.stderr.write('imported: ' + ' '.join(name for name in {SLOW!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.endswith("imported: ")


def test_a_misspelt_command_is_answered_with_a_similar_one() -> None:
    result = CliRunner().invoke(app, ["ingset"])
    assert result.exit_code == 2
    assert "'ingest'" in result.stderr
