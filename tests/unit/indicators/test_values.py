"""Every indicator is what its definition says, bar by bar."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.indicators.compute import compute
from chandlery.indicators.declaration import Indicator
from chandlery.indicators.registry import list_indicators
from tests.unit.indicators.market import MINUTE, assert_close, columns_of, table_of, walk
from tests.unit.indicators.references import REFERENCES, Bars, vwap_of_day

BUILTIN = [one for one in list_indicators() if one.is_builtin]
#: It begins otherwise than its reference, and is compared once it forgot that.
APART = {"HT_TRENDLINE"}
#: Where a bar reaches nowhere, TA-Lib goes on with what was there; a coarse grid has such bars at the very beginning.
FINE = {"ADX", "ADXR", "DX"}


@st.composite
def values_of(draw: st.DrawFn, one: Indicator) -> list[float]:
    """Draw small parameters."""
    return [
        draw(st.integers(int(max(p.least, 1)), 12)) if p.whole else draw(st.sampled_from([p.default, 0.5, 1.0]))
        for p in one.parameters
    ]


def test_every_indicator_has_a_reference() -> None:
    assert {one.name for one in BUILTIN} == set(REFERENCES)
    assert len(BUILTIN) >= 35


@pytest.mark.parametrize("name", sorted(set(REFERENCES) - APART))
@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 10**6), count=st.integers(1, 90), tick=st.sampled_from([0.0, 0.01, 1.0]))
def test_values_are_those_of_the_definition(name: str, data: st.DataObject, seed: int, count: int, tick: float) -> None:
    one = next(each for each in BUILTIN if each.name == name)
    values, bars = data.draw(values_of(one)), walk(seed, count, tick=min(tick, 0.01) if name in FINE else tick)
    made = columns_of(compute(table_of(bars), ["_".join([name, *map(str, values)])]))
    lines = REFERENCES[name](Bars(*(bars[field].tolist() for field in Bars._fields)), *values)
    assert len(made) == len(lines)
    for (column, ours), theirs in zip(made.items(), lines, strict=True):
        assert_close(ours, np.array(theirs), column)


def test_the_trend_line_is_the_one_of_its_inventor_once_it_forgot_its_beginning() -> None:
    bars = walk(3, 1500)
    made = columns_of(compute(table_of(bars), ["HT_TRENDLINE"]))["HT_TRENDLINE"]
    (theirs,) = REFERENCES["HT_TRENDLINE"](Bars(*(bars[field].tolist() for field in Bars._fields)))
    assert_close(made[500:], np.array(theirs[500:]), "HT_TRENDLINE")


@pytest.mark.parametrize("tick", [0.0, 1.0])
def test_vwap_of_minutes_counts_from_where_the_session_began(tick: float) -> None:
    bars = walk(5, 30, tick=tick)
    made = columns_of(compute(table_of(bars, step=MINUTE), ["VWAP"], sessions=[1] * 12 + [2] * 18))["VWAP"]
    for part in (slice(0, 12), slice(12, 30)):
        (theirs,) = vwap_of_day(Bars(*(bars[field][part].tolist() for field in Bars._fields)))
        assert_close(made[part], np.array(theirs), "VWAP")


def test_flat_markets_have_no_ratios_and_no_width() -> None:
    flat = {name: np.full(400, 50.0) for name in ("open", "high", "low", "close")} | {"volume": np.full(400, 10.0)}
    made = columns_of(compute(table_of(flat), [one.name for one in BUILTIN]))
    for name in ("RSI_14", "CMO_14", "ADX_14", "PLUS_DI_14", "STOCH_14_3_3_k", "CCI_20", "MFI_14", "ZSCORE_20", "BOP"):
        assert np.isnan(made[name]).all(), name
    assert made["STDDEV_20"][-1] == made["ATR_14"][-1] == made["REALIZED_VOL_20"][-1] == 0
    assert made["BB_20_2_upper"][-1] == made["BB_20_2_lower"][-1] == made["KAMA_10_2_30"][-1] == 50
