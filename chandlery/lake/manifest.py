"""The manifest: which file holds which windows of bars, kept in the database and changed in its transactions.

Not here: the files themselves (``files``, ``parquet``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from chandlery.core.timeframe import Timeframe


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What one file of the lake holds.

    Attributes:
        timeframe: of the bars.
        symbol: canonical symbol; "" where it holds every instrument's.
        start: first day, inclusive.
        until: first day after, exclusive.
        instrument_id: of ``symbol``; None for every instrument's.
    """

    timeframe: Timeframe
    symbol: str
    start: date
    until: date
    instrument_id: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file, as it was when it was verified.

    Attributes:
        path: below the lake's root.
        size: in bytes.
        footer_digest: SHA-256 of its footer.
        row_count: how many rows it has.
        digest: SHA-256 over their values (``digest``).
    """

    path: str
    size: int
    footer_digest: bytes
    row_count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of bars and, where any were restated, the file of their earlier values.

    Attributes:
        manifest_id: in ``ops.manifest``.
        timeframe: of the bars.
        instrument_id: whose; None where it holds those of every instrument.
        start: first day, inclusive.
        until: first day after, exclusive.
        version: 1 for the first file of that range, and so on.
        bars: the present values.
        revisions: the earlier ones.
    """

    manifest_id: int
    timeframe: Timeframe
    instrument_id: int | None
    start: date
    until: date
    version: int
    bars: Part
    revisions: Part | None

    @property
    def parts(self) -> list[Part]:
        """Its files."""
        return [self.bars] if self.revisions is None else [self.bars, self.revisions]


@dataclass(frozen=True, slots=True)
class WindowState:
    """The life of one window; see ``ops.bar_window``. ``entry`` is the id of the file that holds it."""

    instrument_id: int
    start: date
    changed_at: datetime
    archived_change: datetime | None
    entry: int | None
    cold: bool
    keep_until: datetime | None

    @property
    def is_current(self) -> bool:
        """Whether the lake holds it as it is now."""
        return self.archived_change == self.changed_at


def find_windows(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    start: date,
    until: date,
    *,
    ids: Iterable[int] | None = None,
    cold: bool | None = None,
) -> list[WindowState]:
    """Return the windows that start in ``[start, until)``, of these instruments or of all, sorted by their keys."""
    rows = connection.execute(
        "SELECT instrument_id, start, changed_at, archived_change, manifest_id, cold, keep_until FROM ops.bar_window"
        " WHERE timeframe = %s AND start >= %s AND start < %s AND (%s::int4[] IS NULL OR instrument_id = ANY(%s))"
        " AND (%s::bool IS NULL OR cold = %s) ORDER BY instrument_id, start",
        (timeframe.value, start, until, *[None if ids is None else list(ids)] * 2, cold, cold),
    ).fetchall()
    return [WindowState(*row) for row in rows]


def find_entries(connection: psycopg.Connection, ids: Iterable[int] | None = None) -> dict[int, Entry]:
    """Return the entries with these ids, or all that are not retired, by id and sorted by path."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM ops.manifest WHERE CASE WHEN %s::int8[] IS NULL THEN retired_at IS NULL"
            " ELSE manifest_id = ANY(%s) END ORDER BY path",
            [None if ids is None else sorted(ids)] * 2,
        ).fetchall()
    return {row["manifest_id"]: _entry(row) for row in rows}


def next_version(connection: psycopg.Connection, scope: Scope) -> int:
    """Return the version that a new file of ``scope`` has. To be called while that is locked."""
    row = connection.execute(
        "SELECT coalesce(max(version), 0) + 1 FROM ops.manifest"
        " WHERE timeframe = %s AND instrument_id IS NOT DISTINCT FROM %s AND start = %s AND until = %s",
        (scope.timeframe.value, scope.instrument_id, scope.start, scope.until),
    ).fetchone()
    return int(row[0]) if row else 1


def enter(
    connection: psycopg.Connection,
    scope: Scope,
    version: int,
    parts: tuple[Part, Part | None],
    *,
    windows: Sequence[WindowState],
) -> int:
    """Enter a verified file that holds ``windows`` as they were seen, and retire those that hold none any more.

    Part of the caller's transaction. Returns the entry's id.

    Args:
        connection: in that transaction, while ``scope`` is locked.
        scope: what the file holds.
        version: of the file.
        parts: the file of the present values and, where there are any, that of the earlier ones.
        windows: as they were when their bars were read.
    """
    timeframe, instrument_id = scope.timeframe, scope.instrument_id
    bars, revisions = parts
    row = connection.execute(
        "INSERT INTO ops.manifest (timeframe, instrument_id, start, until, version, path, bytes, footer_digest,"
        " row_count, digest, revisions, verified_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp()) RETURNING manifest_id",
        (
            timeframe.value,
            instrument_id,
            scope.start,
            scope.until,
            version,
            bars.path,
            bars.size,
            bars.footer_digest,
            bars.row_count,
            bars.digest,
            None if revisions is None else Jsonb(_as_json(revisions)),
        ),
    ).fetchone()
    entry = int(row[0]) if row else 0
    connection.execute(
        "UPDATE ops.bar_window AS w SET manifest_id = %s, archived_change = k.changed_at"
        " FROM unnest(%s::int4[], %s::date[], %s::timestamptz[]) AS k (instrument_id, start, changed_at)"
        " WHERE w.timeframe = %s AND w.instrument_id = k.instrument_id AND w.start = k.start",
        (
            entry,
            [w.instrument_id for w in windows],
            [w.start for w in windows],
            [w.changed_at for w in windows],
            timeframe.value,
        ),
    )
    connection.execute(
        "UPDATE ops.manifest AS m SET retired_at = clock_timestamp() WHERE m.retired_at IS NULL AND m.timeframe = %s"
        " AND m.instrument_id IS NOT DISTINCT FROM %s"
        " AND NOT EXISTS (SELECT FROM ops.bar_window AS w WHERE w.manifest_id = m.manifest_id)",
        (timeframe.value, instrument_id),
    )
    return entry


def note_verified(connection: psycopg.Connection, entries: Iterable[int]) -> None:
    """Note that these entries' files were read back just now and are as they were."""
    connection.execute(
        "UPDATE ops.manifest SET verified_at = clock_timestamp() WHERE manifest_id = ANY(%s)", (list(entries),)
    )


def find_expired(connection: psycopg.Connection, before: datetime) -> dict[int, list[str]]:
    """Return the paths, by entry, of files that were retired before ``before`` (UTC) and not deleted yet."""
    rows = connection.execute(
        "SELECT manifest_id, path, revisions->>'path' FROM ops.manifest WHERE retired_at < %s AND deleted_at IS NULL",
        (before,),
    ).fetchall()
    return {entry: [path for path in paths if path is not None] for entry, *paths in rows}


def note_deleted(connection: psycopg.Connection, entry: int) -> None:
    """Note that the retired files of an entry are gone."""
    connection.execute("UPDATE ops.manifest SET deleted_at = clock_timestamp() WHERE manifest_id = %s", (entry,))


def read_epoch(connection: psycopg.Connection, timeframe: Timeframe) -> int:
    """Return how many times windows of ``timeframe`` left the store or came back."""
    row = connection.execute("SELECT epoch FROM ops.tiering WHERE timeframe = %s", (timeframe.value,)).fetchone()
    return int(row[0]) if row else 0


def advance_epoch(connection: psycopg.Connection, timeframe: Timeframe) -> None:
    """Count one more time, and keep everybody else who would until this transaction ends."""
    connection.execute("UPDATE ops.tiering SET epoch = epoch + 1 WHERE timeframe = %s", (timeframe.value,))


def mark_cold(
    connection: psycopg.Connection, timeframe: Timeframe, windows: Sequence[WindowState]
) -> list[WindowState]:
    """Mark those of ``windows`` cold of which the lake still has the present version; return them."""
    rows = connection.execute(
        sql.SQL(
            "UPDATE ops.bar_window AS w SET cold = true, keep_until = NULL, sources = ARRAY("
            "SELECT DISTINCT b.source FROM {} AS b WHERE b.instrument_id = w.instrument_id"
            " AND b.ts >= w.start AND b.ts < w.start + {}::interval)"
        ).format(sql.Identifier("market", timeframe.table), width_of(timeframe))
        + sql.SQL(
            " FROM unnest(%s::int4[], %s::date[], %s::int8[]) AS k (instrument_id, start, manifest_id)"
            " WHERE w.timeframe = %s AND w.instrument_id = k.instrument_id AND w.start = k.start"
            " AND w.manifest_id = k.manifest_id AND w.archived_change = w.changed_at AND NOT w.cold"
            " RETURNING w.instrument_id, w.start"
        ),
        (
            [w.instrument_id for w in windows],
            [w.start for w in windows],
            [w.entry for w in windows],
            timeframe.value,
        ),
    ).fetchall()
    marked = set(rows)
    return [window for window in windows if (window.instrument_id, window.start) in marked]


def mark_hot(
    connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int, start: date, keep_until: datetime | None
) -> None:
    """Mark a window as being in the store."""
    connection.execute(
        "UPDATE ops.bar_window SET cold = false, sources = NULL, keep_until = %s"
        " WHERE timeframe = %s AND instrument_id = %s AND start = %s",
        (keep_until, timeframe.value, instrument_id, start),
    )


def width_of(timeframe: Timeframe) -> sql.Literal:
    """Return the width of a window, as an interval."""
    return sql.Literal("1 month" if timeframe.window_kind == "month" else "1 year")


def _entry(row: dict[str, object]) -> Entry:
    names = {
        "path": "path",
        "size": "bytes",
        "footer_digest": "footer_digest",
        "row_count": "row_count",
        "digest": "digest",
    }
    part = Part(**{name: row[column] for name, column in names.items()})  # type: ignore[arg-type]
    earlier = row["revisions"]
    return Entry(
        manifest_id=row["manifest_id"],  # type: ignore[arg-type]
        timeframe=Timeframe(str(row["timeframe"])),
        instrument_id=row["instrument_id"],  # type: ignore[arg-type]
        start=row["start"],  # type: ignore[arg-type]
        until=row["until"],  # type: ignore[arg-type]
        version=row["version"],  # type: ignore[arg-type]
        bars=part,
        revisions=_from_json(earlier) if isinstance(earlier, dict) else None,
    )


def _as_json(part: Part) -> dict[str, object]:
    digests: dict[str, object] = {"footer_digest": part.footer_digest.hex(), "digest": part.digest.hex()}
    return asdict(part) | digests


def _from_json(value: dict[str, object]) -> Part:
    digests = {name: bytes.fromhex(str(value[name])) for name in ("footer_digest", "digest")}
    return Part(**(value | digests))  # type: ignore[arg-type]
