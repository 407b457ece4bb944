"""Two installations on one database: both read, and only the one with the database's lake archives or lets bars go."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg import conninfo

from chandlery import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import LakeError
from chandlery.lake.identity import FILE_NAME
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.verify import find_unknown_files
from chandlery.tiers.warehouse import Warehouse
from tests.editions import Server
from tests.support import Bar, every_row, open_warehouse, put, register, utc

M1 = Timeframe.M1
LATER = utc("2024-03-01")
OTHER_LAKE = "is not the lake of this database"


@pytest.fixture
def homes(database_url: str, tmp_path: Path) -> tuple[Warehouse, Warehouse]:
    """Two warehouses of one database with a month of bars, each with a lake of its own."""
    dsn = conninfo.make_conninfo(database_url)
    first, second = (open_warehouse(dsn, tmp_path / name) for name in ("first", "second"))
    register(first, {"AAA": "24/7"})
    put(first, M1, [Bar("AAA", utc(f"2024-01-{day:02}T12:00")) for day in range(1, 20)])
    return first, second


def archive_all(warehouse: Warehouse) -> int:
    with warehouse.connection() as connection:
        due = find_due(connection, M1, LATER)
    return len(list(archive(warehouse, due)))


def read(warehouse: Warehouse) -> int:
    bars: pa.Table = DataAPI(warehouse).get_ohlc("AAA", "2024-01-01", "2024-02-01", timeframe="1m", output="arrow")
    return len(bars)


def test_another_home_reads_and_changes_nothing_without_the_same_lake(
    homes: tuple[Warehouse, Warehouse], tmp_path: Path
) -> None:
    first, second = homes
    assert archive_all(first) == 1
    put(first, M1, [Bar("AAA", utc("2024-01-05T12:00"), close=11.5)])  # so that it is due again
    with first.connection() as connection:
        before = every_row(connection)
    assert read(second) == 19
    for deed in (archive_all, lambda home: apply_retention(home, M1, LATER)):
        with pytest.raises(LakeError, match=OTHER_LAKE) as caught:
            deed(second)
        assert str(tmp_path / "first") in str(caught.value)
        assert "CHANDLERY_LAKE" in str(caught.value)
    with first.connection() as connection:
        assert every_row(connection) == before
    assert not list((tmp_path / "second").rglob("*.parquet"))

    assert archive_all(first) == 1
    assert apply_retention(first, M1, LATER).released
    assert read(first) == 19
    with pytest.raises(LakeError, match=OTHER_LAKE):
        restore(second, M1, ["2024-01"])
    with pytest.raises(LakeError, match=f"is out of reach.*{OTHER_LAKE}"):
        read(second)
    same = Warehouse(second.database, first.lake)  # as CHANDLERY_LAKE would have it
    assert read(same) == 19
    assert restore(same, M1, ["2024-01"]) == {("AAA", "2024-01"): 19}
    assert find_unknown_files(first) == []


def test_a_lake_takes_one_database_only(
    homes: tuple[Warehouse, Warehouse], edition_server: Server, tmp_path: Path
) -> None:
    archive_all(homes[0])
    with edition_server.new_database() as dsn:
        stranger = open_warehouse(dsn, tmp_path / "first")
        register(stranger, {"AAA": "24/7"})
        put(stranger, M1, [Bar("AAA", utc("2024-01-01T12:00"))])
        with pytest.raises(LakeError, match="is the lake of another database"):
            archive_all(stranger)
        stranger.close()


def test_what_was_archived_before_there_were_ids_says_which_lake_it_is(
    homes: tuple[Warehouse, Warehouse], tmp_path: Path
) -> None:
    first, second = homes
    archive_all(first)
    put(first, M1, [Bar("AAA", utc("2024-01-05T12:00"), close=11.5)])
    with first.connection() as connection:
        connection.execute("DELETE FROM ops.lake")
    (tmp_path / "first" / FILE_NAME).unlink()
    with pytest.raises(LakeError, match=OTHER_LAKE):
        archive_all(second)
    assert archive_all(first) == 1
    with pytest.raises(LakeError, match=OTHER_LAKE):
        apply_retention(second, M1, LATER)


def test_a_kill_between_the_two_marks_is_mended_by_the_next_run(
    homes: tuple[Warehouse, Warehouse], tmp_path: Path
) -> None:
    first, _ = homes
    first.claim_lake()
    place = tmp_path / "first" / FILE_NAME
    lake_id = json.loads(place.read_text())["lake_id"]
    for left in ("file", "nothing"):
        with first.connection() as connection:
            connection.execute("UPDATE ops.lake SET marked = false")
        if left == "nothing":
            place.unlink()
        first.claim_lake()
        assert json.loads(place.read_text())["lake_id"] == lake_id
        with first.connection() as connection:
            assert connection.execute("SELECT marked FROM ops.lake").fetchone() == (True,)
    place.write_text("{}")
    with pytest.raises(LakeError, match=r"lake\.json is damaged"):
        first.claim_lake()
