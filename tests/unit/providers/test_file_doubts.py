"""Files that can be read in two ways, and files that look like others: what must be asked, and what must not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError
from chandlery.providers.base import BarRequest
from chandlery.providers.files.provider import FilesProvider

M1, D1 = Timeframe.M1, Timeframe.D1
START, END = datetime(1960, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)


def put(folder: Path, content: str | bytes, name: str = "A.csv", timeframe: Timeframe = D1) -> None:
    target = folder / timeframe.table
    target.mkdir(exist_ok=True)
    (target / name).write_bytes(content.encode() if isinstance(content, str) else content)


def rows(provider: FilesProvider, symbol: str = "A", timeframe: Timeframe = D1) -> list[tuple[object, ...]]:
    reply = provider.fetch(BarRequest([symbol], timeframe, START, END))
    for error in reply.failures.values():
        raise error
    shown = "%Y-%m-%d" if timeframe is D1 else "%Y-%m-%dT%H:%M"
    return [
        (row["ts"].strftime(shown), *(row[name] for name in ("open", "high", "low", "close", "volume")))
        for row in reply.bars.to_pylist()
    ]


def refusal(provider: FilesProvider, symbol: str = "A", timeframe: Timeframe = D1) -> str:
    with pytest.raises(ProviderError) as caught:
        rows(provider, symbol, timeframe)
    return str(caught.value)


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
