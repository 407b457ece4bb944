"""Files that can be read in two ways, and files that look like others: what must be asked, and what must not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError
from chandlery.providers.base import BarRequest
from chandlery.providers.files.provider import FilesProvider
from tests.file_folders import put, refusal, rows

M1, D1 = Timeframe.M1, Timeframe.D1
START, END = datetime(1960, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)


class TestThousands:
    """Points between thousands look like decimals where nothing else in a file tells them apart."""

    DAX = (
        "Datum;o;h;l;c;v\n02.01.2024;43.100;43.531;42.884;43.316;1.000\n15.01.2024;43.200;43.531;42.884;43.316;2.500\n"
    )

    def ask(self, folder: Path, content: str) -> FilesProvider:
        put(folder, content)
        seen = refusal(FilesProvider(folder))
        assert '--decimal "," or --decimal "."' in seen
        assert "A.csv, line 2" in seen
        return FilesProvider(folder, decimal=",")

    @pytest.mark.parametrize(
        "form",
        [DAX, DAX.replace(";", ","), DAX.replace("02.01.2024", "2024-01-02").replace("15.01.2024", "2024-01-15")],
    )
    def test_points_that_may_stand_between_thousands_are_asked_about(self, tmp_path: Path, form: str) -> None:
        form = form.replace("Datum", "date")
        found = rows(self.ask(tmp_path, form))
        assert found[0] == ("2024-01-02", 43100.0, 43531.0, 42884.0, 43316.0, 1000.0)
        assert rows(FilesProvider(tmp_path, decimal="."))[0] == ("2024-01-02", 43.1, 43.531, 42.884, 43.316, 1.0)
        assert '43.100 with --decimal ".", 43100 with --decimal ","' in refusal(FilesProvider(tmp_path))

    @pytest.mark.parametrize("name", ["v", "trades"])
    def test_volumes_with_three_digits_after_a_point_are_asked_about_in_any_file(
        self, tmp_path: Path, name: str
    ) -> None:
        few = "".join(f"2023-{n // 28 + 1:02}-{n % 28 + 1:02},431,435,428,433,950\n" for n in range(100))
        put(tmp_path, f"date,o,h,l,c,{name}\n{few}2024-01-02,431,435,428,433,1.234\n")
        seen = refusal(FilesProvider(tmp_path))
        assert f"{name} '1.234'" in seen
        assert "line 102" in seen
        if name == "v":
            assert rows(FilesProvider(tmp_path, decimal=","))[-1][-1] == 1234.0

    def test_a_point_after_the_first_rows_of_whole_prices_is_asked_about(self, tmp_path: Path) -> None:
        few = "".join(f"{n % 28 + 1:02}.{n // 28 + 1:02}.2023;990;995;980;985;10\n" for n in range(100))
        put(tmp_path, f"date;o;h;l;c;v\n{few}02.01.2024;990;1.000;980;1.000;10\n")
        assert "'1.000'" in refusal(FilesProvider(tmp_path))

    def test_points_that_can_only_stand_between_thousands_are_read_so(self, tmp_path: Path) -> None:
        put(tmp_path, "date,o,h,l,c,v\n2024-01-02,431,435,428,1.433,1.234.000\n")
        assert rows(FilesProvider(tmp_path)) == [("2024-01-02", 431.0, 435.0, 428.0, 1433.0, 1234000.0)]
        assert "--decimal" in refusal(FilesProvider(tmp_path, decimal="."))
        put(tmp_path, "date,o,h,l,c,v\n2024-01-02,431.5,435,428,433,1.234.000\n")
        assert "both, in different cells" in refusal(FilesProvider(tmp_path))

    @pytest.mark.parametrize(
        ("form", "expected"),
        [
            ("date,o,h,l,c,v\n2024-01-02,1.234,1.250,1.200,1.240,1000\n", (1.234, 1.25, 1.2, 1.24, 1000.0)),
            ("date;o;h;l;c;v\n2024-01-02;1.234;1.250;1.200;1.24;1000\n", (1.234, 1.25, 1.2, 1.24, 1000.0)),
            ("date;o;h;l;c;v\n2024-01-02;1.234;1.250;0.999;1.240;1000\n", (1.234, 1.25, 0.999, 1.24, 1000.0)),
            ("date;o;h;l;c;v\n2024-01-02;999.500;1000.250;1.200;1.240;5\n", (999.5, 1000.25, 1.2, 1.24, 5.0)),
            ("date,o,h,l,c,v\n2024-01-02,1.234,1.250,1.200,1.2345,1.234\n", (1.234, 1.25, 1.2, 1.2345, 1.234)),
            ("date;o;h;l;c;v\n2024-01-02;1'234.500;1'250.000;1'200.000;1'240.000;5\n", (1234.5, 1250, 1200, 1240, 5)),
            ("date;o;h;l;c;v\n2024-01-02;1.234,567;1.250,000;1.200,000;1.240,000;5\n", (1234.567, 1250, 1200, 1240, 5)),
            ("date;o;h;l;c;v\n2024-01-02;1 234,567;1 250,000;1 200,000;1 240,000;5\n", (1234.567, 1250, 1200, 1240, 5)),
        ],
    )
    def test_what_other_cells_decide_is_not_asked(self, tmp_path: Path, form: str, expected: tuple[float, ...]) -> None:
        put(tmp_path, form)
        assert rows(FilesProvider(tmp_path))[0][1:] == expected

    def test_the_same_is_asked_of_text_in_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "bars_1d").mkdir()
        row = {"date": "2024-01-02", "o": 431.0, "h": 435.0, "l": 428.0, "c": 433.0, "v": "1.234"}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "bars_1d" / "A.parquet")
        assert "--decimal" in refusal(FilesProvider(tmp_path))
        assert rows(FilesProvider(tmp_path, decimal=","))[0][-1] == 1234.0


class TestSymbolsInRows:
    def test_symbols_that_look_like_no_value_are_symbols(self, tmp_path: Path) -> None:
        lines = "".join(f"{symbol},2024-01-02,1,2,0.5,1.5,10\n" for symbol in ("NA", "AAPL", "NULL", "nan", " NONE"))
        put(tmp_path, "symbol,date,o,h,l,c,v\n" + lines)
        provider = FilesProvider(tmp_path, pattern="*")
        assert provider.symbols(D1) == ["AAPL", "NA", "NONE", "NULL", "nan"]
        assert all(len(rows(provider, symbol)) == 1 for symbol in provider.symbols(D1))

    @pytest.mark.parametrize("blank", ["", " "])
    def test_a_blank_symbol_is_an_error_with_its_line(self, tmp_path: Path, blank: str) -> None:
        put(tmp_path, f"symbol,date,o,h,l,c,v\nAAPL,2024-01-02,1,2,0.5,1.5,10\n{blank},2024-01-02,1,2,0.5,1.5,10\n")
        seen = refusal(FilesProvider(tmp_path, pattern="*"), "AAPL")
        assert "A.csv, line 3: the symbol is blank" in seen

    def test_a_blank_symbol_in_parquet_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "bars_1d").mkdir()
        row = {"date": "2024-01-02", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 1.0}
        table = pa.Table.from_pylist([row | {"symbol": "NA"}, row | {"symbol": None}])
        pq.write_table(table, tmp_path / "bars_1d" / "all.parquet")
        assert "the symbol is blank" in refusal(FilesProvider(tmp_path, pattern="*"), "NA")

    @pytest.mark.parametrize("blank", ["", "NaN", "-"])
    def test_a_blank_time_of_day_is_an_error(self, tmp_path: Path, blank: str) -> None:
        put(tmp_path, f"date,time,o,h,l,c,v\n2024-01-02,{blank},1,2,0.5,1.5,10\n", timeframe=M1)
        assert "the time is blank" in refusal(FilesProvider(tmp_path, tz="UTC"), timeframe=M1)


class TestSides:
    BIDS_AND_ASKS = (
        "Date,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close,Volume\n"
        "2024-01-02,1,2,0.5,1.5,1.1,2.1,0.6,1.6,10\n"
    )

    @pytest.mark.parametrize("form", ["{side}_{field}", "{field}_{side}", "{side}.{field}", "{side} {field}"])
    def test_bid_and_ask_are_no_symbols_and_are_asked_about(self, tmp_path: Path, form: str) -> None:
        names = [form.format(side=side, field=f) for side in ("bid", "Ask") for f in ("open", "high", "low", "close")]
        _, line, *_ = self.BIDS_AND_ASKS.split("\n")
        put(tmp_path, f"Date,{','.join(names)},Volume\n{line}\n", "EUR-USD.csv")
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["EUR-USD"]
        seen = refusal(provider, "EUR-USD")
        assert "for bid, --columns date,open,high,low,close,ignore,ignore,ignore,ignore,volume; for ask" in seen
        columns = "date,ignore,ignore,ignore,ignore,open,high,low,close,volume"
        assert columns in seen
        found = rows(FilesProvider(tmp_path, columns=columns.split(",")), "EUR-USD")
        assert found == [("2024-01-02", 1.1, 2.1, 0.6, 1.6, 10.0)]

    def test_a_mapping_by_name_says_which(self, tmp_path: Path) -> None:
        put(tmp_path, self.BIDS_AND_ASKS, "EUR-USD.csv")
        columns = {f"ask_{name}": name for name in ("open", "high", "low", "close")}
        provider = FilesProvider(tmp_path, columns=columns, ignore_columns=["*"])
        assert rows(provider, "EUR-USD") == [("2024-01-02", 1.1, 2.1, 0.6, 1.6, 10.0)]

    @pytest.mark.parametrize("names", ["mid_open,mid_high,mid_low,mid_close", "mid.o,mid.h,mid.l,mid.c"])
    def test_one_side_alone_is_read_and_said(self, tmp_path: Path, names: str) -> None:
        put(tmp_path, f"time,{names}\n2024-01-02,1,2,0.5,1.5\n", "EUR-USD.csv")
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["EUR-USD"]
        assert rows(provider, "EUR-USD") == [("2024-01-02", 1.0, 2.0, 0.5, 1.5, None)]
        assert "prices are those of mid" in provider.notes("EUR-USD", D1)

    def test_a_side_after_a_symbol_is_not_part_of_it(self, tmp_path: Path) -> None:
        names = [f"{pair}_bid_{f}" for pair in ("EURUSD", "USDJPY") for f in ("open", "high", "low", "close")]
        put(tmp_path, f"time,{','.join(names)}\n2024-01-02,1,2,0.5,1.5,3,4,2.5,3.5\n", "all.csv")
        assert FilesProvider(tmp_path).symbols(D1) == ["EURUSD", "USDJPY"]
        put(
            tmp_path,
            f"time,{','.join(names)}\n2024-01-02,1,2,0.5,1.5,3,4,2.5,3.5\n".replace("USDJPY_bid", "EURUSD_ask"),
        )
        assert "say which: for bid" in refusal(FilesProvider(tmp_path))

    def test_prices_of_their_own_count_more(self, tmp_path: Path) -> None:
        put(tmp_path, self.BIDS_AND_ASKS.replace("ask_", ""))
        assert "--ignore-column" in refusal(FilesProvider(tmp_path))
        assert rows(FilesProvider(tmp_path, ignore_columns=["*"]))[0][1:5] == (1.1, 2.1, 0.6, 1.6)

    @pytest.mark.parametrize("symbol", ["MID", "ADJE"])
    def test_a_symbol_that_is_called_like_a_side_is_one_beside_others(self, tmp_path: Path, symbol: str) -> None:
        names = [f"{each}_{f}" for each in (symbol, "AAPL") for f in ("open", "high", "low", "close")]
        put(tmp_path, f"time,{','.join(names)}\n2024-01-02,1,2,0.5,1.5,3,4,2.5,3.5\n", "all.csv")
        assert FilesProvider(tmp_path).symbols(D1) == sorted([symbol, "AAPL"])

    def test_the_columns_of_wide_frames_are_called_as_in_the_file(self, tmp_path: Path) -> None:
        put(
            tmp_path, "Date,X_Open,X_High,X_Low,X_Close,Y_Open,Y_High,Y_Low,Y_Close\n2024-01-02,1,2,0.5,1.5,1,2,0.5,1\n"
        )
        columns = FilesProvider(tmp_path).describe("X", D1).columns
        assert columns == {"Date": "ts"} | {
            f"{s}_{name.title()}": f"{name} of {s}" for s in "XY" for name in ("open", "high", "low", "close")
        }

    def test_the_columns_below_two_header_lines_are_called_by_both(self, tmp_path: Path) -> None:
        text = "Price,Open,High,Low,Close,Open,High,Low,Close\nTicker,X,X,X,X,Y,Y,Y,Y\nDate,,,,,,,,\n"
        put(tmp_path, text + "2024-01-02,1,2,0.5,1.5,1,2,0.5,1\n")
        columns = FilesProvider(tmp_path).describe("X", D1).columns
        assert columns["Open X"] == "open of X"
        assert columns["Close Y"] == "close of Y"
        assert len(columns) == 9


class TestFixedPoint:
    HEAD = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"

    def read(self, folder: Path, prices: str, head: str = HEAD, lead: str = "33,1,5,") -> tuple[object, ...]:
        put(folder, f"{head}1704205800000000000,{lead}{prices},5,X\n", "x.ohlcv-1m.csv", M1)
        return rows(FilesProvider(folder, mapping="databento"), "X", M1)[0][1:5]

    @pytest.mark.parametrize(
        ("prices", "expected"),
        [
            ("-250000000,-200000000,-500000000,-500000000", (-0.25, -0.2, -0.5, -0.5)),
            ("1000000,1010000,995000,1005000", (0.001, 0.00101, 0.000995, 0.001005)),
            ("0,0,0,0", (0.0, 0.0, 0.0, 0.0)),
            ("-250000000,250000000,-250000000,0", (-0.25, 0.25, -0.25, 0.0)),
            ("100.000000000,101.000000000,99.000000000,100.000000000", (100.0, 101.0, 99.0, 100.0)),
            ("20000000.0,20000000.0,20000000.0,20000000.0", (2e7, 2e7, 2e7, 2e7)),
        ],
    )
    def test_whole_numbers_beside_databentos_columns_are_billionths(
        self, tmp_path: Path, prices: str, expected: tuple[float, ...]
    ) -> None:
        assert self.read(tmp_path, prices) == expected

    @pytest.mark.parametrize(
        ("prices", "expected"),
        [
            ("-250000000,-200000000,-500000000,-500000000", (-0.25, -0.2, -0.5, -0.5)),
            ("100,101,99,100", (100.0, 101.0, 99.0, 100.0)),
        ],
    )
    def test_without_these_columns_their_size_tells(
        self, tmp_path: Path, prices: str, expected: tuple[float, ...]
    ) -> None:
        head = "ts_event,open,high,low,close,volume,symbol\n"
        assert self.read(tmp_path, prices, head, "") == expected

    @pytest.mark.parametrize(("kind", "expected"), [(pa.int64(), -2.5e-7), (pa.float64(), -250.0)])
    def test_in_parquet_the_type_tells(self, tmp_path: Path, kind: pa.DataType, expected: float) -> None:
        (tmp_path / "bars_1m").mkdir()
        prices = {name: pa.array([-250]).cast(kind) for name in ("open", "high", "low", "close")}
        ids = {"ts_event": pa.array([1704205800000000000]), "rtype": pa.array([33]), "publisher_id": pa.array([1])}
        table = pa.table(ids | prices | {"volume": pa.array([5]), "symbol": pa.array(["X"])})
        pq.write_table(table, tmp_path / "bars_1m" / "x.parquet")
        assert rows(FilesProvider(tmp_path, mapping="databento"), "X", M1)[0][1] == expected


class TestTimesOfDay:
    def starts(self, folder: Path, clocks: list[str], date: str = "20240116") -> list[str]:
        text = "".join(f"{date},{clock},1,2,0.5,1.5,10\n" for clock in clocks)
        put(folder, f"Date,Time,Open,High,Low,Close,Volume\n{text}", timeframe=M1)
        return [str(row[0])[-5:] for row in rows(FilesProvider(folder, tz="UTC"), timeframe=M1)]

    @pytest.mark.parametrize(
        ("clocks", "expected"),
        [
            (["0", "1", "59", "100", "2359"], ["00:00", "00:01", "00:59", "01:00", "23:59"]),
            (["0", "1", "59"], ["00:00", "00:01", "00:59"]),
            (["0", "100", "5900", "10000", "235900"], ["00:00", "00:01", "00:59", "01:00", "23:59"]),
            (["100", "93000"], ["00:01", "09:30"]),
            (["930", "931"], ["09:30", "09:31"]),
            (["2358", "2359", "2400"], ["23:58", "23:59", "00:00"]),
            (["235900", "240000"], ["23:59", "00:00"]),
            (["23:59", "24:00"], ["23:59", "00:00"]),
            (["23:59:00", "24:00:00"], ["23:59", "00:00"]),
        ],
    )
    def test_digits_of_a_time_of_day_get_their_zeros(
        self, tmp_path: Path, clocks: list[str], expected: list[str]
    ) -> None:
        assert self.starts(tmp_path, clocks) == expected

    def test_numbers_of_parquet_are_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "bars_1m").mkdir()
        row = {"date": 20240116, "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5}
        table = pa.Table.from_pylist([row | {"time": 0.0}, row | {"time": 59.0}, row | {"time": 100.0}])
        pq.write_table(table, tmp_path / "bars_1m" / "A.parquet")
        found = rows(FilesProvider(tmp_path, tz="UTC"), timeframe=M1)
        assert [str(row[0])[-5:] for row in found] == ["00:00", "00:59", "01:00"]

    @pytest.mark.parametrize(
        "clock", ["24:01", "2460", "0960", "9:60", "09:30:60", "093060", "13:00 PM", "0:30 AM", "25:00"]
    )
    def test_times_that_no_clock_shows_are_refused(self, tmp_path: Path, clock: str) -> None:
        text = f"2024-01-16 09:30,1,2,0.5,1.5,10\n2024-01-16 {clock},1,2,0.5,1.5,10\n"
        if ":" not in clock:
            text = text.replace("2024-01-16 ", "20240116 ").replace("09:30,", "0930,")
        elif clock.endswith("M"):
            text = text.replace("09:30,", "09:30 AM,")
        put(tmp_path, f"ts,o,h,l,c,v\n{text}", timeframe=M1)
        assert f"{clock}" in refusal(FilesProvider(tmp_path, tz="UTC"), timeframe=M1)

    @pytest.mark.parametrize(("year", "expected"), [("51", "2051"), ("68", "2068"), ("69", "1969"), ("99", "1999")])
    def test_short_years_turn_as_in_strptime(self, tmp_path: Path, year: str, expected: str) -> None:
        put(tmp_path, f"date,o,h,l,c,v\n03-Jan-{year},1,2,0.5,1.5,10\n")
        bars = FilesProvider(tmp_path).describe("A", D1).bars
        assert str(bars["ts"][0].as_py().year) == expected


class TestZonesInTimes:
    def start(self, folder: Path, time: str, **options: str) -> str:
        put(folder, f"date,open,high,low,close,volume\n{time},1,2,0.5,1.5,10\n", timeframe=M1)
        return str(rows(FilesProvider(folder, **options), timeframe=M1)[0][0])

    @pytest.mark.parametrize(
        "time",
        [
            "20240116 09:30:00 US/Eastern", "2024-01-16 09:30:00 America/New_York", "16.01.2024 14:30:00.000 GMT",
            "16.01.2024 15:30:00.000 GMT+0100", "2024-01-16 16:30 UTC+02:00", "20240116 22:30:00 Asia/Hong_Kong",
            "1/16/2024 9:30 AM US/Eastern",
        ],
    )  # fmt: skip
    def test_a_zone_after_a_time_counts(self, tmp_path: Path, time: str) -> None:
        assert self.start(tmp_path, time) == "2024-01-16T14:30"
        assert self.start(tmp_path, time, tz="Europe/Moscow") == "2024-01-16T14:30"

    @pytest.mark.parametrize("zone", ["EST", "ET", "CET", "JST"])
    def test_a_short_name_of_a_zone_is_asked_about(self, tmp_path: Path, zone: str) -> None:
        time = f"2024-01-16 09:30:00 {zone}"
        put(tmp_path, f"date,o,h,l,c,v\n{time},1,2,0.5,1.5,10\n", timeframe=M1)
        seen = refusal(FilesProvider(tmp_path), timeframe=M1)
        assert f"'{time}' names a zone that may be several; say which with --tz" in seen
        assert "line 2" in seen
        assert self.start(tmp_path, time, tz="America/New_York") == "2024-01-16T14:30"

    def test_short_names_change_with_the_season(self, tmp_path: Path) -> None:
        text = "2024-01-16 09:30:00 EST,1,2,0.5,1.5,10\n2024-07-16 09:30:00 EDT,1,2,0.5,1.5,10\n"
        put(tmp_path, f"date,o,h,l,c,v\n{text}", timeframe=M1)
        found = rows(FilesProvider(tmp_path, tz="America/New_York"), timeframe=M1)
        assert [str(row[0])[-5:] for row in found] == ["14:30", "13:30"]


class TestLanguages:
    @pytest.mark.parametrize(
        "names",
        [
            "Datum,Eröffnung,Hoch,Tief,Schluss,Volumen", "Datum,Erster,Hoch,Tief,Schlusskurs,Stück",
            "Date,Ouverture,Haut,Bas,Clôture,Volume", "Fecha,Apertura,Máximo,Mínimo,Cierre,Volumen",
            "Data,Apertura,Massimo,Minimo,Chiusura,Volumi", "日付,始値,高値,安値,終値,出来高",
            "日期,开盘,最高,最低,收盘,成交量",
        ],
    )  # fmt: skip
    def test_names_of_columns_may_be_of_other_languages(self, tmp_path: Path, names: str) -> None:
        put(tmp_path, f"{names}\n2024-01-02,1,2,0.5,1.5,10\n")
        assert rows(FilesProvider(tmp_path)) == [("2024-01-02", 1.0, 2.0, 0.5, 1.5, 10.0)]

    def test_date_and_time_of_day_may_be_so_too(self, tmp_path: Path) -> None:
        put(tmp_path, "Datum;Zeit;Eröffnung;Hoch;Tief;Schluss\n02.01.2024;09:30;1,5;2,5;0,5;1,5\n", timeframe=M1)
        provider = FilesProvider(tmp_path, tz="UTC", date_format="%d.%m.%Y %H:%M")
        assert rows(provider, timeframe=M1)[0][:2] == ("2024-01-02T09:30", 1.5)

    @pytest.mark.parametrize("encoding", ["gbk", "shift_jis"])
    def test_an_encoding_that_is_not_recognised_is_said(self, tmp_path: Path, encoding: str) -> None:
        names = {"gbk": "日期,开盘,最高,最低,收盘,成交量", "shift_jis": "日付,始値,高値,安値,終値,出来高"}[encoding]
        put(tmp_path, f"{names}\n2024-01-02,1,2,0.5,1.5,10\n".encode(encoding))
        assert "--encoding, as in gbk or shift_jis" in refusal(FilesProvider(tmp_path))
        assert len(rows(FilesProvider(tmp_path, encoding=encoding))) == 1

    @pytest.mark.parametrize("date", ["2024. 01. 02.", "2024. 1. 2", "2024年01月02日", "2024年1月2日"])
    def test_dates_of_hungary_and_asia_are_read(self, tmp_path: Path, date: str) -> None:
        put(tmp_path, f"date,o,h,l,c,v\n{date},1,2,0.5,1.5,10\n")
        assert rows(FilesProvider(tmp_path))[0][0] == "2024-01-02"

    def test_a_date_that_cannot_be_read_is_one_sentence(self, tmp_path: Path) -> None:
        put(tmp_path, "date,o,h,l,c,v\nyesterday,1,2,0.5,1.5,10\n")
        assert refusal(FilesProvider(tmp_path)).count("the time 'yesterday'") == 1


class TestAdvice:
    def test_an_instant_counts_more_than_the_date_beside_it(self, tmp_path: Path) -> None:
        text = "https://www.example.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume\n"
        put(tmp_path, text + "1704153600000,2024-01-02,BTCUSDT,1,2,0.5,1.5,10\n", "X.csv")
        found = rows(FilesProvider(tmp_path, pattern="*", calendars={"BTCUSDT": "24/7"}), "BTCUSDT")
        assert found == [("2024-01-02", 1.0, 2.0, 0.5, 1.5, 10.0)]

    def test_a_layout_that_would_not_read_the_file_is_not_named(self, tmp_path: Path) -> None:
        head = "date,open,high,low,close,volume,adj_open,adj_high,adj_low,adj_close,adj_volume\n"
        put(tmp_path, head + "2024-01-02,1,2,0.5,1.5,10,1,2,0.5,1.5,10\n")
        seen = refusal(FilesProvider(tmp_path))
        assert '--ignore-column "adj_open"' in seen
        assert "--mapping" not in seen


class TestAsides:
    HEAD = "Date,Open,High,Low,Close,Volume\n"
    ROW = "2024-01-02,1,2,0.5,1.5,10\n"

    @pytest.mark.parametrize(
        "footer",
        [
            "Total,,,,,10",
            "Summe,,,,,10\n",
            "Downloaded from X, all rights reserved",
            "Downloaded from X",
            '"Source: X"',
        ],
    )
    @pytest.mark.parametrize("count", [1, 2, 100])
    def test_a_last_line_of_prose_or_sums_is_no_row(self, tmp_path: Path, footer: str, count: int) -> None:
        days = "".join(f"2023-{n // 28 + 1:02}-{n % 28 + 1:02},1,2,0.5,1.5,10\n" for n in range(count))
        put(tmp_path, self.HEAD + days + footer)
        assert len(rows(FilesProvider(tmp_path))) == count

    @pytest.mark.parametrize("line", ["x2024-01-03,1,2,0.5,1.5,10", "garbage,1,2,0.5,1.5,10"])
    def test_a_damaged_last_row_is_an_error(self, tmp_path: Path, line: str) -> None:
        put(tmp_path, self.HEAD + self.ROW + line)
        assert "line 3" in refusal(FilesProvider(tmp_path))

    @pytest.mark.parametrize(
        ("head", "row", "last"),
        [
            ("symbol,date,o,h,l,c,v", "A,2024-01-02,1,2,0.5,1.5,10", "A,2024-01"),
            ("date,o,h,l,c,v", "Jan 2 2024,1,2,0.5,1.5,10", "Jan 3 2024,1"),
        ],
    )
    def test_a_row_that_was_cut_off_is_an_error(self, tmp_path: Path, head: str, row: str, last: str) -> None:
        put(tmp_path, f"{head}\n{row}\n{last}")
        seen = refusal(FilesProvider(tmp_path))
        assert "line 3" in seen
        assert "CSV parse error" not in seen

    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("event", ["Jan 8, 2024\t0.24 Dividend", "Jan 8, 2024\t4:1 Stock Splits"])
    def test_dividends_and_splits_between_the_rows_of_yahoos_page_are_no_rows(
        self, tmp_path: Path, event: str, *, first: bool
    ) -> None:
        lines = ["Jan 17, 2024\t1\t2\t0.5\t1.5\t1\t1,000", "Jan 16, 2024\t1\t2\t0.5\t1.5\t1\t2,000"]
        lines.insert(0 if first else 1, event)
        put(tmp_path, "\n".join(["Date\tOpen\tHigh\tLow\tClose\tAdj Close\tVolume", *lines, "Jan 2, 2024\tx\t"]))
        assert "line 5" in refusal(FilesProvider(tmp_path, mapping="yahoo"))
        put(tmp_path, "\n".join(["Date\tOpen\tHigh\tLow\tClose\tAdj Close\tVolume", *lines, event]))
        assert [row[0] for row in rows(FilesProvider(tmp_path, mapping="yahoo"))] == ["2024-01-16", "2024-01-17"]


class TestKinds:
    @pytest.mark.parametrize("name", ["AAPL.xlsx", "AAPL.feather", "AAPL.json", "AAPL.json.gz", "AAPL.XLS"])
    def test_files_of_a_kind_that_is_not_read_are_named(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "x", name)
        said = f"{name} is of a kind that is not read; save it as .csv or .parquet"
        for provider in (FilesProvider(tmp_path), FilesProvider(tmp_path / "bars_1d" / name)):
            with pytest.raises(ConfigurationError, match=said.replace(".", r"\.")):
                provider.symbols(D1)
            with pytest.raises(ConfigurationError, match=said.replace(".", r"\.")):
                provider.fetch(BarRequest(["AAPL"], D1, START, END))

    def test_beside_files_that_are_read_they_are_passed_over(self, tmp_path: Path) -> None:
        put(tmp_path, "x", "AAPL.xlsx")
        put(tmp_path, "date,o,h,l,c,v\n2024-01-02,1,2,0.5,1.5,10\n", "B.csv")
        assert FilesProvider(tmp_path).symbols(D1) == ["B"]


def test_a_comment_above_the_first_row_counts_as_a_line(tmp_path: Path) -> None:
    put(tmp_path, "date,o,h,l,c,v\n# made by hand\n2024-01-02,1,2,0.5,1.5,10\n2024-01-03,x,2,0.5,1.5,10\n")
    assert "line 4" in refusal(FilesProvider(tmp_path))
