"""Migrations there and back: nothing that a person entered is lost, and a database that is another one is named."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from pydantic import SecretStr

from chandlery.app.installation import Installation
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.halts import record_halts
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.coverage.session_states import count_states
from chandlery.database.migrate import REVISION, current_revision, migrate
from chandlery.database.schema_check import check_tables, find_differences
from chandlery.errors import StoreError
from chandlery.instruments.halts import Halt
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.instruments.sessions import sync_sessions
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse
from tests.integration.test_cli import CONFIG
from tests.support import Bar, every_row, put, register, utc

M1, D1 = Timeframe.M1, Timeframe.D1
NOW = utc("2026-01-01")


def fill(warehouse: Warehouse, connection: psycopg.Connection) -> Instrument:
    """Put in all that a person or a provider told us: bars with gaps, requests, halts, an answer, an archived file."""
    register(warehouse, {"AAA": "XNYS", "KEPT": "XNYS", "GONE": "XNYS"})
    connection.execute("UPDATE market.instrument SET in_universe = symbol = 'KEPT' WHERE symbol IN ('KEPT', 'GONE')")
    instrument = load_instruments(connection)["AAA"]
    sync_sessions(connection, ["XNYS"])
    calendar = get_calendar("XNYS")
    days = calendar.between(utc("2024-01-08"), utc("2024-01-13"))
    opens = [utc("1970-01-01") + timedelta(microseconds=int(each)) for each in calendar.opens[days]]
    minutes = [ts + timedelta(minutes=minute) for ts in opens for minute in range(390) if minute % 3]
    put(warehouse, M1, [Bar("AAA", ts) for ts in minutes])
    put(warehouse, D1, [Bar("AAA", utc(f"2024-01-{day:02}")) for day in (8, 9, 11)])
    for timeframe in (M1, D1):
        asked = RequestedRange(instrument.instrument_id, "XNYS", utc("2024-01-08"), utc("2024-01-13"), NOW)
        record_requested(connection, timeframe, [asked], now=NOW)
    record_halts(connection, [Halt("AAA", utc("2024-01-10T15:00"), utc("2024-01-10T16:00"), "LULD")])
    measure_missing_runs(connection, [instrument.instrument_id])
    connection.execute(
        "INSERT INTO ops.landing (provider, timeframe, symbols, start_ts, end_ts, fetched_at, row_count, path,"
        " checksum, writer, processed_at)"
        " VALUES ('one', '1m', '{AAA}', now(), now(), now(), 1, 'one/1', '\\x00', 1, now())"
    )
    connection.execute(
        "INSERT INTO ops.retry_schedule (instrument_id, timeframe, session, next_try) VALUES (%s, '1d', %s, now())",
        (instrument.instrument_id, date(2024, 1, 10)),
    )
    return instrument


def archive_one(connection: psycopg.Connection, *, cold: bool) -> None:
    """Enter a file of the lake that holds January's minutes, and let a person keep the window for a while."""
    connection.execute(
        "INSERT INTO ops.manifest (timeframe, start, until, version, path, bytes, footer_digest, row_count, digest,"
        " verified_at) VALUES ('1m', '2024-01-01', '2024-02-01', 1, 'x', 1, '', 1, '', now())"
    )
    connection.execute(
        "UPDATE ops.bar_window SET manifest_id = 1, archived_change = changed_at, keep_until = '2030-01-01', cold = %s,"
        " sources = CASE WHEN %s THEN '{1}'::smallint[] END WHERE timeframe = '1m'",
        (cold, cold),
    )


@pytest.mark.every_edition
def test_the_tables_of_each_edition_are_those_that_are_expected(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        assert find_differences(connection) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE ops.rate_limit DROP COLUMN paused_until", "missing: column ops.rate_limit.paused_until"),
        (
            "ALTER TABLE ops.retry_schedule ALTER tries DROP NOT NULL",
            "missing: column ops.retry_schedule.tries integer",
        ),
        ("ALTER TABLE ops.landing ADD COLUMN extra int", "unknown: column ops.landing.extra integer"),
        ("ALTER TABLE market.halt DROP CONSTRAINT halt_check", "missing: constraint market.halt CHECK"),
        ("DROP INDEX ops.publication_known_at", "missing: index ops.publication btree (timeframe, known_at)"),
        ("DROP TABLE ops.finalized", "missing: column ops.finalized.final_at"),
        ("CREATE INDEX of_a_person ON ops.publication (origin)", None),
    ],
)
def test_init_names_what_is_not_as_it_should_be_instead_of_being_ready(
    database_url: str, tmp_path: Path, change: str, said: str | None
) -> None:
    """Two migrations had been edited after homes were made by them: these said that they were ready, and failed."""
    with psycopg.connect(conninfo.make_conninfo(database_url), autocommit=True) as owner:
        owner.execute(change)  # type: ignore[arg-type]
        if said is None:
            check_tables(owner)
            return
    settings = Settings(database_url=SecretStr(database_url), home_override=tmp_path, config_override=CONFIG)
    with pytest.raises(StoreError, match="tables are not those of this version") as caught:
        Installation.create(settings)
    assert said in str(caught.value)


def test_a_way_back_that_is_refused_changes_nothing(warehouse: Warehouse) -> None:
    """Halts and requests were gone when the last step refused, because windows are in the lake alone."""
    with warehouse.connection() as connection:
        fill(warehouse, connection)
        archive_one(connection, cold=True)
        before = every_row(connection)
        with pytest.raises(StoreError, match="in the lake alone"):
            migrate(connection, "0001")
        assert current_revision(connection) == REVISION
        assert every_row(connection) == before
        with pytest.raises(StoreError, match="holds bars, halts or quarantined rows"):
            migrate(connection, "base")
        assert every_row(connection) == before


@pytest.mark.parametrize("revision", [f"{number:04}" for number in range(1, int(REVISION))])
def test_the_way_back_and_forth_keeps_everything_that_is_known(warehouse: Warehouse, revision: str) -> None:
    with warehouse.connection() as connection:
        instrument = fill(warehouse, connection)
        archive_one(connection, cold=False)
        before = every_row(connection)
        states = count_states(connection, [instrument], M1, date(2024, 1, 8), date(2024, 1, 13), now=NOW)
        migrate(connection, revision)
        assert current_revision(connection) == revision
        migrate(connection)
        after = every_row(connection)
        measure_missing_runs(connection, [instrument.instrument_id])
        assert count_states(connection, [instrument], M1, date(2024, 1, 8), date(2024, 1, 13), now=NOW) == states
        for table in ("ops.coverage", "ops.publication"):  # measured again, and what a publication came from
            before.pop(table), after.pop(table)
        assert after == before
        check_tables(connection)


def test_coverage_knows_after_an_upgrade_what_a_new_home_knows(warehouse: Warehouse) -> None:
    """Sessions were partial that a new home calls without trades, because nobody had noted what was requested."""
    with warehouse.connection() as connection:
        instrument = fill(warehouse, connection)
        days = date(2024, 1, 8), date(2024, 1, 13)
        expected = [count_states(connection, [instrument], each, *days, now=NOW) for each in (M1, D1)]
        connection.execute("TRUNCATE ops.requested, ops.finalized")
        assert count_states(connection, [instrument], M1, *days, now=NOW) != expected[0]
        migrate(connection, "0012")
        migrate(connection)
        # The last session with a bar of the days is the eleventh: nobody knows whether the twelfth was requested.
        assert count_states(connection, [instrument], M1, *days, now=NOW) == expected[0]
        known = date(2024, 1, 8), date(2024, 1, 12)
        found = count_states(connection, [instrument], D1, *known, now=NOW)
        connection.execute("TRUNCATE ops.requested, ops.finalized")
        asked = RequestedRange(instrument.instrument_id, "XNYS", utc("2024-01-08"), utc("2024-01-12"), NOW)
        record_requested(connection, D1, [asked], now=NOW)
        assert found == count_states(connection, [instrument], D1, *known, now=NOW)
