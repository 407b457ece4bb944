"""``archive``, ``compress``, ``prune`` and ``restore``: where bars live, by hand.

Not here: the daily routine that does it all by itself (``chandlery.app.maintenance``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from chandlery.app.installation import Installation
from chandlery.app.maintenance import clean_up, due
from chandlery.app.maintenance import compress as compress_store
from chandlery.app.maintenance import prune as prune_store
from chandlery.cli.options import AsJson
from chandlery.cli.output import note, number, say, say_json, show_table, size, table
from chandlery.cli.session import Session
from chandlery.core.text import counted
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.tiers.archive import archive as write_files
from chandlery.tiers.restore import restore as restore_windows
from chandlery.tiers.retention import RetentionReport
from chandlery.tiers.verify import find_unknown_files, verify

#: A hundred years.
_LONGEST_KEPT = 36_525

Width = Annotated[str | None, typer.Option("--timeframe", "-t", help="1m or 1d; both by default.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Examples:\n\nchandlery archive\n\nchandlery archive AAPL -t 1m\n\nchandlery archive --verify")(
        archive
    )
    app.command(epilog="Example: chandlery compress")(compress)
    app.command(epilog="Example: chandlery prune")(prune)
    app.command(epilog="Examples:\n\nchandlery restore 2023-04 2023-05\n\nchandlery restore 2019 -t 1d --keep 90")(
        restore
    )


def archive(
    ctx: typer.Context,
    *,
    symbols: Annotated[list[str] | None, typer.Argument(help="Only these; all by default.")] = None,
    timeframe: Width = None,
    check: Annotated[
        bool, typer.Option("--verify", help="Read the whole lake back instead, and name every damaged or missing file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write to the lake what closed and settled (see lifecycle.yaml) and is not there as it is now."""
    installation = Session.of(ctx).installation
    if check:
        raise typer.Exit(_verify(installation, as_json=as_json))
    scopes = due(installation, timeframes=_widths(timeframe), symbols=_names(installation, symbols))
    rows = total = 0
    for count, done in enumerate(write_files(installation.warehouse, scopes), 1):
        rows, total = rows + done.bars.row_count, total + done.bytes
        each = done.bytes / done.bars.row_count
        note(
            f"[{count}/{len(scopes)}] {done.bars.path}: {counted(done.bars.row_count, 'bar')},"
            f" {size(done.bytes)}, {each:.1f} bytes a bar, {done.seconds:.2f} s"
        )
    deleted = clean_up(installation)
    if as_json:
        say_json({"files": len(scopes), "bars": rows, "bytes": total, "retired_files_deleted": deleted})
        return
    say(f"archived: files={len(scopes)} bars={number(rows)} bytes={number(total)} retired files deleted={deleted}")


def compress(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Compress older parts of the store (see lifecycle.yaml), where the server can."""
    installation = Session.of(ctx).installation
    edition = installation.warehouse.edition
    if not edition.compresses and not as_json:
        say(f"Nothing to compress on the {edition.name} edition: {edition.meaning}.")
        return
    count = before = after = 0
    for timeframe, done in compress_store(installation):
        count, before, after = count + 1, before + done.chunk.bytes, after + done.bytes
        note(f"{timeframe.value} {done.chunk.name}: {size(done.chunk.bytes)} to {size(done.bytes)}")
    if as_json:
        say_json({"edition": edition.name, "chunks": count, "bytes_before": before, "bytes_after": after})
        return
    say(f"compressed: chunks={count} bytes before={number(before)} after={number(after)}")


def prune(ctx: typer.Context, *, timeframe: Width = None, as_json: AsJson = False) -> None:
    """Delete bars from the store whose time there is over (see lifecycle.yaml), if the lake provably holds them.

    Every file is read back first. What is not archived as it is now, or is damaged, stays and is named.
    """
    installation = Session.of(ctx).installation
    reports = list(prune_store(installation, timeframes=_widths(timeframe)))
    if as_json:
        say_json([_plain(report) for report in reports])
    elif not reports:
        say("Nothing leaves the store: lifecycle.yaml sets no `retain`.")
    for report in () if as_json else reports:
        _show(report)
    if any(report.refused for report in reports):
        raise typer.Exit(1)


def restore(
    ctx: typer.Context,
    windows: Annotated[list[str], typer.Argument(metavar="WINDOW...", help="Months of 1m, as 2023-04; years of 1d.")],
    *,
    symbol: Annotated[list[str] | None, typer.Option("--symbol", "-s", help="Only this; may be repeated.")] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="1m or 1d.")] = "1m",
    keep: Annotated[
        int, typer.Option(min=0, max=_LONGEST_KEPT, help="Days for which retention leaves them alone.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Bring bars back from the lake into the store. Reading them does not need it: answers are the same."""
    installation = Session.of(ctx).installation
    [width] = _widths(timeframe)
    until = datetime.now(UTC) + timedelta(days=keep)
    restored = restore_windows(
        installation.warehouse, width, windows, symbols=_names(installation, symbol), keep_until=until
    )
    for (name, key), bars in restored.items():
        note(f"{name} {key}: {counted(bars, 'bar')}")
    if as_json:
        rows = [{"symbol": name, "window": key, "bars": bars} for (name, key), bars in restored.items()]
        say_json({"restored": rows, "kept_until": until.date()})
        return
    say(f"restored: windows={len(restored)} bars={number(sum(restored.values()))} kept until {until:%Y-%m-%d}")
    if not restored:
        note("None of these had left the store.")


def _verify(installation: Installation, *, as_json: bool) -> int:
    files = bars = 0
    faults: list[str] = []
    for checked in verify(installation.warehouse):
        files, bars = files + 1, bars + checked.rows
        if checked.fault:
            faults.append(checked.fault)
            if not as_json:
                say(f"damaged: {checked.fault}")
    unknown = list(find_unknown_files(installation.warehouse))
    if as_json:
        say_json({"files": files, "bars": bars, "damaged": faults, "not_in_the_manifest": unknown})
        return 1 if faults else 0
    for path in unknown:
        note(f"not in the manifest, and read by nobody: {path}")
    say(f"verified: files={files} bars={number(bars)} damaged={len(faults)}")
    return 1 if faults else 0


def _plain(report: RetentionReport) -> dict[str, object]:
    return {
        "timeframe": report.timeframe,
        "released": [{"symbol": symbol, "window": window} for symbol, window in report.released],
        "refused": [{"symbol": each.symbol, "window": each.window, "reason": each.reason} for each in report.refused],
        "dropped": [str(each) for each in report.dropped],
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
    }


def _show(report: RetentionReport) -> None:
    width = report.timeframe.value
    for refusal in report.refused:
        say(f"stays: {refusal.symbol} {width} {refusal.window}: {refusal.reason}")
    for chunk in report.waiting:
        note(f"{chunk.name} is in use; the next run drops it")
    if report.released:
        grid = table("left the store", "windows", left=["left the store"])
        names = [symbol for symbol, _ in report.released]
        for name in sorted(set(names)):
            grid.add_row(name, number(names.count(name)))
        show_table(grid)
    say(
        f"{width}: released={len(report.released)} refused={len(report.refused)} dropped={len(report.dropped)}"
        f" bytes before={number(report.bytes_before)} after={number(report.bytes_after)}"
    )


def _names(installation: Installation, symbols: Sequence[str] | None) -> list[str] | None:
    """Return the canonical symbols of ``symbols``; raise ``UnknownSymbolError`` where one names nothing."""
    if not symbols:
        return None
    with installation.warehouse.connection() as connection:
        return [instrument.symbol for instrument in resolve_all(connection, symbols, *EVER)]


def _widths(timeframe: str | None) -> tuple[Timeframe, ...]:
    if timeframe is None:
        return INGESTED
    width = Timeframe.parse(timeframe)
    if not width.is_ingested:
        raise UsageError(f"timeframe={timeframe!r} is derived and never leaves the store; allowed: 1m 1d")
    return (width,)
