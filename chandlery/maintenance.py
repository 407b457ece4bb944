"""What is done every day, in this order: compress, archive, let go, clean up. Each step may run alone, at any time.

How long bars stay where is the installation's ``lifecycle.yaml``. Not here: how it is done (``store.editions``,
``lake``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

from chandlery.installation import Installation
from chandlery.instruments import list_instruments
from chandlery.lake.archive import Archived, archive, find_due, sweep
from chandlery.lake.manifest import Scope
from chandlery.lake.retention import Retention, retain
from chandlery.store.aggregates import hold_aggregates
from chandlery.store.editions.base import Compression
from chandlery.store.holes import measure_holes
from chandlery.timeframe import INGESTED, Timeframe


def compress(
    installation: Installation, *, timeframes: Collection[Timeframe] = tuple(Timeframe), now: datetime | None = None
) -> Iterator[tuple[Timeframe, Compression]]:
    """Compress what is old enough; yield each partition or chunk as it is done. Nothing where the server cannot."""
    database = installation.database
    if not database.edition.compresses:
        return
    for timeframe in timeframes:
        before = installation.lifecycle.policy(timeframe).compressed_before(now or datetime.now(UTC))
        if before is None:
            continue
        with database.connection() as connection:
            for done in database.edition.compress(connection, timeframe, before):
                yield timeframe, done


def due(
    installation: Installation,
    *,
    timeframes: Collection[Timeframe] = INGESTED,
    symbols: Collection[str] | None = None,
    now: datetime | None = None,
) -> Sequence[Scope]:
    """Return what has to be archived: files whose bars closed and settled, and are not in the lake as they are now."""
    scopes: list[Scope] = []
    with installation.database.connection() as connection:
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
) -> Iterator[Archived]:
    """Archive what is due; yield each file as it is done.

    Args:
        installation: whose.
        timeframes: which.
        symbols: only files that hold one of these; by default all.
        windows: only files that hold a window with one of these keys; by default all.
        now: the present, UTC.
    """
    scopes = due(installation, timeframes=timeframes, symbols=symbols, now=now)
    yield from archive(installation.database, [scope for scope in scopes if windows is None or _holds(scope, windows)])


def let_go(
    installation: Installation, *, timeframes: Collection[Timeframe] = INGESTED, now: datetime | None = None
) -> Iterator[Retention]:
    """Let windows leave the store whose time there is over; yield what became of each timeframe that has a limit.

    Continuous aggregates are brought up to date first: for what left, the server cannot compute them any more.
    """
    now = now or datetime.now(UTC)
    for timeframe in timeframes:
        before = installation.lifecycle.policy(timeframe).retained_from(now)
        if before is not None:
            if timeframe is Timeframe.M1:
                _measure_what_leaves(installation, before)
            with hold_aggregates(installation.database) if timeframe is Timeframe.M1 else nullcontext():
                report = retain(installation.database, timeframe, before, now=now)
            yield report


def _measure_what_leaves(installation: Installation, before: datetime) -> None:
    """Measure the holes of sessions, of which coverage tells why: once their bars have left, nobody can."""
    with installation.database.connection() as connection:
        ids = [instrument.instrument_id for instrument in list_instruments(connection)]
        measure_holes(connection, ids, until=before.date() + timedelta(days=1))


def clean_up(installation: Installation, *, now: datetime | None = None) -> int:
    """Delete files of the lake that were replaced, and answers that landed, long enough ago; return how many."""
    landed = installation.landing.sweep((now or datetime.now(UTC)) - installation.lifecycle.landing.keep)
    return landed + sweep(installation.database, installation.lifecycle.grace, now=now)


def _holds(scope: Scope, windows: Collection[str]) -> bool:
    return any(scope.start <= scope.timeframe.window(key).start.date() < scope.until for key in windows)
