"""Instruments in the database: what a name means on a day, and a sync that says what it changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import psycopg
import pytest

from chandlery.config.universe import AliasConfig, InstrumentConfig
from chandlery.coverage.halts import record_halts, remove_halt
from chandlery.database.connections import Database
from chandlery.errors import AmbiguousSymbolError, UnknownSymbolError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.halts import Halt, list_halts
from chandlery.instruments.registry import list_instruments, load_instruments, sync_instruments
from chandlery.instruments.sessions import sync_sessions
from tests.support import every_row, utc


def alias(ticker: str, start: str | None = None, end: str | None = None) -> AliasConfig:
    return AliasConfig.model_validate(
        {"ticker": ticker, "from": start and date.fromisoformat(start), "until": end and date.fromisoformat(end)}
    )


def instrument(symbol: str, *aliases: AliasConfig, **more: object) -> InstrumentConfig:
    return InstrumentConfig(symbol=symbol, calendar="XNYS", provider="simulated", aliases=aliases, **more)


#: META was FB until 2022-06-09; a later fund took the ticker FB over on that day.
UNIVERSE = [
    instrument("META", alias("FB", "2012-05-18", "2022-06-09")),
    instrument("FUND", alias("FB", "2022-06-09", None)),
    instrument("GOOGL", alias("GOOG.OLD", None, "2014-04-03")),
]


@pytest.fixture
def connection(database: Database) -> psycopg.Connection:
    with database.connection() as connection:
        sync_instruments(connection, UNIVERSE)
        return connection


@pytest.mark.parametrize(
    ("ticker", "start", "end", "expected"),
    [
        ("META", "2000-01-01", "2030-01-01", "META"),  # a canonical symbol is valid always
        ("FB", "2012-05-18", "2022-06-09", "META"),  # the whole range of the alias, half-open
        ("FB", "2022-06-08", "2022-06-09", "META"),
        ("FB", "2022-06-08T14:00", "2022-06-08T20:00", "META"),
        ("FB", "2022-06-09", "2022-06-10", "FUND"),
        ("FB", "2000-01-01", "2013-01-01", "META"),  # partly before it was listed
        ("GOOG.OLD", "1990-01-01", "1990-02-01", "GOOGL"),
    ],
)
def test_a_ticker_names_the_instrument_it_meant_on_those_days(
    connection: psycopg.Connection, ticker: str, start: str, end: str, expected: str
) -> None:
    assert resolve(connection, ticker, utc(start), utc(end)).symbol == expected


def test_a_ticker_that_passed_to_another_instrument_within_the_range_is_ambiguous(
    connection: psycopg.Connection,
) -> None:
    with pytest.raises(AmbiguousSymbolError, match=r"symbol 'FB' named (META, FUND|FUND, META) within 2022-06-08"):
        resolve(connection, "FB", utc("2022-06-08"), utc("2022-06-09T00:01"))


@pytest.mark.parametrize(
    ("ticker", "start", "end", "text"),
    [
        (
            "FB",
            "2000-01-01",
            "2012-05-18",
            "it named META from 2012-05-18 until 2022-06-09; it named FUND from 2022-06-09 until now",
        ),
        ("GOOG.OLD", "2014-04-03", "2015-01-01", "it named GOOGL from ever until 2014-04-03"),
        ("METAA", "2014-04-03", "2015-01-01", "did you mean META"),
        ("QQQQQQ", "2014-04-03", "2015-01-01", "`chandlery ingest` registers new symbols"),
    ],
)
def test_a_name_that_means_nothing_then_is_explained(
    connection: psycopg.Connection, ticker: str, start: str, end: str, text: str
) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        resolve(connection, ticker, utc(start), utc(end))
    assert text in str(caught.value)


def test_a_sync_reports_what_it_changed_and_repeating_it_changes_nothing(database: Database) -> None:
    with database.connection() as connection:
        first = sync_instruments(connection, UNIVERSE)
        assert (first.added, first.changed) == (["META", "FUND", "GOOGL"], [])
        before = every_row(connection), _sessions(connection)
        again = sync_instruments(connection, UNIVERSE)
        assert (again.added, again.changed) == ([], [])
        assert (every_row(connection), _sessions(connection)) == before


def test_ids_are_permanent_and_an_instrument_left_out_stays(connection: psycopg.Connection) -> None:
    before = list_instruments(connection)
    report = sync_instruments(connection, [instrument("GOOGL", name="Alphabet"), instrument("NEW")])
    assert (report.added, report.changed) == (["NEW"], ["GOOGL"])
    after = load_instruments(connection)
    assert {old.symbol: old.instrument_id for old in before}.items() <= {
        s: i.instrument_id for s, i in after.items()
    }.items()
    assert after["GOOGL"].name == "Alphabet"


def test_an_alias_alone_counts_as_a_change_and_one_left_out_goes(connection: psycopg.Connection) -> None:
    longer = [instrument("GOOGL", alias("GOOG.OLD", None, "2014-04-04"))]
    assert sync_instruments(connection, longer).changed == ["GOOGL"]
    assert sync_instruments(connection, longer).changed == []
    assert sync_instruments(connection, [instrument("GOOGL")]).changed == ["GOOGL"]
    with pytest.raises(UnknownSymbolError):
        resolve(connection, "GOOG.OLD", utc("2010-01-01"), utc("2011-01-01"))


@pytest.mark.parametrize("day", ["2012-05-18", "2022-06-08"], ids=["its first day", "its last day"])
def test_a_halt_is_recorded_and_removed_under_the_alias_of_its_day(connection: psycopg.Connection, day: str) -> None:
    start = utc(day)
    halt = Halt("FB", start, start + timedelta(hours=1), "T1")
    record_halts(connection, [halt])
    assert remove_halt(connection, "FB", start) == replace(halt, symbol="META")
    assert list_halts(connection) == []


def test_an_alias_may_move_to_another_instrument(connection: psycopg.Connection) -> None:
    moved = [instrument("NEW", alias("GOOG.OLD", None, "2014-04-03")), instrument("GOOGL")]
    sync_instruments(connection, moved)
    assert resolve(connection, "GOOG.OLD", utc("2010-01-01"), utc("2011-01-01")).symbol == "NEW"


def test_sessions_are_those_of_the_calendar_and_one_that_is_none_anymore_goes(connection: psycopg.Connection) -> None:
    before = _sessions(connection)
    half = [row for row in before if row[0] == date(2023, 11, 24)]
    assert half == [(date(2023, 11, 24), utc("2023-11-24T14:30"), utc("2023-11-24T18:00"))]
    # What an older version of the calendar may have said: a session on a holiday, another close, one that is missing.
    connection.execute(
        "INSERT INTO market.session VALUES ('XNYS', '2024-12-25', '2024-12-25 14:30Z', '2024-12-25 21:00Z', 'older')"
    )
    connection.execute("UPDATE market.session SET close = '2023-11-24 21:00Z' WHERE session = '2023-11-24'")
    connection.execute("DELETE FROM market.session WHERE session = '2024-06-03'")
    sync_sessions(connection, ["XNYS"])
    assert _sessions(connection) == before


def _sessions(connection: psycopg.Connection) -> list[tuple[date, datetime, datetime]]:
    return connection.execute("SELECT session, open, close FROM market.session ORDER BY 1").fetchall()
