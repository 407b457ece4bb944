"""How bars are invented.

Each session is made on its own, top down: a smooth curve over the days gives its level, a generator seeded from (seed,
symbol, session) draws the day's bar, and the minutes are then laid out inside that day. So any range can be made
without its past, a part of a range equals that part of the whole, and the minutes add up to the day: first open,
highest high, lowest low, last close, Σ volume and Σ trades (a day's vwap is only near its minutes').
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Calendar, Int64s, microseconds
from chandlery.core.schema import PRICES
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.providers.base import BarRequest

Floats: TypeAlias = npt.NDArray[np.float64]
Columns: TypeAlias = dict[str, npt.NDArray[np.generic]]

_MINUTE = 60_000_000
_BLOCK = 64  # sessions made at once: enough to share the fixed cost, few enough for the cache of the processor
_THIN = -2.6  # a minute whose volume is drawn this many deviations low has no trade: about one in 200


def invent_bars(seed: int, symbol: str, calendar: Calendar, request: BarRequest) -> Iterator[Columns]:
    """Yield the columns of the bars of ``symbol`` that ``request`` is for, some sessions at a time, in order of time.

    Args:
        seed: of the world.
        symbol: any.
        calendar: of the symbol.
        request: for ``1m`` or ``1d``.
    """
    intraday = request.timeframe is Timeframe.M1
    sessions = (calendar.overlapping if intraday else calendar.between)(request.start, request.end)
    character = _character(seed, symbol, calendar.always_open)
    for first in range(sessions.start, sessions.stop, _BLOCK):
        days = _draw_days(character, calendar, slice(first, min(first + _BLOCK, sessions.stop)))
        yield _between(_lay_out_minutes(days), request) if intraday else _day_bars(days)


@dataclass(frozen=True, slots=True)
class _Character:
    """What makes one symbol differ from another; drawn once from (seed, symbol).

    Attributes:
        entropy: seeds the symbol's sessions.
        price: level about which the price swings.
        volatility: standard deviation of a day's return.
        amplitudes, frequencies, phases: of the sines whose sum is the logarithm of the level, by day.
        volume: of a usual minute.
        units: smallest quantities that make a whole: one of a share, 10,000 of a coin.
        trade: average size of a trade, in units.
        gaps: whether the price may jump while the market is closed.
    """

    entropy: npt.NDArray[np.uint32]
    price: float
    volatility: float
    amplitudes: Floats
    frequencies: Floats
    phases: Floats
    volume: float
    units: float
    trade: float
    gaps: bool

    def level(self, days: Int64s) -> Floats:
        """Return the level at the start of each day (counted from 1970-01-01)."""
        waves = np.sin(np.multiply.outer(days, self.frequencies) + self.phases) * self.amplitudes
        return np.asarray(np.maximum(self.price * np.exp(waves.sum(axis=1)), 1.0))


@lru_cache(maxsize=1024)
def _character(seed: int, symbol: str, always_open: bool) -> _Character:
    digest = hashlib.blake2b(f"{seed} {symbol}".encode(), digest_size=16).digest()
    entropy = np.frombuffer(digest, "<u4").astype(np.uint32)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    waves = 24
    periods = np.geomspace(2.3, 3000.0, waves) * rng.uniform(0.9, 1.1, waves)
    volatility = rng.uniform(0.025, 0.04) if always_open else rng.uniform(0.008, 0.025)
    # Slow waves are the high ones, as in a random walk; a wave adds (2 a sin(π / period))² / 2 to a day's variance.
    shape = np.sqrt(periods)
    scale = volatility / np.sqrt(((2 * shape * np.sin(np.pi / periods)) ** 2 / 2).sum())
    return _Character(
        entropy=entropy,
        price=np.exp(rng.uniform(np.log(50), np.log(50_000 if always_open else 500))),
        volatility=volatility,
        amplitudes=shape * scale,
        frequencies=2 * np.pi / periods,
        phases=rng.uniform(0, 2 * np.pi, waves),
        volume=np.exp(rng.uniform(0, np.log(200)) if always_open else rng.uniform(np.log(2_500), np.log(200_000))),
        units=1e4 if always_open else 1.0,
        trade=rng.uniform(150, 800) if always_open else rng.uniform(80, 300),
        gaps=not always_open,
    )


@dataclass(frozen=True, slots=True)
class _Days:
    """A few sessions of one symbol. Prices are in cents and quantities in units, all whole numbers.

    Attributes:
        character: of the symbol.
        generators: of each session, past the draws for the day's bar.
        session: days since 1970-01-01.
        start: first minute, µs since the epoch.
        length: in minutes.
        open, high, low, close, volume, trades: the day's bar.
    """

    character: _Character
    generators: list[np.random.Generator]
    session: Int64s
    start: Int64s
    length: Int64s
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    trades: Floats


def _draw_days(character: _Character, calendar: Calendar, where: slice) -> _Days:
    session, start = calendar.sessions[where], calendar.opens[where]
    length = (calendar.closes[where] - start) // _MINUTE
    # An array of words seeds five times faster than a tuple of numbers does.
    words = np.column_stack([np.tile(character.entropy, (len(session), 1)), session.astype(np.uint32)])
    generators = [np.random.Generator(np.random.PCG64(np.random.SeedSequence(row))) for row in words]
    gap, up, down, busy = np.array([generator.standard_normal(4) for generator in generators]).T
    jump = np.exp(gap * (0.3 * character.volatility if character.gaps else 0.0))
    opens = np.rint(character.level(session) * jump * 100)
    closes = np.rint(character.level(session + 1) * 100)
    reach = 0.6 * character.volatility * opens
    volume = np.rint(character.volume * character.units * length * np.exp(0.35 * busy))
    volume = np.maximum(volume, 2 * length)  # leaves at least one unit for every minute
    return _Days(
        character=character,
        generators=generators,
        session=session,
        start=start,
        length=length,
        open=opens,
        high=np.maximum(opens, closes) + np.maximum(np.rint(np.abs(up) * reach), 1),
        low=np.maximum(np.minimum(opens, closes) - np.maximum(np.rint(np.abs(down) * reach), 1), 1),
        close=closes,
        volume=volume,
        trades=np.maximum(np.rint(volume / character.trade), length),
    )


def _day_bars(days: _Days) -> Columns:
    prices = (days.open, days.high, days.low, days.close)
    return _columns(days.session * DAY_US, prices, days.volume / days.character.units, days.trades)


def _lay_out_minutes(days: _Days) -> Columns:
    """Return the minutes of each day, in order, without those that had no trade."""
    steps, moods, above, below = _draw_minutes(days)
    path, peak, trough = _path(days, steps)
    row = np.arange(len(path))
    opens = np.concatenate([days.open[:, None], path[:, :-1]], axis=1)
    stick_out = 1 + 1.5 * (days.character.volatility * days.open / np.sqrt(days.length))[:, None]
    high = np.minimum(np.maximum(opens, path) + np.floor(above * stick_out), days.high[:, None])
    low = np.maximum(np.minimum(opens, path) - np.floor(below * stick_out), days.low[:, None])
    high[row, peak], low[row, trough] = days.high, days.low

    minute = np.arange(path.shape[1])
    traded = moods > _THIN
    traded[:, 0] = traded[row, days.length - 1] = traded[row, peak] = traded[row, trough] = True
    traded &= minute < days.length[:, None]
    weight = np.exp(0.6 * moods) * traded
    if days.character.gaps:  # a market that closes is busiest after its open and before its close
        weight *= 1 + 6 * (minute / days.length[:, None] - 0.5) ** 2
    share = np.cumsum(weight, axis=1)
    share /= share[:, -1:]
    ts = days.start[:, None] + minute * _MINUTE
    return _columns(
        ts[traded],
        (opens[traded], high[traded], low[traded], path[traded]),
        _divide(days.volume, share, traded) / days.character.units,
        _divide(days.trades, share, traded),
    )


def _draw_minutes(days: _Days) -> tuple[Floats, Floats, Floats, Floats]:
    """Return for each minute: its step, how busy it is (both normal), how far its high and low stick out (uniform)."""
    shape = (len(days.length), int(days.length.max()))
    steps, moods, above, below = (np.zeros(shape) for _ in range(4))
    for row, (generator, length) in enumerate(zip(days.generators, days.length.tolist(), strict=True)):
        generator.standard_normal(out=steps[row, :length])
        generator.standard_normal(out=moods[row, :length])
        generator.random(out=above[row, :length])
        generator.random(out=below[row, :length])
    return steps, moods, above, below


def _path(days: _Days, steps: Floats) -> tuple[Floats, Int64s, Int64s]:
    """Return each minute's close, and which minute of each day holds the day's high and which its low.

    A random walk is bent so that it ends at the day's close, then what lies above both ends of the day is stretched to
    peak at the day's high, and what lies below to bottom at its low.
    """
    opens, closes = days.open[:, None], days.close[:, None]
    passed = np.minimum(np.arange(1, steps.shape[1] + 1) / days.length[:, None], 1.0)
    walk = np.cumsum(steps, axis=1)
    walk -= walk[:, -1:] * passed
    walk *= (0.7 * days.character.volatility * days.open / np.sqrt(days.length))[:, None]
    walk += opens + (closes - opens) * passed
    top, bottom = np.maximum(opens, closes), np.minimum(opens, closes)
    above, below = np.maximum(walk - top, 0), np.maximum(bottom - walk, 0)
    highest, lowest = above.max(axis=1, keepdims=True), below.max(axis=1, keepdims=True)
    stretch_up = np.divide(days.high[:, None] - top, highest, out=np.ones_like(top), where=highest > 0)
    stretch_down = np.divide(bottom - days.low[:, None], lowest, out=np.ones_like(top), where=lowest > 0)
    walk += above * (stretch_up - 1) - below * (stretch_down - 1)
    return np.rint(walk), above.argmax(axis=1), below.argmax(axis=1)


def _divide(total: Floats, share: Floats, traded: npt.NDArray[np.bool_]) -> Floats:
    """Return whole parts of each row's whole ``total`` for the minutes that traded: at least 1 each, none lost."""
    spare = (total - traded.sum(axis=1))[:, None]
    parts = np.diff(np.rint(spare * share), axis=1, prepend=0.0) + 1
    return np.asarray(parts[traded])


def _columns(ts: Int64s, prices: tuple[Floats, Floats, Floats, Floats], volume: Floats, trades: Floats) -> Columns:
    _, high, low, close = prices
    columns: Columns = {"ts": ts}
    for name, cents in zip(PRICES, prices, strict=True):
        columns[name] = cents / 100
    columns["volume"] = volume
    columns["vwap"] = (high + low + 2 * close) * 25 / 10_000
    columns["trades"] = trades.astype(np.int32)
    return columns


def _between(bars: Columns, request: BarRequest) -> Columns:
    first, last = np.searchsorted(bars["ts"], [microseconds(request.start), microseconds(request.end)])
    return {name: values[first:last] for name, values in bars.items()}
