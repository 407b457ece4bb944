"""``replay``: process answers of providers again, without calling them. Not here: how (``ingest.pipeline``)."""

from __future__ import annotations

from typing import Annotated

import typer

from chandlery.cli.ingest import carry_out
from chandlery.cli.options import AsJson
from chandlery.cli.outcome import plain_outcome
from chandlery.cli.output import note, say_json
from chandlery.cli.session import Session
from chandlery.cli.tally import Tally
from chandlery.core.moments import parse_moment
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.replay import plan_replay
from chandlery.ingest.request import PreparedIngest


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: chandlery replay --provider polygon --timeframe 1m --since 2024-05-01 AAPL")(replay)


def replay(
    ctx: typer.Context,
    *,
    symbols: Annotated[list[str] | None, typer.Argument(help="Which; all that landed by default.")] = None,
    provider: Annotated[str, typer.Option(help="A name in providers.yaml.")],
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="1m or 1d")] = "1d",
    since: Annotated[str | None, typer.Option(help="Only answers that came at this instant or later.")] = None,
    as_json: AsJson = False,
) -> None:
    """Audit and publish again what landed, for example because a rule of the gate changed. No provider is called.

    Answers are kept for the time that lifecycle.yaml says.
    """
    session = Session.of(ctx)
    installation = session.installation
    base = Timeframe.parse(timeframe)
    installation.configuration.providers.provider(provider)
    moment = parse_moment(since, name="since") if since else None
    plan = plan_replay(
        installation.warehouse, installation.landing, provider, base, since=moment, symbols=symbols or ()
    )
    if not plan.ranges:
        note(f"Nothing landed of {base.value} from {provider}{f' since {since}' if since else ''}.")
        if as_json:
            say_json(plain_outcome(PreparedIngest(plan), Tally(), (), 0.0))
        return
    raise typer.Exit(carry_out(session.orchestrator(installation), PreparedIngest(plan), as_json=as_json))
