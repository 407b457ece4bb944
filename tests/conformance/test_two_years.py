"""Two years of a store by a virtual clock: bars come, are corrected late and later, and move between the tiers.

At every step the answers equal those of a store that was never tiered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from chandlery.app.configuration import Configuration
from chandlery.app.installation import Installation
from chandlery.app.maintenance import archive_due, clean_up, compress, prune
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.instruments.registry import sync_instruments
from chandlery.lake.store import Lake
from chandlery.reading.revisions import read_revisions
from chandlery.settings import Settings
from chandlery.tiers.restore import restore
from chandlery.tiers.verify import find_unknown_files, verify
from chandlery.tiers.warehouse import Warehouse
from tests.conformance.test_same_answers import UNIVERSE, Answers, answers, differences, instruments, lines, roll_up
from tests.editions import get_server
from tests.support import EVER, Bar, open_warehouse, put, utc

pytestmark = pytest.mark.every_edition

M1, D1 = Timeframe.M1, Timeframe.D1
SYMBOLS = [instrument.symbol for instrument in UNIVERSE]
RULES = """
1m: {compress_after: 7d, archive_after: 3d, retain: 3mo}
1d: {compress_after: 30d, archive_after: 30d, retain: 13mo}
"""
#: Nobody looked after the store in these.
DOWN = range(9, 13)


@pytest.fixture
def twin() -> Iterator[Warehouse]:
    """A store that is never tiered."""
    with get_server("postgres").new_database() as dsn:
        warehouse = open_warehouse(dsn)
        yield warehouse
        warehouse.close()


def test_two_years_of_life_change_no_answer(warehouse: Warehouse, twin: Warehouse, tmp_path: Path) -> None:
    for one in (warehouse, twin):
        with one.connection() as connection:
            sync_instruments(connection, UNIVERSE)
    warehouse = replace(warehouse, lake=Lake(tmp_path / "lake"))
    (tmp_path / "lifecycle.yaml").write_text(RULES)
    installation = Installation(Settings(), Configuration(tmp_path), warehouse)
    windows = list(M1.windows(utc("2022-01-01"), utc("2024-01-01")))
    moments: list[datetime] = []
    released = 0
    for number, window in enumerate(windows):
        now = window.end + timedelta(days=5)
        batches = [_minutes(window.start, 11.0), _days(window.start, 11.0)]
        if number >= 1:
            batches.append(_minutes(windows[number - 1].start, 11.5)[::3])  # late
        if number >= 8 and number % 3 == 0:
            batches.append(_minutes(windows[number - 8].start, 12.0 + number / 100)[::7])  # later
        if number in {15, 21}:
            batches.append(_days(windows[number - 14].start, 10.5)[::2])
        for one in (warehouse, twin):
            for turn, batch in enumerate(batches):
                timeframe = D1 if batch[0].ts.hour == 0 and batch[0].ts.minute == 0 else M1
                put(one, timeframe, batch, now=now + timedelta(minutes=turn))
            roll_up(one, now + timedelta(hours=1))
        if number % 8 == 2:
            moments.append(now + timedelta(seconds=30))
        if number not in DOWN:
            released += _look_after(installation, now + timedelta(days=1))
        if number % 4 == 3 or number in {13, 23}:
            assert differences(_everything(warehouse, moments), _everything(twin, moments)) == [], window.key
    assert released > 40

    assert len(restore(warehouse, M1, ["2022-02", "2022-11"])) == 6
    assert differences(_everything(warehouse, moments), _everything(twin, moments)) == []
    assert _look_after(installation, utc("2024-01-10")) == 6
    assert _look_after(installation, utc("2024-01-10")) == 0
    assert differences(_everything(warehouse, moments), _everything(twin, moments)) == []
    assert [checked.fault for checked in verify(warehouse) if checked.fault] == []
    assert find_unknown_files(warehouse) == []


def _look_after(installation: Installation, now: datetime) -> int:
    """Do what is done every day; return how many windows left the store."""
    list(compress(installation, now=now))
    list(archive_due(installation, now=now))
    reports = list(prune(installation, now=now))
    assert [report.refused for report in reports] == [[], []]
    clean_up(installation, now=now)
    return sum(len(report.released) for report in reports)


def _everything(warehouse: Warehouse, moments: list[datetime]) -> Answers:
    found = answers(warehouse, as_of=moments) if moments else answers(warehouse)
    for instrument in instruments(warehouse):
        for timeframe in (M1, D1, Timeframe.H1):
            revisions = read_revisions(warehouse, instrument.instrument_id, timeframe, *EVER)
            found[f"revisions of {instrument.symbol} {timeframe}"] = lines(revisions)
    return found


def _sessions(month: datetime) -> list[np.datetime64]:
    sessions = get_calendar("XNYS").sessions.astype("datetime64[D]")
    mine = sessions[sessions.astype("datetime64[M]") == np.datetime64(f"{month:%Y-%m}")]
    return [mine[0], mine[len(mine) // 2], mine[-1]]


def _minutes(month: datetime, close: float) -> list[Bar]:
    return [
        Bar(
            symbol, utc(f"{day}T15:00") + timedelta(minutes=7 * n), close=close + n / 100, vwap=None if n == 3 else 10.5
        )
        for symbol in SYMBOLS
        for day in _sessions(month)
        for n in range(8)
    ]


def _days(month: datetime, close: float) -> list[Bar]:
    return [Bar(symbol, utc(str(day)), close=close) for symbol in SYMBOLS for day in _sessions(month)]
