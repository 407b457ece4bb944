"""What is killed after every message and before every file operation: small operations, and who carries them out.

Each operation can be called again after it was cut short, and completes. Not here: the killing (``test_every_kill``),
and where it is done (``scene``).
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import pyarrow as pa
from psycopg import conninfo

from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.migrate import REVISION, migrate
from chandlery.ingest.gate import REJECTED, AuditReport, Check, Gate, Verdict
from chandlery.ingest.landing import Landing
from chandlery.ingest.landing_zone import make_zone
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.quarantine import list_entries
from chandlery.ingest.release import release
from chandlery.lake.store import Lake
from chandlery.ops.move.contents import TablePart
from chandlery.ops.move.move import move
from chandlery.providers.base import BarReply, BarRequest, ProviderLimits
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, instruments_of, put, register, table, utc

M1, D1 = Timeframe.M1, Timeframe.D1
SEALED = utc("2024-03-01")
YEAR_CLOSED = utc("2025-03-01")
BARS = [Bar("AAA", utc(day) + timedelta(minutes=n)) for day in ("2024-01-31T14:30", "2024-02-01T14:30") for n in (0, 1)]
RESTATED = [bar._replace(close=11.5) for bar in BARS[1:3]]
CORRECTED = [BARS[0]._replace(close=11.75)]
DAYS = [Bar("AAA", utc(day), source="remote") for day in ("2024-01-30", "2024-01-31")]

# Once instead of in every process: two seconds, and what reading in columns imports.
get_calendar("XNYS")
for name in ("chandlery.database.arrow_session", "pandas", "pyarrow.parquet", "alembic.command"):
    importlib.import_module(name)


@dataclass(frozen=True)
class Place:
    """Where an operation is carried out.

    Attributes:
        warehouse: a database and a lake.
        landing: of the same database.
        zone: where its answers lie.
    """

    warehouse: Warehouse
    landing: Landing
    zone: Lake

    @classmethod
    def open(cls, dsn: str, root: Path) -> Self:
        """Return the place of a database whose files are in ``root``."""
        database = Database(dsn)
        zone = Lake(root / "landing")
        return cls(Warehouse(database, Lake(root / "lake")), Landing(database, zone), zone)


@dataclass(frozen=True)
class Operation:
    """Something that may be cut short.

    Attributes:
        act: carries it out, or what is left of it.
        after: what was carried out before.
        states: through how many states the database goes, the first and the last among them.
        clocks: columns that hold times of the clock.
        is_move: whether it fills an empty database from another, in which the operations before were carried out.
        changes_columns: whether it changes tables that were there before.
    """

    act: Callable[[Place], object]
    after: tuple[str, ...]
    states: int
    clocks: frozenset[str] = field(default=frozenset())
    is_move: bool = False
    changes_columns: bool = False


class Remote:
    """A provider that calls cost, and that has two days."""

    name = "remote"
    timeframes = (D1,)
    limits = ProviderLimits(remote=True)

    def fetch(self, request: BarRequest) -> BarReply:
        """See ``chandlery.providers.base.Provider``."""
        return BarReply(table(bar for bar in DAYS if request.start <= bar.ts < request.end))

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """See ``chandlery.providers.base.Provider``."""
        return None


class Accepting:
    """A gate that accepts everything."""

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        """See ``chandlery.ingest.gate.Gate``."""
        return AuditReport([Verdict(each, True, 0, [], REJECTED.empty_table()) for each in partitions], bars)


class Rejecting:
    """A gate that rejects everything."""

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        """See ``chandlery.ingest.gate.Gate``."""
        reasons = pa.array([[]] * bars.num_rows, REJECTED.field("reasons").type)
        rejected = bars.append_column(REJECTED.field("reasons"), reasons)
        checks = [Check("never", "critical", passed=False)]
        return AuditReport([Verdict(each, False, bars.num_rows, checks, rejected) for each in partitions], bars[:0])


def _publish(place: Place) -> None:
    put(place.warehouse, M1, BARS, now=utc("2024-02-02"))


def _revise(place: Place) -> None:
    put(place.warehouse, M1, RESTATED, now=utc("2024-02-03"))


def _derive(place: Place) -> None:
    warehouse = place.warehouse
    list(catch_up(warehouse, M1, list(instruments_of(warehouse).values()), *EVER, now=utc("2024-02-04")))


def _archive(place: Place) -> None:
    with place.warehouse.connection() as connection:
        due = find_due(connection, M1, SEALED)
    list(archive(place.warehouse, due))


def _prune(place: Place) -> None:
    assert not apply_retention(place.warehouse, M1, SEALED, now=YEAR_CLOSED).refused


def _restore(place: Place) -> None:
    restore(place.warehouse, M1, ["2024-01"])


def _correct(place: Place) -> None:
    put(place.warehouse, M1, CORRECTED, now=utc("2024-03-02"))


def _compact(place: Place) -> None:
    with place.warehouse.connection() as connection:
        due = find_due(connection, M1, YEAR_CLOSED)
    list(archive(place.warehouse, due))
    sweep(place.warehouse, timedelta(0))


def _ingest(place: Place, gate: Gate | None = None) -> None:
    instruments = instruments_of(place.warehouse)
    partitions = [Partition.of(instruments["AAA"], D1, D1.window("2024"))]
    results = list(_pipeline(place, gate or Accepting()).ingest(Remote(), partitions))
    assert not [result.error for result in results if result.error]


def _reject(place: Place) -> None:
    _ingest(place, Rejecting())


def _replay(place: Place) -> None:
    list(_pipeline(place, Accepting()).replay(place.landing.find("remote", D1), Remote.limits))


def _release(place: Place) -> None:
    with place.warehouse.connection() as connection:
        waiting = list_entries(connection)
    for entry in waiting:
        release(place.warehouse, entry.quarantine_id, "seen in the paper", released_by="Ada")


def _forget(place: Place) -> None:
    place.landing.sweep(utc("2025-06-01"))


def _downgrade(place: Place) -> None:
    with place.warehouse.connection() as connection:
        migrate(connection, f"{int(REVISION) - 1:04}")


def _migrate(place: Place) -> None:
    with place.warehouse.connection() as connection:
        migrate(connection)


def _move(place: Place) -> None:
    target = place.warehouse.database
    with Database(conninfo.make_conninfo(target.dsn, dbname="source")) as source:
        move(source, target, _Silent())


class _Silent:
    """Is called as a move goes on, and does nothing."""

    def planned(self, parts: int, rows: int) -> None:
        """See ``MoveListener``."""

    def copying(self, part: TablePart) -> None:
        """See ``MoveListener``."""

    def copied(self, part: TablePart, rows: int) -> None:
        """See ``MoveListener``."""

    def kept(self, part: TablePart) -> None:
        """See ``MoveListener``."""

    def verified(self, part: TablePart) -> None:
        """See ``MoveListener``."""


def _pipeline(place: Place, gate: Gate) -> IngestPipeline:
    instruments = instruments_of(place.warehouse)
    return IngestPipeline(place.warehouse, gate, instruments, landing=place.landing, now=utc("2025-03-02"))


#: By name; those that only prepare another are not cut short.
OPERATIONS = {
    "publish": Operation(_publish, (), 2),
    "revise": Operation(_revise, ("publish",), 2),
    "derive": Operation(_derive, ("publish", "derive", "revise"), 3),
    "archive": Operation(_archive, ("publish", "revise"), 3),
    "prune": Operation(_prune, ("publish", "revise", "archive"), 5),
    "restore": Operation(_restore, ("publish", "revise", "archive", "prune"), 2),
    "restore on write": Operation(_correct, ("publish", "revise", "archive", "prune"), 2),
    "compact": Operation(_compact, ("publish", "revise", "archive"), 4),
    "ingest": Operation(_ingest, (), 3),
    "reject": Operation(_reject, (), 4),
    "replay": Operation(_replay, ("reject",), 2),
    "release": Operation(_release, ("reject",), 2, clocks=frozenset({"known_at", "changed_at", "released_at"})),
    "forget": Operation(_forget, ("ingest",), 2),
    "move": Operation(_move, ("publish", "revise"), 7, clocks=frozenset({"begun_at"}), is_move=True),
    "migrate": Operation(_migrate, ("downgrade",), 2, changes_columns=True),
    "downgrade": Operation(_downgrade, (), 2),
}
CUT_SHORT = [name for name in OPERATIONS if name != "downgrade"]


def prepare(place: Place, name: str) -> None:
    """Bring a new place to where the operation ``name`` begins."""
    register(place.warehouse, {"AAA": "XNYS"})
    # By numbers that are drawn by lot, so not within an operation.
    place.warehouse.claim_lake()
    with place.warehouse.connection() as connection:
        make_zone(connection, place.zone)
    for earlier in OPERATIONS[name].after:
        OPERATIONS[earlier].act(place)


def nurse(orders: Connection) -> None:
    """In a process: carry out the operations that are ordered, each in a child of its own, and report its end.

    An order is (operation, connection string, folder of the files, number of the file operation before which the child
    kills itself or 0); what comes back is the child's exit code, negative for a signal.
    """
    gc.freeze()
    while True:
        try:
            name, dsn, root, last = orders.recv()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _live(name, dsn, root, last)
        orders.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _live(name: str, dsn: str, root: str, last: int) -> None:
    """Carry out an operation, and end this process."""
    code = 1
    try:
        place = Place.open(dsn, Path(root))
        if last:
            _die_before(last, Path(root))
        OPERATIONS[name].act(place)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


#: What the interpreter tells of before it does it; of fsync it tells nothing.
_FILE_OPERATIONS = frozenset(
    {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.truncate", "os.utime", "os.chmod"}
)


def _die_before(last: int, root: Path) -> None:
    """Let this process be killed before its ``last``-th file operation in a folder."""
    count = 0

    def notice(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in _FILE_OPERATIONS and str(arguments[0]).startswith(str(root)):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(notice)
