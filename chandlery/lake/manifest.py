"""The manifest: which file holds which windows of bars, kept in the database and changed in its transactions.

Owns ``ops.manifest``. Not here: the files themselves (``store``, ``parquet``), and where a window is
(``bars.window_states``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.lake.layout import path_of


@dataclass(frozen=True, slots=True, order=True)
class ArchiveScope:
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
class LakeFile:
    """One Parquet file, as it was when it was verified.

    Attributes:
        path: below the lake's root.
        size: in bytes.
        footer_digest: SHA-256 of its footer.
        row_count: how many rows it has.
        digest: SHA-256 over their values (``core.digest``).
    """

    path: str
    size: int
    footer_digest: bytes
    row_count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ManifestEntry:
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
    bars: LakeFile
    revisions: LakeFile | None

    @property
    def files(self) -> list[LakeFile]:
        """The one or two files."""
        return [self.bars] if self.revisions is None else [self.bars, self.revisions]


def find_entries(connection: psycopg.Connection, ids: Iterable[int] | None = None) -> dict[int, ManifestEntry]:
    """Return the entries with these ids, or all that are not retired, by id and sorted by path."""
    with connection.cursor(row_factory=dict_row) as cursor:
        values = {"ids": None if ids is None else sorted(ids)}
        rows = cursor.execute(query("lake/find_entries"), values).fetchall()
    return {row["manifest_id"]: _entry(row) for row in rows}


def next_version(connection: psycopg.Connection, scope: ArchiveScope) -> int:
    """Return the version that a new file of ``scope`` has. To be called while that is locked."""
    values = {
        "timeframe": scope.timeframe.value,
        "instrument_id": scope.instrument_id,
        "start": scope.start,
        "until": scope.until,
        "folder": path_of(scope.timeframe, scope.symbol or None, scope.start, scope.until, 1).rpartition("/")[0] + "/",
    }
    row = connection.execute(query("lake/next_version"), values).fetchone()
    return int(row[0]) if row else 1


def add_entry(
    connection: psycopg.Connection, scope: ArchiveScope, version: int, bars: LakeFile, revisions: LakeFile | None
) -> int:
    """Enter a verified file in the manifest and return the entry's id.

    Part of the caller's transaction, in which ``scope`` is locked. Until a window's state names the entry
    (``bars.window_states.note_archived``), nobody reads the file.

    Args:
        connection: in that transaction.
        scope: what the file holds.
        version: of the file.
        bars: the file of the present values.
        revisions: that of the earlier ones, where there are any.
    """
    values = {
        "timeframe": scope.timeframe.value,
        "instrument_id": scope.instrument_id,
        "start": scope.start,
        "until": scope.until,
        "version": version,
        "path": bars.path,
        "bytes": bars.size,
        "footer_digest": bars.footer_digest,
        "row_count": bars.row_count,
        "digest": bars.digest,
        "revisions": None if revisions is None else Jsonb(_as_json(revisions)),
    }
    row = connection.execute(query("lake/add_entry"), values).fetchone()
    return int(row[0]) if row else 0


def retire_entries(connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int | None) -> None:
    """Retire the entries of an instrument, or of files that hold every instrument's, that hold no window any more."""
    values = {"timeframe": timeframe.value, "instrument_id": instrument_id}
    connection.execute(query("lake/retire_entries"), values)


def note_verified(connection: psycopg.Connection, ids: Iterable[int]) -> None:
    """Note that the files of the entries with these ids were read back just now and are as they were."""
    connection.execute(
        "UPDATE ops.manifest SET verified_at = clock_timestamp() WHERE manifest_id = ANY(%(ids)s)", {"ids": list(ids)}
    )


def find_expired(connection: psycopg.Connection, before: datetime) -> dict[int, list[str]]:
    """Return the paths, by entry's id, of files that were retired before ``before`` (UTC) and not deleted yet.

    The oldest entry comes first.
    """
    rows = connection.execute(
        "SELECT manifest_id, path, revisions->>'path' FROM ops.manifest"
        " WHERE retired_at < %(before)s AND deleted_at IS NULL ORDER BY manifest_id",
        {"before": before},
    ).fetchall()
    return {manifest_id: [path for path in paths if path is not None] for manifest_id, *paths in rows}


def note_deleted(connection: psycopg.Connection, manifest_id: int) -> None:
    """Note that the retired files of an entry are gone."""
    connection.execute(
        "UPDATE ops.manifest SET deleted_at = clock_timestamp() WHERE manifest_id = %(id)s", {"id": manifest_id}
    )


def list_paths(connection: psycopg.Connection) -> set[str]:
    """Return the path of every file that the manifest knows, retired and deleted ones among them."""
    rows = connection.execute("SELECT path, revisions->>'path' FROM ops.manifest").fetchall()
    return {path for paths in rows for path in paths if path is not None}


def _entry(row: dict[str, object]) -> ManifestEntry:
    columns = {
        "path": "path",
        "size": "bytes",
        "footer_digest": "footer_digest",
        "row_count": "row_count",
        "digest": "digest",
    }
    bars = LakeFile(**{name: row[column] for name, column in columns.items()})  # type: ignore[arg-type]
    revisions = row["revisions"]
    return ManifestEntry(
        manifest_id=row["manifest_id"],  # type: ignore[arg-type]
        timeframe=Timeframe(str(row["timeframe"])),
        instrument_id=row["instrument_id"],  # type: ignore[arg-type]
        start=row["start"],  # type: ignore[arg-type]
        until=row["until"],  # type: ignore[arg-type]
        version=row["version"],  # type: ignore[arg-type]
        bars=bars,
        revisions=_from_json(revisions) if isinstance(revisions, dict) else None,
    )


def _as_json(file: LakeFile) -> dict[str, object]:
    digests: dict[str, object] = {"footer_digest": file.footer_digest.hex(), "digest": file.digest.hex()}
    return asdict(file) | digests


def _from_json(value: dict[str, object]) -> LakeFile:
    digests = {name: bytes.fromhex(str(value[name])) for name in ("footer_digest", "digest")}
    return LakeFile(**(value | digests))  # type: ignore[arg-type]
