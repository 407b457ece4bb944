"""Shows what an ingest would do with a person's files: ``ingest --dry-run``.

Not here: finding out (``ingest.preview``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import pyarrow as pa

from chandlery.cli.output import number, say, say_error, say_json
from chandlery.core.text import counted, plural
from chandlery.errors import ChandleryError
from chandlery.ingest.cost import Cost
from chandlery.ingest.preview import Preview

_VALUES = ("open", "high", "low", "close", "volume", "vwap", "trades")
_SHOWN = ["ts", *_VALUES]


def show_previews(
    costs: Sequence[Cost], previews: Iterable[Preview], refused: Mapping[str, ChandleryError], *, as_json: bool
) -> tuple[int, int]:
    """Say what would come of each instrument; return of how many nothing would, and of how many not all.

    Args:
        costs: of what would be requested of remote providers.
        previews: of the instruments whose bars are files.
        refused: why symbols are left out, for JSON; nothing is said of them otherwise.
        as_json: whether it is said as one JSON object.
    """
    failed = rejected = 0
    plain = []
    for cost in () if as_json else costs:
        say(str(cost))
    for preview in previews:
        failed += preview.error is not None
        rejected += any(verdict.rejected.num_rows or not verdict.passed for verdict in preview.verdicts)
        if as_json:
            plain.append(_plain(preview))
        elif preview.error is None:
            _show(preview)
        if preview.error is not None:
            say_error(f"{preview.instrument.symbol}: failed: {preview.error}")
    if as_json:
        left_out = {symbol: str(error) for symbol, error in refused.items()}
        say_json({"costs": [asdict(cost) for cost in costs], "instruments": plain, "refused": left_out})
    elif not costs:
        say("no call to a provider")
    return failed, rejected


def _show(preview: Preview) -> None:
    for label, text in _lines(preview):
        say(f"{label:<9} {text}")
    say()


def _plain(preview: Preview) -> dict[str, object]:
    instrument, account, bars = preview.instrument, preview.account, preview.bars
    return {
        "symbol": instrument.symbol,
        "is_new": preview.is_new,
        "asset_class": instrument.asset_class,
        "calendar": instrument.calendar,
        "files": [] if account is None else list(account.files),
        "form": account and account.form,
        "columns": account and dict(account.columns),
        "first_time": account and account.first_time,
        "tz": account and account.tz,
        "bars": bars.num_rows,
        "first": bars.slice(0, 1).select(_SHOWN).to_pylist()[0] if bars.num_rows else None,
        "last": bars.slice(bars.num_rows - 1).select(_SHOWN).to_pylist()[0] if bars.num_rows else None,
        "windows": [
            {
                "window": verdict.partition.window.key,
                "passed": verdict.passed,
                "rows": verdict.rows,
                "rejected": verdict.rejected.num_rows,
                "reason": verdict.reason or None,
            }
            for verdict in preview.verdicts
        ],
        "vanished": preview.vanished,
        "error": preview.error and str(preview.error),
    }


def _lines(preview: Preview) -> Iterable[tuple[str, str]]:
    instrument, account, bars = preview.instrument, preview.account, preview.bars
    state = "new, would be registered" if preview.is_new else "registered"
    yield "symbol", f"{instrument.symbol} ({state}): {instrument.asset_class}"
    yield "calendar", instrument.calendar
    if account is not None:
        files = [str(file) for file in account.files]
        yield "files", files[0] + (f" and {len(files) - 1} more, the last {files[-1]}" if files[1:] else "")
        yield "form", account.form
        yield "columns", ", ".join(f"{name} is {meaning}" for name, meaning in account.columns.items())
        first = bars["ts"][0].as_py().strftime("%Y-%m-%dT%H:%MZ") if bars.num_rows else "outside of the range"
        yield "times", f"{account.first_time!r} is {first}"
        yield "zone", account.tz or "none given: times carry their own, count since 1970 in UTC, or are dates"
    yield "bars", number(bars.num_rows)
    if bars.num_rows:
        yield "first", _row(bars, 0)
        yield "last", _row(bars, bars.num_rows - 1)
    yield "gate", _verdict(preview)
    if preview.vanished:
        gone = counted(preview.vanished, "bar that was read before is", "bars that were read before are")
        yield "vanished", f"{gone} in the file no longer: --retract ends {plural(preview.vanished, 'it', 'them')}"


def _row(bars: pa.Table, place: int) -> str:
    row = bars.slice(place, 1).to_pylist()[0]
    values = (f"{name} {'NULL' if row[name] is None else number(row[name])}" for name in _VALUES)
    return f"{row['ts']:%Y-%m-%dT%H:%MZ}  {'  '.join(values)}"


def _verdict(preview: Preview) -> str:
    refused = [verdict for verdict in preview.verdicts if not verdict.passed]
    waiting = sum(verdict.rejected.num_rows for verdict in preview.verdicts)
    good = sum(verdict.rows for verdict in preview.verdicts) - waiting
    text = f"{counted(good, 'row')} would be published, {number(waiting)} would wait in quarantine"
    reasons = {f"{v.partition.window.key}: {v.reason}" for v in preview.verdicts if v.reason}
    if refused:
        text += f"; {len(refused)} of {counted(len(preview.verdicts), 'window')}"
        text += f" {plural(len(refused), 'is', 'are')} rejected"
    shown = sorted(reasons)[:5]
    more = f" and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return text + (f" ({'; '.join(shown)}{more})" if shown else "")
