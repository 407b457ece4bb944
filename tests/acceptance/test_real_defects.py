"""Real files with known defects: what no exchange can have printed stays out, what is only wrong can be repaired.

Each file has a repaired twin. Which rows are impossible is computed here in the most naive way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from chandlery.ingest import quarantine
from chandlery.ingest.release import release
from expectations.gate import BarGate
from tests.acceptance.real_library import (
    D1,
    NOW,
    OHLCV,
    Library,
    assert_same_bits,
    content,
    failed_checks,
    number,
    read_rows,
    session_dates,
)


class Defect(NamedTuple):
    """A file as a vendor served it; ``name-fixed.csv`` is its repair."""

    name: str
    symbol: str
    calendar: str
    rows: int
    #: rows whose prices the repair changes by more than rounding
    changed: int
    #: rows that no exchange can have printed
    impossible: int
    #: what the gate warns of in the file as served
    jumps: str | None = None


DEFECTS = [
    Defect("AET-L-1d-100x-error", "AET.L", "XLON", 23, 14, 0, "2 jumps: 2022-05-09T00:00:00Z, 2022-05-20T00:00:00Z"),
    Defect("4063-T-1d-bad-stock-split", "4063.T", "XTKS", 22, 9, 0, "1 jump: 2023-03-29T00:00:00Z"),
    Defect("4063-T-1d-bad-div", "4063.T", "XTKS", 667, 0, 0),
    Defect("MOB-ST-1d-bad-stock-split", "MOB.ST", "XSTO", 16, 1, 0, "1 jump: 2023-05-22T00:00:00Z"),
    Defect("ELCO-L-1d-bad-div", "ELCO.L", "XLON", 665, 0, 309),
    Defect("SSNLF-1d-bad-div", "SSNLF", "XNYS", 6_259, 0, 242),
]
POSSIBLE = [defect for defect in DEFECTS if not defect.impossible]
IMPOSSIBLE = [defect for defect in DEFECTS if defect.impossible]


class TestDefects:
    @pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
    def test_each_impossible_row_is_quarantined_with_its_reasons_and_every_other_is_published(
        self, library: Library, permissive_gate: BarGate, defect: Defect
    ) -> None:
        file = library.put(f"defects/{defect.name}.csv", defect.symbol, D1)
        outcomes = library.load(D1, {defect.symbol: defect.calendar}, permissive_gate)
        broken = broken_rules(file, defect.calendar)
        assert (len(broken), sum(map(bool, broken.values()))) == (defect.rows, defect.impossible)
        assert not any("on_session" in rules for rules in broken.values())  # Yahoo served sessions only
        assert {outcome.status for outcome in outcomes.values()} == {"published"}
        assert library.quarantined() == {day: rules for day, rules in broken.items() if rules}
        assert_same_bits(library.read(defect.symbol, "1d"), good_rows(file, broken))

    @pytest.mark.parametrize("defect", IMPOSSIBLE, ids=lambda defect: defect.name)
    def test_a_partition_with_too_many_of_them_waits_as_a_whole_until_its_good_rows_are_released(
        self, library: Library, gate: BarGate, defect: Defect
    ) -> None:
        file = library.put(f"defects/{defect.name}.csv", defect.symbol, D1)
        calendars = {defect.symbol: defect.calendar}
        outcomes = library.load(D1, calendars, gate)
        broken = broken_rules(file, defect.calendar)
        by_year: dict[int, list[bool]] = defaultdict(list)
        for day, rules in broken.items():
            by_year[day.year].append(bool(rules))
        refused = {year for year, bad in by_year.items() if sum(bad) > max(3, len(bad) / 100)}
        assert {o.partition.window.key for o in outcomes.values() if o.status == "rejected"} == set(map(str, refused))
        with library.warehouse.connection() as connection:
            waiting = quarantine.list_entries(connection)
        assert {(e.kind, e.window_key, e.row_count) for e in waiting} == {
            ("batch", str(year), len(by_year[year])) for year in refused
        }
        published = {day: rules or {"late"} if day.year in refused else rules for day, rules in broken.items()}
        assert_same_bits(library.read(defect.symbol, "1d"), good_rows(file, published))

        for entry in waiting:
            report = release(library.warehouse, entry.quarantine_id, "the rest is right", good_rows_only=True)
            assert report.inserted == by_year[int(entry.window_key)].count(False)
        assert_same_bits(library.read(defect.symbol, "1d"), good_rows(file, broken))

        again = library.load(D1, calendars, gate)
        assert {(o.status, o.inserted, o.revised) for o in again.values()} == {("published", 0, 0)}
        assert sum(outcome.quarantined for outcome in again.values()) == defect.impossible
        with library.warehouse.connection() as connection:
            assert quarantine.list_entries(connection) == []
        months = library.read(defect.symbol, "1mo")
        assert sum(months["volume"].to_pylist()) == good_rows(file, broken)["volume"].sum()

    @pytest.mark.parametrize("defect", POSSIBLE, ids=lambda defect: defect.name)
    def test_a_wrong_scale_is_warned_of_and_the_repair_becomes_a_revision(
        self, library: Library, gate: BarGate, defect: Defect
    ) -> None:
        calendars = {defect.symbol: defect.calendar}
        served = content(library.put(f"defects/{defect.name}.csv", defect.symbol, D1))
        outcomes = library.load(D1, calendars, gate)
        jumps = [checks["price_jump"] for o in outcomes.values() if "price_jump" in (checks := failed_checks(o))]
        assert jumps == ([defect.jumps] if defect.jumps else [])
        assert_same_bits(library.read(defect.symbol, "1d"), served)

        repaired = content(library.put(f"defects/{defect.name}-fixed.csv", defect.symbol, D1))
        factor = repaired["close"] / served["close"]
        assert int((np.abs(factor - 1) > 1e-6).sum()) == defect.changed
        outcomes = library.load(D1, calendars, gate, now=NOW + timedelta(days=1))
        differs = np.logical_or.reduce([served[name] != repaired[name] for name in OHLCV])
        assert sum(outcome.revised for outcome in outcomes.values()) == differs.sum()
        assert not any("price_jump" in failed_checks(outcome) for outcome in outcomes.values())
        assert_same_bits(library.read(defect.symbol, "1d"), repaired)
        assert_same_bits(library.read(defect.symbol, "1d", as_of=NOW), served)


def broken_rules(file: Path, calendar: str) -> dict[date, set[str]]:
    """Return which rules each row of a file breaks, by its date."""
    sessions = session_dates(calendar)
    found: dict[date, set[str]] = {}
    for row in read_rows(file):
        prices = opens, high, low, close = [number(row[name]) for name in OHLCV[:4]]
        day = date.fromisoformat(row["ts"][:10])
        rules = {
            "prices_not_null": any(np.isnan(prices)),
            "prices_finite": any(np.isinf(prices)),
            "prices_positive": any(price <= 0 for price in prices),
            "low_is_lowest": low > opens or low > close,
            "high_is_highest": high < opens or high < close,
            "volume_not_negative": number(row["volume"]) < 0,
            "on_session": day not in sessions,
            "not_in_future": day > NOW.date(),
        }
        assert day not in found
        found[day] = {name for name, broken in rules.items() if broken}
    return found


def good_rows(file: Path, broken: Mapping[date, set[str]]) -> dict[str, np.ndarray]:
    """Return the content of a file without the rows that break a rule."""
    keep = np.array([not rules for rules in broken.values()])
    return {name: values[keep] for name, values in content(file).items()}
