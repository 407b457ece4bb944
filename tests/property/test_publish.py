"""Publishing against a model that is a plain dict: whatever is published in whatever order, the two agree."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chandlery.bars.merge import MergeLimits
from chandlery.core.timeframe import Timeframe
from chandlery.publishing.publish import PublishReport
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, coverage, every_row, forget_bars, get, put, recount_coverage, register, rows, table

pytestmark = pytest.mark.every_edition

Key: TypeAlias = tuple[str, datetime]
Batch: TypeAlias = dict[Key, Bar]

CALENDARS = {"AAA": "XNYS", "BBB": "XNYS", "CCC/USD": "24/7"}
#: Around a close, a weekend, a turn of the month and a half day.
MOMENTS = [
    datetime(2024, 1, 31, 20, 58, tzinfo=UTC) + timedelta(minutes=minute) for minute in (0, 1, 2, 3, 600, 1440, 1441)
] + [datetime(2024, 7, 3, 16, 59, tzinfo=UTC), datetime(2024, 7, 3, 17, 0, tzinfo=UTC)]
TIMEFRAME = Timeframe.M1
IN_ONE_DATABASE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def maybe(values: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.one_of(st.none(), values)


#: Few different values, so that a batch often repeats what is there already.
VALUES = st.tuples(
    st.sampled_from([1.0, 2.5]),
    st.sampled_from([0.1, 3.0]),
    maybe(st.sampled_from([0.0, 7.0])),
    maybe(st.just(1.25)),
    st.one_of(st.none(), st.sampled_from([0, 3])),
    st.sampled_from(["test:one", "test:two"]),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    keys = draw(
        st.lists(st.tuples(st.sampled_from(sorted(CALENDARS)), st.sampled_from(MOMENTS)), unique=True, max_size=12)
    )
    batch = {}
    for symbol, ts in keys:
        price, spread, volume, vwap, trades, source = draw(VALUES)
        batch[symbol, ts] = Bar(symbol, ts, price, price + spread, price - spread, price, volume, vwap, trades, source)
    return batch


@dataclass
class Model:
    """What the store should hold: the present bars, and every value each bar ever had."""

    present: Batch = field(default_factory=dict)
    history: dict[Key, list[Bar]] = field(default_factory=dict)

    def apply(self, batch: Batch) -> tuple[int, int, int]:
        """Apply a batch and return the number of bars inserted, revised and unchanged."""
        inserted = revised = 0
        for key, bar in batch.items():
            old = self.present.get(key)
            if old is not None and old[:-1] == bar[:-1]:  # a source alone is no news
                continue
            inserted, revised = (inserted + 1, revised) if old is None else (inserted, revised + 1)
            self.present[key] = bar
            self.history.setdefault(key, []).append(bar)
        return inserted, revised, len(batch) - inserted - revised

    def bars(self) -> list[Bar]:
        """Return the present bars by symbol (in order of registration) and time."""
        return sorted(self.present.values(), key=lambda bar: (list(CALENDARS).index(bar.symbol), bar.ts))


def counts(report: PublishReport) -> tuple[int, int, int]:
    return report.inserted, report.revised, report.unchanged


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, CALENDARS)


def start_afresh(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        forget_bars(connection)


@IN_ONE_DATABASE
@given(
    steps=st.lists(batches(), min_size=1, max_size=6),
    few=st.sampled_from([0, 2, 1000]),
    seconds=st.one_of(st.none(), st.integers(1, 10**6)),
)
def test_any_sequence_of_batches_equals_the_model_now_and_as_of_each_step(
    warehouse: Warehouse, ids: dict[str, int], steps: list[Batch], few: int, seconds: int | None
) -> None:
    start_afresh(warehouse)
    model = Model()
    seen: list[tuple[datetime, list[Bar]]] = []
    stale = set()
    # Sends batches of more than `few` rows through COPY and a staging table, smaller ones through arrays.
    limits = MergeLimits(rows_as_arrays=few)
    for step, batch in enumerate(steps):
        now = None if seconds is None else datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=step * seconds)
        before = dict(model.present)
        report = put(warehouse, TIMEFRAME, batch.values(), now=now, limits=limits)
        assert counts(report) == model.apply(batch)
        assert report.known_at == (now or report.known_at)
        stale |= {(ids[key[0]], key[1].date()) for key in batch if before.get(key) is not model.present[key]}
        seen.append((report.known_at, model.bars()))
        for known_at, bars in seen:
            assert rows(get(warehouse, TIMEFRAME, ids, as_of=known_at)) == bars
        assert rows(get(warehouse, TIMEFRAME, ids)) == model.bars()
        with warehouse.connection() as connection:
            assert coverage(connection) == recount_coverage(connection)
            pending = connection.execute("SELECT instrument_id, day FROM ops.rollup_pending").fetchall()
            assert set(pending) == stale


@IN_ONE_DATABASE
@given(steps=st.lists(batches(), min_size=1, max_size=4), few=st.sampled_from([0, 2, 1000]))
def test_publishing_the_same_table_again_changes_nothing_at_all(
    warehouse: Warehouse, ids: dict[str, int], steps: list[Batch], few: int
) -> None:
    start_afresh(warehouse)
    limits = MergeLimits(rows_as_arrays=few)
    for batch in steps:
        put(warehouse, TIMEFRAME, batch.values(), limits=limits)
        with warehouse.connection() as connection:
            before = every_row(connection)
        for again in (table(batch.values()), table(list(batch.values())[::-1])):
            assert counts(put(warehouse, TIMEFRAME, again, limits=limits)) == (0, 0, len(batch))
        with warehouse.connection() as connection:
            assert every_row(connection) == before


@IN_ONE_DATABASE
@given(
    steps=st.lists(st.tuples(batches(), st.integers(-3, 3)), min_size=2, max_size=6),
    few=st.sampled_from([0, 2, 1000]),
    standing=st.booleans(),
)
def test_a_clock_that_stands_still_or_goes_back_leaves_one_unbroken_chain_per_bar(
    warehouse: Warehouse, ids: dict[str, int], steps: list[tuple[Batch, int]], few: int, standing: bool
) -> None:
    start_afresh(warehouse)
    model = Model()
    now = datetime(2025, 1, 1, tzinfo=UTC)
    believed = []
    limits = MergeLimits(rows_as_arrays=few)
    for batch, microseconds in steps:
        now += timedelta(microseconds=0 if standing else microseconds)
        report = put(warehouse, TIMEFRAME, batch.values(), now=now, limits=limits)
        assert counts(report) == model.apply(batch)
        if report.changes:  # what changes nothing leaves no time behind
            believed.append((report.known_at, model.bars()))
    assert rows(get(warehouse, TIMEFRAME, ids)) == model.bars()
    for as_of, bars in believed:
        assert rows(get(warehouse, TIMEFRAME, ids, as_of=as_of)) == bars
    for (symbol, ts), values in model.history.items():
        assert [value[:4] for value in chain(warehouse, ids[symbol], ts)] == [value[2:6] for value in values]


@settings(IN_ONE_DATABASE, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), count=st.sampled_from([999, 1000, 1001, 2500]))
def test_batches_on_either_side_of_a_thousand_rows_restate_alike(
    warehouse: Warehouse, ids: dict[str, int], seed: int, count: int
) -> None:
    start_afresh(warehouse)
    chance = random.Random(seed)
    model = Model()
    for _ in range(3):
        moments = chance.sample(range(4000), count)
        batch = {}
        for minute in moments:
            ts = datetime(2024, 1, 31, tzinfo=UTC) + timedelta(minutes=minute)
            symbol = chance.choice(list(CALENDARS))
            batch[symbol, ts] = Bar(symbol, ts, volume=chance.choice([None, 1.0, 2.0]), trades=chance.choice([None, 5]))
        assert counts(put(warehouse, TIMEFRAME, batch.values())) == model.apply(batch)
        assert rows(get(warehouse, TIMEFRAME, ids)) == model.bars()


def chain(warehouse: Warehouse, instrument_id: int, ts: datetime) -> list[tuple[float, ...]]:
    """Return the prices a bar ever had, oldest first, after checking that their times join without gap or overlap."""
    with warehouse.connection() as connection:
        links = connection.execute(
            "SELECT open, high, low, close, known_at, superseded_at FROM market.bars_revision"
            " WHERE timeframe = %(tf)s AND instrument_id = %(id)s AND ts = %(ts)s UNION ALL"
            " SELECT open, high, low, close, known_at, NULL FROM market.bars_1m"
            " WHERE instrument_id = %(id)s AND ts = %(ts)s ORDER BY known_at",
            {"tf": TIMEFRAME.value, "id": instrument_id, "ts": ts},
        ).fetchall()
    for earlier, later in pairwise(links):
        assert earlier[4] < earlier[5] == later[4]
    return links
