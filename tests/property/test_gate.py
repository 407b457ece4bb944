"""The gate against a naive recomputation of its rules, row by row, on random batches with random defects."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chandlery.core.calendars import get_calendar, microseconds
from chandlery.core.partition import Partition
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from expectations.gate import BarGate
from expectations.limits import GateLimits
from tests.support import Traded

SHARE = 0.5
ROWS = 1
NOW = datetime(2024, 2, 6, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def day(month: int, number: int) -> datetime:
    return datetime(2024, month, number, tzinfo=UTC)


def ask(symbol: str, calendar: str, timeframe: Timeframe, start: datetime, end: datetime, *known: date) -> Partition:
    return Partition.of(Traded(symbol, calendar, *known), timeframe, timeframe.window_of(start), start, end)


M1, D1 = Timeframe.M1, Timeframe.D1
#: BBB was listed on 30 January and delisted on 5 February; CCC trades around the clock and is asked with a gap.
ASKED = {
    M1: [
        ask("CCC", "24/7", M1, day(2, 1), day(2, 5)),
        ask("AAA", "XNYS", M1, day(1, 29), day(2, 1)),
        ask("AAA", "XNYS", M1, day(2, 1), day(2, 9)),
        ask("BBB", "XNYS", M1, day(1, 25), day(2, 1), date(2024, 1, 30), date(2024, 2, 5)),
        ask("BBB", "XNYS", M1, day(2, 1), day(2, 9), date(2024, 1, 30), date(2024, 2, 5)),
        ask("CCC", "24/7", M1, day(1, 27), day(1, 30)),
    ],
    D1: [
        ask("CCC", "24/7", D1, day(2, 1), day(2, 5)),
        ask("AAA", "XNYS", D1, day(1, 29), day(2, 9)),
        ask("BBB", "XNYS", D1, day(1, 25), day(2, 9), date(2024, 1, 30), date(2024, 2, 5)),
    ],
}

odd = st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, -0.0, -3.0, 7.0, 13.0, 1e308, -1e308, 5e-324])


def mostly(value: float, sides: int = 15) -> st.SearchStrategy[float | None]:
    """``value``, but one time in ``sides`` something odd."""
    return st.integers(1, sides).flatmap(lambda roll: odd if roll == sides else st.just(value))


@st.composite
def bars(draw: st.DrawFn, timeframe: Timeframe) -> dict[str, object]:
    ts = day(1, 26) + draw(st.integers(0, 14)) * DAY
    if timeframe is M1:
        ts += draw(st.sampled_from([0, 30, 390, 870, 1170, 1410, 1439])) * timedelta(minutes=1)
    if draw(st.integers(0, 19)) == 0:
        ts += draw(st.sampled_from([timedelta(seconds=1), timedelta(microseconds=1), timedelta(hours=9)]))
    sides = draw(st.sampled_from([40, 40, 40, 2]))  # some rows are odd through and through
    return {
        "symbol": draw(st.sampled_from(["AAA", "BBB", "CCC"])),
        "ts": ts,
        "open": draw(mostly(10.0, sides)),
        "high": draw(mostly(12.0, sides)),
        "low": draw(mostly(9.0, sides)),
        "close": draw(mostly(11.0, sides)),
        "volume": draw(mostly(100.0)),
        "vwap": draw(mostly(10.5)),
        "trades": draw(st.sampled_from([5] * 12 + [None, 0, -1])),
        "source": draw(st.sampled_from(["one", "one", "one", "two"])),
    }


@st.composite
def batches(draw: st.DrawFn) -> tuple[Timeframe, list[dict[str, object]]]:
    timeframe = draw(st.sampled_from([M1, D1]))
    rows = draw(st.lists(bars(timeframe), min_size=draw(st.sampled_from([0, 20])), max_size=40))
    if rows:
        rows += draw(st.lists(st.sampled_from(rows), max_size=3))
    return timeframe, draw(st.permutations(rows))


# --- the same rules, naively


def there(*values: float | None) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]


def same(one: object, other: object) -> bool:
    return one == other or (
        isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    )


def above(one: float, other: float) -> bool:
    """Whether ``one`` is above ``other`` by more than rounding."""
    rounding = 4 * math.ulp(max(abs(one), abs(other)))
    return one > other and (math.isinf(rounding) or one - other > rounding)


def distance(row: dict[str, object], asked: Partition) -> int:
    ts = microseconds(row["ts"])
    return max(0, microseconds(asked.start) - ts, ts - microseconds(asked.end) + 1)


def session_date(row: dict[str, object], asked: Partition) -> date:
    if asked.timeframe is D1:
        return row["ts"].date()
    calendar = get_calendar(asked.calendar)
    at, _ = calendar.session_of(np.array([microseconds(row["ts"])]))
    return date(1970, 1, 1) + timedelta(days=int(calendar.sessions[at[0]]))


def value_reasons(row: dict[str, object]) -> list[str]:
    prices = [row[name] for name in ("open", "high", "low", "close")]
    body, low, high = there(row["open"], row["close"]), there(row["low"]), there(row["high"])
    volume, vwap, trades = row["volume"], row["vwap"], row["trades"]
    broken = {
        "prices_not_null": None in prices,
        "prices_finite": any(price is not None and not math.isfinite(price) for price in prices),
        "prices_positive": any(price <= 0 for price in there(*prices)),
        "low_is_lowest": bool(body and low) and above(low[0], min(body)),
        "high_is_highest": bool(body and high) and above(max(body), high[0]),
        "volume_not_negative": any(value < 0 for value in there(volume)),
        "volume_finite": volume is not None and not math.isfinite(volume),
        "vwap_valid": vwap is not None and not (math.isfinite(vwap) and vwap >= 0),
        "trades_not_negative": trades is not None and trades < 0,
    }
    return [name for name, is_broken in broken.items() if is_broken]


def time_reasons(row: dict[str, object], asked: Partition, clashes: bool) -> list[str]:
    ts, session = row["ts"], session_date(row, asked)
    midnight = ts == datetime(ts.year, ts.month, ts.day, tzinfo=UTC)
    unlisted = (asked.listed is not None and session < asked.listed) or (
        asked.delisted is not None and session >= asked.delisted
    )
    broken = {
        "on_grid": not midnight if asked.timeframe is D1 else bool(ts.second or ts.microsecond),
        "inside_window": not unlisted and not asked.start <= ts < asked.end,
        "unique_key": clashes,
        "not_in_future": ts > NOW,
        "on_session": asked.timeframe is D1 and not (midnight and ts.date() in session_dates(asked.calendar)),
        "while_listed": unlisted,
    }
    return [name for name, is_broken in broken.items() if is_broken]


@cache
def session_dates(calendar: str) -> frozenset[date]:
    return frozenset(date(1970, 1, 1) + timedelta(days=int(number)) for number in get_calendar(calendar).sessions)


def clashing(rows: list[dict[str, object]]) -> list[bool]:
    answers = []
    for row in rows:
        others = [other for other in rows if (other["symbol"], other["ts"]) == (row["symbol"], row["ts"])]
        answers.append(any(not same(other[name], row[name]) for other in others for name in row))
    return answers


def without_copies(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return ``rows`` without those that equal an earlier one, where all of their key do."""
    kept: list[dict[str, object]] = []
    for row, clashes in zip(rows, clashing(rows), strict=True):
        if clashes or not any((other["symbol"], other["ts"]) == (row["symbol"], row["ts"]) for other in kept):
            kept.append(row)
    return kept


@cache
def expected_sessions(asked: Partition) -> frozenset[date]:
    calendar = get_calendar(asked.calendar)
    start, end, now = (microseconds(moment) for moment in (asked.start, min(asked.end, NOW), NOW))
    days = set()
    for number, opens, closes in zip(calendar.sessions, calendar.opens, calendar.closes, strict=True):
        session = date(1970, 1, 1) + timedelta(days=int(number))
        label = int(number) * 86_400_000_000
        within = start <= label < end if asked.timeframe is D1 else opens < end and closes > start
        listed = (asked.listed or date.min) <= session < (asked.delisted or date.max)
        if within and listed and closes <= now:
            days.add(session)
    return frozenset(days)


def judge(timeframe: Timeframe, rows: list[dict[str, object]]) -> list[tuple[list[tuple[dict, list[str]]], bool, int]]:
    """Return, for each partition asked: its rows with their reasons, whether it passes, and its missing sessions."""
    asked = ASKED[timeframe]
    offered: list[list[tuple[dict, list[str]]]] = [[] for _ in asked]
    for row, clashes in zip(rows, clashing(rows), strict=True):
        own = [at for at, each in enumerate(asked) if each.symbol == row["symbol"]]
        nearest = min(own, key=lambda at: (distance(row, asked[at]), asked[at].start))
        reasons = value_reasons(row) + time_reasons(row, asked[nearest], clashes)
        offered[nearest].append((row, reasons))
    answers = []
    for each, judged in zip(asked, offered, strict=True):
        own_rows = [reasons for _, reasons in judged if "while_listed" not in reasons and reasons != ["on_session"]]
        bad = sum(bool(reasons) for reasons in own_rows)
        sessions = expected_sessions(each)
        seen = {session_date(row, each) for row, reasons in judged if not reasons}
        passes = bad <= ROWS or bad <= SHARE * len(own_rows)
        answers.append((judged, passes, len(sessions - seen)))
    return answers


# --- the comparison


def fingerprint(row: dict[str, object]) -> str:
    return repr([microseconds(row["ts"]), *(row[name] for name in BARS.names if name != "ts")])


@pytest.fixture(scope="module")
def gate() -> BarGate:
    return BarGate(GateLimits(max_rejected_share=SHARE, max_rejected_rows=ROWS))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(batch=batches())
def test_the_gate_agrees_with_a_naive_recomputation_and_loses_nothing(
    gate: BarGate, batch: tuple[Timeframe, list[dict[str, object]]]
) -> None:
    timeframe, rows = batch
    table = pa.Table.from_pylist(rows, schema=BARS)
    kept = without_copies(rows)
    report = gate.audit(table, ASKED[timeframe], now=NOW)
    accepted = report.accepted.to_pylist()
    assert [(row["symbol"], row["ts"]) for row in accepted] == sorted((row["symbol"], row["ts"]) for row in accepted)

    good: Counter[str] = Counter()
    for verdict, (judged, passes, missing) in zip(report.verdicts, judge(timeframe, kept), strict=True):
        outcome = {check.name: check for check in verdict.checks}
        assert (verdict.passed, verdict.rows - verdict.copies) == (passes, len(judged))
        assert outcome["session_count"].passed == (missing == 0)
        refused = Counter((fingerprint(row), tuple(reasons)) for row, reasons in judged if reasons or not passes)
        found = [(fingerprint(row), tuple(row["reasons"])) for row in verdict.rejected.to_pylist()]
        assert Counter(found) == refused
        counts = Counter(reason for _, reasons in judged for reason in reasons)
        assert {name: check.failed_rows for name, check in outcome.items() if check.failed_rows} == dict(counts)
        good.update(fingerprint(row) for row, reasons in judged if passes and not reasons)
    assert Counter(map(fingerprint, accepted)) == good

    rejected = [row for verdict in report.verdicts for row in verdict.rejected.to_pylist()]
    assert Counter(map(fingerprint, accepted + rejected)) == Counter(
        map(fingerprint, pa.Table.from_pylist(kept, schema=BARS).to_pylist())
    )
    assert sum(verdict.copies for verdict in report.verdicts) == len(rows) - len(kept)
