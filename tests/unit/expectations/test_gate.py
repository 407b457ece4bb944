"""The gate's rules one by one, its verdicts, and its answers to real data with known defects."""

from __future__ import annotations

import csv
import gc
import gzip
import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.schema import BARS, conform
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.ingest.gate import REJECTED, AuditReport, Verdict
from chandlery.ingest.plan import partitions_between
from expectations.gate import BarGate
from expectations.limits import GateLimits
from expectations.measures import longest_run, price_jumps
from expectations.records import checks_as_records, rejected_as_records
from expectations.rules import ROW_RULES, batch_rules
from expectations.sessions import listed_span
from tests.support import Traded

NOW = datetime(2025, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GOOD = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100.0, "vwap": 10.5, "trades": 3}


@pytest.fixture(scope="module")
def gate() -> BarGate:
    return BarGate(GateLimits(max_rejected_share=0.5, max_rejected_rows=0))


@pytest.fixture(scope="module")
def strict_gate() -> BarGate:
    return BarGate(GateLimits(max_rejected_rows=0))


def bar(ts: datetime, symbol: str = "AAPL", **values: object) -> dict[str, object]:
    return {"symbol": symbol, "ts": ts, "source": "sim", **GOOD, **values}


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=BARS)


def minutes(count: int, start: datetime = START, symbol: str = "AAPL") -> list[dict[str, object]]:
    return [bar(start + at * MINUTE, symbol) for at in range(count)]


def partition(
    start: datetime = START,
    end: datetime = START + timedelta(hours=1),
    *,
    symbol: str = "AAPL",
    timeframe: Timeframe = Timeframe.M1,
    calendar: str = "XNYS",
    listed: date | None = None,
    delisted: date | None = None,
    asset_class: str = "equity",
) -> Partition:
    traded = Traded(symbol, calendar, listed, delisted, asset_class=asset_class)
    return Partition.of(traded, timeframe, timeframe.window_of(start), start, end)


def judge(gate: BarGate, rows: list[dict[str, object]], asked: Partition, now: datetime = NOW) -> Verdict:
    report = gate.audit(table(rows), [asked], now=now)
    return report.verdicts[0]


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.passed}


def detail(verdict: Verdict, rule: str) -> str:
    return next(check.detail for check in verdict.checks if check.name == rule)


def reasons(verdict: Verdict) -> list[list[str]]:
    found: list[list[str]] = verdict.rejected.column("reasons").to_pylist()
    return found


# --- the shape of the answer


def test_importing_the_gate_imports_nothing_heavy() -> None:
    heavy = "{'great_expectations', 'pandas', 'exchange_calendars', 'dagster'}"
    code = f"import sys, expectations.gate, expectations.records; sys.exit(str({heavy} & set(sys.modules) or ''))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "")


def test_a_clean_batch_is_accepted_whole_with_every_rule_in_order(gate: BarGate) -> None:
    rows = table(minutes(60))
    report = gate.audit(rows, [partition()], now=NOW)
    (verdict,) = report.verdicts
    expected = [rule.name for rule in (*ROW_RULES, *batch_rules(GateLimits(), intraday=True))]
    assert [check.name for check in verdict.checks] == expected
    assert verdict.passed
    assert not failed(verdict)
    assert (verdict.rows, verdict.reason) == (60, "")
    assert verdict.rejected.schema == REJECTED
    assert verdict.rejected.num_rows == 0
    assert report.accepted.equals(conform(rows))


def test_nothing_asked_and_nothing_offered_is_an_empty_report(gate: BarGate) -> None:
    report = gate.audit(table([]), [], now=NOW)
    assert report.verdicts == ()
    assert report.accepted.schema == BARS
    assert report.accepted.num_rows == 0


def test_rows_in_any_order_and_chunks_come_back_sorted_and_verdicts_as_asked(gate: BarGate) -> None:
    one, other = table(minutes(30, symbol="SPY")), table(minutes(30, symbol="AAPL"))
    mixed = pa.concat_tables([one.take(list(range(29, -1, -1))), other.slice(10), other.slice(0, 10)])
    report = gate.audit(mixed, [partition(symbol="SPY"), partition(symbol="AAPL")], now=NOW)
    assert [verdict.partition.symbol for verdict in report.verdicts] == ["SPY", "AAPL"]
    assert [verdict.rows for verdict in report.verdicts] == [30, 30]
    assert report.accepted.schema == BARS
    assert report.accepted.to_pylist() == [*other.to_pylist(), *one.to_pylist()]


def test_a_gate_keeps_no_rows_and_prints_nothing(gate: BarGate, capfd: pytest.CaptureFixture[str]) -> None:
    gate.audit(table(minutes(57)), [partition()], now=NOW)
    gc.collect()
    held = [len(each) for each in gc.get_objects() if type(each) is pd.DataFrame]
    assert 57 not in held
    assert capfd.readouterr() == ("", "")


# --- rules for rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"open": None}, ["prices_not_null"]),
        ({"low": None}, ["prices_not_null"]),
        ({"open": None, "high": None, "low": None, "close": None}, ["prices_not_null"]),
        ({"close": math.nan}, ["prices_finite"]),
        ({"open": math.nan, "high": math.nan, "low": math.nan, "close": math.nan}, ["prices_finite"]),
        ({"high": math.inf}, ["prices_finite"]),
        ({"low": -math.inf}, ["prices_finite", "prices_positive"]),
        ({"open": None, "close": math.nan}, ["prices_not_null", "prices_finite"]),
        ({"low": 0.0}, ["prices_positive"]),
        ({"low": -1.0}, ["prices_positive"]),
        ({"low": 10.00000000000002}, ["low_is_lowest"]),
        ({"high": 10.99999999999998}, ["high_is_highest"]),
        ({"high": 8.0}, ["high_is_highest"]),
        ({"low": 13.0, "high": None}, ["prices_not_null", "low_is_lowest"]),
        ({"open": None, "low": 11.5}, ["prices_not_null", "low_is_lowest"]),
        ({"open": None, "close": -1.0}, ["prices_not_null", "prices_positive", "low_is_lowest"]),
        ({"close": math.nan, "open": 12.5}, ["prices_finite", "high_is_highest"]),
        ({"open": math.inf, "close": None, "high": math.inf}, ["prices_not_null", "prices_finite"]),
        ({"volume": -1.0}, ["volume_not_negative"]),
        ({"volume": math.nan}, ["volume_finite"]),
        ({"volume": math.inf}, ["volume_finite"]),
        ({"vwap": -1.0}, ["vwap_valid"]),
        ({"vwap": math.nan}, ["vwap_valid"]),
        ({"vwap": math.inf}, ["vwap_valid"]),
        ({"trades": -1}, ["trades_not_negative"]),
        ({"ts": START + timedelta(seconds=30)}, ["on_grid"]),
        ({"ts": START - MINUTE}, ["inside_window"]),
        ({"ts": START + timedelta(hours=1)}, ["inside_window"]),
        (
            {"low": -1.0, "high": 1.0, "volume": -2.0, "ts": START + timedelta(hours=1, seconds=1)},
            ["prices_positive", "high_is_highest", "volume_not_negative", "on_grid", "inside_window"],
        ),
    ],
)
def test_a_bad_row_is_rejected_with_all_its_reasons_and_no_other(
    gate: BarGate, values: dict[str, object], expected: list[str]
) -> None:
    good = minutes(20)
    spoilt = {**good[7], **values}
    report = gate.audit(table([*good[:7], spoilt, *good[8:]]), [partition()], now=NOW)
    (verdict,) = report.verdicts
    assert verdict.passed
    assert reasons(verdict) == [expected]
    assert {check.name: check.failed_rows for check in verdict.checks if check.failed_rows} == dict.fromkeys(
        expected, 1
    )
    assert str(verdict.rejected.drop(["reasons"]).to_pylist()) == str(table([spoilt]).to_pylist())
    assert report.accepted.to_pylist() == table([*good[:7], *good[8:]]).to_pylist()


def test_volume_vwap_and_trades_may_be_null(gate: BarGate) -> None:
    some = [{**row, "volume": None, "vwap": None, "trades": None} for row in minutes(5)]
    assert reasons(judge(gate, some + minutes(5, START + 5 * MINUTE), partition())) == []
    assert reasons(judge(gate, some, partition())) == []


def test_a_bar_that_starts_now_is_accepted_and_a_later_one_is_from_the_future(gate: BarGate) -> None:
    verdict = judge(gate, minutes(10), partition(), now=START + 8 * MINUTE)
    assert reasons(verdict) == [["not_in_future"]]
    assert detail(verdict, "not_in_future") == "1 row: 2024-01-02T14:39:00Z"


def test_rows_that_contradict_each_other_are_all_rejected(gate: BarGate) -> None:
    rows = [*minutes(10), bar(START, close=11.5), bar(START)]
    verdict = judge(gate, rows, partition())
    assert reasons(verdict) == [["unique_key"]] * 3
    assert verdict.rejected.column("close").to_pylist() == [11.0, 11.5, 11.0]


@pytest.mark.parametrize("values", [{}, {"volume": None, "vwap": None}])
def test_of_identical_copies_one_is_kept(gate: BarGate, values: dict[str, object]) -> None:
    rows = [bar(START, **values), *minutes(10, START + MINUTE), bar(START, **values), bar(START, **values)]
    report = gate.audit(table(rows), [partition()], now=NOW)
    (verdict,) = report.verdicts
    assert reasons(verdict) == []
    assert (verdict.rows, verdict.copies, report.accepted.num_rows) == (13, 2, 11)
    assert failed(verdict) == {"identical_copies"}
    assert detail(verdict, "identical_copies") == (
        "2 identical copies of a row: 2024-01-02T14:30:00Z, 2024-01-02T14:30:00Z"
    )


@pytest.mark.parametrize("values", [{"volume": None}, {"source": "other"}, {"trades": None}])
def test_copies_that_differ_in_a_null_or_in_the_source_are_not_identical(
    gate: BarGate, values: dict[str, object]
) -> None:
    verdict = judge(gate, [*minutes(10), bar(START, **values)], partition())
    assert reasons(verdict) == [["unique_key"]] * 2


def test_a_daily_bar_must_be_labelled_with_a_session(gate: BarGate) -> None:
    asked = partition(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC), timeframe=Timeframe.D1)
    days = [bar(datetime(2024, 1, day, tzinfo=UTC)) for day in range(1, 10)]
    verdict = judge(gate, [*days, bar(datetime(2024, 1, 4, 5, tzinfo=UTC))], asked)
    found = {row["ts"].isoformat(): row["reasons"] for row in verdict.rejected.to_pylist()}
    assert found == {
        "2024-01-01T00:00:00+00:00": ["on_session"],  # New Year
        "2024-01-04T05:00:00+00:00": ["on_grid", "on_session"],
        "2024-01-06T00:00:00+00:00": ["on_session"],
        "2024-01-07T00:00:00+00:00": ["on_session"],
    }


def test_minutes_outside_trading_hours_are_legitimate(gate: BarGate) -> None:
    asked = partition(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 4, tzinfo=UTC))
    evening = minutes(20, datetime(2024, 1, 2, 23, 50, tzinfo=UTC))
    assert reasons(judge(gate, evening, asked)) == []


def test_the_evening_of_the_last_session_is_while_listed_and_the_next_morning_is_not(gate: BarGate) -> None:
    asked = partition(
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 1, tzinfo=UTC),
        listed=date(2024, 1, 3),
        delisted=date(2024, 1, 5),
    )
    evening, morning = datetime(2024, 1, 5, 0, 30, tzinfo=UTC), datetime(2024, 1, 5, 9, 0, tzinfo=UTC)
    before, first = datetime(2024, 1, 3, 0, 30, tzinfo=UTC), datetime(2024, 1, 3, 9, 0, tzinfo=UTC)
    verdict = judge(gate, [bar(ts) for ts in (before, first, evening, morning)], asked)
    assert verdict.rejected.column("ts").to_pylist() == [before, morning]
    assert reasons(verdict) == [["while_listed"]] * 2


def test_a_daily_bar_on_the_day_of_delisting_is_too_late(gate: BarGate) -> None:
    asked = partition(
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 13, tzinfo=UTC),
        timeframe=Timeframe.D1,
        listed=date(2024, 1, 3),
        delisted=date(2024, 1, 11),
    )
    sessions = [datetime(2024, 1, day, tzinfo=UTC) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12)]
    verdict = judge(gate, [bar(day) for day in sessions], asked)
    assert [ts.day for ts in verdict.rejected.column("ts").to_pylist()] == [2, 11, 12]
    assert "session_count" not in failed(verdict)
    assert detail(verdict, "session_count") == "6 of 6 closed sessions have bars"


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XTKS"])
def test_the_listed_span_agrees_with_the_calendars_own_labels(name: str) -> None:
    calendar = get_calendar(name)
    day = date(1970, 1, 1) + timedelta(days=int(calendar.sessions[-200]))
    begin, end = listed_span(partition(calendar=name, listed=day, delisted=day + timedelta(days=7)))
    probes = np.concatenate([edge + np.arange(-120, 121) * 60_000_000 for edge in (begin, end)])
    probes = np.concatenate([probes, [begin - 1, begin, end - 1, end]])
    label = calendar.sessions[calendar.session_of(probes)[0]]
    first = calendar.sessions[-200]
    assert (((probes >= begin) & (probes < end)) == ((label >= first) & (label < first + 7))).all()


# --- which partition a row belongs to


def test_a_row_outside_all_ranges_goes_to_the_nearest_partition_of_its_symbol(gate: BarGate) -> None:
    hour = timedelta(hours=1)
    asked = [partition(START + 3 * hour, START + 4 * hour), partition(START, START + hour)]
    near_first, near_second = START + hour + 30 * MINUTE, START + 2 * hour + 30 * MINUTE
    rows = [*minutes(20), *minutes(20, START + 3 * hour), bar(near_first), bar(near_second)]
    late, early = gate.audit(table(rows), asked, now=NOW).verdicts
    assert (late.rows, early.rows) == (21, 21)
    assert [(row["ts"], row["reasons"]) for row in early.rejected.to_pylist()] == [(near_first, ["inside_window"])]
    assert [(row["ts"], row["reasons"]) for row in late.rejected.to_pylist()] == [(near_second, ["inside_window"])]


def test_a_symbol_that_was_not_asked_is_refused_by_name(gate: BarGate) -> None:
    with pytest.raises(UsageError, match=r"symbols MSFT were not requested; requested were AAPL"):
        gate.audit(table([*minutes(5), *minutes(5, symbol="MSFT")]), [partition()], now=NOW)


def test_a_symbol_only_in_the_dictionary_is_not_mistaken_for_a_row(gate: BarGate) -> None:
    both = table([*minutes(5), *minutes(5, symbol="MSFT")])
    assert gate.audit(both.slice(0, 5), [partition()], now=NOW).accepted.num_rows == 5


@pytest.mark.parametrize("column", ["symbol", "ts", "source"])
def test_a_row_without_its_key_or_source_is_refused(gate: BarGate, column: str) -> None:
    with pytest.raises(UsageError, match=f"1 row has no {column}"):
        gate.audit(table([*minutes(5), {**bar(START), column: None}]), [partition()], now=NOW)


def test_overlapping_partitions_and_several_timeframes_are_refused(gate: BarGate) -> None:
    with pytest.raises(UsageError, match="overlap"):
        gate.audit(table([]), [partition(), partition(START + MINUTE)], now=NOW)
    with pytest.raises(UsageError, match="several timeframes"):
        gate.audit(table([]), [partition(), partition(timeframe=Timeframe.D1)], now=NOW)


def test_a_naive_now_is_refused(gate: BarGate) -> None:
    with pytest.raises(UsageError, match="now"):
        gate.audit(table([]), [partition()], now=datetime(2025, 1, 1))  # noqa: DTZ001


# --- rules for partitions


def test_one_bad_row_in_a_small_batch_rejects_the_partition_whole(strict_gate: BarGate) -> None:
    rows = minutes(20)
    rows[3]["low"] = 50.0
    report = strict_gate.audit(table(rows), [partition()], now=NOW)
    (verdict,) = report.verdicts
    assert not verdict.passed
    assert reasons(verdict) == [[], [], [], ["low_is_lowest"], *[[]] * 16]
    assert report.accepted.num_rows == 0
    assert detail(verdict, "rejected_share") == "1 of 20 rows rejected (5.00%), allowed 1.00% or 0"
    assert "rejected_share" in verdict.reason
    assert "low_is_lowest" in verdict.reason


def test_the_allowed_share_itself_is_still_allowed_and_a_neighbour_is_not_drawn_in(strict_gate: BarGate) -> None:
    good, bad = minutes(100), minutes(100, symbol="SPY")
    good[50]["high"] = 1.0
    for row in bad[50:52]:
        row["high"] = 1.0
    end = START + timedelta(hours=2)
    report = strict_gate.audit(table(good + bad), [partition(end=end), partition(end=end, symbol="SPY")], now=NOW)
    assert [verdict.passed for verdict in report.verdicts] == [True, False]
    assert [verdict.rejected.num_rows for verdict in report.verdicts] == [1, 100]
    assert set(report.accepted.column("symbol").to_pylist()) == {"AAPL"}
    assert report.accepted.num_rows == 99


WEEKEND = (datetime(2024, 1, 6, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC))
WEEK = (datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 13, tzinfo=UTC))


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.D1])
@pytest.mark.parametrize(
    ("span", "facts", "now", "sessions"),
    [
        (WEEK, {}, NOW, 5),
        (WEEKEND, {}, NOW, 0),
        (WEEKEND, {"calendar": "24/7"}, NOW, 2),
        (WEEK, {}, datetime(2024, 1, 8, 20, 59, tzinfo=UTC), 0),  # the first session is still open
        (WEEK, {}, datetime(2024, 1, 8, 21, 0, tzinfo=UTC), 1),
        (WEEK, {}, datetime(2023, 1, 1, tzinfo=UTC), 0),
        (WEEK, {"listed": date(2024, 1, 11)}, NOW, 2),
        (WEEK, {"listed": date(2024, 1, 13)}, NOW, 0),
        (WEEK, {"delisted": date(2024, 1, 9)}, NOW, 1),
        (WEEK, {"delisted": date(2024, 1, 8)}, NOW, 0),
    ],
)
def test_an_empty_batch_is_no_rejection_and_its_sessions_are_missing(
    gate: BarGate, *, timeframe: Timeframe, span: tuple[datetime, datetime], facts: dict, now: datetime, sessions: int
) -> None:
    verdict = judge(gate, [], partition(*span, timeframe=timeframe, **facts), now=now)
    assert verdict.passed
    assert verdict.reason == ""
    assert failed(verdict) == ({"session_count"} if sessions else set())
    assert detail(verdict, "session_count").startswith(f"0 of {sessions} closed sessions have bars")
    assert len(next(check.spans for check in verdict.checks if check.name == "session_count")) == sessions


@pytest.mark.parametrize("bad", [0, 1, 2, 3, 4])
def test_a_small_number_of_bad_rows_never_keeps_the_others_back(bad: int) -> None:
    rows = minutes(6)
    for row in rows[:bad]:
        row["low"] = 50.0
    verdict = judge(BarGate(), rows, partition())
    assert verdict.passed == (bad <= 3)
    assert verdict.rejected.num_rows == (bad if bad <= 3 else 6)


def test_bars_of_days_without_a_session_wait_alone_however_many_they_are() -> None:
    asked = partition(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 29, tzinfo=UTC), timeframe=Timeframe.D1)
    report = BarGate().audit(table([bar(datetime(2024, 1, day, tzinfo=UTC)) for day in range(1, 29)]), [asked], now=NOW)
    (verdict,) = report.verdicts
    assert verdict.passed
    assert (report.accepted.num_rows, verdict.rejected.num_rows) == (18, 10)
    assert failed(verdict) == {"on_session", "extra_sessions"}
    assert detail(verdict, "extra_sessions") == (
        "bars of 10 days without a session of XNYS: 2024-01-01, 2024-01-06, 2024-01-07, 2024-01-13, 2024-01-14 and 5"
        " more; they wait in quarantine: if the provider is right, enter the days in calendars.yaml"
    )


def test_a_bar_without_a_session_that_is_bad_otherwise_counts_as_bad() -> None:
    asked = partition(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 29, tzinfo=UTC), timeframe=Timeframe.D1)
    rows = [bar(datetime(2024, 1, day, tzinfo=UTC), low=50.0) for day in (6, 7, 13, 14)]
    verdict = judge(BarGate(), [*rows, bar(datetime(2024, 1, 8, tzinfo=UTC))], asked)
    assert not verdict.passed
    assert "extra_sessions" not in failed(verdict)


@pytest.mark.parametrize("price", [88.123456789, 1e-8, 123456.789, 0.1 + 0.2])
@pytest.mark.parametrize("units", [1, 2, -1])
def test_a_unit_in_the_last_place_is_no_breach(price: float, units: int) -> None:
    high = price
    for _ in range(abs(units)):
        high = math.nextafter(high, math.inf if units < 0 else 0.0)
    rows = [bar(START, open=price, high=high, low=price / 2, close=price), *minutes(5, START + MINUTE)]
    rows.append(bar(START + 10 * MINUTE, open=price, high=price * 2, low=2 * price - high, close=price))
    assert reasons(judge(BarGate(GateLimits(max_rejected_rows=0)), rows, partition())) == []


@pytest.mark.parametrize(("asset_class", "expected"), [("future", []), ("power", []), ("spread", [])])
def test_prices_of_0_and_below_are_good_where_the_asset_class_allows_them(
    gate: BarGate, asset_class: str, expected: list[list[str]]
) -> None:
    rows = [*minutes(5), bar(START + 5 * MINUTE, open=18.0, high=18.0, low=-40.0, close=-37.63, vwap=-1.5)]
    rows.append(bar(START + 6 * MINUTE, open=-37.63, high=0.0, low=-40.0, close=0.0, vwap=0.0))
    assert reasons(judge(gate, rows, partition(asset_class=asset_class))) == expected
    rows.append(bar(START + 7 * MINUTE, open=-5.0, high=-6.0, low=-7.0, close=-6.5, vwap=math.inf))
    assert reasons(judge(gate, rows, partition(asset_class=asset_class))) == [["high_is_highest", "vwap_valid"]]


@pytest.mark.parametrize("asset_class", ["equity", "etf", "crypto", "fx", "index"])
def test_prices_of_0_and_below_are_bad_elsewhere(gate: BarGate, asset_class: str) -> None:
    rows = [*minutes(5), bar(START + 5 * MINUTE, low=-40.0, close=-37.63)]
    assert reasons(judge(gate, rows, partition(asset_class=asset_class))) == [["prices_positive"]]


def test_missing_sessions_are_named_as_a_warning(gate: BarGate) -> None:
    asked = partition(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
    rows = [bar(datetime(2024, 1, day, 15, 0, tzinfo=UTC)) for day in range(10, 32)]
    verdict = judge(gate, rows, asked)
    assert verdict.passed
    assert failed(verdict) == {"session_count"}
    assert detail(verdict, "session_count") == (
        "15 of 21 closed sessions have bars; missing 2024-01-02, 2024-01-03, 2024-01-04, 2024-01-05, 2024-01-08 "
        "and 1 more"
    )


def test_a_rejected_bar_does_not_stand_for_its_session(gate: BarGate) -> None:
    asked = partition(*WEEK, timeframe=Timeframe.D1)
    rows = [bar(WEEK[0] + timedelta(days=day)) for day in range(5)]
    rows[2]["close"] = None
    assert "4 of 5" in detail(judge(gate, rows, asked), "session_count")


def test_a_price_jump_warns_with_its_time_and_does_not_block(gate: BarGate) -> None:
    rows = minutes(60)
    for name in ("open", "high", "low", "close"):
        rows[30][name] = GOOD[name] * 100
    verdict = judge(gate, rows, partition())
    assert verdict.passed
    assert failed(verdict) == {"price_jump"}
    assert detail(verdict, "price_jump") == "1 jump: 2024-01-02T15:00:00Z"


def test_a_run_without_volume_warns_from_its_first_bar(gate: BarGate) -> None:
    end = START + timedelta(hours=2)
    rows = minutes(120)
    for row in rows[20:79]:
        row["volume"] = 0.0
    assert not failed(judge(gate, rows, partition(end=end)))
    rows[79]["volume"] = 0.0
    verdict = judge(gate, rows, partition(end=end))
    assert verdict.passed
    assert failed(verdict) == {"zero_volume_run"}
    assert detail(verdict, "zero_volume_run") == "60 bars from 2024-01-02T14:50:00Z"


# --- measures


LIMITS = GateLimits()


@pytest.mark.parametrize("length", [0, 1, 2, 3, 50])
def test_a_constant_series_never_jumps(length: int) -> None:
    assert price_jumps(np.full(length, 3.25), LIMITS).tolist() == []


def test_an_ordinary_walk_never_jumps_and_errors_in_it_are_found() -> None:
    walk = 50 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.02, 1000)))
    assert price_jumps(walk, LIMITS).tolist() == []
    single, block, step = walk.copy(), walk.copy(), walk.copy()
    single[400] *= 100
    block[400:420] /= 100
    step[400:] /= 7
    assert price_jumps(single, LIMITS).tolist() == [400]
    assert price_jumps(block, LIMITS).tolist() == [400, 420]
    assert price_jumps(step, LIMITS).tolist() == [400]


def test_a_series_that_errs_every_other_bar_cannot_hide_behind_its_own_spread() -> None:
    assert len(price_jumps(np.array([100.0, 1.0] * 20), LIMITS))


def test_an_error_in_the_first_or_last_bar_is_seen() -> None:
    assert price_jumps(np.array([1000.0, 10, 10, 10, 10]), LIMITS).tolist() == [1]
    assert price_jumps(np.array([10.0, 10, 10, 10, 1000]), LIMITS).tolist() == [4]


def test_the_longest_run_is_found_at_either_end() -> None:
    assert longest_run(np.array([True, True, False, True])) == (2, 0)
    assert longest_run(np.array([True, False, True, True, True])) == (3, 2)
    assert longest_run(np.array([False])) == (0, 0)
    assert longest_run(np.array([], dtype=np.bool_)) == (0, 0)


@pytest.mark.parametrize(
    "given",
    [
        {"max_rejected_share": 1.5},
        {"max_rejected_share": math.nan},
        {"jump_threshold": 0},
        {"jump_floor": 3.0},
        {"zero_volume_run_daily": 0},
    ],
)
def test_limits_that_cannot_be_meant_are_refused_by_name(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        GateLimits(**given)  # type: ignore[arg-type]


# --- records


def test_records_are_safe_for_json(strict_gate: BarGate) -> None:
    rows = minutes(30)
    rows[0].update(open=math.nan, high=None, volume=math.inf)
    verdict = judge(strict_gate, rows, partition())
    records = json.loads(json.dumps(rejected_as_records(verdict, limit=2), allow_nan=False))
    assert records[0] == {
        "symbol": "AAPL",
        "ts": "2024-01-02T14:30:00+00:00",
        "open": "nan",
        "high": None,
        "low": 9.0,
        "close": 11.0,
        "volume": "inf",
        "reasons": "prices_not_null, prices_finite, volume_finite",
    }
    assert len(records) == 2
    assert records[1]["reasons"] == ""
    checks = json.loads(json.dumps(checks_as_records(verdict), allow_nan=False))
    assert checks[0] == {
        "rule": "prices_not_null",
        "severity": "critical",
        "passed": False,
        "failed_rows": 1,
        "detail": "1 row: 2024-01-02T14:30:00Z",
    }
    assert len(checks) == len(verdict.checks)


# --- real data


def audit_years(gate: BarGate, rows: list[dict[str, object]], calendar: str, symbol: str) -> AuditReport:
    """Judge daily rows in the years they fall into."""
    first, last = min(row["ts"] for row in rows), max(row["ts"] for row in rows)
    partitions = partitions_between([Traded(symbol, calendar)], Timeframe.D1, first, last + timedelta(days=1))
    return gate.audit(table(rows), partitions, now=datetime(2026, 7, 1, tzinfo=UTC))


def midnight(text: str) -> datetime:
    return datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)


def clean_bars(path: Path, symbol: str) -> list[dict[str, object]]:
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = ("open", "high", "low", "close", "volume")
    when = midnight if len(rows[0]["ts"]) == 10 else datetime.fromisoformat
    return [
        {"symbol": symbol, "ts": when(row["ts"]), "source": "files", **{name: float(row[name]) for name in numbers}}
        for row in rows
    ]


def yahoo_bars(path: Path, symbol: str) -> list[dict[str, object]]:
    frame = pd.read_csv(path, index_col=0)
    return [
        {
            "symbol": symbol,
            "ts": midnight(str(day)),
            "open": row["Open"],
            "high": row["High"],
            "low": row["Low"],
            "close": row["Close"],
            "volume": row["Volume"],
            "source": "yahoo",
        }
        for day, row in frame.iterrows()
    ]


def test_two_decades_of_real_days_pass_and_the_splits_are_named(shared_data: Path, strict_gate: BarGate) -> None:
    jumps = {}
    for symbol in ("AAPL", "SPY"):
        rows = clean_bars(shared_data / "bars_1d" / f"{symbol}.csv.gz", symbol)
        report = audit_years(strict_gate, rows, "XNYS", symbol)
        assert report.accepted.num_rows == 5849
        assert all(verdict.passed for verdict in report.verdicts)
        assert {name for verdict in report.verdicts for name in failed(verdict)} <= {"price_jump"}
        jumps[symbol] = [
            detail(verdict, "price_jump") for verdict in report.verdicts if "price_jump" in failed(verdict)
        ]
    assert jumps["SPY"] == []
    named = " ".join(jumps["AAPL"])
    for split in ("2000-06-21", "2005-02-28", "2014-06-09", "2020-08-31"):
        assert split in named
    assert named.count("Z") <= 6, f"little else than the four splits and the crash of 2000-09-29: {named}"


def test_the_minutes_of_a_split_pass_with_a_warning(shared_data: Path, strict_gate: BarGate) -> None:
    rows = clean_bars(shared_data / "bars_1m" / "AAPL.csv.gz", "AAPL")
    asked = partition(datetime(2014, 6, 5, tzinfo=UTC), datetime(2014, 6, 10, tzinfo=UTC))
    verdict = judge(strict_gate, rows, asked)
    assert verdict.passed
    assert verdict.rejected.num_rows == 0
    assert failed(verdict) == {"price_jump"}
    assert detail(verdict, "price_jump") == "1 jump: 2014-06-09T08:00:00Z"
    assert detail(verdict, "session_count") == "3 of 3 closed sessions have bars"


def test_prices_a_hundredfold_wrong_are_named(shared_data: Path, strict_gate: BarGate) -> None:
    served = yahoo_bars(shared_data / "defects" / "AET-L-1d-100x-error.csv", "AET.L")
    repaired = yahoo_bars(shared_data / "defects" / "AET-L-1d-100x-error-fixed.csv", "AET.L")
    (wrong,) = audit_years(strict_gate, served, "XLON", "AET.L").verdicts
    (right,) = audit_years(strict_gate, repaired, "XLON", "AET.L").verdicts
    days = sorted((a["ts"], b["close"] > 50 * a["close"]) for a, b in zip(served, repaired, strict=True))
    assert sum(bad for _, bad in days) == 14
    turns = [f"{day:%Y-%m-%dT%H:%M:%SZ}" for (_, before), (day, bad) in pairwise(days) if bad != before]
    assert wrong.passed
    assert detail(wrong, "price_jump") == f"{len(turns)} jumps: {', '.join(turns)}"
    assert "price_jump" not in failed(right)


def test_impossible_bars_of_a_vendor_are_rejected_row_by_row(shared_data: Path) -> None:
    lenient = BarGate(GateLimits(max_rejected_share=1.0))
    rows = yahoo_bars(shared_data / "defects" / "ELCO-L-1d-bad-div.csv", "ELCO.L")
    report = audit_years(lenient, rows, "XLON", "ELCO.L")
    found = [row for verdict in report.verdicts for row in verdict.rejected.to_pylist()]
    shape = {"low_is_lowest", "high_is_highest"}
    assert sum(bool(shape & set(row["reasons"])) for row in found) == 309
    assert report.accepted.num_rows + len(found) == 665


def test_rows_of_nan_are_not_finite_and_nothing_else(shared_data: Path) -> None:
    lenient = BarGate(GateLimits(max_rejected_share=1.0))
    rows = yahoo_bars(shared_data / "defects" / "SSNLF-1d-bad-div.csv", "SSNLF")
    report = audit_years(lenient, rows, "XNYS", "SSNLF")
    found = [row for verdict in report.verdicts for row in verdict.rejected.to_pylist()]
    nan = [row["reasons"] for row in found if math.isnan(row["close"])]
    assert len(nan) == 242
    assert {tuple(reason for reason in each if reason != "on_session") for each in nan} == {
        ("prices_finite", "volume_finite")
    }
    assert report.accepted.num_rows + len(found) == 6259
