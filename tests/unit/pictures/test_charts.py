"""Pictures: what is combined for them, and what they show."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from chandlery.core.schema import BARS, conform
from chandlery.coverage.session_states import State
from chandlery.coverage.state_grid import STATE_CATEGORIES, STATE_COLORS
from chandlery.errors import UsageError
from chandlery.pictures.charts import DOWN, UP, candles_png, combine
from chandlery.pictures.heatmap import Matrix, heatmap_png


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


def states_of(*rows: str, first: date = date(2024, 1, 1)) -> Matrix:
    """Return a map from letters: one a day, of the states below; a dot where nothing is known."""
    letters = {
        "c": State.COMPLETE,
        "n": State.NO_TRADES,
        "g": State.PROVIDER_GAP,
        "x": State.CLOSED,
        "f": State.NOT_FINAL,
    }
    order = list(State)
    codes = [[order.index(letters[letter]) if letter in letters else -1 for letter in row] for row in rows]
    return Matrix([f"S{number}" for number in range(len(rows))], first, np.array(codes, np.int8), STATE_CATEGORIES)


def inked(states: Matrix, state: State, **how: int) -> int:
    return count(heatmap_png(states, title="states", **how), STATE_COLORS[state])


def test_a_gap_stands_out_and_only_states_that_occur_are_in_the_legend() -> None:
    assert inked(states_of("cccccxxccc"), State.PROVIDER_GAP) == 0
    assert inked(states_of("cccccxxccc"), State.CLOSED) > 500
    assert inked(states_of("cccgcxxccc"), State.PROVIDER_GAP) > 28 * 18
    assert inked(states_of("cccgcxxccc"), State.COMPLETE) > 6 * 28 * 18


def test_a_month_shows_its_worst_state() -> None:
    years = "c" * 3 * 366
    gap = years[:500] + "g" + years[501:]
    png = heatmap_png(states_of(years, gap), title="states", width_px=600)
    assert pixels(png).shape[1] == 600
    assert count(png, STATE_COLORS[State.PROVIDER_GAP]) > 18 * 12 + 80  # a month of one row, and the legend
    wide = heatmap_png(states_of(years, gap), title="states", width_px=1300)
    assert 80 < count(wide, STATE_COLORS[State.PROVIDER_GAP]) < 18 * 2 + 150  # a day


@pytest.mark.slow
def test_no_day_of_a_long_map_gets_lost_between_pixels() -> None:
    for place in range(0, 640, 7):
        days = "c" * place + "g" + "c" * (640 - place - 1)
        assert inked(states_of(days), State.PROVIDER_GAP, width_px=700) >= 80 + 18  # the legend has about 100 of them


def test_narrow_days_look_like_the_session_before_them() -> None:
    weeks = states_of("cccccxx" * 60)
    assert inked(weeks, State.CLOSED, width_px=720) < 20  # edges of letters
    assert inked(states_of("cccccxx" * 3), State.CLOSED, width_px=720) > 1000


@pytest.mark.slow
def test_a_map_has_room_for_every_symbol() -> None:
    many = states_of(*["c" * 200] * 500)
    picture = pixels(heatmap_png(many, title="states"))
    assert picture.shape[1] == 1000
    assert picture.shape[0] > 500 * 9
    assert pixels(heatmap_png(states_of("cc"), title="states")).shape[0] < 120


def test_colours_of_states_are_told_apart_by_everyone() -> None:
    """Simulated by Machado, Oliveira and Fernandes (2009); the distance is that of CIELAB."""
    seen = {
        "everyone": np.eye(3),
        "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    }
    for eyes, matrix in seen.items():
        lab = {state: to_lab(np.array(matrix) @ linear(color)) for state, color in STATE_COLORS.items()}
        for one, other in combinations(lab, 2):
            least = 20 if {State.PROVIDER_GAP, State.QUARANTINED} & {one, other} else 15
            assert np.linalg.norm(lab[one] - lab[other]) > least, (eyes, one, other)


def linear(color: str) -> np.ndarray:
    srgb = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    ratio = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
