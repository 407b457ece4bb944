"""Partitions and rectangles of them: which there are, how a run names many, and how an order becomes runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from assets.reference import SYMBOLS
from chandlery.config.universe import HistoryConfig
from chandlery.core.timeframe import Timeframe, Window
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.ingest.plan import IngestPlan, KeySelection, parse_keys, plan_partitions, select_keys
from chandlery.instruments.registry import Instrument
from pipelines.command_runs import plan_runs
from pipelines.partitions import (
    RANGE_END,
    RANGE_START,
    build_partitions,
    neighbours,
    range_tags,
    rectangles,
    run_config,
)
from tests.support import utc

NOW = utc("2024-03-15 12:00")


def instrument(symbol: str, calendar: str = "XNYS") -> Instrument:
    return Instrument(1, symbol, "equity", calendar, "sample", ("1d",), None, None, None)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ([], []),
        (["B"], [["B"]]),
        (["B", "A"], [["A", "B"]]),
        (["A", "C"], [["A"], ["C"]]),
        (["E", "A", "B", "D"], [["A", "B"], ["D", "E"]]),
        (["A", "A", "B"], [["A", "B"]]),
        (["E", "D", "C", "B", "A"], [["A", "B", "C", "D", "E"]]),
    ],
)
def test_neighbours_stand_side_by_side_in_dagsters_order(symbols: list[str], expected: list[list[str]]) -> None:
    assert neighbours(symbols, ["A", "B", "C", "D", "E"]) == expected


def test_the_order_is_that_of_registration_not_of_the_alphabet() -> None:
    assert neighbours(["Z", "A"], ["Z", "A", "M"]) == [["Z", "A"]]


def test_a_groups_range_in_dagster_holds_the_group_and_nobody_else() -> None:
    order = ["Z", "A", "SIM/USD", "BRK.B", "M"]
    partitions = build_partitions(Timeframe.M1, HistoryConfig.model_validate({"1m": date(2024, 1, 1)}))
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(SYMBOLS, order)
        for wanted in itertools.chain.from_iterable(itertools.combinations(order, n) for n in (1, 2, 3, 5)):
            taken: list[str] = []
            for group in neighbours(wanted, order):
                tags = range_tags(group[0], group[-1], "2024-01", "2024-02")
                span = dg.PartitionKeyRange(tags[RANGE_START], tags[RANGE_END])
                taken += partitions.get_partition_keys_in_range(span, dynamic_partitions_store=instance)
            assert sorted(taken) == sorted(
                f"{symbol}|{window}" for symbol in wanted for window in ("2024-01", "2024-02")
            )


@pytest.mark.parametrize(
    ("symbols", "most", "expected"),
    [
        ("", 2, []),
        ("B", 1, ["B"]),
        ("BD", 1, ["BD"]),
        ("ACG", 2, ["AC", "G"]),  # one stranger between A and C, three between C and G
        ("AEG", 2, ["A", "EG"]),
        ("ABDF", 4, ["AB", "D", "F"]),
        ("ACEG", 3, ["A", "C", "EG"]),
        ("GECA", 1, ["ACEG"]),
    ],
)
def test_symbols_are_joined_over_the_fewest_strangers_until_the_rectangles_are_few(
    symbols: str, most: int, expected: list[str]
) -> None:
    assert rectangles(list(symbols), list("ABCDEFG"), most) == [list(group) for group in expected]


def test_a_run_is_told_for_which_symbols_it_is_where_strangers_stand_between_them() -> None:
    order = list("ABCD")
    assert run_config(Timeframe.D1, ["B", "C"], order) == {}
    assert run_config(Timeframe.D1, ["B", "D"], order, refresh=True) == {
        "ops": {"bars_1d": {"config": {"refresh": True, "symbols": ["B", "D"]}}}
    }


def test_a_run_takes_what_it_is_for_and_can_ingest() -> None:
    known = {"A": instrument("A"), "B": instrument("B")}
    keys = ["A|2023", "A|2024", "B|2023", "B|2024", "X|2023", "X|2024"]
    assert select_keys(keys, known) == KeySelection(keys[:4], [], ["X"])
    assert select_keys(keys, known, ["A"]) == KeySelection(keys[:2], ["B", "X"], [])
    assert select_keys(keys, known, ["X"]) == KeySelection([], ["A", "B"], ["X"])
    with pytest.raises(UsageError, match="symbols: Y Z: not registered"):
        select_keys(keys, known, ["A", "Z", "Y"])


def test_a_rectangle_is_named_by_two_corners() -> None:
    assert range_tags("AAPL", "IBM", "2009", "2010") == {
        "dagster/asset_partition_range_start": "AAPL|2009",
        "dagster/asset_partition_range_end": "IBM|2010",
    }


def month(key: str) -> Window:
    return Timeframe.M1.window(key)


@pytest.mark.parametrize(
    ("timeframe", "first", "last"), [(Timeframe.M1, "2010-01", "2024-03"), (Timeframe.D1, "1990", "2024")]
)
def test_windows_reach_from_history_to_the_one_under_way(timeframe: Timeframe, first: str, last: str) -> None:
    windows = build_partitions(timeframe, HistoryConfig()).get_partitions_def_for_dimension("window")
    keys = windows.get_partition_keys(current_time=NOW)
    assert (keys[0], keys[-1]) == (first, last)
    assert keys == sorted(set(keys))


def test_what_derives_from_a_timeframe_has_its_partitions() -> None:
    history = HistoryConfig()
    assert build_partitions(Timeframe.H4, history) == build_partitions(Timeframe.M1, history)
    assert build_partitions(Timeframe.MO1, history) == build_partitions(Timeframe.D1, history)


def test_a_key_is_split_into_symbol_and_window() -> None:
    assert [(s, w.key) for s, w in parse_keys(["BRK.B|2024-01", "SIM/USD|2024-02"], Timeframe.M1)] == [
        ("BRK.B", "2024-01"),
        ("SIM/USD", "2024-02"),
    ]


def planned(key: str, clip: dict[str, tuple[datetime, datetime]] | None = None) -> tuple[datetime, datetime]:
    known = {"AAPL": instrument("AAPL")}
    (found,) = plan_partitions([key], Timeframe.M1, known, clip or {}, NOW)
    return found.start, found.end


def test_a_window_under_way_is_asked_for_until_now() -> None:
    assert planned("AAPL|2024-03") == (utc("2024-03-01"), NOW)


def test_a_window_that_is_over_is_asked_for_whole() -> None:
    assert planned("AAPL|2024-02") == (utc("2024-02-01"), utc("2024-03-01"))


def test_a_window_of_the_future_is_empty() -> None:
    assert planned("AAPL|2024-04") == (utc("2024-04-01"), utc("2024-04-01"))


def test_a_range_narrows_a_window_at_both_ends() -> None:
    clip = {"AAPL": (utc("2024-01-10"), utc("2024-02-20"))}
    assert planned("AAPL|2024-01", clip) == (utc("2024-01-10"), utc("2024-02-01"))
    assert planned("AAPL|2024-02", clip) == (utc("2024-02-01"), utc("2024-02-20"))


def test_a_window_outside_the_range_is_empty() -> None:
    clip = {"AAPL": (utc("2024-01-10"), utc("2024-01-20"))}
    for key in ("AAPL|2023-12", "AAPL|2024-02"):
        start, end = planned(key, clip)
        assert start == end


def test_a_symbol_that_is_not_registered_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UnknownSymbolError, match=r"XYZ\|2024-01.*`chandlery init`"):
        planned("XYZ|2024-01")


def plan(symbols: Sequence[str], ranges: dict[str, tuple[str, str]]) -> list[tuple[str, str, list[str]]]:
    ingest_plan = IngestPlan(
        Timeframe.M1, {instrument(s): (utc(start), utc(end)) for s, (start, end) in ranges.items()}
    )
    runs = []
    for tags, taken in plan_runs(ingest_plan, symbols):
        for symbol, span in ((i.symbol, span) for i, span in taken.items()):
            assert span == tuple(map(utc, ranges[symbol]))
        runs.append((tags[RANGE_START], tags[RANGE_END], [i.symbol for i in taken]))
    return runs


def test_neighbours_that_want_the_same_windows_share_a_run() -> None:
    ranges = {"A": ("2024-01-05", "2024-02-07"), "B": ("2024-01-01", "2024-03-01")}
    assert plan(["A", "B"], ranges) == [("A|2024-01", "B|2024-02", ["A", "B"])]


def test_strangers_and_other_windows_get_runs_of_their_own() -> None:
    ranges = dict.fromkeys(["A", "B", "D"], ("2024-01-01", "2024-02-01")) | {"C": ("2023-12-31", "2024-02-01")}
    assert plan(["A", "B", "C", "D"], ranges) == [
        ("A|2024-01", "B|2024-01", ["A", "B"]),
        ("D|2024-01", "D|2024-01", ["D"]),
        ("C|2023-12", "C|2024-01", ["C"]),
    ]


def test_a_range_that_ends_where_a_window_begins_leaves_that_window_out() -> None:
    ranges = {"A": ("2024-01-01", datetime(2024, 2, 1, tzinfo=UTC).isoformat()[:10])}
    assert plan(["A"], ranges) == [("A|2024-01", "A|2024-01", ["A"])]
