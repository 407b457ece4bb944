"""Names, parameters, and indicators of one's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
import pytest

from chandlery.errors import UsageError
from chandlery.indicators.compute import compute
from chandlery.indicators.declaration import DECLARED, Parameter
from chandlery.indicators.registry import choose, indicator, list_indicators, parse
from tests.unit.indicators.market import columns_of, table_of, walk

BARS = table_of(walk(1, 60))


@pytest.fixture(autouse=True)
def _forget_own() -> Iterator[None]:
    yield
    for name in [name for name, one in DECLARED.items() if not one.is_builtin]:
        del DECLARED[name]


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ("SMA_20", ["SMA_20"]),
        ("sma_5", ["SMA_5"]),
        (" Rsi ", ["RSI_14"]),
        ("MACD", ["MACD_12_26_9", "MACD_12_26_9_signal", "MACD_12_26_9_hist"]),
        ("MACD_5", ["MACD_5_26_9", "MACD_5_26_9_signal", "MACD_5_26_9_hist"]),
        ("BB_20_2", ["BB_20_2_upper", "BB_20_2_middle", "BB_20_2_lower"]),
        ("bb_20_2.5", ["BB_20_2.5_upper", "BB_20_2.5_middle", "BB_20_2.5_lower"]),
        ("BB_20_2.0", ["BB_20_2_upper", "BB_20_2_middle", "BB_20_2_lower"]),
        ("STOCH_14_3_3", ["STOCH_14_3_3_k", "STOCH_14_3_3_d"]),
        ("linearreg_slope_30", ["LINEARREG_SLOPE_30"]),
        ("LINEARREG_30", ["LINEARREG_30"]),
        ("HT_TRENDLINE", ["HT_TRENDLINE"]),
        ("VWAP", ["VWAP"]),
        ("T3_5_0.7", ["T3_5_0.7"]),
    ],
)
def test_a_name_with_numbers_is_an_indicator_with_its_columns(given: str, columns: list[str]) -> None:
    assert parse(given).columns == columns


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("SMAA_20", "did you mean .*SMA"),
        ("BBANDS_20_2", "did you mean .*BB"),
        ("nonsense", "`chandlery indicators` lists all"),
        ("", "is empty"),
        ("SMA_0", r"indicators\[0\]='SMA_0': n=0 is not allowed; give a whole number from 1 to 100,000"),
        ("RSI_1", "n=1 is not allowed; give a whole number from 2"),
        ("SMA_2.5", "n=2.5 is not allowed; give a whole number"),
        ("SMA_100001", "n=100001 is not allowed"),
        ("SMA_-5", "is not known; did you mean SMA"),
        ("SMA_20_3", r"has 2 parameters; SMA takes n=20"),
        ("VWAP_5", "has 1 parameters; VWAP takes none"),
        ("BB_20_0", "k=0 is not allowed; give a number from 0.01 to 100"),
        ("SMA_", "is not known; did you mean SMA"),
        ("SMA__5", "is not known"),
        ("SMA_nan", "is not known"),
        ("SMA_1e3", "is not known"),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_is_allowed(given: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        choose([given])


def test_one_that_is_chosen_twice_is_computed_once() -> None:
    assert [each.name for each in choose(["rsi", "SMA_5", "RSI_14"])] == ["RSI_14", "SMA_5"]


@pytest.mark.parametrize("given", ["SMA_20", 5, [5], [None]])
def test_what_is_no_list_of_names_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match=r"^indicators"):
        choose(given)  # type: ignore[arg-type]


def test_every_indicator_says_what_it_is() -> None:
    for one in list_indicators():
        chosen = parse(one.name)
        assert one.about.endswith(".") or one.about[-1].isdigit(), one.name
        assert len(one.about) < 130, one.name
        assert chosen.warmup >= 0
        for parameter in one.parameters:
            assert parameter.least <= parameter.default <= parameter.most


def test_a_function_of_ones_own_is_an_indicator_like_any_other() -> None:
    @indicator("MYMOM", inputs=("close",), warmup=lambda n: n, parameters=(Parameter("n", 10),))
    def mymom(close, n):
        """The close less the one of n bars before."""
        return close - np.concatenate((np.full(n, np.nan), close))[: len(close)]

    made = columns_of(compute(BARS, ["mymom_3", "MOM_3"]))
    np.testing.assert_array_equal(made["MYMOM_3"], made["MOM_3"])
    assert parse("MYMOM").warmup == 10
    assert "MYMOM" in [one.name for one in list_indicators()]
    assert DECLARED["MYMOM"].about == "The close less the one of n bars before."

    @indicator("MYMOM", inputs=("close",), suffixes=("", "_twice"), about="Another.")
    def again(close):
        return close, 2 * close

    assert compute(BARS, ["MYMOM"]).column_names == ["MYMOM", "MYMOM_twice"]


def test_one_of_ours_cannot_be_replaced() -> None:
    with pytest.raises(UsageError, match="name='RSI' belongs to an indicator that is there already"):
        indicator("RSI", inputs=("close",))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "my mom"}, "name='my mom' is not allowed; give capital letters"),
        ({"name": "MY_1"}, "name='MY_1' is not allowed"),
        ({"inputs": ("price",)}, r"inputs=\('price',\) of indicator OWN is not allowed; .* open high low close volume"),
        ({"inputs": "close"}, "inputs='close' of indicator OWN"),
        ({"inputs": ()}, "inputs"),
        ({"suffixes": ("_a", "_a")}, "suffixes"),
        ({"counted_from": "year"}, "counted_from='year' of indicator OWN is not known"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        indicator(**{"name": "OWN", "inputs": ("close",), **arguments})


def test_a_function_that_fails_is_named() -> None:
    @indicator("BROKEN", inputs=("close",))
    def broken(close):
        raise KeyError("price")

    with pytest.raises(UsageError, match="indicator BROKEN failed: KeyError: 'price'"):
        compute(BARS, ["BROKEN"])


@pytest.mark.parametrize("made", [np.zeros(59), np.zeros((60, 1)), 5.0, (np.zeros(60), np.zeros(60)), (), np.zeros(61)])
def test_a_result_of_another_shape_is_refused(made: object) -> None:
    indicator("SHAPE", inputs=("close",))(lambda _: made)
    with pytest.raises(UsageError, match=r"indicator SHAPE returned .* for 60 bars; it has to return 1 of the shape"):
        compute(BARS, ["SHAPE"])


def test_a_function_can_change_neither_the_bars_nor_what_it_returned() -> None:
    kept = []

    @indicator("MINE", inputs=("close", "volume"))
    def mine(close, volume):
        kept.append(np.zeros(len(close)))
        return kept[-1]

    @indicator("RUDE", inputs=("close", "volume"))
    def rude(close, volume):
        volume[:] = 0
        return close

    made = compute(BARS, ["MINE"])
    kept[0][:] = 1
    assert set(made["MINE"].to_pylist()) == {0.0}
    with_null = BARS.set_column(
        5, "volume", pc.if_else(pc.equal(BARS["volume"], BARS["volume"][3]), None, BARS["volume"])
    )
    for bars in (BARS, with_null):
        with pytest.raises(UsageError, match="indicator RUDE failed: ValueError: assignment destination is read-only"):
            compute(bars, ["RUDE"])


@pytest.mark.parametrize("warmup", [lambda n: n / 2, lambda n: -1, lambda n: 1 / 0])
def test_a_warm_up_that_is_no_number_of_bars_is_refused(warmup) -> None:
    indicator("COLD", inputs=("close",), warmup=warmup, parameters=(Parameter("n", 3),))(lambda close, n: close)
    with pytest.raises(UsageError, match="warmup of indicator COLD_3"):
        _ = parse("COLD").warmup
