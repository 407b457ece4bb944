"""Real market data, from files through the gate into a database and out again.

What is expected comes from the data's own README, from a second file of the same market, or is computed here in the
most naive way. Not here: files with defects (``test_real_defects``) and renamed shares (``test_real_renames``).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from chandlery.core.text import counted
from chandlery.coverage.summary import summarize
from chandlery.instruments.registry import list_instruments
from expectations.gate import BarGate
from tests.acceptance.real_library import (
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
    session_dates,
)
from tests.support import every_row, utc

PROJECT = Path(__file__).parents[2]
STOCKS = {"AAPL": "XNYS", "SPY": "XNYS"}
MINUTE = timedelta(minutes=1)


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
        with stocks.warehouse.connection() as connection:
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
        with stocks.warehouse.connection() as connection:
            before = every_row(connection)
        outcomes = stocks.load(D1, STOCKS, gate, now=NOW + timedelta(days=1))
        with stocks.warehouse.connection() as connection:
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
            assert checks == {"price_jump": f"{counted(len(days), 'jump')}: {named}"}

    def test_days_of_another_market_are_no_sessions(self, library: Library, permissive_gate: BarGate) -> None:
        file = library.put("bars_1d/AAPL.csv.gz", "AAPL", D1)
        library.load(D1, {"AAPL": "XLON"}, permissive_gate)
        london = session_dates("XLON")
        days = [date.fromisoformat(row["ts"]) for row in read_rows(file)]
        foreign = {day for day in days if day not in london}
        assert len(foreign) > 50
        assert library.quarantined() == {day: {"on_session"} for day in foreign}
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
        # A month without any row is no rejection.
        empty = {key for key, outcome in outcomes.items() if outcome.status == "empty"}
        assert empty == set(outcomes) - {f"{symbol}|{day[:7]}" for day in rows}

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
        assert failed_checks(outcome)["price_jump"] == "1 jump: 2014-06-09T08:00:00Z"
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
        with library.warehouse.connection() as connection:
            [summary] = summarize(connection, list_instruments(connection), [M1], now=utc("2017-11-15"))
        assert (summary.first_ts, summary.last_ts) == (utc("2017-11-04T23:02:00"), utc("2017-11-14T22:59:00"))
        # Whole sessions are expected, so also what comes before the first bar and after the last.
        untold = (summary.first_ts - utc("2017-11-04")) // MINUTE + (utc("2017-11-15") - summary.last_ts) // MINUTE - 1
        assert summary.slots_expected == 11 * 1440
        assert summary.slots_present == summary.rows == 13_681
        assert summary.slots_expected - untold - summary.slots_present == 717
        assert summary.outside == 0


@pytest.mark.slow
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
    lines = [line.split()[:5] for line in done.stdout.splitlines()]
    assert re.search(r"^total +.* warnings=[1-9]\d*$", done.stdout, re.MULTILINE)  # splits, the fall of 2000
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


def read_actions(file: Path) -> list[tuple[date, str]]:
    """Return the day and the kind of each corporate action."""
    rows = [line.split(",") for line in file.read_text().splitlines()]
    day, kind = rows[0].index("ex_date"), rows[0].index("kind")
    return [(date.fromisoformat(row[day]), row[kind]) for row in rows[1:]]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)
