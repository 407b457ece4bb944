"""Bars that are odd as real files are: what the gate publishes of them, what waits, and what it says."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from chandlery.core.calendar_changes import CalendarChanges, DatedSession, use_changes
from chandlery.ingest.result import PartitionResult
from expectations.gate import BarGate
from tests.acceptance.real_library import D1, Library, failed_checks
from tests.conftest import NO_SHARED_DATA

SUNDAYS = 52


@pytest.fixture
def cases(library: Library) -> Library:
    if not (library.shared.parent / "cases").is_dir():
        pytest.skip(NO_SHARED_DATA)
    return library


def load(library: Library, case: str, symbol: str, calendar: str = "XNYS", **described: str) -> PartitionResult:
    """Ingest a case of one symbol and one year as anybody would; return what became of it."""
    library.put(f"../cases/{case}/bars_1d/{symbol}.csv", symbol, D1)
    (outcome,) = library.load(D1, {symbol: calendar}, BarGate(), **described).values()  # type: ignore[arg-type]
    return outcome


def test_identical_copies_are_dropped_and_mentioned(cases: Library) -> None:
    outcome = load(cases, "05-identical-duplicates", "DUPS")
    assert (outcome.status, outcome.inserted, outcome.quarantined) == ("published", 252, 0)
    assert set(failed_checks(outcome)) == {"identical_copies"}
    assert failed_checks(outcome)["identical_copies"].startswith("5 identical copies of a row: 2024-")


def test_a_low_that_rounding_put_above_the_close_is_published(cases: Library) -> None:
    outcome = load(cases, "05-one-ulp", "LOWULP")
    assert (outcome.status, outcome.quarantined) == ("published", 0)
    bars = cases.read("LOWULP", "1d")
    assert (bars["low"].to_numpy() > np.minimum(bars["open"].to_numpy(), bars["close"].to_numpy())).any()


def test_a_row_without_prices_waits_and_the_others_are_published(cases: Library) -> None:
    outcome = load(cases, "05-null-row", "KAGS")
    assert (outcome.status, outcome.inserted, outcome.quarantined) == ("published", 59, 1)


def test_sundays_of_a_currency_wait_until_the_calendar_knows_them(cases: Library) -> None:
    outcome = load(cases, "05-fx-sunday", "EUR-USD", "24/5", asset_class="fx")
    assert (outcome.status, outcome.quarantined) == ("published", SUNDAYS)
    assert set(failed_checks(outcome)) == {"on_session", "extra_sessions"}
    assert failed_checks(outcome)["extra_sessions"].startswith(f"bars of {SUNDAYS} days without a session of 24/5: ")
    waiting = cases.quarantined()
    assert {day.weekday() for day in waiting} == {6}
    use_changes({"24/5": CalendarChanges(sessions=tuple(DatedSession(day) for day in waiting))})
    try:
        outcome = load(cases, "05-fx-sunday", "EUR-USD", "24/5", asset_class="fx")
    finally:
        use_changes({})
    assert (outcome.inserted, outcome.quarantined, failed_checks(outcome)) == (SUNDAYS, 0, {})


def test_oil_below_0_is_published_as_a_future_and_not_as_a_share(cases: Library) -> None:
    outcome = load(cases, "05-negative-price", "CLK20", "CMES", asset_class="future")
    assert (outcome.status, outcome.inserted, outcome.quarantined) == ("published", 21, 0)
    bars = cases.read("CLK20", "1d").to_pylist()
    assert {bar["ts"].date(): bar["close"] for bar in bars}[date(2020, 4, 20)] == -37.63
    assert cases.read("CLK20", "1mo")["low"].to_pylist()[0] < 0
    assert "2020-04-20" in failed_checks(outcome)["price_jump"]
