"""What a read returns while windows move between the store and the lake under its hands: at a chosen moment, each time.

The moment is chosen by a database or a lake that lets something happen before it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database, Snapshot
from chandlery.errors import LakeError
from chandlery.lake.identity import FILE_NAME
from chandlery.lake.store import Lake
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, get, put, register, rows, utc

pytestmark = pytest.mark.every_edition

M1 = Timeframe.M1
NOW = utc("2025-06-15")
JANUARY, FEBRUARY = (
    [Bar("AAA", utc(f"2024-0{month}-15T15:00") + timedelta(minutes=n)) for n in range(5)] for month in (1, 2)
)


class InterruptedDatabase(Database):
    """A database in which ``event`` happens before the first bars are read from it."""

    def __init__(self, dsn: str, event: Callable[[], object]) -> None:
        super().__init__(dsn)
        self._events = [event]

    def fetch_arrow(self, statement: sql.Composed, *, snapshot: Snapshot | None = None) -> pa.Table:
        """See ``Database``."""
        while self._events:
            self._events.pop()()
        return super().fetch_arrow(statement, snapshot=snapshot)


class InterruptedLake(Lake):
    """A lake in which ``event`` happens before its first file is opened. It counts the files of bars opened."""

    def __init__(self, root: str | Path, event: Callable[[], object] = lambda: None) -> None:
        super().__init__(root)
        self._events = [event]
        self.opened = 0

    @contextmanager
    def open(self, path: str) -> Iterator[pa.NativeFile]:
        """See ``Lake``."""
        while self._events:
            self._events.pop()()
        self.opened += path != FILE_NAME
        with super().open(path) as source:
            yield source


@pytest.fixture
def tiered(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """A warehouse with five minutes in each of two months, archived and still in the store."""
    tiered = Warehouse(warehouse.database, Lake(tmp_path / "lake"))
    register(tiered, {"AAA": "XNYS"})
    put(tiered, M1, JANUARY + FEBRUARY, now=utc("2024-03-01"))
    settle(tiered, "2024-06-01")
    return tiered


@pytest.fixture
def ids(tiered: Warehouse) -> dict[str, int]:
    with tiered.connection() as connection:
        return dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())


def settle(warehouse: Warehouse, before: str) -> None:
    with warehouse.connection() as connection:
        due = find_due(connection, M1, utc(before))
    list(archive(warehouse, due))


def leave(warehouse: Warehouse, before: str) -> None:
    assert apply_retention(warehouse, M1, utc(before), now=NOW).refused == []


def test_a_window_that_has_not_ended_keeps_no_other_from_being_archived(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    bars = [bar._replace(symbol=symbol) for symbol in ("AAA", "BBB") for bar in FEBRUARY + JANUARY]
    put(warehouse, M1, bars, now=utc("2024-03-01"))
    with warehouse.connection() as connection:
        due = find_due(connection, M1, utc("2024-02-15"))
    assert [(scope.symbol, scope.start) for scope in due] == [("AAA", date(2024, 1, 1)), ("BBB", date(2024, 1, 1))]


def test_a_window_that_leaves_before_the_store_is_read_is_read_from_the_lake(
    tiered: Warehouse, ids: dict[str, int]
) -> None:
    with InterruptedDatabase(tiered.database.dsn, lambda: leave(tiered, "2024-02-01")) as database:
        assert rows(get(Warehouse(database, tiered.lake), M1, ids)) == JANUARY + FEBRUARY


def test_a_window_that_comes_back_and_changes_before_its_file_is_read_is_read_from_the_store(
    tiered: Warehouse, ids: dict[str, int], tmp_path: Path
) -> None:
    leave(tiered, "2024-03-01")
    corrected = [bar._replace(close=10.0) for bar in JANUARY]

    def come_back() -> None:
        assert restore(tiered, M1, ["2024-01"]) == {("AAA", "2024-01"): 5}
        assert put(tiered, M1, corrected).revised == 5

    lake = InterruptedLake(tmp_path / "lake", come_back)
    assert rows(get(Warehouse(tiered.database, lake), M1, ids)) == corrected + FEBRUARY


def test_a_file_that_is_replaced_and_deleted_before_it_is_opened_is_read_in_its_next_version(
    tiered: Warehouse, ids: dict[str, int], tmp_path: Path
) -> None:
    leave(tiered, "2024-03-01")

    def replace_files() -> None:
        settle(tiered, "2025-01-01")  # the months of the closed year become one file
        assert sweep(tiered, timedelta(0), now=datetime.now(UTC) + timedelta(days=1)) == 2

    lake = InterruptedLake(tmp_path / "lake", replace_files)
    assert rows(get(Warehouse(tiered.database, lake), M1, ids)) == JANUARY + FEBRUARY
    assert lake.opened == 3  # the two that are gone, side by side, and the one that has both months


def test_a_file_that_is_missing_is_looked_for_once(tiered: Warehouse, ids: dict[str, int], tmp_path: Path) -> None:
    leave(tiered, "2024-03-01")
    for file in (tmp_path / "lake").rglob("2024-01*.parquet"):
        file.unlink()
    lake = InterruptedLake(tmp_path / "lake")
    with pytest.raises(LakeError, match=r"2024-01-01_2024-02-01_v1\.parquet is missing"):
        get(Warehouse(tiered.database, lake), M1, ids)
    assert lake.opened <= 2  # it and, if that had begun, the one that is there
