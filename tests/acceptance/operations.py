"""What is killed after every message and at every file operation: small operations, and who carries them out.

Each operation can be called again after it was cut short, and completes. Not here: the killing (``test_every_kill``).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.lake.store import Lake
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due, sweep
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, instruments_of, put, register, utc

M1 = Timeframe.M1
SEALED = utc("2024-03-01")
YEAR_CLOSED = utc("2025-03-01")
BARS = [Bar("AAA", utc(day) + timedelta(minutes=n)) for day in ("2024-01-31T14:30", "2024-02-01T14:30") for n in (0, 1)]
RESTATED = [bar._replace(close=11.5) for bar in BARS[1:3]]
CORRECTED = [BARS[0]._replace(close=11.75)]

# Once instead of in every process: two seconds, and what reading in columns imports.
get_calendar("XNYS")
for name in ("adbc_driver_postgresql.dbapi", "polars", "pyarrow.dataset"):
    importlib.import_module(name)


@dataclass(frozen=True)
class Operation:
    """Something that may be cut short.

    Attributes:
        act: carries it out, or what is left of it.
        after: what was carried out before.
        states: through how many states the database goes, the first and the last among them.
    """

    act: Callable[[Warehouse], object]
    after: tuple[str, ...]
    states: int


def _publish(warehouse: Warehouse) -> None:
    put(warehouse, M1, BARS, now=utc("2024-02-02"))


def _revise(warehouse: Warehouse) -> None:
    put(warehouse, M1, RESTATED, now=utc("2024-02-03"))


def _derive(warehouse: Warehouse) -> None:
    list(catch_up(warehouse, M1, list(instruments_of(warehouse).values()), *EVER, now=utc("2024-02-04")))


def _archive(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        due = find_due(connection, M1, SEALED)
    list(archive(warehouse, due))


def _prune(warehouse: Warehouse) -> None:
    assert not apply_retention(warehouse, M1, SEALED, now=YEAR_CLOSED).refused


def _restore(warehouse: Warehouse) -> None:
    restore(warehouse, M1, ["2024-01"])


def _correct(warehouse: Warehouse) -> None:
    put(warehouse, M1, CORRECTED, now=utc("2024-03-02"))


def _compact(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        due = find_due(connection, M1, YEAR_CLOSED)
    list(archive(warehouse, due))
    sweep(warehouse, timedelta(0))


OPERATIONS = {
    "publish": Operation(_publish, (), 2),
    "revise": Operation(_revise, ("publish",), 2),
    "derive": Operation(_derive, ("publish", "revise"), 3),
    "archive": Operation(_archive, ("publish", "revise"), 3),
    "prune": Operation(_prune, ("publish", "revise", "archive"), 5),
    "restore": Operation(_restore, ("publish", "revise", "archive", "prune"), 2),
    "restore on write": Operation(_correct, ("publish", "revise", "archive", "prune"), 2),
    "compact": Operation(_compact, ("publish", "revise", "archive"), 4),
}


def prepare(warehouse: Warehouse, name: str) -> None:
    """Bring a new warehouse to where the operation ``name`` begins."""
    register(warehouse, {"AAA": "XNYS"})
    warehouse.claim_lake()  # by a number that is drawn by lot, so not within an operation
    for earlier in OPERATIONS[name].after:
        OPERATIONS[earlier].act(warehouse)


def nurse(orders: Connection) -> None:
    """In a process: carry out the operations that are ordered, each in a child of its own, and report its end.

    An order is (operation, connection string, root of the lake, number of the file operation before which the child
    kills itself or 0); what comes back is the child's exit code, negative for a signal.
    """
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
        with Database(dsn) as database:
            if last:
                _die_before(last, Path(root))
            OPERATIONS[name].act(Warehouse(database, Lake(root)))
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _die_before(last: int, root: Path) -> None:
    """Let this process be killed before its ``last``-th file operation in a lake: open, make, rename or delete."""
    count = 0

    def notice(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in {"open", "os.mkdir", "os.rename", "os.remove"} and str(arguments[0]).startswith(str(root)):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(notice)
