"""``ingest``: from a provider through the gate into the store.

Not here: how a request is planned (``chandlery.ingest.request``).
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Orchestrator
from chandlery.cli import file_options as files
from chandlery.cli.options import AsJson
from chandlery.cli.outcome import DONE, FAILED, REJECTED, plain_outcome, report_failures, show_outcome
from chandlery.cli.output import err, note, say_error, say_json
from chandlery.cli.preview import show_previews
from chandlery.cli.progress import show_progress
from chandlery.cli.session import Session
from chandlery.core.moments import parse_moment
from chandlery.core.symbols import spelling
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError, UsageError
from chandlery.ingest.cost import Cost
from chandlery.ingest.preview import preview_files
from chandlery.ingest.request import IngestRequest, PreparedIngest, describe_listing
from chandlery.ingest.result import list_names
from chandlery.ops.registrations.belongings import forget_untouched
from chandlery.providers.files.presets import is_layout

_EPILOG = """Examples:

chandlery ingest --preset demo-daily

chandlery ingest AAPL MSFT --start 2012-01-01 --end 2013-01-01

chandlery ingest BTC/USD --timeframe 1m --path ~/bars   (reads ~/bars/bars_1m/BTC-USD.csv, .txt, .zip, .parquet, ...)

chandlery ingest --path ~/bars --tz America/New_York --ignore-column "Adj Close"   (everything in ~/bars/bars_1d)

chandlery ingest --timeframe 1m --path ~/kraken --mapping kraken-ohlcvt --dry-run   (how it would be read)

Running it again changes nothing that is unchanged. Exit codes: 0 done, 1 something failed, 2 wrong use, 3 done but
something was rejected by the gate.
"""


_Provider = Annotated[str | None, typer.Option(help="A name in providers.yaml; each symbol's own by default.")]
_AssetClass = Annotated[str | None, typer.Option(help="Of new symbols: equity, crypto, ...; guessed by default.")]
_Symbols = Annotated[list[str] | None, typer.Argument(help="Which; with a provider of files, all by default.")]
_Start = Annotated[str | None, typer.Option(help="First instant, inclusive; two weeks back where calls cost.")]
_Refresh = Annotated[bool, typer.Option("--refresh", help="Ask also for what is complete and final.")]
_Retract = Annotated[bool, typer.Option("--retract", help="Files: end the bars that they held and hold no longer.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and write nothing.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a long or costly request.")]
_End = Annotated[str | None, typer.Option(help="Last instant, exclusive; where the bars end by default.")]
_Share = Annotated[float | None, typer.Option(help="Reject a partition with a larger share of bad rows, 0 to 1.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EPILOG)(ingest)


def ingest(
    ctx: typer.Context,
    *,
    symbols: _Symbols = None,
    symbols_file: Annotated[Path | None, typer.Option(help="A file with a symbol a line; # begins a comment.")] = None,
    preset: Annotated[str | None, typer.Option(help="A list of symbols in universe.yaml.")] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="1m or 1d")] = "1d",
    provider: _Provider = None,
    path: files.Folder = None,
    mapping: files.Layout = None,
    pattern: files.Pattern = None,
    columns: files.Columns = None,
    tz: files.Zone = None,
    epoch_unit: files.EpochUnit = None,
    date_format: files.DateFormat = None,
    decimal: files.Decimal = None,
    delimiter: files.Delimiter = None,
    encoding: files.Encoding = None,
    label: files.Label = None,
    price_scale: files.PriceScale = None,
    ignore_column: files.IgnoreColumn = None,
    start: _Start = None,
    end: _End = None,
    calendar: Annotated[str | None, typer.Option(help="Of new symbols: XNYS, 24/7, ...; guessed by default.")] = None,
    asset_class: _AssetClass = None,
    max_rejected_share: _Share = None,
    refresh: _Refresh = False,
    retract: _Retract = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    as_json: AsJson = False,
) -> None:
    """Load bars: ask a provider, let the gate audit, publish what is good, quarantine the rest, roll up.

    New symbols are registered. Without --start, a folder is loaded whole, of a vendor the last two full weeks.
    """
    session = Session.of(ctx)
    options = files.file_options(
        path=path, mapping=mapping, columns=columns, ignore_columns=ignore_column, pattern=pattern, tz=tz, label=label,
        decimal=decimal, epoch_unit=epoch_unit, date_format=date_format, price_scale=price_scale,
        delimiter=delimiter, encoding=encoding)  # fmt: skip
    request = IngestRequest(
        timeframe=Timeframe.parse(timeframe),
        symbols=_gather(session.installation, symbols or [], symbols_file, preset),
        provider=provider or ("files" if path else None),
        options=options,
        start=_moment(start, "start"), end=_moment(end, "end"), calendar=calendar,
        asset_class=asset_class, max_rejected_share=max_rejected_share, refresh=refresh, retract=retract)  # fmt: skip
    raise typer.Exit(_plan_and_run(session, request, dry_run=dry_run, yes=yes, as_json=as_json))


def _moment(text: str | None, name: str) -> datetime | None:
    return parse_moment(text, name=name) if text else None


def _plan_and_run(session: Session, request: IngestRequest, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    if dry_run:
        return _look(session, request, as_json=as_json)
    installation = session.installation
    prepared = installation.plan_ingest(request, partial(_approve, yes=yes))
    orchestrator = session.orchestrator(installation)
    try:
        return carry_out(orchestrator, prepared, as_json=as_json)
    finally:
        with installation.warehouse.connection() as connection:
            unregistered = forget_untouched(connection, prepared.added)
        if unregistered:
            note(f"{list_names(unregistered)}: not registered, because nothing came of it")
            orchestrator.forget(unregistered)


def _look(session: Session, request: IngestRequest, *, as_json: bool) -> int:
    """Say what would be requested and at what cost, how files are understood, and what the gate says of their bars."""
    costs: list[Cost] = []
    installation = session.installation
    prepared = installation.plan_ingest(request, costs.extend, register=False)
    gate = session.orchestrator(installation).gate(request.max_rejected_share)
    previews = preview_files(prepared, installation.providers, gate, installation.warehouse)
    failed, rejected = show_previews(costs, previews, prepared.refused, as_json=as_json)
    _introduce(replace(prepared, registered=()))
    _say_refused(prepared)
    if failed or prepared.refused:
        return FAILED
    return REJECTED if rejected else DONE


def carry_out(orchestrator: Orchestrator, prepared: PreparedIngest, *, as_json: bool = False) -> int:
    """Let ``orchestrator`` carry out the plan, say what became of it, and return the exit code."""
    _introduce(prepared)
    begun = time.monotonic()
    with show_progress(err()) as listener:
        records = orchestrator.ingest(prepared.plan, listener)
    tally, seconds = listener.tally, time.monotonic() - begun
    if as_json:
        say_json(plain_outcome(prepared, tally, records, seconds))
    else:
        show_outcome(prepared.plan, tally, seconds)
    _say_refused(prepared)
    code = report_failures(tally, records)
    return FAILED if prepared.refused else code


def _say_refused(prepared: PreparedIngest) -> None:
    for symbol, error in prepared.refused.items():
        say_error(f"{symbol}: failed: {error}" if isinstance(error, ProviderError) else str(error))


def _approve(costs: Sequence[Cost], *, yes: bool) -> None:
    """Say what a plan will cost, and let a person confirm what is long or costly; raise where it is not wanted."""
    high = [cost for cost in costs if cost.is_high]
    if yes or not high:
        return
    if not sys.stdin.isatty():
        text = "; ".join(map(str, high))
        raise UsageError(f"a costly request was not confirmed: {text}; narrow it with --start, or confirm with --yes")
    for cost in high:
        note(str(cost))
    if not typer.confirm("Request all of this?", err=True):
        note("Nothing was requested.")
        raise typer.Exit(FAILED)


def _gather(installation: Installation, named: Sequence[str], file: Path | None, preset: str | None) -> list[str]:
    """Return the symbols named in any of the three ways, in that order."""
    symbols = list(named)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"symbols_file={str(file)!r} cannot be read: {error}") from None
        named_there = [symbol for line in lines if (symbol := line.partition("#")[0].strip())]
        if not named_there:
            raise UsageError(f"symbols_file={str(file)!r} names no symbol; write one a line")
        symbols += named_there
    if preset is not None:
        if is_layout(preset) and preset not in installation.universe.presets:
            raise UsageError(f"preset={preset!r} is a layout of files, not a list of symbols; write --mapping {preset}")
        symbols += installation.universe.preset(preset)
    return symbols


def _introduce(prepared: PreparedIngest) -> None:
    for instrument in prepared.unlisted:
        note(describe_listing(instrument))
    for instrument in prepared.plan.ranges:
        if instrument.is_removed:
            note(
                f"{instrument.symbol} is no longer in universe.yaml: nobody keeps it up to date, this command loads it"
            )
    for ticker, symbol in prepared.resolved.items():
        is_same = spelling(ticker) == spelling(symbol)
        note(f"{ticker} is another spelling of {symbol}" if is_same else f"{ticker} is a ticker of {symbol}")
    for config in prepared.registered:
        note(
            f"registered {config.symbol}: {config.asset_class}, calendar {config.calendar}, provider {config.provider}"
            " (add it to universe.yaml to describe it otherwise)"
        )

    noted: dict[str, list[str]] = defaultdict(list)
    for symbol, texts in prepared.notes.items():
        for text in texts:
            noted[text].append(symbol)
    for text, symbols in noted.items():
        note(f"{list_names(symbols)}: {text}")
