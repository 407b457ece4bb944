"""The life of a bar: archived, pruned, corrected, restored; and the same answers all along."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg import conninfo

from chandlery.bars.read import BarRange
from chandlery.core.schema import with_symbols
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.locks import lock_instruments
from chandlery.errors import LakeError
from chandlery.lake.store import Lake
from chandlery.publishing.publish import publish
from chandlery.reading.bars import read_bars
from chandlery.reading.tail import read_tail
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import RetentionLimits, apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.verify import find_unknown_files, verify
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, get, open_warehouse, put, register, rows, table, utc, wait_until

pytestmark = pytest.mark.every_edition

M1, D1 = Timeframe.M1, Timeframe.D1
NOW = utc("2025-06-15")


@pytest.fixture
def tiered(database_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(tmp_path / "lake"))
    yield warehouse
    warehouse.close()


@pytest.fixture
def ids(tiered: Warehouse) -> dict[str, int]:
    return register(tiered, {"AAA": "XNYS", "BTC/USD": "24/7"})


def minutes(symbol: str, start: str, count: int, close: float = 11.0, source: str = "test:one") -> list[Bar]:
    first = utc(start)
    return [
        Bar(
            symbol,
            first + timedelta(minutes=n),
            close=close + n % 7 / 100,
            vwap=None if n % 5 == 0 else 10.5,
            source=source,
        )
        for n in range(count)
    ]


def settle(warehouse: Warehouse, timeframe: Timeframe, before: datetime) -> int:
    with warehouse.connection() as connection:
        due = find_due(connection, timeframe, before)
    return len(list(archive(warehouse, due)))


def answers(warehouse: Warehouse, ids: dict[str, int], moments: list[datetime]) -> list[pa.Table]:
    return [
        get(warehouse, timeframe, ids, as_of=moment).combine_chunks()
        for timeframe in (M1, D1)
        for moment in (None, *moments)
    ]


def same(one: list[pa.Table], other: list[pa.Table]) -> bool:
    return all(a.to_pylist() == b.to_pylist() for a, b in zip(one, other, strict=True))


def test_every_answer_stays_the_same_through_a_whole_life(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(
        tiered,
        M1,
        minutes("AAA", "2024-01-31T14:30", 50) + minutes("AAA", "2024-02-01T14:30", 50),
        now=utc("2024-03-01"),
    )
    put(tiered, M1, minutes("BTC/USD", "2024-01-01", 200), now=utc("2024-03-02"))
    put(tiered, M1, minutes("AAA", "2024-02-01T14:30", 20, close=12.0), now=utc("2024-03-03"))
    put(
        tiered,
        D1,
        [Bar(s, utc(d)) for s in ids for d in ("2023-12-29", "2024-01-02", "2025-01-02")],
        now=utc("2025-01-05"),
    )
    put(tiered, D1, [Bar("AAA", utc("2023-12-29"), close=10.0)], now=utc("2025-01-06"))
    moments = [utc("2024-03-02T12:00"), utc("2024-03-04"), utc("2025-01-05T01:00")]
    truth = answers(tiered, ids, moments)

    assert settle(tiered, M1, utc("2024-02-01")) == 2  # a month of each
    assert same(answers(tiered, ids, moments), truth)
    assert settle(tiered, M1, utc("2025-01-01")) == 2  # the year of each replaces the months
    assert settle(tiered, M1, utc("2025-01-01")) == 0
    assert settle(tiered, D1, utc("2025-01-01")) == 2
    assert same(answers(tiered, ids, moments), truth)

    for timeframe in (M1, D1):
        report = apply_retention(tiered, timeframe, utc("2025-01-01"), now=NOW)
        assert report.refused == []
        assert report.released
        assert same(answers(tiered, ids, moments), truth)
    assert _stored(tiered, "market.bars_1m") == 0
    # A table of days is divided by decades, of which one holds 2025 too.
    assert _stored(tiered, "market.bars_revision") == 0
    assert apply_retention(tiered, M1, utc("2025-01-01"), now=NOW).released == []

    assert restore(tiered, M1, ["2024-02"]) == {("AAA", "2024-02"): 50}
    assert restore(tiered, D1, ["2023"]) == {("AAA", "2023"): 1, ("BTC/USD", "2023"): 1}
    assert same(answers(tiered, ids, moments), truth)
    assert restore(tiered, M1, ["2024-02"]) == {}
    assert [checked.fault for checked in verify(tiered)] == [None] * 6
    assert sorted(find_unknown_files(tiered)) == []


_VIEW = "SELECT symbol, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM market.ohlcv WHERE timeframe = %s ORDER BY ts"


def test_sql_sees_whole_windows_only(tiered: Warehouse, ids: dict[str, int]) -> None:
    """Chunks of TimescaleDB end in the middle of a month; partitions of PostgreSQL hold windows that stay, too."""
    days = ["2024-01-02", "2024-01-10", "2024-01-17", "2024-01-31", "2024-02-01"]
    put(tiered, M1, [bar for day in days for bar in minutes("AAA", f"{day}T14:30", 3)], now=utc("2024-03-01"))
    put(tiered, D1, [Bar(s, utc(day)) for s in ids for day in ("2023-12-29", "2024-01-02")], now=utc("2024-03-01"))
    settle(tiered, M1, utc("2024-02-01"))
    settle(tiered, D1, utc("2024-01-01"))
    put(tiered, M1, minutes("BTC/USD", "2024-01-17", 2), now=utc("2024-03-02"))  # never archived, so it stays

    assert apply_retention(tiered, M1, utc("2024-02-01"), now=NOW).released == [("AAA", "2024-01")]
    assert len(apply_retention(tiered, D1, utc("2024-01-01"), now=NOW).released) == 2
    with tiered.connection() as connection:
        seen = [connection.execute(_VIEW, [timeframe.value]).fetchall() for timeframe in (M1, D1)]
    assert seen[0] == [("BTC/USD", "2024-01-17")] * 2 + [("AAA", "2024-02-01")] * 3
    assert seen[1] == [("AAA", "2024-01-02"), ("BTC/USD", "2024-01-02")]
    assert (_stored(tiered, "market.bars_1m"), _stored(tiered, "market.bars_1d")) == (5, 2)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_sql_sees_nothing_of_a_window_that_is_leaving(tiered: Warehouse, ids: dict[str, int], zone: str) -> None:
    put(tiered, M1, minutes("BTC/USD", "2024-01-01", 2) + minutes("BTC/USD", "2024-02-01", 2), now=utc("2024-03-01"))
    settle(tiered, M1, utc("2024-02-01"))
    apply_retention(tiered, M1, utc("2024-02-01"), now=NOW)
    with tiered.connection() as connection:
        # As after a kill between the two steps: what the next run deletes.
        tiered.edition.prepare(connection, M1, utc("2024-01-01"), utc("2024-01-31"))
        connection.execute(
            "INSERT INTO market.bars_1m (instrument_id, ts, open, high, low, close, source, known_at)"
            " SELECT %s, ts, 1, 1, 1, 1, 1, now() FROM unnest(%s) AS ts",
            [ids["BTC/USD"], [utc("2024-01-01T00:01"), utc("2024-01-31T23:59")]],
        )
        with connection.transaction():
            connection.execute(f"SET LOCAL timezone = '{zone}'")
            assert connection.execute(_VIEW, ["1m"]).fetchall() == [("BTC/USD", "2024-02-01")] * 2
    assert _stored(tiered, "market.bars_1m") == 4
    assert apply_retention(tiered, M1, utc("2024-02-01"), now=NOW).released == []
    assert _stored(tiered, "market.bars_1m") == 2


def test_a_correction_brings_its_window_back_and_no_other(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(
        tiered,
        M1,
        minutes("AAA", "2024-01-31T14:30", 50) + minutes("AAA", "2024-02-01T14:30", 50),
        now=utc("2024-03-01"),
    )
    settle(tiered, M1, utc("2025-01-01"))
    apply_retention(tiered, M1, utc("2025-01-01"), now=NOW)
    again = put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 50, source="test:two"))
    assert (again.inserted, again.revised, again.unchanged) == (0, 0, 50)
    assert _stored(tiered, "market.bars_1m") == 0

    before = rows(get(tiered, M1, ids))
    report = put(tiered, M1, minutes("AAA", "2024-02-01T14:30", 60, close=12.0), now=utc("2025-02-01"))
    assert (report.inserted, report.revised, report.unchanged) == (10, 50, 0)
    assert _stored(tiered, "market.bars_1m") == 60
    assert rows(get(tiered, M1, ids, as_of=utc("2025-01-31"))) == before
    after = rows(get(tiered, M1, ids))
    assert len(after) == 110

    refused = apply_retention(tiered, M1, utc("2025-01-01"), now=NOW).refused
    assert [(r.symbol, r.window) for r in refused] == [("AAA", "2024-02")]
    assert "changed since" in refused[0].reason
    assert settle(tiered, M1, utc("2025-01-01")) == 1
    assert apply_retention(tiered, M1, utc("2025-01-01"), now=NOW).refused == []
    assert _stored(tiered, "market.bars_1m") == 0
    assert rows(get(tiered, M1, ids)) == after
    assert rows(get(tiered, M1, ids, as_of=utc("2025-01-31"))) == before


@pytest.mark.parametrize(
    ("timeframe", "restated"), [(M1, {"close": 11.25}), (M1, {"vwap": None}), (D1, {"trades": 8})], ids=str
)
def test_a_correction_of_one_value_without_any_new_bar_is_not_lost_where_the_window_left(
    tiered: Warehouse, ids: dict[str, int], timeframe: Timeframe, restated: dict[str, float | None]
) -> None:
    moments = [utc(text) for text in ("2024-01-02T14:30", "2024-01-03T14:30", "2024-01-04T14:30")]
    if timeframe is D1:
        moments = [moment.replace(hour=0, minute=0) for moment in moments]
    first, bar, last = (Bar("AAA", moment) for moment in moments)
    put(tiered, timeframe, [first, bar, last], now=utc("2024-03-01"))
    settle(tiered, timeframe, utc("2025-01-01"))
    assert apply_retention(tiered, timeframe, utc("2025-01-01"), now=NOW).released

    corrected = bar._replace(**restated)
    report = put(tiered, timeframe, [corrected], now=utc("2025-02-01"))

    assert (report.inserted, report.revised, report.unchanged) == (0, 1, 0)
    assert rows(get(tiered, timeframe, ids)) == [first, corrected, last]
    assert rows(get(tiered, timeframe, ids, as_of=utc("2025-01-31"))) == [first, bar, last]
    assert settle(tiered, timeframe, utc("2025-01-01")) == 1
    assert apply_retention(tiered, timeframe, utc("2025-01-01"), now=NOW).released
    assert rows(get(tiered, timeframe, ids)) == [first, corrected, last]
    assert rows(get(tiered, timeframe, ids, as_of=utc("2025-01-31"))) == [first, bar, last]


@pytest.mark.parametrize("place", [0, 30, 59])
def test_one_correction_among_many_identical_bars_is_not_lost_where_the_window_left(
    tiered: Warehouse, ids: dict[str, int], place: int
) -> None:
    bars = minutes("AAA", "2024-01-02T14:30", 60)
    put(tiered, M1, bars, now=utc("2024-03-01"))
    settle(tiered, M1, utc("2025-01-01"))
    assert apply_retention(tiered, M1, utc("2025-01-01"), now=NOW).released

    corrected = [bar._replace(close=11.25) if number == place else bar for number, bar in enumerate(bars)]
    report = put(tiered, M1, corrected, now=utc("2025-02-01"))

    assert (report.inserted, report.revised, report.unchanged) == (0, 1, 59)
    assert rows(get(tiered, M1, ids)) == corrected
    assert rows(get(tiered, M1, ids, as_of=utc("2025-01-31"))) == bars


@pytest.mark.parametrize(("timeframe", "gap"), [(M1, timedelta(minutes=1)), (D1, timedelta(days=1))])
def test_a_read_may_begin_and_end_anywhere_in_a_window_that_left(
    tiered: Warehouse, ids: dict[str, int], timeframe: Timeframe, gap: timedelta
) -> None:
    first = utc("2024-01-02")
    bars = [Bar("AAA", first + number * gap, close=10.0 + number / 100) for number in range(40)]
    put(tiered, timeframe, bars, now=utc("2024-12-01"))
    settle(tiered, timeframe, utc("2026-01-01"))
    assert apply_retention(tiered, timeframe, utc("2026-01-01"), now=utc("2027-01-01")).released
    for begin, end in ((0, 40), (17, 40), (17, 18), (39, 40), (0, 1), (12, 25)):
        ranges = [BarRange(ids["AAA"], bars[begin].ts, bars[end - 1].ts + gap)]
        names = {number: name for name, number in ids.items()}
        assert rows(with_symbols(read_bars(tiered, timeframe, ranges), names)) == bars[begin:end]
        assert rows(with_symbols(read_tail(tiered, timeframe, ranges, 3), names)) == bars[begin:end][-3:]


def test_a_window_that_left_knows_the_sources_of_its_own_bars_once_each(tiered: Warehouse, ids: dict[str, int]) -> None:
    put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 20, source="test:one"))
    put(tiered, M1, minutes("AAA", "2024-02-01T14:30", 20, source="test:two"))
    put(
        tiered, D1, [Bar("AAA", utc("2023-01-03"), source="test:one"), Bar("AAA", utc("2023-12-29"), source="test:two")]
    )
    for timeframe in (M1, D1):
        settle(tiered, timeframe, utc("2024-02-01"))
        assert apply_retention(tiered, timeframe, utc("2024-02-01"), now=NOW).released
    with tiered.connection() as connection:
        names = connection.execute(
            "SELECT w.timeframe, array_agg(s.name ORDER BY s.name) FROM ops.bar_window AS w"
            " CROSS JOIN unnest(w.sources) AS u (source_id) JOIN market.source AS s USING (source_id) GROUP BY 1"
        ).fetchall()
    assert dict(names) == {"1m": ["test:one"], "1d": ["test:one", "test:two"]}


@pytest.mark.parametrize("damage", ["deleted", "cut", "flipped", "swapped"])
def test_a_damaged_file_is_an_error_that_names_it(
    tiered: Warehouse, ids: dict[str, int], tmp_path: Path, damage: str
) -> None:
    put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 50) + minutes("BTC/USD", "2024-01-31T14:30", 50))
    settle(tiered, M1, utc("2024-02-01"))
    file = next((tmp_path / "lake").glob("bars_1m/symbol=AAA/*.parquet"))
    other = next((tmp_path / "lake").glob("bars_1m/symbol=BTC*/*.parquet"))
    content = file.read_bytes()
    if damage == "deleted":
        file.unlink()
    else:
        changed = {"cut": content[:-9], "flipped": _flip(content, 200), "swapped": other.read_bytes()}
        file.write_bytes(changed[damage])

    written = _verified_at(tiered)
    report = apply_retention(tiered, M1, utc("2024-02-01"), now=NOW)
    assert [r.symbol for r in report.refused] == ["AAA"]
    assert "symbol=AAA" in report.refused[0].reason
    assert len(rows(get(tiered, M1, ids))) == 100  # it stayed in the store
    before = _verified_at(tiered)
    assert [path for path in before if before[path] == written[path]] == [str(file.relative_to(tmp_path / "lake"))]
    assert [checked.path for checked in verify(tiered) if checked.fault] == [str(file.relative_to(tmp_path / "lake"))]
    after = _verified_at(tiered)
    assert [path for path in before if after[path] == before[path]] == [str(file.relative_to(tmp_path / "lake"))]

    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    assert apply_retention(tiered, M1, utc("2024-02-01"), now=NOW).refused == []
    if damage == "deleted":
        file.unlink()
    else:
        file.write_bytes(changed[damage])
    with pytest.raises(LakeError, match="symbol=AAA"):
        get(tiered, M1, ids)
    with pytest.raises(LakeError, match="symbol=AAA"):
        put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 50, close=12.0))


def _verified_at(warehouse: Warehouse) -> dict[str, datetime | None]:
    with warehouse.connection() as connection:
        return dict(connection.execute("SELECT path, verified_at FROM ops.manifest").fetchall())


@pytest.mark.parametrize("lock_timeout", [timedelta(milliseconds=100), timedelta(minutes=1)])
def test_a_publication_under_way_is_not_dropped(
    tiered: Warehouse, ids: dict[str, int], lock_timeout: timedelta
) -> None:
    put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 50))
    settle(tiered, M1, utc("2025-01-01"))
    other = open_warehouse(tiered.database.dsn)
    with ThreadPoolExecutor(1) as pool, other.connection() as connection:
        with connection.transaction():
            publish(connection, other, M1, table(minutes("BTC/USD", "2024-01-31T14:30", 50)))
            limits = RetentionLimits(lock_timeout=lock_timeout)
            retaining = pool.submit(apply_retention, tiered, M1, utc("2025-01-01"), now=NOW, limits=limits)
            wait_until(lambda: retaining.done() or _somebody_waits(tiered), "it waits, or has given up")
            if lock_timeout < timedelta(minutes=1):
                assert retaining.result().waiting  # for the next run
        assert retaining.result().dropped == []  # the new window is not archived
    other.close()
    assert len(rows(get(tiered, M1, ids))) == 100


def test_archiving_waits_for_a_publication_under_way(tiered: Warehouse, ids: dict[str, int]) -> None:
    first, second = minutes("AAA", "2024-01-31T14:30", 2)
    put(tiered, M1, [first])
    with ThreadPoolExecutor(1) as pool, tiered.connection() as connection:
        with connection.transaction():
            lock_instruments(connection, M1, list(ids.values()))  # as a publication does first
            archiving = pool.submit(settle, tiered, M1, utc("2025-01-01"))
            wait_until(lambda: archiving.done() or _somebody_waits(tiered), "it waits, or has not waited")
            publish(connection, tiered, M1, table([second]))
        assert archiving.result() == 1
        assert connection.execute("SELECT row_count FROM ops.manifest").fetchall() == [(2,)]


def test_retired_files_are_deleted_after_their_grace(tiered: Warehouse, ids: dict[str, int], tmp_path: Path) -> None:
    put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 50) + minutes("AAA", "2024-02-01T14:30", 50))
    assert settle(tiered, M1, utc("2024-06-01")) == 2
    assert settle(tiered, M1, utc("2025-01-01")) == 1
    files = tmp_path / "lake" / "bars_1m" / "symbol=AAA"
    assert len(list(files.iterdir())) == 3
    assert sweep(tiered, timedelta(days=1)) == 0
    assert sweep(tiered, timedelta(days=1), now=datetime.now(UTC) + timedelta(days=2)) == 2
    assert [file.name for file in files.iterdir()] == ["2024-01-01_2025-01-01_v1.parquet"]
    assert len(rows(get(tiered, M1, ids))) == 100


def _somebody_waits(warehouse: Warehouse) -> bool:
    with warehouse.connection() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
            " WHERE NOT granted AND datname = current_database()"
        ).fetchone()
    return bool(row and row[0])


def _stored(warehouse: Warehouse, table: str) -> int:
    with warehouse.connection() as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize("columns", [["close"], ["source", "vwap"], [], ["instrument_id", "ts", "known_at"]])
def test_some_columns_are_the_same_as_all_wherever_bars_are(
    tiered: Warehouse, ids: dict[str, int], columns: list[str]
) -> None:
    put(
        tiered,
        M1,
        minutes("AAA", "2024-01-31T14:30", 50) + minutes("BTC/USD", "2024-01-01", 200),
        now=utc("2024-03-01"),
    )
    put(tiered, M1, minutes("AAA", "2024-02-01T14:30", 20), now=utc("2024-03-02"))
    put(tiered, M1, minutes("AAA", "2024-01-31T14:30", 20, close=12.0), now=utc("2024-03-03"))
    questions = [
        ([ids[symbol] for symbol in symbols], moment)
        for symbols in (["AAA"], ["AAA", "BTC/USD"])
        for moment in (None, utc("2024-03-02T12:00"))
    ]
    whole = [
        read_bars(tiered, M1, [BarRange(number, *EVER) for number in asked], as_of=moment)
        for asked, moment in questions
    ]
    names = [name for name in whole[0].column_names if name in {"instrument_id", "ts", *columns}]

    def some() -> list[pa.Table]:
        return [
            read_bars(tiered, M1, [BarRange(number, *EVER) for number in asked], as_of=moment, columns=columns)
            for asked, moment in questions
        ]

    assert same(some(), [table.select(names) for table in whole])  # in the store
    settle(tiered, M1, utc("2025-01-01"))
    apply_retention(tiered, M1, utc("2024-02-01"), now=NOW)
    assert same(some(), [table.select(names) for table in whole])  # January in the lake
    apply_retention(tiered, M1, utc("2025-01-01"), now=NOW)
    assert same(some(), [table.select(names) for table in whole])  # all in the lake
    assert [table.schema for table in some()] == [table.select(names).schema for table in whole]
