"""Days from minutes, where no provider gives them: what they are made of, and that a provider's own day always wins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chandlery.bars.merge import MergeLimits
from chandlery.core.timeframe import Timeframe
from chandlery.publishing.publish import publish
from chandlery.reading.revisions import read_revisions
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import (
    EVER,
    Bar,
    get,
    instruments_of,
    open_warehouse,
    put,
    register,
    rows,
    table,
    utc,
    wait_until_blocked,
)

M1, D1, W1, MO1 = Timeframe.M1, Timeframe.D1, Timeframe.W1, Timeframe.MO1
CALENDARS = {"AAA": "XNYS", "7203.T": "XTKS", "0700.HK": "XHKG", "ESZ4": "CMES", "BTC/USD": "24/7"}
SOURCE = "derived:1m:test:one"

pytestmark = [
    pytest.mark.every_edition,
    # Hong Kong's rules in exchange_calendars, with pandas 3.
    pytest.mark.filterwarnings("ignore:DatetimeIndex.weekday is deprecated"),
]


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, CALENDARS)


def minute(symbol: str, ts: str, price: float, **values: object) -> Bar:
    return Bar(symbol, utc(ts), price, price, price, price, 10.0, price, 1)._replace(**values)


def derive(warehouse: Warehouse, base: Timeframe = M1) -> None:
    list(catch_up(warehouse, base, list(instruments_of(warehouse).values()), *EVER))


def days(warehouse: Warehouse, ids: dict[str, int], timeframe: Timeframe = D1) -> list[tuple[object, ...]]:
    """Return symbol, date, open, high, low, close, volume and source of every bar."""
    return [
        (bar.symbol, bar.ts.date().isoformat(), *bar[2:7], bar.source) for bar in rows(get(warehouse, timeframe, ids))
    ]


@pytest.mark.parametrize(
    ("symbol", "minutes", "day"),
    [
        pytest.param(
            "AAA",
            {"2024-01-03T14:29": 1, "2024-01-03T14:30": 5, "2024-01-03T20:59": 7, "2024-01-03T21:00": 99},
            ("2024-01-03", 5, 7, 5, 7, 20),
            id="extended hours do not count",
        ),
        pytest.param(
            "AAA",
            {"2024-07-03T13:30": 5, "2024-07-03T16:59": 6, "2024-07-03T17:00": 99, "2024-07-03T19:59": 99},
            ("2024-07-03", 5, 6, 5, 6, 20),
            id="nor what comes after the close of a half day",
        ),
        pytest.param(
            "7203.T",
            {"2024-01-04T00:00": 5, "2024-01-04T02:29": 6, "2024-01-04T02:30": 99, "2024-01-04T03:29": 99,
             "2024-01-04T03:30": 7, "2024-01-04T05:59": 8},
            ("2024-01-04", 5, 8, 5, 8, 40),
            id="nor the lunch break of Tokyo",
        ),
        pytest.param(
            "0700.HK",
            {"2024-02-09T01:30": 5, "2024-02-09T03:59": 6, "2024-02-09T05:00": 99},
            ("2024-02-09", 5, 6, 5, 6, 20),
            id="a half day that ends where the break of others begins",
        ),
        pytest.param(
            "ESZ4",
            {"2024-01-07T22:59": 99, "2024-01-07T23:00": 5, "2024-01-08T00:00": 6, "2024-01-08T21:59": 7,
             "2024-01-08T22:00": 99},
            ("2024-01-08", 5, 7, 5, 7, 30),
            id="a session that begins on the evening before, and ends where the daily pause begins",
        ),
        pytest.param(
            "BTC/USD",
            {"2024-01-06T00:00": 5, "2024-01-06T23:59": 6},
            ("2024-01-06", 5, 6, 5, 6, 20),
            id="a day without an end",
        ),
    ],
)  # fmt: skip
def test_a_day_is_made_of_the_minutes_in_which_its_session_trades(
    warehouse: Warehouse, ids: dict[str, int], symbol: str, minutes: dict[str, float], day: tuple[object, ...]
) -> None:
    put(warehouse, M1, [minute(symbol, ts, price) for ts, price in minutes.items()])
    derive(warehouse)
    assert days(warehouse, ids)[0] == (symbol, *day, SOURCE)


def test_minutes_outside_of_every_session_make_no_day(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, M1, [minute("AAA", "2024-01-06T15:00", 5), minute("AAA", "2024-01-05T22:00", 5)])
    derive(warehouse)
    assert days(warehouse, ids) == []


def test_a_session_of_two_days_is_derived_whole_when_either_changes(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, M1, [minute("ESZ4", "2024-01-07T23:00", 5), minute("ESZ4", "2024-01-07T23:01", 9)])
    derive(warehouse)
    put(warehouse, M1, [minute("ESZ4", "2024-01-08T10:00", 6)])
    derive(warehouse)
    assert days(warehouse, ids) == [("ESZ4", "2024-01-08", 5, 9, 5, 6, 30, SOURCE)]
    put(warehouse, M1, [minute("ESZ4", "2024-01-07T23:01", 7)])
    derive(warehouse)
    assert days(warehouse, ids) == [("ESZ4", "2024-01-08", 5, 7, 5, 6, 30, SOURCE)]
    # Four hours that hold a day which was read only for the session stay as they are.
    assert len(rows(get(warehouse, Timeframe.H4, ids))) == 2


def test_weeks_and_months_follow_and_say_what_they_are_made_of(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, M1, [minute("AAA", f"2024-01-0{day}T15:00", day) for day in (2, 3, 4, 5, 8)])
    derive(warehouse)
    assert days(warehouse, ids, W1) == [
        ("AAA", "2024-01-02", 2, 5, 2, 5, 40, SOURCE),
        ("AAA", "2024-01-08", 8, 8, 8, 8, 10, SOURCE),
    ]
    put(warehouse, D1, [Bar("AAA", utc("2024-01-04"), 4, 40, 3, 5)])
    derive(warehouse, D1)
    assert days(warehouse, ids, W1)[0] == ("AAA", "2024-01-02", 2, 40, 2, 5, 130, "mixed")
    assert days(warehouse, ids, MO1) == [("AAA", "2024-01-02", 2, 40, 2, 8, 140, "mixed")]


@pytest.mark.parametrize("limits", [MergeLimits(), MergeLimits(rows_as_arrays=0)], ids=["as arrays", "staged"])
@pytest.mark.parametrize("close", [5.0, 6.0], ids=["the same values", "other values"])
def test_a_providers_day_supersedes_the_derived_one_as_a_revision_and_stays(
    warehouse: Warehouse, ids: dict[str, int], close: float, limits: MergeLimits
) -> None:
    put(warehouse, M1, [minute("AAA", "2024-01-03T15:00", 5)], now=utc("2024-01-03T15:01"))
    derive(warehouse)
    provided = minute("AAA", "2024-01-03", close)
    report = put(warehouse, D1, [provided], limits=limits)
    assert (report.inserted, report.revised, report.unchanged) == (0, 1, 0)
    first, last = read_revisions(warehouse, ids["AAA"], D1, *EVER).to_pylist()
    assert (first["close"], first["source"]) == (5.0, SOURCE)
    assert (last["close"], last["source"], first["superseded_at"]) == (close, "test:one", last["known_at"])
    assert put(warehouse, D1, [provided]).unchanged == 1

    put(warehouse, M1, [minute("AAA", "2024-01-03T15:00", 7), minute("AAA", "2024-01-04T15:00", 8)])
    derive(warehouse)
    assert [(row[1], row[5], row[7]) for row in days(warehouse, ids)] == [
        ("2024-01-03", close, "test:one"),
        ("2024-01-04", 8, SOURCE),
    ]
    assert len(read_revisions(warehouse, ids["AAA"], D1, *EVER)) == 2


def test_a_providers_day_that_comes_while_days_are_derived_stays(warehouse: Warehouse, ids: dict[str, int]) -> None:
    """Whoever derives looked before the provider's day was there, and waits for its publication."""
    put(warehouse, M1, [minute("AAA", "2024-01-03T15:00", 5)])
    provided = table([minute("AAA", "2024-01-03", 9)])
    with ThreadPoolExecutor(1) as pool, warehouse.connection() as connection:
        with connection.transaction():
            publish(connection, warehouse, D1, provided)
            deriving = pool.submit(derive, warehouse)
            wait_until_blocked(warehouse.database.dsn)
        deriving.result()
    assert days(warehouse, ids) == [("AAA", "2024-01-03", 9, 9, 9, 9, 10, "test:one")]


@pytest.fixture
def tiered(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = open_warehouse(database_url, tmp_path / "lake")
    register(warehouse, CALENDARS)
    yield warehouse
    warehouse.close()


def test_a_providers_day_in_the_lake_stays_and_stays_there(tiered: Warehouse) -> None:
    ids = {symbol: each.instrument_id for symbol, each in instruments_of(tiered).items()}
    put(tiered, D1, [minute("AAA", "2023-01-03", 9)])
    release(tiered, utc("2024-01-01"))
    put(tiered, M1, [minute("AAA", "2023-01-03T15:00", 5)])
    derive(tiered)
    with tiered.connection() as connection:
        assert connection.execute("SELECT cold FROM ops.bar_window WHERE timeframe = '1d'").fetchall() == [(True,)]
    assert days(tiered, ids) == [("AAA", "2023-01-03", 9, 9, 9, 9, 10, "test:one")]
    # Another day of the same year has none: the window comes back, and the provider's day with it.
    put(tiered, M1, [minute("AAA", "2023-01-04T15:00", 6), minute("AAA", "2023-01-03T15:01", 7)])
    derive(tiered)
    assert [(row[1], row[5], row[7]) for row in days(tiered, ids)] == [
        ("2023-01-03", 9, "test:one"),
        ("2023-01-04", 6, SOURCE),
    ]


def release(warehouse: Warehouse, before: datetime) -> None:
    """Archive what is older, and let it leave the store."""
    with warehouse.connection() as connection:
        due = find_due(connection, D1, before)
    assert list(archive(warehouse, due))
    assert apply_retention(warehouse, D1, before + timedelta(days=1)).released


def test_a_run_that_ended_before_its_days_became_weeks_is_completed_by_the_next(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    put(warehouse, M1, [minute("AAA", "2024-01-03T14:30", 5)])
    with closing(catch_up(warehouse, M1, list(instruments_of(warehouse).values()), *EVER)) as steps:
        assert any(step.timeframe is D1 for step in steps)  # and nothing after it
    assert days(warehouse, ids)
    assert not days(warehouse, ids, W1)
    derive(warehouse)
    assert len(days(warehouse, ids, W1)) == len(days(warehouse, ids, MO1)) == 1
