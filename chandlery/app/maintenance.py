"""What is done every day, in this order: compress, archive, let go, clean up. Each step may run alone, at any time.

How long bars stay where is the installation's ``lifecycle.yaml``. Not here: how it is done (``store.editions``,
``lake``).
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
from chandlery.tiers.archive import ArchivedFile, archive, find_due, sweep
from chandlery.tiers.retention import RetentionReport, apply_retention


def compress(
    installation: Installation, *, timeframes: Collection[Timeframe] = tuple(Timeframe), now: datetime | None = None
) -> Iterator[tuple[Timeframe, Compression]]:
    """Compress what is old enough; yield each partition or chunk as it is done. Nothing where the server cannot."""
    warehouse = installation.warehouse
    if not warehouse.edition.compresses:
        return
    for timeframe in timeframes:
        before = installation.lifecycle.policy(timeframe).compressed_before(now or datetime.now(UTC))
        if before is None:
            continue
        with warehouse.connection() as connection:
            for done in warehouse.edition.compress(connection, timeframe, before):
                yield timeframe, done


def due(
    installation: Installation,
    *,
    timeframes: Collection[Timeframe] = INGESTED,
    symbols: Collection[str] | None = None,
    now: datetime | None = None,
) -> Sequence[ArchiveScope]:
    """Return what has to be archived: files whose bars closed and settled, and are not in the lake as they are now."""
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
    """Let windows leave the store whose time there is over; yield what became of each timeframe that has a limit.

    Continuous aggregates are brought up to date first: for what left, the server cannot compute them any more.
    """
    now = now or datetime.now(UTC)
    for timeframe in timeframes:
        before = installation.lifecycle.policy(timeframe).retained_from(now)
        if before is not None:
            if timeframe is Timeframe.M1:
                _measure_what_leaves(installation, before)
            with hold_aggregates(installation.warehouse.database) if timeframe is Timeframe.M1 else nullcontext():
                report = apply_retention(installation.warehouse, timeframe, before, now=now)
            yield report


def _measure_what_leaves(installation: Installation, before: datetime) -> None:
    """Measure the holes of sessions, of which coverage tells why: once their bars have left, nobody can."""
    with installation.warehouse.connection() as connection:
        ids = [instrument.instrument_id for instrument in list_instruments(connection)]
        measure_missing_runs(connection, ids, until=before.date() + timedelta(days=1))


def clean_up(installation: Installation, *, now: datetime | None = None) -> int:
    """Delete files of the lake that were replaced, and answers that landed, long enough ago; return how many."""
    landed = installation.landing.sweep((now or datetime.now(UTC)) - installation.lifecycle.landing.keep)
    return landed + sweep(installation.warehouse, installation.lifecycle.grace, now=now)


def _holds(scope: ArchiveScope, windows: Collection[str]) -> bool:
    return any(scope.start <= scope.timeframe.window(key).start.date() < scope.until for key in windows)
