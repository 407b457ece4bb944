"""From a bar back to where its values come from, and to what they were before.

Not here: the bars (``reading``), and the parts of the answer (``publications``, ``rejections``, ``missing``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from chandlery.bars.read import BarRange
from chandlery.core.arrow import to_rows
from chandlery.core.schema import VALUES, is_derived
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve
from chandlery.lineage.missing import explain_missing
from chandlery.lineage.place import Place, is_trading
from chandlery.lineage.publications import describe_publication, find_publications
from chandlery.lineage.rejections import RejectedBar, find_rejected
from chandlery.lineage.steps import BaseBars, Lineage, Missing, Value
from chandlery.reading.bars import read_bars
from chandlery.reading.revisions import read_revisions
from chandlery.tiers.warehouse import Warehouse

#: A bar as a dictionary: of ``STORED`` or ``REVISIONS``.
Row: TypeAlias = dict[str, Any]

_MICROSECOND = timedelta(microseconds=1)


def trace(
    warehouse: Warehouse,
    symbol: str,
    ts: datetime,
    timeframe: Timeframe,
    *,
    as_of: datetime | None = None,
    now: datetime | None = None,
) -> Lineage:
    """Return where the bar that starts at ``ts`` comes from and what it was before, or why there is none.

    The answer is the same wherever the bar rests. As of a time, it is the same ever after, but for the reason why there
    is no bar, and for rejections that were replaced: of these the present alone is known.

    Args:
        warehouse: where the bar is.
        symbol: canonical symbol, or a ticker that named the instrument then.
        ts: the bar's start, UTC.
        timeframe: of the bar.
        as_of: return what was known at that time, UTC; now by default.
        now: the present, UTC, for the reason why there is no bar; the clock by default.

    Raises:
        UnknownSymbolError: no instrument goes by that name then.
        UsageError: no bar of ``timeframe`` starts at ``ts``, or ``ts`` is yet to come.
        LakeError: a file of the lake is missing or damaged; names it.
    """
    is_past = ts < (now or datetime.now(UTC))  # what is to come may be the end of time, with nothing after it
    with warehouse.connection() as connection:
        place = Place(resolve(connection, symbol, ts, ts + _MICROSECOND * is_past), timeframe, ts)
    if not is_past:
        raise UsageError(f"ts={place.text} is yet to come; give the start of a bar that has begun")
    rows = _believed(warehouse, place, as_of)
    if not rows and place.label != ts:
        label = Place(place.instrument, timeframe, place.label).text
        raise UsageError(
            f"ts={place.text} is not the start of a {timeframe.value} bar; the one that holds it starts at {label}"
        )
    with warehouse.connection() as connection:
        rejected = find_rejected(connection, place, as_of)
    values = _values(warehouse, place, rows, rejected, as_of)
    return Lineage(
        place.instrument.symbol,
        timeframe.value,
        ts,
        as_of,
        values,
        None if values else _missing(warehouse, place, rejected, as_of, now),
        [each.rejection for each in rejected],
    )


def _believed(warehouse: Warehouse, place: Place, as_of: datetime | None) -> list[Row]:
    """Return every value of the bar that was known at ``as_of``, newest first."""
    span = place.ts, place.ts + _MICROSECOND
    present = read_bars(warehouse, place.timeframe, [BarRange(place.instrument.instrument_id, *span)], as_of=as_of)
    if not present.num_rows:
        return []
    newest = to_rows(present)[0]
    # Read afterwards: what was the present value a moment ago is among the earlier ones by now.
    earlier = to_rows(read_revisions(warehouse, place.instrument.instrument_id, place.timeframe, *span))
    older = [row for row in earlier if row["known_at"] < newest["known_at"]]
    return [newest, *reversed(older)]


def _values(
    warehouse: Warehouse,
    place: Place,
    rows: Sequence[Row],
    rejected: Sequence[RejectedBar],
    as_of: datetime | None,
) -> list[Value]:
    """Return the values of ``rows``, each with its publication and, where it is derived, its base bars."""
    values = []
    with warehouse.connection() as connection:
        logged = find_publications(connection, place, [row["known_at"] for row in rows])
        for row in rows:
            bar = {name: row[name] for name in VALUES}
            publication = None
            if row["known_at"] in logged:
                found = logged[row["known_at"]]
                publication = describe_publication(connection, place, found, rejected, bar, as_of=as_of)
            values.append(Value(row["known_at"], row.get("superseded_at"), bar, row["source"], publication))
    return [_with_base_bars(warehouse, place, value, as_of) for value in values]


def _with_base_bars(warehouse: Warehouse, place: Place, value: Value, as_of: datetime | None) -> Value:
    """Add the base bars that a value was computed from, where it was."""
    is_derived_day = place.timeframe is Timeframe.D1 and is_derived(value.source)
    if place.timeframe.is_ingested and not is_derived_day:
        return value
    base = Timeframe.M1 if is_derived_day else place.timeframe.base
    span = BarRange(place.instrument.instrument_id, *place.base_span)
    rows = to_rows(read_bars(warehouse, base, [span], as_of=value.known_at))
    if is_derived_day:
        traded = is_trading(place, [row["ts"] for row in rows])
        rows = [row for row, is_part in zip(rows, traded, strict=True) if is_part]
    first = Place(place.instrument, base, span.start)
    return replace(value, derived_from=_by_publication(warehouse, span, rows, base=first, as_of=as_of))


def _by_publication(
    warehouse: Warehouse, span: BarRange, rows: Sequence[Row], *, base: Place, as_of: datetime | None
) -> list[BaseBars]:
    """Return base bars, which are sorted by time, with the publications that made them known, newest first."""
    by_time: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        by_time[row["known_at"]].append(row)
    found = []
    with warehouse.connection() as connection:
        logged = find_publications(connection, base, list(by_time), span.end)
        for known, bars in sorted(by_time.items(), reverse=True):
            first, publication = bars[0], None
            if known in logged:
                at = replace(base, ts=first["ts"])
                rejected = find_rejected(connection, at, as_of) if logged[known].quarantine_ids else []
                values = {name: first[name] for name in VALUES}
                publication = describe_publication(connection, at, logged[known], rejected, values, as_of=as_of)
            found.append(BaseBars(base.timeframe.value, len(bars), first["ts"], bars[-1]["ts"], publication))
    return found


def _missing(
    warehouse: Warehouse,
    place: Place,
    rejected: Sequence[RejectedBar],
    as_of: datetime | None,
    now: datetime | None,
) -> Missing:
    if as_of is not None and (later := _believed(warehouse, place, None)):
        return Missing(
            "not_known", f"it was not known then; it was learned at {later[-1]['known_at']:%Y-%m-%d %H:%M:%SZ}"
        )
    return explain_missing(warehouse, place, [each.rejection for each in rejected], now=now)
