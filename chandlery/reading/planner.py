"""Reading bars wherever they are: the store answers for the windows it holds, the lake for those that left it.

Each window is answered for by one of the two, whole; which one never shows in the answer. Not here: symbols, defaults
and output formats (``api``), the two ways of reading (``store.read``, ``lake.read``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.bars.read import Span, by_key, read_stored
from chandlery.bars.window_states import WindowState, find_windows, read_epoch
from chandlery.core.schema import READ, TS
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.locks import lock_instruments
from chandlery.errors import LakeError, StoreError
from chandlery.instruments.registry import symbols_of
from chandlery.lake.manifest import ManifestEntry, find_entries
from chandlery.lake.parquet import REVISION_FILE
from chandlery.lake.read import read_entry, read_revisions_of
from chandlery.tiers.warehouse import Warehouse

#: How often a read is begun anew because windows left the store, or came back, meanwhile.
_TRIES = 20


def read_bars(
    warehouse: Warehouse,
    timeframe: Timeframe,
    spans: Sequence[Span],
    names: Mapping[int, str],
    *,
    as_of: datetime | None = None,
    columns: Collection[str] = READ.names,
) -> pa.Table:
    """Return the bars of ``spans``, sorted by (instrument_id, ts).

    Args:
        warehouse: where they are.
        timeframe: of the bars.
        spans: disjoint where they are of the same instrument.
        names: the symbol to show for each instrument.
        as_of: return what was believed at that time, UTC: a row's values of then, and no row that was not yet known.
            The read waits for publications that began before, so that it gives the same answer ever after.
        columns: of ``READ``; all by default. The fewer, the faster.

    Returns:
        Table of schema ``READ``: ``symbol``, ``ts``, and those of ``columns``, in its order.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    wanted = [name for name in READ.names if name in {"symbol", "ts"} or name in columns]
    if not spans:
        return READ.empty_table().select(wanted)
    if as_of is not None:
        with warehouse.connection() as connection, connection.transaction():
            lock_instruments(connection, timeframe, sorted({span.instrument_id for span in spans}), shared=True)
    if not timeframe.is_ingested:
        return read_stored(warehouse.database, timeframe, spans, names, as_of=as_of, columns=wanted)
    last: LakeError | None = None
    for _ in range(_TRIES):
        plan = _plan(warehouse, timeframe, spans)
        try:
            table = _gather(warehouse, plan, names, as_of, wanted)
        except LakeError as error:
            # A file may have been replaced by its next version and deleted since the plan was made.
            if last is not None and str(last) == str(error):
                raise
            last = error
            continue
        if _is_valid(warehouse, plan):
            return table
    raise StoreError("bars keep moving between the store and the lake; try again when maintenance is over")


def read_cold_revisions(warehouse: Warehouse, timeframe: Timeframe, span: Span) -> pa.Table:
    """Return, of windows that left the store, every value of the bars of ``span`` that were restated.

    Returns:
        Table of schema ``lake.parquet.REVISION_FILE``, sorted by (ts, known_at); ``superseded_at`` is null in the
        present values.
    """
    nullable = pa.schema([field.with_nullable(nullable=True) for field in REVISION_FILE])
    parts = [nullable.empty_table()]
    plan = _plan(warehouse, timeframe, [span])
    for group in plan.cold:
        if group.entry.revisions is None:
            continue
        asked = (warehouse.lake, group.entry, group.windows, plan.symbols)
        earlier = read_revisions_of(*asked, start=group.start, end=group.end)
        present = read_entry(*asked, start=group.start, end=group.end)
        restated = present.filter(pc.is_in(present["ts"], earlier["ts"].combine_chunks()))
        believed = restated.append_column("superseded_at", pa.nulls(restated.num_rows, TS))
        parts += [earlier.cast(nullable), believed.cast(nullable)]
    return pa.concat_tables(parts).sort_by([("ts", "ascending"), ("known_at", "ascending")])


@dataclass(frozen=True, slots=True)
class _Group:
    """What has to be read of one file: some of its windows, as far as ``spans`` want them."""

    entry: ManifestEntry
    windows: list[WindowState]
    spans: list[Span]

    @property
    def start(self) -> datetime:
        return min(span.start for span in self.spans)

    @property
    def end(self) -> datetime:
        return max(span.end for span in self.spans)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who answers for what, as of one epoch."""

    timeframe: Timeframe
    epoch: int
    hot: list[Span]
    cold: list[_Group]
    symbols: dict[int, str]


def _plan(warehouse: Warehouse, timeframe: Timeframe, spans: Sequence[Span]) -> _Plan:
    ids = sorted({span.instrument_id for span in spans})
    first = timeframe.window_of(min(span.start for span in spans)).start.date()
    last = max(span.end for span in spans)
    with warehouse.connection() as connection:
        with connection.pipeline():
            epoch = read_epoch(connection, timeframe)
            windows = find_windows(
                connection, timeframe, first, window_end(timeframe, last.date()).date(), ids=ids, cold=True
            )
        if not windows:
            return _Plan(timeframe, epoch, list(spans), [], {})
        entries = find_entries(connection, {window.manifest_id for window in windows if window.manifest_id is not None})
        symbols = symbols_of(connection, ids)
    by_instrument: dict[int, list[WindowState]] = defaultdict(list)
    for window in windows:
        by_instrument[window.instrument_id].append(window)
    hot: list[Span] = []
    wanted: dict[int, tuple[dict[WindowState, None], list[Span]]] = defaultdict(lambda: ({}, []))
    for span in spans:
        left = span.start
        for window in by_instrument[span.instrument_id]:
            start, end = midnight(window.start), window_end(timeframe, window.start)
            start, end = max(start, span.start), min(end, span.end)
            if start >= end or window.manifest_id is None:
                continue
            if left < start:
                hot.append(replace(span, start=left, end=start))
            left = end
            held, pieces = wanted[window.manifest_id]
            held[window] = None
            if pieces and (pieces[-1].instrument_id, pieces[-1].end) == (span.instrument_id, start):
                start = pieces.pop().start
            pieces.append(replace(span, start=start, end=end))
        if left < span.end:
            hot.append(replace(span, start=left))
    groups = [_Group(entries[entry], list(held), pieces) for entry, (held, pieces) in wanted.items()]
    return _Plan(timeframe, epoch, hot, groups, symbols)


def _is_valid(warehouse: Warehouse, plan: _Plan) -> bool:
    with warehouse.connection() as connection:
        return read_epoch(connection, plan.timeframe) == plan.epoch


def _gather(
    warehouse: Warehouse, plan: _Plan, names: Mapping[int, str], as_of: datetime | None, columns: Sequence[str]
) -> pa.Table:
    hot = read_stored(warehouse.database, plan.timeframe, plan.hot, names, as_of=as_of, columns=columns)
    if not plan.cold:
        return hot
    ids = {plan.symbols[instrument_id]: instrument_id for instrument_id in plan.symbols}
    shown = {symbol: names[instrument_id] for symbol, instrument_id in ids.items() if instrument_id in names}
    parts = [(_owners(hot, {name: number for number, name in names.items()}), hot)]
    for group in plan.cold:
        table = read_entry(
            warehouse.lake,
            group.entry,
            group.windows,
            plan.symbols,
            start=group.start,
            end=group.end,
            as_of=as_of,
            columns=columns,
        )
        owner = _owners(table, ids, group.entry.instrument_id)
        if len(group.spans) > 1:
            wanted = _within(owner, table["ts"].to_numpy(), group.spans)
            owner, table = owner[wanted], table.filter(pa.array(wanted))
        parts.append((owner, _renamed(table, shown)))
    return _united([part for part in parts if len(part[0])], columns)


def _owners(table: pa.Table, ids: Mapping[str, int], only: int | None = None) -> npt.NDArray[np.int64]:
    """Return each row's instrument id."""
    if only is not None:
        return np.full(table.num_rows, only, np.int64)
    coded = table["symbol"].combine_chunks()
    known = np.array([ids.get(name, -1) for name in coded.dictionary.to_pylist()], np.int64)
    return known[coded.indices.to_numpy()] if len(coded) else np.empty(0, np.int64)


def _within(
    owner: npt.NDArray[np.int64], ts: npt.NDArray[np.datetime64], spans: Iterable[Span]
) -> npt.NDArray[np.bool_]:
    """Return which rows lie in any of ``spans``."""
    wanted = np.zeros(len(owner), np.bool_)
    for span in spans:
        start, end = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in (span.start, span.end))
        wanted |= (owner == span.instrument_id) & (ts >= start) & (ts < end)
    return wanted


def _renamed(table: pa.Table, shown: Mapping[str, str]) -> pa.Table:
    """Return ``table`` with the symbols that were asked for instead of the canonical ones."""
    coded = table["symbol"].combine_chunks()
    asked = pa.array([shown.get(name, name) for name in coded.dictionary.to_pylist()], pa.string())
    return table.set_column(0, READ.field("symbol"), pa.DictionaryArray.from_arrays(coded.indices, asked))


def _united(parts: Sequence[tuple[npt.NDArray[np.int64], pa.Table]], columns: Sequence[str]) -> pa.Table:
    """Return the rows of all parts, sorted by (instrument, ts)."""
    if not parts:
        return READ.empty_table().select(columns)
    if len(parts) == 1:
        return by_key(*parts[0])
    parts = sorted(parts, key=lambda part: (part[0][0], part[1]["ts"][0].value))
    owner = np.concatenate([owner for owner, _ in parts])
    table = pa.concat_tables([table.select(columns) for _, table in parts]).unify_dictionaries().combine_chunks()
    return by_key(owner, table)
