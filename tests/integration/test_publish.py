"""Publishing, case by case: what is refused, how sessions are counted, and how partitions come to be."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import psycopg
import pyarrow as pa
import pytest
from psycopg.pq import TransactionStatus

from chandlery.app.installation import ROOM_AHEAD, Installation
from chandlery.core.schema import empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.postgres import PostgresEdition
from chandlery.errors import ConfigurationError, StoreError, UnknownSymbolError, UsageError
from chandlery.publishing.publish import publish
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, coverage, every_row, get, put, register, rows, table, utc

pytestmark = pytest.mark.every_edition

NOON = utc("2024-06-03T16:00")


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, {"AAA": "XNYS", "BTC/USD": "24/7"})


def everything(warehouse: Warehouse) -> dict[str, list[str]]:
    with warehouse.connection() as connection:
        return every_row(connection)


def partitions(warehouse: Warehouse, timeframe: Timeframe) -> list[tuple[str, str]]:
    with warehouse.connection() as connection:
        return connection.execute(
            "SELECT relname::text, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition AND oid IN"
            " (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%s)) ORDER BY 1",
            (f'market."{timeframe.table}"',),
        ).fetchall()


@pytest.mark.parametrize(
    ("bars", "error", "text"),
    [
        (
            [Bar("AAA", NOON), Bar("AAA", NOON, close=11.5)],
            UsageError,
            "1 bar occurs twice, the first at 2024-06-03T16",
        ),
        (
            [Bar("AAA", NOON), Bar("BTC/USD", NOON), Bar("BTC/USD", NOON, close=11.5)],
            UsageError,
            "1 bar occurs twice, the first at 2024-06-03T16",
        ),
        ([Bar("AAA", NOON, high=None)], UsageError, "high has a value that is null or not finite"),
        ([Bar("AAA", NOON, open=float("nan"))], UsageError, "open has a value that is null or not finite"),
        ([Bar("AAA", NOON, low=float("-inf"))], UsageError, "low has a value that is null or not finite"),
        ([Bar("AAA", NOON), Bar("ZZZ", NOON), Bar("YYY", NOON)], UnknownSymbolError, "YYY, ZZZ: not registered"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_written(
    warehouse: Warehouse, ids: dict[str, int], bars: list[Bar], error: type[Exception], text: str
) -> None:
    put(warehouse, Timeframe.M1, [Bar("AAA", NOON)])
    before = everything(warehouse)
    with pytest.raises(error, match=text):
        put(warehouse, Timeframe.M1, bars)
    assert everything(warehouse) == before


@pytest.mark.parametrize("name", ["symbol", "ts", "source"])
def test_a_key_or_source_that_is_null_is_refused(warehouse: Warehouse, ids: dict[str, int], name: str) -> None:
    bars = table([Bar("AAA", NOON)])
    place = bars.schema.get_field_index(name)
    with pytest.raises(UsageError, match="must not be null"):
        put(warehouse, Timeframe.M1, bars.set_column(place, name, pa.nulls(1, bars.schema.field(name).type)))


def test_a_table_without_rows_writes_nothing(warehouse: Warehouse, ids: dict[str, int]) -> None:
    before = everything(warehouse)
    report = put(warehouse, Timeframe.M1, empty_bars())
    assert (report.inserted, report.revised, report.unchanged, len(report.changes)) == (0, 0, 0, 0)
    assert everything(warehouse) == before


def test_names_in_a_dictionary_that_no_row_uses_need_not_be_registered(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    bars = table([Bar("AAA", NOON), Bar("ZZZ", NOON)]).slice(0, 1)
    assert put(warehouse, Timeframe.M1, bars).ids == {"AAA": ids["AAA"]}


def test_a_restatement_keeps_the_earlier_values_with_the_time_they_were_believed(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    first = put(warehouse, Timeframe.M1, [Bar("AAA", NOON, close=11.0, source="test:one")])
    second = put(warehouse, Timeframe.M1, [Bar("AAA", NOON, close=11.5, source="test:two")])
    assert (second.inserted, second.revised, second.unchanged) == (0, 1, 0)
    with warehouse.connection() as connection:
        kept = connection.execute(
            "SELECT timeframe, close, s.name, known_at, superseded_at FROM market.bars_revision AS r"
            " JOIN market.source AS s ON s.source_id = r.source"
        ).fetchall()
    assert kept == [("1m", 11.0, "test:one", first.known_at, second.known_at)]


def test_a_publication_is_logged_only_if_it_changed_something(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = [Bar("AAA", NOON), Bar("BTC/USD", NOON + timedelta(minutes=3))]
    report = put(warehouse, Timeframe.M1, bars)
    put(warehouse, Timeframe.M1, bars)
    with warehouse.connection() as connection:
        log = connection.execute(
            "SELECT timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, origin"
            " FROM ops.publication"
        ).fetchall()
    assert log == [("1m", report.known_at, 2, 0, 0, NOON, NOON + timedelta(minutes=3), 2, "ingest")]


def test_a_failure_inside_the_callers_transaction_takes_the_publication_with_it(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    before = everything(warehouse)

    def fail() -> None:
        with warehouse.connection() as connection, connection.transaction():
            publish(connection, warehouse, Timeframe.M1, table([Bar("AAA", NOON)]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert everything(warehouse) == before


# Coverage ------------------------------------------------------------------------------------------------------------


def minutes(symbol: str, start: str, end: str) -> list[Bar]:
    first, last = utc(start), utc(end)
    return [Bar(symbol, first + timedelta(minutes=n)) for n in range((last - first) // timedelta(minutes=1))]


def test_bars_are_counted_with_their_session_inside_or_outside(warehouse: Warehouse, ids: dict[str, int]) -> None:
    # The half day of 2023-11-24 closes at 18:00Z; with extended hours from 09:00Z to 22:00Z.
    put(warehouse, Timeframe.M1, minutes("AAA", "2023-11-24T09:00", "2023-11-24T22:00"))
    # A full day.
    put(warehouse, Timeframe.M1, minutes("AAA", "2023-11-27T14:30", "2023-11-27T21:00"))
    with warehouse.connection() as connection:
        counted = [row[1:4] for row in coverage(connection)]
    assert counted == [(date(2023, 11, 24), 210, 570), (date(2023, 11, 27), 390, 0)]


def test_coverage_adds_up_over_publications_and_counts_no_bar_twice(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, Timeframe.M1, minutes("AAA", "2024-06-03T15:00", "2024-06-03T15:10"))
    put(warehouse, Timeframe.M1, minutes("AAA", "2024-06-03T15:05", "2024-06-03T15:20"))
    put(
        warehouse,
        Timeframe.M1,
        [bar._replace(close=9.5) for bar in minutes("AAA", "2024-06-03T14:55", "2024-06-03T15:20")],
    )
    with warehouse.connection() as connection:
        assert coverage(connection) == [
            (ids["AAA"], date(2024, 6, 3), 25, 0, utc("2024-06-03T14:55"), utc("2024-06-03T15:19"))
        ]


def test_bars_outside_of_trading_add_up_over_publications(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, Timeframe.M1, minutes("AAA", "2024-06-03T20:05", "2024-06-03T20:10"))
    put(warehouse, Timeframe.M1, minutes("AAA", "2024-06-03T20:08", "2024-06-03T20:20"))
    with warehouse.connection() as connection:
        assert [row[1:4] for row in coverage(connection)] == [(date(2024, 6, 3), 0, 15)]


def test_a_day_of_an_instrument_that_never_closes_has_1440_minutes(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, Timeframe.M1, minutes("BTC/USD", "2024-03-09T00:00", "2024-03-11T00:00"))
    with warehouse.connection() as connection:
        assert [row[1:4] for row in coverage(connection)] == [(date(2024, 3, 9), 1440, 0), (date(2024, 3, 10), 1440, 0)]


def test_bars_of_a_day_are_their_own_coverage(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2024-06-03"))])
    with warehouse.connection() as connection:
        assert connection.execute("SELECT count(*) FROM ops.coverage").fetchone() == (0,)


# Partitions ----------------------------------------------------------------------------------------------------------


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize(
    ("timeframe", "moments", "expected"),
    [
        (
            Timeframe.M1,
            ["2023-12-31T23:59", "2024-01-01", "2024-02-29"],
            ["bars_1m_2023_12", "bars_1m_2024_01", "bars_1m_2024_02"],
        ),
        (Timeframe.H1, ["2023-12-31T23:00", "2024-01-01"], ["bars_1h_2023", "bars_1h_2024"]),
        (Timeframe.D1, ["1999-12-31", "2000-01-03", "2010-01-04"], ["bars_1d_1990s", "bars_1d_2000s", "bars_1d_2010s"]),
        (Timeframe.MO1, ["1969-12-01", "1970-01-02"], ["bars_1mo_1960s", "bars_1mo_1970s"]),
    ],
)
def test_partitions_are_made_on_demand(
    warehouse: Warehouse, ids: dict[str, int], timeframe: Timeframe, moments: list[str], expected: list[str]
) -> None:
    bars = [Bar("AAA", utc(moment)) for moment in moments]
    put(warehouse, timeframe, bars)
    made = partitions(warehouse, timeframe)
    assert [name for name, _ in made] == expected
    # Half-open spans that join without a gap.
    ends = [bounds.split("TO")[1] for _, bounds in made]
    starts = [bounds.split("FROM")[1].split("TO")[0].strip() for _, bounds in made]
    assert [end.strip() for end in ends[:-1]] == starts[1:]
    put(warehouse, timeframe, [bar._replace(close=9.5) for bar in bars])
    assert partitions(warehouse, timeframe) == made
    assert rows(get(warehouse, timeframe, ids)) == [bar._replace(close=9.5) for bar in bars]


@pytest.mark.only_on("postgres")
def test_two_connections_that_want_the_same_partitions_both_get_them(warehouse: Warehouse) -> None:
    first, last = utc("2023-01-01"), utc("2023-12-31")
    barrier = threading.Barrier(2)
    errors: list[BaseException] = []

    def prepare() -> None:
        try:
            with warehouse.connection() as connection, connection.transaction():
                barrier.wait()
                PostgresEdition().prepare(connection, Timeframe.M1, first, last)
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(partitions(warehouse, Timeframe.M1)) == 12


@pytest.mark.only_on("postgres")
def test_a_partition_in_the_making_lets_readers_and_writers_of_others_go_on(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    put(warehouse, Timeframe.M1, [Bar("AAA", NOON)])
    with psycopg.connect(warehouse.database.dsn) as maker:
        PostgresEdition().prepare(maker, Timeframe.M1, utc("2025-01-01"), utc("2025-01-01"))
        with warehouse.connection() as connection:
            connection.execute("SET lock_timeout = '2s'")
            connection.execute("SELECT count(*) FROM market.bars_1m")
            connection.execute("UPDATE market.bars_1m SET volume = 1")
        maker.rollback()
    assert [name for name, _ in partitions(warehouse, Timeframe.M1)] == ["bars_1m_2024_06"]


# The installation ----------------------------------------------------------------------------------------------------


def test_an_installation_can_be_created_twice_and_then_opened(
    tmp_path: object, database_url: str, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
    created, report = Installation.create(Settings())
    again, nothing = Installation.create(Settings())
    assert report.added
    assert (nothing.added, nothing.changed) == ([], [])
    opened = Installation.open(Settings())
    now = datetime.now(UTC)
    for timeframe in Timeframe:
        assert (
            put(opened.warehouse, timeframe, [Bar(report.added[0], now + ROOM_AHEAD - timedelta(days=1))]).inserted == 1
        )
    for installation in (created, again, opened):
        installation.warehouse.close()


def test_a_database_without_a_schema_says_what_to_run(
    server: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(server)
    for name, text in (
        ("postgres", "no schema yet; run `chandlery init`"),
        ("nowhere", "run `chandlery init` to create"),
    ):
        monkeypatch.setenv("CHANDLERY_DATABASE_URL", f"postgresql://{parts['user']}@/{name}?host={parts['host']}")
        monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
        with pytest.raises(StoreError, match=text):
            Installation.open(Settings())


def test_a_url_of_another_kind_of_database_is_refused(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", "mysql://u:secret@localhost/x")
    with pytest.raises(ConfigurationError, match="not a PostgreSQL URL") as caught:
        Warehouse.open(Settings())
    assert "secret" not in str(caught.value)


def test_a_live_batch_that_fails_leaves_not_even_the_partition_it_made(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "XNYS"})
    with warehouse.connection() as connection:
        connection.execute("ALTER TABLE ops.publication ADD CHECK (origin <> 'ingest')")
    with pytest.raises(StoreError, match="publication_origin_check"):
        put(warehouse, Timeframe.M1, [Bar("AAA", utc("2031-05-05T15:00"))])
    with warehouse.connection() as connection:
        # Its locks would have gone with a transaction that ended early.
        assert connection.execute("SELECT to_regclass('market.bars_1m_2031_05')").fetchone() == (None,)


def test_a_connection_on_which_a_live_batch_failed_can_be_used_further(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    with psycopg.connect(warehouse.database.dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE ops.publication ADD CHECK (origin <> 'ingest')")
        with pytest.raises(psycopg.errors.CheckViolation):
            publish(connection, warehouse, Timeframe.M1, table([Bar("AAA", utc("2024-01-02T15:00"))]))
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert connection.execute("SELECT count(*) FROM market.bars_1m").fetchone() == (0,)
