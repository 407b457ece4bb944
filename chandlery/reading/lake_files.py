"""Files of the lake, read through the caches: what was decoded once is not decoded again, here or in another process.

A file is named by the digest of its footer, which vouches for every byte of it, and never changes; so what is cached of
it never becomes wrong. What reads Parquet is slow to import, so it is imported where a file is read. Not here: which
files a read needs (``planner``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from chandlery.cache.cache import Cache
from chandlery.core.arrow import number_array, text_array, to_list
from chandlery.core.schema import BARS
from chandlery.lake.manifest import LakeFile, ManifestEntry, find_entries
from chandlery.lake.store import Lake
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    from chandlery.lake.bar_file import RowGroup

#: The columns of usual reads of a file: of one instrument, of several, and of everything.
_USUAL = (
    BARS.names[1:],
    BARS.names,
    [*BARS.names, "known_at"],
)
#: A process keeps the descriptions of so many files.
_MOST_FILES = 10_000


class LakeFiles:
    """Reads files of one lake, through ``cache``. Safe to share between threads and with forked children.

    Args:
        cache: holds what was decoded; None to decode each time.
        worthwhile: a file that nobody has read yet is read for so many bars that the store has too, and for no fewer.
    """

    def __init__(self, cache: Cache | None = None, *, worthwhile: int = 2_000) -> None:
        self.worthwhile = worthwhile
        self.cache = cache
        self._entries: dict[int, ManifestEntry] = {}
        self._groups: dict[bytes, list[RowGroup]] = {}

    def entries(self, warehouse: Warehouse, digests: Mapping[int, bytes]) -> dict[int, ManifestEntry]:
        """Return the manifest's entries by id, given the digest of each one's file.

        An entry never changes, so the database is asked for each once.
        """
        known = {
            number: entry
            for number, digest in digests.items()
            if (entry := self._entries.get(number)) is not None and entry.bars.footer_digest == digest
        }
        if missing := digests.keys() - known.keys():
            with warehouse.connection() as connection:
                found = find_entries(connection, missing)
            if len(self._entries) > _MOST_FILES:
                self._entries = {}
            self._entries |= found
            known |= found
        return known

    def is_warm(self, digest: bytes) -> bool:
        """Return whether something of the file with this footer was read before, so that the rest comes fast."""
        return self._find_groups(digest) is not None

    def read(
        self,
        lake: Lake,
        file: LakeFile,
        symbols: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the rows of one file, of some symbols or all, in ``[start, end)``; see ``lake.read.read_file``."""
        from chandlery.lake.bar_file import BAR_FILE, REVISION_FILE, Selection, join  # noqa: PLC0415 - see above
        from chandlery.lake.read import open_file  # noqa: PLC0415

        selection = Selection.between(symbols, start, end)
        schema = REVISION_FILE if columns is not None and "superseded_at" in columns else BAR_FILE
        names = schema.names if columns is None else columns
        groups = self._find_groups(file.footer_digest)
        found: dict[int, pa.Table] = {}
        if groups is not None:
            wanted = [n for n, group in enumerate(groups) if selection.touches(group)]
            found = self._find(file, wanted, names)
            if len(found) == len(wanted):
                return join([found[n] for n in wanted], schema, names, selection)
        with open_file(lake, file) as opened:
            self._keep_groups(file, opened.groups)
            wanted = [n for n, group in enumerate(opened.groups) if selection.touches(group)]
            decoded = opened.read({n: names for n in wanted if n not in found})
        if self.cache is not None:
            for n, table in decoded.items():
                self.cache.put(_key(file.footer_digest, n, names), table)
        found |= decoded
        return join([found[n] for n in wanted], schema, names, selection)

    def _find(self, file: LakeFile, wanted: Sequence[int], names: Sequence[str]) -> dict[int, pa.Table]:
        """Return these columns of those of the row groups that are cached, with others or without."""
        if self.cache is None:
            return {}
        sets = [names, *(each for each in _USUAL if {*names} < {*each})]
        keys = {n: [_key(file.footer_digest, n, each) for each in sets] for n in wanted}
        cached = self.cache.get_many([key for several in keys.values() for key in several])
        firsts = {n: next((cached[key] for key in several if key in cached), None) for n, several in keys.items()}
        return {n: found.table.select(names) for n, found in firsts.items() if found is not None}

    def _find_groups(self, digest: bytes) -> list[RowGroup] | None:
        groups = self._groups.get(digest)
        if groups is None and self.cache is not None:
            found = self.cache.get(_key(digest, "groups"))
            if found is not None:
                groups = self._groups[digest] = _to_groups(found.table)
        return groups

    def _keep_groups(self, file: LakeFile, groups: list[RowGroup]) -> None:
        if file.footer_digest in self._groups:
            return
        if len(self._groups) > _MOST_FILES:
            self._groups = {}
        self._groups[file.footer_digest] = groups
        if self.cache is not None and (table := _to_table(groups)) is not None:
            self.cache.put(_key(file.footer_digest, "groups"), table)


def _key(digest: bytes, part: int | str, columns: Sequence[str] = ()) -> str:
    return "/".join(["file", digest.hex(), str(part), *columns])


def _to_table(groups: Sequence[RowGroup]) -> pa.Table | None:
    """Return a row for each row group; None where the bounds of one are not known."""
    bounds = [(group.rows, *group.symbols, *group.moments) for group in groups if group.symbols and group.moments]
    if len(bounds) < len(groups):
        return None
    rows, first, last, start, end = zip(*bounds, strict=True)
    columns = [number_array(np.array(values, np.int64)) for values in (rows, start, end)]
    return pa.table([*columns, text_array(first), text_array(last)], ["rows", "start", "end", "first", "last"])


def _to_groups(table: pa.Table) -> list[RowGroup]:
    from chandlery.lake.bar_file import RowGroup  # noqa: PLC0415

    columns = (to_list(table[name]) for name in ("rows", "first", "last", "start", "end"))
    return [RowGroup(rows, (first, last), (start, end)) for rows, first, last, start, end in zip(*columns, strict=True)]
