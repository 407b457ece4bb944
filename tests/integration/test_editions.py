"""Migrations and the edition of a server: the schema comes, goes, comes again, and is the one that was agreed on.

What is stored in chunks behaves the same in every edition; what TimescaleDB does on top is tested where it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import conninfo, sql

from chandlery.bars.merge import DEFAULT_LIMITS, MergeLimits
from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.base import Chunk, Compression
from chandlery.database.editions.detect import describe_server, detect, has_bars, is_new_enough
from chandlery.database.editions.install import install
from chandlery.database.editions.postgres import PostgresEdition, partition_spans
from chandlery.database.migrate import REVISION, _config, current_revision, migrate
from chandlery.errors import StoreError
from chandlery.tiers.warehouse import Warehouse
from tests.editions import Server, get_server
from tests.golden.schema import GOLDEN, dump
from tests.support import Bar, every_row, get, open_warehouse, put, register, rows, utc

TIMESCALE = ("apache", "community")
LONG_AGO, LATER = utc("2020-03-02T15:00"), utc("2020-09-01T15:00")


@pytest.fixture
def empty(server: str) -> Iterator[psycopg.Connection]:
    """A connection to a database without a schema."""
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE empty_of_tests")
        with psycopg.connect(conninfo.make_conninfo(server, dbname="empty_of_tests"), autocommit=True) as connection:
            yield connection
        admin.execute("DROP DATABASE empty_of_tests WITH (FORCE)")


def test_the_schema_can_be_made_removed_and_made_again(empty: psycopg.Connection) -> None:
    assert current_revision(empty) is None
    migrate(empty)
    made = dump(empty.info.dsn)
    assert current_revision(empty) == REVISION
    migrate(empty, "base")
    assert current_revision(empty) is None
    assert empty.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('market', 'ops')").fetchall() == []
    migrate(empty)
    assert dump(empty.info.dsn) == made


def test_migrating_again_changes_nothing(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "XNYS"})
    put(warehouse, Timeframe.M1, [Bar("AAA", utc("2024-06-03"))])
    with warehouse.connection() as connection:
        before = every_row(connection), dump(warehouse.database.dsn)
        migrate(connection)
        assert (every_row(connection), dump(warehouse.database.dsn)) == before


def test_each_migration_can_be_run_again_by_hand(warehouse: Warehouse) -> None:
    agreed = dump(warehouse.database.dsn)
    with warehouse.connection() as connection:
        migrate(connection, "base")
        before: str | None = None
        for revision in (f"{number:04}" for number in range(1, int(REVISION) + 1)):
            migrate(connection, revision)
            made = dump(warehouse.database.dsn)
            _run_again(connection, before, revision)
            assert dump(warehouse.database.dsn) == made, revision
            before = revision
        assert current_revision(connection) == REVISION
    assert dump(warehouse.database.dsn) == agreed


def _run_again(connection: psycopg.Connection, before: str | None, revision: str) -> None:
    """Run a migration although its changes are there."""
    connection.execute("DELETE FROM ops.schema_version")
    if before:
        connection.execute("INSERT INTO ops.schema_version VALUES (%s)", (before,))
    migrate(connection, revision)


def test_several_processes_may_migrate_at_once(empty: psycopg.Connection) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with psycopg.connect(empty.info.dsn, autocommit=True) as connection:
                migrate(connection)
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert current_revision(empty) == REVISION


def test_the_code_needs_the_newest_migration_there_is() -> None:
    assert ScriptDirectory.from_config(_config()).get_current_head() == REVISION


def test_the_schema_is_the_one_that_was_agreed_on(warehouse: Warehouse) -> None:
    assert dump(warehouse.database.dsn) == GOLDEN.read_text(encoding="utf-8"), (
        "run `python -m tests.golden.update` and look at it"
    )


def test_a_plain_postgresql_is_recognised(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        assert detect(connection).name == "postgres"
    assert "plain PostgreSQL" in warehouse.edition.meaning


@pytest.mark.parametrize(
    ("timeframe", "first", "last", "names"),
    [
        (Timeframe.M1, "2023-12-31T23:59", "2024-01-01T00:00", ["2023_12", "2024_01"]),
        (Timeframe.M1, "2024-02-01", "2024-02-29T23:59", ["2024_02"]),
        (Timeframe.M5, "2023-12-31T23:55", "2024-12-31", ["2023", "2024"]),
        (Timeframe.D1, "1999-12-31", "2000-01-01", ["1990s", "2000s"]),
        (Timeframe.W1, "2020-01-01", "2029-12-31", ["2020s"]),
    ],
)
def test_partitions_touch_every_instant_of_the_range_once(
    timeframe: Timeframe, first: str, last: str, names: list[str]
) -> None:
    spans = list(partition_spans(timeframe, utc(first), utc(last)))
    assert [name for name, _, _ in spans] == names
    assert spans[0][1] <= utc(first) < spans[0][2]
    assert spans[-1][1] <= utc(last) < spans[-1][2]
    assert all(one[2] == other[1] for one, other in pairwise(spans))
    assert all(moment.tzinfo is UTC for _, *ends in spans for moment in ends)
    assert isinstance(spans[0][1], datetime)


# Chunks, in every edition --------------------------------------------------------------------------------------------


def chunks(warehouse: Warehouse, timeframe: Timeframe = Timeframe.M1) -> Sequence[Chunk]:
    with warehouse.connection() as connection:
        return warehouse.edition.chunks(connection, timeframe)


def compress(
    warehouse: Warehouse, timeframe: Timeframe = Timeframe.M1, *, before: str = "2030-01-01"
) -> list[Compression]:
    with warehouse.connection() as connection:
        return list(warehouse.edition.compress(connection, timeframe, utc(before)))


def drop(warehouse: Warehouse, chunk: Chunk, timeframe: Timeframe = Timeframe.M1) -> None:
    with warehouse.connection() as connection, connection.transaction():
        warehouse.edition.drop(connection, timeframe, chunk)


def minutes(symbol: str, count: int, *, first: datetime = LONG_AGO, close: float = 11.0) -> list[Bar]:
    return [Bar(symbol, first + timedelta(minutes=number), close=close) for number in range(count)]


@pytest.mark.every_edition
@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.H4, Timeframe.MO1])
def test_prepared_chunks_join_and_span_the_range(warehouse: Warehouse, timeframe: Timeframe) -> None:
    first, last = utc("2019-11-30T23:59"), utc("2021-02-01")
    with warehouse.connection() as connection:
        warehouse.edition.prepare(connection, timeframe, first, last)
    made = chunks(warehouse, timeframe)
    assert made[0].start <= first < made[0].end
    assert made[-1].start <= last < made[-1].end
    assert all(one.end == other.start for one, other in pairwise(made))
    assert all(chunk.bytes > 0 and not chunk.compressed for chunk in made)
    with warehouse.connection() as connection:
        warehouse.edition.prepare(connection, timeframe, first, last)
        assert not has_bars(connection)
    assert chunks(warehouse, timeframe) == made


@pytest.mark.every_edition
@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.H1, Timeframe.D1])
def test_what_is_published_lies_in_one_of_the_chunks(warehouse: Warehouse, timeframe: Timeframe) -> None:
    register(warehouse, {"AAA": "24/7"})
    moments = [utc(text) for text in ("1999-12-31", "2000-01-01", "2019-12-31", "2020-01-01", "2024-02-29")]
    put(warehouse, timeframe, [Bar("AAA", moment) for moment in moments])
    made = chunks(warehouse, timeframe)
    assert [sum(chunk.start <= moment < chunk.end for chunk in made) for moment in moments] == [1] * 5
    with warehouse.connection() as connection:
        for chunk in made:
            held = connection.execute(f"SELECT ts FROM {chunk.name}").fetchall()
            assert all(chunk.start <= ts < chunk.end for (ts,) in held)


@pytest.mark.every_edition
def test_a_dropped_chunk_takes_its_bars_and_no_others(warehouse: Warehouse) -> None:
    ids = register(warehouse, {"AAA": "24/7"})
    put(warehouse, Timeframe.M1, [Bar("AAA", LONG_AGO), Bar("AAA", LATER)])
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2020-03-02"))])
    oldest = chunks(warehouse)[0]
    with warehouse.connection() as connection, connection.transaction(force_rollback=True):
        warehouse.edition.drop(connection, Timeframe.M1, oldest)
    assert chunks(warehouse)[0] == oldest
    drop(warehouse, oldest)
    assert rows(get(warehouse, Timeframe.M1, ids)) == [Bar("AAA", LATER)]
    drop(warehouse, oldest)
    drop(warehouse, chunks(warehouse)[0], Timeframe.D1)  # of another table
    assert rows(get(warehouse, Timeframe.M1, ids)) == [Bar("AAA", LATER)]
    assert len(rows(get(warehouse, Timeframe.D1, ids))) == 1
    put(warehouse, Timeframe.M1, [Bar("AAA", LONG_AGO, close=10.0)])
    assert rows(get(warehouse, Timeframe.M1, ids)) == [Bar("AAA", LONG_AGO, close=10.0), Bar("AAA", LATER)]


@pytest.mark.every_edition
def test_sizes_count_the_bars_of_every_timeframe(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    with warehouse.connection() as connection:
        before = warehouse.edition.sizes(connection)
        put(warehouse, Timeframe.M1, minutes("AAA", 3000))
        connection.execute("ANALYZE market.bars_1m")
        after = warehouse.edition.sizes(connection)
    assert set(before) == set(after) == set(Timeframe)
    assert after[Timeframe.M1].estimate == 3000
    assert after[Timeframe.M1].bytes >= before[Timeframe.M1].bytes + 3000 * 90
    assert after[Timeframe.D1] == before[Timeframe.D1]


@pytest.mark.every_edition
@pytest.mark.only_on("postgres", "apache")
def test_an_edition_that_cannot_compress_leaves_everything_as_it_is(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    put(warehouse, Timeframe.M1, minutes("AAA", 10))
    before = chunks(warehouse)
    assert not warehouse.edition.compresses
    assert compress(warehouse) == []
    assert chunks(warehouse) == before


# Setting up ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(edition_server: Server) -> Iterator[psycopg.Connection]:
    """A connection to a database of the edition's server that has neither schema nor extension."""
    with (
        edition_server.new_database("template0") as dsn,
        psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC") as connection,
    ):
        yield connection


def layout(connection: psycopg.Connection) -> dict[str, Sequence[tuple[object, ...]]]:
    """Return what must not depend on the edition: columns, constraints, comments, rights and the view's query."""
    queries = {
        "columns": "SELECT attrelid::regclass::text, attname, atttypid::regtype::text, attnotnull,"
        " col_description(attrelid, attnum) FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid"
        " WHERE relnamespace = 'market'::regnamespace AND NOT relispartition AND relkind IN ('r', 'p', 'v')"
        " AND attnum > 0 ORDER BY 1, attnum",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(k.oid) FROM pg_constraint AS k"
        " JOIN pg_class AS c ON c.oid = conrelid WHERE connamespace = 'market'::regnamespace AND NOT relispartition"
        " ORDER BY 1, 2",
        "others": "SELECT relname, obj_description(oid, 'pg_class'), relacl::text FROM pg_class"
        " WHERE relnamespace = 'market'::regnamespace AND NOT relispartition AND relkind IN ('r', 'p', 'v') ORDER BY 1",
        # A constant without a name gets one when its query is read back.
        "view": "SELECT replace(pg_get_viewdef('market.ohlcv'::regclass), '::text AS text', '::text')",
        "schemas": "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'market%'",
    }
    return {name: connection.execute(query).fetchall() for name, query in queries.items()}  # type: ignore[arg-type]


@pytest.mark.every_edition
def test_a_new_database_becomes_the_best_edition_its_server_can_be(bare: psycopg.Connection, edition: str) -> None:
    assert detect(bare).name == "postgres"
    migrate(bare)
    PostgresEdition().prepare(bare, Timeframe.M1, LONG_AGO, LATER)  # as an earlier version of ours may have done
    bare.execute("GRANT SELECT ON market.bars_1m, market.ohlcv TO PUBLIC")
    before = layout(bare)
    assert install(bare).name == detect(bare).name == edition
    assert layout(bare) == before
    found = describe_server(bare)
    assert (found.edition.name, found.has_bars, found.advice) == (edition, False, "")
    assert install(bare).name == edition
    assert layout(bare) == before


@pytest.mark.every_edition
@pytest.mark.only_on(*TIMESCALE)
def test_chunks_are_wider_for_wider_bars_and_have_no_index_of_their_own(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        widths = dict(
            connection.execute(
                "SELECT hypertable_name::text, time_interval FROM timescaledb_information.dimensions"
                " WHERE hypertable_schema = 'market'"
            ).fetchall()
        )
        indexes = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'bars_1m'").fetchall()
    days = {Timeframe.M1: 30, Timeframe.D1: 3650, Timeframe.W1: 3650, Timeframe.MO1: 3650}
    assert widths == {timeframe.table: timedelta(days=days.get(timeframe, 365)) for timeframe in Timeframe}
    assert indexes == [("bars_1m_pkey",)]


@pytest.mark.every_edition
@pytest.mark.only_on(*TIMESCALE)
def test_tables_that_hold_bars_stay_as_they_are(bare: psycopg.Connection) -> None:
    migrate(bare)
    bare.execute(
        "INSERT INTO market.instrument (symbol, asset_class, calendar, provider, timeframes) VALUES"
        " ('AAA', 'equity', 'XNYS', 'simulated', '{1d}')"
    )
    warehouse = open_warehouse(bare.info.dsn)
    put(warehouse, Timeframe.MO1, [Bar("AAA", utc("2024-01-01"))])
    before = every_row(bare)
    assert install(bare).name == "postgres"
    assert every_row(bare) == before
    assert "chandlery move" in describe_server(bare).advice
    warehouse.close()


@pytest.mark.every_edition
@pytest.mark.only_on(*TIMESCALE)
def test_the_schema_can_be_removed_and_made_again_on_timescaledb(bare: psycopg.Connection, edition: str) -> None:
    migrate(bare)
    install(bare)
    made = layout(bare)
    _run_again(bare, f"{int(REVISION) - 1:04}", REVISION)
    assert layout(bare) == made
    migrate(bare, "0001")
    migrate(bare)
    migrate(bare, "base")
    assert bare.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('market', 'ops')").fetchall() == []
    assert detect(bare).name == "postgres"
    migrate(bare)
    assert install(bare).name == edition
    assert layout(bare) == made


@pytest.mark.every_edition
@pytest.mark.only_on(*TIMESCALE)
def test_several_processes_may_set_up_at_once(bare: psycopg.Connection, edition: str) -> None:
    migrate(bare)
    found: list[str] = []

    def run() -> None:
        with psycopg.connect(bare.info.dsn, autocommit=True) as connection:
            found.append(install(connection).name)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [edition] * 3


@pytest.mark.every_edition
@pytest.mark.only_on(*TIMESCALE)
def test_a_role_that_owns_its_database_is_enough(edition_server: Server, edition: str) -> None:
    role = f"chandlery_test_{uuid4().hex[:8]}"
    with edition_server.new_database("template0") as dsn, psycopg.connect(dsn, autocommit=True) as admin:
        name, mine = sql.Identifier(admin.info.dbname), sql.Identifier(role)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(mine))
        try:
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, mine))
            admin.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(mine))
            warehouse = open_warehouse(conninfo.make_conninfo(dsn, user=role, password="secret"))
            with warehouse.connection() as connection:
                migrate(connection)
                report = describe_server(connection)
                assert report.may_create_extensions
                assert report.timescaledb_loaded
                assert report.advice == "to use TimescaleDB, run `chandlery init`"
                assert install(connection).name == edition
            ids = register(warehouse, {"AAA": "24/7"})
            put(warehouse, Timeframe.M1, minutes("AAA", 5))
            assert bool(compress(warehouse)) is (edition == "community")
            put(warehouse, Timeframe.M1, minutes("AAA", 5, close=10.0))
            assert rows(get(warehouse, Timeframe.M1, ids)) == minutes("AAA", 5, close=10.0)
            drop(warehouse, chunks(warehouse)[0])
            assert len(get(warehouse, Timeframe.M1, ids)) == 0
            warehouse.close()
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(mine))
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(name))
            admin.execute(sql.SQL("DROP ROLE {}").format(mine))


@pytest.mark.every_edition
@pytest.mark.only_on(*TIMESCALE)
def test_the_extension_may_be_in_a_schema_of_its_own(bare: psycopg.Connection, edition: str) -> None:
    bare.execute("CREATE SCHEMA tools; CREATE EXTENSION timescaledb SCHEMA tools")
    migrate(bare)
    assert install(bare).name == edition
    warehouse = open_warehouse(bare.info.dsn)
    register(warehouse, {"AAA": "24/7"})
    put(warehouse, Timeframe.M1, minutes("AAA", 5))
    compress(warehouse)
    with warehouse.connection() as connection:
        assert warehouse.edition.sizes(connection)[Timeframe.M1].bytes > 0
    drop(warehouse, chunks(warehouse)[0])
    assert chunks(warehouse) == []
    warehouse.close()


def test_what_a_server_offers_is_told(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        found = describe_server(connection)
    assert found.edition.name == "postgres"
    assert found.postgresql.startswith("18.")
    assert (found.timescaledb, found.timescaledb_available, found.timescaledb_loaded) == (None, None, False)
    assert found.licence is None
    assert found.pgvector is None
    assert found.pgvector_available
    assert found.advice == ""


def test_hypertables_without_their_extension_are_an_error_that_says_what_to_do(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        connection.execute("DROP TABLE market.bars_1m CASCADE; CREATE TABLE market.bars_1m ()")
        with pytest.raises(StoreError, match="shared_preload_libraries"):
            detect(connection)


@pytest.mark.parametrize(
    ("version", "enough"), [("2.9.1", False), ("2.16.3", False), ("2.17.0", True), ("2.19.3", True), ("3.0-dev", True)]
)
def test_versions_are_compared_as_numbers(version: str, enough: bool) -> None:
    assert is_new_enough(version) is enough


# Compression ---------------------------------------------------------------------------------------------------------


@pytest.mark.every_edition
@pytest.mark.only_on("community")
def test_compression_takes_what_ended_and_changes_no_answer(warehouse: Warehouse) -> None:
    ids = register(warehouse, {"AAA": "24/7", "BBB": "24/7"})
    put(warehouse, Timeframe.M1, [*minutes("AAA", 3000), *minutes("BBB", 3000), *minutes("AAA", 10, first=LATER)])
    before, stored = get(warehouse, Timeframe.M1, ids), chunks(warehouse)
    assert compress(warehouse, before=str(stored[0].end - timedelta(microseconds=1))[:26]) == []
    done = compress(warehouse, before=str(stored[0].end)[:19])
    assert [one.chunk for one in done] == [stored[0]]
    assert done[0].bytes < stored[0].bytes / 2
    after = chunks(warehouse)
    assert [chunk.compressed for chunk in after] == [True, False]
    assert [(chunk.name, chunk.start, chunk.end) for chunk in after] == [
        (chunk.name, chunk.start, chunk.end) for chunk in stored
    ]
    assert after[0].bytes == done[0].bytes
    assert get(warehouse, Timeframe.M1, ids) == before
    assert compress(warehouse, before=str(stored[0].end)[:19]) == []
    with warehouse.connection() as connection:
        size = warehouse.edition.sizes(connection)[Timeframe.M1]
        connection.execute("ANALYZE market.bars_1m")
        analysed = warehouse.edition.sizes(connection)[Timeframe.M1]
    assert size.bytes == sum(chunk.bytes for chunk in after)
    assert 5500 < size.estimate <= analysed.estimate < 6500
    drop(warehouse, after[0])
    assert rows(get(warehouse, Timeframe.M1, ids)) == minutes("AAA", 10, first=LATER)


@pytest.mark.every_edition
@pytest.mark.only_on("community")
def test_a_correction_unpacks_no_more_than_it_has_to_and_is_packed_again(warehouse: Warehouse) -> None:
    ids = register(warehouse, {"AAA": "24/7", "BBB": "24/7"})
    put(warehouse, Timeframe.M1, [*minutes("AAA", 2000), *minutes("BBB", 2000)])
    compress(warehouse)
    report = put(warehouse, Timeframe.M1, minutes("AAA", 20, first=LONG_AGO + timedelta(minutes=600), close=10.0))
    assert (report.inserted, report.revised, report.unchanged) == (0, 20, 0)
    (chunk,) = chunks(warehouse)
    assert not chunk.compressed
    with warehouse.connection() as connection:
        loose = connection.execute(
            f"SELECT instrument_id, count(*) FROM ONLY {chunk.name} GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert [owner for owner, _ in loose] == [ids["AAA"]]
    assert loose[0][1] <= 500
    (done,) = compress(warehouse)
    assert done.chunk.name == chunk.name
    assert chunks(warehouse)[0].compressed
    assert compress(warehouse) == []
    found = rows(get(warehouse, Timeframe.M1, ids))
    assert found[600:620] == minutes("AAA", 20, first=LONG_AGO + timedelta(minutes=600), close=10.0)
    assert len(found) == 4000


@pytest.mark.every_edition
@pytest.mark.only_on("community")
def test_publishing_again_what_is_compressed_unpacks_nothing(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    bars = minutes("AAA", 2500)
    put(warehouse, Timeframe.M1, bars)
    compress(warehouse)
    for batch in (bars, bars[:700]):
        report = put(warehouse, Timeframe.M1, batch)
        assert (report.inserted, report.revised, report.unchanged) == (0, 0, len(batch))
    assert [chunk.compressed for chunk in chunks(warehouse)] == [True]


@pytest.mark.every_edition
@pytest.mark.only_on("community")
def test_a_correction_may_touch_more_than_the_server_unpacks_by_default(warehouse: Warehouse) -> None:
    names = [f"S{number:03}" for number in range(110)]
    ids = register(warehouse, dict.fromkeys(names, "24/7"))
    for name in names:
        put(warehouse, Timeframe.M1, minutes(name, 1001))
    compress(warehouse)
    scattered = [bar for name in names for bar in minutes(name, 1001, close=10.0)[::200]]
    for batch in (scattered, [bar._replace(close=9.5) for bar in scattered]):  # over and under a thousand rows at once
        size = 900 if batch is scattered else len(batch)
        revised = sum(put(warehouse, Timeframe.M1, batch[at : at + size]).revised for at in range(0, len(batch), size))
        assert revised == len(batch)
    found = rows(get(warehouse, Timeframe.M1, ids))
    assert [bar for bar in found if bar.close == 9.5] == [bar._replace(close=9.5) for bar in scattered]
    assert len(found) == 110 * 1001


def random_batches(seed: int, count: int) -> Iterator[list[Bar]]:
    """Yield batches that overlap: of some minutes of some days, a part of them with values as before."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        days = draw.choice(70, size=draw.integers(1, 4), replace=False)
        keys = {
            (str(draw.choice(["AAA", "BBB", "CCC"])), LONG_AGO + timedelta(days=int(day), minutes=int(minute)))
            for day in days
            for minute in draw.integers(0, 400, size=draw.choice([3, 60, 500]))
        }
        yield [
            Bar(
                symbol,
                ts,
                close=float(draw.choice([11.0, 11.5])),
                volume=None if draw.random() < 0.1 else 100.0,
                trades=None if draw.random() < 0.1 else 7,
                source=str(draw.choice(["test:one", "test:two"])),
            )
            for symbol, ts in sorted(keys)
        ]


def replay(
    warehouse: Warehouse, batches: Iterable[list[Bar]], *, compressing: bool, limits: MergeLimits = DEFAULT_LIMITS
) -> dict[str, list[str]]:
    register(warehouse, {"AAA": "24/7", "BBB": "24/7", "CCC": "24/7"})
    for step, batch in enumerate(batches):
        put(warehouse, Timeframe.M1, batch, now=utc("2025-01-01") + timedelta(hours=step), limits=limits)
        if compressing and step % 3:
            compress(warehouse)
    with warehouse.connection() as connection:
        return every_row(connection)


@pytest.mark.every_edition
@pytest.mark.parametrize("few", [1000, 40])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_publications_leave_the_same_rows_in_every_edition(warehouse: Warehouse, few: int, seed: int) -> None:
    # Sends batches of more than `few` rows through COPY and a staging table, smaller ones through arrays.
    limits = MergeLimits(rows_as_arrays=few)
    mine = replay(warehouse, random_batches(seed, 14), compressing=True, limits=limits)
    assert any(mine["market.bars_revision"])
    with get_server("postgres").new_database() as dsn:
        plain = open_warehouse(dsn)
        assert replay(plain, random_batches(seed, 14), compressing=False, limits=limits) == mine
        plain.close()
