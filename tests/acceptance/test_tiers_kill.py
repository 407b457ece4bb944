"""A process that archives, lets go and restores is killed at each of its steps in turn.

After each kill every bar is in the store, in the lake, or both, and every answer is what it was; and the next run
completes.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.database.connections import Database
from chandlery.database.editions.postgres import PostgresEdition
from chandlery.lake.staged_file import StagedFile
from chandlery.lake.store import Lake
from chandlery.publishing import publish as publishing
from chandlery.tiers import archive as archiving
from chandlery.tiers import restore as restoring
from chandlery.tiers import retention
from chandlery.tiers import sweep as sweeping
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.verify import verify
from chandlery.tiers.warehouse import Warehouse
from tests.acceptance.workers import context
from tests.support import Bar, get, put, register, rows, utc

SYMBOLS = {"AAA": "XNYS"}
SEALED = utc("2025-01-01")
#: What a process does to the world. Each may be its last deed: done, and not yet committed where it is a statement.
DEEDS = [
    (StagedFile, "write"),
    (StagedFile, "commit"),
    (Lake, "delete"),
    (archiving, "lock_archive"),
    (archiving, "add_entry"),
    (archiving, "note_archived"),
    (archiving, "retire_entries"),
    (sweeping, "note_deleted"),
    (retention, "note_verified"),
    (retention, "mark_cold"),
    (retention, "record_days"),
    (retention, "delete_revisions"),
    (retention, "has_hot_windows"),
    (PostgresEdition, "drop"),
    (restoring, "advance_epoch"),
    (restoring, "replace_range"),
    (restoring, "forget_days"),
    (restoring, "mark_hot"),
    (publishing, "record"),
]


def live(dsn: str, lake: str, last_deed: int | None) -> None:
    """Archive, let go, bring one month back, correct another; be killed after ``last_deed`` deeds."""
    if last_deed is not None:
        count = itertools.count(1)
        for owner, name in DEEDS:
            setattr(owner, name, _mortal(getattr(owner, name), count, last_deed))
    warehouse = Warehouse(Database(dsn), Lake(lake))
    maintain(warehouse)
    restore(warehouse, Timeframe.M1, ["2024-02"])
    put(warehouse, Timeframe.M1, correction(), now=utc("2025-03-01"))
    maintain(warehouse)
    warehouse.close()


def maintain(warehouse: Warehouse) -> None:
    """Do what is done every day."""
    for timeframe in INGESTED:
        with warehouse.connection() as connection:
            due = find_due(connection, timeframe, SEALED)
        list(archive(warehouse, due))
        assert not apply_retention(warehouse, timeframe, SEALED, now=utc("2025-06-01")).refused
    sweep(warehouse, timedelta(0))


def correction() -> list[Bar]:
    return [Bar("AAA", utc("2024-01-31T14:30") + timedelta(minutes=n), close=11.5) for n in range(5)]


def _mortal(deed: Callable[..., Any], count: Iterator[int], last: int) -> Callable[..., Any]:
    @wraps(deed)
    def done(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        result = deed(*args, **kwargs)
        if next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return done


@pytest.fixture
def filled(warehouse: Warehouse) -> tuple[str, dict[str, int]]:
    """A database with some months and years of bars, some restated; and the ids."""
    ids = register(warehouse, SYMBOLS)
    for symbol in SYMBOLS:
        for day in ("2024-01-31T14:30", "2024-02-01T14:30", "2025-01-02T14:30"):
            bars = [Bar(symbol, utc(day) + timedelta(minutes=n)) for n in range(20)]
            put(warehouse, Timeframe.M1, bars, now=utc("2025-02-01"))
            put(warehouse, Timeframe.M1, [bar._replace(close=11.25) for bar in bars[:3]], now=utc("2025-02-02"))
        put(
            warehouse,
            Timeframe.D1,
            [Bar(symbol, utc(day)) for day in ("2023-05-05", "2024-05-06")],
            now=utc("2025-02-01"),
        )
        put(warehouse, Timeframe.D1, [Bar(symbol, utc("2023-05-05"), close=9.5)], now=utc("2025-02-02"))
    warehouse.close()
    return warehouse.database.dsn, ids


@pytest.mark.slow
def test_a_kill_after_any_step_loses_nothing(filled: tuple[str, dict[str, int]], tmp_path: Path) -> None:
    original, ids = filled
    name = str(conninfo.conninfo_to_dict(original)["dbname"])
    before = _answers(Warehouse(Database(original), Lake(tmp_path / "none")), ids)
    processes = context()
    with psycopg.connect(conninfo.make_conninfo(original, dbname="postgres"), autocommit=True) as admin:
        for last_deed in itertools.count(1):
            copy, lake = f"life_{last_deed}", tmp_path / f"lake_{last_deed}"
            admin.execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY file_copy")  # type: ignore[arg-type]
            dsn = conninfo.make_conninfo(original, dbname=copy)
            process = processes.Process(target=live, args=(dsn, str(lake), last_deed))
            process.start()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL), f"died otherwise after deed {last_deed}"
            warehouse = Warehouse(Database(dsn), Lake(lake))
            _check(warehouse, ids, before, f"killed after deed {last_deed}")
            if process.exitcode != 0:
                live_on = processes.Process(target=live, args=(dsn, str(lake), None))
                live_on.start()
                live_on.join()
                assert live_on.exitcode == 0, f"could not go on after deed {last_deed}"
                _check(warehouse, ids, before, f"went on after deed {last_deed}")
            with warehouse.connection() as connection:
                assert connection.execute("SELECT count(*) FROM market.bars_1m").fetchone() == (20,)  # of 2025
            warehouse.close()
            admin.execute(f"DROP DATABASE {copy} WITH (FORCE)")  # type: ignore[arg-type]
            shutil.rmtree(lake, ignore_errors=True)
            if process.exitcode == 0:
                break
    assert last_deed > 25, "the steps were not counted"


def _answers(warehouse: Warehouse, ids: dict[str, int]) -> list[list[Bar]]:
    moments: list[datetime] = [utc("2025-02-01T12:00"), utc("2025-02-03")]
    found = [rows(get(warehouse, timeframe, ids, as_of=moment)) for timeframe in INGESTED for moment in moments]
    warehouse.close()
    return found


def _check(warehouse: Warehouse, ids: dict[str, int], before: list[list[Bar]], when: str) -> None:
    assert _answers(warehouse, ids) == before, when
    present = {(bar.symbol, bar.ts): bar for bar in rows(get(warehouse, Timeframe.M1, ids))}
    assert len(present) == 60, when
    corrected = {present[bar.symbol, bar.ts].close for bar in correction()}
    assert corrected in ({11.5}, {11.0, 11.25}), when
    assert not [checked.fault for checked in verify(warehouse) if checked.fault], when
    with warehouse.connection() as connection:
        row = connection.execute(
            "SELECT count(*) FROM ops.bar_window AS w JOIN market.bars_revision AS r USING (timeframe, instrument_id)"
            " WHERE w.cold AND r.ts >= w.start AND r.ts < w.start + interval '1 month'"
        ).fetchone()
    assert row == (0,), when
