"""What one bad value, the beginning of a table or its chunks have to do with the rest: nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.errors import UsageError
from chandlery.indicators.compute import compute, compute_many
from chandlery.indicators.registry import choose, list_indicators
from tests.unit.indicators.market import DAY, MINUTE, assert_close, columns_of, table_of, walk

NAMES = [one.name for one in list_indicators() if one.is_builtin]
ALL = choose(NAMES)
#: Those of a window, whose values are the same to the last bit wherever the table begins.
WINDOWS = [
    each
    for each in choose(f"{name}_60" if name in {"SMA", "WMA", "BB", "CCI"} else name for name in NAMES)
    if each.indicator.counted_from == "warm-up" and each.warmup <= 60
]
FADING = [each for each in ALL if each.indicator.counted_from == "warm-up" and each.warmup > 60]
HOLES = {"nan": np.nan, "infinite": np.inf, "absurd": 1e15}


@pytest.mark.parametrize("one", WINDOWS, ids=lambda one: one.name)
def test_values_of_a_window_are_the_same_to_the_last_bit_wherever_the_table_begins(one) -> None:
    bars = table_of(walk(7, 400))
    whole = compute(bars, [one])
    for first in (1, 17, 200, 339):
        part = compute(bars.slice(first), [one]).slice(one.warmup)
        assert part.equals(whole.slice(first + one.warmup)), (one.name, first)


@pytest.mark.parametrize("one", FADING, ids=lambda one: one.name)
@pytest.mark.parametrize("tick", [0.0, 0.5])
def test_what_fades_has_faded_after_its_warm_up(one, tick: float) -> None:
    length = one.warmup + 2500
    bars = table_of(walk(11, length, tick=tick))
    whole = columns_of(compute(bars, [one]))
    for first in (1, 777, 2300):
        part = columns_of(compute(bars.slice(first), [one]))
        for column, values in part.items():
            assert_close(values[one.warmup :], whole[column][first + one.warmup :], f"{column} from {first}")


@pytest.mark.parametrize("one", FADING, ids=lambda one: one.name)
def test_what_fades_has_faded_also_where_the_market_stood_still(one) -> None:
    bars = walk(13, 3 * one.warmup + 1200, tick=0.25)
    for begin, end in ((one.warmup, one.warmup + 40), (one.warmup + 300, 2 * one.warmup + 300)):
        for name in ("open", "high", "low", "close"):
            bars[name][begin:end] = bars["close"][begin]
    table = table_of(bars)
    whole = columns_of(compute(table, [one]))
    for first in range(1, len(bars["close"]) - one.warmup - 200, one.warmup // 3):
        part = columns_of(compute(table.slice(first), [one]))
        for column, values in part.items():
            assert_close(values[one.warmup :], whole[column][first + one.warmup :], f"{column} from {first}")


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", sorted(HOLES))
def test_what_comes_after_a_hole_is_computed_from_what_comes_after_it(one, kind: str) -> None:
    bars, hole = walk(19, 260), 100
    for name in one.indicator.inputs[-1:] if kind != "absurd" else one.indicator.inputs:
        bars[name] = bars[name].copy()
        bars[name][hole] = HOLES[kind]
    table = table_of(bars)
    breaks = np.arange(260) == hole if kind == "absurd" else None
    whole = compute(table, [one], breaks=breaks)
    assert all(whole[column][hole].as_py() is None for column in whole.column_names)
    assert whole.slice(0, hole).equals(compute(table.slice(0, hole), [one]))
    assert whole.slice(hole + 1).equals(compute(table.slice(hole + 1), [one]))


def test_null_is_a_hole_for_those_that_take_the_column_and_for_no_other() -> None:
    bars = walk(23, 120)
    volume = [None if place in {0, 50, 51} else value for place, value in enumerate(bars["volume"].tolist())]
    table = table_of(bars).set_column(5, "volume", pa.array(volume, pa.float64()))
    made = compute(table, ["SMA_5", "RVOL_5"])
    assert made["SMA_5"].null_count == 4
    assert [place for place, value in enumerate(made["RVOL_5"].to_pylist()) if value is None] == [
        *range(6),
        *range(50, 57),
    ]


def test_an_absurd_print_that_nobody_marked_leaves_nothing_behind_in_windows() -> None:
    bars = walk(29, 300)
    clean = compute(table_of(bars), WINDOWS)
    for name in ("high", "close", "volume"):
        bars[name] = bars[name].copy()
        bars[name][100] = 1e15
    assert compute(table_of(bars), WINDOWS).slice(200).equals(clean.slice(200))


def test_rows_that_are_not_there_are_no_holes() -> None:
    table = table_of(walk(31, 100))
    some = table.take(list(range(0, 100, 3)))
    assert compute(some, ["SMA_10"])["SMA_10"].null_count == 9


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 150), max_size=8))
def test_the_chunks_of_a_table_do_not_matter(cuts: list[int]) -> None:
    table = table_of(walk(37, 150))
    edges = [0, *sorted(cuts), 150]
    pieces = [table.slice(first, after - first) for first, after in itertools.pairwise(edges)]
    assert compute(pa.concat_tables(pieces), ALL).equals(compute(table, ALL))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_rows_or_none_have_columns_all_the_same(count: int) -> None:
    made = compute(table_of(walk(41, count)), ALL)
    assert made.num_rows == count
    assert made.column_names == [column for each in ALL for column in each.columns]
    assert {field.type for field in made.schema} == {pa.float64()}
    if count == 1:
        assert made["SMA_20"].to_pylist() == [None]
        assert made["OBV"].to_pylist() == table_of(walk(41, 1))["volume"].to_pylist()


def test_integers_and_decimals_are_numbers() -> None:
    table = table_of(walk(43, 60, tick=1.0))
    others = table.set_column(4, "close", table["close"].cast(pa.decimal128(20, 4)))
    others = others.set_column(5, "volume", table["volume"].cast(pa.int64()))
    assert compute(others, ALL).equals(compute(table, ALL))


def test_obv_counts_from_the_first_day_and_in_minutes_from_the_session() -> None:
    bars = walk(47, 40)
    days = columns_of(compute(table_of(bars), ["OBV"]))["OBV"]
    minutes = columns_of(compute(table_of(bars, step=MINUTE), ["OBV"], sessions=[1] * 15 + [2] * 25))["OBV"]
    np.testing.assert_array_equal(minutes[:15], days[:15])
    assert minutes[15] == bars["volume"][15]
    # By default a session is a day in UTC: the first 15 minutes end one.
    assert compute(table_of(bars, step=MINUTE, first=DAY - 15 * MINUTE), ["OBV"])["OBV"].to_pylist() == minutes.tolist()


def test_several_instruments_are_computed_each_for_itself() -> None:
    tables = [table_of(walk(seed, 90 + seed)) for seed in range(4)]
    ids = [pa.array([number] * table.num_rows, pa.int32()) for number, table in enumerate(tables)]
    together = pa.concat_tables(
        [table.add_column(0, "instrument_id", owner) for table, owner in zip(tables, ids, strict=True)]
    )
    breaks = np.arange(together.num_rows) % 71 == 70
    made, first = compute_many(together, ALL, breaks=breaks), 0
    for table in tables:
        after = first + table.num_rows
        alone = compute(table, ALL, breaks=breaks[first:after])
        assert made.slice(first, table.num_rows).equals(alone)
        first = after
    symbols = pc.cast(together["instrument_id"], pa.string())
    for named in (symbols, symbols.dictionary_encode()):
        some = together.drop_columns("instrument_id").append_column("symbol", named)
        assert compute_many(some, ALL, by="symbol", breaks=breaks).equals(made)


def test_what_is_not_sorted_or_not_there_is_refused_by_name() -> None:
    table = table_of(walk(53, 10))
    with pytest.raises(UsageError, match="row 1 does not come after"):
        compute(table.take([1, 0, 2]), ["SMA_2"])
    with pytest.raises(UsageError, match="row 1 does not come after"):
        compute(table.take([1, 1]), ["SMA_2"])
    with pytest.raises(UsageError, match="has no volume, which"):
        compute(table.drop_columns(["volume"]), ["OBV"])
    with pytest.raises(UsageError, match=r"breaks has the shape \(2,\); give one value for each of the 10 rows"):
        compute(table, ["SMA_2"], breaks=[True, False])
    with pytest.raises(UsageError, match="has no instrument_id"):
        compute_many(table, ["SMA_2"])
