"""Bars from a person's files: what is accepted, what is refused, and that each refusal says where and why."""

from __future__ import annotations

import gzip
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from chandlery.core.schema import BARS, TS
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError, ProviderBadDataError, ProviderError, ProviderNotFoundError, UsageError
from chandlery.providers.base import BarRequest, Provider
from chandlery.providers.files.held import Cache
from chandlery.providers.files.provider import FilesProvider

M1, D1 = Timeframe.M1, Timeframe.D1
START, END = datetime(1960, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
HEADER = "ts,open,high,low,close,volume\n"
YAHOO = ("Adj Close", "Dividends", "Stock Splits", "Repaired?")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for timeframe in (M1, D1):
        (tmp_path / timeframe.table).mkdir()
    return tmp_path


def put(folder: Path, text: str, name: str = "A.csv", timeframe: Timeframe = M1) -> FilesProvider:
    (folder / timeframe.table / name).write_text(text, encoding="utf-8")
    return FilesProvider(folder)


def put_parquet(folder: Path, ts: pa.Array, timeframe: Timeframe = M1, **columns: object) -> None:
    values = dict.fromkeys(("open", "high", "low", "close", "volume"), pa.array([1.0] * len(ts))) | columns
    pq.write_table(pa.table({"ts": ts, **values}), folder / timeframe.table / "A.parquet")


def ask(
    provider: FilesProvider, symbol: str = "A", timeframe: Timeframe = M1, start: datetime = START, end: datetime = END
) -> pa.Table:
    reply = provider.fetch(BarRequest([symbol], timeframe, start, end))
    for error in reply.failures.values():
        raise error
    return reply.bars


def stamps(bars: pa.Table) -> list[str]:
    return [moment.isoformat().replace("+00:00", "Z") for moment in bars["ts"].to_pylist()]


def refusal(provider: FilesProvider, timeframe: Timeframe = M1) -> str:
    with pytest.raises(ProviderBadDataError) as caught:
        ask(provider, timeframe=timeframe)
    assert (caught.value.provider, caught.value.symbol) == ("files", "A")
    return str(caught.value)


class TestLayout:
    def test_a_slash_in_a_symbol_is_written_as_a_dash(self, folder: Path) -> None:
        provider = put(folder, HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n", "BTC-USD.csv")
        for symbol in ("BTC/USD", "BTC-USD"):
            bars = ask(provider, symbol)
            assert bars["symbol"].to_pylist() == [symbol]
            assert bars.schema.equals(BARS)
        assert provider.symbols(M1) == ["BTC-USD"]

    def test_a_symbol_cannot_leave_the_folder(self, folder: Path) -> None:
        (folder / "secret.csv").write_text(HEADER)
        with pytest.raises(ProviderNotFoundError):
            ask(FilesProvider(folder), "../secret")

    def test_a_dot_in_a_symbol_is_kept(self, folder: Path) -> None:
        provider = put(folder, HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n", "BRK.B.csv")
        assert ask(provider, "BRK.B").num_rows == 1
        assert provider.symbols(M1) == ["BRK.B"]

    def test_a_missing_file_fails_alone_and_says_where_it_was_looked_for(self, folder: Path) -> None:
        provider: Provider = put(folder, HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n")
        reply = provider.fetch(BarRequest(["B/C", "A"], M1, START, END))
        assert reply.bars["symbol"].to_pylist() == ["A"]
        assert isinstance(reply.failures["B/C"], ProviderNotFoundError)
        assert str(folder / "bars_1m" / "B-C") in str(reply.failures["B/C"])

    def test_a_missing_folder_is_a_configuration_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="bars_1d"):
            ask(FilesProvider(tmp_path), timeframe=D1)
        with pytest.raises(ConfigurationError, match="bars_1m"):
            FilesProvider(tmp_path / "nowhere").span("A", M1)

    def test_two_files_for_one_symbol_are_refused(self, folder: Path) -> None:
        put(folder, HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n")
        put_parquet(folder, pa.array([0], TS))
        assert "A.csv and A.parquet" in refusal(FilesProvider(folder))

    def test_only_files_of_the_known_kinds_are_listed(self, folder: Path) -> None:
        for name in ("B.csv.gz", "A.csv", "C.parquet", "C.csv", "notes.md", ".hidden.csv", "D.TXT", "E.Zip", "f.tsv"):
            (folder / "bars_1d" / name).touch()
        assert FilesProvider(folder).symbols(D1) == ["A", "B", "C", "D", "E", "F"]

    def test_a_derived_timeframe_is_refused(self, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"5m.*allowed: 1m 1d"):
            ask(FilesProvider(folder), timeframe=Timeframe.M5)

    def test_wrong_options_are_refused(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="Mars/Olympus"):
            FilesProvider(folder, tz="Mars/Olympus")
        with pytest.raises(UsageError, match="allowed: s, ms, us, ns"):
            FilesProvider(folder, epoch_unit="minutes")


class TestColumns:
    def test_every_alias_is_read_in_any_case_and_order(self, folder: Path) -> None:
        text = "V,TimeStamp, c ,L,H,o,Trade_Count,VW\n10,2024-01-01T00:00:00Z,1.5,0.5,2,1,7,1.25\n"
        row = ask(put(folder, text)).to_pylist()[0]
        assert row == {
            "symbol": "A",
            "ts": datetime(2024, 1, 1, tzinfo=UTC),
            "open": 1.0,
            "high": 2.0,
            "low": 0.5,
            "close": 1.5,
            "volume": 10.0,
            "vwap": 1.25,
            "trades": 7,
            "source": "files",
        }

    def test_unknown_and_missing_columns_are_named_with_the_file_and_what_is_allowed(self, folder: Path) -> None:
        text = refusal(put(folder, "ts,open,high,low,Adj Close,volume\n2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n"))
        for part in ("A.csv", "unknown: Adj Close", "missing: close", "trade_count", '--ignore-column "Adj Close"'):
            assert part in text

    def test_unknown_columns_of_parquet_are_named_too(self, folder: Path) -> None:
        put_parquet(folder, pa.array([0], TS), spread=pa.array([0.1]))
        assert "unknown: spread" in refusal(FilesProvider(folder))
        assert ask(FilesProvider(folder, ignore_columns=["SPREAD"])).num_rows == 1

    def test_two_columns_of_the_same_meaning_are_refused(self, folder: Path) -> None:
        text = "date,datetime,open,high,low,close,volume\n2024-01-01,2024-01-01 09:30,1,2,0.5,1.5,10\n"
        assert "same meaning as another: datetime" in refusal(put(folder, text))

    def test_named_columns_are_dropped_in_any_case(self, folder: Path) -> None:
        put(folder, "ts,open,high,low,close,Adj Close,volume,note\n2024-01-01T00:00:00Z,1,2,0.5,1.5,x,10,hello\n")
        bars = ask(FilesProvider(folder, ignore_columns=["adj close", "Note"]))
        assert bars["volume"].to_pylist() == [10.0]

    def test_a_byte_order_mark_is_not_part_of_the_first_name(self, folder: Path) -> None:
        provider = put(folder, "\ufeff" + HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n")
        assert ask(provider).num_rows == 1

    @pytest.mark.parametrize("text", [HEADER, HEADER.strip(), HEADER + "\n\n", "# a comment\n" + HEADER])
    def test_a_file_without_rows_is_an_error(self, folder: Path, text: str) -> None:
        provider = put(folder, text)
        assert "A.csv: the file holds no bars" in refusal(provider)
        with pytest.raises(ProviderBadDataError, match="holds no bars"):
            provider.span("A", M1)

    @pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
    def test_an_empty_file_is_an_error(self, folder: Path, text: str) -> None:
        assert "the file is empty: it holds no bars" in refusal(put(folder, text))

    @pytest.mark.parametrize("text", ["nothing of use\n", "nothing\nof\nuse\n", "<html>\n"])
    def test_text_that_is_no_table_is_an_error(self, folder: Path, text: str) -> None:
        assert "this is no table of bars" in refusal(put(folder, text))

    def test_a_parquet_file_without_rows_is_an_error(self, folder: Path) -> None:
        put_parquet(folder, pa.array([], TS))
        with pytest.raises(ProviderBadDataError, match="holds no bars"):
            FilesProvider(folder).span("A", M1)


class TestCells:
    def test_blank_and_nan_become_null_and_infinity_stays(self, folder: Path) -> None:
        text = HEADER + "2024-01-01T00:00:00Z,,NaN,-inf,inf,\n2024-01-01T00:01:00Z,NAN,2,-1,0,-5\n"
        rows = ask(put(folder, text)).select(["open", "high", "low", "close", "volume"]).to_pylist()
        assert list(rows[0].values()) == [None, None, float("-inf"), float("inf"), None]
        assert list(rows[1].values()) == [None, 2.0, -1.0, 0.0, -5.0]

    def test_duplicates_and_impossible_bars_are_passed_on_in_their_order(self, folder: Path) -> None:
        text = HEADER + "".join(
            f"2024-01-01T00:0{minute}:00Z,{price},1,9,5,1\n" for minute, price in ((2, 1), (1, 2), (2, 3), (1, 4))
        )
        bars = ask(put(folder, text))
        assert bars["open"].to_pylist() == [2.0, 4.0, 1.0, 3.0]
        assert bars["low"].to_pylist() == [9.0] * 4

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            ("2024-01-01T00:01:00Z,1,abc,0.5,1.5,10", "line 5: high 'abc' is not a number"),
            ("2024-01-01T00:01:00Z,1,2,0.5,1_5,10", "line 5: close '1_5' is not a number"),
            ("2024-01-01T00:01:00Z,1,2,0.5,1.5", "line 5: 5 cells where the header has 6"),
            ("2024-01-01T00:01:00Z,1,2,0.5,1.5,1,000", "line 5: 7 cells where the header has 6"),
            ("yesterday,1,2,0.5,1.5,10", "line 5: the time 'yesterday' is not an ISO 8601 time with a zone"),
            ("2024-01-01T00:01:00,1,2,0.5,1.5,10", "line 5: the time '2024-01-01T00:01:00' is not an ISO 8601 time"),
            ("2024-13-01T00:01:00Z,1,2,0.5,1.5,10", "line 5: the time '2024-13-01T00:01:00Z'"),
            (",1,2,0.5,1.5,10", "line 5: the time is blank"),
        ],
    )
    @pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
    def test_an_unreadable_cell_is_named_with_file_and_line(
        self, folder: Path, row: str, why: str, suffix: str
    ) -> None:
        text = HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n\n2024-01-01T00:00:30Z,1,2,0.5,1.5,10\n" + row + "\n"
        data = text.encode()
        (folder / "bars_1m" / f"A{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
        seen = refusal(FilesProvider(folder))
        assert why in seen
        assert f"A{suffix}, line 5" in seen

    def test_a_fraction_of_a_trade_is_refused_with_its_line(self, folder: Path) -> None:
        text = "ts,o,h,l,c,v,n\n2024-01-01T00:00:00Z,1,2,0.5,1.5,10,3.0\n2024-01-01T00:01:00Z,1,2,0.5,1.5,10,1.5\n"
        assert "line 3: trades 1.5" in refusal(put(folder, text))

    def test_text_in_a_price_of_parquet_is_refused_with_its_column(self, folder: Path) -> None:
        put_parquet(folder, pa.array([0], TS), low=pa.array(["cheap"]))
        assert "A.parquet: low 'cheap' is not a number" in refusal(FilesProvider(folder))

    @pytest.mark.parametrize("name", ["A.csv.gz", "A.parquet"])
    def test_a_file_that_is_not_what_it_is_called_is_refused(self, folder: Path, name: str) -> None:
        assert f"{name} cannot be read as" in refusal(put(folder, HEADER, name))

    def test_a_truncated_gzip_is_refused(self, folder: Path) -> None:
        rows = "".join(f"2024-01-01T{i // 60:02}:{i % 60:02}:00Z,{i},2,0.5,{i**0.5},10\n" for i in range(1_000))
        (folder / "bars_1m" / "A.csv.gz").write_bytes(gzip.compress((HEADER + rows).encode())[:-2_000])
        assert "A.csv.gz" in refusal(FilesProvider(folder))


class TestTimes:
    def test_offsets_are_converted_to_utc(self, folder: Path) -> None:
        text = HEADER + "2024-01-01 09:30:00-05:00,1,2,0.5,1.5,10\n2024-07-01 09:30:00-0400,1,2,0.5,1.5,10\n"
        assert stamps(ask(put(folder, text))) == ["2024-01-01T14:30:00Z", "2024-07-01T13:30:00Z"]

    @pytest.mark.parametrize("fraction", ["", ".000", ".000000", ".000000000"])
    def test_fractions_of_a_second_are_read(self, folder: Path, fraction: str) -> None:
        assert stamps(ask(put(folder, HEADER + f"2024-01-01T00:00:00{fraction}Z,1,2,0.5,1.5,10\n"))) == [
            "2024-01-01T00:00:00Z"
        ]

    def test_a_nanosecond_that_would_be_lost_is_refused(self, folder: Path) -> None:
        text = HEADER + "2024-01-01T00:00:00.000000001Z,1,2,0.5,1.5,10\n"
        assert "finer than a microsecond" in refusal(put(folder, text))

    def test_a_naive_time_without_tz_is_refused(self, folder: Path) -> None:
        seen = refusal(put(folder, HEADER + "2024-01-01T09:30:00,1,2,0.5,1.5,10\n"))
        assert "line 2" in seen
        assert "--tz" in seen

    def test_a_naive_time_is_local_time_of_tz(self, folder: Path) -> None:
        put(folder, HEADER + "2024-01-02 09:30:00,1,2,0.5,1.5,10\n2024-07-02 09:30:00,1,2,0.5,1.5,10\n")
        bars = ask(FilesProvider(folder, tz="America/New_York"))
        assert stamps(bars) == ["2024-01-02T14:30:00Z", "2024-07-02T13:30:00Z"]

    @pytest.mark.parametrize(
        ("text", "why"), [("2024-03-10 02:30:00", "does not exist"), ("2024-11-03 01:30:00", "came twice")]
    )
    def test_a_local_time_that_the_clock_change_spoils_is_refused(self, folder: Path, text: str, why: str) -> None:
        put(folder, HEADER + f"2024-01-02 09:30:00,1,2,0.5,1.5,10\n{text},1,2,0.5,1.5,10\n")
        seen = refusal(FilesProvider(folder, tz="America/New_York"))
        assert "line 3" in seen
        assert why in seen
        assert "America/New_York" in seen

    @pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
    def test_an_epoch_is_read_in_its_declared_unit(self, folder: Path, unit: str, factor: int) -> None:
        put(folder, HEADER + f"{1_704_067_200 * factor},1,2,0.5,1.5,10\n")
        bars = ask(FilesProvider(folder, epoch_unit=unit))  # type: ignore[arg-type]
        assert stamps(bars) == ["2024-01-01T00:00:00Z"]

    @pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
    @pytest.mark.parametrize("ending", ["", ".0"])
    def test_an_epoch_of_this_age_tells_its_unit(self, folder: Path, factor: int, ending: str) -> None:
        bars = ask(put(folder, HEADER + f"{1_704_067_200 * factor}{ending},1,2,0.5,1.5,10\n"))
        assert stamps(bars) == ["2024-01-01T00:00:00Z"]

    def test_any_other_epoch_without_a_unit_is_refused(self, folder: Path) -> None:
        seen = refusal(put(folder, HEADER + "1704067,1,2,0.5,1.5,10\n"))
        assert "1704067" in seen
        assert "--epoch-unit" in seen

    def test_an_epoch_in_the_wrong_unit_is_refused_where_it_gives_an_impossible_year(self, folder: Path) -> None:
        put(folder, HEADER + "1704067200000,1,2,0.5,1.5,10\n")
        assert "line 2" in refusal(FilesProvider(folder, epoch_unit="s"))

    def test_an_epoch_may_have_a_fraction(self, folder: Path) -> None:
        put(folder, HEADER + "1704067200,1,2,0.5,1.5,10\n1704067260.5,1,2,0.5,1.5,10\n")
        bars = ask(FilesProvider(folder))
        assert stamps(bars) == ["2024-01-01T00:00:00Z", "2024-01-01T00:01:00.500000Z"]

    def test_text_among_epochs_is_refused_with_its_line(self, folder: Path) -> None:
        put(folder, HEADER + "1704067200,1,2,0.5,1.5,10\n1.70406726E+09,1,2,0.5,1.5,10\n")
        assert "line 3: the time '1.70406726E+09' is not a number" in refusal(FilesProvider(folder))


class TestDays:
    @pytest.mark.parametrize(
        "text",
        [
            "2022-06-06",
            "2022-06-06 00:00:00",
            "2022-06-06T00:00:00Z",
            "2022-06-06 00:00:00+01:00",
            "2022-06-06 00:00:00-04:00",
            "2022-06-06T00:00:00.000000+0900",
        ],
    )
    def test_a_day_is_labelled_by_its_local_date(self, folder: Path, text: str) -> None:
        bars = ask(put(folder, HEADER + f"{text},1,2,0.5,1.5,10\n", timeframe=D1), timeframe=D1)
        assert stamps(bars) == ["2022-06-06T00:00:00Z"]

    def test_the_offset_may_change_within_the_file(self, folder: Path) -> None:
        text = HEADER + "".join(
            f"{stamp},1,2,0.5,1.5,10\n"
            for stamp in ("2022-03-25 00:00:00+00:00", "2022-03-28 00:00:00+01:00", "2022-03-29")
        )
        bars = ask(put(folder, text, timeframe=D1), timeframe=D1)
        assert stamps(bars) == ["2022-03-25T00:00:00Z", "2022-03-28T00:00:00Z", "2022-03-29T00:00:00Z"]

    @pytest.mark.parametrize("text", ["2022-06-06T04:00:00Z", "2022-06-06 09:30:00-04:00", "2022-02-30", "06/06/2022"])
    def test_any_other_stamp_of_a_day_is_refused_and_shown(self, folder: Path, text: str) -> None:
        seen = refusal(put(folder, HEADER + f"2022-06-03,1,2,0.5,1.5,10\n{text},1,2,0.5,1.5,10\n", timeframe=D1), D1)
        assert f"line 3: the time {text} is neither a session date" in seen

    def test_an_epoch_of_a_day_must_be_midnight_utc(self, folder: Path) -> None:
        put(folder, HEADER + "1654473600,1,2,0.5,1.5,10\n", timeframe=D1)
        assert stamps(ask(FilesProvider(folder, epoch_unit="s"), timeframe=D1)) == ["2022-06-06T00:00:00Z"]
        put(folder, HEADER + "1654488000,1,2,0.5,1.5,10\n", timeframe=D1)
        assert "neither a session date" in refusal(FilesProvider(folder, epoch_unit="s"), D1)


class TestParquet:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_zoned_timestamps_of_any_unit_are_read(self, folder: Path, unit: str) -> None:
        moment = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
        put_parquet(folder, pa.array([moment], pa.timestamp(unit, tz="America/New_York")))
        assert stamps(ask(FilesProvider(folder))) == ["2024-01-02T14:30:00Z"]

    def test_a_naive_timestamp_needs_tz(self, folder: Path) -> None:
        put_parquet(folder, pa.array([datetime(2024, 1, 2, 9, 30)], pa.timestamp("ms")))  # noqa: DTZ001
        assert "--tz" in refusal(FilesProvider(folder))
        assert stamps(ask(FilesProvider(folder, tz="America/New_York"))) == ["2024-01-02T14:30:00Z"]

    @pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string()])
    def test_epochs_are_read_whatever_their_type(self, folder: Path, kind: pa.DataType) -> None:
        put_parquet(folder, pa.array([1_704_067_200_000]).cast(kind))
        assert stamps(ask(FilesProvider(folder))) == ["2024-01-01T00:00:00Z"]
        assert stamps(ask(FilesProvider(folder, epoch_unit="ms"))) == ["2024-01-01T00:00:00Z"]
        put_parquet(folder, pa.array([5]).cast(kind))
        assert "--epoch-unit" in refusal(FilesProvider(folder))

    def test_days_are_dates_or_local_midnights(self, folder: Path) -> None:
        put_parquet(folder, pa.array([date(2022, 6, 6)], pa.date32()), D1)
        assert stamps(ask(FilesProvider(folder), timeframe=D1)) == ["2022-06-06T00:00:00Z"]
        midnight = pa.array([datetime(2022, 6, 5, 15, tzinfo=UTC)], pa.timestamp("us", tz="Asia/Tokyo"))
        put_parquet(folder, midnight, D1)
        assert stamps(ask(FilesProvider(folder), timeframe=D1)) == ["2022-06-06T00:00:00Z"]
        put_parquet(folder, midnight.cast(TS), D1)
        assert "2022-06-05 15:00" in refusal(FilesProvider(folder), D1)

    def test_dates_do_not_hold_minutes(self, folder: Path) -> None:
        put_parquet(folder, pa.array([date(2022, 6, 6)], pa.date32()))
        assert "date32" in refusal(FilesProvider(folder))

    def test_a_blank_time_is_refused_whatever_the_range(self, folder: Path) -> None:
        put_parquet(folder, pa.array([0, None], TS))
        with pytest.raises(ProviderBadDataError, match="blank"):
            ask(FilesProvider(folder), start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 2, tzinfo=UTC))

    def test_narrow_numbers_and_nan_are_read(self, folder: Path) -> None:
        low, volume = pa.array([0.5, float("nan")], pa.float32()), pa.array([3, None], pa.int64())
        put_parquet(folder, pa.array([0, 60_000_000], TS), low=low, volume=volume, n=pa.array([1, 2], pa.int64()))
        rows = ask(FilesProvider(folder)).to_pylist()
        assert [(row["low"], row["volume"], row["trades"]) for row in rows] == [(0.5, 3.0, 1), (None, None, 2)]

    def test_a_folder_that_looks_like_a_partition_adds_no_column(self, tmp_path: Path) -> None:
        folder = tmp_path / "volume=3"
        (folder / "bars_1m").mkdir(parents=True)
        put_parquet(folder, pa.array([0], TS))
        assert ask(FilesProvider(folder))["volume"].to_pylist() == [1.0]


class TestRanges:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_a_range_is_half_open_and_the_span_covers_the_last_bar(self, folder: Path, suffix: str) -> None:
        first = datetime(2024, 1, 31, 23, 58, tzinfo=UTC)
        ts = pa.array([first + timedelta(minutes=minute) for minute in (3, 2, 1, 0)], pa.timestamp("s", tz="UTC"))
        put_parquet(folder, ts)
        if suffix == ".csv":
            pacsv.write_csv(pq.read_table(folder / "bars_1m" / "A.parquet"), folder / "bars_1m" / "A.csv")
            (folder / "bars_1m" / "A.parquet").unlink()
        provider = FilesProvider(folder)
        end = datetime(2024, 2, 1, tzinfo=UTC)
        assert stamps(ask(provider, end=end)) == ["2024-01-31T23:58:00Z", "2024-01-31T23:59:00Z"]
        assert stamps(ask(provider, start=end)) == ["2024-02-01T00:00:00Z", "2024-02-01T00:01:00Z"]
        assert ask(provider, start=end, end=end).num_rows == 0
        assert provider.span("A", M1) == (first, first + timedelta(minutes=4))

    def test_the_span_of_days_ends_a_day_after_the_last(self, folder: Path) -> None:
        provider = put(folder, HEADER + "2024-01-02,1,2,0.5,1.5,10\n2024-01-05,1,2,0.5,1.5,10\n", timeframe=D1)
        assert provider.span("A", D1) == (datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 6, tzinfo=UTC))

    def test_the_widest_range_there_is_can_be_asked_for(self, folder: Path) -> None:
        widest = {"start": datetime.min.replace(tzinfo=UTC), "end": datetime.max.replace(tzinfo=UTC)}
        for unit in ("s", "ns"):
            put_parquet(folder, pa.array([0], pa.timestamp(unit, tz="UTC")))
            assert ask(FilesProvider(folder), **widest).num_rows == 1

    def test_a_changed_file_is_read_again(self, folder: Path) -> None:
        provider = put(folder, HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n")
        assert ask(provider)["open"].to_pylist() == [1.0]
        file = folder / "bars_1m" / "A.csv"
        before = file.stat().st_mtime_ns
        put(folder, HEADER + "2024-01-01T00:00:00Z,7,2,0.5,1.5,10\n")
        os.utime(file, ns=(before + 1, before + 1))
        assert ask(provider)["open"].to_pylist() == [7.0]

    def test_a_second_window_of_the_same_file_reads_nothing(self, folder: Path) -> None:
        provider = put(folder, HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n")
        file = folder / "bars_1m" / "A.csv"
        stat = file.stat()
        ask(provider)
        file.write_bytes(b"x" * stat.st_size)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert ask(provider).num_rows == 1
        with pytest.raises(ProviderError):
            ask(FilesProvider(folder))

    def test_a_parquet_file_is_read_once_for_its_bars_and_its_extents_until_it_changes(self, folder: Path) -> None:
        put_parquet(folder, pa.array([0], TS))
        file = folder / "bars_1m" / "A.parquet"
        provider, stat, whole = FilesProvider(folder), file.stat(), file.read_bytes()
        ask(provider)
        file.write_bytes(b"x" * stat.st_size)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert ask(provider).num_rows == 1
        file.write_bytes(whole)
        put_parquet(folder, pa.array([0, 60_000_000], TS))
        assert ask(provider).num_rows == 2

    def test_the_cache_lets_go_of_the_file_used_longest_ago(self, folder: Path) -> None:
        provider = FilesProvider(folder)
        provider._files.cache = Cache(rows=5)
        for name in "ABC":
            rows = "".join(f"2024-01-01T00:0{minute}:00Z,1,2,0.5,1.5,10\n" for minute in range(2))
            put(folder, HEADER + rows, f"{name}.csv")
        for symbol in "ABAC":
            ask(provider, symbol)
        assert [file.name for file, *_ in provider._files.cache._held] == ["A.csv", "C.csv"]

    def test_windows_line_ends_are_read(self, folder: Path) -> None:
        text = HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n\n2024-01-01T00:01:00Z,1,x,0.5,1.5,10\n"
        assert "line 4: high 'x'" in refusal(put(folder, text.replace("\n", "\r\n")))
        assert ask(put(folder, text.replace("x", "2").replace("\n", "\r\n"))).num_rows == 2


class TestRealData:
    @pytest.mark.parametrize("symbol", ["AAPL", "SPY"])
    def test_daily_files_are_read_whole(self, shared_data: Path, symbol: str) -> None:
        provider = FilesProvider(shared_data)
        bars = ask(provider, symbol, D1)
        assert bars.num_rows == 5_849
        assert provider.span(symbol, D1) == (datetime(1998, 1, 2, tzinfo=UTC), datetime(2021, 4, 1, tzinfo=UTC))
        assert provider.symbols(D1) == ["AAPL", "SPY"]

    def test_a_known_close_is_read_exactly(self, shared_data: Path) -> None:
        day = datetime(2014, 6, 6, tzinfo=UTC)
        assert ask(FilesProvider(shared_data), "AAPL", D1, day, day + timedelta(days=1))["close"].to_pylist() == [
            645.57
        ]

    @pytest.mark.parametrize(("symbol", "rows"), [("AAPL", 2_303), ("SPY", 5_786), ("GOOG", 659)])
    def test_minute_csv_is_read_whole(self, shared_data: Path, symbol: str, rows: int) -> None:
        assert ask(FilesProvider(shared_data), symbol).num_rows == rows

    @pytest.mark.parametrize(
        ("file", "symbol", "rows"),
        [
            ("XRP-ETH.parquet", "XRP/ETH", 2_469),
            ("XRP-ETH.parquet", "XRP-ETH", 2_469),
            ("BTC-PERP_2022-01.parquet", "BTC-PERP", 45_031),
            ("UNITTEST-BTC.parquet", "UNITTEST/BTC", 13_681),
        ],
    )
    def test_minute_parquet_is_read_whole_and_unchanged(
        self, shared_data: Path, folder: Path, file: str, symbol: str, rows: int
    ) -> None:
        target = folder / "bars_1m" / f"{symbol.replace('/', '-')}.parquet"
        shutil.copy(shared_data / "bars_1m" / file, target)
        bars = ask(FilesProvider(folder), symbol)
        assert bars.num_rows == rows
        original = pq.read_table(target)
        for name in ("open", "high", "low", "close", "volume"):
            assert bars[name].combine_chunks().equals(original[name].combine_chunks())
        assert bars["ts"].cast(pa.int64()).to_pylist() == [
            moment * 1_000 for moment in original["ts"].cast(pa.int64()).to_pylist()
        ]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("AET-L-1d-100x-error", (23, "2022-05-03", "2022-06-06")),
            ("4063-T-1d-bad-stock-split", (22, "2023-03-15", "2023-04-14")),
            ("4063-T-1d-bad-div", (667, "2022-01-04", "2024-09-20")),
            ("MOB-ST-1d-bad-stock-split-fixed", (16, "2023-05-08", "2023-05-30")),
            ("ELCO-L-1d-bad-div", (665, "2022-01-04", "2024-08-22")),
            ("SSNLF-1d-bad-div", (6_259, "2001-08-06", "2026-06-26")),
        ],
    )
    def test_defect_files_are_labelled_by_local_date(
        self, shared_data: Path, folder: Path, name: str, expected: tuple[int, str, str]
    ) -> None:
        source = shared_data / "defects" / f"{name}.csv"
        shutil.copy(source, folder / "bars_1d" / "A.csv")
        bars = ask(FilesProvider(folder, ignore_columns=YAHOO), timeframe=D1)
        dates = sorted(line[:10] for line in source.read_text().splitlines()[1:])
        assert [stamp[:10] for stamp in stamps(bars)] == dates
        assert (bars.num_rows, dates[0], dates[-1]) == expected

    def test_defects_are_passed_on(self, shared_data: Path, folder: Path) -> None:
        shutil.copy(shared_data / "defects" / "SSNLF-1d-bad-div.csv", folder / "bars_1d" / "SSNLF.csv")
        shutil.copy(shared_data / "defects" / "ELCO-L-1d-bad-div.csv", folder / "bars_1d" / "ELCO-L.csv")
        provider = FilesProvider(folder, ignore_columns=YAHOO)
        assert ask(provider, "SSNLF", D1)["low"].null_count == 242
        bars = ask(provider, "ELCO-L", D1)
        low, high, *inner = (np.asarray(bars[name]) for name in ("low", "high", "open", "close"))
        impossible = (low > np.minimum(*inner)) | (high < np.maximum(*inner)) | (low > high)
        assert impossible.sum() == 309
