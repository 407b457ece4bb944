"""Suspect prints as findings: marked with the bars that are published, confirmed or cleared by the bar after.

A bar is judged when it, or a bar near it, changed, and always with its stored neighbours. So what is served again
changes nothing, and it does not matter in which order bars come. Not here: which bars are suspect (``suspects``), and
their neighbours (``suspect_context``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg

from chandlery.bars.merge import Changes
from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.database.named_queries import query
from chandlery.quality.findings import GATE
from chandlery.quality.suspect_context import Stretch, read_stretches
from chandlery.quality.suspects import DAILY, INTRADAY, Prices, find_suspects
from chandlery.tiers.warehouse import Warehouse

RULE = "suspect_print"
IS_GONE = "the bar is there no longer"
HAS_OTHER_VALUES = "the bar has other values, which are not suspect"
NEXT_BAR = "the next bar did not take it back"
OTHERS_CHANGED = "bars near it changed, and it is suspect no longer"


@dataclass(frozen=True, slots=True, eq=False)
class _Judgement:
    """Which bars of a stretch, given by position, are suspect."""

    stretch: Stretch
    states: Mapping[int, str]


def record_suspects(
    connection: psycopg.Connection, warehouse: Warehouse, timeframe: Timeframe, changes: Changes
) -> None:
    """Record which stored bars are suspect, or so no longer, because bars were just published. Idempotent.

    Args:
        connection: in the transaction that published them.
        warehouse: to which ``connection`` belongs.
        timeframe: of the bars.
        changes: what was inserted, revised or ended. Where that is nothing, nothing is looked at.
    """
    limits = INTRADAY if timeframe.is_intraday else DAILY
    judged = []
    for stretch in read_stretches(connection, warehouse, timeframe, changes):
        suspects = find_suspects(Prices(*stretch.values.T), limits)
        places = range(len(stretch.ts))[stretch.judged]
        states = dict.fromkeys(suspects.confirmed.tolist(), "confirmed") | dict.fromkeys(suspects.open.tolist(), "open")
        judged.append(_Judgement(stretch, {place: state for place, state in states.items() if place in places}))
    if judged:
        _clear(connection, timeframe, judged)
        _mark(connection, timeframe, judged)


def _clear(connection: psycopg.Connection, timeframe: Timeframe, judged: Sequence[_Judgement]) -> None:
    """Dismiss the findings of bars that were judged and are not suspect."""
    common = {"rule": RULE, "timeframe": timeframe.value, "closed_by": GATE}
    edges = [_edges(each.stretch) for each in judged]
    ranges = {
        "ids": [each.stretch.owner for each in judged],
        "firsts": [instant(first) for first, _ in edges],
        "lasts": [instant(last) for _, last in edges],
    }
    cleared = {}
    for number, place, ts, state, known_at in connection.execute(query("quality/find_suspects"), {**common, **ranges}):
        reason = _why_cleared(judged[place - 1], ts, state, known_at)
        if reason is not None:
            cleared[number] = reason
    if cleared:
        values = {"finding_ids": list(cleared), "reasons": list(cleared.values()), "closed_by": GATE}
        connection.execute(query("quality/clear_suspects"), values)


def _edges(stretch: Stretch) -> tuple[int, int]:
    """Return the first and the last instant that were looked at; bars that ended are not there, and looked at."""
    judged = stretch.ts[stretch.judged]
    starts = [stretch.first, stretch.last, *judged[:1].tolist(), *judged[-1:].tolist()]
    return min(starts), max(starts)


def _why_cleared(judgement: _Judgement, start: datetime, state: str, known_at: datetime | None) -> str | None:
    """Return why the finding of a bar is none any more; None where it still is one."""
    stretch = judgement.stretch
    ts = microseconds(start)
    place = int(np.searchsorted(stretch.ts, ts))
    if place == len(stretch.ts) or stretch.ts[place] != ts:
        return IS_GONE
    if place in judgement.states:
        return None
    if known_at is None or stretch.known_at[place] != microseconds(known_at):
        return HAS_OTHER_VALUES
    # An open one was the last bar: if nothing changed up to it, the next bar is what is new.
    return NEXT_BAR if state == "open" and ts < stretch.first else OTHERS_CHANGED


def _mark(connection: psycopg.Connection, timeframe: Timeframe, judged: Sequence[_Judgement]) -> None:
    """Record the bars that are suspect."""
    marks = [(each.stretch, place, state) for each in judged for place, state in each.states.items()]
    if not marks:
        return
    starts = [instant(int(stretch.ts[place])) for stretch, place, _ in marks]
    prices = zip(*(stretch.values[place, :4].tolist() for stretch, place, _ in marks), strict=True)
    values = {
        "timeframe": timeframe.value,
        "rule": RULE,
        "closed_by": GATE,
        "width": f"{timeframe.microseconds} microseconds",
        "ids": [stretch.owner for stretch, _, _ in marks],
        "ts": starts,
        "windows": [timeframe.window_of(start).key for start in starts],
        "states": [state for _, _, state in marks],
        "known": [instant(int(stretch.known_at[place])) for stretch, place, _ in marks],
        **dict(zip(("opens", "highs", "lows", "closes"), map(list, prices), strict=True)),
    }
    connection.execute(query("quality/record_suspects"), values)
