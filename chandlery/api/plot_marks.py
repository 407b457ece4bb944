"""What a chart marks, and where bars are missing in it. Not here: the chart (``plots``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc

from chandlery.api.plotted import Plotted
from chandlery.core.arrow import to_list, to_rows
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.text import counted, write_number
from chandlery.coverage.gaps import Gap, Shown, find_gaps
from chandlery.ingest.quarantine import QuarantineEntry, list_entries
from chandlery.ingest.rejected_rows import read_entry
from chandlery.pictures.candle_chart import Mark
from chandlery.quality.finding_spans import finding_spans
from chandlery.reading.released import RELEASED
from chandlery.reading.revisions import read_revisions
from chandlery.tiers.warehouse import Warehouse

_VALUES = ("open", "high", "low", "close", "volume")
_MOST = 2_000


def marks_of(warehouse: Warehouse, plotted: Plotted) -> tuple[list[Mark], list[str]]:
    """Return what is marked, and sentences about what is not."""
    notes: list[str] = []
    marks: list[Mark] = []
    for what, find in (("earlier values", _revisions), ("rejected rows", _rejected), ("findings", _findings)):
        found = find(warehouse, plotted)
        if len(found) > _MOST:
            notes.append(f"Of {len(found):,} {what}, the last {_MOST:,} are marked.")
        marks += found[-_MOST:]
    return [*marks, *_released(plotted)], notes


def gaps_of(warehouse: Warehouse, plotted: Plotted, marks: Sequence[Mark], known_later: Int64s) -> list[Gap]:
    """Return where bars are missing; of extended hours nobody expects any."""
    if plotted.hours == "extended" and plotted.width.is_intraday:
        return []
    rejected = np.array(sorted({mark.ts for mark in marks if mark.kind == "rejected"}), np.int64)
    start, end = microseconds(plotted.start), microseconds(plotted.end)
    shown = Shown(plotted.grid, plotted.ts, start, end, rejected, known_later)
    with warehouse.connection() as connection:
        return find_gaps(connection, plotted.instrument, shown)


def _revisions(warehouse: Warehouse, plotted: Plotted) -> list[Mark]:
    """Return each earlier value of the bars, if bars of this width are stored."""
    stored = plotted.width.stored
    if stored is None:
        return []
    rows = read_revisions(warehouse, plotted.instrument.instrument_id, stored, plotted.start, plotted.end)
    rows = rows.filter(pc.is_valid(rows["superseded_at"]))
    return [
        Mark(
            microseconds(row["ts"]),
            "revision",
            f"until {_moment(row['superseded_at'])} it was {_values(row)} ({row['source']}, known since"
            f" {_moment(row['known_at'])})",
            tuple(row[name] for name in _VALUES),
        )
        for row in to_rows(rows)
        if plotted.as_of is None or row["superseded_at"] <= plotted.as_of
    ]


def _rejected(warehouse: Warehouse, plotted: Plotted) -> list[Mark]:
    """Return the rows that wait in quarantine; of wider bars, one mark for all that would be part of one."""
    labelled = _labels(plotted)
    found: dict[int, list[Mark]] = defaultdict(list)
    with warehouse.connection() as connection:
        for entry in list_entries(connection, symbol=plotted.instrument.symbol, everything=plotted.as_of is not None):
            if not _waits(entry, plotted):
                continue
            _, rows = read_entry(connection, entry.quarantine_id)
            for row in to_rows(rows.select(["ts", *_VALUES, "reasons"])):
                if row["ts"] is None or not plotted.start <= row["ts"] < plotted.end:
                    continue
                broken = ", ".join(row["reasons"]) or f"with its whole window: {entry.reason}"
                text = f"{_values(row)}: {broken} (entry {entry.quarantine_id}, from {entry.provider})"
                at = labelled(microseconds(row["ts"]))
                found[at].append(Mark(at, "rejected", text, tuple(row[name] for name in _VALUES)))
    if plotted.width.stored is plotted.base:
        return [mark for _, marks in sorted(found.items()) for mark in marks]
    name = plotted.base.value
    return [
        Mark(at, "rejected", f"{counted(len(marks), 'row')} of {name}, the first {marks[0].text}")
        for at, marks in sorted(found.items())
    ]


def _waits(entry: QuarantineEntry, plotted: Plotted) -> bool:
    """Return whether rows of an entry are to be drawn: they wait, or did so at the time as of which is drawn."""
    if entry.timeframe != plotted.base.value or entry.replaced:
        return False
    window = plotted.base.window(entry.window_key)
    if window.end <= plotted.start or window.start >= plotted.end:
        return False
    if plotted.as_of is None:
        return entry.released_at is None
    return entry.arrived_at <= plotted.as_of and (entry.released_at is None or entry.released_at > plotted.as_of)


def _findings(warehouse: Warehouse, plotted: Plotted) -> list[Mark]:
    """Return what was noticed, at the bar that holds its begin."""
    labelled = _labels(plotted)
    with warehouse.connection() as connection:
        spans = finding_spans(
            connection,
            plotted.instrument.instrument_id,
            plotted.base,
            plotted.start,
            plotted.end,
            as_of=plotted.as_of,
            most=_MOST + 1,
        )
    marks = []
    for span in spans:
        is_false = span.rule == "suspect_print" and span.state == "confirmed"
        text = f"{span.rule.replace('_', ' ')}, {span.state}: {span.detail} (finding {span.finding_id})"
        at = labelled(max(microseconds(span.start), microseconds(plotted.start)))
        marks.append(Mark(at, "false_print" if is_false else "finding", text))
    return marks


def _released(plotted: Plotted) -> list[Mark]:
    if RELEASED not in plotted.bars.column_names:
        return []
    bars = plotted.bars.filter(pc.fill_null(plotted.bars[RELEASED], False))
    text = "a person released it from quarantine"
    return [Mark(microseconds(ts), "released", text) for ts in to_list(bars["ts"])[-_MOST:]]


def _labels(plotted: Plotted) -> Callable[[int], int]:
    """Return what gives the start of the bar that a time belongs to."""
    grid = plotted.grid
    return lambda at: int(grid.labels(np.array([at], np.int64))[0])


def _values(row: dict[str, object]) -> str:
    return " ".join(f"{name} {_number(row[name])}" for name in _VALUES)


def _number(value: object) -> str:
    return write_number(float(value)) if isinstance(value, int | float) else "none"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"
