"""Says what an ingest or a replay did: as lines for people, or as one JSON object for programs.

Not here: how far it is meanwhile (``progress``), and the counts (``tally``).
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chandlery.app.orchestrator import RunRecord
from chandlery.cli.output import note, number, say, say_error
from chandlery.cli.tally import Tally
from chandlery.core.text import counted, plural
from chandlery.ingest.plan import IngestPlan
from chandlery.ingest.request import PreparedIngest
from chandlery.ingest.result import PartitionResult, list_names

DONE, FAILED, REJECTED = 0, 1, 3
_LINES_PER_SYMBOL = 10


def show_outcome(plan: IngestPlan, tally: Tally, seconds: float) -> None:
    """Say how many bars of each symbol came, and what else a person should know."""
    symbols = [instrument.symbol for instrument in plan.ranges]
    width = max(len(name) for name in (*symbols, "total"))
    for symbol in symbols:
        say(f"{symbol:<{width}}  {tally.of(symbol)}")
    say(f"{'total':<{width}}  {tally.total()}")
    changed = sorted(tally.rolled_up.items(), key=lambda each: each[0].rank)
    derived = ", ".join(f"{timeframe.value} {number(bars)}" for timeframe, bars in changed if bars)
    if derived:
        note(f"rolled up: {derived} {plural(sum(tally.rolled_up.values()), 'bar')} changed")
    if tally.empty:
        note(
            f"{counted(len(tally.empty), 'partition')}: the provider has nothing of"
            f" {plural(len(tally.empty), 'it', 'them')}; `chandlery coverage` shows where"
        )
    if tally.total().vanished:
        note(
            f"{_vanished(tally.total().vanished)}: `chandlery findings list --rule vanished_rows` shows what they were,"
            f" and the same command with --retract ends them (`{_retracting(plan)}`)"
        )
    if tally.total().warnings:
        note(f"{counted(tally.total().warnings, 'finding')}: `chandlery findings list` shows what was noticed")
    note(f"{counted(len(tally.outcomes), 'partition')} in {seconds:.1f} s")


def plain_outcome(
    prepared: PreparedIngest, tally: Tally, records: Sequence[RunRecord], seconds: float
) -> dict[str, object]:
    """Return what was done as plain data."""
    return {
        "timeframe": prepared.plan.timeframe,
        "symbols": {each.symbol: asdict(tally.of(each.symbol)) for each in prepared.plan.ranges},
        "total": asdict(tally.total()),
        "rolled_up": {timeframe: bars for timeframe, bars in tally.rolled_up.items() if bars},
        "partitions": Counter(result.status for result in tally.outcomes),
        "rejected": [_plain_result(result) for result in tally.rejected],
        "failed": [_plain_result(result) for result in tally.failed],
        "refused": {symbol: str(error) for symbol, error in prepared.refused.items()},
        "registered": [config.symbol for config in prepared.registered],
        "notes": {symbol: list(texts) for symbol, texts in prepared.notes.items()},
        "runs": [{"run": each.run_id, "succeeded": each.succeeded, "error": each.error} for each in records],
        "seconds": round(seconds, 3),
    }


def _plain_result(result: PartitionResult) -> dict[str, Any]:
    why = result.error or (result.verdict.reason if result.verdict else None)
    return {
        "symbol": result.partition.symbol,
        "window": result.partition.window.key,
        "status": result.status,
        "quarantined": result.quarantined,
        "quarantine": result.quarantine_id,
        "reason": None if why is None else str(why),
    }


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


def _vanished(count: int) -> str:
    are = "bar that was read before is in the files no longer, and stays"
    return counted(count, are, "bars that were read before are in the files no longer, and stay")


def _retracting(plan: IngestPlan) -> str:
    """Return the command that reads the same files and ends what is not there."""
    path, provider = plan.options.provider_options.get("path"), plan.options.provider
    place = f" --path {shlex.quote(str(path))}" if path else f" --provider {provider}" if provider else ""
    return f"chandlery ingest --timeframe {plan.timeframe.value}{place} --retract"


def _others(count: int) -> str:
    return plural(count, "the other one is published", "the others published") if count else "and there were no others"


def _rejection(result: PartitionResult) -> str:
    partition = result.partition
    others = result.inserted + result.revised + result.unchanged
    rows = counted(result.quarantined, "row")
    what = "rejected" if result.status == "rejected" else f"{rows} rejected, {_others(others)}"
    why = (result.verdict.reason if result.verdict else "") or "a person left them out of a release"
    advice = (
        f" (quarantine {result.quarantine_id}: `chandlery quarantine show {result.quarantine_id}`, then correct the"
        f" source and ingest again, or release it{' with --good-rows-only' if result.status == 'rejected' else ''})"
        if result.quarantine_id is not None
        else ""
    )
    return f"{partition.symbol} {partition.timeframe.value} {partition.window.key}: {what}: {why}{advice}"
