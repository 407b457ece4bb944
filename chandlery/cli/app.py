"""Puts the commands together, and turns an error into one message and an exit code.

Not here: any command (each has a module of its own; ``commands`` lists them). Importing this must stay quick, because
``chandlery --help`` waits for it.
"""

from __future__ import annotations

import logging
import signal
import traceback
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import chandlery
from chandlery.cli.commands import COMMANDS, load, placeholders
from chandlery.cli.early import start_server
from chandlery.cli.failures import explain_failure
from chandlery.cli.output import say, say_error
from chandlery.errors import ChandleryError, ConfigurationError, UsageError
from chandlery.redaction.logs import hide_in_logs

_HELP = """Keeps market candles: audited, versioned bars.

Ranges are half-open, [START, END), in UTC; a bare date means midnight UTC. Settings come from the environment:
CHANDLERY_HOME (where things are kept) and CHANDLERY_DATABASE_URL (a PostgreSQL server of your own).
"""

_EPILOG = """Begin with:

chandlery init

chandlery ingest --preset demo-daily

chandlery query AAPL

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something was rejected by the gate, 130 interrupted.
"""
_INTERRUPTED = 130


class _Commands(TyperGroup):
    """Imports a command when it runs; ends with a message instead of a traceback where we raised on purpose."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(**attributes)
        self.commands.update(placeholders())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - see ``invoke``
        """Return the command that ``args`` begin with, its name, and the other arguments."""
        if args[0] in COMMANDS:
            if COMMANDS[args[0]].reads and not {"-h", "--help"} & set(args):
                start_server()
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - see ``invoke``
        """Refuse an empty argument, which most likely is a variable of a shell that was not set."""
        for place, argument in enumerate(args):
            before = args[place - 1] if place else ""
            if not argument:
                what = f"the argument after {before}" if before else "the command"
                raise typer.BadParameter(f"{what} is empty; give a value, or leave it out")
            if argument.startswith("--") and argument.endswith("="):
                raise typer.BadParameter(f"{argument[:-1]} is empty; give a value, or leave it out")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer does not export its context's base class
        # What libraries log is for programs that set up logging. Without any handler, some would print it.
        logging.getLogger().addHandler(logging.NullHandler())
        hide_in_logs()
        try:
            return super().invoke(ctx)
        except ChandleryError as error:
            say_error(str(error))
            raise typer.Exit(2 if isinstance(error, UsageError | ConfigurationError) else 1) from None
        except KeyboardInterrupt:
            # Whoever presses it once more does not want to wait.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            say_error("interrupted; what was done stays, and the same command does the rest")
            raise typer.Exit(_INTERRUPTED) from None
        except Exception as error:
            if type(error).__module__.startswith("typer."):  # how a command ends
                raise
            failure = explain_failure(error)
            if failure is None:  # a fault in our code, which is to be found by its traceback
                failure = "".join(traceback.format_exception(error)).rstrip()
            say_error(failure)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        say(f"chandlery {chandlery.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line. SIGTERM and a hang-up end it as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _interrupt)
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
