"""Reading archived bars: whole and as they were written, or an error that names the file.

Not here: which windows have to be read from the lake (``chandlery.reading.planner``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.digest import digest
from chandlery.core.schema import READ
from chandlery.core.windows import InstrumentWindow, midnight, window_end, window_starts
from chandlery.errors import LakeError
from chandlery.lake import parquet
from chandlery.lake.manifest import LakeFile, ManifestEntry
from chandlery.lake.store import Lake


def read_entry(
    lake: Lake,
    entry: ManifestEntry,
    windows: Sequence[InstrumentWindow],
    symbols: Mapping[int, str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
    columns: Sequence[str] = READ.names,
) -> pa.Table:
    """Return the bars of some windows that start in ``[start, end)``, sorted by (symbol in the file, ts).

    Args:
        lake: where the files are.
        entry: which holds ``windows``.
        windows: of ``entry``.
        symbols: canonical symbol of each instrument, as the files name it.
        start: inclusive, UTC; as early as there is by default.
        end: exclusive, UTC; as late as there is by default.
        as_of: return what was believed at that time, UTC.
        columns: of ``READ``, in its order, ``symbol`` and ``ts`` among them; no others are decoded.

    Returns:
        Table of these columns of schema ``READ``.

    Raises:
        LakeError: a file is missing or damaged; names it.
    """
    if as_of is None:
        return _read(lake, entry.bars, entry, windows, symbols, start, end, columns)
    present = _read(lake, entry.bars, entry, windows, symbols, start, end)
    moment = pa.scalar(as_of, pa.timestamp("us", tz="UTC"))
    present = present.filter(pc.less_equal(present["known_at"], moment))
    if entry.revisions is None:
        return present.select(columns)
    earlier = read_revisions_of(lake, entry, windows, symbols, start=start, end=end)
    believed = pc.and_(pc.less_equal(earlier["known_at"], moment), pc.greater(earlier["superseded_at"], moment))
    parts = [table.select(columns) for table in (present, earlier.filter(believed))]
    return pa.concat_tables(parts).unify_dictionaries()


def read_revisions_of(
    lake: Lake,
    entry: ManifestEntry,
    windows: Sequence[InstrumentWindow],
    symbols: Mapping[int, str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pa.Table:
    """Return the earlier values of bars, with ``superseded_at``; otherwise as ``read_entry``."""
    if entry.revisions is None:
        return parquet.REVISION_FILE.empty_table()
    return _read(lake, entry.revisions, entry, windows, symbols, start, end)


def read_file(
    lake: Lake,
    file: LakeFile,
    symbols: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows of one file, of some symbols or all, in ``[start, end)``; raise ``LakeError`` naming the file.

    Of ``columns`` alone, where they are given; see ``parquet.read``.
    """
    try:
        with lake.open(file.path) as source:
            _check_size(source.size(), file.size)
            return parquet.read(
                source, footer_digest=file.footer_digest, symbols=symbols, start=start, end=end, columns=columns
            )
    except LakeError as error:
        raise _damaged(lake, file, str(error)) from None
    except (OSError, pa.ArrowException) as error:
        raise _damaged(lake, file, str(error)) from error


def verify_file(lake: Lake, file: LakeFile) -> None:
    """Read a file back whole and compare every value with what was written; raise ``LakeError`` naming the file."""
    table = read_file(lake, file)
    if table.num_rows != file.row_count:
        raise _damaged(lake, file, f"it has {table.num_rows} rows, not {file.row_count}")
    if digest(table) != file.digest:
        raise _damaged(lake, file, "its values are not those that were written")


def _check_size(found: int, expected: int) -> None:
    if found != expected:
        raise LakeError(f"it has {found} bytes, not {expected}")


def _damaged(lake: Lake, file: LakeFile, why: str) -> LakeError:
    place = lake.describe(file.path)
    text = why if why.startswith(place) else f"{place}: {why}"
    return LakeError(f"{text}; `chandlery archive --verify` names every such file")


def _read(  # noqa: PLR0917 - private
    lake: Lake,
    file: LakeFile,
    entry: ManifestEntry,
    windows: Sequence[InstrumentWindow],
    symbols: Mapping[int, str],
    start: datetime | None,
    end: datetime | None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows of ``windows`` in ``[start, end)``."""
    starts = sorted({window.start for window in windows})
    first, after = midnight(starts[0]), window_end(entry.timeframe, starts[-1])
    wanted = None
    if entry.instrument_id is None:
        wanted = sorted({symbols[window.instrument_id] for window in windows})
    table = read_file(lake, file, wanted, max(first, start or first), min(after, end or after), columns=columns)
    if len(starts) == sum(1 for _ in entry.timeframe.windows(first, after)):
        return table
    # Some window between the first and the last is not wanted, because it is in the store.
    mine = np.isin(window_starts(entry.timeframe, table["ts"].to_numpy()), np.array(starts, "datetime64[D]"))
    return table.filter(pa.array(mine))
