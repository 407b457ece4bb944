"""Bars of any width, made at read time, against a recomputation in plain Python from the minutes or days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TypeAlias

import pytest

from chandlery.api.data import DataAPI
from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import parse_width
from chandlery.instruments.registry import list_instruments
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.property.test_rollup import combine
from tests.support import EVER, Bar, put, register, utc

#: A half day, a break at noon, and no close at all.
MARKETS = {"AAA": "XNYS", "7203.T": "XTKS", "BTC/USD": "24/7"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Around opens, closes and breaks, in regular and in extended hours, over a weekend and a holiday.
MINUTES = [
    utc("2024-11-27T23:00") + timedelta(minutes=n)
    for n in (*range(0, 8 * 60, 11), *range(11 * 60, 25 * 60, 17), *range(37 * 60, 48 * 60, 13), 90 * 60, 102 * 60)
]
DAYS = [date(2023, 11, 20) + timedelta(days=n) for n in range(0, 420, 3)]
INTRADAY = ["1m", "5m", "7m", "10m", "30m", "1h", "90m", "2h", "4h", "5h", "6h", "12h", "24h"]
WIDE = ["1d", "2d", "3d", "5d", "1w", "2w", "3w", "1mo", "2mo", "1q", "1y"]
COLUMNS = ["open", "high", "low", "close", "volume", "vwap", "trades", "known_at"]
LEARNED = utc("2025-01-01")
#: Its date, open, close, and the start and end of its break.
Session: TypeAlias = tuple[date, datetime, datetime, datetime, datetime]


def instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def sessions(
    calendar: Calendar, first: str = "2023-01-01"
) -> Iterator[tuple[date, datetime, datetime, datetime, datetime]]:
    for place, day in enumerate(calendar.sessions.tolist()):
        session = date(1970, 1, 1) + timedelta(days=day)
        if "2023-01-01" <= session.isoformat() < "2025-06-01":
            hours = (calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends)
            yield session, *(instant(int(column[place])) for column in hours)


SESSIONS = {name: list(sessions(get_calendar(name))) for name in MARKETS.values()}


def is_regular(market: str, ts: datetime) -> bool:
    return any(
        opened <= ts < closed and not rest <= ts < resume for _, opened, closed, rest, resume in SESSIONS[market]
    )


def label(width: str, anchor: str, market: str, ts: datetime) -> datetime:
    """Return the start of the bar that ``ts`` belongs to, by walking through sessions and days."""
    size = parse_width(width)
    if size.is_intraday:
        begin = EPOCH
        if anchor == "session":
            begin = max(opened for _, opened, *_ in SESSIONS[market] if opened <= ts)
        step = timedelta(minutes=size.count)
        return begin + (ts - begin) // step * step
    first, after = period(size.unit, size.count, ts.date())
    days = [day for day, *_ in SESSIONS[market] if first <= day < after]
    return datetime.combine(days[0] if days else first, datetime.min.time(), UTC)


def period(unit: str, count: int, day: date) -> tuple[date, date]:
    if unit == "mo":
        months = ((day.year - 1970) * 12 + day.month - 1) // count * count
        first, after = (date(1970 + m // 12, m % 12 + 1, 1) for m in (months, months + count))
        return first, after
    start, length = (date(1969, 12, 29), 7 * count) if unit == "w" else (date(1970, 1, 1), count)
    first = start + (day - start) // timedelta(days=length) * timedelta(days=length)
    return first, first + timedelta(days=length)


def naive(bars: Iterable[Bar], width: str, anchor: str, hours: str) -> dict[tuple[str, datetime], Bar]:
    groups: dict[tuple[str, datetime], list[Bar]] = defaultdict(list)
    for bar in sorted(bars, key=lambda each: each.ts):
        market = MARKETS[bar.symbol]
        if hours == "all" or not parse_width(width).is_intraday or is_regular(market, bar.ts) == (hours == "regular"):
            groups[bar.symbol, label(width, anchor, market, bar.ts)].append(bar)
    # A bar that is stored as it is may have a vwap without a volume.
    ingested = width in {"1m", "1d"}
    return {key: group[0] if ingested else combine(*key, group) for key, group in groups.items()}


def history(chance: Random) -> tuple[list[Bar], list[Bar]]:
    """Return minutes and days of all markets."""

    def bar(symbol: str, ts: datetime) -> Bar:
        prices = [float(chance.randint(1, 500)) for _ in range(4)]
        volume = chance.choice([None, 0.0, float(chance.randint(1, 10**6)), float(chance.randint(1, 100))])
        vwap = chance.choice([None, *[float(chance.randint(1, 500))] * 9])
        return Bar(symbol, ts, *prices, volume, vwap, chance.choice([None, chance.randint(0, 1000)]), "test:one")

    minutes, days = [], []
    for symbol, market in MARKETS.items():
        traded = {day for day, *_ in SESSIONS[market]}
        minutes += [bar(symbol, ts) for ts in MINUTES if chance.random() < 0.6]
        days += [bar(symbol, datetime.combine(d, datetime.min.time(), UTC)) for d in DAYS if d in traded]
    return minutes, days


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bar_of_any_width_equals_its_recomputation(warehouse: Warehouse, seed: int) -> None:
    chance = Random(seed)
    register(warehouse, MARKETS)
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    minutes, days = history(chance)
    put(warehouse, Timeframe.M1, minutes, now=LEARNED)
    put(warehouse, Timeframe.D1, days, now=LEARNED)
    list(catch_up(warehouse, Timeframe.M1, instruments, *EVER, now=LEARNED))
    list(catch_up(warehouse, Timeframe.D1, instruments, *EVER, now=LEARNED))
    api = DataAPI(warehouse)
    stored = api.get_multi_symbol(list(MARKETS), timeframe="1m", columns=COLUMNS, output="arrow").to_pylist()
    minutes = [Bar(**{k: v for k, v in row.items() if k != "known_at"}) for row in stored]
    stored = api.get_multi_symbol(list(MARKETS), timeframe="1d", columns=COLUMNS, output="arrow").to_pylist()
    days = [Bar(**{k: v for k, v in row.items() if k != "known_at"}) for row in stored]
    for _ in range(40):
        width = chance.choice(INTRADAY + WIDE)
        intraday = parse_width(width).is_intraday
        anchor = chance.choice(["utc", "session"])
        hours = chance.choice(["all", "regular", "extended"] if intraday else ["all", "regular"])
        expected = naive(minutes if intraday else days, width, anchor, hours)
        moments = sorted({ts for _, ts in expected}) or [LEARNED]
        start, end = sorted(chance.choices(moments, k=2))
        start += chance.choice([timedelta(), timedelta(minutes=1), timedelta(minutes=-31)])
        end += chance.choice([timedelta(minutes=1), timedelta(days=9)])
        limit = chance.choice([None, None, 1, 2, 5])
        found = api.get_multi_symbol(
            list(MARKETS),
            start,
            end,
            width,
            anchor=anchor,
            session=hours,
            limit=limit,
            columns=COLUMNS,
            output="arrow",
        )
        wanted = []
        for symbol in MARKETS:
            keys = sorted(key for key in expected if key[0] == symbol and start <= key[1] < end)
            wanted += [expected[key] for key in (keys if limit is None else keys[-limit:])]
        said = f"{width} {anchor} {hours} [{start}, {end}) {limit}"
        assert [(row["symbol"], row["ts"]) for row in found.to_pylist()] == [bar[:2] for bar in wanted], said
        for row, bar in zip(found.to_pylist(), wanted, strict=True):
            assert LEARNED <= row["known_at"] < LEARNED + timedelta(seconds=1)
            for name in ("open", "high", "low", "close", "trades"):
                assert row[name] == getattr(bar, name), (said, name)
            assert row["volume"] == bar.volume, said
            assert row["vwap"] == (None if bar.vwap is None else pytest.approx(bar.vwap, rel=1e-14)), said
