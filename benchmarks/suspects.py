"""How many planted false prints are found, and how many real moves are taken for one: real days of four shares.

Run ``python -m benchmarks.suspects``. Not here: the rule (``chandlery.quality.suspects``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.core.timeframe import Timeframe
from chandlery.providers.base import BarRequest
from chandlery.providers.sample import SampleProvider
from chandlery.quality.suspects import DAILY, SuspectLimits, find_suspects
from tests.support import utc

Floats: TypeAlias = npt.NDArray[np.float64]
Series: TypeAlias = dict[str, Floats]

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
#: A real move of this size, in the logarithm of the price, is a crash, a jump or a split.
CRASH = 0.1
_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Score:
    """How well false prints were found.

    Attributes:
        recall: share of the planted ones that were found.
        precision: share of what was found that had been planted.
        real: real moves of more than 10 %.
        flagged: those of them that were taken for false.
    """

    recall: float
    precision: float
    real: int
    flagged: int


def read_days() -> dict[str, Series]:
    """Return the real days of each share."""
    provider = SampleProvider()
    found = {}
    for symbol in SYMBOLS:
        bars = provider.fetch(BarRequest([symbol], Timeframe.D1, utc("1990-01-01"), utc("2020-01-01"))).bars
        found[symbol] = {name: bars[name].to_numpy() for name in _COLUMNS}
    return found


def plant(series: Series, random: np.random.Generator, count: int) -> tuple[Series, npt.NDArray[np.int64]]:
    """Return ``series`` with ``count`` false closes of 3 to 30 %, each of one bar, and where they are."""
    planted = {name: values.astype(np.float64) for name, values in series.items()}
    room = np.arange(100, len(series["close"]) - 2, 3)
    bars = np.sort(random.choice(room, count, replace=False))
    planted["close"][bars] *= 1 + random.uniform(0.03, 0.30, count) * random.choice([-1, 1], count)
    planted["high"], planted["low"] = (
        np.maximum(planted["high"], planted["close"]),
        np.minimum(planted["low"], planted["close"]),
    )
    return planted, bars


def plant_wicks(series: Series, random: np.random.Generator, count: int) -> tuple[Series, npt.NDArray[np.int64]]:
    """Return ``series`` with ``count`` false lows and opens (0.01, 1.00, a tenth of the price), and where."""
    planted = {name: values.astype(np.float64) for name, values in series.items()}
    bars = np.sort(random.choice(np.arange(100, len(series["close"]) - 2, 3), count, replace=False))
    for bar in bars.tolist():
        price = random.choice([0.01, 1.0, planted["close"][bar] / 10])
        planted["low"][bar] = min(price, planted["low"][bar])
        if random.random() < 0.5:
            planted["open"][bar] = planted["low"][bar]
    return planted, bars


def score(limits: SuspectLimits = DAILY, *, seed: int = 7, wicks: bool = False) -> Score:
    """Return how well the rule finds 160 planted prints in the days of the four shares."""
    random = np.random.default_rng(seed)
    hits = found = planted_count = real = flagged = 0
    for series in read_days().values():
        planted, bars = (plant_wicks if wicks else plant)(series, random, 40)
        suspects = _find(planted, limits)
        hits += len(np.intersect1d(suspects, bars))
        found, planted_count = found + len(suspects), planted_count + len(bars)
        moves = np.flatnonzero(np.abs(np.diff(np.log(series["close"]))) > CRASH) + 1
        real += len(moves)
        flagged += len(np.intersect1d(_find(series, limits), moves))
    return Score(hits / planted_count, hits / max(found, 1), real, flagged)


def _find(series: Series, limits: SuspectLimits) -> npt.NDArray[np.int64]:
    values = (np.asarray(series[name], np.float64) for name in ("high", "low", "close", "volume"))
    return find_suspects(*values, limits).confirmed


def main() -> None:
    """Print the scores."""
    for seed in range(1, 6):
        print(f"closes of 3 to 30 %, seed {seed}: {score(seed=seed)}")
        print(f"lows and opens, seed {seed}: {score(seed=seed, wicks=True)}")


if __name__ == "__main__":
    main()
