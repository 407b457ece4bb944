"""The daily maintenance, in this order: compress, archive, prune, clean up. Each step may run alone, at any time.

The installation's ``lifecycle.yaml`` says how long bars stay where. Not here: how each step is done
(``database.editions``, ``tiers``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

from chandlery.app.installation import Installation
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.database.editions.base import Compression
from chandlery.instruments.registry import list_instruments
from chandlery.lake.manifest import ArchiveScope
from chandlery.rollups.continuous import hold_aggregates
from chandlery.tiers.archive import ArchivedFile, archive, find_due
from chandlery.tiers.retention import RetentionReport, apply_retention
from chandlery.tiers.sweep import sweep


def compress(
    installation: Installation, *, timeframes: Collection[Timeframe] = tuple(Timeframe), now: datetime | None = None
) -> Iterator[tuple[Timeframe, Compression]]:
    """Compress the chunks that are old enough; yield each as it is done. Does nothing where the server cannot."""
    warehouse = installation.warehouse
    if not warehouse.edition.compresses:
        return
    for timeframe in timeframes:
        before = installation.lifecycle.policy(timeframe).compressed_before(now or datetime.now(UTC))
        if before is None:
            continue
        with warehouse.connection() as connection:
            for compression in warehouse.edition.compress(connection, timeframe, before):
                yield timeframe, compression


def due(
    installation: Installation,
    *,
    timeframes: Collection[Timeframe] = INGESTED,
    symbols: Collection[str] | None = None,
    now: datetime | None = None,
) -> Sequence[ArchiveScope]:
    """Return the files to archive: their windows closed and settled, and the lake lacks their present version.

    Args:
        installation: whose.
        timeframes: which.
        symbols: only files that hold one of these; by default all.
        now: the present, UTC.
    """
    scopes: list[ArchiveScope] = []
    with installation.warehouse.connection() as connection:
        for timeframe in timeframes:
            before = installation.lifecycle.policy(timeframe).sealed_before(now or datetime.now(UTC))
            if before is not None:
                scopes += find_due(connection, timeframe, before, symbols=symbols)
    return scopes


def archive_due(
    installation: Installation,
    *,
    timeframes: Collection[Timeframe] = INGESTED,
    symbols: Collection[str] | None = None,
    windows: Collection[str] | None = None,
    now: datetime | None = None,
) -> Iterator[ArchivedFile]:
    """Archive what is due; yield each file as it is done.

    Args:
        installation: whose.
        timeframes: which.
        symbols: only files that hold one of these; by default all.
        windows: only files that hold a window with one of these keys; by default all.
        now: the present, UTC.
    """
    scopes = due(installation, timeframes=timeframes, symbols=symbols, now=now)
    yield from archive(installation.warehouse, [scope for scope in scopes if windows is None or _holds(scope, windows)])


def prune(
    installation: Installation, *, timeframes: Collection[Timeframe] = INGESTED, now: datetime | None = None
) -> Iterator[RetentionReport]:
    """Delete windows from the store whose time there is over and that the lake holds; yield a report of each timeframe.

    A timeframe without a limit has no report. Continuous aggregates are brought up to date first: of windows that left,
    the server cannot compute them any more.

    Args:
        installation: whose.
        timeframes: which.
        now: the present, UTC.
    """
    now = now or datetime.now(UTC)
    for timeframe in timeframes:
        before = installation.lifecycle.policy(timeframe).retained_from(now)
        if before is not None:
            if timeframe is Timeframe.M1:
                _measure_missing_runs_before(installation, before)
            with hold_aggregates(installation.warehouse.database) if timeframe is Timeframe.M1 else nullcontext():
                report = apply_retention(installation.warehouse, timeframe, before, now=now)
            yield report


def _measure_missing_runs_before(installation: Installation, before: datetime) -> None:
    """Measure the missing runs of all sessions until ``before``: once their bars have left, nobody can."""
    with installation.warehouse.connection() as connection:
        ids = [instrument.instrument_id for instrument in list_instruments(connection)]
        measure_missing_runs(connection, ids, until=before.date() + timedelta(days=1))


def clean_up(installation: Installation, *, now: datetime | None = None) -> int:
    """Delete files that the lake replaced and answers that landed long enough ago; return how many."""
    answers = installation.landing.sweep((now or datetime.now(UTC)) - installation.lifecycle.landing.keep)
    return answers + sweep(installation.warehouse, installation.lifecycle.grace, now=now)


def _holds(scope: ArchiveScope, windows: Collection[str]) -> bool:
    return any(scope.start <= scope.timeframe.window(key).start.date() < scope.until for key in windows)
