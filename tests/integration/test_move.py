"""Moving everything to another server: it arrives bit for bit, or somebody hears why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import conninfo
from typer.testing import CliRunner, Result

from chandlery import DataAPI
from chandlery.cli import app
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.coverage.retry_schedule import RetrySession, schedule_next_try
from chandlery.database.connections import Database
from chandlery.database.dsn import hide_password
from chandlery.errors import StoreError, UsageError
from chandlery.ingest import rejected_rows
from chandlery.ingest.gate import REJECTED, Check, Verdict
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.instruments.sessions import sync_sessions
from chandlery.lake.store import Lake
from chandlery.ops.move.contents import TablePart, checksum, list_tables
from chandlery.ops.move.destination import set_up
from chandlery.ops.move.move import move
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.editions import COMMUNITY_URL, NO_COMMUNITY_SERVER
from tests.support import EVER, Bar, every_row, instruments_of, open_warehouse, put, register, table, utc

SYMBOLS = {"AAA": "XNYS", "BTC/USD": "24/7"}
#: What rounding, text or a lesser comparison would lose.
ODD = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789]
LATER = utc("2024-06-01")
ANSWERS = [("AAA", "1d", None), ("AAA", "1d", LATER), ("BTC/USD", "1m", None), ("BTC/USD", "1m", LATER)]


class Listener:
    """Remembers what it heard, and does something else after each part that was copied."""

    def __init__(self, after: Callable[[TablePart], None] = lambda part: None) -> None:
        self.after = after
        self.copies: list[str] = []
        self.kept_parts: list[str] = []
        self.plan = (0, 0)

    def planned(self, parts: int, rows: int) -> None:
        self.plan = (parts, rows)

    def copying(self, part: TablePart) -> None:
        """Not remembered."""

    def copied(self, part: TablePart, rows: int) -> None:
        self.copies.append(str(part))
        self.after(part)

    def kept(self, part: TablePart) -> None:
        self.kept_parts.append(str(part))

    def verified(self, part: TablePart) -> None:
        """Not remembered."""


class InterruptedMoveError(Exception):
    """Stands for whatever ends a process."""


def interrupt_after(number: int) -> Listener:
    def stop(part: TablePart) -> None:
        if len(listener.copies) == number:
            raise InterruptedMoveError

    listener = Listener(stop)
    return listener


@pytest.fixture
def source(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    """A database with something in every table, and a year of days that only the lake has."""
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(tmp_path / "lake"))
    register(warehouse, SYMBOLS)
    with warehouse.connection() as connection:
        connection.execute("INSERT INTO market.symbol_alias SELECT 'OLD', '2010-01-01', '2020-01-01', 1")
        connection.execute(
            "INSERT INTO market.corporate_action (instrument_id, ex_date, kind, amount, source)"
            " VALUES (1, '2020-08-31', 'split', 4.00, 'test'), (1, '2020-09-01', 'dividend', 0.205, 'test')"
        )
        sync_sessions(connection, SYMBOLS.values())
    for timeframe, bars in ((Timeframe.D1, days()), (Timeframe.M1, minutes())):
        put(warehouse, timeframe, bars, now=utc("2024-03-01T00:00:00.000001"))
        restated = [bar._replace(close=bar.open, trades=None) for bar in bars[::7]]
        put(warehouse, timeframe, restated, now=utc("2024-09-01"))
    with warehouse.connection() as connection:
        for base in (Timeframe.M1, Timeframe.D1):
            list(catch_up(warehouse, base, list_instruments(connection), *EVER))
        rejected_rows.store_rejected(connection, rejected(instruments_of(warehouse)["BTC/USD"]), "simulated")
        ask(connection)
        list(archive(warehouse, find_due(connection, Timeframe.D1, utc("2000-01-01"))))
    put(warehouse, Timeframe.M1, [Bar("BTC/USD", utc("2024-02-29T23:30"), close=11.5)])  # is not rolled up
    assert apply_retention(warehouse, Timeframe.D1, utc("1990-01-01")).released == [("AAA", "1989")]
    yield warehouse
    warehouse.close()


def ask(connection: psycopg.Connection) -> None:
    """Leave what asking a provider leaves, and a halt."""
    asked = [
        RequestedRange(1, "XNYS", utc(f"{year}-01-01"), utc(f"{year}-03-01"), utc("2024-03-01"))
        for year in (2022, 2024)
    ]
    record_requested(connection, Timeframe.D1, asked)
    schedule_next_try(
        connection, Timeframe.D1, [RetrySession(1, "AAA", utc("2024-01-02").date(), 0)], utc("2024-03-01")
    )
    connection.execute("INSERT INTO ops.rate_limit (name, due) VALUES ('alpaca:1', '2024-03-01')")
    connection.execute(
        "INSERT INTO ops.landing"
        " (provider, timeframe, symbols, start_ts, end_ts, fetched_at, row_count, path, checksum, writer)"
        " VALUES ('alpaca', '1d', %s, '2024-01-01', '2024-03-01', '2024-03-01', 7, 'a/b', %s, 9)",
        (["AAA", "B,C"], b"\x00\xff"),
    )
    connection.execute(
        "INSERT INTO ops.finding (instrument_id, timeframe, rule, scope, spans, evidence)"
        " VALUES (1, '1d', 'price_jump', '2024', '{[2024-01-02T00:00Z,2024-01-03T00:00Z)}', '{}')"
    )
    connection.execute(
        "INSERT INTO ops.released_bar SELECT 1, '1m', '2024-01-02T15:00Z', '2024-03-01', quarantine_id, '{on_grid}'"
        " FROM ops.quarantine"
    )
    connection.execute("INSERT INTO market.halt VALUES (1, '2024-01-02T15:00Z', '2024-01-02T15:05Z', 'volatility')")


def days() -> list[Bar]:
    return [
        Bar("AAA", utc(f"{year}-01-04") + timedelta(days=n), open=value, high=value, low=value, vwap=-0.0, volume=None)
        for year in (1989, 1999, 2009, 2010, 2024)
        for n, value in enumerate(ODD)
    ]


def minutes() -> list[Bar]:
    return [
        Bar("BTC/USD", start + timedelta(minutes=n), volume=ODD[n % 3], vwap=None if n % 4 else 10.5)
        for start in (utc("2023-12-31T23:00"), utc("2024-02-29T23:30"))
        for n in range(120)
    ]


def rejected(instrument: Instrument) -> Verdict:
    partition = Partition.of(instrument, Timeframe.M1, Timeframe.M1.window("2024-06"))
    bad = table([Bar("BTC/USD", utc("2024-06-03"), high=8.0)])
    rows = bad.append_column("reasons", pa.array([["high_is_highest"]])).cast(REJECTED)
    return Verdict(partition, False, 1, [Check("high_is_highest", "critical", passed=False, failed_rows=1)], rows)


@pytest.fixture
def target(server: str, tmp_path: Path) -> Iterator[Warehouse]:
    """A database that is not there yet, with the same lake."""
    dsn = conninfo.make_conninfo(server, dbname="moved")
    warehouse = Warehouse(Database(dsn), Lake(tmp_path / "lake"))
    yield warehouse
    warehouse.close()
    _drop(dsn)


def _drop(dsn: str) -> None:
    name = conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(conninfo.make_conninfo(dsn, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


def content(warehouse: Warehouse) -> dict[str, list[str]]:
    """Return every row, the sessions' included, as text that tells any two doubles apart."""
    with warehouse.connection() as connection:
        found = every_row(connection)
        found["market.session"] = [
            row[0] for row in connection.execute("SELECT s::text FROM market.session s ORDER BY 1")
        ]
    return found


def answers(warehouse: Warehouse) -> list[object]:
    api = DataAPI(warehouse)
    return [
        api.get_ohlc(symbol, "1980-01-01", "2025-01-01", timeframe, as_of=as_of, output="arrow").to_pydict()
        for symbol, timeframe, as_of in ANSWERS
    ]


def is_there(warehouse: Warehouse) -> bool:
    try:
        psycopg.connect(warehouse.database.dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def test_everything_arrives_bit_for_bit_and_the_source_stays_as_it_is(source: Warehouse, target: Warehouse) -> None:
    before = content(source)
    # There are no aggregates on this server, for which days would wait.
    assert [name for name, rows in before.items() if not rows] == ["ops.aggregate_pending"]
    found = answers(source)
    listener = Listener()
    report = move(source.database, target.database, listener)
    assert content(source) == before
    assert content(target) == before
    assert answers(target) == found
    rows = sum(map(len, before.values()))
    assert (report.rows, report.copied_rows, listener.plan) == (rows, rows, (report.parts, rows))
    assert {"market.bars_1m 2023-12", "market.bars_1d 1999", "market.bars_revision 2024"} <= set(listener.copies)


def test_the_moved_database_goes_on_where_the_source_was(source: Warehouse, target: Warehouse) -> None:
    move(source.database, target.database, Listener())
    bars = [Bar("NEW", utc("2024-07-01"), source="test:new"), Bar("AAA", utc("2031-01-02"))]
    ids = []
    for warehouse in (source, target):
        ids.append(register(warehouse, {"NEW": "XNYS"}))
        put(warehouse, Timeframe.D1, bars, now=utc("2024-10-01"))
    assert ids[0] == ids[1]
    assert content(target) == content(source)


def test_moving_again_finds_nothing_to_do(source: Warehouse, target: Warehouse) -> None:
    first = move(source.database, target.database, Listener())
    again = move(source.database, target.database, Listener())
    assert (again.parts, again.rows) == (first.parts, first.rows)
    assert (again.copied_parts, again.copied_rows) == (0, 0)


def test_a_database_that_went_its_own_way_after_the_move_is_not_touched(source: Warehouse, target: Warehouse) -> None:
    move(source.database, target.database, Listener())
    put(target, Timeframe.D1, [Bar("AAA", utc("2024-07-01"))])
    before = content(target)
    with pytest.raises(UsageError, match="something else"):
        move(source.database, target.database, Listener())
    assert content(target) == before


def test_a_database_with_other_content_is_not_touched(source: Warehouse, target: Warehouse) -> None:
    move(source.database, target.database, Listener())
    with target.connection() as connection:
        connection.execute("DELETE FROM market.bars_1d")
        before = every_row(connection)
        with pytest.raises(UsageError, match=r"something else already.*market\.bars_1m.*not touched"):
            move(source.database, target.database, Listener())
        assert every_row(connection) == before


def test_tables_of_somebody_else_are_not_touched(source: Warehouse, target: Warehouse, server: str) -> None:
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE moved")
    with target.connection() as connection:
        connection.execute("CREATE SCHEMA market CREATE TABLE stall (fruit text)")
        with pytest.raises(UsageError, match=r"market\.stall"):
            move(source.database, target.database, Listener())
        assert connection.execute("SELECT to_regclass('ops.schema_version')").fetchone() == (None,)


def test_an_unfinished_move_of_another_database_is_not_touched(
    source: Warehouse, target: Warehouse, server: str
) -> None:
    with pytest.raises(InterruptedMoveError):
        move(source.database, target.database, interrupt_after(2))
    before = content(target)
    other = open_warehouse(conninfo.make_conninfo(server, dbname="template_of_tests"))
    with pytest.raises(UsageError, match="another database, whose move is not complete"):
        move(other.database, target.database, Listener())
    assert content(target) == before
    with pytest.raises(UsageError, match="itself the target of a move that is not complete"):
        move(target.database, other.database, Listener())
    other.close()


def test_a_database_is_not_moved_onto_itself(source: Warehouse) -> None:
    before = content(source)
    with pytest.raises(UsageError, match="name another one"):
        move(source.database, open_warehouse(source.database.dsn).database, Listener())
    assert content(source) == before


@pytest.mark.parametrize("number", [1, 4, 9])
def test_an_interrupted_move_goes_on_where_it_was(source: Warehouse, target: Warehouse, number: int) -> None:
    first = interrupt_after(number)
    with pytest.raises(InterruptedMoveError):
        move(source.database, target.database, first)
    second = Listener()
    report = move(source.database, target.database, second)
    assert content(target) == content(source)
    assert second.kept_parts == first.copies
    assert not set(second.copies) & set(second.kept_parts)
    assert report.copied_parts == len(second.copies) == report.parts - number


def test_what_changed_in_the_source_between_two_runs_arrives_too(source: Warehouse, target: Warehouse) -> None:
    with pytest.raises(InterruptedMoveError):
        move(source.database, target.database, Listener(stop_at_revisions))
    put(source, Timeframe.D1, [Bar("AAA", utc("2010-01-05"), close=11.5)])
    register(source, {"NEW": "XNYS"})
    put(source, Timeframe.M1, [Bar("NEW", utc("2024-05-01T15:00"))])
    with source.connection() as connection:
        connection.execute("DELETE FROM market.bars_1m WHERE ts < '2024-01-01'")  # as retention does
    second = Listener()
    move(source.database, target.database, second)
    assert content(target) == content(source)
    assert {"market.bars_1m 2023-12", "market.bars_1d 2010", "market.bars_1m 2024-05"} <= set(second.copies)
    assert {"market.bars_1m 2024-02", "market.bars_1d 1999"} <= set(second.kept_parts)


def stop_at_revisions(part: TablePart) -> None:
    if str(part) == "market.bars_revision 2024":
        raise InterruptedMoveError


def test_a_source_that_changes_meanwhile_is_an_error_that_says_what_to_do(source: Warehouse, target: Warehouse) -> None:
    def publish(part: TablePart) -> None:
        if str(part) == "market.bars_1d 1999":
            put(source, Timeframe.D1, [Bar("AAA", utc("1999-01-05"), close=11.5)])

    with pytest.raises(StoreError, match=r"ops\.publication.*Stop ingestion"):
        move(source.database, target.database, Listener(publish))
    second = Listener()
    move(source.database, target.database, second)
    assert "market.bars_1d 1999" in second.copies
    assert "market.bars_1d 2009" in second.kept_parts
    assert content(target) == content(source)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        ("UPDATE market.bars_1d SET vwap = 0.0 WHERE ts < '2000-01-01' AND open = 1.0 / 3", "market.bars_1d 1999"),
        ("DELETE FROM market.bars_1m WHERE ts = '2023-12-31T23:01Z'", "market.bars_1m 2023-12"),
        ("UPDATE market.bars_1m SET known_at = known_at + interval '1 microsecond'", "market.bars_1m 2024-02"),
        ("UPDATE market.bars_revision SET trades = 0 WHERE trades = 7", "market.bars_revision 2023"),
        ("UPDATE market.session SET version = '' WHERE session = '2024-01-02'", "market.session"),
    ],
)
def test_a_row_that_changed_in_the_target_is_found_named_and_mended(
    source: Warehouse, target: Warehouse, damage: str, part: str
) -> None:
    def spoil(copied: TablePart) -> None:
        if str(copied) == last_part(source):
            with target.connection() as connection:
                assert connection.execute(damage).rowcount > 0  # type: ignore[arg-type]

    with pytest.raises(StoreError, match=rf"{part}.*changed in the target after being copied"):
        move(source.database, target.database, Listener(spoil))
    again = Listener()
    move(source.database, target.database, again)
    assert part in again.copies
    assert content(target) == content(source)


def last_part(source: Warehouse) -> str:
    with source.connection() as connection:
        return [str(one) for one in list_tables(connection) if not one.is_large][-1]


def test_a_row_that_the_source_does_not_have_is_found(source: Warehouse, target: Warehouse) -> None:
    def add(copied: TablePart) -> None:
        if str(copied) == last_part(source):
            with target.connection() as connection:
                connection.execute(
                    "INSERT INTO market.bars_1d (ts, known_at, open, high, low, close, instrument_id, source)"
                    " VALUES ('2002-01-01', now(), 1, 1, 1, 1, 1, 1)"
                )

    with pytest.raises(StoreError, match=r"market\.bars_1d has 1 row in the target that is not of the source"):
        move(source.database, target.database, Listener(add))


def test_what_does_not_arrive_as_it_was_is_not_kept(source: Warehouse, target: Warehouse) -> None:
    with pytest.raises(InterruptedMoveError):
        move(source.database, target.database, interrupt_after(1))
    with target.connection() as connection:
        connection.execute(
            "CREATE FUNCTION market.spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN IF new.ts::date = ''2009-01-05'' THEN new.vwap = 0; END IF; RETURN new; END'"
        )
        connection.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON market.bars_1d FOR EACH ROW EXECUTE FUNCTION market.spoil()"
        )
        with pytest.raises(StoreError, match=r"market\.bars_1d 2009: 5 rows with checksum .* nothing of it was kept"):
            move(source.database, target.database, Listener())
        assert connection.execute("SELECT count(*) FROM market.bars_1d WHERE ts > '2000-01-01'").fetchone() == (0,)
        connection.execute("DROP TRIGGER spoil ON market.bars_1d")
        connection.execute("DROP FUNCTION market.spoil")
    move(source.database, target.database, Listener())
    assert content(target) == content(source)


@pytest.mark.parametrize(
    "change",
    [
        "vwap = 0.0",  # was -0.0
        "vwap = NULL",
        "open = open * (1 + 2.3e-16)",
        "volume = 0",  # was NULL
        "known_at = known_at + interval '1 microsecond'",
        "high = low, low = high",
        "trades = source, source = trades",
    ],
)
def test_a_checksum_tells_any_bit_apart_but_not_the_order(warehouse: Warehouse, change: str) -> None:
    register(warehouse, SYMBOLS)
    bar = Bar("AAA", utc("2024-01-04"), open=0.3, high=0.4, low=0.2, vwap=-0.0, volume=None)
    put(warehouse, Timeframe.D1, [bar, bar._replace(ts=utc("2024-01-05"))])
    with warehouse.connection() as connection:
        (part,) = (p for one in list_tables(connection) if one.name == "bars_1d" for p in one.parts(connection))
        before = checksum(connection, part)
        connection.execute("CREATE TEMP TABLE held AS SELECT * FROM market.bars_1d ORDER BY ts DESC")
        connection.execute("DELETE FROM market.bars_1d")
        connection.execute("INSERT INTO market.bars_1d SELECT * FROM held")
        assert checksum(connection, part) == before
        connection.execute(f"UPDATE market.bars_1d SET {change} WHERE ts = '2024-01-04'")  # type: ignore[arg-type]
        changed = checksum(connection, part)
        assert changed.rows == before.rows
        assert changed.hash != before.hash


def test_a_server_of_the_community_edition_answers_the_same(source: Warehouse) -> None:
    url = os.environ.get(COMMUNITY_URL)
    if not url:
        pytest.skip(NO_COMMUNITY_SERVER)
    dsn = conninfo.make_conninfo(url, dbname=f"moved_{os.getpid()}")
    target = Warehouse(Database(dsn), source.lake)
    try:
        with pytest.raises(InterruptedMoveError):
            move(source.database, target.database, interrupt_after(3))
        put(source, Timeframe.D1, [Bar("AAA", utc("2010-01-05"), close=11.5)])
        move(source.database, target.database, Listener())
        assert target.edition.name == "community"
        assert content(target) == content(source)
        assert answers(target) == answers(source)
        assert move(source.database, target.database, Listener()).copied_parts == 0
    finally:
        target.close()
        _drop(dsn)


@pytest.fixture
def run(source: Warehouse, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in the installation whose database is ``source``."""
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
    monkeypatch.delenv("CHANDLERY_MOVE_TO", raising=False)
    return lambda *arguments, **environment: CliRunner().invoke(app, ["move", *arguments], env=environment)


def url_of(warehouse: Warehouse) -> str:
    parts = conninfo.conninfo_to_dict(warehouse.database.dsn)
    return f"postgresql://{parts['user']}:s3cret@/{parts['dbname']}?host={parts['host']}"


def test_the_command_moves_and_says_what_to_set(
    run: Callable[..., Result], source: Warehouse, target: Warehouse
) -> None:
    first = run("--to", url_of(target))
    assert first.exit_code == 0, first.output
    assert content(target) == content(source)
    rows = sum(map(len, content(source).values()))
    assert f"Copied {rows:,} rows" in first.stdout
    assert "The lake's files are not copied" in first.stdout
    assert first.stdout.splitlines()[-1] == f"CHANDLERY_DATABASE_URL={url_of(target).replace('s3cret', '***')}"
    again = run(CHANDLERY_MOVE_TO=url_of(target))
    assert again.exit_code == 0
    assert "Nothing to do" in again.stdout
    assert "s3cret" not in first.output + again.output


def test_wrong_use_of_the_command_ends_with_2(
    run: Callable[..., Result], source: Warehouse, target: Warehouse, database_url: str
) -> None:
    for arguments, said in [
        ([], "CHANDLERY_MOVE_TO"),
        (["--to", "mysql://u:s3cret@h/d"], "--to is not a PostgreSQL URL"),
        (["--to", "postgresql://u:s3cret@h"], "--to names no database"),
        (["--to", database_url], "name another one"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert "s3cret" not in result.output
    assert not is_there(target)


def test_a_server_that_does_not_answer_ends_with_1(run: Callable[..., Result]) -> None:
    result = run("--to", "postgresql://ann:s3cret@127.0.0.1:1/bars")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert "s3cret" not in result.output


def test_a_password_is_hidden_wherever_it_stands() -> None:
    dsn = conninfo.make_conninfo("postgresql://a%40b:s3cret@db:5433/my%20bars?sslmode=require&sslpassword=s3cret")
    assert hide_password(dsn) == "postgresql://a%40b:***@db:5433/my%20bars?sslmode=require&sslpassword=***"
    assert hide_password("host=/run dbname=bars") == "postgresql:///bars?host=/run"


def test_a_newer_schema_is_refused(source: Warehouse, target: Warehouse, server: str) -> None:
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE moved TEMPLATE template_of_tests")
    with target.connection() as connection:
        set_up(connection)
        connection.execute("UPDATE ops.schema_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer"):
        move(source.database, target.database, Listener())
