"""Reading back, case by case: ranges, several symbols, as of a time, and what a caller may ask for."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest

from chandlery.api.data import DataAPI
from chandlery.bars.read import BarRange
from chandlery.config.universe import AliasConfig, InstrumentConfig
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_instruments
from chandlery.errors import UnfilledTimeframeError, UnknownSymbolError, UsageError
from chandlery.instruments.registry import sync_instruments
from chandlery.publishing.publish import publish
from chandlery.reading.bars import read_bars, read_base
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, get, put, register, rows, table, utc, wait_until_blocked

pytestmark = pytest.mark.every_edition

DAYS = [utc("2024-06-03"), utc("2024-06-04"), utc("2024-06-05")]


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, {"AAA": "XNYS", "BBB": "XNYS", "CCC": "XNYS"})


@pytest.fixture
def api(warehouse: Warehouse, ids: dict[str, int]) -> DataAPI:
    put(
        warehouse,
        Timeframe.D1,
        [Bar(symbol, day, close=9.5 + n) for symbol in ["BBB", "AAA"] for n, day in enumerate(DAYS)],
    )
    return DataAPI(warehouse)


def test_a_range_includes_its_start_and_excludes_its_end(api: DataAPI) -> None:
    bars = api.get_ohlc("AAA", "2024-06-03", "2024-06-05", columns=["close"])
    assert list(bars.index) == [pd.Timestamp(day) for day in DAYS[:2]]
    assert bars["close"].tolist() == [9.5, 10.5]


@pytest.mark.parametrize("start", ["2024-06-04", date(2024, 6, 4), utc("2024-06-04"), "2024-06-03T20:00:00-04:00"])
def test_a_moment_may_be_text_a_date_or_an_aware_datetime(api: DataAPI, start: str | date) -> None:
    assert len(api.get_ohlc("AAA", start, "2024-06-06")) == 2


def test_every_output_has_the_same_rows(api: DataAPI) -> None:
    requested = ("AAA", "2024-01-01", "2025-01-01")
    frame, table, polars_frame = (api.get_ohlc(*requested, output=output) for output in ("pandas", "arrow", "polars"))
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(table, pa.Table)
    assert isinstance(polars_frame, pl.DataFrame)
    assert table.to_pylist() == polars_frame.to_dicts()
    assert frame.reset_index()["close"].tolist() == table["close"].to_pylist()
    assert str(frame.index.dtype) == "datetime64[us, UTC]"


def test_several_symbols_come_in_the_order_requested(api: DataAPI) -> None:
    for order in (["AAA", "BBB"], ["BBB", "AAA"]):
        bars = api.get_multi_symbol(order, "2024-06-03", "2024-06-05", columns=["close"])
        assert list(bars.index) == [(symbol, pd.Timestamp(day)) for symbol in order for day in DAYS[:2]]


def test_a_symbol_without_bars_gives_none(api: DataAPI) -> None:
    assert api.get_ohlc("CCC", "2024-06-03", "2024-06-05").empty
    assert api.get_multi_symbol(["CCC", "BBB"], "2024-06-03", "2024-06-04", output="arrow")["symbol"].to_pylist() == [
        "BBB"
    ]


def test_a_timeframe_that_nobody_fills_says_so(warehouse: Warehouse, api: DataAPI) -> None:
    with warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET timeframes = '{1d}'")
    days = ("2024-06-03", "2024-06-05")
    assert api.get_ohlc("CCC", *days).empty  # a schedule requests them
    for timeframe in ("1m", "5m", "4h", "7m"):
        made = "" if timeframe == "1m" else ", of which it is made,"
        said = rf"timeframe='{timeframe}': nobody fills it for CCC; 1m bars{made} were never requested"
        with pytest.raises(UnfilledTimeframeError, match=said):
            api.get_ohlc("CCC", *days, timeframe)
    with pytest.raises(UnfilledTimeframeError, match=r"for AAA CCC; .* AAA has 1d 1w 1mo. CCC has 1d 1w 1mo. `chandle"):
        api.get_multi_symbol(["AAA", "CCC"], *days, "1m", limit=3)
    with warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET timeframes = '{1m}'")
    for timeframe in Timeframe:
        assert api.get_ohlc("CCC", *days, timeframe).empty  # minutes make all others
    with warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET timeframes = '{}'")
    with pytest.raises(UnfilledTimeframeError, match="CCC has nothing"):
        api.get_ohlc("CCC", *days)
    assert api.get_ohlc("AAA", "2000-01-03", "2000-01-05").empty  # it has bars, but none there


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"start": "2024-06-05", "end": "2024-06-05"}, "half-open"),
        ({"start": "2024-06-05T10:00"}, "start='2024-06-05T10:00' has no time zone"),
        ({"timeframe": "2x"}, "timeframe='2x' is not known; allowed: 1m 5m"),
        ({"adjust": "splits"}, "adjust='splits' is not possible yet, .* allowed: raw"),
        ({"session": "extended"}, "session='extended' is not known of timeframe='1d', .* allowed: all regular"),
        ({"timeframe": "2h", "final_only": True}, "final_only=True is not known of timeframe='2h' with"),
        ({"timeframe": "1h", "anchor": "session", "columns": ["state"]}, "columns='state' is not known of timeframe="),
        (
            {"timeframe": "1w", "exclude_suspect": True, "final_only": True},
            "allowed: .*, 1m 1d with exclude_suspect=True",
        ),
        ({"columns": ["close", "price"]}, r"columns=\['price'\] are not known; allowed: open"),
        ({"output": "excel"}, "output='excel' is not known; allowed: pandas arrow polars"),
        ({"as_of": "yesterday"}, "as_of='yesterday' is not a date or time"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(api: DataAPI, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        api.get_ohlc(**{"symbol": "AAA", "start": "2024-06-03", "end": "2024-07-01"} | arguments)


def test_an_unknown_symbol_is_an_error_that_names_similar_ones(api: DataAPI) -> None:
    with pytest.raises(UnknownSymbolError, match="'AAB' is not known; did you mean"):
        api.get_ohlc("AAB", "2024-06-03", "2024-06-05")


def test_symbols_as_a_single_text_are_refused(api: DataAPI) -> None:
    with pytest.raises(UsageError, match=r"write \['AAA'\]"):
        api.get_multi_symbol("AAA", "2024-06-03", "2024-06-05")


def test_two_names_of_one_instrument_in_one_question_are_refused(warehouse: Warehouse, api: DataAPI) -> None:
    with warehouse.connection() as connection:
        alias = AliasConfig(ticker="OLD")
        sync_instruments(connection, [InstrumentConfig(symbol="AAA", calendar="XNYS", provider="x", aliases=(alias,))])
    assert len(api.get_ohlc("OLD", "2024-06-03", "2024-06-06")) == 3
    with pytest.raises(UsageError, match="'AAA' and 'OLD' are the same instrument"):
        api.get_multi_symbol(["AAA", "OLD"], "2024-06-03", "2024-06-05")


def keys(bars: pa.Table) -> list[tuple[int, datetime]]:
    """Return the key of each bar."""
    return list(zip(bars["instrument_id"].to_pylist(), bars["ts"].to_pylist(), strict=True))


def test_ranges_of_different_length_are_read_together(warehouse: Warehouse, api: DataAPI, ids: dict[str, int]) -> None:
    ranges = [
        BarRange(ids["BBB"], DAYS[0], DAYS[1]),
        BarRange(ids["AAA"], DAYS[0], DAYS[1]),
        BarRange(ids["AAA"], DAYS[2], DAYS[2] + timedelta(days=1)),
    ]
    bars = read_bars(warehouse, Timeframe.D1, ranges)
    assert bars.schema == STORED
    assert keys(bars) == [(ids["AAA"], DAYS[0]), (ids["AAA"], DAYS[2]), (ids["BBB"], DAYS[0])]


def test_several_ranges_are_read_of_each_instrument(warehouse: Warehouse, api: DataAPI, ids: dict[str, int]) -> None:
    ranges = [(DAYS[2], DAYS[2] + timedelta(days=1)), (DAYS[0], DAYS[1])]
    bars = read_bars(
        warehouse,
        Timeframe.D1,
        [BarRange(ids[symbol], *each) for symbol in ("BBB", "AAA", "CCC") for each in ranges],
    )
    assert keys(bars) == [(ids[symbol], day) for symbol in ("AAA", "BBB") for day in (DAYS[0], DAYS[2])]


def test_no_range_reads_nothing(warehouse: Warehouse) -> None:
    assert read_bars(warehouse, Timeframe.D1, []).equals(STORED.empty_table())


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.D1])
def test_a_transaction_that_derives_reads_the_same_bars_and_what_it_wrote(
    warehouse: Warehouse, ids: dict[str, int], timeframe: Timeframe
) -> None:
    years = [utc("1999-12-31"), utc("2000-01-03"), utc("2024-06-03"), utc("2024-06-04")]
    nothing = {"volume": None, "vwap": None, "trades": None}
    given = [
        Bar("AAA", years[0], open=0.1 + 0.2, volume=2.0**53 + 2, trades=2**31 - 1),
        Bar("AAA", years[1], **nothing),  # type: ignore[arg-type]
        Bar("AAA", years[2], source="test:two", vwap=None),
        Bar("BBB", years[2], volume=0.0, trades=0),
        Bar("BBB", years[3], **nothing),  # type: ignore[arg-type]
    ]
    put(warehouse, timeframe, given)
    day = timedelta(days=1)
    spans = [BarRange(ids[name], start, start + day) for name in ("BBB", "CCC", "AAA") for start in reversed(years)]
    columns = [name for name in STORED.names if name != "known_at"]
    for ranges in (spans, spans[:4], spans[4:8], spans[8:], []):
        with warehouse.connection() as connection:
            found = read_base(connection, warehouse, timeframe, ranges)
        expected = read_bars(warehouse, timeframe, ranges, columns=columns)
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()
    with warehouse.connection() as connection, connection.transaction(force_rollback=True):
        publish(connection, warehouse, timeframe, table([Bar("CCC", years[2])]))
        assert keys(read_base(connection, warehouse, timeframe, spans[4:8])) == [(ids["CCC"], years[2])]


def test_as_of_a_time_gives_what_was_believed_then(warehouse: Warehouse, ids: dict[str, int]) -> None:
    learned = [utc("2024-07-01"), utc("2024-07-02"), utc("2024-07-03")]
    old, new = Bar("AAA", DAYS[0], close=9.5, volume=None), Bar("AAA", DAYS[0], close=10.0)
    late = Bar("BBB", DAYS[1])
    for now, bars in zip(learned, ([old], [new], [late]), strict=True):
        put(warehouse, Timeframe.D1, bars, now=now)
    instant = timedelta(microseconds=1)
    expected = {
        learned[0] - instant: [],
        learned[0]: [old],
        learned[1] - instant: [old],
        learned[1]: [new],
        learned[2] - instant: [new],
        learned[2]: [new, late],
    }
    for moment, bars in expected.items():
        assert rows(get(warehouse, Timeframe.D1, ids, as_of=moment)) == bars


@pytest.mark.parametrize(
    "moment", [utc("2024-07-01"), utc("2024-07-02")], ids=["values since revised", "present values"]
)
def test_a_range_as_of_a_time_excludes_its_end_too(warehouse: Warehouse, ids: dict[str, int], moment: datetime) -> None:
    for now, close in [(utc("2024-07-01"), 9.5), (utc("2024-07-02"), 10.0)]:
        put(warehouse, Timeframe.D1, [Bar("AAA", day, close=close) for day in DAYS], now=now)
    bars = DataAPI(warehouse).get_ohlc("AAA", DAYS[0], DAYS[2], as_of=moment)
    assert list(bars.index) == [pd.Timestamp(day) for day in DAYS[:2]]


def test_known_at_is_when_the_values_were_learned(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, Timeframe.D1, [Bar("AAA", DAYS[0]), Bar("BBB", DAYS[0])], now=utc("2024-07-01"))
    put(warehouse, Timeframe.D1, [Bar("AAA", DAYS[0], close=9.5), Bar("BBB", DAYS[0])], now=utc("2024-07-02"))
    bars = get(warehouse, Timeframe.D1, ids)
    assert bars["known_at"].to_pylist() == [utc("2024-07-02"), utc("2024-07-01")]


def test_a_read_as_of_now_waits_for_a_publication_that_began_before(warehouse: Warehouse, ids: dict[str, int]) -> None:
    tables: list[pa.Table] = []
    with psycopg.connect(warehouse.database.dsn) as writer:
        lock_instruments(writer, Timeframe.D1, [ids["AAA"]])
        reader = threading.Thread(
            target=lambda: tables.append(get(warehouse, Timeframe.D1, ids, as_of=datetime.now(UTC)))
        )
        reader.start()
        wait_until_blocked(warehouse.database.dsn)
        assert tables == []
        writer.commit()
        reader.join()
    assert len(tables) == 1


def test_a_read_of_the_present_waits_for_nobody(warehouse: Warehouse, ids: dict[str, int]) -> None:
    put(warehouse, Timeframe.D1, [Bar("AAA", DAYS[0])])
    with psycopg.connect(warehouse.database.dsn) as writer:
        lock_instruments(writer, Timeframe.D1, list(ids.values()))
        writer.execute("UPDATE market.bars_1d SET close = 1")
        assert rows(get(warehouse, Timeframe.D1, ids)) == [Bar("AAA", DAYS[0])]
        writer.rollback()


def test_the_view_shows_every_timeframe_with_names(warehouse: Warehouse, ids: dict[str, int]) -> None:
    for timeframe in Timeframe:
        put(warehouse, timeframe, [Bar("AAA", DAYS[0])])
    with warehouse.connection() as connection:
        shown = connection.execute(
            "SELECT ts, symbol, timeframe, open, high, low, close, volume, vwap, trades, source FROM market.ohlcv"
        ).fetchall()
    bar = Bar("AAA", DAYS[0])
    assert {row[2] for row in shown} == {timeframe.value for timeframe in Timeframe}
    assert {(row[1], row[0], *row[3:]) for row in shown} == {tuple(bar)}


def test_threads_may_share_a_database(warehouse: Warehouse, api: DataAPI, ids: dict[str, int]) -> None:
    tables: list[pa.Table] = []
    threads = [threading.Thread(target=lambda: tables.append(get(warehouse, Timeframe.D1, ids))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables) == 6
    assert all(table.equals(tables[0]) for table in tables)
    assert tables[0].num_rows == 6
    assert EVER[0] < tables[0]["ts"][0].as_py() < EVER[1]


def test_without_a_range_everything_there_is_is_read(api: DataAPI) -> None:
    everything = api.get_ohlc("AAA", "1900-01-01", "2200-01-01")
    assert len(everything)
    assert api.get_ohlc("AAA").equals(everything)
    assert api.get_ohlc("AAA", end=everything.index[1]).equals(everything[:1])


def test_what_it_shows_of_itself_says_where_it_reads(api: DataAPI) -> None:
    assert repr(api).startswith("<DataAPI database postgresql://")
