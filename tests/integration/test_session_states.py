"""Why something is missing: every state, from what is stored, what was requested, and the calendar in the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import conninfo
from typer.testing import CliRunner, Result

from assets.coverage import describe_states
from chandlery.cli import app
from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.day_states import state_of_day, states_of_day
from chandlery.coverage.halts import HaltReport, import_halts, record_halts, remove_halt
from chandlery.coverage.known_range import never_requested, newest_year
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.coverage.session_states import State, count_states, session_states, state_runs
from chandlery.coverage.state_grid import build_state_matrix
from chandlery.coverage.summary import missing_sessions, monthly_coverage, summarize
from chandlery.database.connections import Database
from chandlery.errors import UsageError
from chandlery.ingest import quarantine, rejected_rows
from chandlery.ingest.gate import REJECTED, Check, Verdict
from chandlery.ingest.release import release
from chandlery.instruments.halts import Halt, list_halts
from chandlery.instruments.registry import Instrument, list_instruments, load_instruments
from chandlery.instruments.sessions import sync_sessions
from chandlery.lake.store import Lake
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from tests.acceptance.real_library import Library
from tests.support import EVER, Bar, put, register, table, utc

M1, D1 = Timeframe.M1, Timeframe.D1
NOW = utc("2026-01-01")
#: A Tuesday in New York, open from 14:30 to 21:00 UTC.
DAY = date(2024, 1, 9)
OPEN, CLOSE = utc("2024-01-09T14:30"), utc("2024-01-09T21:00")


@dataclass
class Store:
    """A store in which a test puts bars and answers, and asks for states."""

    warehouse: Warehouse
    connection: psycopg.Connection

    def instrument(self, symbol: str = "AAA", **changes: object) -> Instrument:
        for name, value in changes.items():
            self.connection.execute(f"UPDATE market.instrument SET {name} = %s WHERE symbol = %s", (value, symbol))  # type: ignore[call-overload]
        return load_instruments(self.connection)[symbol]

    def put(self, timeframe: Timeframe, moments: Iterable[datetime], symbol: str = "AAA") -> None:
        put(self.warehouse, timeframe, [Bar(symbol, ts) for ts in moments])

    def ask(
        self,
        timeframe: Timeframe,
        start: str,
        end: str,
        *,
        at: datetime = NOW,
        symbol: str = "AAA",
        settlement_delay: int = 0,
    ) -> None:
        """Record that a provider answered for [start, end); ``settlement_delay`` in hours."""
        instrument = self.instrument(symbol)
        requested = RequestedRange(
            instrument.instrument_id, instrument.calendar, utc(start), utc(end), at, timedelta(hours=settlement_delay)
        )
        record_requested(self.connection, timeframe, [requested])

    def confirm(self, timeframe: Timeframe, day: date) -> None:
        self.connection.execute(
            "INSERT INTO ops.retry_schedule (instrument_id, timeframe, session, tries, next_try, confirmed_at)"
            " VALUES (%s, %s, %s, 5, %s, %s)",
            (self.instrument().instrument_id, timeframe.value, day, NOW, NOW),
        )

    def reject(self, *moments: datetime, timeframe: Timeframe = M1) -> quarantine.QuarantineEntry:
        """Let the gate reject bars, as rows."""
        window = timeframe.window_of(moments[0])
        partition = Partition.of(self.instrument(), timeframe, window)
        bars = table([Bar("AAA", ts) for ts in moments])
        rows = bars.append_column("reasons", pa.array([["odd"]] * len(moments), pa.list_(pa.string()))).cast(REJECTED)
        checks = [Check("odd", "critical", passed=False, failed_rows=len(moments))]
        return rejected_rows.store_rejected(self.connection, Verdict(partition, True, 100, checks, rows), "simulated")

    def halt(self, start: str, end: str, *, symbol: str = "AAA") -> None:
        record_halts(self.connection, [Halt(symbol, utc(start), utc(end), "T1")])

    def of(
        self, timeframe: Timeframe, since: str, until: str, *, symbol: str = "AAA", now: datetime = NOW
    ) -> list[dict[str, object]]:
        span = date.fromisoformat(since), date.fromisoformat(until)
        return session_states(self.connection, [self.instrument(symbol)], timeframe, *span, now=now).to_pylist()

    def day(self, day: date = DAY, timeframe: Timeframe = M1, *, symbol: str = "AAA", now: datetime = NOW) -> dict:
        (row,) = self.of(timeframe, f"{day}", f"{day + timedelta(days=1)}", symbol=symbol, now=now)
        return row

    def state(self, day: date = DAY, timeframe: Timeframe = M1, *, symbol: str = "AAA", now: datetime = NOW) -> State:
        return state_of_day(self.connection, self.instrument(symbol), timeframe, day, now=now)


@pytest.fixture
def store(warehouse: Warehouse) -> Iterator[Store]:
    register(warehouse, {"AAA": "XNYS", "BTC": "24/7"})
    with warehouse.connection() as connection:
        sync_sessions(connection, ["XNYS", "24/7"])
        yield Store(warehouse, connection)


def minutes(start: str | datetime, count: int, *, less: Iterable[range | int] = ()) -> list[datetime]:
    """Return ``count`` minutes from ``start`` on, without those of these numbers."""
    first = utc(start) if isinstance(start, str) else start
    gone = {n for part in less for n in ([part] if isinstance(part, int) else part)}
    return [first + timedelta(minutes=n) for n in range(count) if n not in gone]


# --- minutes


def test_a_session_with_every_minute_is_complete(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390))
    store.ask(M1, "2024-01-09", "2024-01-10")
    row = store.day()
    assert (row["state"], row["expected"], row["present"]) == ("complete", 390, 390)
    assert (row["first_ts"], row["last_ts"]) == (OPEN, CLOSE - timedelta(minutes=1))
    assert (row["missing_start"], row["missing_slots"], row["final"]) == (None, 0, True)
    assert (row["open"], row["close"]) == (OPEN, CLOSE)


def test_a_session_that_lacks_what_the_gate_rejected_is_quarantined(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[7]))
    store.ask(M1, "2024-01-09", "2024-01-11")
    early, late = store.reject(OPEN - timedelta(hours=1)), utc("2024-01-10T15:00")
    assert (store.state(), early.kind) == (State.NO_TRADES, "rows")
    entry = store.reject(OPEN + timedelta(minutes=7))
    assert store.state() is State.QUARANTINED
    assert (store.day()["missing_start"], store.day()["missing_slots"]) == (OPEN + timedelta(minutes=7), 1)
    assert store.state(late.date()) is State.PROVIDER_GAP
    release(store.warehouse, entry.quarantine_id, "seen on the tape")
    assert store.state() is State.COMPLETE
    store.reject(OPEN + timedelta(minutes=8), late)
    assert store.state() is State.COMPLETE
    assert store.state(late.date()) is State.QUARANTINED
    store.confirm(M1, late.date())
    assert store.state(late.date()) is State.QUARANTINED


def test_a_day_that_was_rejected_is_quarantined(store: Store) -> None:
    store.ask(D1, "2024-01-09", "2024-01-11")
    store.reject(utc("2024-01-09"), timeframe=D1)
    assert (store.state(DAY, D1), store.state(date(2024, 1, 10), D1)) == (State.QUARANTINED, State.PROVIDER_GAP)
    assert store.state(DAY, M1) is State.NEVER_FETCHED


def test_what_was_published_and_never_asked_for_is_complete_too(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390))
    assert store.state() is State.COMPLETE


@pytest.mark.parametrize(
    ("less", "state", "run"),
    [
        ([3], "no_trades", (3, 1)),
        ([range(5, 20)], "no_trades", (5, 15)),
        ([range(5, 22)], "provider_gap", (5, 17)),
        ([range(60)], "provider_gap", (0, 60)),
        ([range(200, 290)], "provider_gap", (200, 90)),
        ([range(330, 390)], "provider_gap", (330, 60)),
        ([range(1, 390)], "provider_gap", (1, 389)),
        ([range(40, 390)], "provider_gap", (40, 350)),
        ([n for n in range(390) if n % 2], "no_trades", (1, 1)),
        ([n for n in range(390) if n % 40], "no_trades", (1, 39)),  # a bar in 40 minutes
        ([*(n for n in range(300) if n % 5), *range(300, 390)], "provider_gap", (296, 94)),  # a bar in 5, then none
    ],
    ids=[
        "one", "fifteen", "seventeen", "start", "middle", "end", "one bar", "forty minutes", "every other", "thin",
        "thin with a gap",
    ],
)  # fmt: skip
def test_a_missing_run_too_long_for_the_trading_around_it_is_a_gap(
    store: Store, less: list[range | int], state: str, run: tuple[int, int]
) -> None:
    store.put(M1, minutes(OPEN, 390, less=less))
    store.ask(M1, "2024-01-09", "2024-01-10")
    row = store.day()
    assert row["state"] == state
    assert (row["missing_start"], row["missing_slots"]) == (OPEN + timedelta(minutes=run[0]), run[1])


@pytest.mark.parametrize("where", [[0], [719], [1439], [0, 1439], [0, 1], [480, 960]], ids=str)
@pytest.mark.parametrize("around", ["nothing", "whole sessions"])
def test_few_bars_in_a_session_of_a_day_and_a_night_are_no_empty_market(
    store: Store, where: list[int], around: str
) -> None:
    day = date(2024, 1, 10)
    store.put(M1, [utc(f"{day}") + timedelta(minutes=n) for n in where], "BTC")
    if around != "nothing":
        store.put(M1, minutes("2024-01-04", 6 * 1440), "BTC")
    store.ask(M1, "2024-01-04", "2024-01-11", symbol="BTC")
    assert store.state(day, symbol="BTC") is State.PROVIDER_GAP


def night_and_day(days: int, *, less: Iterable[range] = ()) -> list[datetime]:
    """Return minutes that trade by the half hour at night, and all of eight hours a day, each night otherwise."""
    found = []
    for day in range(days):
        start = utc("2024-01-04") + timedelta(days=day)
        night = [n + (7 * day + 11 * (n // 30)) % 29 for n in (*range(0, 480, 30), *range(960, 1440, 30))]
        found += [start + timedelta(minutes=n) for n in sorted([*night, *range(480, 960)])]
    gone = {utc("2024-01-04") + timedelta(minutes=n) for part in less for n in part}
    return [ts for ts in found if ts not in gone]


@pytest.mark.parametrize(
    ("gone", "state"),
    [
        (range(0), State.NO_TRADES),
        (range(60, 280), State.NO_TRADES),  # a quiet night
        (range(500, 570), State.PROVIDER_GAP),
        (range(400, 520), State.PROVIDER_GAP),  # into the day
        (range(480, 1440), State.PROVIDER_GAP),
    ],
    ids=["nothing", "night", "day", "both", "all but the night"],
)
@pytest.mark.parametrize("days", [2, 8])
def test_thin_nights_are_no_gaps_because_days_are_thick(store: Store, gone: range, state: State, days: int) -> None:
    last = days - 1
    store.put(M1, night_and_day(days, less=[range(1440 * last + gone.start, 1440 * last + gone.stop)]), "BTC")
    store.ask(M1, "2024-01-04", "2024-01-20", symbol="BTC")
    found = [store.state(date(2024, 1, 4) + timedelta(days=day), symbol="BTC") for day in range(days)]
    assert found == [State.NO_TRADES] * last + [state]
    rows = store.of(M1, "2024-01-04", f"2024-01-{4 + days:02}", symbol="BTC")  # all at once, or one by one
    assert [State(str(row["state"])) for row in rows] == found


@pytest.mark.parametrize(
    ("gone", "state"),
    [
        ([range(500, 640)], State.PROVIDER_GAP),  # an outage by day, shorter than the quiet night
        ([range(500, 530)], State.NO_TRADES),  # no whole hour
        ([range(960, 1350)], State.NO_TRADES),  # another quiet night
    ],
    ids=["outage", "half an hour", "night"],
)
def test_a_long_quiet_night_hides_no_outage_by_day(store: Store, gone: list[range], state: State) -> None:
    start = 7 * 1440
    less = [range(start, start + 400), *(range(start + part.start, start + part.stop) for part in gone)]
    store.put(M1, night_and_day(8, less=less), "BTC")
    store.ask(M1, "2024-01-04", "2024-01-12", symbol="BTC")
    assert store.state(date(2024, 1, 11), symbol="BTC") is state


def test_an_hour_that_was_halted_is_no_outage(store: Store) -> None:
    start = 7 * 1440
    store.put(M1, night_and_day(8, less=[range(start, start + 400), range(start + 540, start + 660)]), "BTC")
    store.ask(M1, "2024-01-04", "2024-01-12", symbol="BTC")
    assert store.state(date(2024, 1, 11), symbol="BTC") is State.PROVIDER_GAP
    store.halt("2024-01-11T09:00", "2024-01-11T11:00", symbol="BTC")
    assert store.state(date(2024, 1, 11), symbol="BTC") is State.HALTED


def test_what_trades_once_a_day_is_thin_where_the_days_around_say_so(store: Store) -> None:
    store.put(M1, [utc("2024-01-04") + timedelta(days=n, minutes=(97 * n) % 1440) for n in range(14)], "BTC")
    store.ask(M1, "2024-01-04", "2024-01-18", symbol="BTC")
    assert {store.state(date(2024, 1, day), symbol="BTC") for day in range(5, 18)} == {State.NO_TRADES}


@pytest.mark.parametrize("batches", [1, 3])
def test_bars_are_counted_by_the_hour_since_the_open(store: Store, batches: int) -> None:
    bars = minutes(OPEN, 390, less=[range(30, 70), range(380, 390)])
    for batch in range(batches):
        store.put(M1, bars[batch::batches])
    measure_missing_runs(store.connection, [store.instrument().instrument_id])
    assert store.connection.execute("SELECT by_hour FROM ops.coverage").fetchone() == ([30, 50, 60, 60, 60, 60, 20],)


def test_an_outage_at_the_same_time_of_each_session_is_no_empty_market(store: Store) -> None:
    days = [date(2024, 1, day) for day in (8, 9, 10, 11)]
    for day in days:
        store.put(M1, minutes(f"{day}T14:30", 390, less=[range(120, 390)]))
    store.ask(M1, "2024-01-08", "2024-01-12")
    assert {store.state(day) for day in days} == {State.PROVIDER_GAP}


def test_a_session_of_which_nothing_came_is_a_gap_until_the_provider_confirms_it(store: Store) -> None:
    store.ask(M1, "2024-01-09", "2024-01-10")
    row = store.day()
    assert (row["state"], row["present"], row["missing_start"], row["missing_slots"]) == ("provider_gap", 0, OPEN, 390)
    store.confirm(M1, DAY)
    assert store.state() is State.NO_TRADES


def test_a_confirmed_run_is_no_trades_and_a_filled_one_complete(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[range(100, 200)]))
    store.ask(M1, "2024-01-09", "2024-01-10")
    assert store.state() is State.PROVIDER_GAP
    store.confirm(M1, DAY)
    assert store.state() is State.NO_TRADES
    store.put(M1, minutes(OPEN, 390))
    assert store.state() is State.COMPLETE


def test_bars_that_nobody_asked_for_as_a_whole_are_partial(store: Store) -> None:
    store.put(M1, minutes(OPEN, 100))
    assert store.state() is State.PARTIAL
    store.ask(M1, "2024-01-09T15:00", "2024-01-10")  # the session had begun
    assert store.state() is State.PARTIAL


def test_a_session_under_way_or_not_settled_is_not_final(store: Store) -> None:
    store.put(M1, minutes(OPEN, 60))
    noon, night = utc("2024-01-09T15:30"), utc("2024-01-09T21:10")
    store.ask(M1, "2024-01-09", "2024-01-09T15:30", at=noon)
    assert store.state(now=noon) is State.NOT_FINAL
    assert store.state() is State.NOT_FINAL  # and stays so until it is requested again
    store.put(M1, minutes(OPEN, 390))
    store.ask(M1, "2024-01-09", "2024-01-10", at=night, settlement_delay=1)
    assert store.state() is State.NOT_FINAL  # bars may still be corrected
    assert not store.day()["final"]
    store.ask(M1, "2024-01-09", "2024-01-10", at=night + timedelta(hours=1), settlement_delay=1)
    assert store.state() is State.COMPLETE


def test_a_session_that_was_never_asked_for_is_never_fetched(store: Store) -> None:
    assert store.state() is State.NEVER_FETCHED
    assert store.state(now=utc("2024-01-09T15:00")) is State.NEVER_FETCHED
    store.ask(M1, "2024-01-08", "2024-01-09")
    store.ask(M1, "2024-01-10", "2024-01-11")
    rows = store.of(M1, "2024-01-08", "2024-01-11")
    assert [row["state"] for row in rows] == ["provider_gap", "never_fetched", "provider_gap"]


def test_bars_outside_the_session_alone_are_none_of_it(store: Store) -> None:
    store.put(M1, minutes("2024-01-09T13:00", 30))
    assert store.state() is State.NEVER_FETCHED
    store.ask(M1, "2024-01-09", "2024-01-10")
    assert (store.state(), store.day()["missing_slots"]) == (State.PROVIDER_GAP, 390)


def test_before_the_listing_and_after_the_delisting_nothing_is_missing(store: Store) -> None:
    store.instrument(listed=date(2024, 1, 9), delisted=date(2024, 1, 11))
    store.ask(M1, "2024-01-08", "2024-01-13")
    rows = store.of(M1, "2024-01-08", "2024-01-13")
    assert [row["state"] for row in rows] == ["not_listed", "provider_gap", "provider_gap", "not_listed", "not_listed"]
    assert store.state(date(2024, 1, 13)) is State.CLOSED  # a Saturday all the same


# --- what is expected


def test_expectation_runs_to_now_so_that_a_feed_that_died_shows(store: Store) -> None:
    store.put(M1, minutes("2024-01-08T14:30", 390) + minutes(OPEN, 390))
    store.put(D1, [utc("2024-01-08"), utc("2024-01-09")])
    store.ask(M1, "2024-01-08", "2024-01-10")
    instrument = store.instrument()
    for now, expected, stale_since in [
        (utc("2024-01-10T12:00"), 2, None),
        (utc("2024-01-10T21:30"), 2, None),  # it closed half an hour ago
        (utc("2024-01-10T23:30"), 3, utc("2024-01-10T21:00")),
        (utc("2024-01-13"), 5, utc("2024-01-10T21:00")),
    ]:
        days, whole = summarize(store.connection, [instrument], [D1, M1], now=now)[::-1]
        for summary in (days, whole):
            assert (summary.expected, summary.present, summary.stale_since) == (expected, 2, stale_since)
        of_minutes = next(each for each in (days, whole) if each.timeframe is M1)
        assert (of_minutes.slots_expected, of_minutes.slots_present) == (390 * expected, 780)
    runs = missing_sessions(store.connection, instrument, M1, now=utc("2024-01-13"))
    assert runs == [(date(2024, 1, 10), date(2024, 1, 12), 3)]
    ended = {"static": {"simulated"}, "now": utc("2024-01-13")}
    assert missing_sessions(store.connection, instrument, M1, **ended) == []
    for summary in summarize(store.connection, [instrument], [M1, D1], **ended):
        assert (summary.expected, summary.present, summary.stale_since) == (2, 2, None)


def test_what_waits_in_quarantine_is_expected(store: Store) -> None:
    store.put(D1, [utc("2024-01-08")])
    store.reject(utc("2024-01-09"), utc("2024-01-10"), timeframe=D1)
    (summary,) = summarize(store.connection, [store.instrument()], [D1], static={"simulated"})
    assert (summary.expected, summary.present, summary.missing) == (3, 1, 2)
    counts = count_states(store.connection, [store.instrument()], D1, static={"simulated"}, now=NOW)
    assert counts == {"AAA": {State.COMPLETE: 1, State.QUARANTINED: 2}}
    (month,) = monthly_coverage(store.connection, [store.instrument()], D1, static={"simulated"}).to_pylist()
    assert month["share"] == pytest.approx(1 / 3)


# --- breaks within sessions

#: A Monday in Tokyo: open from 00:00 to 06:30 UTC, with a break from 02:30 to 03:30.
TOKYO = date(2024, 12, 2)


@pytest.mark.parametrize(
    ("less", "state", "run"),
    [
        ([], "complete", None),
        ([range(100, 160)], "provider_gap", (100, 50)),  # up to the break, and ten minutes of it
        ([range(140, 225)], "no_trades", (210, 15)),  # on both sides of it: the longer side
        ([range(300)], "provider_gap", (0, 150)),
        ([range(150)], "provider_gap", (0, 150)),
        ([range(140, 390)], "provider_gap", (210, 180)),
    ],
    ids=["whole", "before", "both sides", "only the end", "no morning", "no afternoon"],
)
@pytest.mark.parametrize("batches", [1, 2])
def test_minutes_of_a_break_are_not_missing(
    store: Store, less: list[range], state: str, run: tuple[int, int] | None, batches: int
) -> None:
    register(store.warehouse, {"7203.T": "XTKS"})
    sync_sessions(store.connection, ["XTKS"])
    bars = minutes("2024-12-02", 390, less=[range(150, 210), *less])
    for batch in range(batches):
        store.put(M1, bars[batch::batches], "7203.T")
    store.ask(M1, "2024-12-02", "2024-12-03", symbol="7203.T")
    row = store.day(TOKYO, symbol="7203.T")
    assert (row["state"], row["expected"], row["present"]) == (state, 330, len(bars))
    if run is not None:
        assert row["missing_start"] == utc("2024-12-02") + timedelta(minutes=run[0])
        assert row["missing_slots"] == run[1]


@pytest.mark.parametrize("batches", [1, 2])
def test_bars_within_a_break_are_outside_of_the_session(store: Store, batches: int) -> None:
    register(store.warehouse, {"7203.T": "XTKS"})
    sync_sessions(store.connection, ["XTKS"])
    for batch in range(batches):
        store.put(M1, minutes("2024-12-02", 180)[batch::batches], "7203.T")
    store.ask(M1, "2024-12-02", "2024-12-03", symbol="7203.T")
    row = store.day(TOKYO, symbol="7203.T")
    assert (row["state"], row["present"]) == ("provider_gap", 150)
    assert (row["missing_start"], row["missing_slots"]) == (utc("2024-12-02T03:30"), 180)
    (summary,) = summarize(store.connection, [store.instrument("7203.T")], [M1], now=utc("2024-12-02T12:00"))
    assert (summary.slots_expected, summary.slots_present, summary.outside) == (330, 150, 30)


def test_a_break_that_becomes_known_is_not_missing_any_more(store: Store) -> None:
    register(store.warehouse, {"7203.T": "XTKS"})
    sync_sessions(store.connection, ["XTKS"])
    store.put(M1, minutes("2024-12-02", 390, less=[range(150, 210)]), "7203.T")
    store.ask(M1, "2024-12-02", "2024-12-03", symbol="7203.T")
    breaks = store.connection.execute("SELECT count(*) FROM market.session WHERE break_start IS NOT NULL").fetchone()
    store.connection.execute(
        "UPDATE market.session SET break_start = NULL, break_end = NULL"
    )  # as before they were kept
    store.connection.execute("UPDATE ops.coverage SET missing_start = '2024-12-02 02:30Z', missing_slots = 60")
    assert store.state(TOKYO, symbol="7203.T") is State.PROVIDER_GAP
    sync_sessions(store.connection, ["XTKS"])
    assert (
        store.connection.execute("SELECT count(*) FROM market.session WHERE break_start IS NOT NULL").fetchone()
        == breaks
    )
    assert store.state(TOKYO, symbol="7203.T") is State.COMPLETE


def test_two_halts_around_a_break_halt_the_whole_session(store: Store) -> None:
    register(store.warehouse, {"7203.T": "XTKS"})
    sync_sessions(store.connection, ["XTKS"])
    store.ask(M1, "2024-12-02", "2024-12-03", symbol="7203.T")
    halts = [("2024-12-02T00:00", "2024-12-02T02:30"), ("2024-12-02T03:30", "2024-12-02T06:30")]
    record_halts(store.connection, [Halt("7203.T", utc(start), utc(end), "T1") for start, end in halts])
    assert store.state(TOKYO, symbol="7203.T") is State.HALTED


# --- days


def test_states_of_days(store: Store) -> None:
    """Tuesday there, Wednesday missing, Thursday confirmed, Friday requested at noon, Tuesday never requested."""
    store.instrument(listed=date(2024, 1, 9))
    store.put(D1, [utc("2024-01-09"), utc("2024-01-12")])
    store.ask(D1, "2024-01-08", "2024-01-12")
    store.ask(D1, "2024-01-12", "2024-01-13", at=utc("2024-01-12T17:00"))
    store.confirm(D1, date(2024, 1, 11))
    rows = store.of(D1, "2024-01-08", "2024-01-17")
    states = ["not_listed", "complete", "provider_gap", "no_trades", "not_final", "never_fetched"]
    assert [row["state"] for row in rows] == states
    assert [row["session"].day for row in rows] == [8, 9, 10, 11, 12, 16]
    assert [(row["expected"], row["present"], row["missing_slots"]) for row in rows[1:3]] == [(1, 1, 0), (1, 0, 1)]
    store.halt("2024-01-10T14:30", "2024-01-10T21:00")
    assert store.state(date(2024, 1, 10), D1) is State.HALTED
    assert store.state(date(2024, 1, 15), D1) is State.CLOSED  # Martin Luther King's day


def test_a_session_that_was_requested_only_until_noon_is_not_final(store: Store) -> None:
    store.put(M1, minutes("2024-01-08T14:30", 390) + minutes(OPEN, 390))
    store.ask(M1, "2024-01-08", "2024-01-09T17:00")  # long after both had settled
    rows = store.of(M1, "2024-01-08", "2024-01-10")
    assert [(row["state"], row["final"]) for row in rows] == [("complete", True), ("not_final", False)]
    store.ask(M1, "2024-01-09T17:00", "2024-01-09T21:00")  # the other half alone makes no whole
    assert store.state() is State.NOT_FINAL
    store.ask(M1, "2024-01-09", "2024-01-09T21:00")
    assert store.state() is State.COMPLETE


def test_a_session_across_two_months_that_were_requested_together_is_final(store: Store) -> None:
    register(store.warehouse, {"ESZ4": "CMES"})
    sync_sessions(store.connection, ["CMES"])
    instrument = store.instrument("ESZ4")
    parts = ["2024-01-29T23:00", "2024-02-01", "2024-02-02T22:00"]
    ranges = [
        RequestedRange(instrument.instrument_id, "CMES", utc(start), utc(end), NOW) for start, end in pairwise(parts)
    ]
    record_requested(store.connection, M1, ranges)
    rows = store.of(M1, "2024-01-30", "2024-02-03", symbol="ESZ4")
    assert [(row["session"].day, row["final"], row["expected"]) for row in rows] == [
        (day, True, 1380) for day in (30, 31, 1, 2)
    ]


def test_a_day_under_way_is_not_final_once_requested(store: Store) -> None:
    noon = utc("2024-01-09T17:00")
    assert store.state(DAY, D1, now=noon) is State.NEVER_FETCHED
    store.put(D1, [utc("2024-01-09")])
    assert store.state(DAY, D1, now=noon) is State.NOT_FINAL


def test_a_derived_timeframe_has_no_states(store: Store) -> None:
    with pytest.raises(UsageError, match=r"timeframe='5m' is derived .* allowed: 1m 1d"):
        store.of(Timeframe.M5, "2024-01-09", "2024-01-10")


# --- halts


def test_a_missing_run_that_a_halt_covers_is_halted(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[range(100, 200)]))
    store.ask(M1, "2024-01-09", "2024-01-10")
    assert store.state() is State.PROVIDER_GAP
    store.halt("2024-01-09T16:10:20", "2024-01-09T17:49:30")  # to the second, as exchanges publish it
    row = store.day()
    assert (row["state"], row["missing_start"], row["missing_slots"]) == ("halted", None, 0)
    remove_halt(store.connection, "AAA", utc("2024-01-09T16:10:20"))
    row = store.day()
    assert (row["state"], row["missing_slots"]) == ("provider_gap", 100)


def test_a_halt_does_not_hide_another_missing_run(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[range(100, 200), range(300, 350)]))
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.halt("2024-01-09T16:10", "2024-01-09T17:50")
    row = store.day()
    assert row["state"] == "provider_gap"
    assert (row["missing_start"], row["missing_slots"]) == (OPEN + timedelta(minutes=300), 50)


def test_a_halt_of_half_the_run_leaves_the_other_half(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[range(100, 200)]))
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.halt("2024-01-09T16:10", "2024-01-09T17:00")
    row = store.day()
    assert (row["state"], row["missing_slots"]) == ("provider_gap", 50)
    store.halt("2024-01-09T16:10", "2024-01-09T17:45")
    assert (store.state(), store.day()["missing_slots"]) == (State.HALTED, 5)
    store.halt("2024-01-09T16:10", "2024-01-09T16:15")
    assert (store.state(), store.day()["missing_slots"]) == (State.PROVIDER_GAP, 95)


def test_a_halt_that_was_known_before_the_bars_came_counts_the_same(store: Store) -> None:
    store.halt("2024-01-09T16:10", "2024-01-09T17:50")
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.put(M1, minutes(OPEN, 390, less=[range(100, 200)]))
    assert (store.state(), store.day()["missing_slots"]) == (State.HALTED, 0)


def test_two_halts_may_cover_a_session_of_which_nothing_came(store: Store) -> None:
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.halt("2024-01-09T14:00", "2024-01-09T18:00")
    assert store.state() is State.PROVIDER_GAP
    store.halt("2024-01-09T18:00", "2024-01-10T15:00")
    assert store.state() is State.HALTED


def test_a_halt_in_a_complete_session_changes_nothing(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390))
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.halt("2024-01-09T16:10", "2024-01-09T16:15")
    assert store.state() is State.COMPLETE


# --- the calendar


@pytest.mark.parametrize("timeframe", [M1, D1])
@pytest.mark.parametrize("day", ["2024-12-25", "2024-01-13", "2024-01-14", "2025-01-09"])
def test_holidays_weekends_and_days_of_mourning_are_closed(store: Store, timeframe: Timeframe, day: str) -> None:
    store.ask(timeframe, "2024-01-08", "2025-02-01")
    when = date.fromisoformat(day)
    assert store.state(when, timeframe) is State.CLOSED
    assert store.state(when, timeframe, symbol="BTC") is State.NEVER_FETCHED
    (row,) = states_of_day(store.connection, [store.instrument()], timeframe, when, now=NOW).to_pylist()
    assert row["calendar"] == f"XNYS {get_calendar('XNYS').version}"
    assert (row["session"], row["expected"], row["open"]) == (when, None, None)


def test_a_half_day_has_fewer_slots(store: Store) -> None:
    store.put(M1, minutes("2015-12-24T14:30", 210 + 15))  # and some after the close
    store.ask(M1, "2015-12-24", "2015-12-25")
    row = store.day(date(2015, 12, 24))
    assert (row["state"], row["expected"], row["present"], row["close"]) == (
        "complete", 210, 210, utc("2015-12-24T18:00"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("friday", "monday"), [("2024-03-08T14:30", "2024-03-11T13:30"), ("2024-11-01T13:30", "2024-11-04T14:30")]
)
def test_sessions_keep_their_length_when_clocks_change(store: Store, friday: str, monday: str) -> None:
    store.put(M1, minutes(friday, 390) + minutes(monday, 390))
    store.ask(M1, friday[:10], f"{utc(monday) + timedelta(days=1):%Y-%m-%d}")
    rows = store.of(M1, friday[:10], f"{utc(monday) + timedelta(days=1):%Y-%m-%d}")
    assert [(row["state"], row["expected"], row["open"]) for row in rows] == [
        ("complete", 390, utc(friday)), ("complete", 390, utc(monday)),
    ]  # fmt: skip


def test_a_market_that_never_closes(store: Store) -> None:
    store.put(M1, minutes("2024-03-09", 2 * 1440, less=[range(1440 + 30, 1440 + 90)]), "BTC")
    store.ask(M1, "2024-03-09", "2024-03-12", symbol="BTC")
    rows = store.of(M1, "2024-03-09", "2024-03-12", symbol="BTC")
    assert [(row["state"], row["present"]) for row in rows] == [
        ("complete", 1440), ("provider_gap", 1380), ("provider_gap", 0),
    ]  # fmt: skip
    assert rows[1]["missing_start"] == utc("2024-03-10T00:30")
    assert {row["expected"] for row in rows} == {1440}


def test_each_state_names_its_calendar(store: Store) -> None:
    version = get_calendar("XNYS").version
    assert store.day()["calendar"] == f"XNYS {version}"
    store.connection.execute(
        "UPDATE market.session SET version = 'next' WHERE calendar = '24/7' AND session = %s", (DAY,)
    )
    assert store.day(symbol="BTC")["calendar"] == "24/7 next"
    assert store.day(date(2024, 1, 10), symbol="BTC")["calendar"] == f"24/7 {version}"


def test_a_session_that_the_calendar_loses_is_closed(store: Store) -> None:
    for timeframe in (M1, D1):
        store.ask(timeframe, "2024-01-09", "2024-01-10")
        assert store.state(DAY, timeframe) is State.PROVIDER_GAP
    store.connection.execute("DELETE FROM market.session WHERE calendar = 'XNYS' AND session = %s", (DAY,))
    for timeframe in (M1, D1):
        assert store.state(DAY, timeframe) is State.CLOSED
        assert store.of(timeframe, "2024-01-09", "2024-01-10") == []


def test_a_session_that_turns_out_shorter_lacks_less(store: Store) -> None:
    store.put(M1, minutes(OPEN, 210, less=[7]))
    store.ask(M1, "2024-01-09", "2024-01-10")
    assert store.state() is State.PROVIDER_GAP
    _close(store, "2024-01-09T18:00")
    row = store.day()
    assert (row["state"], row["expected"], row["present"], row["missing_slots"]) == ("no_trades", 210, 209, 1)
    _close(store, "2024-01-09T21:00")
    assert (store.state(), store.day()["missing_slots"]) == (State.PROVIDER_GAP, 180)


def test_bars_after_an_earlier_close_are_outside(store: Store) -> None:
    """225 bars would be enough for 210 minutes, were they all in the session."""
    store.put(M1, minutes(OPEN, 300, less=[range(100, 175)]))
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.state()
    _close(store, "2024-01-09T18:00")
    row = store.day()
    assert (row["state"], row["present"], row["missing_slots"]) == ("provider_gap", 135, 75)
    counts = store.connection.execute("SELECT present, outside FROM ops.coverage").fetchall()
    assert counts == [(135, 90)]


def _close(store: Store, moment: str) -> None:
    store.connection.execute(
        "UPDATE market.session SET close = %s WHERE calendar = 'XNYS' AND session = %s", (utc(moment), DAY)
    )


def test_a_day_without_an_answer_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"day=2024-01-09 has not begun on XNYS"):
        store.state(now=utc("2024-01-09T14:30"))
    with pytest.raises(UsageError, match=r"day=1970-01-01 is not known .* allowed: 1980-01-02 to"):
        store.state(date(1970, 1, 1))


# --- missing runs


def test_a_missing_run_is_measured_again_when_bars_come_in_parts(store: Store) -> None:
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.put(M1, minutes(OPEN, 390, less=[range(100, 300)]))
    assert store.day()["missing_slots"] == 200
    store.put(M1, minutes(OPEN, 180, less=[range(100)]))
    row = store.day()
    assert (row["missing_start"], row["missing_slots"]) == (OPEN + timedelta(minutes=180), 120)


def test_a_session_that_a_publication_holds_is_measured_later(store: Store) -> None:
    store.put(M1, minutes(OPEN, 100))
    store.put(M1, minutes(OPEN, 390, less=[range(200)]))
    ids = [store.instrument().instrument_id]
    with store.warehouse.connection() as publisher, publisher.transaction():
        publisher.execute("SELECT FROM ops.coverage FOR UPDATE")
        measure_missing_runs(store.connection, ids)  # does not wait
        assert store.connection.execute("SELECT missing_slots FROM ops.coverage").fetchall() == [(None,)]
    measure_missing_runs(store.connection, ids)
    assert store.connection.execute("SELECT missing_slots FROM ops.coverage").fetchall() == [(100,)]


# --- the lake


# --- days that were rolled up from minutes


def roll_up(store: Store) -> None:
    list(catch_up(store.warehouse, M1, [store.instrument()], *EVER))


@pytest.mark.parametrize(
    ("less", "answered", "state"),
    [
        ([], False, State.COMPLETE),
        ([range(100)], False, State.PARTIAL),
        ([range(100)], True, State.PROVIDER_GAP),
        ([5, 77], True, State.COMPLETE),  # nobody traded then
        ([], True, State.COMPLETE),
    ],
)
def test_a_day_from_minutes_is_as_complete_as_they_are(
    store: Store, less: list[range | int], answered: bool, state: State
) -> None:
    store.put(M1, minutes(OPEN, 390, less=less))
    if answered:
        store.ask(M1, "2024-01-09", "2024-01-10")
    roll_up(store)
    assert store.state(timeframe=D1) == state
    (row,) = session_states(store.connection, [store.instrument()], D1, DAY, DAY + timedelta(days=1)).to_pylist()
    assert (row["present"], row["final"]) == (1, answered)


def test_a_day_from_minutes_hides_no_day_that_a_provider_owes(store: Store) -> None:
    for number in (8, 9, 10, 11, 12):
        store.put(M1, minutes(f"2024-01-{number:02}T14:30", 390))
    store.put(D1, [utc("2024-01-09")])
    store.ask(D1, "2024-01-09", "2024-01-11")
    roll_up(store)
    days = [date(2024, 1, number) for number in (8, 9, 10, 11)]
    assert [store.state(day, D1) for day in days] == [
        State.COMPLETE,  # before what was ever requested
        State.COMPLETE,  # the provider's own
        State.PROVIDER_GAP,
        State.NEVER_FETCHED,  # a schedule is to request it
    ]
    store.instrument(timeframes=["1m"])
    assert store.state(days[3], D1) == State.COMPLETE  # no schedule is
    store.confirm(D1, days[2])
    assert store.state(days[2], D1) == State.COMPLETE


@pytest.mark.every_edition
def test_days_that_left_the_store_are_still_known_to_be_there(database_url: str, tmp_path: Path) -> None:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(tmp_path / "lake"))
    register(warehouse, {"AAA": "XNYS"})
    with warehouse.connection() as connection:
        sync_sessions(connection, ["XNYS"])
        store = Store(warehouse, connection)
        store.put(D1, [utc("2007-03-05"), utc("2007-03-07")])
        store.ask(D1, "2007-03-05", "2007-03-09")
        before = store.of(D1, "2007-03-01", "2007-03-15")
        due = find_due(connection, D1, utc("2025-06-01"))
    assert [row["state"] for row in before[2:6]] == ["complete", "provider_gap", "complete", "provider_gap"]
    list(archive(warehouse, due))
    assert apply_retention(warehouse, D1, utc("2025-01-01")).dropped
    with warehouse.connection() as connection:
        assert Store(warehouse, connection).of(D1, "2007-03-01", "2007-03-15") == before
    warehouse.close()


@pytest.mark.every_edition
def test_states_stay_when_bars_leave_for_the_lake(database_url: str, tmp_path: Path) -> None:
    warehouse = Warehouse(Database(conninfo.make_conninfo(database_url)), Lake(tmp_path / "lake"))
    register(warehouse, {"AAA": "XNYS", "BTC": "24/7"})
    with warehouse.connection() as connection:
        sync_sessions(connection, ["XNYS", "24/7"])
        store = Store(warehouse, connection)
        store.put(M1, minutes(OPEN, 390, less=[range(100, 200)]) + minutes("2024-01-10T14:30", 390, less=[5]))
        store.put(M1, minutes("2024-01-11T14:30", 100))
        store.put(M1, minutes("2024-01-11T14:30", 390, less=[range(200)]))
        store.put(M1, minutes("2024-01-12T14:30", 390))
        store.put(D1, [utc("2024-01-09"), utc("2024-01-11")])
        store.put(M1, minutes("2024-01-05T14:30", 390) + minutes("2024-01-08T14:30", 300))
        store.halt("2024-01-10T15:00", "2024-01-10T15:05")
        for timeframe in (M1, D1):
            store.ask(timeframe, "2024-01-09", "2024-01-13")
        roll_up(store)
        before = [store.of(timeframe, "2024-01-01", "2024-02-01") for timeframe in (M1, D1)]
    for timeframe in (M1, D1):
        with warehouse.connection() as connection:
            due = find_due(connection, timeframe, utc("2025-06-01"))
        list(archive(warehouse, due))
        assert apply_retention(warehouse, timeframe, utc("2025-01-01")).released
    with warehouse.connection() as connection:
        store = Store(warehouse, connection)
        assert [store.of(timeframe, "2024-01-01", "2024-02-01") for timeframe in (M1, D1)] == before
        assert [row["state"] for row in before[0][5:9]] == ["provider_gap", "halted", "provider_gap", "complete"]
        # What becomes known later is applied to the missing run as it was measured.
        store.halt("2024-01-09T16:10", "2024-01-09T17:50")
        assert store.state() is State.HALTED
        remove_halt(connection, "AAA", utc("2024-01-09T16:10"))
        assert store.state() is State.PROVIDER_GAP
    warehouse.close()


# --- runs, counts and maps


def test_runs_are_consecutive_sessions_of_one_state_with_their_longest_missing_run(store: Store) -> None:
    store.put(M1, minutes("2024-01-05T14:30", 390))
    store.put(M1, minutes("2024-01-08T14:30", 390))
    store.put(M1, minutes(OPEN, 390, less=[range(30)]))
    store.put(M1, minutes("2024-01-10T14:30", 390, less=[range(80, 180)]))
    store.put(M1, minutes("2024-01-11T14:30", 390))
    store.ask(M1, "2024-01-05", "2024-01-12")
    both = [store.instrument("BTC"), store.instrument()]
    runs = state_runs(store.connection, both, M1, until=date(2024, 1, 13), now=NOW).to_pylist()
    shown = [(run["state"], run["first"].day, run["last"].day, run["sessions"], run["missing_slots"]) for run in runs]
    assert shown == [
        ("complete", 5, 8, 2, None),
        ("provider_gap", 9, 10, 2, 100),
        ("complete", 11, 11, 1, None),
        ("never_fetched", 12, 12, 1, 390),
    ]
    assert {run["symbol"] for run in runs} == {"AAA"}  # of BTC nothing is known
    assert runs[1]["missing_start"] == utc("2024-01-10T15:50")
    assert (runs[1]["expected"], runs[1]["present"]) == (780, 650)
    gaps = state_runs(store.connection, both, M1, until=date(2024, 1, 13), only=[State.PROVIDER_GAP], now=NOW)
    assert gaps.to_pylist() == [runs[1]]
    counts = count_states(store.connection, both, M1, until=date(2024, 1, 13), now=NOW)
    assert counts == {"AAA": {State.COMPLETE: 3, State.PROVIDER_GAP: 2, State.NEVER_FETCHED: 1}}
    since = count_states(store.connection, both, M1, date(2024, 1, 11), date(2024, 1, 13), now=NOW)
    assert since["AAA"] == {State.COMPLETE: 1, State.NEVER_FETCHED: 1}
    assert since["BTC"] == {State.NEVER_FETCHED: 2}  # it is scheduled for it


def test_the_states_of_a_static_provider_end_with_what_is_known(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390))
    store.ask(M1, "2024-01-09", "2024-01-11")
    both = [store.instrument(provider="files"), store.instrument("BTC", provider="files")]
    until = date(2024, 1, 20)
    counts = count_states(store.connection, both, M1, until=until, static={"files"}, now=NOW)
    assert counts == {"AAA": {State.COMPLETE: 1, State.PROVIDER_GAP: 1}}
    runs = state_runs(store.connection, both, M1, date(2024, 1, 10), static={"files"}, now=NOW).to_pylist()
    assert [(run["symbol"], run["state"], run["first"].day, run["last"].day) for run in runs] == [
        ("AAA", "provider_gap", 10, 10)
    ]
    others = count_states(store.connection, both, M1, until=until, static={"sample"}, now=NOW)
    assert others["AAA"] == {State.COMPLETE: 1, State.PROVIDER_GAP: 1, State.NEVER_FETCHED: 6}


def test_a_map_says_for_every_day_what_the_states_say(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390))
    store.ask(M1, "2024-01-08", "2024-01-17")
    store.put(M1, minutes("2024-01-11", 1440), "BTC")
    store.ask(M1, "2024-01-10", "2024-01-12", symbol="BTC")
    both = [store.instrument(), store.instrument("BTC")]
    until = date(2024, 1, 18)
    matrix = build_state_matrix(store.connection, both, state_runs(store.connection, both, M1, until=until, now=NOW))
    assert matrix is not None
    assert (matrix.rows, matrix.first_day, matrix.codes.shape) == (["AAA", "BTC"], date(2024, 1, 8), (2, 10))
    order = list(State)
    for row, instrument in zip(matrix.codes.tolist(), both, strict=True):
        for place, code in enumerate(row):
            day = matrix.first_day + timedelta(days=place)
            if code < 0:
                assert (instrument.symbol, day.day) in {("BTC", 8), ("BTC", 9)}
            else:
                assert order[code] is state_of_day(store.connection, instrument, M1, day, now=NOW)


def test_a_map_closes_the_weekends_of_an_instrument_that_began_late(store: Store) -> None:
    store.ask(M1, "2024-01-02", "2024-01-18", symbol="BTC")
    store.ask(M1, "2024-01-12", "2024-01-18")
    both = [store.instrument(), store.instrument("BTC")]
    runs = state_runs(store.connection, both, M1, until=date(2024, 1, 18), now=NOW)
    matrix = build_state_matrix(store.connection, both, runs)
    assert matrix is not None
    row = matrix.codes[matrix.rows.index("AAA")].tolist()
    friday = (date(2024, 1, 12) - matrix.first_day).days
    assert row[:friday] == [-1] * friday
    assert row[friday + 1 : friday + 4] == [list(State).index(State.CLOSED)] * 3  # and Monday is a holiday


def test_nothing_known_makes_no_map_and_no_year(store: Store) -> None:
    both = [store.instrument(), store.instrument("BTC")]
    assert build_state_matrix(store.connection, both, state_runs(store.connection, both, M1, now=NOW)) is None
    assert newest_year(store.connection, both, M1) is None
    assert [instrument.symbol for instrument in never_requested(store.connection, both, D1)] == ["AAA", "BTC"]


def test_the_newest_year_ends_with_the_present_or_with_old_data(store: Store) -> None:
    store.put(D1, [utc("2020-03-02"), utc("2024-01-09")])
    instruments = [store.instrument()]
    assert newest_year(store.connection, instruments, D1, now=utc("2024-02-01")) == (date(2023, 2, 1), date(2024, 2, 2))
    assert newest_year(store.connection, instruments, D1, now=NOW) == (date(2023, 1, 9), date(2024, 1, 10))
    runs = state_runs(store.connection, instruments, D1, until=date(2020, 3, 5), now=NOW).to_pylist()
    assert [(run["state"], run["first"].day, run["last"].day) for run in runs] == [
        ("complete", 2, 2), ("never_fetched", 3, 4),
    ]  # fmt: skip


# --- halts recorded, all or none


def test_recording_halts_again_changes_nothing(store: Store) -> None:
    first = Halt("AAA", utc("2024-01-09T15:00"), utc("2024-01-09T15:05"), "LUDP")
    second = Halt("BTC", utc("2024-01-09T15:00"), utc("2024-01-09T15:05"), "T1")
    assert record_halts(store.connection, [second, first]) == HaltReport(added=2)
    assert record_halts(store.connection, [first, second]) == HaltReport(unchanged=2)
    assert list_halts(store.connection) == [first, second]
    longer = replace(first, end=utc("2024-01-09T16:00"))
    assert record_halts(store.connection, [longer, second]) == HaltReport(changed=1, unchanged=1)
    assert list_halts(store.connection, ["AAA"]) == [longer]


def test_of_halts_with_one_unknown_symbol_none_is_recorded(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "halts.csv"
    lines = ["symbol,start,end,reason"]
    lines += [f"{name},2024-01-09T15:00Z,2024-01-09T15:05Z,T1" for name in ("AAA", "ZZZ")]
    file.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"halts.csv: symbol 'ZZZ' is not known; .* nothing was recorded"):
        import_halts(store.connection, file)
    assert list_halts(store.connection) == []
    file.write_text("\n".join(lines[:2]))
    assert import_halts(store.connection, file) == HaltReport(added=1)
    with pytest.raises(UsageError, match="start=2024-01-09T15:01:00Z begins no halt of AAA"):
        remove_halt(store.connection, "AAA", utc("2024-01-09T15:01"))


# --- the command line

Run = Callable[..., Result]


@pytest.fixture
def run(store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the store."""
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def gappy(store: Store) -> Store:
    """Five sessions of AAA: complete, two with gaps, one requested in vain, one complete; and a day."""
    store.put(M1, minutes("2024-01-08T14:30", 390) + minutes(OPEN, 390, less=[range(30)]))
    store.put(M1, minutes("2024-01-10T14:30", 390, less=[range(80, 180)]))
    store.put(M1, minutes("2024-01-12T14:30", 390))
    store.put(D1, [utc("2024-01-09")])
    store.instrument(delisted=date(2024, 1, 13))
    for timeframe in (M1, D1):
        store.ask(timeframe, "2024-01-08", "2024-01-13")
    return store


def test_coverage_counts_the_sessions_in_each_state(gappy: Store, run: Run) -> None:
    result = run("coverage", "--end", "2024-01-13")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["symbol", "timeframe", "sessions", "complete", "provider_gap"] in lines
    assert ["AAA", "1m", "5", "2", "3"] in lines
    assert ["AAA", "1d", "5", "1", "4"] in lines
    assert "1m was never fetched: BTC" in result.stderr
    assert "provider_gap" not in run("coverage", "--no-states").stdout
    rows = json.loads(run("coverage", "AAA", "--end", "2024-01-13", "--json").stdout)
    assert [(row["timeframe"], row["states"]) for row in rows] == [
        ("1m", {"complete": 2, "provider_gap": 3}),
        ("1d", {"complete": 1, "provider_gap": 4}),
    ]


def test_coverage_lists_what_was_requested_in_vain(store: Store, run: Run) -> None:
    store.ask(M1, "2024-01-09", "2024-01-10")
    (row,) = json.loads(run("coverage", "--json", "--end", "2024-01-10").stdout)
    assert row == {"symbol": "AAA", "timeframe": "1m", "rows": 0, "findings": 0, "states": {"provider_gap": 1}}


def test_coverage_of_a_day(gappy: Store, run: Run) -> None:
    text = run("coverage", "--day", "2024-01-10").stdout
    lines = [line.split() for line in text.splitlines()]
    version = get_calendar("XNYS").version.split()
    assert [
        "AAA", "1m", "2024-01-10", "provider_gap", "290/390", "74.4%", "2024-01-10", "15:50Z,", "100", "min", "XNYS",
        *version,
    ] in lines  # fmt: skip
    assert ["BTC", "1d", "2024-01-10", "never_fetched", "0/1", "0.0%", "\N{EN DASH}", "24/7", *version] in lines
    rows = json.loads(run("coverage", "AAA", "--day", "2024-01-13", "-t", "1d", "--json").stdout)
    assert [(row["symbol"], row["timeframe"], row["session"], row["state"]) for row in rows] == [
        ("AAA", "1d", "2024-01-13", "closed")
    ]
    assert "closed" in run("coverage", "AAA", "--day", "2024-01-13").stdout


def test_coverage_lists_the_sessions_in_a_state(gappy: Store, run: Run) -> None:
    lines = [line.split() for line in run("coverage", "-t", "1m", "--state", "provider_gap").stdout.splitlines()]
    run_text = ["2024-01-11", "14:30Z,", "390", "min"]
    assert ["AAA", "1m", "2024-01-09", "2024-01-11", "3", "650/1,170", "55.6%", *run_text] in lines
    (row,) = json.loads(run("coverage", "-t", "1m", "--state", "provider_gap", "--json").stdout)
    assert (row["first"], row["last"], row["missing_start"]) == ("2024-01-09", "2024-01-11", "2024-01-11T14:30:00Z")
    shorter = run("coverage", "--state", "provider_gap", "--start", "2024-01-10", "--end", "2024-01-11", "-t", "1m")
    assert "290/390" in shorter.stdout
    assert "No session is in state halted." in run("coverage", "--state", "halted").stderr


def test_coverage_draws_a_picture_of_each_timeframe(gappy: Store, run: Run, tmp_path: Path) -> None:
    single, both = tmp_path / "one.png", tmp_path / "both.png"
    assert run("coverage", "-t", "1m", "--picture", str(single)).stdout == f"{single}: 1m symbols=1\n"
    assert single.read_bytes().startswith(b"\x89PNG")
    assert run("coverage", "--picture", str(both)).exit_code == 0
    assert {file.name for file in tmp_path.glob("*.png")} == {"one.png", "both_1m.png", "both_1d.png"}
    assert "No 1m bars of BTC yet" in run("coverage", "BTC", "-t", "1m", "--picture", str(single)).stderr


def test_the_web_ui_shows_counts_and_a_map_and_what_it_leaves_out(gappy: Store, warehouse: Warehouse) -> None:
    both = [gappy.instrument(), gappy.instrument("BTC")]
    assert describe_states(warehouse, [both[1]], D1) == {}
    shown = describe_states(warehouse, both, M1)
    counts = {record.data["state"]: record.data["sessions"] for record in shown["states"].records}
    # Of the year until the session after what was requested: BTC is scheduled, and was never fetched.
    assert (counts["complete"], counts["provider_gap"]) == (2, 3)
    assert counts["never_fetched"] == 366
    assert shown["shown"].startswith("states from 2023-01-15 to 2024-01-15, 2 of 2 symbols;")
    assert "data:image/png;base64," in shown["map"].md_str
    assert "1 of 2 symbols; 1 more are not shown;" in describe_states(warehouse, both, M1, symbols_shown=1)["shown"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--day", "yesterday"], "day='yesterday' is not a date; write 2024-01-31"),
        (["--day", "2999-01-01"], "day=2999-01-01 is not known to the calendar 24/7; allowed: 1980-01-01 to"),
        (["--day", "2024-01-09", "--start", "2024-01-01"], "goes without --start and --end"),
        (["--day", "2024-01-09", "--state", "halted"], "--day, --state and --picture exclude each other"),
        (["--start", "2024-01-09", "--end", "2024-01-09"], "start=2024-01-09 is not before end=2024-01-09"),
        (["--state", "bad"], "state='bad' is not known; allowed: complete no_trades partial"),
        (["--state", "closed"], "state='closed' is no state of a session; ask with --day; allowed: complete"),
        (["--state", "halted", "-t", "5m"], "timeframe='5m' is derived"),
        (["--picture", "map.jpg"], "picture='map.jpg' is not the name of a PNG"),
        (["-t", "1m", "--picture", "/nowhere/map.png"], "picture='/nowhere/map.png' cannot be written: No such file"),
    ],
)
def test_wrong_use_of_coverage_names_what_is_allowed(gappy: Store, run: Run, arguments: list[str], said: str) -> None:
    result = run("coverage", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_halts_are_added_listed_imported_and_removed(gappy: Store, run: Run, tmp_path: Path) -> None:
    halt = ("AAA", "2024-01-10T10:50:00-05:00", "2024-01-10T17:30:00Z")
    assert "No halt is recorded" in run("halts", "list").stderr
    assert run("halts", "add", *halt, "--reason", "T1").stdout == "halts: added=1 changed=0 unchanged=0\n"
    assert gappy.state(date(2024, 1, 10)) is State.HALTED
    rows = [{"symbol": "AAA", "start": "2024-01-10T15:50:00Z", "end": "2024-01-10T17:30:00Z", "reason": "T1"}]
    assert json.loads(run("halts", "list", "AAA", "--json").stdout) == rows
    assert run("halts", "list").stdout.split()[-6:] == ["AAA", "2024-01-10", "15:50Z", "2024-01-10", "17:30Z", "T1"]
    file = tmp_path / "halts.csv"
    file.write_text("symbol,start,end,reason\n" + "".join(f"{','.join([*halt, 'T1'])}\n" for _ in range(2)))
    assert run("halts", "import", str(file)).stdout == "halts: added=0 changed=0 unchanged=1\n"
    assert run("halts", "remove", *halt[:2]).stdout.startswith("removed: AAA 2024-01-10 15:50Z to 2024-01-10 17:30Z")
    assert gappy.state(date(2024, 1, 10)) is State.PROVIDER_GAP
    wrong = run("halts", "add", "AAA", "2024-01-10", "2024-01-11T00:00Z", "--reason", "T1")
    assert (wrong.exit_code, "start='2024-01-10' has no time of day" in wrong.stderr) == (2, True)


# --- real data


@pytest.fixture
def library(warehouse: Warehouse, shared_data: Path, tmp_path: Path) -> Library:
    return Library(warehouse, shared_data, tmp_path)


def _states(library: Library, since: str, until: str) -> dict[int, Sequence[object]]:
    with library.warehouse.connection() as connection:
        span = date.fromisoformat(since), date.fromisoformat(until)
        rows = session_states(connection, list_instruments(connection), M1, *span, now=NOW).to_pylist()
    return {row["session"].day: (row["state"], row["expected"], row["present"], row["missing_slots"]) for row in rows}


def test_a_real_half_day_and_the_session_after_it(library: Library) -> None:
    library.put("bars_1m/GOOG.csv.gz", "GOOG", M1)
    library.load(M1, {"GOOG": "XNYS"}, BarGate())
    states = _states(library, "2015-12-24", "2015-12-29")
    assert states.keys() == {24, 28}
    assert states[24] == ("complete", 210, 210, 0)
    assert states[28][:3] == ("no_trades", 390, 382)
    assert states[28][3] <= 8


def test_a_real_coin_that_trades_thinly_has_no_gap(library: Library) -> None:
    library.put("bars_1m/UNITTEST-BTC.parquet", "COIN", M1)
    library.load(M1, {"COIN": "24/7"}, BarGate())
    states = _states(library, "2017-11-04", "2017-11-15")
    # The file begins at 23:02 of the first day and ends at 22:59 of the last.
    assert (states.pop(4)[0], states.pop(14)[0]) == ("partial", "not_final")
    assert {state for state, *_ in states.values()} <= {"no_trades", "complete"}
    assert max(slots for *_, slots in states.values()) == 7  # the longest step is 8 minutes
    assert len(states) == 9
