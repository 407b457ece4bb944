"""Continuous aggregates equal the derived tables, whatever happens to the minutes below them: corrected, dropped, back.

Prices are the same, and so are volumes and trades while volumes are whole numbers. Otherwise volumes, and vwap always,
are the same within 1e-12 of each: the server adds doubles in its own order, where our sums are correctly rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import psycopg
import pytest
import yaml
from psycopg import conninfo, sql
from typer.testing import CliRunner

from chandlery.app.configuration import Configuration
from chandlery.app.installation import Installation
from chandlery.app.maintenance import prune
from chandlery.cli import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.database.connections import Database
from chandlery.database.editions.install import install
from chandlery.database.migrate import migrate
from chandlery.instruments.registry import list_instruments
from chandlery.lake.store import Lake
from chandlery.rollups.continuous import (
    Aggregates,
    Refreshed,
    count_pending,
    hold_aggregates,
    refresh_aggregates,
    refresh_range,
    sync_aggregates,
)
from chandlery.rollups.continuous_views import list_aggregates
from chandlery.rollups.refresh import catch_up
from chandlery.settings import Settings
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.editions import Server
from tests.support import EVER, Bar, forget_bars, put, register, utc

M1, M5, M15, M30, H1, H4 = (Timeframe(width) for width in ("1m", "5m", "15m", "30m", "1h", "4h"))
SYMBOLS = ("AAA", "BBB", "BTC/USD")
FIRST = utc("2024-01-30")
#: Later than every window of these tests was settled.
LATER = utc("2025-06-01")

on_community = pytest.mark.only_on("community")
pytestmark = pytest.mark.every_edition


class NoOrchestrator:
    """Sets up nothing of its own."""

    def __init__(self, installation: Installation) -> None:
        del installation

    def prepare(self) -> None:
        """Do nothing."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Do nothing."""


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def tiered(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(tmp_path / "lake"))
    register(warehouse, dict.fromkeys(SYMBOLS, "24/7"))
    yield warehouse
    warehouse.close()


def configure(warehouse: Warehouse, *timeframes: Timeframe) -> Aggregates:
    with warehouse.connection() as connection:
        return sync_aggregates(connection, warehouse.edition, timeframes)


def derive(warehouse: Warehouse, refresh: Callable[[Database], object] = refresh_aggregates) -> None:
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    list(catch_up(warehouse, M1, instruments, *EVER, refresh=refresh))


def pending(warehouse: Warehouse) -> int:
    with warehouse.connection() as connection:
        return count_pending(connection)


def read(warehouse: Warehouse, table: str) -> list[tuple[object, ...]]:
    statement = sql.SQL(
        "SELECT instrument_id, ts, open, high, low, close, trades, volume, vwap FROM {} ORDER BY instrument_id, ts"
    ).format(sql.Identifier("market", table))
    with warehouse.connection() as connection:
        return connection.execute(statement).fetchall()


def check(warehouse: Warehouse, *timeframes: Timeframe, whole: bool = True) -> int:
    """Compare the aggregates with the derived tables bar by bar; return how many bars there are of the first."""
    exact = 8 if whole else 7
    for timeframe in timeframes:
        kept, ours = read(warehouse, f"aggregate_{timeframe.value}"), read(warehouse, timeframe.table)
        assert [bar[:exact] for bar in kept] == [bar[:exact] for bar in ours]
        for by_server, by_us in zip(kept, ours, strict=True):
            assert all(map(near, by_server[exact:], by_us[exact:])), (by_server, by_us)
    return len(read(warehouse, timeframes[0].table))


def near(first: object, second: object) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(float(str(first)), float(str(second)), rel_tol=1e-12)


def archive_all(warehouse: Warehouse, before: datetime = LATER) -> None:
    with warehouse.connection() as connection:
        due = find_due(connection, M1, before)
    list(archive(warehouse, due))


def retain_all(warehouse: Warehouse, before: datetime) -> int:
    archive_all(warehouse)
    with hold_aggregates(warehouse.database):
        return len(apply_retention(warehouse, M1, before, now=LATER).released)


def stored(warehouse: Warehouse) -> int:
    """Return how many minute bars the store holds, whether or not anybody may read them."""
    with warehouse.connection() as connection:
        row = connection.execute("SELECT count(*) FROM market.bars_1m").fetchone()
    return row[0] if row else 0


def random_bars(draw: np.random.Generator, *, days: int = 70, whole: bool = True) -> list[Bar]:
    """Return bars of some minutes of some days; other values, and some unknown, each time."""
    keys = {
        (str(symbol), FIRST + timedelta(days=int(day), minutes=int(minute)))
        for day in draw.choice(days, size=draw.integers(1, 4), replace=False)
        for symbol in draw.choice(SYMBOLS, size=draw.integers(1, 4), replace=False)
        for minute in draw.integers(0, 1440, size=draw.choice([2, 40, 300]))
    }
    return [random_bar(draw, symbol, ts, whole=whole) for symbol, ts in sorted(keys)]


def random_bar(draw: np.random.Generator, symbol: str, ts: datetime, *, whole: bool = True) -> Bar:
    low, opening, closing, high = sorted(draw.uniform(1, 1000, 4).tolist())
    volume = float(draw.integers(1, 10**9)) if whole else float(draw.uniform(1e-9, 1e6))
    return Bar(
        symbol,
        ts,
        open=opening,
        high=high,
        low=low,
        close=closing,
        volume=draw.choice([volume, volume, volume, None, 0.0]),
        vwap=None if draw.random() < 0.05 else closing,
        trades=None if draw.random() < 0.3 else int(draw.integers(0, 10**6)),
    )


def a_day(symbol: str, day: str, *, close: float = 11.0) -> list[Bar]:
    return [Bar(symbol, utc(day) + timedelta(minutes=n), close=close + n % 9 / 100) for n in range(0, 1440, 3)]


# Equal ----------------------------------------------------------------------------------------------------------------


@on_community
@pytest.mark.parametrize("seed", range(6))
def test_they_equal_the_derived_bars_through_any_history(tiered: Warehouse, seed: int) -> None:
    draw = np.random.default_rng(seed)
    whole = seed % 3 != 2
    timeframes = [M5, M15, M30, H1, H4] if seed % 2 else [M15, H1]
    configure(tiered, *timeframes)
    put(tiered, M1, random_bars(draw, whole=whole))
    for step in range(24):
        kind = draw.choice(["publish", "publish", "publish", "prune", "restore", "compress", "configure"])
        if kind == "publish":
            put(tiered, M1, random_bars(draw, whole=whole))
        elif kind == "prune":
            retain_all(tiered, utc(str(draw.choice(["2024-02-01", "2024-03-01", "2024-04-01"]))))
        elif kind == "restore":
            symbols = SYMBOLS if draw.random() < 0.5 else SYMBOLS[:1]
            restore(tiered, M1, [str(draw.choice(["2024-01", "2024-02", "2024-03"]))], symbols=symbols)
        elif kind == "compress":
            with tiered.connection() as connection:
                list(tiered.edition.compress(connection, M1, LATER))
        elif draw.random() < 0.5:
            timeframes = [timeframe for timeframe in derived_from(M1) if draw.random() < 0.6] or [H1]
            configure(tiered, *timeframes)
            refresh_aggregates(tiered.database)
        if draw.random() < 0.7 or step == 23:
            derive(tiered)
            assert pending(tiered) == 0
            assert check(tiered, *timeframes, whole=whole) > 0


@on_community
def test_a_wider_one_is_made_from_the_widest_that_divides_it(tiered: Warehouse) -> None:
    configure(tiered, M5, M15, H1)
    with tiered.connection() as connection:
        comments = dict(
            connection.execute(
                "SELECT relname::text, obj_description(oid) FROM pg_class WHERE relname = ANY(%s)",
                ([f"aggregate_{width}" for width in ("5m", "15m", "1h")],),
            ).fetchall()
        )
    assert {name: text.split(";")[0].split()[-1] for name, text in comments.items()} == {
        "aggregate_5m": "1m",
        "aggregate_15m": "5m",
        "aggregate_1h": "15m",
    }


@on_community
def test_the_server_never_refreshes_by_itself(tiered: Warehouse) -> None:
    configure(tiered, M5, H1)
    with tiered.connection() as connection:
        jobs = connection.execute(
            "SELECT proc_name FROM timescaledb_information.jobs WHERE hypertable_schema IS NOT NULL"
        ).fetchall()
        live = connection.execute(
            "SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE NOT materialized_only"
        ).fetchall()
    assert (jobs, live) == ([], [])


# Refreshing -----------------------------------------------------------------------------------------------------------


class Refreshes(list[tuple[Timeframe, date, date]]):
    """Brings the aggregates up to date, and lists what the server has to refresh for it."""

    def __call__(self, database: Database) -> Refreshed:
        return refresh_aggregates(database, refresh_range=self._refresh_range)

    def _refresh_range(self, connection: psycopg.Connection, timeframe: Timeframe, start: date, end: date) -> None:
        self.append((timeframe, start, end))
        refresh_range(connection, timeframe, start, end)


@pytest.fixture
def refreshes() -> Refreshes:
    return Refreshes()


@on_community
def test_exactly_the_days_that_changed_are_refreshed_narrow_to_wide(tiered: Warehouse, refreshes: Refreshes) -> None:
    configure(tiered, H1, M5)
    days = [f"2024-02-{day:02}" for day in range(5, 24)]
    put(tiered, M1, [bar for day in days for bar in a_day("AAA", day)])
    derive(tiered, refreshes)
    assert refreshes == [(M5, date(2024, 2, 5), date(2024, 2, 24)), (H1, date(2024, 2, 5), date(2024, 2, 24))]
    refreshes.clear()
    put(tiered, M1, [Bar("AAA", utc("2024-02-07T00:03"), close=9.5), Bar("AAA", utc("2024-02-20T23:57"), close=9.5)])
    derive(tiered, refreshes)
    assert refreshes == [(width, date(2024, 2, day), date(2024, 2, day + 1)) for day in (7, 20) for width in (M5, H1)]
    refreshes.clear()
    derive(tiered, refreshes)
    assert refreshes == []
    check(tiered, M5, H1)


@on_community
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_kill_after_the_commit_loses_nothing(tiered: Warehouse, after: int) -> None:
    configure(tiered, M5, H1)
    put(tiered, M1, [*a_day("AAA", "2024-02-05"), *a_day("AAA", "2024-03-05"), *a_day("BBB", "2024-03-05")])
    calls: list[Timeframe] = []

    def die(connection: psycopg.Connection, timeframe: Timeframe, start: date, end: date) -> None:
        if len(calls) == after:
            raise Killed
        calls.append(timeframe)
        refresh_range(connection, timeframe, start, end)

    with pytest.raises(Killed):
        derive(tiered, partial(refresh_aggregates, refresh_range=die))
    assert len(read(tiered, "bars_5m")) > len(read(tiered, "aggregate_1h"))
    assert pending(tiered) == (3 if after < 2 else 2)
    derive(tiered)  # nothing is stale any more
    assert pending(tiered) == 0
    assert check(tiered, M5, H1) == 3 * 288


@on_community
def test_what_changes_during_a_refresh_is_refreshed_again(tiered: Warehouse) -> None:
    configure(tiered, M5, H1)
    calls: list[Timeframe] = []

    def interrupted(connection: psycopg.Connection, timeframe: Timeframe, start: date, end: date) -> None:
        refresh_range(connection, timeframe, start, end)
        calls.append(timeframe)
        if len(calls) == 1:
            put(tiered, M1, a_day("AAA", "2024-02-05", close=9.5))
            derive(tiered, refresh)  # leaves its day to the refresh under way
            assert len(calls) == 1

    refresh = partial(refresh_aggregates, refresh_range=interrupted)
    put(tiered, M1, a_day("AAA", "2024-02-05"))
    derive(tiered, refresh)
    assert calls == [M5, H1, M5, H1]
    assert pending(tiered) == 0
    check(tiered, M5, H1)


# Archived and dropped -------------------------------------------------------------------------------------------------


def two_months(warehouse: Warehouse) -> None:
    bars = [bar for day in ("2024-01-30", "2024-01-31", "2024-02-01", "2024-03-20") for bar in a_day("AAA", day)]
    put(warehouse, M1, [*bars, *(bar._replace(symbol="BBB", close=10.0) for bar in bars)])
    derive(warehouse)


@on_community
def test_aggregates_outlive_the_minutes_they_were_made_from(tiered: Warehouse, refreshes: Refreshes) -> None:
    configure(tiered, M5, H1)
    two_months(tiered)
    before = check(tiered, M5, H1)
    retain_all(tiered, utc("2024-03-01"))
    assert stored(tiered) < 4 * 2 * 480
    refreshes.clear()
    put(tiered, M1, a_day("AAA", "2024-03-20", close=10.5))
    derive(tiered, refreshes)
    assert {start for _, start, _ in refreshes} == {date(2024, 3, 20)}
    assert check(tiered, M5, H1) == before


@on_community
def test_a_correction_of_one_instrument_wipes_none_of_the_others(tiered: Warehouse, refreshes: Refreshes) -> None:
    configure(tiered, M5, H1)
    two_months(tiered)
    before = check(tiered, M5, H1)
    retain_all(tiered, utc("2024-03-01"))
    refreshes.clear()
    put(tiered, M1, a_day("AAA", "2024-01-31", close=10.5)[:100])
    derive(tiered, refreshes)
    assert (refreshes, pending(tiered)) == ([], 0)
    assert check(tiered, M5, H1) == before
    restore(tiered, M1, ["2024-01"])
    put(tiered, M1, a_day("BBB", "2024-01-31", close=10.5)[50:150])
    derive(tiered, refreshes)
    assert [start for _, start, _ in refreshes] == [date(2024, 1, 31)] * 2
    assert check(tiered, M5, H1) == before


@on_community
def test_what_left_before_it_was_derived_is_not_lost(tiered: Warehouse) -> None:
    configure(tiered, M5, H1)
    put(tiered, M1, [*a_day("AAA", "2024-01-30"), *a_day("BBB", "2024-01-30")])
    retain_all(tiered, utc("2024-03-01"))
    assert stored(tiered) == 0
    derive(tiered)
    assert check(tiered, M5, H1) == 2 * 288


@on_community
def test_nothing_leaves_before_the_aggregates_are_up_to_date(tiered: Warehouse, tmp_path: Path) -> None:
    configure(tiered, M5)
    put(tiered, M1, a_day("AAA", "2024-01-30"))
    derive(tiered, lambda _: None)  # as if it had been killed before
    assert pending(tiered) == 1
    archive_all(tiered)
    settings = Settings(config_override=tmp_path, home_override=tmp_path)
    [report] = prune(Installation(settings, Configuration(settings.config), tiered), timeframes=[M1], now=LATER)
    assert report.released == [("AAA", "2024-01")]
    assert (pending(tiered), stored(tiered)) == (0, 0)
    assert check(tiered, M5) == 288


# Made and dropped -----------------------------------------------------------------------------------------------------


@on_community
def test_one_that_is_configured_later_is_filled_even_where_the_minutes_left(tiered: Warehouse) -> None:
    two_months(tiered)
    retain_all(tiered, utc("2024-03-01"))
    assert configure(tiered, H4, M5) == Aggregates((M5, H4), ())
    assert len(read(tiered, "aggregate_5m")) == 0
    assert pending(tiered) == 8
    refresh_aggregates(tiered.database)
    assert pending(tiered) == 0
    assert check(tiered, M5, H4) == 8 * 288


@on_community
def test_configuring_the_same_changes_nothing_and_configuring_less_drops_the_rest(tiered: Warehouse) -> None:
    def relations() -> list[tuple[object, ...]]:
        with tiered.connection() as connection:
            return connection.execute(
                "SELECT relname, oid FROM pg_class WHERE relname LIKE 'aggregate\\_%m%' OR relname LIKE"
                " 'aggregate\\_%h%' ORDER BY 1"
            ).fetchall()

    configure(tiered, M5, M15, H1)
    two_months(tiered)
    before = relations()
    assert configure(tiered, H1, M5, M15) == Aggregates((M5, M15, H1), ())
    assert (relations(), pending(tiered)) == (before, 0)
    configure(tiered, M5, H1)  # which was made from 15m
    refresh_aggregates(tiered.database)
    check(tiered, M5, H1)
    with tiered.connection() as connection:
        assert list_aggregates(connection) == (M5, H1)
    assert configure(tiered) == Aggregates((), ())
    assert relations() == []
    put(tiered, M1, a_day("AAA", "2024-03-20", close=10.5))
    derive(tiered)
    assert pending(tiered) == 0


@on_community
def test_the_schema_can_go_with_its_aggregates(tiered: Warehouse) -> None:
    configure(tiered, M5, M15, H4)
    two_months(tiered)
    with tiered.connection() as connection:
        forget_bars(connection)
        migrate(connection, "base")
        views = connection.execute("SELECT view_name FROM timescaledb_information.continuous_aggregates").fetchall()
        assert views == []
        migrate(connection)
        install(connection)
    register(tiered, dict.fromkeys(SYMBOLS, "24/7"))
    configure(tiered, M5)
    two_months(tiered)
    assert check(tiered, M5) == 8 * 288


@pytest.mark.only_on("postgres", "apache")
def test_other_editions_make_none_and_say_so(tiered: Warehouse) -> None:
    assert configure(tiered, H1, M5) == Aggregates((), (M5, H1))
    two_months(tiered)
    with tiered.connection() as connection:
        assert list_aggregates(connection) == ()
    assert pending(tiered) == 0
    with hold_aggregates(tiered.database):
        assert refresh_aggregates(tiered.database).days == 0


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """Writes a configuration that asks for aggregates, and returns its settings for a database."""
    universe = {"instruments": [{"symbol": "AAA", "provider": "simulated", "timeframes": ["1m"], "calendar": "24/7"}]}
    (tmp_path / "universe.yaml").write_text(yaml.safe_dump(universe))
    (tmp_path / "lifecycle.yaml").write_text("continuous_aggregates: [5m, 1h]\n")

    def settings(url: str) -> Settings:
        monkeypatch.setenv("CHANDLERY_DATABASE_URL", url)
        monkeypatch.setenv("CHANDLERY_CONFIG", str(tmp_path))
        monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
        return Settings()

    return settings


def test_init_makes_and_fills_them_where_the_edition_can(
    database_url: str, config: Callable[[str], Settings], edition_server: Server, tmp_path: Path
) -> None:
    installation, _ = Installation.create(config(database_url))
    warehouse = installation.warehouse
    can = edition_server.edition == "community"
    assert installation.refused_aggregates == (() if can else (M5, H1))
    said = CliRunner().invoke(app, ["init"], obj=Session(NoOrchestrator))  # type: ignore[arg-type]
    assert ("kept by the server" if can else "none: lifecycle.yaml asks for 5m 1h, which takes") in said.output
    put(warehouse, M1, a_day("AAA", "2024-03-20"))
    derive(warehouse)
    (tmp_path / "lifecycle.yaml").write_text("continuous_aggregates: [15m]\n")
    again, _ = Installation.create(config(database_url))
    with warehouse.connection() as connection:
        assert list_aggregates(connection) == ((M15,) if can else ())
    if can:
        assert check(warehouse, M15) == 96
    warehouse.close()
    again.warehouse.close()
