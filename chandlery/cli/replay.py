"""``replay``: process answers of providers again, without calling them. Not here: how (``ingest.pipeline``)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from chandlery.cli.ingest import carry_out
from chandlery.cli.output import note
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe, parse_moment
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.ingest.landing import LandedAnswer
from chandlery.ingest.plan import IngestOptions, IngestPlan
from chandlery.ingest.request import PreparedIngest
from chandlery.instruments.registry import Instrument, load_instruments


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
) -> None:
    """Audit and publish again what landed, for example because a rule of the gate changed. No provider is called.

    Answers are kept for the time that lifecycle.yaml says.
    """
    session = Session.of(ctx)
    installation = session.installation
    base = Timeframe.parse(timeframe)
    installation.configuration.providers.provider(provider)
    moment = parse_moment(since, name="since") if since else EVER[0]
    landed = installation.landing.find(provider, base, moment)
    with installation.warehouse.connection() as connection:
        instruments = load_instruments(connection)
    ranges = _ranges(landed, instruments)
    if unknown := sorted(set(symbols or ()) - {instrument.symbol for instrument in ranges}):
        raise UsageError(f"symbols={' '.join(unknown)}: nothing landed of {base.value} from {provider}")
    requested = {instrument: ranges[instrument] for instrument in ranges if not symbols or instrument.symbol in symbols}
    if not requested:
        note(f"Nothing landed of {base.value} from {provider}{f' since {since}' if since else ''}.")
        return
    plan = IngestPlan(base, requested, IngestOptions(provider=provider, replay_since=moment))
    raise typer.Exit(carry_out(session.orchestrator(installation), PreparedIngest(plan)))


def _ranges(
    landed: list[LandedAnswer], instruments: dict[str, Instrument]
) -> dict[Instrument, tuple[datetime, datetime]]:
    """Return what landed of each registered instrument, from the first requested instant to the last."""
    ranges: dict[Instrument, tuple[datetime, datetime]] = {}
    for answer in landed:
        for symbol in answer.symbols:
            if symbol in instruments:
                start, end = ranges.get(instruments[symbol], (answer.start_ts, answer.end_ts))
                ranges[instruments[symbol]] = min(start, answer.start_ts), max(end, answer.end_ts)
    return ranges
