"""Forming, provisional, final: in every timeframe, the same for ever as of a time, in the store and the lake."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pyarrow as pa
import pytest
from psycopg import conninfo
from typer.testing import CliRunner

from chandlery.api.data import DataAPI
from chandlery.cli import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.database.connections import Database
from chandlery.errors import UsageError
from chandlery.instruments.registry import list_instruments, load_instruments
from chandlery.lake.store import Lake
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, put, register, utc

M1, D1 = Timeframe.M1, Timeframe.D1
CALENDARS = {"AAA": "XNYS", "BBB": "XNYS", "BTC/USD": "24/7"}
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)


@pytest.fixture
def tiered(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(tmp_path / "lake"))
    yield warehouse
    warehouse.close()


@pytest.fixture
def ids(tiered: Warehouse) -> dict[str, int]:
    return register(tiered, CALENDARS)


def ask(
    warehouse: Warehouse,
    symbol: str,
    timeframe: Timeframe,
    span: tuple[str, str],
    requested_at: str,
    *,
    settlement_delay: timedelta = timedelta(),
) -> None:
    """Record that ``span`` was requested at ``requested_at``. It is known from now on."""
    with warehouse.connection() as connection:
        record_requested(connection, timeframe, [_ask(connection, symbol, span, requested_at, settlement_delay)])


def _ask(
    connection: psycopg.Connection,
    symbol: str,
    span: tuple[str, str],
    requested_at: str,
    settlement_delay: timedelta = timedelta(),
) -> RequestedRange:
    number = load_instruments(connection)[symbol].instrument_id
    return RequestedRange(number, CALENDARS[symbol], utc(span[0]), utc(span[1]), utc(requested_at), settlement_delay)


def roll_up(warehouse: Warehouse, base: Timeframe, now: str) -> None:
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    assert list(catch_up(warehouse, base, instruments, *EVER, now=utc(now)))


def states(
    warehouse: Warehouse, symbol: str, timeframe: str, *, as_of: datetime | None = None, final_only: bool = False
) -> dict[str, str]:
    """Return the state of each bar, by its start: ``06-03T14:30`` intraday, ``06-03`` otherwise."""
    bars = DataAPI(warehouse).get_ohlc(
        symbol, *EVER, timeframe, as_of=as_of, final_only=final_only, columns=["state"], output="arrow"
    )
    form = "%m-%dT%H:%M" if Timeframe(timeframe).is_intraday else "%m-%d"
    return {row["ts"].strftime(form): row["state"] for row in bars.to_pylist()}


def test_a_minute_is_forming_until_it_was_learned_at_its_end(tiered: Warehouse, ids: dict[str, int]) -> None:
    for start, known in (("14:30", "14:30:59.999999"), ("14:31", "14:32"), ("14:32", "15:00")):
        put(tiered, M1, [Bar("AAA", utc(f"2024-06-03T{start}"))], now=utc(f"2024-06-03T{known}"))
    assert states(tiered, "AAA", "1m") == {
        "06-03T14:30": "forming",
        "06-03T14:31": "provisional",
        "06-03T14:32": "provisional",
    }


def test_a_bar_is_final_once_its_session_was_asked_for_after_it_settled(tiered: Warehouse, ids: dict[str, int]) -> None:
    day = ("2024-06-03", "2024-06-04")
    put(tiered, M1, [Bar("AAA", utc("2024-06-03T19:58"))], now=utc("2024-06-03T19:58:30"))
    put(tiered, M1, [Bar("AAA", utc("2024-06-03T19:59"))], now=utc("2024-06-03T20:30"))
    put(tiered, M1, [Bar("AAA", utc("2024-06-04T13:30"))], now=utc("2024-06-05"))
    before = {"06-03T19:58": "forming", "06-03T19:59": "provisional", "06-04T13:30": "provisional"}
    ask(tiered, "AAA", M1, day, "2024-06-03T19:59:30")  # not closed yet
    ask(tiered, "AAA", M1, day, "2024-06-03T20:30", settlement_delay=timedelta(hours=1))  # not settled yet
    ask(tiered, "AAA", D1, day, "2024-06-05")  # of another timeframe
    ask(tiered, "BBB", M1, day, "2024-06-05")  # of another instrument
    assert states(tiered, "AAA", "1m") == before
    ask(tiered, "AAA", M1, day, "2024-06-03T21:00", settlement_delay=timedelta(hours=1))
    # The one that was forming has the same values still, so nothing of it was written; it is final all the same.
    assert states(tiered, "AAA", "1m") == before | {"06-03T19:58": "final", "06-03T19:59": "final"}


@pytest.mark.parametrize("timeframe", ["1d", "1w", "1mo"])
def test_a_day_from_minutes_is_final_when_they_are_and_a_providers_when_it_is(
    tiered: Warehouse, ids: dict[str, int], timeframe: str
) -> None:
    week = [f"2024-07-{day:02}" for day in (29, 30, 31)]  # a week and a month of their own, for whoever is listed then
    with tiered.connection() as connection:
        connection.execute("UPDATE market.instrument SET listed = '2024-07-29', delisted = '2024-08-01'")
    put(tiered, M1, [Bar("AAA", utc(f"{day}T15:00")) for day in week], now=utc("2024-08-05"))
    roll_up(tiered, M1, "2024-08-05")
    ask(tiered, "AAA", M1, ("2024-07-29", "2024-07-31"), "2024-08-05")
    last = {"1d": "07-31", "1w": "07-29", "1mo": "07-01"}[timeframe]
    assert states(tiered, "AAA", timeframe)[last] == "provisional"
    ask(tiered, "AAA", D1, ("2024-07-29", "2024-08-01"), "2024-07-31T15:00")  # answered with nothing, before the close
    ask(tiered, "AAA", M1, ("2024-07-31", "2024-08-01"), "2024-08-05")
    assert states(tiered, "AAA", timeframe)[last] == "final"
    between = utc("2024-08-06")
    put(tiered, M1, [Bar("AAA", utc("2024-07-31T15:01"))], now=between)
    assert states(tiered, "AAA", timeframe)[last] == "provisional"  # minutes changed, and the day did not yet
    roll_up(tiered, M1, "2024-08-06")
    assert states(tiered, "AAA", timeframe)[last] == "final"
    put(tiered, D1, [Bar("AAA", utc(day)) for day in week], now=utc("2024-08-07"))
    if timeframe != "1d":
        roll_up(tiered, D1, "2024-08-07")
    assert states(tiered, "AAA", timeframe)[last] == "provisional"  # the provider's day of the 31st is not
    assert states(tiered, "AAA", timeframe, as_of=datetime.now(UTC))[last] == "provisional"
    ask(tiered, "AAA", D1, ("2024-07-29", "2024-08-01"), "2024-08-08")
    assert states(tiered, "AAA", timeframe)[last] == "final"


def test_a_session_that_was_requested_only_until_noon_is_not_final_whenever_that_was(
    tiered: Warehouse, ids: dict[str, int]
) -> None:
    put(tiered, M1, [Bar("AAA", utc(f"2024-06-0{day}T14:30")) for day in (3, 4)], now=utc("2024-06-05"))
    ask(tiered, "AAA", M1, ("2024-06-03", "2024-06-04T16:00"), "2024-06-20")
    assert states(tiered, "AAA", "1m") == {"06-03T14:30": "final", "06-04T14:30": "provisional"}
    ask(tiered, "AAA", M1, ("2024-06-04", "2024-06-04T20:00"), "2024-06-20")  # until its very close
    assert states(tiered, "AAA", "1m") == {"06-03T14:30": "final", "06-04T14:30": "final"}


def test_a_session_that_has_not_begun_when_it_is_requested_does_not_count_as_requested(
    tiered: Warehouse, ids: dict[str, int]
) -> None:
    ask(tiered, "AAA", M1, ("2024-06-03", "2024-06-08"), "2024-06-04T15:00")
    with tiered.connection() as connection:
        sessions = connection.execute("SELECT sessions::text FROM ops.requested").fetchall()
    assert sessions == [("{[2024-06-03,2024-06-05)}",)]


def test_a_minute_outside_of_trading_belongs_to_the_nearest_session(tiered: Warehouse, ids: dict[str, int]) -> None:
    starts = ("2024-06-03T08:00", "2024-06-03T21:00", "2024-06-04T04:44", "2024-06-04T04:46", "2024-06-04T13:29")
    put(tiered, M1, [Bar("AAA", utc(start)) for start in starts], now=utc("2024-06-05"))
    ask(tiered, "AAA", M1, ("2024-06-03", "2024-06-04"), "2024-06-05")
    # Trading ends at 20:00 and begins at 13:30: 04:45 lies in the middle.
    assert list(states(tiered, "AAA", "1m").values()) == ["final", "final", "final", "provisional", "provisional"]


@pytest.mark.parametrize(
    ("symbol", "day", "close"),
    [
        ("AAA", "2024-06-03", "2024-06-03T20:00"),
        ("AAA", "2024-07-03", "2024-07-03T17:00"),  # the half day before Independence Day
        ("AAA", "2024-01-02", "2024-01-02T21:00"),  # winter
        ("BTC/USD", "2024-06-02", "2024-06-03T00:00"),  # a Sunday
    ],
)
def test_a_day_ends_with_its_session(tiered: Warehouse, ids: dict[str, int], symbol: str, day: str, close: str) -> None:
    put(tiered, D1, [Bar(symbol, utc(day))], now=utc(close) - TICK)
    assert list(states(tiered, symbol, "1d").values()) == ["forming"]
    put(tiered, D1, [Bar(symbol, utc(day), close=9.5)], now=utc(close))
    assert list(states(tiered, symbol, "1d").values()) == ["provisional"]
    after = (utc(day) + timedelta(days=1)).isoformat()[:10]
    ask(tiered, symbol, D1, (day, after), close)
    assert list(states(tiered, symbol, "1d").values()) == ["final"]


def test_minutes_after_a_half_day_are_final_with_it(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(tiered, M1, [Bar("AAA", utc(f"2024-07-03T{at}")) for at in ("16:59", "17:30")], now=utc("2024-07-03T18:00"))
    ask(tiered, "AAA", M1, ("2024-07-03", "2024-07-04"), "2024-07-03T16:59:59")
    assert set(states(tiered, "AAA", "1m").values()) == {"provisional"}
    ask(tiered, "AAA", M1, ("2024-07-03", "2024-07-04"), "2024-07-03T18:00")
    assert set(states(tiered, "AAA", "1m").values()) == {"final"}


def test_around_the_clock_each_minute_belongs_to_its_own_day(tiered: Warehouse, ids: dict[str, int]) -> None:
    starts = ("2024-06-01T23:59", "2024-06-02T00:00", "2024-06-02T23:59", "2024-06-03T00:00")
    put(tiered, M1, [Bar("BTC/USD", utc(start)) for start in starts], now=utc("2024-06-04"))
    ask(tiered, "BTC/USD", M1, ("2024-06-02", "2024-06-03"), "2024-06-03")
    assert list(states(tiered, "BTC/USD", "1m").values()) == ["provisional", "final", "final", "provisional"]


def test_derived_minutes_are_final_with_the_session_of_their_base(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(tiered, M1, [Bar("AAA", utc("2024-06-03T14:30") + n * MINUTE) for n in range(8)], now=utc("2024-06-03T14:38"))
    roll_up(tiered, M1, "2024-06-03T14:39")
    assert states(tiered, "AAA", "5m") == {"06-03T14:30": "provisional", "06-03T14:35": "forming"}
    assert states(tiered, "AAA", "1h") == {"06-03T14:00": "forming"}
    ask(tiered, "AAA", D1, ("2024-06-03", "2024-06-04"), "2024-06-03T21:00")  # not its base
    assert set(states(tiered, "AAA", "5m").values()) == {"provisional", "forming"}
    ask(tiered, "AAA", M1, ("2024-06-03", "2024-06-04"), "2024-06-03T21:00")
    for timeframe in ("5m", "15m", "30m", "1h", "4h"):
        assert set(states(tiered, "AAA", timeframe).values()) == {"final"}


def test_a_bar_made_of_two_sessions_is_final_with_both(tiered: Warehouse, ids: dict[str, int]) -> None:
    # From 04:00 to 08:00: minutes until 04:45 belong to the session before, the others to the one after.
    put(tiered, M1, [Bar("AAA", utc(f"2024-06-04T{at}")) for at in ("00:00", "04:00", "07:59")], now=utc("2024-06-05"))
    roll_up(tiered, M1, "2024-06-05")
    ask(tiered, "AAA", M1, ("2024-06-03", "2024-06-04"), "2024-06-03T21:00")
    assert states(tiered, "AAA", "4h") == {"06-04T00:00": "final", "06-04T04:00": "provisional"}
    ask(tiered, "AAA", M1, ("2024-06-04", "2024-06-05"), "2024-06-04T21:00")
    assert set(states(tiered, "AAA", "4h").values()) == {"final"}


def test_a_week_and_a_month_are_final_with_all_their_sessions(tiered: Warehouse, ids: dict[str, int]) -> None:
    days = [utc(f"2024-05-{day}") for day in ("28", "29", "30", "31")]  # Monday was a holiday
    for n, day in enumerate(days):
        put(tiered, D1, [Bar("AAA", day, close=9.5 + n)], now=day + timedelta(hours=21))
        roll_up(tiered, D1, (day + timedelta(hours=21)).isoformat()[:19])
        open_ = "forming" if n < 3 else "provisional"
        assert states(tiered, "AAA", "1w") == {"05-28": open_}
        assert states(tiered, "AAA", "1mo") == {"05-01": open_}
        if n == 2:  # until Thursday everything is final
            ask(tiered, "AAA", D1, ("2024-05-01", "2024-05-31"), "2024-05-30T21:00")
            assert set(states(tiered, "AAA", "1d").values()) == {"final"}
            assert states(tiered, "AAA", "1w") == {"05-28": "forming"}
    ask(tiered, "AAA", D1, ("2024-05-28", "2024-06-01"), "2024-05-31T21:00")
    assert states(tiered, "AAA", "1w") == {"05-28": "final"}
    assert states(tiered, "AAA", "1mo") == {"05-01": "final"}


def test_a_month_that_was_never_asked_for_whole_stays_provisional(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(tiered, D1, [Bar("AAA", utc("2024-05-31"))], now=utc("2024-06-05"))
    roll_up(tiered, D1, "2024-06-05")
    ask(tiered, "AAA", D1, ("2024-05-28", "2024-06-01"), "2024-06-05")
    assert states(tiered, "AAA", "1w") == {"05-28": "final"}
    assert states(tiered, "AAA", "1mo") == {"05-01": "provisional"}


def test_sessions_on_which_it_was_not_listed_are_not_waited_for(tiered: Warehouse, ids: dict[str, int]) -> None:
    with tiered.connection() as connection:
        connection.execute(
            "UPDATE market.instrument SET listed = '2024-05-29', delisted = '2024-06-12' WHERE symbol = 'AAA'"
        )
    put(tiered, D1, [Bar("AAA", utc("2024-05-29")), Bar("AAA", utc("2024-06-11"))], now=utc("2024-06-11T20:00"))
    roll_up(tiered, D1, "2024-06-11T20:00")
    assert set(states(tiered, "AAA", "1mo").values()) == {"provisional"}  # its last day had ended, June had not
    ask(tiered, "AAA", D1, ("2024-05-29", "2024-06-12"), "2024-06-12")
    assert states(tiered, "AAA", "1w") == {"05-28": "final", "06-10": "final"}
    assert states(tiered, "AAA", "1mo") == {"05-01": "final", "06-03": "final"}


@pytest.mark.parametrize(("base", "derived"), [(M1, "5m"), (D1, "1w")])
def test_a_derived_bar_is_not_final_while_it_waits_to_be_computed(
    tiered: Warehouse, ids: dict[str, int], base: Timeframe, derived: str
) -> None:
    minute = base is M1
    first, later = ("2024-06-03T14:30", "2024-06-03T14:31") if minute else ("2024-06-03", "2024-06-07")
    put(tiered, base, [Bar("AAA", utc(first))], now=utc("2024-06-08"))
    roll_up(tiered, base, "2024-06-08T01:00")
    put(tiered, base, [Bar("AAA", utc(later), close=9.5)], now=utc("2024-06-08T02:00"))
    ask(tiered, "AAA", base, ("2024-06-03", "2024-06-08"), "2024-06-08T02:00")
    assert list(states(tiered, "AAA", derived).values()) == ["provisional"]
    assert states(tiered, "AAA", derived, final_only=True) == {}
    roll_up(tiered, base, "2024-06-08T03:00")
    assert list(states(tiered, "AAA", derived).values()) == ["final"]


def test_what_nobody_asked_a_provider_for_is_provisional(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(tiered, M1, [Bar("AAA", utc("2024-06-03T14:30"))])
    put(tiered, D1, [Bar("AAA", utc("2024-06-03")), Bar("AAA", utc("1970-01-05")), Bar("AAA", utc("2024-06-01"))])
    roll_up(tiered, M1, "2099-01-01")  # and goes on from days
    distinct = {state for timeframe in Timeframe for state in states(tiered, "AAA", timeframe.value).values()}
    assert distinct == {"provisional"}


def test_as_of_a_time_a_bar_is_as_final_as_was_known_then(tiered: Warehouse, ids: dict[str, int]) -> None:
    minute, day = Bar("AAA", utc("2024-06-03T14:30")), Bar("AAA", utc("2024-06-03"))
    session = ("2024-06-03", "2024-06-04")
    moments = [datetime.now(UTC)]
    seen = []

    def look() -> list[Mapping[str, str]]:
        return [
            states(tiered, "AAA", timeframe, as_of=moment, final_only=only)
            for moment in moments
            for timeframe in ("1m", "1d", "5m", "1w")
            for only in (False, True)
        ]

    steps = [
        lambda: (put(tiered, M1, [minute]), put(tiered, D1, [day]), _catch_up(tiered)),
        lambda: ask(tiered, "AAA", M1, session, "2024-06-05"),
        lambda: ask(tiered, "AAA", D1, session, "2024-06-05"),
        lambda: ask(tiered, "AAA", D1, ("2024-06-03", "2024-06-08"), "2024-06-08"),
        lambda: (put(tiered, M1, [minute._replace(close=9.5)]), ask(tiered, "AAA", M1, session, "2024-06-09")),
        lambda: _catch_up(tiered),
    ]
    for step in steps:
        step()
        moments.append(datetime.now(UTC))
        now = look()
        assert now[: len(seen)] == seen  # the same question has the same answer ever after
        seen = now
    by_moment = [[list(answer.values()) for answer in seen[n : n + 8]] for n in range(0, len(seen), 8)]
    none, provisional, final = [[], []], [["provisional"], []], [["final"], ["final"]]
    assert by_moment == [
        none * 4,
        provisional * 4,
        final + provisional + final + provisional,
        final + final + final + provisional,
        final * 4,
        final * 4,
        final * 4,
    ]


def _catch_up(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    for base in (M1, D1):
        list(catch_up(warehouse, base, instruments, *EVER))


def test_a_bar_that_has_not_ended_is_never_final(tiered: Warehouse, ids: dict[str, int]) -> None:
    """For example one after trading, whose session was requested at its close."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today + timedelta(days=n) for n in (-2, 2)]
    put(tiered, M1, [Bar("BTC/USD", day) for day in days])
    put(tiered, D1, [Bar("BTC/USD", day) for day in days])
    for timeframe in (M1, D1):
        ask(tiered, "BTC/USD", timeframe, (days[0].date().isoformat(), "2099-01-01"), "2099-01-01")
        assert list(states(tiered, "BTC/USD", timeframe.value).values()) == ["final", "forming"]


def test_at_the_very_end_of_a_bar_it_is_final(tiered: Warehouse, ids: dict[str, int]) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = today + timedelta(days=1)
    put(tiered, D1, [Bar("BTC/USD", day) for day in (today, end)], now=end)
    ask(tiered, "BTC/USD", D1, (f"{today:%Y-%m-%d}", f"{end + timedelta(days=1):%Y-%m-%d}"), f"{end:%Y-%m-%d}")
    assert list(states(tiered, "BTC/USD", "1d", as_of=end).values()) == ["final", "forming"]


def test_at_the_very_moment_at_which_a_session_became_final_it_was_final(
    tiered: Warehouse, ids: dict[str, int]
) -> None:
    put(tiered, M1, [Bar("AAA", utc("2024-06-03T19:59"))], now=utc("2024-06-03T20:30"))
    ask(tiered, "AAA", M1, ("2024-06-03", "2024-06-04"), "2024-06-05")
    with tiered.connection() as connection:
        row = connection.execute("SELECT max(final_at) FROM ops.finalized").fetchone()
    assert row is not None
    before = row[0] - timedelta(microseconds=1)
    assert [list(states(tiered, "AAA", "1m", as_of=moment).values()) for moment in (before, row[0])] == [
        ["provisional"], ["final"],
    ]  # fmt: skip


def test_as_of_now_waits_for_whoever_is_recording_what_became_final(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(tiered, D1, [Bar("AAA", utc("2024-06-03"))])
    answers = []
    dsn = tiered.database.dsn
    with psycopg.connect(dsn, autocommit=True) as recorder, psycopg.connect(dsn, autocommit=True) as watcher:
        with recorder.transaction():
            record_requested(recorder, D1, [_ask(recorder, "AAA", ("2024-06-03", "2024-06-04"), "2024-06-05")])
            moment = datetime.now(UTC)
            reader = threading.Thread(target=lambda: answers.append(states(tiered, "AAA", "1d", as_of=moment)))
            reader.start()
            looked: set[datetime] = set()
            while len(looked) < 3 and reader.is_alive():  # it looks again and again who is recording
                looked |= _looks_for_recorders(watcher)
            assert reader.is_alive(), "the reader did not wait for what is being recorded"
            assert states(tiered, "AAA", "1d") == {"06-03": "provisional"}  # a read of the present waits for nobody
        reader.join()
    assert answers == [{"06-03": "final"}]


def _looks_for_recorders(connection: psycopg.Connection) -> set[datetime]:
    """Return when each other connection began to look who is recording, of those whose latest statement that is."""
    rows = connection.execute(
        "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND query LIKE '%virtualtransaction%'"
    )
    return {row[0] for row in rows}


def test_bars_in_the_lake_are_as_final_as_they_were_in_the_store(tiered: Warehouse, ids: dict[str, int]) -> None:
    january = [
        Bar(symbol, utc(f"2024-01-{day}T15:00") + n * MINUTE)
        for symbol in ("AAA", "BTC/USD")
        for day in ("30", "31")
        for n in range(9)
    ]
    put(tiered, M1, january, now=utc("2024-01-31T15:05:30"))
    put(tiered, M1, [bar._replace(close=9.5) for bar in january[:4]], now=utc("2024-01-31T16:00"))
    put(tiered, M1, [Bar("AAA", utc("2024-02-01T15:00")), Bar("AAA", utc("2024-02-02T15:00"))], now=utc("2024-02-03"))
    put(tiered, D1, [Bar("AAA", utc("2023-12-29")), Bar("AAA", utc("2024-01-02"))], now=utc("2024-01-03"))
    roll_up(tiered, M1, "2024-02-03")
    ask(tiered, "AAA", M1, ("2024-01-30", "2024-01-31"), "2024-02-03")
    ask(tiered, "AAA", M1, ("2024-02-01", "2024-02-02"), "2024-02-03")
    ask(tiered, "AAA", D1, ("2023-12-01", "2024-01-01"), "2024-02-03")
    between = datetime.now(UTC)
    ask(tiered, "BTC/USD", M1, ("2024-01-30", "2024-01-31"), "2024-02-03")

    def look() -> list[Mapping[str, str]]:
        moments = (None, utc("2024-01-31T15:30"), utc("2024-02-03"), between)
        return [
            states(tiered, symbol, timeframe, as_of=moment, final_only=only)
            for symbol in ("AAA", "BTC/USD")
            for timeframe in ("1m", "1d", "5m")
            for moment in moments
            for only in (False, True)
        ]

    hot = look()
    assert set(hot[0].values()) == {"forming", "provisional", "final"}
    with tiered.connection() as connection:
        due = [window for timeframe in (M1, D1) for window in find_due(connection, timeframe, utc("2024-02-01"))]
    assert list(archive(tiered, due))
    for timeframe in (M1, D1):
        assert apply_retention(tiered, timeframe, utc("2024-02-01"), now=utc("2025-01-01")).refused == []
    with tiered.connection() as connection:
        assert connection.execute("SELECT count(*) FROM market.bars_1m").fetchone() == (2,)
    assert look() == hot


def test_final_only_drops_exactly_the_others(tiered: Warehouse, ids: dict[str, int]) -> None:
    starts = [utc(f"2024-06-0{day}T15:00") + n * MINUTE for day in (3, 4, 5, 6) for n in range(5)]
    put(tiered, M1, [Bar(symbol, ts) for symbol in CALENDARS for ts in starts], now=utc("2024-06-06T15:02:30"))
    ask(tiered, "AAA", M1, ("2024-06-04", "2024-06-05"), "2024-06-05")
    ask(tiered, "BTC/USD", M1, ("2024-06-03", "2024-06-05"), "2024-06-05")
    api = DataAPI(tiered)
    symbols = ["BTC/USD", "BBB", "AAA"]
    whole = api.get_multi_symbol(symbols, *EVER, "1m", columns=["close", "known_at", "state"], output="arrow")
    expected = [row for row in whole.to_pylist() if row["state"] == "final"]
    assert [row["symbol"] for row in expected] == ["BTC/USD"] * 10 + ["AAA"] * 5
    assert {row["state"] for row in whole.to_pylist()} == {"forming", "provisional", "final"}

    options = {"timeframe": "1m", "columns": ["close", "known_at", "state"], "final_only": True}
    assert api.get_multi_symbol(symbols, *EVER, output="arrow", **options).to_pylist() == expected
    frame = api.get_multi_symbol(symbols, *EVER, **options)
    assert frame.reset_index()[["symbol", "ts"]].values.tolist() == [[r["symbol"], r["ts"]] for r in expected]
    assert frame["state"].unique().tolist() == ["final"]
    polars_frame = api.get_multi_symbol(symbols, *EVER, output="polars", **options)
    assert isinstance(polars_frame, pl.DataFrame)
    assert polars_frame.to_dicts() == expected
    for symbol in symbols:
        rows = [{**row} for row in expected if row["symbol"] == symbol]
        bare = api.get_ohlc(symbol, *EVER, "1m", final_only=True, output="arrow")
        assert bare.column_names == ["ts", "open", "high", "low", "close", "volume", "vwap", "trades", "source"]
        assert bare["ts"].to_pylist() == [row["ts"] for row in rows]
    assert api.get_multi_symbol(symbols, *EVER, "1m", output="arrow").num_rows == 60


def test_no_bars_have_a_state_column_too(tiered: Warehouse, ids: dict[str, int]) -> None:
    for only in (False, True):
        bars = DataAPI(tiered).get_ohlc("AAA", *EVER, final_only=only, columns=["close", "state"], output="arrow")
        assert bars.column_names == ["ts", "close", "state"]
        assert bars.num_rows == 0
        assert pa.types.is_dictionary(bars.schema.field("state").type)


def test_an_unknown_column_is_told_of_the_state(tiered: Warehouse, ids: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="known_at state"):
        DataAPI(tiered).get_ohlc("AAA", *EVER, columns=["status"])


class NoOrchestrator:
    """Queries need none."""


def test_the_command_shows_states_and_final_bars(
    tiered: Warehouse, ids: dict[str, int], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHANDLERY_LAKE", str(tmp_path / "lake"))
    days = [date(2024, 6, 3) + timedelta(days=n) for n in (0, 1, 2, 3, 4)]
    put(tiered, D1, [Bar("AAA", utc(day.isoformat())) for day in days], now=utc("2024-06-07T15:00"))
    ask(tiered, "AAA", D1, ("2024-06-03", "2024-06-06"), "2024-06-05T20:00")

    def run(*arguments: str) -> list[tuple[str, str | None]]:
        command = ["query", "AAA", "--format", "json", *arguments]
        result = CliRunner().invoke(app, command, obj=Session(NoOrchestrator))
        assert result.exit_code == 0, result.output
        return [(row["ts"][8:10], row.get("state")) for row in json.loads(result.stdout)]

    assert run() == [(f"0{n}", None) for n in range(3, 8)]
    final = [("03", "final"), ("04", "final"), ("05", "final")]
    assert run("--with-state") == [*final, ("06", "provisional"), ("07", "forming")]
    assert run("--final-only", "--with-state") == final
    assert run("--final-only") == [(day, None) for day, _ in final]
    assert run("--final-only", "--limit", "2", "--with-state") == final[1:]  # the last two final ones
    assert run("--final-only", "--limit", "9", "--with-state") == final
    assert run("--final-only", "--as-of", "2024-06-07T16:00:00Z") == []
    table = CliRunner().invoke(app, ["query", "AAA", "--with-state"], obj=Session(NoOrchestrator)).stdout
    assert "provisional" in table
    empty = ["query", "AAA", "--final-only", "--start", "2024-06-06"]
    assert "No final bars of AAA 1d" in CliRunner().invoke(app, empty, obj=Session(NoOrchestrator)).stderr
