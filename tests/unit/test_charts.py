"""Pictures: what is combined for them, and what they show."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest

from chandlery.charts import DOWN, UP, candles_png, combine, coverage_png
from chandlery.coverage import MONTHLY
from chandlery.errors import UsageError
from chandlery.schema import BARS, conform


def bars_of(closes: list[float], *, volume: float | None = 10.0) -> pa.Table:
    opens = [closes[0], *closes[:-1]]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    columns = {
        "symbol": ["A"] * len(closes),
        "ts": [start + timedelta(days=n) for n in range(len(closes))],
        "open": opens,
        "high": [max(pair) + 1 for pair in zip(opens, closes, strict=True)],
        "low": [min(pair) - 1 for pair in zip(opens, closes, strict=True)],
        "close": closes,
        "volume": pa.array([volume] * len(closes), pa.float64()),
        "source": ["test"] * len(closes),
    }
    return conform(pa.table(columns))


def pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return (imread(BytesIO(png), format="png")[:, :, :3] * 255).round().astype(int)


def count(png: bytes, color: str) -> int:
    wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(pixels(png) - wanted).max(axis=2) <= 2).sum())


def test_combining_keeps_first_max_min_last_and_sum() -> None:
    closes = [5.0, 9.0, 2.0, 4.0, 8.0, 7.0, 3.0]
    combined = combine(bars_of(closes), 3)
    assert combined["ts"].to_pylist() == [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 4, 7)]
    assert combined["open"].to_pylist() == [5.0, 2.0, 7.0]
    assert combined["high"].to_pylist() == [10.0, 9.0, 8.0]
    assert combined["low"].to_pylist() == [1.0, 1.0, 2.0]
    assert combined["close"].to_pylist() == [2.0, 7.0, 3.0]
    assert combined["volume"].to_pylist() == [30.0, 30.0, 10.0]


def test_few_bars_are_left_as_they_are() -> None:
    bars = bars_of([1.0, 2.0, 3.0])
    assert combine(bars, 3)["close"].to_pylist() == [1.0, 2.0, 3.0]


def test_a_picture_has_the_size_asked_for() -> None:
    assert pixels(candles_png(bars_of([1.0, 2.0]), title="A", width_px=500, height_px=200)).shape == (200, 500, 3)


def test_rising_and_falling_bars_have_their_own_colours() -> None:
    rising, falling = bars_of([1.0, 5.0, 9.0]), bars_of([9.0, 5.0, 1.0]).slice(1)
    assert count(candles_png(rising, title="up"), UP) > 200
    assert count(candles_png(rising, title="up"), DOWN) == 0
    assert count(candles_png(falling, title="down"), DOWN) > 200
    assert count(candles_png(falling, title="down"), UP) == 0


@pytest.mark.parametrize("closes", [[5.0], [5.0] * 40, [1e-9, 2e-9] * 20, [1e9, 3e9] * 20, [-3.0, 3.0] * 20])
def test_any_scale_of_prices_can_be_drawn(closes: list[float]) -> None:
    assert count(candles_png(bars_of(closes), title="A"), UP) > 0


def test_bars_without_volume_can_be_drawn() -> None:
    assert count(candles_png(bars_of([1.0, 2.0, 3.0], volume=None), title="A"), UP) > 100


def test_no_bars_are_refused() -> None:
    with pytest.raises(UsageError, match="bars is empty"):
        candles_png(BARS.empty_table(), title="A")
    with pytest.raises(UsageError, match="max_candles=0"):
        candles_png(bars_of([1.0]), title="A", max_candles=0)


def test_a_month_with_nothing_stands_out_in_the_heat_map() -> None:
    months = [date(2024, month, 1) for month in range(1, 7)]

    def draw(shares: list[float]) -> bytes:
        return coverage_png(pa.table({"symbol": ["A"] * 6, "month": months, "share": shares}), title="coverage")

    assert count(draw([1.0] * 6), DOWN) == 0
    assert count(draw([1.0, 1.0, 0.0, 1.0, 1.0, 1.0]), DOWN) > 500
    assert count(draw([1.0] * 6), UP) > count(draw([1.0, 1.0, 0.0, 1.0, 1.0, 1.0]), UP) > 2000


def test_an_empty_heat_map_is_refused() -> None:
    with pytest.raises(UsageError, match="coverage is empty"):
        coverage_png(MONTHLY.empty_table(), title="coverage")
