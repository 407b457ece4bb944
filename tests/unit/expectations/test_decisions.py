"""What a person decided of rows holds when they come again: they break no rule, and do not count."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import DECIDED, DECIDED_AGAIN, Verdict
from expectations.gate import BarGate
from tests.support import Traded

NOW = datetime(2025, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
PARTITION = Partition.of(
    Traded("AAPL", "XNYS"), Timeframe.M1, Timeframe.M1.window_of(START), START, START + timedelta(days=1)
)
GATE = BarGate()


def row(at: int, **values: object) -> dict[str, object]:
    usual = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100.0, "vwap": None, "trades": 3}
    return {"symbol": "AAPL", "ts": START + timedelta(minutes=at), "source": "sim", **usual, **values}


def bad(at: int, **values: object) -> dict[str, object]:
    return row(at, high=8.0, **values)


def decided(rows: list[dict[str, object]], *, released: bool = True, entry: int = 7) -> pa.Table:
    return pa.Table.from_pylist([each | {"quarantine_id": entry, "released": released} for each in rows], DECIDED)


def audit(rows: list[dict[str, object]], known: pa.Table) -> tuple[Verdict, list[dict[str, object]]]:
    offered = pa.Table.from_pylist(rows, BARS)
    report = GATE.audit(offered, [PARTITION], now=NOW, decided=known)
    return report.verdicts[0], report.accepted.to_pylist()


def minutes(table: pa.Table) -> list[int]:
    return [int((ts - START).total_seconds()) // 60 for ts in table["ts"].to_pylist()]


def share(verdict: Verdict) -> str:
    return next(check.detail for check in verdict.checks if check.name == "rejected_share")


def test_released_rows_do_not_count_and_others_are_judged_on_their_own() -> None:
    known = decided([bad(at) for at in (3, 1, 2)])
    verdict, accepted = audit([*map(bad, (1, 2, 3, 4)), *map(row, range(5, 101))], known)
    assert verdict.passed
    assert share(verdict).startswith("1 of 100 rows rejected")
    assert verdict.reason == "high_is_highest: 1 row: 2024-01-02T14:34:00Z"
    assert (minutes(verdict.rejected), minutes(verdict.released)) == ([4], [1, 2, 3])
    assert verdict.released.schema == DECIDED_AGAIN
    assert verdict.released["quarantine_id"].to_pylist() == [7, 7, 7]
    assert verdict.released["reasons"].to_pylist() == [["high_is_highest"]] * 3
    assert len(accepted) == 96


def test_another_value_is_another_row_and_what_is_absent_equals_itself() -> None:
    known = decided([bad(1), bad(2, volume=None), bad(3, volume=math.nan), bad(4, volume=None), bad(5), bad(6)])
    again = [bad(1, trades=4), bad(2, volume=None), bad(3, volume=math.nan), bad(4, volume=math.nan)]
    verdict, _ = audit([*again, bad(5, source="other"), bad(6, symbol="AAPL")], known)
    assert minutes(verdict.released) == [2, 3, 6]
    assert minutes(verdict.rejected) == [1, 4, 5]


def test_released_rows_stay_published_where_the_others_are_refused() -> None:
    verdict, accepted = audit([*map(bad, range(8)), *map(row, range(8, 20))], decided([bad(0), row(8)]))
    assert not verdict.passed
    assert share(verdict).startswith("7 of 20 rows rejected")
    assert minutes(verdict.released) == [0, 8]
    assert verdict.released["reasons"].to_pylist() == [["high_is_highest"], []]
    assert len(minutes(verdict.rejected)) == 18
    assert accepted == []


def test_what_was_left_out_does_not_count_and_is_published_only_where_it_breaks_no_rule() -> None:
    known = decided([*map(bad, range(8)), row(8)], released=False)
    verdict, accepted = audit([*map(bad, range(9)), *map(row, range(9, 20))], known)
    assert verdict.passed
    assert share(verdict).startswith("1 of 12 rows rejected")
    assert (minutes(verdict.left_out), minutes(verdict.rejected)) == ([*range(8)], [8])
    assert len(accepted) == 11
    verdict, accepted = audit([*map(bad, range(8)), *map(row, range(8, 20))], known)
    assert (len(accepted), verdict.rejected.num_rows) == (12, 0)


def test_the_later_of_two_decisions_about_a_row_counts() -> None:
    first, second = decided([bad(0)], released=False), decided([bad(0)], entry=9)
    verdict, _ = audit([bad(0)], pa.concat_tables([first, second]))
    assert verdict.released["quarantine_id"].to_pylist() == [9]
    verdict, _ = audit([bad(0)], pa.concat_tables([second, first]))
    assert verdict.left_out["quarantine_id"].to_pylist() == [7]


def test_of_two_released_values_of_one_bar_neither_is_published_where_both_come() -> None:
    other = bad(0, close=10.5)
    known = pa.concat_tables([decided([bad(0)]), decided([other], entry=8)])
    verdict, accepted = audit([bad(0), other, row(1)], known)
    assert (verdict.rejected.num_rows, verdict.released.num_rows, len(accepted)) == (2, 0, 1)
    verdict, _ = audit([bad(0), bad(0, close=10.25), row(1)], known)
    assert verdict.released["close"].to_pylist() == [11.0]
    assert verdict.rejected["close"].to_pylist() == [10.25]


def test_a_released_bar_stands_for_its_session() -> None:
    verdict, _ = audit([bad(0)], decided([bad(0)]))
    assert "session_count" not in {check.name for check in verdict.checks if not check.passed}


def test_a_value_that_is_absent_is_no_copy_of_one_that_is_no_number() -> None:
    """They are two values of one bar, of which nobody knows which is right; NaN is a copy of NaN, null of null."""
    verdict, accepted = audit([row(0, vwap=None), row(0, vwap=math.nan), row(1)], decided([]))
    assert (verdict.copies, verdict.rejected.num_rows, len(accepted)) == (0, 2, 1)
    verdict, accepted = audit([row(0, vwap=None), row(0, vwap=None), row(1)], decided([]))
    assert (verdict.copies, verdict.rejected.num_rows, len(accepted)) == (1, 0, 2)
