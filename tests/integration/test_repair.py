"""Repair: a provider that loses bars, delivers them late or never, and one that restates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from chandlery.config.universe import InstrumentConfig
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.repair import BackfillRequest, plan_backfills, record_launch
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.coverage.retry_schedule import (
    ANSWERS_TO_CONFIRM,
    FIRST_PAUSE,
    RetrySession,
    count_answers,
    schedule_next_try,
)
from chandlery.coverage.session_states import session_states
from chandlery.database.named_queries import query
from chandlery.ingest import quarantine
from chandlery.instruments.registry import sync_instruments
from chandlery.instruments.sessions import sync_sessions
from chandlery.providers.base import ProviderLimits
from chandlery.providers.coinbase import CoinbaseProvider
from chandlery.tiers.warehouse import Warehouse
from tests.remote import PAIRS, Remote, day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import Bar, every_row, instruments_of, put, register

START, END = day("2024-02-27"), day("2024-03-03")
NOW = day("2024-03-03") + timedelta(hours=1)
TERMS = {"coinbase": CoinbaseProvider.limits}
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.invent(PAIRS, Timeframe.M1, START, END)


@pytest.fixture
def remote(warehouse: Warehouse, market: Market, tmp_path: Path) -> Iterator[Remote]:
    with CoinbaseServer(market, page=350) as server:
        remote = Remote.open(warehouse, server, tmp_path)
        with warehouse.connection() as connection:  # or else each later day would be missing, too
            connection.execute("UPDATE market.instrument SET delisted = %s", (END.date(),))
        yield remote


def without(market: Market, *lost: tuple[datetime, datetime]) -> Market:
    """Return the market less what starts in these ranges, of every symbol."""
    bars = {}
    for key, columns in market.bars.items():
        ts = columns["ts"].astype("datetime64[us]")
        kept = np.ones(len(ts), np.bool_)
        for start, end in lost:
            kept &= (ts < np.datetime64(start.replace(tzinfo=None))) | (ts >= np.datetime64(end.replace(tzinfo=None)))
        bars[key] = {name: values[kept] for name, values in columns.items()}
    return Market(bars)


def spoiled(market: Market, start: datetime, end: datetime) -> Market:
    """Return the market where the bars that start in [start, end) have a low above their high."""
    bars = {}
    for key, columns in market.bars.items():
        ts = columns["ts"].astype("datetime64[us]")
        bad = (ts >= np.datetime64(start.replace(tzinfo=None))) & (ts < np.datetime64(end.replace(tzinfo=None)))
        bars[key] = {**columns, "low": np.where(bad, columns["high"] * 2, columns["low"])}
    return Market(bars)


def plan(
    remote: Remote, now: datetime, limits: Mapping[str, ProviderLimits] = TERMS, **most: int
) -> list[BackfillRequest]:
    with remote.warehouse.connection() as connection:
        return plan_backfills(
            connection, list(remote.instruments().values()), Timeframe.M1, limits=limits, now=now, **most
        )


def repair(remote: Remote, now: datetime) -> int:
    """Do once what the sensor and the runs that it launches do; return how many sessions were requested."""
    backfills = plan(remote, now)
    for backfill in backfills:
        with remote.warehouse.connection() as connection:
            record_launch(connection, backfill, now)
        for symbol, (start, end) in backfill.ranges.items():
            remote.load(start, end, symbols=[symbol], refresh=True, now=now)
    return sum(len(backfill.sessions) for backfill in backfills)


def states(remote: Remote, now: datetime, symbol: str = "BTC/USD") -> list[str]:
    with remote.warehouse.connection() as connection:
        instrument = remote.instruments()[symbol]
        table = session_states(connection, [instrument], Timeframe.M1, START.date(), END.date(), now=now)
    return [str(state) for state in table["state"].to_pylist()]


def scheduled(remote: Remote) -> int:
    """Return how many sessions wait for another request."""
    count: int = remote.scalar("SELECT count(*) FROM ops.retry_schedule WHERE confirmed_at IS NULL")
    return count


LOSSES = {
    "a whole day": (day("2024-02-29"), day("2024-03-01")),
    "the begin": (START, START + 5 * HOUR),
    "the end": (END - 2 * HOUR, END),
    "the middle": (day("2024-03-01") + 9 * HOUR, day("2024-03-01") + 10 * HOUR),
}


@pytest.mark.parametrize("lost", LOSSES.values(), ids=list(LOSSES))
def test_what_was_lost_and_comes_later_is_repaired(
    remote: Remote, market: Market, lost: tuple[datetime, datetime]
) -> None:
    remote.server.market = without(market, lost)
    remote.load(START, END, now=NOW)
    assert sorted(set(states(remote, NOW))) == ["no_trades", "provider_gap"]
    assert states(remote, NOW).count("provider_gap") == 1
    assert repair(remote, NOW) == 2  # one session of two symbols; nothing came
    assert repair(remote, NOW + timedelta(minutes=1)) == 0  # the pause is not over
    remote.server.market = market
    before = len(remote.server.requests)
    assert repair(remote, NOW + FIRST_PAUSE) == 2
    assert len(remote.server.requests) - before == 2 * 5  # a day of each
    assert set(states(remote, NOW + FIRST_PAUSE)) == {"no_trades"}
    assert remote.is_whole(market, START, END)
    assert scheduled(remote) == 0, "what lacks nothing any more is not scheduled"
    assert repair(remote, NOW + timedelta(days=30)) == 0


def test_a_session_that_somebody_else_mended_leaves_the_schedule_and_an_idle_plan_writes_nothing(
    remote: Remote, market: Market
) -> None:
    lost = LOSSES["a whole day"]
    remote.server.market = without(market, lost)
    remote.load(START, END, now=NOW)
    assert repair(remote, NOW) == 2
    assert scheduled(remote) == 2
    with remote.warehouse.connection() as connection:
        ours = every_row(connection)
        assert plan(remote, NOW + FIRST_PAUSE)  # looks, and changes nothing
        assert every_row(connection) == ours
        connection.execute(
            "INSERT INTO market.halt (instrument_id, start_ts, end_ts, reason)"
            " SELECT instrument_id, %s, %s, 'closed' FROM market.instrument",
            lost,
        )
        assert plan(remote, NOW + FIRST_PAUSE) == []
        assert scheduled(remote) == 0
        ours = every_row(connection)
        assert plan(remote, NOW + 2 * FIRST_PAUSE) == []
        assert every_row(connection) == ours


def test_a_day_that_comes_after_it_was_confirmed_to_be_missing_leaves_the_schedule(warehouse: Warehouse) -> None:
    number = register(warehouse, {"AAA": "24/7"})["AAA"]
    whole = RequestedRange(number, "24/7", day("2024-02-01"), day("2024-02-04"), day("2024-02-05"), timedelta())
    put(warehouse, Timeframe.D1, [Bar("AAA", day("2024-02-01")), Bar("AAA", day("2024-02-03"))])
    with warehouse.connection() as connection:
        sync_sessions(connection, ["24/7"])
        record_requested(connection, Timeframe.D1, [whole])
        schedule_next_try(
            connection, Timeframe.D1, [RetrySession(number, "AAA", date(2024, 2, 2), 0)], day("2024-02-05")
        )
        for _ in range(ANSWERS_TO_CONFIRM):
            count_answers(connection, Timeframe.D1, [whole], day("2024-02-05"))
        rows = "SELECT session, confirmed_at IS NOT NULL FROM ops.retry_schedule"
        assert connection.execute(rows).fetchall() == [(date(2024, 2, 2), True)]
        put(warehouse, Timeframe.D1, [Bar("AAA", day("2024-02-02"))])
        count_answers(connection, Timeframe.D1, [whole], day("2024-02-06"))
        assert connection.execute(rows).fetchall() == []


def test_what_the_provider_confirms_is_asked_for_so_often_and_no_more(remote: Remote, market: Market) -> None:
    remote.server.market = without(market, LOSSES["a whole day"])
    remote.load(START, END, symbols=PAIRS[:1], now=NOW)
    now, pauses, last = NOW, [], NOW
    while len(pauses) < 50 and states(remote, now)[2] == "provider_gap":
        if repair(remote, now):
            pauses.append(now - last)
            last = now
        now += timedelta(minutes=5)
    assert len(pauses) == ANSWERS_TO_CONFIRM
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] > pauses[1]
    assert states(remote, now)[2] == "no_trades"
    assert repair(remote, now + timedelta(days=365)) == 0


@pytest.mark.parametrize(
    ("bad", "rejected"),
    [
        ((day("2024-03-01") + 9 * HOUR, day("2024-03-01") + 9 * HOUR + timedelta(minutes=10)), [3]),
        ((day("2024-03-01"), day("2024-03-02")), [3, 4]),  # so many that all that came of March is
    ],
    ids=["some rows", "a whole partition"],
)
def test_what_the_gate_rejects_is_told_and_asked_for_until_something_else_comes(
    remote: Remote, market: Market, bad: tuple[datetime, datetime], rejected: list[int]
) -> None:
    expected = ["quarantined" if place in rejected else "no_trades" for place in range(5)]
    remote.server.market = spoiled(market, *bad)
    remote.load(START, END, now=NOW)
    assert states(remote, NOW) == expected
    assert repair(remote, NOW) == 2 * len(rejected)  # the same came again
    assert states(remote, NOW) == expected
    with remote.warehouse.connection() as connection:
        assert sorted(entry.symbol for entry in quarantine.list_entries(connection)) == list(PAIRS)
    remote.server.market = market
    assert repair(remote, NOW + FIRST_PAUSE) == 2 * len(rejected)
    assert states(remote, NOW + FIRST_PAUSE) == ["no_trades"] * 5
    assert remote.is_whole(market, START, END)
    with remote.warehouse.connection() as connection:
        assert quarantine.list_entries(connection) == []
        assert [entry.replaced for entry in quarantine.list_entries(connection, everything=True)] == [True, True]


def test_what_stays_rejected_is_asked_for_so_often_and_waits_for_a_person(remote: Remote, market: Market) -> None:
    remote.server.market = spoiled(market, *LOSSES["a whole day"])
    remote.load(START, END, symbols=PAIRS[:1], now=NOW)
    now, launches = NOW, 0
    for _ in range(ANSWERS_TO_CONFIRM + 5):
        launches += repair(remote, now) > 0
        now += timedelta(days=8)
    assert launches == ANSWERS_TO_CONFIRM
    assert states(remote, now)[2] == "quarantined"


def test_an_outage_confirms_nothing(remote: Remote, market: Market) -> None:
    remote.server.market = without(market, LOSSES["a whole day"])
    remote.load(START, END, symbols=PAIRS[:1], now=NOW)
    remote.server.faults.extend(["http_503"] * 10_000)
    now = NOW
    pauses = []
    for _ in range(ANSWERS_TO_CONFIRM + 3):
        assert repair(remote, now) == 1
        last = now
        while not plan(remote, now):
            now += timedelta(minutes=15)
        pauses.append(now - last)
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 2**5 * pauses[0]
    assert states(remote, now)[2] == "provider_gap"
    remote.server.faults.clear()
    remote.server.market = market
    assert repair(remote, now) == 1
    assert set(states(remote, now)) == {"no_trades"}


def test_before_the_first_bar_one_answer_is_enough(remote: Remote, market: Market) -> None:
    early = START - timedelta(days=3)
    remote.load(early, END, symbols=PAIRS[:1], now=NOW)
    assert repair(remote, NOW) == 3
    assert repair(remote, NOW + timedelta(days=30)) == 0
    with remote.warehouse.connection() as connection:
        instrument = remote.instruments()["BTC/USD"]
        table = session_states(connection, [instrument], Timeframe.M1, early.date(), END.date(), now=NOW)
    assert table["state"].to_pylist() == ["no_trades"] * 8


def test_a_plan_measures_first_how_long_bars_are_missing_where_nobody_has(warehouse: Warehouse) -> None:
    number = register(warehouse, {"AAA": "24/7"})["AAA"]
    start = day("2024-03-01")
    for first, last in ((0, 360), (720, 1440)):  # a session that comes in two parts is measured with neither
        put(warehouse, Timeframe.M1, [Bar("AAA", start + timedelta(minutes=n)) for n in range(first, last)])
    end = start + timedelta(days=1)
    with warehouse.connection() as connection:
        sync_sessions(connection, ["24/7"])
        connection.execute("UPDATE market.instrument SET delisted = %s", (end.date(),))
        record_requested(
            connection, Timeframe.M1, [RequestedRange(number, "24/7", start, end, end + HOUR, timedelta())]
        )
        limits = {"simulated": ProviderLimits(remote=True)}
        instruments = list(instruments_of(warehouse).values())
        (backfill,) = plan_backfills(connection, instruments, Timeframe.M1, limits=limits, now=end + HOUR)
    assert [item.session for item in backfill.sessions] == [start.date()]


@pytest.mark.parametrize("known_by", ["bars", "days", "quarantine"])
def test_one_answer_is_enough_only_before_the_first_bar_of_all(warehouse: Warehouse, known_by: str) -> None:
    timeframe = Timeframe.D1 if known_by == "days" else Timeframe.M1
    number = register(warehouse, {"AAA": "24/7"})["AAA"]
    requested = RequestedRange(number, "24/7", day("2024-02-01"), day("2024-02-21"), day("2024-02-22"), timedelta())
    sessions = [date(2024, 2, at) for at in (3, 8, 18)]
    with warehouse.connection() as connection:
        sync_sessions(connection, ["24/7"])
        if known_by == "quarantine":  # the first bar of all was rejected, and one later
            connection.execute(
                "INSERT INTO ops.quarantine (instrument_id, timeframe, window_key, kind, provider, reason, checks,"
                " row_count, digest, bars, sessions) SELECT %s, '1m', '2024-02', 'rows', 'test', 'bad', '[]', 1,"
                " sha256(day::bytea), '', datemultirange(daterange(day::date, day::date, '[]'))"
                " FROM unnest('{2024-02-05,2024-02-12}'::text[]) AS day",
                (number,),
            )
    if known_by != "quarantine":
        put(
            warehouse,
            timeframe,
            [Bar("AAA", day(f"2024-02-{at:02}") + 12 * HOUR * (known_by == "bars")) for at in (5, 12)],
        )
    with warehouse.connection() as connection:
        record_requested(connection, timeframe, [requested])
        items = [RetrySession(number, "AAA", session, 0) for session in sessions]
        schedule_next_try(connection, timeframe, items, day("2024-02-22"))
        confirmed = []
        for _ in range(ANSWERS_TO_CONFIRM):
            count_answers(connection, timeframe, [requested], day("2024-02-23"))
            rows = connection.execute(
                "SELECT session FROM ops.retry_schedule WHERE confirmed_at IS NOT NULL ORDER BY 1"
            )
            confirmed.append([session for (session,) in rows])
    assert confirmed == [sessions[:1]] * (ANSWERS_TO_CONFIRM - 1) + [sessions]


def test_days_on_which_nobody_asked_are_fetched_newest_first(remote: Remote, market: Market) -> None:
    remote.load(START, START + timedelta(days=1), now=NOW)
    assert states(remote, NOW) == ["no_trades"] + ["never_fetched"] * 4
    (first, *_) = plan(remote, NOW)
    assert first.window == "2024-03"
    (newest,) = plan(remote, NOW, sessions=2)
    assert {item.session.isoformat() for item in newest.sessions} == {"2024-03-02"}
    assert repair(remote, NOW) == 8
    assert remote.is_whole(market, START, END)


def test_a_session_of_minutes_belongs_to_the_window_in_which_it_opens(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        sync_instruments(connection, [InstrumentConfig(symbol="ESZ4", calendar="CMES", provider="coinbase")])
        sync_sessions(connection, ["CMES"])
        instrument = instruments_of(warehouse)["ESZ4"]
        start, end = day("2024-04-28") + 22 * HOUR, day("2024-04-29") + 22 * HOUR
        record_requested(
            connection,
            Timeframe.M1,
            [RequestedRange(instrument.instrument_id, "CMES", start, end, end, timedelta())],
        )
        now = day("2024-05-01") + 23 * HOUR
        ending, backfill = plan_backfills(connection, [instrument], Timeframe.M1, limits=TERMS, now=now, windows=1)
    # The session of the first of May opens in April, and its other day is requested with it.
    assert (ending.window, ending.ranges, ending.sessions) == (
        "2024-05",
        {"ESZ4": (day("2024-05-01"), day("2024-05-01") + 21 * HOUR)},
        [],
    )
    assert backfill.window == "2024-04"
    assert backfill.ranges["ESZ4"][1] == day("2024-05-01")
    assert [item.session.isoformat() for item in backfill.sessions] == ["2024-05-01", "2024-04-30", "2024-04-29"]


def test_what_nobody_ever_wanted_is_left_alone(remote: Remote) -> None:
    assert plan(remote, NOW) == []


def test_what_is_out_of_reach_is_left_alone(remote: Remote) -> None:
    remote.load(START, START + timedelta(days=1), now=NOW)
    short = {"coinbase": ProviderLimits(remote=True, history_depth={Timeframe.M1: timedelta(days=2)})}
    assert {gap.session.isoformat() for backfill in plan(remote, NOW, short) for gap in backfill.sessions} == {
        "2024-03-02"
    }
    assert plan(remote, NOW, {}) == []  # not a remote provider


def test_a_session_is_asked_for_again_once_it_has_settled(remote: Remote, market: Market) -> None:
    hasty = Market({key: {**bars, "volume": bars["volume"] * 2} for key, bars in market.bars.items()})  # type: ignore[operator]
    remote.server.market = hasty
    at_close = END + timedelta(minutes=1)
    remote.load(END - timedelta(days=1), END, now=at_close)
    assert repair(remote, at_close) == 0  # it has not settled yet
    remote.server.market = market
    settled = at_close + timedelta(minutes=10)
    assert repair(remote, settled) == 2
    assert remote.is_whole(market, END - timedelta(days=1), END)
    assert remote.scalar("SELECT count(*) FROM market.bars_revision") == 2 * 1440 - sum(
        1440 - len(market.between(pair, Timeframe.M1, END - timedelta(days=1), END)["ts"]) for pair in PAIRS
    )
    assert repair(remote, settled + timedelta(days=1)) == 0


# --- many symbols

MANY = 5000


@pytest.fixture
def many(warehouse: Warehouse) -> Warehouse:
    """Five thousand symbols, whose sessions of a month are there and final, all but today's, which has not settled."""
    with warehouse.connection() as connection:
        sync_instruments(
            connection,
            [InstrumentConfig(symbol=f"S{n}", provider="vendor", calendar="XNYS") for n in range(MANY)],
        )
        connection.execute(
            "INSERT INTO ops.requested (instrument_id, timeframe, sessions, final, calendar)"
            " SELECT instrument_id, '1d', '{[2024-02-01,2024-03-02)}', '{[2024-02-01,2024-03-01)}', 'XNYS'"
            " FROM market.instrument"
        )
        connection.execute(
            "INSERT INTO ops.coverage (instrument_id, timeframe, session, present, outside, first_ts, last_ts)"
            " SELECT instrument_id, '1d', session, 1, 0, open, open"
            " FROM market.instrument JOIN market.session USING (calendar)"
            " WHERE session >= '2024-02-01' AND session < '2024-03-02'"
        )
        connection.execute("ANALYZE ops.coverage, ops.requested, market.instrument, market.session")
    return warehouse


VENDOR = {"vendor": ProviderLimits(remote=True, settlement_delay={Timeframe.D1: timedelta(days=1)})}
FRIDAY_NIGHT = day("2024-03-01") + timedelta(hours=22)


def planned(warehouse: Warehouse, now: datetime, **options: int) -> set[tuple[str, str]]:
    """Return (symbol, session) of what is planned."""
    with warehouse.connection() as connection:
        instruments = list(instruments_of(warehouse).values())
        backfills = plan_backfills(connection, instruments, Timeframe.D1, limits=VENDOR, now=now, **options)
        return {(item.symbol, item.session.isoformat()) for backfill in backfills for item in backfill.sessions}


def test_todays_unsettled_sessions_of_many_symbols_hide_nothing(many: Warehouse) -> None:
    assert planned(many, FRIDAY_NIGHT) == set()
    with many.connection() as connection:
        connection.execute(
            "UPDATE ops.requested SET final = final - '{[2024-02-14,2024-02-15)}',"
            " sessions = sessions - '{[2024-02-14,2024-02-15)}'"
            " WHERE instrument_id = (SELECT max(instrument_id) FROM market.instrument)"
        )
        connection.execute(
            "DELETE FROM ops.coverage WHERE session IN ('2024-02-06', '2024-02-14')"
            " AND instrument_id = (SELECT max(instrument_id) FROM market.instrument)"
        )
    lacking = {(f"S{MANY - 1}", "2024-02-06"), (f"S{MANY - 1}", "2024-02-14")}
    assert planned(many, FRIDAY_NIGHT) == lacking
    assert planned(many, FRIDAY_NIGHT, sessions=1) == {(f"S{MANY - 1}", "2024-02-14")}
    settled = planned(many, FRIDAY_NIGHT + timedelta(days=1))
    assert settled == lacking | {(f"S{n}", "2024-03-01") for n in range(MANY)}


def test_what_is_examined_in_turns_is_found_in_its_turn(many: Warehouse) -> None:
    with many.connection() as connection:
        connection.execute(
            "DELETE FROM ops.coverage WHERE session IN ('2024-02-05', '2024-02-29')"
            " AND instrument_id = (SELECT min(instrument_id) FROM market.instrument)"
        )
    newest, oldest = ("S0", "2024-02-29"), ("S0", "2024-02-05")
    assert planned(many, FRIDAY_NIGHT) == {newest, oldest}
    found = [planned(many, FRIDAY_NIGHT, examined=10 * MANY, turn=turn) for turn in range(4)]
    assert found == [{newest}, {newest, oldest}, {newest}, {newest, oldest}]  # ten days in each turn, of thirty


@pytest.mark.parametrize("years", [2, 20])
def test_however_much_is_open_few_sessions_are_looked_at(many: Warehouse, years: int) -> None:
    with many.connection() as connection:
        connection.execute("DELETE FROM ops.requested WHERE instrument_id % 50 <> 0")
        span = f"{{[{2024 - years}-01-02,{2024 - years}-01-03)}}"
        connection.execute("UPDATE ops.requested SET sessions = %s, final = %s", (span, span))
        connection.execute("TRUNCATE ops.coverage")
        connection.execute("ANALYZE ops.requested, ops.coverage")
        ids = [i for (i,) in connection.execute("SELECT instrument_id FROM ops.requested")]
        statement = query(
            "coverage/open_sessions",
            ids=ids,
            delays=[timedelta()] * len(ids),
            depths=[None] * len(ids),
            timeframe="1d",
            now=FRIDAY_NIGHT,
            per_instrument=64,
            limit=1000,
        )
        row = connection.execute(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) {}").format(statement)).fetchone()
    assert row is not None
    assert _most_rows(row[0][0]["Plan"]) <= 64 * len(ids)


def _most_rows(plan: dict[str, Any]) -> float:
    """Return the rows that the step with the most brought, all its repetitions together, but for whole small tables."""
    own = 0 if plan["Node Type"] in {"Seq Scan", "Hash"} else plan["Actual Rows"] * plan["Actual Loops"]
    return max([own, *(_most_rows(part) for part in plan.get("Plans", ()))])
