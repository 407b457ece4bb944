"""One history, told to the embedded PostgreSQL and to a server of another edition: the same answers, bit for bit."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv

from chandlery import DataAPI
from chandlery.config.universe import AliasConfig, InstrumentConfig
from chandlery.core.partition import Partition
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.coverage.summary import missing_sessions, monthly_coverage, summarize
from chandlery.ingest import quarantine, rejected_rows
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.release import release as release_entry
from chandlery.instruments.registry import Instrument, list_instruments, sync_instruments
from chandlery.providers.base import BarReply, BarRequest
from chandlery.providers.simulated.provider import SimulatedProvider
from chandlery.reading.revisions import read_revisions
from chandlery.rollups.refresh import catch_up
from chandlery.rollups.stale import count_stale
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from tests.editions import Server, get_server
from tests.support import EVER, Bar, every_row, instruments_of, open_warehouse, put, utc

Answers = dict[str, list[str]]
Change = Callable[[pa.Table], pa.Table]

M1, D1 = Timeframe.M1, Timeframe.D1
UNIVERSE = [
    InstrumentConfig(symbol="AAA", calendar="XNYS", provider="simulated", aliases=(AliasConfig(ticker="OLD"),)),
    InstrumentConfig(symbol="BBB", calendar="XNYS", provider="simulated"),
    InstrumentConfig(symbol="BTC/USD", calendar="24/7", provider="simulated"),
]
#: When something was learned.
FIRST, CORRECTED, REJECTED, LIVE = (utc(day) for day in ("2024-04-01", "2024-04-08", "2024-04-15", "2024-04-22"))
INSTANT = timedelta(microseconds=1)
MOMENTS = [FIRST - INSTANT, FIRST, CORRECTED - INSTANT, CORRECTED, REJECTED, LIVE, LIVE + timedelta(days=1)]
#: In this history nobody writes to these.
UNUSED = [
    *(
        "market.corporate_action",
        "market.halt",
        "ops.aggregate_pending",
        "ops.rate_limit",
        "ops.retry_schedule",
        "ops.lake",
        "ops.landing",
    ),
    *("ops.manifest", "ops.released_bar", "ops.rollup_pending"),
]
#: The provider of all instruments: nothing is expected after what is there.
STATIC = {"simulated"}
VIEW = "SELECT o::text FROM market.ohlcv AS o WHERE timeframe <> '1m' ORDER BY 1"
COLUMNS = ["open", "high", "low", "close", "volume", "vwap", "trades", "source"]


@dataclass(frozen=True)
class Told:
    """A provider of simulated bars that says something else about some of them."""

    change: Change
    name = "simulated"
    timeframes = SimulatedProvider.timeframes
    limits = SimulatedProvider.limits

    def fetch(self, request: BarRequest) -> BarReply:
        """See ``chandlery.providers.base.Provider``."""
        return BarReply(self.change(SimulatedProvider().fetch(request).bars))

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """See ``chandlery.providers.base.Provider``."""
        return None


def alter(column: str, every: int, value: Callable[[pa.ChunkedArray], object]) -> Change:
    """Return a change of one bar in so many."""

    def change(bars: pa.Table) -> pa.Table:
        chosen = pa.array([number % every == 3 for number in range(bars.num_rows)])
        altered = pc.if_else(chosen, value(bars[column]), bars[column])
        return bars.set_column(bars.schema.get_field_index(column), bars.schema.field(column), altered)

    return change


def as_it_was(bars: pa.Table) -> pa.Table:
    return bars


WRONG_AT_FIRST = alter("volume", 7, lambda volume: pc.add(volume, 1.0))
WITHOUT_SOME_CLOSES = alter("close", 2500, lambda close: pa.scalar(None, pa.float64()))
SOMETIMES_UPSIDE_DOWN = alter("high", 2500, lambda high: pc.multiply(high, 0.5))
SOMETIMES_A_FALSE_LOW = alter("low", 100, lambda low: pc.multiply(low, 0.1))
OFTEN_UPSIDE_DOWN = alter("high", 20, lambda high: pc.multiply(high, 0.5))


def partitions(warehouse: Warehouse, timeframe: Timeframe, windows: dict[str, Sequence[str]]) -> list[Partition]:
    known = {instrument.symbol: instrument for instrument in instruments(warehouse)}
    pairs = [(symbol, key) for symbol, keys in windows.items() for key in keys]
    return [Partition.of(known[symbol], timeframe, timeframe.window(key)) for symbol, key in pairs]


def tell(warehouse: Warehouse, change: Change, wanted: list[Partition], now: datetime) -> dict[str, list[int]]:
    """Ingest and roll up; return how many of what, by status."""
    done: dict[str, list[int]] = {}
    for outcome in IngestPipeline(warehouse, BarGate(), instruments_of(warehouse), now=now).ingest(
        Told(change), wanted
    ):
        counts = (outcome.inserted, outcome.revised, outcome.unchanged, outcome.quarantined)
        done[outcome.status] = [a + b for a, b in zip(done.get(outcome.status, [0] * 4), counts, strict=True)]
    roll_up(warehouse, now)
    return done


def roll_up(warehouse: Warehouse, now: datetime) -> None:
    for base in INGESTED:
        list(catch_up(warehouse, base, instruments(warehouse), *EVER, now=now))


def instruments(warehouse: Warehouse) -> list[Instrument]:
    with warehouse.connection() as connection:
        return list_instruments(connection)


def live_history(warehouse: Warehouse) -> dict[str, dict[str, list[int]]]:
    """Let everything happen that the server's clock has no part in; return what was counted."""
    with warehouse.connection() as connection:
        sync_instruments(connection, UNIVERSE)
    minutes = partitions(warehouse, M1, {"AAA": ["2023-12", "2024-02"], "BTC/USD": ["2024-02"]})
    minutes[-1] = replace(minutes[-1], end=utc("2024-02-08"))
    days = partitions(warehouse, D1, {"AAA": ["2021", "2022", "2023"], "BBB": ["2023"], "BTC/USD": ["2023"]})
    counted = {
        "first": tell(warehouse, WRONG_AT_FIRST, minutes, FIRST),
        "days": tell(warehouse, WRONG_AT_FIRST, days, FIRST),
        "corrected": tell(warehouse, as_it_was, minutes[1:], CORRECTED),
        "corrected days": tell(warehouse, as_it_was, days[::2], CORRECTED),
        "again": tell(warehouse, as_it_was, days[::2], REJECTED),
        "no close": tell(warehouse, WITHOUT_SOME_CLOSES, partitions(warehouse, M1, {"BBB": ["2024-01"]}), REJECTED),
        "few wrong": tell(warehouse, SOMETIMES_UPSIDE_DOWN, partitions(warehouse, M1, {"AAA": ["2024-01"]}), REJECTED),
        "many wrong": tell(warehouse, OFTEN_UPSIDE_DOWN, partitions(warehouse, D1, {"BBB": ["2022"]}), REJECTED),
        "false lows": tell(warehouse, SOMETIMES_A_FALSE_LOW, partitions(warehouse, D1, {"BBB": ["2021"]}), REJECTED),
    }
    opening = utc("2024-03-01T14:30")
    for minute in range(30):
        bars = [Bar(symbol, opening + timedelta(minutes=minute), close=9.5) for symbol in ("AAA", "BTC/USD")]
        put(warehouse, M1, bars, now=LIVE)
        # The clock stands still, and what was learned is later all the same.
        put(warehouse, M1, [bars[0]._replace(close=11.5, volume=None)], now=LIVE)
    put(warehouse, M1, [Bar("AAA", utc("2024-02-05T12:00"), source="test:two")], now=LIVE)  # before the session
    roll_up(warehouse, LIVE)
    with warehouse.connection() as connection:
        connection.execute("UPDATE ops.quarantine SET arrived_at = %s", (REJECTED,))  # was the server's clock
        connection.execute(
            "UPDATE ops.finding SET found_at = t.moment, changed_at = t.moment,"
            " closed_at = CASE WHEN closed_at IS NOT NULL THEN t.moment END"
            " FROM (VALUES (%s::timestamptz)) AS t (moment)",
            (REJECTED,),
        )
    return counted


def answers(warehouse: Warehouse, *, as_of: Sequence[datetime] = ()) -> Answers:
    """Return what may be asked, as text; with ``as_of``, when it was learned too."""
    api = DataAPI(warehouse)
    columns = [*COLUMNS, "known_at"] if as_of else COLUMNS
    found: Answers = {}
    for timeframe in Timeframe:
        for moment in (None, *as_of):
            asked = (["BTC/USD", "OLD", "BBB"], *EVER, timeframe.value)
            bars = api.get_multi_symbol(*asked, as_of=moment, columns=columns, output="arrow")
            found[f"{timeframe} as of {moment}"] = lines(bars)
    with warehouse.connection() as connection:
        everything = list_instruments(connection)
        found["stale"] = [str(count_stale(connection))]
        found["summary"] = [str(summary) for summary in summarize(connection, everything, static=STATIC)]
        for timeframe in INGESTED:
            found[f"coverage of {timeframe}"] = lines(
                monthly_coverage(connection, everything, timeframe, static=STATIC)
            )
            found[f"missing {timeframe}"] = [
                str(missing_sessions(connection, i, timeframe, static=STATIC)) for i in everything
            ]
    return found


def records(warehouse: Warehouse) -> Answers:
    """Return every row of every table, and what is told about earlier values and rejected bars, as text."""
    with warehouse.connection() as connection:
        found = {f"table {name}": rows for name, rows in every_row(connection).items()}
        found["view"] = [row[0] for row in connection.execute(VIEW).fetchall()]
        for entry in quarantine.list_entries(connection):
            shown, bars = rejected_rows.read_entry(connection, entry.quarantine_id)
            found[f"quarantine {entry.quarantine_id}"] = [str(shown), *lines(bars)]
        everything = list_instruments(connection)
    for instrument in everything:
        for timeframe in Timeframe:
            revisions = read_revisions(warehouse, instrument.instrument_id, timeframe, *EVER)
            found[f"revisions of {instrument.symbol} {timeframe}"] = lines(revisions)
    return found


def lines(table: pa.Table) -> list[str]:
    """Return a table's rows as text, which tells every bit of a float."""
    names = [name for name in table.column_names if not pa.types.is_list(table.schema.field(name).type)]
    columns = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in table.select(names).columns]
    text = io.BytesIO()
    csv.write_csv(pa.table(columns, names), text)
    return text.getvalue().decode().splitlines()[1:] + [str(row) for row in table.drop_columns(names).to_pylist()]


def differences(one: Answers, other: Answers) -> list[str]:
    """Return where two answers are not the same: of each, the first line that differs."""
    found = [f"only one has {name}" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            pairs = zip_longest(one[name], other[name])
            found.append(next(f"{name}: {a}\n  and {b}" for a, b in pairs if a != b))
    return found


def release(warehouse: Warehouse) -> list[tuple[int, int, int]]:
    """Release what can be; return how many bars that inserted, revised and left alone."""
    with warehouse.connection() as connection:
        waiting = [entry for entry in quarantine.list_entries(connection) if "prices_not_null" not in entry.reason]
    found = []
    for entry in waiting:
        report = release_entry(warehouse, entry.quarantine_id, "seen", good_rows_only=entry.kind == "batch")
        found.append((report.inserted, report.revised, report.unchanged))
    for base in INGESTED:
        list(catch_up(warehouse, base, instruments(warehouse), *EVER))
    return found


@dataclass(frozen=True)
class Lived:
    """A history and all that is left of it."""

    counted: dict[str, dict[str, list[int]]]
    answers: Answers
    records: Answers
    released: list[tuple[int, int, int]]
    answers_after: Answers


def live(dsn: str) -> Lived:
    warehouse = open_warehouse(dsn)
    try:
        counted = live_history(warehouse)
        return Lived(
            counted, answers(warehouse, as_of=MOMENTS), records(warehouse), release(warehouse), answers(warehouse)
        )
    finally:
        warehouse.close()


@pytest.fixture(scope="module")
def reference() -> Lived:
    """The history on plain PostgreSQL."""
    with get_server("postgres").new_database() as dsn:
        return live(dsn)


def test_the_history_has_something_of_everything(reference: Lived) -> None:
    assert {name: sorted(by_status) for name, by_status in reference.counted.items()} == {
        "first": ["published"],
        "days": ["published"],
        "corrected": ["published"],
        "corrected days": ["published"],
        "again": ["published"],
        "no close": ["published"],
        "few wrong": ["published"],
        "many wrong": ["rejected"],
        "false lows": ["published"],
    }
    inserted, revised, unchanged, _ = reference.counted["corrected"]["published"]
    assert inserted == 0
    assert revised > 1000
    assert unchanged > 1000
    assert reference.counted["again"]["published"][:2] == [0, 0]
    empty = {name for name, found in (reference.answers | reference.records).items() if not found}
    before = {f"{timeframe} as of {FIRST - INSTANT}" for timeframe in Timeframe}
    uncorrected = {f"revisions of BBB {timeframe}" for timeframe in Timeframe}
    assert empty == before | uncorrected | {f"table {name}" for name in UNUSED}
    assert reference.released[0][0] > 0
    assert len(reference.released) == 2


@pytest.mark.every_edition
@pytest.mark.only_on("apache", "community")
def test_another_edition_gives_the_same_answers_to_the_same_history(edition_server: Server, reference: Lived) -> None:
    with edition_server.new_database() as dsn:
        lived = live(dsn)
    assert lived.counted == reference.counted
    assert differences(reference.answers, lived.answers) == []
    assert differences(reference.records, lived.records) == []
    assert lived.released == reference.released
    assert differences(reference.answers_after, lived.answers_after) == []
