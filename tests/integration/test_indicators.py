"""Indicators of stored bars: a value does not depend on where a read begins, nor on where the bars are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from chandlery import DataAPI
from chandlery.core.schema import conform
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.indicators.compute import compute
from chandlery.indicators.registry import choose, list_indicators
from chandlery.lake.store import Lake
from chandlery.publishing.publish import publish as publish_bars
from chandlery.quality.suspect_findings import record_suspects
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.conformance.test_same_answers import roll_up
from tests.interpreter import loaded_by
from tests.support import Bar, put, register, table, utc
from tests.unit.indicators.market import assert_close, columns_of

M1, D1 = Timeframe.M1, Timeframe.D1
ALL = [one.name for one in list_indicators() if one.is_builtin]
LEARNED, RESTATED = utc("2024-06-01"), utc("2024-07-01")
START = utc("2023-01-02")


def real_bars(folder: Path, symbol: str, timeframe: Timeframe) -> pa.Table:
    """Return real bars from the shared data."""
    bars = pacsv.read_csv(folder / f"bars_{timeframe.value}" / f"{symbol}.csv.gz")
    ts = bars["ts"].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    bars = bars.set_column(0, "ts", ts).append_column("symbol", pa.array([symbol] * bars.num_rows))
    return conform(bars.append_column("source", pa.array(["test:real"] * bars.num_rows)))


def leave(warehouse: Warehouse, timeframe: Timeframe, before: str) -> None:
    with warehouse.connection() as connection:
        due = find_due(connection, timeframe, utc(before))
    list(archive(warehouse, due))
    assert apply_retention(warehouse, timeframe, utc(before), now=utc("2025-06-01")).refused == []


@pytest.fixture
def real(warehouse: Warehouse, shared_data: Path, tmp_path: Path) -> Warehouse:
    """Real days of AAPL, real minutes of SPY."""
    tiered = replace(warehouse, lake=Lake(tmp_path / "lake"))
    register(tiered, {"AAPL": "XNYS", "SPY": "XNYS"})
    put(tiered, D1, real_bars(shared_data, "AAPL", D1), now=LEARNED)
    put(tiered, M1, real_bars(shared_data, "SPY", M1), now=LEARNED)
    return tiered


def read(warehouse: Warehouse, symbol: str, *range_: object, **how: object) -> pa.Table:
    return DataAPI(warehouse).get_ohlc_with_indicators(
        symbol, *range_, **{"indicators": ALL, "output": "arrow", "columns": ["close"], **how}
    )


def assert_same(part: pa.Table, whole: pa.Table, what: object) -> None:
    """Compare the rows of ``part`` with the same ones of ``whole``: windows to the last bit, the others to 1e-9."""
    at = whole["ts"].to_pylist().index(part["ts"][0].as_py())
    same, exact = whole.slice(at, part.num_rows), {c for each in choose(ALL) if each.warmup < 60 for c in each.columns}
    assert part["ts"].equals(same["ts"])
    assert part.select(sorted(exact)).equals(same.select(sorted(exact))), what
    ours, theirs = (columns_of(each.drop_columns(["ts", "close", *sorted(exact)])) for each in (part, same))
    scale = columns_of(whole.drop_columns(["ts"]))
    for name, values in ours.items():
        rest = np.nanmax(np.abs(scale[name]))
        assert_close(np.append(values, rest), np.append(theirs[name], rest), f"{name} {what}")


@pytest.mark.parametrize(("symbol", "timeframe"), [("AAPL", "1d"), ("SPY", "1m")])
def test_the_value_on_a_bar_depends_neither_on_start_nor_on_limit_nor_on_the_tier(
    real: Warehouse, symbol: str, timeframe: str
) -> None:
    whole = read(real, symbol, None, None, timeframe)
    moments = whole["ts"].to_pylist()
    count = len(moments)
    starts = [moments[n] for n in (1, count // 3, count // 2 - 5, count - 300)]

    def check(where: str) -> None:
        for start in starts:
            assert_same(read(real, symbol, start, None, timeframe), whole, (where, start))
        assert_same(read(real, symbol, limit=7, timeframe=timeframe), whole, (where, "limit"))
        assert_same(read(real, symbol, starts[2], starts[3], timeframe, limit=3), whole, (where, "limit in a range"))

    check("store")
    leave(real, Timeframe(timeframe), f"{moments[count // 2].year}-01-01")
    check("store and lake")


def walk(seed: int, count: int, *, step: timedelta = timedelta(days=1), symbol: str = "AAA") -> list[Bar]:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    return [
        Bar(symbol, START + n * step, c, c * 1.005, c * 0.995, c, volume=float(random.integers(500, 1500)))
        for n, c in enumerate(close.tolist())
    ]


def publish(
    warehouse: Warehouse, ids: dict[str, int], timeframe: Timeframe, bars: Sequence[Bar], now: datetime | None
) -> None:
    with warehouse.connection() as connection, connection.transaction():
        report = publish_bars(connection, warehouse, timeframe, table(bars), now=now)
        record_suspects(connection, warehouse, timeframe, report.changes)


def test_nothing_that_was_not_known_then_is_used(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    bars = walk(1, 200)
    put(warehouse, D1, [bar for n, bar in enumerate(bars) if n % 50 != 20], now=LEARNED)
    then = read(warehouse, "AAA")
    put(warehouse, D1, [bar._replace(close=bar.close + 1, high=bar.high + 1) for bar in bars[::9]], now=RESTATED)
    put(warehouse, D1, bars[20::50], now=RESTATED)
    assert read(warehouse, "AAA", as_of=LEARNED).equals(then)
    part = read(warehouse, "AAA", bars[150].ts, as_of=LEARNED, indicators=["SMA_20", "STOCH"])
    assert part["SMA_20"].to_pylist() == then["SMA_20"].to_pylist()[-part.num_rows :]
    assert not read(warehouse, "AAA").select(then.column_names).equals(then)


def test_computing_begins_anew_after_a_confirmed_false_print(warehouse: Warehouse) -> None:
    ids, names = register(warehouse, {"AAA": "24/7"}), ["SMA_5", "EMA_5", "OBV"]
    bars = walk(3, 160)
    bars[90] = bars[90]._replace(close=bars[90].close * 1.2, high=bars[90].close * 1.21)
    publish(warehouse, ids, D1, bars[:91], LEARNED)
    open_yet = read(warehouse, "AAA", indicators=names)
    assert open_yet["EMA_5"][90].as_py() is not None  # it may be a real move
    with warehouse.connection() as connection:
        before = connection.execute("SELECT clock_timestamp()").fetchone()
    publish(warehouse, ids, D1, bars[91:], None)

    made = read(warehouse, "AAA", indicators=names)
    assert all(made[name][90].as_py() is None for name in names)
    after = compute(table(bars[91:]), names)
    assert made.select(names).slice(91).equals(after)
    assert read(warehouse, "AAA", bars[93].ts, indicators=names).select(names).equals(after.slice(2))
    without = read(warehouse, "AAA", indicators=names, exclude_suspect=True)
    assert without.num_rows == 159
    assert without.select(names).slice(90).equals(after)
    last = read(warehouse, "AAA", bars[80].ts, bars[95].ts, indicators=names, exclude_suspect=True, limit=6)
    assert last["ts"].to_pylist() == [bars[n].ts for n in (88, 89, 91, 92, 93, 94)]
    # Whoever asks what was known before learns nothing of what came to light later.
    assert before is not None
    assert read(warehouse, "AAA", indicators=names, as_of=before[0]).equals(open_yet)
    # A value that was corrected since is no false print any more.
    put(warehouse, D1, [bars[90]._replace(close=bars[90].open)])
    assert read(warehouse, "AAA", indicators=names)["EMA_5"].null_count == 4


def test_what_was_derived_from_a_false_print_is_not_used_either(warehouse: Warehouse) -> None:
    ids = register(warehouse, {"AAA": "24/7"})
    bars = walk(3, 160)
    bars[90] = bars[90]._replace(close=bars[90].close * 1.2, high=bars[90].close * 1.21)
    publish(warehouse, ids, D1, bars, LEARNED)
    roll_up(warehouse, LEARNED + timedelta(hours=1))
    made = read(warehouse, "AAA", timeframe="1w", indicators=["SMA_2"])
    bad = [first <= bars[90].ts < after for first, after in pairwise([*made["ts"].to_pylist(), utc("2200-01-01")])]
    assert sum(bad) == 1
    nulls = [value is None for value in made["SMA_2"].to_pylist()]
    assert nulls == [n == 0 or bad[n] or bad[n - 1] for n in range(len(bad))]
    with pytest.raises(UsageError, match="exclude_suspect=True is not known of timeframe='1w'"):
        read(warehouse, "AAA", timeframe="1w", exclude_suspect=True)


def test_sessions_are_those_of_the_calendar(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "XNYS"})
    # From 14:00 in New York on one evening to the next morning: midnight in UTC is no border.
    first = utc("2024-01-10T19:00")
    bars = [bar._replace(ts=first + timedelta(minutes=5 * n)) for n, bar in enumerate(walk(5, 12 * 24))]
    put(warehouse, M1, bars, now=LEARNED)
    made = read(warehouse, "AAA", timeframe="1m", indicators=["VWAP", "OBV"])
    begins = [n for n in range(1, len(bars)) if made["OBV"][n].as_py() == bars[n].volume]
    assert len(begins) == 1
    assert utc("2024-01-11T03:00") < bars[begins[0]].ts < utc("2024-01-11T14:30")
    part = read(warehouse, "AAA", bars[100].ts, bars[200].ts, "1m", indicators=["VWAP", "OBV"])
    assert part.equals(made.slice(100, 100))


def test_widths_that_are_made_and_hours_of_a_session_have_indicators_too(warehouse: Warehouse) -> None:
    ids = register(warehouse, {"AAA": "XNYS"})
    bars = [bar._replace(ts=utc("2024-01-08T12:00") + timedelta(minutes=n)) for n, bar in enumerate(walk(9, 4000))]
    false = utc("2024-01-09T22:07")  # after the close
    at = [bar.ts for bar in bars].index(false)
    bars[at] = bars[at]._replace(close=bars[at].close * 1.5, high=bars[at].close * 1.51)
    publish(warehouse, ids, M1, bars, LEARNED)
    roll_up(warehouse, LEARNED + timedelta(hours=1))
    names = ["SMA_3", "EMA_3", "VWAP"]
    how = {"indicators": names, "timeframe": "45min"}
    api = DataAPI(warehouse)
    for more in ({}, {"session": "regular"}, {"anchor": "session"}):
        whole = read(warehouse, "AAA", **how, **more)
        assert whole["ts"].equals(api.get_ohlc("AAA", timeframe="45m", output="arrow", **more)["ts"])
        part = read(warehouse, "AAA", utc("2024-01-10T16:00"), **how, **more)
        assert 2 < part.num_rows < whole.num_rows
        same = whole.slice(whole.num_rows - part.num_rows)
        assert part.drop_columns("EMA_3").equals(same.drop_columns("EMA_3"))
        assert_close(columns_of(part.select(["EMA_3"]))["EMA_3"], columns_of(same.select(["EMA_3"]))["EMA_3"], "EMA_3")
        bad = [
            ts
            for ts, value in zip(whole["ts"].to_pylist()[4:], whole["VWAP"].to_pylist()[4:], strict=True)
            if value is None
        ]
        # What was made from the false print is not used, and what has no part in it is.
        assert [ts <= false < ts + timedelta(minutes=45) for ts in bad] == ([] if "session" in more else [True])


def test_a_former_ticker_has_the_warm_up_of_its_instrument(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7", "BBB": "24/7"})
    bars = walk(13, 60)
    put(warehouse, D1, [*bars, *walk(14, 60, symbol="BBB")], now=LEARNED)
    with warehouse.connection() as connection:
        # Before it named AAA, the ticker named BBB.
        for number, first, after in ((2, "2020-01-01", "2023-01-30"), (1, "2023-01-30", "2023-02-20")):
            connection.execute(
                "INSERT INTO market.symbol_alias SELECT 'OLD', %s::date, %s::date, %s", (first, after, number)
            )
    for fill in ("none", "previous"):
        made = read(warehouse, "OLD", "2023-01-31", "2023-02-10", indicators=["SMA_20", "EMA_3", "OBV"], fill=fill)
        same = read(warehouse, "AAA", "2023-01-31", "2023-02-10", indicators=["SMA_20", "EMA_3", "OBV"], fill=fill)
        assert made.equals(same)
        assert made.num_rows == 10
        assert made["SMA_20"].null_count == 0


def test_minutes_need_no_calendar_where_nothing_counts_from_a_session(warehouse: Warehouse, database_url: str) -> None:
    register(warehouse, {"AAA": "XNYS"})
    put(warehouse, M1, walk(15, 30, step=timedelta(minutes=1)), now=LEARNED)
    code = (
        "from chandlery import DataAPI\n"
        "how = {'timeframe': '1m', 'limit': 5, 'output': 'arrow'}\n"
        "made = DataAPI().get_ohlc_with_indicators('AAA', indicators=['EMA_5'], **how)\n"
        "assert made['EMA_5'].null_count == 0"
    )
    assert loaded_by(code, ["exchange_calendars"], env={"CHANDLERY_DATABASE_URL": database_url}) == []


def test_filled_rows_have_the_values_of_the_bar_before(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    bars = walk(11, 60)
    put(warehouse, D1, [bar for n, bar in enumerate(bars) if n % 7 not in {3, 4}], now=LEARNED)
    names = ["SMA_3", "EMA_5", "OBV"]
    real = read(warehouse, "AAA", indicators=names)
    for range_, limit in (
        ((), None),
        ((bars[24].ts, bars[50].ts), None),
        ((bars[4].ts, None), 20),
        ((None, bars[25].ts), 1),
    ):
        whole = read(warehouse, "AAA", *range_, indicators=names, fill="previous", limit=limit)
        plain = DataAPI(warehouse).get_ohlc(
            "AAA", *range_, columns=["close"], fill="previous", limit=limit, output="arrow"
        )
        assert whole.select(plain.column_names).equals(plain)
        before = [
            max(n for n, ts in enumerate(real["ts"].to_pylist()) if ts <= each) for each in whole["ts"].to_pylist()
        ]
        assert whole.select(["SMA_3", "OBV"]).equals(real.select(["SMA_3", "OBV"]).take(before))
    assert read(warehouse, "AAA", "2030-01-01", indicators=names, fill="previous").num_rows == 0
    with pytest.raises(UsageError, match="fill='previous' is not possible with final_only=True"):
        read(warehouse, "AAA", fill="previous", final_only=True)


def test_outputs_columns_and_wrong_arguments(warehouse: Warehouse) -> None:
    register(warehouse, {"AAA": "24/7"})
    put(warehouse, D1, walk(7, 40), now=LEARNED)
    api = DataAPI(warehouse)
    frame = api.get_ohlc_with_indicators("AAA", "2023-01-20", indicators=["rsi", "BB_5_2"])
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.name == "ts"
    assert frame.columns[-4:].tolist() == ["RSI_14", "BB_5_2_upper", "BB_5_2_middle", "BB_5_2_lower"]
    assert frame["RSI_14"].notna().all()
    both = api.get_ohlc_with_indicators("AAA", indicators=["OBV"], columns=["volume", "state"], output="polars")
    assert both.columns == ["ts", "volume", "state", "OBV"]
    assert api.get_ohlc_with_indicators("AAA", indicators=[]).equals(api.get_ohlc("AAA"))
    assert read(warehouse, "AAA", "2030-01-01").num_rows == 0
    for wrong, text in (
        ({"indicators": ["SMAA_20"]}, "did you mean SMA"),
        ({"indicators": "SMA_20"}, "indicators='SMA_20' is a single text"),
        ({"limit": 0}, "limit=0"),
        ({"columns": ["price"]}, "columns="),
        ({"output": "xml"}, "output='xml'"),
        ({"exclude_suspect": 3}, "exclude_suspect=3"),
        ({"as_of": "then"}, "as_of"),
    ):
        with pytest.raises(UsageError, match=text):
            read(warehouse, "AAA", **wrong)
    with pytest.raises(UnknownSymbolError):
        read(warehouse, "ZZZ")
