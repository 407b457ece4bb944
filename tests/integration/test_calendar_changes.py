"""A calendar that changes: weeks, months, days from minutes and sessions follow, and no period has two bars."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import psycopg
import pytest

from chandlery.config.universe import InstrumentConfig
from chandlery.core.calendar_changes import CalendarChanges, DatedSession, use_changes
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.calendar_changes import apply_calendars, apply_instruments
from chandlery.coverage.session_states import State, count_states
from chandlery.instruments.registry import load_instruments, sync_instruments
from chandlery.reading.revisions import read_revisions
from chandlery.rollups.refresh import catch_up
from chandlery.rollups.stale import count_stale
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, get, put, utc

M1, D1, W1, MO1 = Timeframe.M1, Timeframe.D1, Timeframe.W1, Timeframe.MO1
#: Monday to Friday, and a Monday that begins a month.
WEEK = [f"2024-07-{day:02}" for day in (1, 2, 3, 5, 8, 9)]


@pytest.fixture
def ids(warehouse: Warehouse) -> Iterator[dict[str, int]]:
    with warehouse.connection() as connection:
        sync_instruments(connection, [config("AAA"), config("BTC/USD", "24/7")])
        found = {symbol: each.instrument_id for symbol, each in load_instruments(connection).items()}
    yield found
    use_changes({})


def config(symbol: str, calendar: str = "XNYS") -> InstrumentConfig:
    return InstrumentConfig(symbol=symbol, calendar=calendar, provider="simulated", timeframes=(D1,))


def derive(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        instruments = list(load_instruments(connection).values())
    for base in (D1, M1):
        list(catch_up(warehouse, base, instruments, *EVER))


def labels(
    warehouse: Warehouse, timeframe: Timeframe, ids: dict[str, int], *, as_of: datetime | None = None
) -> list[tuple[str, str]]:
    bars = get(warehouse, timeframe, ids, as_of=as_of).to_pylist()
    return [(bar["symbol"], f"{bar['ts']:%m-%d}") for bar in bars]


def close_on(warehouse: Warehouse, *days: str, calendar: str = "XNYS", sessions: tuple[DatedSession, ...] = ()) -> None:
    changes = CalendarChanges(frozenset(date.fromisoformat(day) for day in days), sessions)
    use_changes({calendar: changes} if days or sessions else {})
    with warehouse.connection() as connection:
        apply_calendars(connection, warehouse, [calendar])


@pytest.mark.every_edition
def test_a_new_closure_moves_the_week_and_the_month_and_ends_their_old_bars(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    put(warehouse, D1, [Bar(symbol, utc(day)) for symbol in ids for day in WEEK])
    derive(warehouse)
    before = labels(warehouse, W1, ids), labels(warehouse, MO1, ids)
    assert before == (
        [("AAA", "07-01"), ("AAA", "07-08"), ("BTC/USD", "07-01"), ("BTC/USD", "07-08")],
        [("AAA", "07-01"), ("BTC/USD", "07-01")],
    )
    moment = latest(warehouse)
    close_on(warehouse, "2024-07-01")
    derive(warehouse)
    assert labels(warehouse, W1, ids) == [("AAA", "07-02"), *before[0][1:]]
    assert labels(warehouse, MO1, ids) == [("AAA", "07-02"), ("BTC/USD", "07-01")]
    assert (labels(warehouse, W1, ids, as_of=moment), labels(warehouse, MO1, ids, as_of=moment)) == before
    (old,) = read_revisions(warehouse, ids["AAA"], W1, utc("2024-07-01"), utc("2024-07-02")).to_pylist()
    assert old["superseded_at"] is not None

    close_on(warehouse)  # it was a mistake
    derive(warehouse)
    assert (labels(warehouse, W1, ids), labels(warehouse, MO1, ids)) == before
    with warehouse.connection() as connection:
        assert count_stale(connection) == {}


def test_a_corrected_guess_moves_every_week_and_month(warehouse: Warehouse, ids: dict[str, int]) -> None:
    days = [utc("2024-06-01") + timedelta(days=n) for n in range(60)]
    put(warehouse, D1, [Bar("BTC/USD", day) for day in days])
    derive(warehouse)
    assert labels(warehouse, MO1, ids) == [("BTC/USD", "06-01"), ("BTC/USD", "07-01")]
    with warehouse.connection() as connection:
        assert apply_instruments(connection, warehouse, [config("BTC/USD")]).changed == ["BTC/USD"]
        assert apply_instruments(connection, warehouse, [config("BTC/USD")]).changed == []
    derive(warehouse)
    assert labels(warehouse, MO1, ids) == [("BTC/USD", "06-03"), ("BTC/USD", "07-01")]
    starts = [ts for _, ts in labels(warehouse, W1, ids)]
    # The week of 27 May began on a Tuesday in New York; the weekend of 1 June belongs to it.
    assert starts == ["05-28", "06-03", "06-10", "06-17", "06-24", "07-01", "07-08", "07-15", "07-22", "07-29"]


def test_days_from_minutes_and_their_sessions_follow(warehouse: Warehouse, ids: dict[str, int]) -> None:
    minutes = [
        Bar("AAA", utc(f"{day}T14:00") + timedelta(minutes=n)) for day in ("2024-07-01", "2024-07-02") for n in range(9)
    ]
    put(warehouse, M1, minutes)
    derive(warehouse)
    assert labels(warehouse, D1, ids) == [("AAA", "07-01"), ("AAA", "07-02")]
    assert coverage(warehouse) == [("2024-07-01", 9, 0), ("2024-07-02", 9, 0)]
    close_on(warehouse, "2024-07-01")
    assert coverage(warehouse) == [("2024-07-02", 9, 9)]
    derive(warehouse)
    assert labels(warehouse, D1, ids) == [("AAA", "07-02")]
    assert labels(warehouse, W1, ids) == [("AAA", "07-02")]
    close_on(warehouse, sessions=(DatedSession(date(2024, 7, 2), close=datetime(2024, 7, 2, 10, 5).time()),))  # noqa: DTZ001
    assert coverage(warehouse) == [("2024-07-01", 9, 0), ("2024-07-02", 5, 4)]
    derive(warehouse)
    assert [(bar["ts"].day, bar["volume"]) for bar in get(warehouse, D1, ids).to_pylist()] == [(1, 900.0), (2, 500.0)]
    with warehouse.connection() as connection:
        apply_instruments(connection, warehouse, [config("AAA", "24/7")])
        (states,) = count_states(connection, [load_instruments(connection)["AAA"]], M1, now=utc("2024-07-03")).values()
    assert coverage(warehouse) == [("2024-07-01", 9, 0), ("2024-07-02", 9, 0)]
    assert states == {State.PARTIAL: 2}


def test_a_provider_s_day_on_which_there_is_no_session_stays(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, D1, [Bar("AAA", utc("2024-07-01"))])
    put(warehouse, M1, [Bar("AAA", utc("2024-07-01T14:00"))])
    derive(warehouse)
    close_on(warehouse, "2024-07-01")
    derive(warehouse)
    assert labels(warehouse, D1, ids) == [("AAA", "07-01")]


def test_what_does_not_change_makes_nothing_stale(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, D1, [Bar("AAA", utc(day)) for day in WEEK])
    derive(warehouse)
    with warehouse.connection() as connection:
        apply_calendars(connection, warehouse, ["XNYS", "24/7"])
        apply_instruments(connection, warehouse, [config("AAA"), config("BTC/USD", "24/7")])
        close_on(warehouse, "2023-01-03")  # a year without bars
        assert count_stale(connection) == {}


def coverage(warehouse: Warehouse) -> list[tuple[str, int, int]]:
    with warehouse.connection() as connection:
        rows = connection.execute("SELECT session, present, outside FROM ops.coverage ORDER BY session").fetchall()
    return [(f"{session}", present, outside) for session, present, outside in rows]


def latest(warehouse: Warehouse) -> datetime:
    with warehouse.connection() as connection:
        return newest(connection)


def newest(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT max(known_at) FROM ops.publication").fetchone()
    assert row is not None
    return row[0]
