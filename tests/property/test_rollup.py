"""Rolling up against a recomputation in plain Python, bar by bar: by itself, and kept in step by the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chandlery.core.calendars import get_calendar
from chandlery.core.schema import MIXED
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.rollups.aggregate import roll_up
from chandlery.rollups.refresh import RollupLimits, catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, forget_bars, get, put, register, rows, table

pytestmark = pytest.mark.every_edition

CALENDARS = {"AAA": "XNYS", "BTC/USD": "24/7"}
DERIVED = [timeframe for timeframe in Timeframe if not timeframe.is_ingested]
#: Round a turn of the year that cuts a week, a half day, a leap day and a Monday without a session.
DAYS = [date(2023, 12, 22) + timedelta(days=n) for n in range(16)] + [
    date(2024, 2, 29),
    date(2024, 3, 1),
    date(2020, 12, 31),
]
MINUTES = [
    datetime(2024, 1, 31, 23, 50, tzinfo=UTC) + timedelta(minutes=n) for n in (*range(15), 40, 70, 75, 250, 1450)
]

PRICES = st.floats(0.01, 1e6, allow_nan=False)
#: Whole shares, and fractions of a coin whose sum depends on the order of naive addition.
VOLUMES = st.one_of(st.none(), st.just(0.0), st.integers(1, 10**9).map(float), st.floats(1e-9, 1e12))
ONE_BAR = st.tuples(
    st.tuples(PRICES, PRICES, PRICES, PRICES),
    VOLUMES,
    st.one_of(st.none(), PRICES),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.sampled_from(["test:one", "test:two"]),
)
IN_ONE_DATABASE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def base_bars(draw: st.DrawFn, base: Timeframe, *, max_size: int = 30) -> list[Bar]:
    """Draw bars of ``base`` with distinct keys, in any order."""
    moments = MINUTES if base is Timeframe.M1 else [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in DAYS]
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(sorted(CALENDARS)), st.sampled_from(moments)), unique=True, max_size=max_size
        )
    )
    return [Bar(symbol, ts, *prices, *rest) for symbol, ts in keys for prices, *rest in [draw(ONE_BAR)]]


def label(timeframe: Timeframe, bar: Bar) -> datetime:
    """Return the start of the derived bar that ``bar`` belongs to, by walking through the days."""
    if timeframe.is_intraday:
        midnight = bar.ts.replace(hour=0, minute=0)
        width = timedelta(microseconds=timeframe.microseconds)
        return midnight + (bar.ts - midnight) // width * width
    day = bar.ts.date()
    first = day - timedelta(days=day.weekday()) if timeframe is Timeframe.W1 else day.replace(day=1)
    sessions = set(get_calendar(CALENDARS[bar.symbol]).sessions.tolist())
    while (first - date(1970, 1, 1)).days not in sessions:
        first += timedelta(days=1)
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def naive(timeframe: Timeframe, base: list[Bar]) -> list[Bar]:
    """Return the derived bars of ``base``, sums as exact fractions rounded once."""
    groups: dict[tuple[str, datetime], list[Bar]] = defaultdict(list)
    for bar in sorted(base, key=lambda bar: bar.ts):
        groups[bar.symbol, label(timeframe, bar)].append(bar)
    return [combine(symbol, ts, bars) for (symbol, ts), bars in groups.items()]


def combine(symbol: str, ts: datetime, bars: list[Bar]) -> Bar:
    volumes = [bar.volume for bar in bars if bar.volume is not None]
    trades = [bar.trades for bar in bars if bar.trades is not None]
    total = float(sum(map(Fraction, volumes)))
    traded = [bar for bar in bars if bar.volume]
    vwap = None
    if traded and all(bar.vwap is not None for bar in traded):
        vwap = float(sum(Fraction(bar.vwap * bar.volume) for bar in traded)) / total
    return Bar(
        symbol,
        ts,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        total if volumes else None,
        vwap,
        sum(trades) if trades else None,
        bars[0].source if len({bar.source for bar in bars}) == 1 else MIXED,
    )


def by_key(bars: list[Bar]) -> list[Bar]:
    return sorted(bars, key=lambda bar: (bar.symbol, bar.ts))


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(DERIVED))
def test_a_roll_up_equals_the_recomputation_in_plain_python(data: st.DataObject, timeframe: Timeframe) -> None:
    bars = data.draw(base_bars(timeframe.base))
    assert by_key(rows(roll_up(table(bars), timeframe, CALENDARS))) == by_key(naive(timeframe, bars))


@settings(deadline=None)
@given(st.data(), st.sampled_from(DERIVED))
def test_the_order_of_rows_does_not_show(data: st.DataObject, timeframe: Timeframe) -> None:
    bars = data.draw(base_bars(timeframe.base))
    shuffled = data.draw(st.permutations(bars))
    once, again = (by_key(rows(roll_up(table(order), timeframe, CALENDARS))) for order in (bars, shuffled))
    assert once == again


@pytest.fixture
def instruments(warehouse: Warehouse) -> list[Instrument]:
    register(warehouse, CALENDARS)
    with warehouse.connection() as connection:
        return list_instruments(connection)


@settings(IN_ONE_DATABASE, max_examples=25)
@given(st.data())
@pytest.mark.parametrize("base", [Timeframe.M1, Timeframe.D1])
def test_catching_up_leaves_every_derived_table_equal_to_the_recomputation(
    warehouse: Warehouse, instruments: list[Instrument], base: Timeframe, data: st.DataObject
) -> None:
    ids = {instrument.symbol: instrument.instrument_id for instrument in instruments}
    with warehouse.connection() as connection:
        forget_bars(connection)
    present: dict[tuple[str, datetime], Bar] = {}
    for step in range(data.draw(st.integers(1, 4))):
        batch = data.draw(base_bars(base, max_size=10))
        changed = [bar for bar in batch if (present.get(bar[:2]) or ())[:-1] != bar[:-1]]
        present |= {bar[:2]: bar for bar in changed}
        now = datetime(2025, 1, 1 + step, tzinfo=UTC)
        put(warehouse, base, batch, now=now)
        earlier = {tf: get(warehouse, tf, ids).to_pylist() for tf in derived_from(base)}
        days = data.draw(st.sampled_from([1, 2, 1000]))
        limits = RollupLimits(minute_days=days, days=days, worth_dividing=data.draw(st.sampled_from([0, 30])))
        clock = data.draw(st.sampled_from([None, now]))  # by the server's, transactions go side by side
        list(catch_up(warehouse, base, instruments, *EVER, now=clock, limits=limits))
        for timeframe in derived_from(base):
            found = get(warehouse, timeframe, ids)
            # A bar that would differ in its source alone is left as it is.
            assert _unsourced(rows(found)) == _unsourced(naive(timeframe, list(present.values())))
            windows = {(bar.symbol, label(timeframe, bar)) for bar in changed}
            untouched = [row for row in earlier[timeframe] if (row["symbol"], row["ts"]) not in windows]
            assert [row for row in found.to_pylist() if (row["symbol"], row["ts"]) not in windows] == untouched
        assert not list(catch_up(warehouse, base, instruments, *EVER))


def _unsourced(bars: Iterable[Bar]) -> list[Bar]:
    return by_key([bar._replace(source="") for bar in bars])


@pytest.mark.parametrize(
    ("day", "timeframe", "expected"),
    [
        ("2024-01-05", Timeframe.W1, "2024-01-02"),  # the Monday was New Year's Day
        ("2024-01-31", Timeframe.MO1, "2024-01-02"),
        ("2021-01-01", Timeframe.W1, "2020-12-28"),  # a week that began in the year before
        ("2020-12-31", Timeframe.W1, "2020-12-28"),
        ("2001-09-17", Timeframe.W1, "2001-09-17"),
        ("2012-11-02", Timeframe.W1, "2012-10-31"),  # closed on Monday and Tuesday by the hurricane
        ("2024-09-30", Timeframe.MO1, "2024-09-03"),  # Sunday, Labor Day, then the first session
        ("1975-06-12", Timeframe.W1, "1975-06-09"),  # before the calendar begins: the Monday itself
        ("1975-06-12", Timeframe.MO1, "1975-06-01"),
        ("2090-03-08", Timeframe.W1, "2090-03-06"),  # after the calendar ends
    ],
)
def test_weeks_and_months_are_labelled_by_their_first_session(day: str, timeframe: Timeframe, expected: str) -> None:
    bar = Bar("AAA", datetime.fromisoformat(day).replace(tzinfo=UTC))
    (found,) = rows(roll_up(table([bar]), timeframe, {"AAA": "XNYS"}))
    assert found.ts.date().isoformat() == expected


@pytest.mark.parametrize(
    "volumes",
    [
        [2.0**53, 1.0, 2.0**-30],  # just above the middle between two doubles
        [2.0**53, 1.0, 0.5, -0.5 + 2.0**-40],
        [2.0**53 + 2, 1.0, 2.0**-60, 2.0**-60],
        [0.1] * 5,
        [1e16, 0.5, 0.25, 0.125, 0.0625],
    ],
)
def test_sums_at_the_edge_of_rounding_are_rounded_right(volumes: list[float]) -> None:
    bars = [Bar("BTC/USD", MINUTES[0] + timedelta(minutes=n), volume=volume) for n, volume in enumerate(volumes)]
    (rolled,) = rows(roll_up(table(bars), Timeframe.M5, CALENDARS))
    assert rolled.volume == float(sum(map(Fraction, volumes)))
