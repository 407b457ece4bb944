"""What a lake in a folder meets: a full disk, no permission, a folder that is gone, a database that restarts.

Each is said clearly, loses nothing and leaves nothing half done, and the next run completes.
"""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import adbc_driver_manager
import psycopg
import pytest
from psycopg import conninfo, sql

from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.database import embedded
from chandlery.database.connections import Database
from chandlery.database.dsn import embedded_dsn, ensure_database
from chandlery.database.migrate import migrate
from chandlery.errors import LakeError, StoreError
from chandlery.lake.staged_file import StagedFile
from chandlery.lake.store import Lake
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.verify import find_unknown_files, verify
from chandlery.tiers.warehouse import Warehouse
from tests.embedded_server import stop_server
from tests.support import Bar, get, open_warehouse, put, register, rows, utc

M1 = Timeframe.M1
NOW = utc("2025-06-15")
SEALED = utc("2025-01-01")
SYMBOLS = {"AAA": "XNYS", "BTC/USD": "24/7"}
NOBODY = 65534
DAY = timedelta(days=1)
_numbers = itertools.count()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may reach, as ``tmp_path`` may not be."""
    path = Path(tempfile.mkdtemp(prefix="chandlery-lake-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of a megabyte."""
    place = folder / "disk"
    place.mkdir()
    _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def tiered(database_url: str, folder: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(folder / "disk" / "lake"))
    yield warehouse
    warehouse.close()


@pytest.fixture
def ids(tiered: Warehouse) -> dict[str, int]:
    return register(tiered, SYMBOLS)


def fill(warehouse: Warehouse) -> None:
    """Publish bars of both timeframes and symbols, and restate some."""
    for symbol in SYMBOLS:
        bars = [Bar(symbol, utc("2024-01-31T14:30") + timedelta(minutes=n), close=11 + n % 7 / 100) for n in range(200)]
        put(warehouse, M1, bars, now=utc("2024-03-01"))
        put(warehouse, M1, [bar._replace(close=12.0) for bar in bars[:20]], now=utc("2024-03-03"))
        put(warehouse, Timeframe.D1, [Bar(symbol, utc("2024-01-02"))], now=utc("2024-03-01"))


def answers(warehouse: Warehouse, ids: dict[str, int]) -> list[list[Bar]]:
    return [rows(get(warehouse, timeframe, ids, as_of=m)) for timeframe in INGESTED for m in (None, utc("2024-03-02"))]


def settle(warehouse: Warehouse) -> int:
    count = 0
    for timeframe in INGESTED:
        with warehouse.connection() as connection:
            due = find_due(connection, timeframe, SEALED)
        count += len(list(archive(warehouse, due)))
    return count


def prune(warehouse: Warehouse) -> int:
    reports = [apply_retention(warehouse, timeframe, SEALED, now=NOW) for timeframe in INGESTED]
    assert [report.refused for report in reports] == [[], []]
    return sum(len(report.released) for report in reports)


def files(root: Path) -> list[str]:
    """Return everything in a lake, on its way or there."""
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != "lake.json"
    )


def check_untouched(warehouse: Warehouse, ids: dict[str, int], truth: list[list[Bar]], root: Path) -> None:
    """See that a run that failed left everything in the store, nothing in the lake, and nothing in between."""
    assert answers(warehouse, ids) == truth
    assert files(root) == []
    assert list(verify(warehouse)) == []
    assert all(apply_retention(warehouse, timeframe, SEALED, now=NOW).released == [] for timeframe in INGESTED)


def check_complete(warehouse: Warehouse, ids: dict[str, int], truth: list[list[Bar]]) -> None:
    """See that the next runs do all there is to do."""
    settle(warehouse)
    prune(warehouse)
    assert answers(warehouse, ids) == truth
    assert [checked.fault for checked in verify(warehouse)] == [None] * 5
    assert find_unknown_files(warehouse) == []
    with warehouse.connection() as connection:
        assert connection.execute("SELECT count(*) FROM market.bars_1m").fetchone() == (0,)


# The disk


def test_a_full_disk_is_said_and_nothing_half_written_stays(tiered: Warehouse, ids: dict[str, int], disk: Path) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    filler.write_bytes(bytes(free - os.sysconf("SC_PAGE_SIZE")))  # room for a name, and the beginning of a file
    with pytest.raises(LakeError, match=r"symbol=AAA/.*parquet cannot be written: .*No space left on device"):
        settle(tiered)
    check_untouched(tiered, ids, truth, disk / "lake")

    filler.unlink()
    check_complete(tiered, ids, truth)


def test_a_full_disk_keeps_nothing_from_being_read_or_coming_back(
    tiered: Warehouse, ids: dict[str, int], disk: Path
) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    check_complete(tiered, ids, truth)
    with suppress(OSError), (disk / "filler").open("wb") as filler:
        filler.write(bytes(1 << 20))
    assert shutil.disk_usage(disk).free == 0
    assert restore(tiered, M1, ["2024-01"], symbols=["AAA"]) == {("AAA", "2024-01"): 200}
    assert answers(tiered, ids) == truth
    put(tiered, M1, [Bar("AAA", utc("2024-01-31T14:30"), close=13.0)], now=utc("2025-02-01"))
    after = answers(tiered, ids)
    with pytest.raises(LakeError, match="No space left on device"):
        settle(tiered)
    assert answers(tiered, ids) == after

    (disk / "filler").unlink()
    assert settle(tiered) == 1
    assert prune(tiered) == 1
    assert answers(tiered, ids) == after


def test_a_file_that_cannot_grow_is_said_and_nothing_half_written_stays(
    tiered: Warehouse, ids: dict[str, int], folder: Path
) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    tiered.claim_lake()
    with (
        _files_up_to(1000),
        pytest.raises(LakeError, match=r"symbol=AAA/.*parquet cannot be written: .*File too large"),
    ):
        settle(tiered)
    check_untouched(tiered, ids, truth, folder / "disk" / "lake")
    check_complete(tiered, ids, truth)


# Permission


def test_a_disk_that_turned_read_only_is_read_and_not_written(
    tiered: Warehouse, ids: dict[str, int], disk: Path
) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    with _read_only(disk), pytest.raises(LakeError, match="Read-only file system"):
        tiered.claim_lake()
    tiered.claim_lake()
    with _read_only(disk):
        with pytest.raises(LakeError, match=r"symbol=AAA/.*parquet cannot be written: .*Read-only file system"):
            settle(tiered)
        check_untouched(tiered, ids, truth, disk / "lake")
    assert settle(tiered) == 3
    with _read_only(disk):
        assert prune(tiered) == 4  # it reads only
        assert answers(tiered, ids) == truth
        put(tiered, M1, [Bar("AAA", utc("2024-01-31T14:30"), close=13.0)], now=utc("2025-02-01"))
        after = answers(tiered, ids)
        with pytest.raises(LakeError, match="Read-only file system"):
            settle(tiered)
        assert answers(tiered, ids) == after
    assert settle(tiered) == 1
    kept = files(disk / "lake")
    with _read_only(disk), pytest.raises(LakeError, match=r"_v1.parquet cannot be deleted: .*Read-only file system"):
        sweep(tiered, timedelta(0), now=datetime.now(UTC) + DAY)
    assert files(disk / "lake") == kept
    assert sweep(tiered, timedelta(0), now=datetime.now(UTC) + DAY) == 2
    assert prune(tiered) == 1
    assert answers(tiered, ids) == after


def test_a_folder_that_may_not_be_written_is_said(tiered: Warehouse, ids: dict[str, int], folder: Path) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    lake = folder / "disk" / "lake"
    tiered.claim_lake()
    lake.chmod(0o555)
    with (
        _unprivileged(),
        pytest.raises(LakeError, match=r"symbol=AAA/.*parquet cannot be written: .*Permission denied"),
    ):
        settle(tiered)
    check_untouched(tiered, ids, truth, lake)
    lake.chmod(0o755)
    check_complete(tiered, ids, truth)


def test_a_file_that_may_not_be_read_stays_in_the_store_until_it_may(
    tiered: Warehouse, ids: dict[str, int], folder: Path
) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    assert settle(tiered) == 3
    file = next(folder.rglob("bars_1m/symbol=BTC*/*.parquet"))
    file.chmod(0)
    with _unprivileged():
        report = apply_retention(tiered, M1, SEALED, now=NOW)
        assert [refusal.symbol for refusal in report.refused] == ["BTC/USD"]
        assert "Permission denied" in report.refused[0].reason
        assert str(file) in report.refused[0].reason
        assert answers(tiered, ids) == truth
    file.chmod(0o644)
    check_complete(tiered, ids, truth)
    file.chmod(0)
    with _unprivileged(), pytest.raises(LakeError, match=r"symbol=BTC%2FUSD/.*Permission denied"):
        get(tiered, M1, ids)
    file.chmod(0o644)
    assert answers(tiered, ids) == truth


# The folder


def test_a_folder_that_vanished_is_not_taken_for_an_empty_lake(
    tiered: Warehouse, ids: dict[str, int], folder: Path
) -> None:
    fill(tiered)
    truth = answers(tiered, ids)
    assert settle(tiered) == 3
    lake, elsewhere = folder / "disk" / "lake", folder / "elsewhere"
    lake.rename(elsewhere)
    for timeframe in INGESTED:
        with pytest.raises(LakeError, match=f"^{lake}/lake.json is out of reach: .*is it mounted"):
            apply_retention(tiered, timeframe, SEALED, now=NOW)
    assert answers(tiered, ids) == truth
    assert [checked.fault is None for checked in verify(tiered)] == [False] * 5
    elsewhere.rename(lake)
    check_complete(tiered, ids, truth)

    put(tiered, M1, [Bar("AAA", utc("2024-01-31T14:30"), close=13.0)], now=utc("2025-02-01"))
    settle(tiered)
    prune(tiered)
    after = answers(tiered, ids)
    lake.rename(elsewhere)
    gone = f"^{lake}/(bars_1m/.*|lake.json) is out of reach: there is no folder {lake}; is it mounted"
    with pytest.raises(LakeError, match=gone):
        get(tiered, M1, ids)
    with pytest.raises(LakeError, match=gone):
        put(tiered, M1, [Bar("AAA", utc("2024-01-31T14:30"), close=14.0)], now=utc("2025-02-02"))
    with pytest.raises(LakeError, match=gone):
        restore(tiered, M1, ["2024-01"])
    with pytest.raises(LakeError, match=gone):
        sweep(tiered, timedelta(0), now=datetime.now(UTC) + DAY)
    elsewhere.rename(lake)
    assert answers(tiered, ids) == after
    assert sweep(tiered, timedelta(0), now=datetime.now(UTC) + DAY) == 2
    assert answers(tiered, ids) == after


# The database


@pytest.fixture(scope="module")
def own_server() -> Iterator[tuple[str, Callable[[], None]]]:
    """Connection string of a server of this module only, with a migrated database ``original``; how to crash it."""
    place = Path(tempfile.mkdtemp(prefix="chandlery-tests-"))
    data = place / "data"
    admin = conninfo.make_conninfo(embedded_dsn(data, "postgres"), user=embedded.SUPERUSER)
    original = conninfo.make_conninfo(admin, dbname="original")
    ensure_database(original)
    with psycopg.connect(original, autocommit=True) as connection:
        # A server that crashes still has what it gave the system to write.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        migrate(connection)

    def restart() -> None:
        stop_server(data, "immediate")
        embedded.start(data)

    yield admin, restart
    embedded.leave(data, wait=True)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def new_life(
    own_server: tuple[str, Callable[[], None]], folder: Path
) -> Iterator[Callable[[], tuple[Warehouse, dict[str, int]]]]:
    """Return how to get a database on that server with bars, which a lake may take, and the ids."""
    admin, _ = own_server
    filled = open_warehouse(conninfo.make_conninfo(admin, dbname="original"))
    with filled.connection() as connection:
        known = dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
    ids = known or register(filled, SYMBOLS)
    if not known:
        fill(filled)
    filled.close()
    made: list[Warehouse] = []

    def make() -> tuple[Warehouse, dict[str, int]]:
        copy = f"life_{next(_numbers)}"
        with psycopg.connect(admin, autocommit=True) as connection:
            named = sql.SQL("CREATE DATABASE {} TEMPLATE original STRATEGY file_copy").format(sql.Identifier(copy))
            connection.execute(named)
        made.append(Warehouse(Database(conninfo.make_conninfo(admin, dbname=copy)), Lake(folder / copy)))
        return made[-1], ids

    yield make
    for warehouse in made:
        warehouse.close()


@pytest.mark.slow
def test_a_database_that_restarts_at_any_step_loses_nothing(
    own_server: tuple[str, Callable[[], None]],
    new_life: Callable[[], tuple[Warehouse, dict[str, int]]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = 0
    for last in itertools.count(1, 3):
        warehouse, ids = new_life()
        truth = answers(warehouse, ids)
        steps = itertools.count(1)
        with monkeypatch.context() as patched:
            for owner, name in ((psycopg.Connection, "execute"), (StagedFile, "write"), (StagedFile, "commit")):
                patched.setattr(owner, name, _interrupted(getattr(owner, name), steps, last, own_server[1]))
            try:
                settle(warehouse)
                prune(warehouse)
            except (psycopg.OperationalError, adbc_driver_manager.OperationalError, StoreError):
                failures += 1
        warehouse.close()
        later = Warehouse(Database(warehouse.database.dsn), warehouse.lake)  # of the process that runs next
        assert answers(later, ids) == truth, f"after step {last}"
        check_complete(later, ids, truth)
        for path in folder.rglob("_staging/*"):  # what was named before it was known whether the manifest has it
            os.utime(path, (0, 0))
        sweep(later, timedelta(days=10_000))
        assert not [file for file in files(folder) if "_staging/" in file]
        check_complete(later, ids, truth)
        later.close()
        with psycopg.connect(own_server[0], autocommit=True) as connection:
            named = sql.Identifier(str(conninfo.conninfo_to_dict(warehouse.database.dsn)["dbname"]))
            connection.execute(sql.SQL("DROP DATABASE {}").format(named))
        if next(steps) <= last:
            break
    assert last > 30
    assert failures > 8


def test_a_process_goes_on_after_the_database_restarted(
    own_server: tuple[str, Callable[[], None]], new_life: Callable[[], tuple[Warehouse, dict[str, int]]]
) -> None:
    warehouse, ids = new_life()
    truth = answers(warehouse, ids)
    own_server[1]()
    with suppress(psycopg.OperationalError, StoreError):  # one failure may be what it takes to notice
        settle(warehouse)
    check_complete(warehouse, ids, truth)
    warehouse.close()


def test_a_restart_while_archiving_is_a_clear_error(
    own_server: tuple[str, Callable[[], None]],
    new_life: Callable[[], tuple[Warehouse, dict[str, int]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warehouse, ids = new_life()
    truth = answers(warehouse, ids)
    with warehouse.connection() as connection:
        due = find_due(connection, M1, SEALED)
    # While the bars are being read, which happens on a connection of another driver.
    read = Database.fetch_arrow
    restart = _interrupted(lambda: None, itertools.count(1), 1, own_server[1])
    monkeypatch.setattr(Database, "fetch_arrow", lambda *args, **options: (restart(), read(*args, **options))[1])
    with pytest.raises((psycopg.OperationalError, StoreError)):
        list(archive(warehouse, due))
    monkeypatch.undo()
    warehouse.close()
    later = Warehouse(Database(warehouse.database.dsn), warehouse.lake)
    check_complete(later, ids, truth)
    later.close()


def _interrupted(
    deed: Callable[..., Any], steps: Iterator[int], last: int, restart: Callable[[], None]
) -> Callable[..., Any]:
    """Return ``deed``, after which the server restarts if it is the step ``last``."""

    @wraps(deed)
    def done(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        result = deed(*args, **kwargs)
        if next(steps) == last:
            restart()
        return result

    return done


def _mount(*arguments: str) -> None:
    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("a file system of its own can be mounted on Linux only")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@contextmanager
def _read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """Let this process write no larger files for a while; all that a machine without a disk of its own can do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Be nobody for a while, where this is root, whom no permission binds."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
