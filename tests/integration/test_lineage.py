"""From a value back to its origin: the answer, the run, the rules and the person behind it, and what it was before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from chandlery.api.data import DataAPI
from chandlery.bars.origin import Origin
from chandlery.cli import app
from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.halts import record_halts
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.database.migrate import migrate
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.ingest.person import system_user
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.quarantine import list_entries
from chandlery.ingest.release import release
from chandlery.instruments.halts import Halt
from chandlery.instruments.sessions import sync_sessions
from chandlery.lake.store import Lake
from chandlery.lineage.steps import Lineage
from chandlery.lineage.trace import trace
from chandlery.providers.files.provider import FilesProvider
from chandlery.publishing.publish import publish
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from expectations.limits import GateLimits
from expectations.rules import rules_version
from tests.remote import Remote, day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import EVER, Bar, instruments_of, put, register, table, utc

M1, M5, D1, W1 = Timeframe.M1, Timeframe.M5, Timeframe.D1, Timeframe.W1
PAIR = "BTC/USD"
START, END, DAY = day("2024-02-27"), day("2024-03-09"), day("2024-03-05")
TOLERANT = GateLimits(max_rejected_share=0.5)
TWENTY_FOUR_SEVEN = get_calendar("24/7").label


@pytest.fixture
def tiered(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    return Warehouse(warehouse.database, Lake(tmp_path / "lake"))


@pytest.fixture
def remote(tiered: Warehouse, tmp_path: Path) -> Iterator[Remote]:
    market = Market.invent([PAIR], D1, START, END)
    with CoinbaseServer(market, page=350) as server:
        yield replace(Remote.open(tiered, server, tmp_path, [PAIR]), timeframe=D1)


#: A Tuesday in New York, open from 14:30 to 21:00 UTC.
TUESDAY = utc("2024-01-09")
NOON = utc("2024-01-09T17:00")
NOW = utc("2026-01-01")


@pytest.fixture
def stock(warehouse: Warehouse) -> Warehouse:
    register(warehouse, {"AAA": "XNYS"})
    with warehouse.connection() as connection:
        sync_sessions(connection, ["XNYS"])
    return warehouse


def offer(remote: Remote, **changes: float) -> None:
    """Let the provider have other values of ``DAY``, multiplied by those that are given."""
    bars = {name: values.copy() for name, values in remote.server.market.bars[PAIR, D1].items()}
    at = (DAY - START).days
    for name, factor in changes.items():
        bars[name][at] = bars[name][at] * factor  # type: ignore[operator]
    remote.server.market = Market({(PAIR, D1): bars})


def load(remote: Remote, run_id: str, at: str) -> None:
    gate = BarGate(TOLERANT)
    remote.load(START, END, symbols=[PAIR], gate=gate, refresh=True, now=utc(at), run_id=run_id)


def live(remote: Remote) -> list[datetime]:
    """Give the bar of ``DAY`` a life of five values, and return when each was learned."""
    original = remote.server.market
    load(remote, "run 1", "2024-06-01")
    offer(remote, high=0.5)  # below its low
    load(remote, "run 2", "2024-06-02")
    (entry,) = _entries(remote.warehouse)
    release(remote.warehouse, entry.quarantine_id, "seen on the exchange", released_by="Ann")
    impossible = remote.server.market
    remote.server.market = original
    offer(remote, close=1.0001)
    load(remote, "run 3", "2030-06-03")  # later than the release, which takes the clock's time
    remote.server.market = impossible
    load(remote, "run 4", "2030-06-04")
    return [value.known_at for value in why(remote.warehouse, DAY).values]


def _entries(warehouse: Warehouse) -> list:
    with warehouse.connection() as connection:
        return list_entries(connection, everything=True)


def why(
    warehouse: Warehouse, ts: datetime, timeframe: Timeframe = D1, *, symbol: str = PAIR, as_of: datetime | None = None
) -> Lineage:
    return DataAPI(warehouse).lineage(symbol, ts, timeframe.value, as_of=as_of)


@pytest.mark.every_edition
def test_every_value_of_a_bar_leads_to_its_request_run_rules_and_person(remote: Remote) -> None:
    live(remote)
    found = why(remote.warehouse, DAY)
    assert (found.symbol, found.timeframe, found.ts, found.as_of, found.missing) == (PAIR, "1d", DAY, None, None)
    publications = [value.publication for value in found.values]
    assert all(publication is not None and publication.recorded for publication in publications)
    assert [publication.kind for publication in publications if publication] == [
        "ingest",
        "ingest",
        "release of quarantine 1",
        "ingest",
    ]
    again, restated, released, first = [publication for publication in publications if publication]
    assert [each.run_id for each in (again, restated, released, first)] == ["run 4", "run 3", None, "run 1"]
    version = rules_version(TOLERANT)
    assert {each.rules for each in (again, restated, released, first)} == {version}
    assert {each.calendar for each in (again, restated, released, first)} == {TWENTY_FOUR_SEVEN}
    # Each value came with another answer of the provider, the released one with that of the run which rejected it.
    answers = [each.answer for each in (again, restated, released, first)]
    landed = remote.landing.find("coinbase", D1)
    assert [answer.path for answer in answers if answer] == [each.path for each in landed]
    assert {(a.provider, a.start, a.end, a.rows) for a in answers if a} == {("coinbase", START, END, 11)}
    assert [answer.requested_at for answer in answers if answer] == [each.fetched_at for each in landed]
    for made in (again, released):
        assert made.release is not None
        assert (made.release.released_by, made.release.release_reason) == ("Ann", "seen on the exchange")
        assert (made.release.run_id, made.release.rules, list(made.release.broken)) == (
            "run 2",
            version,
            ["high_is_highest"],
        )
    assert first.release is None
    assert restated.release is None
    assert [each.quarantine_id for each in found.rejections] == [1]
    highs = [value.bar["high"] for value in found.values]
    assert highs[0] == highs[2] == highs[1] / 2 == highs[3] / 2  # type: ignore[operator]
    believed = [(value.known_at, value.superseded_at) for value in found.values]
    assert [until for _, until in believed] == [None, *(since for since, _ in believed[:-1])]


def test_the_answer_is_the_same_hot_cold_and_restored_at_every_instant(remote: Remote) -> None:
    learned = live(remote)
    derive(remote.warehouse)
    week = day("2024-03-04")
    moments = [None, *learned, *(moment - timedelta(microseconds=1) for moment in learned)]

    def answers() -> list[Lineage]:
        bars = [why(remote.warehouse, DAY, as_of=moment) for moment in moments]
        return [*bars, why(remote.warehouse, week, W1), why(remote.warehouse, DAY + timedelta(days=1))]

    hot = answers()
    assert [len(answer.values) for answer in hot] == [4, 4, 3, 2, 1, 3, 2, 1, 0, 1, 1]
    assert [answer.missing is None for answer in hot] == [True] * 8 + [False, True, True]
    with remote.warehouse.connection() as connection:
        due = find_due(connection, D1, utc("2031-01-01"))
    assert list(archive(remote.warehouse, due))
    assert apply_retention(remote.warehouse, D1, utc("2031-01-01"), now=utc("2031-06-01")).released
    assert answers() == hot
    assert restore(remote.warehouse, D1, ["2024"])
    assert answers() == hot


def test_what_comes_later_changes_no_answer_as_of_a_time(remote: Remote) -> None:
    original = remote.server.market
    load(remote, "run 1", "2024-06-01")
    offer(remote, high=0.5)
    load(remote, "run 2", "2024-06-02")
    before = why(remote.warehouse, DAY, as_of=utc("2024-07-01"))
    with remote.warehouse.connection() as connection:
        connection.execute("UPDATE ops.quarantine SET arrived_at = '2024-06-02'")
    waiting = why(remote.warehouse, DAY, as_of=utc("2024-07-01"))
    release(remote.warehouse, 1, "fine", released_by="Ann")
    remote.server.market = original
    load(remote, "run 3", "2030-06-03")
    remote.landing.sweep(utc("2031-01-01"))
    after = why(remote.warehouse, DAY, as_of=utc("2024-07-01"))
    assert before.values == waiting.values == after.values
    assert after.rejections == waiting.rejections
    assert after.rejections[0].released_at is None
    (deleted,) = {value.publication.answer.deleted_at for value in why(remote.warehouse, DAY).values[-1:]}  # type: ignore[union-attr]
    assert deleted is not None


def test_a_file_that_was_deleted_for_its_age_stays_on_record(remote: Remote) -> None:
    load(remote, "run 1", "2024-06-01")
    (landed,) = remote.landing.find("coinbase", D1)
    remote.landing.sweep(utc("2024-07-01"))
    (value,) = why(remote.warehouse, DAY).values
    assert value.publication is not None
    assert value.publication.answer is not None
    assert value.publication.answer.path == landed.path
    assert value.publication.answer.deleted_at is not None


def derive(warehouse: Warehouse, base: Timeframe = D1, run_id: str | None = None, now: datetime | None = None) -> None:
    instruments = list(instruments_of(warehouse).values())
    list(catch_up(warehouse, base, instruments, *EVER, run_id=run_id, now=now))


def test_a_derived_bar_leads_to_the_base_bars_that_it_was_made_of(remote: Remote) -> None:
    load(remote, "run 1", "2024-06-01")
    derive(remote.warehouse, run_id="run 2", now=utc("2024-06-02"))
    offer(remote, volume=2.0)
    load(remote, "run 3", "2024-06-03")
    derive(remote.warehouse, run_id="run 4", now=utc("2024-06-04"))
    found = why(remote.warehouse, day("2024-03-04"), W1)
    newer, older = found.values
    assert newer.publication is not None
    assert older.publication is not None
    assert (newer.publication.kind, newer.publication.run_id) == ("roll-up", "run 4")
    assert (older.publication.kind, older.publication.run_id) == ("roll-up", "run 2")
    assert newer.publication.answer is None
    assert newer.publication.rules is None
    assert newer.publication.calendar == TWENTY_FOUR_SEVEN
    assert [
        (each.timeframe, each.bars, each.publication.run_id) for each in newer.derived_from if each.publication
    ] == [
        ("1d", 1, "run 3"),
        ("1d", 4, "run 1"),
    ]
    assert [(each.bars, each.publication.run_id) for each in older.derived_from if each.publication] == [(5, "run 1")]
    assert newer.derived_from[0].first == newer.derived_from[0].last == DAY


def test_a_day_that_was_rolled_up_leads_to_the_minutes_of_its_session(stock: Warehouse) -> None:
    before = put(stock, M1, [Bar("AAA", utc("2024-01-09T14:00")), Bar("AAA", NOON)])
    after = put(stock, M1, [Bar("AAA", NOON + timedelta(minutes=1))])
    derive(stock, M1, run_id="run 1")
    (value,) = why(stock, TUESDAY, symbol="AAA").values
    assert value.source == "derived:1m:test:one"
    assert value.publication is not None
    assert (value.publication.kind, value.publication.run_id) == ("roll-up", "run 1")
    # The minute before the session is none of it.
    assert [
        (each.timeframe, each.bars, each.publication.publication_id) for each in value.derived_from if each.publication
    ] == [
        ("1m", 1, after.publication_id),
        ("1m", 1, before.publication_id),
    ]


def test_two_publications_of_one_instant_are_told_apart_by_their_instruments(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS", "CCC": "XNYS"})
    ts, now = utc("2024-03-05"), utc("2024-06-01")
    # What a first publication makes, a partition and a source, others would wait for.
    put(warehouse, D1, [Bar("CCC", ts)], now=now - timedelta(days=1))
    with warehouse.connection() as one, warehouse.connection() as two, one.transaction(), two.transaction():
        publish(one, warehouse, D1, table([Bar("AAA", ts)]), origin=Origin(run_id="a"), now=now)
        publish(two, warehouse, D1, table([Bar("BBB", ts)]), origin=Origin(run_id="b"), now=now)
    for symbol, run_id in (("AAA", "a"), ("BBB", "b")):
        (value,) = why(warehouse, ts, symbol=symbol).values
        assert value.known_at == now
        assert value.publication is not None
        assert value.publication.run_id == run_id


def test_what_was_published_before_origins_were_recorded_says_so(remote: Remote) -> None:
    load(remote, "run 1", "2024-06-01")
    with psycopg.connect(remote.warehouse.database.dsn, autocommit=True) as connection:
        migrate(connection, "0006")
        migrate(connection)
    (value,) = why(remote.warehouse, DAY).values
    assert value.publication is not None
    assert (value.publication.kind, value.publication.recorded) == ("ingest", False)
    assert (value.publication.run_id, value.publication.rules, value.publication.answer) == (None, None, None)


def test_a_downgrade_and_an_upgrade_keep_who_released_what(remote: Remote) -> None:
    live(remote)
    with psycopg.connect(remote.warehouse.database.dsn, autocommit=True) as connection:
        migrate(connection, "0006")
        kept = connection.execute("SELECT release_reason FROM ops.quarantine").fetchall()
        migrate(connection)
    assert kept == [("seen on the exchange (released by Ann)",)]
    (entry,) = _entries(remote.warehouse)
    assert (entry.release_reason, entry.released_by) == ("seen on the exchange", "Ann")


def test_a_bar_of_a_persons_own_file_leads_to_the_file(stock: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "bars_1d"
    folder.mkdir()
    file = folder / "AAA.csv"
    file.write_text("ts,open,high,low,close,volume\n2024-01-09,10,12,9,11,100\n2024-01-10,10,8,9,11,100\n")
    instruments = instruments_of(stock)
    window = Partition.of(instruments["AAA"], D1, D1.window("2024"))
    pipeline = IngestPipeline(stock, BarGate(GateLimits(max_rejected_share=0.5)), instruments, run_id="run 1")
    list(pipeline.ingest(FilesProvider(tmp_path), [window]))
    release(stock, 1, "seen on the exchange")
    for at, kind in ((TUESDAY, "ingest"), (TUESDAY + timedelta(days=1), "release of quarantine 1")):
        (value,) = why(stock, at, symbol="AAA").values
        assert value.publication is not None
        assert value.publication.kind == kind
        answer = value.publication.answer
        assert answer is not None
        assert (answer.provider, answer.file, answer.path) == ("files", str(file), None)
        assert (answer.start, answer.end) == (window.start, window.end)
    (rejection,) = why(stock, TUESDAY + timedelta(days=1), symbol="AAA").rejections
    assert (rejection.answer, rejection.released_by) == (answer, system_user())


# Missing bars ---------------------------------------------------------------------------------------------------------


def answered(warehouse: Warehouse, timeframe: Timeframe, at: datetime = NOW) -> None:
    """Record that a provider answered for the week of ``TUESDAY``."""
    instrument = instruments_of(warehouse)["AAA"]
    span = utc("2024-01-08"), utc("2024-01-13")
    with warehouse.connection() as connection:
        record_requested(connection, timeframe, [RequestedRange(instrument.instrument_id, "XNYS", *span, at)], now=at)


def missing(warehouse: Warehouse, timeframe: Timeframe, ts: datetime) -> tuple[str, str]:
    found = trace(warehouse, "AAA", ts, timeframe, now=NOW)
    assert found.missing is not None
    assert not found.values
    return found.missing.state, found.missing.explanation


def halted(warehouse: Warehouse) -> None:
    answered(warehouse, M1)
    put(warehouse, M1, [Bar("AAA", NOON + timedelta(minutes=n)) for n in (-1, 20)])
    with warehouse.connection() as connection:
        record_halts(connection, [Halt("AAA", NOON, NOON + timedelta(minutes=10), "T1: news pending")])


def delisted(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET delisted = '2023-12-01'")


def base_is_there(warehouse: Warehouse) -> None:
    put(warehouse, M1, [Bar("AAA", NOON + timedelta(minutes=2))])


def nothing(warehouse: Warehouse) -> None:
    """Leave the store as it is."""


@pytest.mark.parametrize(
    ("prepare", "bar", "expected"),
    [
        (nothing, (D1, TUESDAY), ("never_fetched", "no provider ever answered")),
        (nothing, (M1, NOON), ("never_fetched", "no provider ever answered")),
        (nothing, (D1, utc("2024-01-06")), ("closed", "XNYS exchange_calendars .* has no session on that day")),
        (nothing, (M1, utc("2024-01-06T15:00")), ("closed", "XNYS is closed then; its nearest session, 2024-01-05")),
        (nothing, (M1, utc("2024-01-09T09:00")), ("outside", "session, 2024-01-09, is from 2024-01-09 14:30Z")),
        (delisted, (D1, TUESDAY), ("not_listed", "it was until 2023-12-01")),
        (lambda w: answered(w, D1), (D1, TUESDAY), ("provider_gap", "the provider had no bar")),
        (
            lambda w: answered(w, D1, utc("2024-01-09T20:00")),
            (D1, TUESDAY),
            ("not_final", "under way, or was not requested"),
        ),
        (halted, (M1, NOON), ("halted", r"halted from 17:00:00Z to 17:10:00Z \(T1: news pending\)")),
        (base_is_there, (M5, NOON), ("not_derived", "1 1m bar of it is there")),
        (nothing, (M5, NOON), ("never_fetched", "no 1m bar of it is there: no provider")),
        (nothing, (W1, utc("2024-01-08")), ("never_fetched", "no 1d bar of it is there: no provider")),
    ],
)
def test_a_missing_bar_says_why(
    stock: Warehouse,
    prepare: Callable[[Warehouse], object],
    bar: tuple[Timeframe, datetime],
    expected: tuple[str, str],
) -> None:
    prepare(stock)
    state, explanation = missing(stock, *bar)
    assert state == expected[0]
    assert re.search(expected[1], explanation)


def test_a_bar_that_waits_in_quarantine_says_what_it_broke_and_what_was_requested_last(remote: Remote) -> None:
    offer(remote, high=0.5)
    load(remote, "run 1", "2024-06-01")
    found = why(remote.warehouse, DAY)
    assert not found.values
    assert found.missing is not None
    assert found.missing.state == "quarantined"
    assert "high_is_highest" in found.missing.explanation
    assert "it waits in quarantine as entry 1" in found.missing.explanation
    assert (found.missing.session, found.missing.requested, found.missing.final) == (DAY.date(), True, True)
    (landed,) = remote.landing.find("coinbase", D1)
    assert found.missing.last_answer is not None
    assert found.missing.last_answer.path == landed.path
    (rejection,) = found.rejections
    assert (rejection.run_id, rejection.rules, list(rejection.broken)) == (
        "run 1",
        rules_version(TOLERANT),
        ["high_is_highest"],
    )
    assert rejection.answer == found.missing.last_answer


def test_a_bar_that_was_not_known_then_says_when_it_was_learned(remote: Remote) -> None:
    load(remote, "run 1", "2024-06-01")
    found = why(remote.warehouse, DAY, as_of=utc("2024-05-01"))
    assert found.missing is not None
    assert found.missing.state == "not_known"
    assert "learned at 2024-06-01 00:00:00Z" in found.missing.explanation


def test_a_minute_of_the_break_is_outside_of_trading(warehouse: Warehouse) -> None:
    register(warehouse, {"TYO": "XTKS"})
    found = trace(warehouse, "TYO", utc("2024-01-09T03:00"), M1, now=NOW)
    assert found.missing is not None
    assert found.missing.state == "outside"
    assert found.missing.explanation.endswith("with a break from 02:30Z to 03:30Z")


@pytest.mark.parametrize(
    ("symbol", "ts", "timeframe", "words"),
    [
        ("ZZZ", TUESDAY, D1, "symbol 'ZZZ' is not known"),
        (
            "AAA",
            utc("2024-01-09T17:00:30"),
            M1,
            "ts=2024-01-09T17:00:30Z is not the start of a 1m bar; .* 2024-01-09T17:00:00Z",
        ),
        ("AAA", utc("2024-01-09T17:02"), M5, "is not the start of a 5m bar; .* starts at 2024-01-09T17:00:00Z"),
        ("AAA", utc("2024-01-09T17:00"), D1, "ts=2024-01-09T17:00:00Z is not the start of a 1d bar; .* 2024-01-09"),
        ("AAA", utc("2024-01-10"), W1, "ts=2024-01-10 is not the start of a 1w bar; .* starts at 2024-01-08"),
        ("AAA", utc("2031-01-10"), D1, "ts=2031-01-10 is yet to come"),
        ("AAA", utc("9999-12-31"), W1, "ts=9999-12-31 is yet to come"),
        ("AAA", utc("9999-12-31T23:59:59.999999"), M1, "ts=9999-12-31T23:59:59.999999Z is yet to come"),
        ("AAA", utc("1975-01-10"), D1, "earlier than the calendar XNYS knows; allowed: from 1980-01-02"),
    ],
)
def test_a_wrong_question_is_refused(
    stock: Warehouse, symbol: str, ts: datetime, timeframe: Timeframe, words: str
) -> None:
    with pytest.raises(UnknownSymbolError if symbol == "ZZZ" else UsageError, match=words):
        trace(stock, symbol, ts, timeframe, now=NOW)


def test_all_of_it_can_be_written_as_json(remote: Remote) -> None:
    live(remote)
    derive(remote.warehouse)
    for found in (why(remote.warehouse, DAY), why(remote.warehouse, day("2024-03-04"), W1)):
        plain = json.loads(json.dumps(found.to_dict()))
        assert plain["values"][0]["bar"]["close"] == found.values[0].bar["close"]
        assert plain["ts"] == found.ts.isoformat()


# The command line -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on the store."""
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_why_prints_a_page_for_a_person_and_all_of_it_for_a_program(remote: Remote, run: Callable[..., Result]) -> None:
    live(remote)
    page = run("why", PAIR, f"{DAY:%Y-%m-%d}").stdout
    sections = page.strip().split("\n\n")
    assert sections[0] == "BTC/USD 1d 2024-03-05"
    assert [section.splitlines()[0].split(",")[0] for section in sections[1:]] == ["value", *["before"] * 3]
    lines = dict(line.strip().split("  ", 1) for line in sections[1].splitlines()[1:])
    shown = {name: text.strip() for name, text in lines.items()}
    assert shown["run"] == "run 4"
    assert shown["request"].startswith("coinbase: [2024-02-27 00:00Z, 2024-03-09 00:00Z), sent 2030-06-04 00:00Z")
    assert shown["landed"].startswith("coinbase/1d/2030-06-04/20240227_20240309_")
    assert shown["rules"] == f"version {rules_version(TOLERANT)}"
    assert shown["calendar"] == TWENTY_FOUR_SEVEN
    assert "high_is_highest" in shown["rejected"]
    assert shown["released"].endswith("by Ann: seen on the exchange")
    printed = json.loads(run("why", PAIR, f"{DAY:%Y-%m-%d}", "--json").stdout)
    assert printed == why(remote.warehouse, DAY).to_dict()


def test_why_takes_a_time_in_a_zone(stock: Warehouse, run: Callable[..., Result]) -> None:
    put(stock, M1, [Bar("AAA", NOON)])
    for arguments in (["2024-01-09T17:00"], ["2024-01-09T17:00Z"], ["2024-01-09T12:00", "--tz", "America/New_York"]):
        result = run("why", "AAA", *arguments, "-t", "1m")
        assert result.exit_code == 0
        assert result.stdout.startswith("AAA 1m 2024-01-09 17:00Z\n\nvalue, believed from ")
    refused = run("why", "AAA", "2024-01-09T17:00", "-t", "1m", "--tz", "Mars/Olympus")
    assert (refused.exit_code, "tz='Mars/Olympus' is not a time zone" in refused.stderr) == (2, True)


def test_why_says_why_there_is_no_bar(stock: Warehouse, run: Callable[..., Result]) -> None:
    assert "state      never_fetched" in run("why", "AAA", "2024-01-09").stdout
    assert "state  closed" in run("why", "AAA", "2024-01-06").stdout
