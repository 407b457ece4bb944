"""Real market data, from files through the gate into a database and out again.

What is expected comes from the data's own README, from a second file of the same market, or is computed here in the
most naive way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from chandlery import quarantine
from chandlery.api import DataAPI
from chandlery.audit import Partition
from chandlery.calendars import get_calendar
from chandlery.config import AliasConfig, InstrumentConfig, load_universe
from chandlery.coverage import summarize
from chandlery.errors import UnknownSymbolError
from chandlery.ingest import ingest
from chandlery.instruments import list_instruments, resolve, sync_instruments
from chandlery.providers.sample import SampleProvider
from chandlery.store.connect import Database
from expectations.gate import BarGate
from expectations.limits import GateLimits
from tests.acceptance.library import (
    D1,
    M1,
    NOW,
    OHLCV,
    Library,
    assert_same_bits,
    combine,
    content,
    dates,
    failed_checks,
    number,
    read_rows,
)
from tests.support import every_row, utc

PROJECT = Path(__file__).parents[2]
STOCKS = {"AAPL": "XNYS", "SPY": "XNYS"}
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def gate() -> BarGate:
    return BarGate()


@pytest.fixture(scope="module")
def permissive_gate() -> BarGate:
    return BarGate(GateLimits(max_rejected_share=1.0))


@pytest.fixture
def library(database: Database, shared_data: Path, tmp_path: Path) -> Library:
    return Library(database, shared_data, tmp_path)


@pytest.fixture(scope="module")
def sessions(shared_data: Path) -> dict[date, tuple[datetime, datetime]]:
    """Open and close of every session of XNYS from 1990 to 2023, from the shared calendar."""
    rows = _calendar_rows(shared_data)
    return {date.fromisoformat(day): (_moment(opens), _moment(closes)) for day, opens, closes in rows}


class TestDays:
    @pytest.fixture
    def stocks(self, library: Library, gate: BarGate) -> Library:
        for symbol in STOCKS:
            library.put(f"bars_1d/{symbol}.csv.gz", symbol, D1)
        outcomes = library.load(D1, STOCKS, gate)
        assert {outcome.status for outcome in outcomes.values()} == {"published"}
        assert len(outcomes) == 2 * len(range(1998, 2022))
        return library

    def test_every_session_is_stored_and_read_back_bit_for_bit(
        self, stocks: Library, sessions: Mapping[date, tuple[datetime, datetime]]
    ) -> None:
        wanted = [day for day in sessions if date(1998, 1, 2) <= day <= date(2021, 3, 31)]
        for symbol in STOCKS:
            bars = stocks.read(symbol, "1d")
            assert bars.num_rows == 5_849
            assert dates(bars) == wanted
            assert_same_bits(bars, content(stocks.shared / f"bars_1d/{symbol}.csv.gz"))
        closes = dict(zip(wanted, stocks.read("AAPL", "1d")["close"].to_pylist(), strict=True))
        assert (closes[date(2014, 6, 6)], closes[date(2014, 6, 9)]) == (645.57, 93.70)
        assert (closes[date(2020, 8, 28)], closes[date(2020, 8, 31)]) == (499.23, 129.04)
        with stocks.database.connection() as connection:
            stored = connection.execute(
                "SELECT session, open, close FROM market.session WHERE calendar = 'XNYS'"
                " AND session BETWEEN '1990-01-02' AND '2023-01-13'"
            ).fetchall()
        assert {day: (opens, closes) for day, opens, closes in stored} == sessions

    def test_weeks_and_months_equal_their_days(
        self, stocks: Library, sessions: Mapping[date, tuple[datetime, datetime]]
    ) -> None:
        for symbol in STOCKS:
            days = stocks.read(symbol, "1d").to_pylist()
            for timeframe, period in (("1w", _monday), ("1mo", _first_of_month)):
                labels = {period(day): day for day in reversed(sessions)}  # the first session of each
                groups = defaultdict(list)
                for bar in days:
                    groups[labels[period(bar["ts"].date())]].append(bar)
                found = stocks.read(symbol, timeframe)
                assert dates(found) == list(groups)
                assert [tuple(bar[name] for name in OHLCV) for bar in found.to_pylist()] == [
                    combine(group) for group in groups.values()
                ]
        # The first week began before the first bar; its label is that of the week all the same.
        weeks, months = dates(stocks.read("SPY", "1w")), dates(stocks.read("SPY", "1mo"))
        assert (weeks[0], weeks[-1]) == (date(1997, 12, 29), date(2021, 3, 29))
        assert (months[0], months[-1]) == (date(1998, 1, 2), date(2021, 3, 1))

    def test_loading_again_changes_nothing_and_a_split_warns_without_blocking(
        self, stocks: Library, gate: BarGate
    ) -> None:
        with stocks.database.connection() as connection:
            before = every_row(connection)
        outcomes = stocks.load(D1, STOCKS, gate, now=NOW + timedelta(days=1))
        with stocks.database.connection() as connection:
            assert every_row(connection) == before
        assert sum(outcome.unchanged for outcome in outcomes.values()) == 2 * 5_849
        assert {(outcome.status, outcome.inserted, outcome.revised) for outcome in outcomes.values()} == {
            ("published", 0, 0)
        }
        actions = read_actions(stocks.shared / "corporate_actions/AAPL.csv")
        splits = {day for day, kind in actions if kind == "split"}
        assert date(2014, 6, 9) in splits
        assert len(splits) == 4
        warned = {key: failed_checks(outcome) for key, outcome in outcomes.items() if failed_checks(outcome)}
        fall = date(2000, 9, 29)  # by half in a day, and no split
        assert set(warned) == {f"AAPL|{day.year}" for day in splits | {fall}}
        for key, checks in warned.items():
            days = sorted(day for day in splits | {fall} if key == f"AAPL|{day.year}")
            named = ", ".join(f"{day}T00:00:00Z" for day in days)
            assert checks == {"price_jump": f"{len(days)} jumps: {named}"}

    def test_days_of_another_market_are_no_sessions(self, library: Library, permissive_gate: BarGate) -> None:
        file = library.put("bars_1d/AAPL.csv.gz", "AAPL", D1)
        outcomes = library.load(D1, {"AAPL": "XLON"}, permissive_gate)
        london = _session_dates("XLON")
        days = [date.fromisoformat(row["ts"]) for row in read_rows(file)]
        foreign = {day for day in days if day not in london}
        assert len(foreign) > 50
        assert quarantined(library, outcomes) == {day: {"on_session"} for day in foreign}
        assert dates(library.read("AAPL", "1d")) == [day for day in days if day in london]


class TestMinutesOfStocks:
    @pytest.mark.parametrize(
        ("symbol", "rows"),
        [
            ("AAPL", {"2014-06-05": 686, "2014-06-06": 783, "2014-06-09": 834}),
            (
                "SPY",
                {
                    "2013-10-04": 711,
                    "2013-10-07": 828,
                    "2013-10-08": 828,
                    "2013-10-09": 813,
                    "2013-10-10": 883,
                    "2013-10-11": 776,
                    "2023-08-03": 947,
                },
            ),
        ],
        ids=["AAPL", "SPY"],
    )
    def test_a_session_has_its_390_minutes_and_the_rest_is_outside(
        self, library: Library, gate: BarGate, symbol: str, rows: Mapping[str, int]
    ) -> None:
        file = library.put(f"bars_1m/{symbol}.csv.gz", symbol, M1)
        outcomes = library.load(M1, {symbol: "XNYS"}, gate)
        assert_same_bits(library.read(symbol, "1m"), content(file))
        coverage = library.coverage(symbol)
        assert coverage == {date.fromisoformat(day): (390, count - 390) for day, count in rows.items()}
        # A month without any row is refused, and has nothing that could wait in quarantine.
        refused = {key for key, outcome in outcomes.items() if outcome.status == "rejected"}
        assert refused == set(outcomes) - {f"{symbol}|{day[:7]}" for day in rows}
        assert all(set(failed_checks(outcomes[key])) == {"not_empty", "session_count"} for key in refused)
        assert all(outcomes[key].quarantine_id is None for key in refused)

    def test_regular_minutes_add_up_to_the_days_of_the_daily_file(
        self, library: Library, gate: BarGate, sessions: Mapping[date, tuple[datetime, datetime]]
    ) -> None:
        exact_highs = exact_lows = compared = 0
        for symbol in STOCKS:
            library.put(f"bars_1m/{symbol}.csv.gz", symbol, M1)
            library.load(M1, {symbol: "XNYS"}, gate)
            daily = {row["ts"]: row for row in read_rows(library.shared / f"bars_1d/{symbol}.csv.gz")}
            for day in library.coverage(symbol).keys() & sessions.keys():
                minutes = library.read(symbol, "1m", *sessions[day]).to_pylist()
                opens, high, low, close, volume = combine(minutes)
                assert combine(library.read(symbol, "30m", *sessions[day]).to_pylist()) == combine(minutes)
                wanted = {name: number(daily[day.isoformat()][name]) for name in OHLCV}
                assert (opens, close, volume) == (wanted["open"], wanted["close"], wanted["volume"])
                assert (high, low) == pytest.approx((wanted["high"], wanted["low"]), abs=0.02)
                exact_highs += high == wanted["high"]
                exact_lows += low == wanted["low"]
                compared += 1
        assert (compared, exact_highs, exact_lows) == (9, 7, 7)
        regular = combine(library.read("SPY", "1m", *sessions[date(2013, 10, 10)]).to_pylist())
        assert regular == (167.32, 169.24, 167.23, 169.24, 157_839_488)
        extended = combine(library.read("SPY", "1m", utc("2013-10-10"), utc("2013-10-11")).to_pylist())
        assert (extended[2], extended[4]) == (165.57, 190_932_679)  # what it would be with extended hours

    def test_the_first_minute_of_the_split_mixes_both_prices_and_is_kept_with_a_warning(
        self, library: Library, gate: BarGate
    ) -> None:
        library.put("bars_1m/AAPL.csv.gz", "AAPL", M1)
        outcome = library.load(M1, {"AAPL": "XNYS"}, gate)["AAPL|2014-06"]
        assert (outcome.status, outcome.inserted, outcome.quarantined) == ("published", 2_303, 0)
        assert failed_checks(outcome)["price_jump"] == "1 jumps: 2014-06-09T08:00:00Z"
        bars = library.read("AAPL", "1m", utc("2014-06-09"), utc("2014-06-10")).to_pylist()
        assert bars[0] == {
            "ts": utc("2014-06-09T08:00:00"),
            "open": 645.57,
            "high": 645.57,
            "low": 92.23,
            "close": 92.42,
            "volume": 600.0,
        }
        assert [bar["ts"] for bar in bars if bar["high"] > 200] == [bars[0]["ts"]]

    def test_a_half_day_ends_at_one(
        self, library: Library, gate: BarGate, sessions: Mapping[date, tuple[datetime, datetime]]
    ) -> None:
        file = library.put("bars_1m/GOOG.csv.gz", "GOOG", M1)
        library.load(M1, {"GOOG": "XNYS"}, gate)
        assert_same_bits(library.read("GOOG", "1m"), content(file))
        assert library.coverage("GOOG") == {date(2015, 12, 24): (210, 17), date(2015, 12, 28): (382, 50)}
        opens, closes = sessions[date(2015, 12, 24)]
        assert closes == utc("2015-12-24T18:00:00")
        bars = library.read("GOOG", "1m", opens, closes).to_pylist()
        assert combine(bars) == (749.55, 751.35, 746.34, 748.40, 515_572)
        assert bars[-1]["ts"] == closes - MINUTE
        assert combine(library.read("GOOG", "30m", opens, closes).to_pylist()) == combine(bars)


class TestMinutesOfCoins:
    def test_minutes_roll_up_to_the_exchanges_own_five_minutes(self, library: Library, gate: BarGate) -> None:
        file = library.put("bars_1m/XRP-ETH.parquet", "XRP-ETH", M1)
        outcomes = library.load(M1, {"XRP-ETH": "24/7"}, gate)
        assert [outcome.inserted for outcome in outcomes.values()] == [2_469]
        assert_same_bits(library.read("XRP-ETH", "1m"), content(file))
        assert_same_bits(library.read("XRP-ETH", "5m"), content(library.shared / "bars_5m/XRP-ETH.parquet"))

    def test_a_market_without_a_gap_is_covered_completely(self, library: Library, gate: BarGate) -> None:
        file = library.put("bars_1m/BTC-PERP_2022-01.parquet", "BTC-PERP", M1)
        outcomes = library.load(M1, {"BTC-PERP": "24/7"}, gate)
        assert sum(outcome.inserted for outcome in outcomes.values()) == 45_031
        assert not any(failed_checks(outcome) for outcome in outcomes.values())
        assert_same_bits(library.read("BTC-PERP", "1m"), content(file))
        coverage = library.coverage("BTC-PERP")
        assert coverage.pop(date(2021, 12, 31)) == (59, 0)
        assert coverage.pop(date(2022, 2, 1)) == (332, 0)
        assert coverage == {date(2022, 1, day): (1440, 0) for day in range(1, 32)}

    def test_coverage_knows_every_missing_minute(self, library: Library, gate: BarGate) -> None:
        file = library.put("bars_1m/UNITTEST-BTC.parquet", "UNITTEST-BTC", M1)
        library.load(M1, {"UNITTEST-BTC": "24/7"}, gate)
        assert_same_bits(library.read("UNITTEST-BTC", "1m"), content(file))
        with library.database.connection() as connection:
            [summary] = summarize(connection, list_instruments(connection), [M1])
        assert (summary.first_ts, summary.last_ts) == (utc("2017-11-04T23:02:00"), utc("2017-11-14T22:59:00"))
        # Whole sessions are expected, so also what comes before the first bar and after the last.
        untold = (summary.first_ts - utc("2017-11-04")) // MINUTE + (utc("2017-11-15") - summary.last_ts) // MINUTE - 1
        assert summary.slots_expected == 11 * 1440
        assert summary.slots_present == summary.rows == 13_681
        assert summary.slots_expected - untold - summary.slots_present == 717
        assert summary.outside == 0


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
    Defect("4063-T-1d-bad-stock-split", "4063.T", "XTKS", 22, 9, 0, "1 jumps: 2023-03-29T00:00:00Z"),
    Defect("4063-T-1d-bad-div", "4063.T", "XTKS", 667, 0, 0),
    Defect("MOB-ST-1d-bad-stock-split", "MOB.ST", "XSTO", 16, 1, 0, "1 jumps: 2023-05-22T00:00:00Z"),
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
        assert quarantined(library, outcomes) == {day: rules for day, rules in broken.items() if rules}
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
        refused = {year for year, bad in by_year.items() if sum(bad) > len(bad) / 100}
        assert {o.partition.window.key for o in outcomes.values() if o.status == "rejected"} == set(map(str, refused))
        with library.database.connection() as connection:
            waiting = quarantine.list_entries(connection)
        assert {(e.kind, e.window_key, e.row_count) for e in waiting} == {
            ("batch", str(year), len(by_year[year])) for year in refused
        }
        published = {day: rules or {"late"} if day.year in refused else rules for day, rules in broken.items()}
        assert_same_bits(library.read(defect.symbol, "1d"), good_rows(file, published))

        for entry in waiting:
            report = quarantine.release(library.database, entry.quarantine_id, "the rest is right", good_rows_only=True)
            assert report.inserted == by_year[int(entry.window_key)].count(False)
        assert_same_bits(library.read(defect.symbol, "1d"), good_rows(file, broken))

        again = library.load(D1, calendars, gate)
        assert {(o.status, o.inserted, o.revised) for o in again.values()} == {("published", 0, 0)}
        assert sum(outcome.quarantined for outcome in again.values()) == defect.impossible
        with library.database.connection() as connection:
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


class TestRenames:
    def test_a_renamed_share_is_found_by_its_former_ticker_while_it_had_it(
        self, database: Database, shared_data: Path, gate: BarGate
    ) -> None:
        meta = load_universe(PROJECT / "config/universe.yaml").instrument("META")
        [first, _] = read_rename(shared_data / "renames/fb.csv")
        [alias] = meta.aliases
        assert (alias.ticker, alias.valid_from) == ("FB", first[0])
        events = json.loads((shared_data / "recordings/polygon/vX_reference_ticker_events_META.json").read_text())
        [told] = [e["date"] for e in events["results"]["events"] if e["ticker_change"]["ticker"] == "META"]
        xnys = _session_dates("XNYS")
        assert date.fromisoformat(told) not in xnys  # a Saturday: the vendor's date is not the one to use
        with database.connection() as connection:
            sync_instruments(connection, [meta])
        provider = SampleProvider()
        span = provider.span("META", D1)
        assert span is not None
        partitions = [
            Partition("META", "XNYS", D1, window, max(window.start, span[0]), min(window.end, span[1]), meta.listed)
            for window in D1.windows(*span)
        ]
        assert {outcome.status for outcome in ingest(database, provider, gate, partitions, now=NOW)} == {"published"}
        api = DataAPI(database)
        year = ("2012-05-18", "2013-01-01")
        bars = api.get_multi_symbol(["FB"], *year, output="arrow")
        assert set(bars["symbol"].to_pylist()) == {"FB"}
        assert dates(bars) == sorted(day for day in xnys if date(2012, 5, 18) <= day < date(2013, 1, 1))
        assert bars.drop_columns("symbol") == api.get_ohlc("META", *year, output="arrow")
        with pytest.raises(UnknownSymbolError, match="META from 2012-05-18 until 2022-06-09"):
            api.get_ohlc("FB", told, "2023-01-01")

    def test_a_ticker_that_passed_on_names_whoever_had_it(self, database: Database, shared_data: Path) -> None:
        configs = {}
        for symbol in ("GOOG", "GOOGL"):
            (start, _), *spells = read_rename(shared_data / f"renames/{symbol.lower()}.csv")
            [(until, former)] = spells[:-1]
            alias = AliasConfig.model_validate({"ticker": former, "from": start, "until": until + timedelta(days=1)})
            configs[symbol] = InstrumentConfig(symbol=symbol, provider="files", calendar="XNYS", aliases=(alias,))
        with database.connection() as connection:
            sync_instruments(connection, [configs["GOOGL"]])
            found = resolve(connection, "GOOG", utc("2014-04-02"), utc("2014-04-03"))
            assert found.symbol == "GOOGL"
            with pytest.raises(UnknownSymbolError, match="GOOGL from 2004-08-19 until 2014-04-03"):
                resolve(connection, "GOOG", utc("2014-04-03"), utc("2014-04-04"))
            sync_instruments(connection, [configs["GOOG"]])
            found = resolve(connection, "GOOCV", utc("2014-03-27"), utc("2014-04-03"))
            assert found.symbol == "GOOG"
            # A canonical symbol names its instrument always, even where another had it as a ticker.
            assert resolve(connection, "GOOG", utc("2014-04-02"), utc("2014-04-03")).symbol == "GOOG"


def test_the_command_line_loads_publishes_rolls_up_and_tells_what_it_rejected(
    library: Library, database_url: str, tmp_path: Path
) -> None:
    for symbol in STOCKS:
        library.put(f"bars_1d/{symbol}.csv.gz", symbol, D1)
    library.put("defects/ELCO-L-1d-bad-div.csv", "ELCO.L", D1)
    command = [sys.executable, "-c", "from chandlery.cli import main; main()", "ingest", "--path", str(library.folder)]
    for column in ("Adj Close", "Dividends", "Stock Splits"):
        command += ["--ignore-column", column]
    environment = os.environ | {"CHANDLERY_DATABASE_URL": database_url, "CHANDLERY_HOME": str(tmp_path / "home")}
    environment |= {"CHANDLERY_CONFIG": str(PROJECT / "config")}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 3, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["AAPL", "inserted=5849", "revised=0", "unchanged=0", "quarantined=0"] in lines
    assert ["SPY", "inserted=5849", "revised=0", "unchanged=0", "quarantined=0"] in lines
    assert ["ELCO.L", "inserted=0", "revised=0", "unchanged=0", "quarantined=665"] in lines
    assert "135 of 250 rows rejected (54.00%), allowed 1.00%" in done.stderr
    for symbol in STOCKS:
        assert_same_bits(library.read(symbol, "1d"), content(library.shared / f"bars_1d/{symbol}.csv.gz"))
        weeks = library.read(symbol, "1w")
        assert (dates(weeks)[0], dates(weeks)[-1]) == (date(1997, 12, 29), date(2021, 3, 29))
        assert sum(weeks["volume"].to_pylist()) == sum(library.read(symbol, "1d")["volume"].to_pylist())
    assert library.read("ELCO.L", "1d").num_rows == 0


def broken_rules(file: Path, calendar: str) -> dict[date, set[str]]:
    """Return which rules each row of a file breaks, by its date."""
    sessions = _session_dates(calendar)
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


def quarantined(library: Library, outcomes: Mapping[str, object]) -> dict[date, set[str]]:
    """Return the reasons of every row that waits in quarantine, by its date; each must be of one of ``outcomes``."""
    found: dict[date, set[str]] = {}
    with library.database.connection() as connection:
        for entry in quarantine.list_entries(connection):
            assert f"{entry.symbol}|{entry.window_key}" in outcomes
            _, rows = quarantine.show(connection, entry.quarantine_id)
            assert rows.num_rows == entry.row_count
            days = dates(rows)
            assert not found.keys() & set(days)
            found |= dict(zip(days, map(set, rows["reasons"].to_pylist()), strict=True))
    return found


def read_actions(file: Path) -> list[tuple[date, str]]:
    """Return the day and the kind of each corporate action."""
    rows = [line.split(",") for line in file.read_text().splitlines()]
    day, kind = rows[0].index("ex_date"), rows[0].index("kind")
    return [(date.fromisoformat(row[day]), row[kind]) for row in rows[1:]]


def read_rename(file: Path) -> list[tuple[date, str]]:
    """Return the first day, then the last day of each spell, with the ticker in capitals."""
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    return [(date.fromisoformat(day), ticker.upper()) for day, ticker, _ in rows]


def _calendar_rows(shared_data: Path) -> Iterable[tuple[str, str, str]]:
    import pyarrow.csv as pacsv

    kinds = dict.fromkeys(("session", "open", "close"), pa.string())
    table = pacsv.read_csv(
        shared_data / "calendar/xnys_sessions.csv.gz", convert_options=pacsv.ConvertOptions(column_types=kinds)
    )
    return zip(*(table[name].to_pylist() for name in kinds), strict=True)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _session_dates(calendar: str) -> set[date]:
    return {date(1970, 1, 1) + timedelta(days=day) for day in get_calendar(calendar).sessions.tolist()}


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)
