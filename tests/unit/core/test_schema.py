"""The Arrow shape of bars: what is brought into it, and what is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from chandlery.core.schema import BARS, PRICES, TS, VALUES, conform, empty_bars
from chandlery.errors import UsageError
from tests.support import Bar, table, utc

MOMENT = utc("2024-06-03T13:30")


def plain() -> dict[str, list[object]]:
    """Return one bar as plain Python columns, without the two that may be absent."""
    bar = Bar("AAA", MOMENT)._asdict()
    return {name: [value] for name, value in bar.items() if name not in {"vwap", "trades"}}


def test_the_columns_are_fixed() -> None:
    assert BARS.names == ["symbol", "ts", "open", "high", "low", "close", "volume", "vwap", "trades", "source"]
    assert BARS.field("ts").type == TS == pa.timestamp("us", tz="UTC")
    assert (*PRICES, "volume", "vwap", "trades") == VALUES
    assert empty_bars().schema == BARS


def test_columns_in_another_order_with_others_between_are_brought_in_order() -> None:
    given = pa.table({"extra": [1], **dict(reversed(plain().items()))})
    found = conform(given)
    assert found.schema == BARS
    assert found["vwap"].to_pylist() == found["trades"].to_pylist() == [None]
    assert (found["symbol"][0].as_py(), found["ts"][0].as_py(), found["close"][0].as_py()) == ("AAA", MOMENT, 11.0)


def test_every_column_is_one_chunk_and_names_of_several_chunks_are_joined() -> None:
    joined = conform(pa.concat_tables([table([Bar(name, MOMENT)]) for name in ("AAA", "BBB", "AAA")]))
    assert {column.num_chunks for column in joined.columns} == {1}
    assert joined["symbol"].to_pylist() == ["AAA", "BBB", "AAA"]
    assert joined["symbol"].chunk(0).dictionary.to_pylist() == ["AAA", "BBB"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_names_may_be_text_or_any_dictionary(kind: pa.DataType) -> None:
    given = pa.table(plain())
    given = given.set_column(0, "symbol", given["symbol"].cast(kind))
    assert conform(given) == conform(pa.table(plain()))


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_times_of_another_unit_and_zone_are_the_same_instants(unit: str) -> None:
    given = pa.table(plain() | {"ts": pa.array([MOMENT], pa.timestamp(unit, tz="America/New_York"))})
    assert conform(given)["ts"].to_pylist() == [MOMENT]


@pytest.mark.parametrize("name", [name for name in BARS.names if name not in {"vwap", "trades"}])
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"column '{name}' is missing; bars need symbol, ts, open"):
        conform(pa.table(plain()).drop_columns(name))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("open", pa.array(["ten"])),
        ("ts", pa.array(["noon"])),
        ("ts", pa.array([1_700_000_000_000_000_001], pa.timestamp("ns", tz="UTC"))),
        ("volume", pa.array([[1.0]])),
        ("trades", pa.array([2**31])),
    ],
)
def test_what_cannot_be_cast_without_loss_is_named(name: str, values: pa.Array) -> None:
    with pytest.raises(UsageError, match=f"column '{name}' cannot be read as"):
        conform(pa.table(plain() | {name: values}))


def test_a_table_that_conforms_already_stays_equal() -> None:
    bars = table([Bar("AAA", MOMENT), Bar("BBB", MOMENT, volume=None, vwap=None, trades=None)])
    assert conform(bars) == bars
