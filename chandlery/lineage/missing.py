"""Why there is no bar: the state of its session, in words, and what was requested of it last.

Not here: how the states are derived (``coverage.session_states``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from chandlery.bars.read import BarRange
from chandlery.core.arrow import to_rows
from chandlery.core.calendars import microseconds
from chandlery.core.text import plural
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.coverage.day_states import states_of_day
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.halts import list_halts
from chandlery.lineage.place import Place, is_trading, session_date
from chandlery.lineage.rejections import find_answers
from chandlery.lineage.steps import Missing, Rejection
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

_MINUTE = timedelta(minutes=1)
_SENTENCES = {
    "complete": "the session is complete without it",
    "no_trades": "it was requested after it had settled, and the provider has no bar of it: nothing was traded",
    "partial": "not all of the session was requested from a provider",
    "halted": "trading was halted",
    "provider_gap": "it was requested after it had settled, and the provider had no bar of it",
    "quarantined": "the gate rejected bars of the session, which wait in quarantine",
    "not_final": "the session is under way, or was not requested since it settled",
    "never_fetched": "no provider ever answered for the session; `chandlery ingest` requests it",
    "not_listed": "the instrument was not listed then",
}


def explain_missing(
    warehouse: Warehouse, place: Place, rejections: Sequence[Rejection], *, now: datetime | None = None
) -> Missing:
    """Return why there is no bar of ``place``.

    Args:
        warehouse: where it is not.
        place: which bar.
        rejections: the bars of ``place`` that the gate rejected.
        now: the present, UTC; the clock by default.

    Raises:
        UsageError: the time is earlier than the calendar knows.
    """
    now = now or datetime.now(UTC)
    first = session_date(place.calendar, 0)
    if place.ts.date() < first:
        raise UsageError(
            f"ts={place.text} is earlier than the calendar {place.calendar.name} knows; allowed: from {first}"
        )
    if place.timeframe.is_ingested:
        with warehouse.connection() as connection:
            return _explain_ingested(connection, place, rejections, now)
    return _explain_derived(warehouse, place, now)


def _explain_derived(warehouse: Warehouse, place: Place, now: datetime) -> Missing:
    base = place.timeframe.base
    start, end = place.base_span
    bars = read_bars(warehouse, base, [BarRange(place.instrument.instrument_id, start, end)], columns=["known_at"])
    if bars.num_rows:
        what = plural(bars.num_rows, "bar of it is", "bars of it are")
        text = f"{bars.num_rows} {base.value} {what} there, and it waits to be computed from them"
        return Missing("not_derived", text)
    first = replace(place, timeframe=base, ts=start if place.timeframe.is_intraday else place.ts)
    with warehouse.connection() as connection:
        of_base = _explain_ingested(connection, first, (), now)
    return replace(of_base, explanation=f"no {base.value} bar of it is there: {of_base.explanation}")


def _explain_ingested(
    connection: psycopg.Connection, place: Place, rejections: Sequence[Rejection], now: datetime
) -> Missing:
    session = place.session
    if session is None or (place.timeframe is Timeframe.M1 and not is_trading(place, [place.ts])[0]):
        missing = _outside(place)
    else:
        (row,) = to_rows(states_of_day(connection, [place.instrument], place.timeframe, session, now=now))
        missing = Missing(row["state"], _sentence(place, row["state"], row["calendar"]))
        if row["state"] != "closed":
            missing = _with_halt(connection, place, replace(missing, session=session))
            missing = _with_requests(connection, place, missing)
    answers = find_answers(connection, place)
    waiting = [each for each in rejections if each.released_at is None and not each.replaced]
    if waiting:
        text = f"the gate rejected it ({waiting[0].reason}); it waits in quarantine as entry {waiting[0].quarantine_id}"
        missing = replace(missing, explanation=text)
    return replace(missing, last_answer=answers[0] if answers else None)


def _outside(place: Place) -> Missing:
    """Explain a minute in which no session is open, or in which it pauses."""
    calendar = place.calendar
    at = int(calendar.session_of(np.array([microseconds(place.ts)]))[0][0])
    opens, closes = instant(int(calendar.opens[at])), instant(int(calendar.closes[at]))
    text = (
        f"{calendar.name} is closed then; its nearest session, {session_date(calendar, at)}, is from"
        f" {opens:%Y-%m-%d %H:%M}Z to {closes:%Y-%m-%d %H:%M}Z"
    )
    if calendar.break_starts[at] < calendar.break_ends[at]:
        pause = (instant(int(edges[at])) for edges in (calendar.break_starts, calendar.break_ends))
        text += f", with a break from {' to '.join(f'{edge:%H:%M}Z' for edge in pause)}"
    near = range(max(at - 1, 0), min(at + 2, len(calendar.sessions)))
    has_session = place.ts.date() in {session_date(calendar, each) for each in near}
    return Missing("outside" if has_session else "closed", text)


def _sentence(place: Place, state: str, calendar: str | None) -> str:
    if state == "closed":
        return f"{calendar} has no session on that day"
    if state == "not_listed":
        listed, delisted = place.instrument.listed, place.instrument.delisted
        span = [f"from {listed}"] * (listed is not None) + [f"until {delisted}"] * (delisted is not None)
        return f"{_SENTENCES[state]}: it was {' '.join(span)}"
    return _SENTENCES[state]


def _with_halt(connection: psycopg.Connection, place: Place, missing: Missing) -> Missing:
    """Say so where trading was halted in the minute itself."""
    if place.timeframe is not Timeframe.M1:
        return missing
    for halt in list_halts(connection, [place.instrument.symbol]):
        if halt.start < place.ts + _MINUTE and halt.end > place.ts:
            text = f"trading was halted from {halt.start:%H:%M:%S}Z to {halt.end:%H:%M:%S}Z ({halt.reason})"
            return replace(missing, state="halted", explanation=text)
    return missing


def _with_requests(connection: psycopg.Connection, place: Place, missing: Missing) -> Missing:
    """Add what was requested of the session."""
    values = {
        "instrument_id": place.instrument.instrument_id,
        "timeframe": place.timeframe.value,
        "session": missing.session,
    }
    row = connection.execute(query("lineage/last_requests"), values).fetchone()
    if row is None:
        return missing
    requested, final, final_at, tries, next_try = row
    return replace(missing, requested=requested, final=final, final_at=final_at, tries=tries, next_try=next_try)
