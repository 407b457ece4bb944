"""``ingest``: from a provider through the gate into the store.

Not here: how a request is planned (``chandlery.ingest.request``).
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Orchestrator, RunRecord
from chandlery.cli import file_options as files
from chandlery.cli.output import err, note, number, say, say_error
from chandlery.cli.preview import show_previews
from chandlery.cli.progress import show_progress
from chandlery.cli.session import Session
from chandlery.cli.tally import Tally
from chandlery.core.moments import parse_moment
from chandlery.core.symbols import spelling
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError, UsageError
from chandlery.ingest.cost import Cost
from chandlery.ingest.plan import IngestPlan
from chandlery.ingest.preview import preview_files
from chandlery.ingest.request import IngestRequest, PreparedIngest, describe_listing
from chandlery.ingest.validate import PartitionResult, list_names
from chandlery.providers.files.presets import is_layout

DONE, FAILED, REJECTED = 0, 1, 3
_LINES_PER_SYMBOL = 10

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
    label: files.Label = None,
    price_scale: files.PriceScale = None,
    ignore_column: files.IgnoreColumn = None,
    start: _Start = None,
    end: Annotated[str | None, typer.Option(help="Last instant, exclusive; where the bars end by default.")] = None,
    calendar: Annotated[str | None, typer.Option(help="Of new symbols: XNYS, 24/7, ...; guessed by default.")] = None,
    asset_class: _AssetClass = None,
    max_rejected_share: _Share = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask also for what is complete and final.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a long or costly request.")] = False,
) -> None:
    """Load bars: ask a provider, let the gate audit, publish what is good, quarantine the rest, roll up.

    New symbols are registered. Without --start, a folder is loaded whole, of a vendor the last two full weeks.
    """
    session = Session.of(ctx)
    options = files.file_options(
        path=path, mapping=mapping, columns=columns, ignore_columns=ignore_column, pattern=pattern, tz=tz,
        decimal=decimal, epoch_unit=epoch_unit, date_format=date_format, label=label, price_scale=price_scale,
    )  # fmt: skip
    request = IngestRequest(
        timeframe=Timeframe.parse(timeframe),
        symbols=_gather(session.installation, symbols or [], symbols_file, preset),
        provider=provider or ("files" if path else None),
        options=options,
        start=parse_moment(start, name="start") if start else None,
        end=parse_moment(end, name="end") if end else None,
        calendar=calendar,
        asset_class=asset_class,
        max_rejected_share=max_rejected_share,
        refresh=refresh,
    )
    raise typer.Exit(_plan_and_run(session, request, dry_run=dry_run, yes=yes))


def _plan_and_run(session: Session, request: IngestRequest, *, dry_run: bool, yes: bool) -> int:
    if dry_run:
        return _look(session, request)
    prepared = session.installation.plan_ingest(request, partial(_approve, yes=yes))
    return carry_out(session.orchestrator(session.installation), prepared)


def _look(session: Session, request: IngestRequest) -> int:
    """Say what would be requested and at what cost, how files are understood, and what the gate says of their bars."""
    costs: list[Cost] = []
    installation = session.installation
    prepared = installation.plan_ingest(request, costs.extend, register=False)
    for cost in costs:
        say(str(cost))
    gate = session.orchestrator(installation).gate(request.max_rejected_share)
    failed, rejected = show_previews(preview_files(prepared, installation.providers, gate))
    if not costs:
        say("no call to a provider")
    _introduce(replace(prepared, registered=()))
    _say_refused(prepared)
    if failed or prepared.refused:
        return FAILED
    return REJECTED if rejected else DONE


def carry_out(orchestrator: Orchestrator, prepared: PreparedIngest) -> int:
    """Let ``orchestrator`` carry out the plan, say what became of it, and return the exit code."""
    _introduce(prepared)
    begun = time.monotonic()
    with show_progress(err()) as listener:
        records = orchestrator.ingest(prepared.plan, listener)
    tally = listener.tally
    _sum_up(prepared.plan, tally, time.monotonic() - begun)
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


def _sum_up(plan: IngestPlan, tally: Tally, seconds: float) -> None:
    symbols = [instrument.symbol for instrument in plan.ranges]
    width = max(len(name) for name in (*symbols, "total"))
    for symbol in symbols:
        say(f"{symbol:<{width}}  {tally.of(symbol)}")
    say(f"{'total':<{width}}  {tally.total()}")
    derived = ", ".join(f"{timeframe.value} {number(bars)}" for timeframe, bars in tally.rolled_up.items() if bars)
    if derived:
        note(f"rolled up: {derived} bars changed")
    if tally.empty:
        note(
            f"{number(len(tally.empty))} partitions: the provider has nothing of them; `chandlery coverage` shows where"
        )
    if tally.total().warnings:
        note(f"{number(tally.total().warnings)} findings: `chandlery findings list` shows what was noticed")
    note(f"{len(tally.outcomes)} partitions in {seconds:.1f} s")


def report_failures(tally: Tally, records: Sequence[RunRecord]) -> int:
    """Say what went wrong and what to do about it; return the exit code."""
    for text in _failures(tally):
        say_error(text)
    for symbol, texts in _rejections(tally).items():
        for text in texts[:_LINES_PER_SYMBOL]:
            say_error(text)
        if len(texts) > _LINES_PER_SYMBOL:
            say_error(f"{symbol}: and {len(texts) - _LINES_PER_SYMBOL} more")
    broken = [record for record in records if not record.succeeded and not record.reported]
    for record in broken:
        say_error(f"run {record.run_id} failed: {record.error or 'no reason was given'}")
    if broken:
        return FAILED
    if tally.failed:
        note("What failed can be requested again with the same command; what is there already stays as it is.")
        return FAILED
    return REJECTED if tally.rejected else DONE


def _failures(tally: Tally) -> Sequence[str]:
    """Return a line for each reason for which something failed, with the symbols that share it."""
    sharing: dict[str, dict[str, None]] = defaultdict(dict)
    for result in tally.failed:
        sharing[str(result.error)][result.partition.symbol] = None
    lines: list[str] = []
    shown: Counter[str] = Counter()
    for reason, symbols in sharing.items():
        names = list_names(list(symbols))
        if shown[names] < _LINES_PER_SYMBOL:
            lines.append(f"{names}: failed: {reason}")
        shown[names] += 1
    hidden = ((names, count - _LINES_PER_SYMBOL) for names, count in shown.items())
    return [*lines, *(f"{names}: and {more} more" for names, more in hidden if more > 0)]


def _rejections(tally: Tally) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for result in tally.rejected:
        texts.setdefault(result.partition.symbol, []).append(_rejection(result))
    return texts


def _rejection(result: PartitionResult) -> str:
    partition = result.partition
    what = "rejected" if result.status == "rejected" else f"{result.quarantined} rows rejected, the others published"
    why = result.verdict.reason if result.verdict else ""
    advice = (
        f" (quarantine {result.quarantine_id}: `chandlery quarantine show {result.quarantine_id}`, then correct the"
        f" source and ingest again, or release it{' with --good-rows-only' if result.status == 'rejected' else ''})"
        if result.quarantine_id is not None
        else ""
    )
    return f"{partition.symbol} {partition.timeframe.value} {partition.window.key}: {what}: {why}{advice}"
