"""How many planted false prints are found, and how many real moves are taken for one, in real days of shares.

The days are those of the sample provider and, where they stand beside the checkout, longer ones of two others that the
limits were not chosen by. Not here: the rule (``chandlery.quality.suspects``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from benchmarks.harness import Comparison, Section
from benchmarks.world import World
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.providers.base import BarRequest
from chandlery.providers.sample import SampleProvider
from chandlery.quality.suspects import DAILY, Prices, find_suspects

Places = npt.NDArray[np.int64]
#: Puts so many false prints into days; returns these and where they are.
Plant = Callable[[Prices, np.random.Generator, int], tuple[Prices, Places]]

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
#: A real move of this size, in the logarithm of the price, is a crash, a jump or a split.
CRASH = 0.1
#: One day in so many gets a false print.
_ONE_IN = 70
_SEEDS = range(10)
_OTHERS = Path(__file__).parent.parent.parent / "shared" / "data" / "bars_1d"


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


def run(_: World) -> Iterator[Section]:
    """Yield the results."""
    yield _section("the sample's days of four shares", sample_days())
    others = other_days()
    if others:
        yield _section(f"days of {' and '.join(others)}, not adjusted", others)


def sample_days() -> dict[str, Prices]:
    """Return the real days of four shares, 2000 to 2013, by symbol."""
    provider = SampleProvider()
    return {name: _prices(provider.fetch(BarRequest([name], Timeframe.D1, *EVER)).bars) for name in SYMBOLS}


def other_days() -> dict[str, Prices]:
    """Return the real days of two others, 1998 to 2021, by symbol; none where they are absent."""
    return {path.name.partition(".")[0]: _prices(pacsv.read_csv(path)) for path in sorted(_OTHERS.glob("*.csv.gz"))}


def plant_closes(days: Prices, random: np.random.Generator, count: int) -> tuple[Prices, Places]:
    """Put in false closes, 3 to 30 % away, of one day each."""
    places, close = _choose(days, random, count), days.close.copy()
    close[places] *= 1 + random.uniform(0.03, 0.30, count) * random.choice([-1, 1], count)
    return replace(days, close=close, high=np.maximum(days.high, close), low=np.minimum(days.low, close)), places


def plant_lows(days: Prices, random: np.random.Generator, count: int) -> tuple[Prices, Places]:
    """Put in false lows, every other one with its open: of 0.01, 1.00 and a tenth of the price."""
    places, low, opened = _choose(days, random, count), days.low.copy(), days.open.copy()
    for place in places.tolist():
        low[place] = random.choice([0.01, 1.0, days.close[place] / 10])
        if random.random() < 0.5:
            opened[place] = low[place]
    return replace(days, low=low, open=opened), places


def score(days: Mapping[str, Prices], plant: Plant, seed: int) -> Score:
    """Return how well the rule finds what ``plant`` puts into the days."""
    random = np.random.default_rng(seed)
    hits = found = planted = real = flagged = 0
    for each in days.values():
        false, places = plant(each, random, len(each.close) // _ONE_IN)
        confirmed = find_suspects(false, DAILY).confirmed
        hits, found, planted = (
            hits + len(np.intersect1d(confirmed, places)),
            found + len(confirmed),
            planted + len(places),
        )
        moves = np.flatnonzero(np.abs(np.diff(np.log(each.close))) > CRASH) + 1
        real, flagged = real + len(moves), flagged + len(np.intersect1d(find_suspects(each, DAILY).confirmed, moves))
    return Score(hits / planted, hits / max(found, 1), real, flagged)


def _section(title: str, days: Mapping[str, Prices]) -> Section:
    section = Section(f"false prints: {title}")
    closes, lows = ([score(days, plant, seed) for seed in _SEEDS] for plant in (plant_closes, plant_lows))
    section.comparisons = [
        Comparison("closes found", "planted", [each.recall for each in closes], aim=0.86),
        Comparison("closes planted", "found", [each.precision for each in closes], aim=0.93),
        Comparison("lows and opens found", "planted", [each.recall for each in lows], aim=0.86),
        Comparison("lows and opens planted", "found", [each.precision for each in lows]),
    ]
    section.facts["real moves over 10 % taken for false"] = f"{closes[0].flagged} of {closes[0].real}"
    return section


def _choose(days: Prices, random: np.random.Generator, count: int) -> Places:
    """Return ``count`` places, ascending, no two next to each other."""
    return np.sort(random.choice(np.arange(100, len(days.close) - 2, 3), count, replace=False))


def _prices(bars: pa.Table) -> Prices:
    names = ("open", "high", "low", "close", "volume")
    return Prices(*(bars[name].to_numpy().astype(np.float64) for name in names))
