"""Rows that a person's files held before and hold no longer: found, kept as findings, and retracted on request.

A row has vanished where the store has it from the same source, and a newer file covers its time, from its first row to
its last, without it. A file that holds only a part says nothing of the rest. Not here: ending bars
(``publishing.retract``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.bars.origin import Origin
from chandlery.bars.read import BarRange
from chandlery.bars.window_states import find_windows
from chandlery.core.calendars import Int64s
from chandlery.core.partition import Partition
from chandlery.core.schema import VALUES, empty_bars
from chandlery.core.text import counted
from chandlery.core.time_ranges import intersect, merge
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.ingest.answer import ProviderAnswer
from chandlery.providers.base import Held
from chandlery.publishing.publish import PublishReport, publish, publish_together
from chandlery.publishing.retract import Retraction
from chandlery.quality.findings import Audited, Noticed, record_findings
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

RULE = "vanished_rows"
#: So many rows are kept as evidence of one finding.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Vanished:
    """What became of the bars of one partition that were served before.

    Attributes:
        partition: which.
        source: of the bars.
        ranges: half-open, UTC, within the partition, which the files cover.
        bars: those that vanished, oldest first: ``ts``, ``VALUES``.
    """

    partition: Partition
    source: str
    ranges: Sequence[tuple[datetime, datetime]]
    bars: pa.Table = field(repr=False)

    @property
    def moments(self) -> list[datetime]:
        """Their starts, UTC."""
        found: list[datetime] = self.bars["ts"].to_pylist()
        return found

    def retracted(self) -> Vanished:
        """Return what is left of it once its bars ended."""
        return replace(self, bars=self.bars.slice(0, 0))

    @property
    def text(self) -> str:
        """What vanished, in words."""
        count = self.bars.num_rows
        what = counted(count, "bar that was read before is", "bars that were read before are")
        place = self.source.partition(":")[2]
        how = f"`chandlery ingest --{f'provider {place}' if place else 'path ...'} --retract`"
        return f"{what} not in the file of today ({self.source}); {how} ends what is not there"


def find_vanished(warehouse: Warehouse, timeframe: Timeframe, answers: Sequence[ProviderAnswer]) -> dict[str, Vanished]:
    """Return what vanished by partition's key, of all partitions that files cover, be it nothing.

    Args:
        warehouse: where the bars are.
        timeframe: of the bars.
        answers: of one provider.
    """
    covered: dict[Partition, tuple[Held, list[tuple[datetime, datetime]]]] = {}
    for answer in answers:
        for partition in answer.partitions:
            held = answer.held.get(partition.symbol)
            if held is not None and partition.symbol not in answer.failures:
                ranges = intersect(merge(held.ranges), (partition.start, partition.end))
                if ranges:
                    covered[partition] = held, ranges
    known = _known(warehouse, timeframe, covered)
    spans = [BarRange(part.instrument_id, *each) for part in known for each in covered[part][1]]
    if not spans:
        return {}
    stored = read_bars(warehouse, timeframe, spans, columns=["source", *VALUES])
    offered = _offered(answers)
    found = {}
    for partition in known:
        held, parts = covered[partition]
        bars = _within(stored, partition, held.source)
        bars = bars.filter(pa.array(~np.isin(_stamps(bars), offered.get(partition.symbol, ()))))
        found[partition.key] = Vanished(partition, held.source, parts, bars.select(["ts", *VALUES]))
    return found


def record_vanished(
    connection: psycopg.Connection, timeframe: Timeframe, found: Iterable[Vanished], files: Mapping[str, str]
) -> None:
    """Keep what vanished as findings, in the caller's transaction; what came back, or was retracted, is none any more.

    Args:
        connection: in that transaction.
        timeframe: of the bars.
        found: at most one for each partition; those of which nothing vanished among them.
        files: by symbol, which were read.
    """
    audited = []
    for each in found:
        noticed = []
        if each.bars.num_rows:
            rows = [row | {"ts": row["ts"].isoformat()} for row in each.bars.slice(0, _SHOWN).to_pylist()]
            evidence = {"detail": each.text, "file": files.get(each.partition.symbol), "rows": rows}
            stamps = _stamps(each.bars).tolist()
            noticed = [Noticed(RULE, [(ts, ts + timeframe.microseconds) for ts in stamps], evidence)]
        edges = each.ranges[0][0], each.ranges[-1][1]
        audited.append(Audited(each.partition.instrument_id, each.partition.window.key, *edges, noticed))
    record_findings(connection, timeframe, [RULE], audited)


def publish_without(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    timeframe: Timeframe,
    accepted: pa.Table,
    gone: Sequence[Vanished],
    *,
    origin: Origin,
    now: datetime | None,
) -> dict[Timeframe, PublishReport]:
    """Publish ``accepted`` as ``publish`` does, and end in the same transaction what vanished; return both.

    Intraday bars of which no minute is left end as well; all others that derive from what vanished become stale.
    """
    keys = [(each.partition.symbol, ts) for each in gone for ts in each.moments]
    if not keys:
        return {timeframe: publish(connection, warehouse, timeframe, accepted, origin=origin, now=now)}
    widths = [width for width in Timeframe if width.is_intraday and not width.is_ingested]
    ended = _emptied(warehouse, gone, widths) if timeframe is Timeframe.M1 else {}
    return publish_together(
        connection,
        warehouse,
        {timeframe: accepted, **{width: empty_bars() for width in ended}},
        ended=ended,
        retracted={timeframe: Retraction(gone[0].source, keys)},
        origin=origin,
        now=now,
    )


def _emptied(
    warehouse: Warehouse, found: Sequence[Vanished], widths: Sequence[Timeframe]
) -> dict[Timeframe, list[tuple[str, datetime]]]:
    """Return the intraday bars of these widths that nothing is left of once the minutes that vanished end."""
    ended: dict[Timeframe, list[tuple[str, datetime]]] = {width: [] for width in widths}
    for each in found:
        gone = _stamps(each.bars)
        if not len(gone):
            continue
        day = Timeframe.D1.microseconds
        span = instant(int(gone[0]) // day * day), instant((int(gone[-1]) // day + 1) * day)
        owner = each.partition.instrument_id
        rest = np.setdiff1d(_stamps(read_bars(warehouse, Timeframe.M1, [BarRange(owner, *span)], columns=[])), gone)
        for width in widths:
            starts = np.setdiff1d(gone // width.microseconds, rest // width.microseconds) * width.microseconds
            ended[width] += [(each.partition.symbol, instant(ts)) for ts in starts.tolist()]
    return {width: keys for width, keys in ended.items() if keys}


def _known(warehouse: Warehouse, timeframe: Timeframe, partitions: Iterable[Partition]) -> list[Partition]:
    """Return the partitions of which there were bars before."""
    by_window = {(each.instrument_id, each.window.start.date()): each for each in partitions}
    if not by_window:
        return []
    starts, ids = {start for _, start in by_window}, {owner for owner, _ in by_window}
    last = timeframe.window_of(max(starts)).end.date()
    with warehouse.connection() as connection:
        states = find_windows(connection, timeframe, min(starts), last, ids=ids)
    return [by_window[key] for state in states if (key := (state.instrument_id, state.start)) in by_window]


def _offered(answers: Sequence[ProviderAnswer]) -> dict[str, Int64s]:
    """Return the starts of all bars that came, by symbol."""
    parts: dict[str, list[Int64s]] = defaultdict(list)
    for answer in answers:
        for symbol in answer.held:
            of_symbol = pc.equal(answer.bars["symbol"].cast(pa.string()), symbol)
            parts[symbol].append(_stamps(answer.bars.filter(of_symbol)))
    return {symbol: np.concatenate(each) for symbol, each in parts.items()}


def _within(stored: pa.Table, partition: Partition, source: str) -> pa.Table:
    """Return the stored bars of a partition that are of ``source``."""
    owned = pc.equal(stored["instrument_id"], partition.instrument_id)
    after = pc.greater_equal(stored["ts"], pa.scalar(partition.start, stored["ts"].type))
    before = pc.less(stored["ts"], pa.scalar(partition.end, stored["ts"].type))
    same = pc.equal(stored["source"].cast(pa.string()), source)
    return stored.filter(pc.and_(pc.and_(owned, same), pc.and_(after, before)))


def _stamps(bars: pa.Table) -> Int64s:
    return np.asarray(bars["ts"].cast(pa.int64()).to_numpy(), np.int64)
