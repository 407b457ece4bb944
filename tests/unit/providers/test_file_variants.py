"""One pair of bars, written in the many ways in which exporters, spreadsheets and libraries write it."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.providers.files.provider import FilesProvider
from tests.file_folders import put, refusal, rows

M1, D1 = Timeframe.M1, Timeframe.D1
VALUES = (("1234.5", "2234.5", "1034.5", "2000.25", "1000"), ("2234.5", "3234.5", "1534.5", "3000.25", "2000"))
FIELDS = ("open", "high", "low", "close", "volume")
NUMBERS = {name: [float(row[place]) for row in VALUES] for place, name in enumerate(FIELDS)}
DAYS = ("2024-01-30", "2024-01-31")
OF_DAYS = [(day, *map(float, row)) for day, row in zip(DAYS, VALUES, strict=True)]
OF_MINUTES = [(f"2024-01-30T14:3{n}", *map(float, row)) for n, row in enumerate(VALUES)]
HEADER = "Date,Open,High,Low,Close,Volume"
STAMPS = pd.to_datetime(list(DAYS))


@dataclass(frozen=True)
class Case:
    name: str
    content: str | bytes | pa.Table
    expected: Any = None
    file: str = "A.csv"
    options: dict[str, Any] | None = None


def text(
    times: Sequence[str] = DAYS,
    values: Sequence[Sequence[str]] = VALUES,
    header: str = HEADER,
    by: str = ",",
    end: str = "\n",
) -> str:
    body = [by.join([time, *row]) for time, row in zip(times, values, strict=True)]
    return end.join([*([header.replace(",", by)] if header else []), *body]) + end


def each(change: Callable[[str], str]) -> list[list[str]]:
    return [[change(cell) for cell in row] for row in VALUES]


def prices(change: Callable[[str], str]) -> list[list[str]]:
    return [[*map(change, row[:4]), row[4]] for row in VALUES]


def grouped(cell: str, thousands: str, decimal: str) -> str:
    whole, _, rest = f"{float(cell):,.2f}".partition(".")
    return whole.replace(",", thousands) + (f"{decimal}{rest}" if "." in cell else "")


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def frame(index: object = None, **first: object) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({**first, **NUMBERS}, index=index).to_parquet(buffer)
    return buffer.getvalue()


def arrow(times: object, name: str = "date", **others: object) -> pa.Table:
    return pa.table({name: times, **NUMBERS, **others})


READ = [
    Case("tabs", text(by="\t"), file="A.tsv"),
    Case("pipes, capitals", text(by="|"), file="A.TXT"),
    Case("tildes, said", text(by="~"), options={"delimiter": "~"}),
    Case("decimal comma", text(by=";", values=each(lambda cell: cell.replace(".", ",")))),
    Case("German thousands", text(by=";", values=each(lambda cell: grouped(cell, ".", ",")))),
    Case("Swiss thousands", text(by=";", values=each(lambda cell: grouped(cell, "'", ".")))),
    Case("French thousands", text(by=";", values=each(lambda cell: grouped(cell, "\u202f", ",")))),
    Case("thousands in quotes", text(values=each(lambda cell: f'"{grouped(cell, ",", ".")}"'))),
    Case("suffixes", text(values=[[*row[:4], f"{float(row[4]) / 1000:g}K"] for row in VALUES])),
    Case("dollars", text(values=prices(lambda cell: f"${cell}"))),
    Case("euros", text(by=";", values=prices(lambda cell: cell.replace(".", ",") + " €"))),
    Case("exponents of prices", text(values=each(lambda cell: f"{float(cell):.6e}"))),
    Case("mark of UTF-8", "\ufeff" + text()),
    Case("UTF-16 without a mark", text().encode("utf-16-le")),
    Case("UTF-16 of the other end", b"\xfe\xff" + text().encode("utf-16-be")),
    Case("Latin 1", text(header="Datum,Eröffnung,Hoch,Tief,Schluss,Stück").encode("latin-1")),
    Case("carriage returns", text(end="\r")),
    Case("blank lines at the end", text() + "\n  \n\t\n"),
    Case("rows of delimiters at the end", text() + ",,,,,\r\n,,,,,\n"),
    Case("rows of quoted nothing at the end", text(by=";") + '"";"";"";"";"";""\n'),
    Case("Ctrl-Z at the end", text(end="\r\n") + "\x1a"),
    Case("Ctrl-Z on a line of its own", text() + "\x1a\n"),
    Case("Ctrl-Z to fill a block", text().rstrip() + "\x1a" * 90),
    Case("Ctrl-Z in UTF-16", (text(end="\r\n") + "\x1a").encode("utf-16")),
    Case("Ctrl-Z after empty cells", text(by="\t", header=HEADER + ",Note", values=[[*r, ""] for r in VALUES]) + "\x1a",
         options={"ignore_columns": ("Note",)}),
    Case("sums at the end", text() + "Total,,,,,3000\n"),
    Case("prose at the end", text() + "© 2024 Vendor\n"),
    Case("facts above", "Symbol: AAPL\nExported: 2024-02-01\n" + text()),
    Case("yyyymmdd as floats", text(["20240130.0", "20240131.0"])),
    Case("points in dates", text(["2024.01.30", "2024.01.31"])),
    Case("months in words", text(["30 January 2024", "31 January 2024"])),
    Case("gzip in capitals", gzip.compress(text().encode()), file="A.CSV.GZ"),
    Case("gzip without saying so", gzip.compress(text().encode())),
    Case("an archive", archive(foo__csv=text()), file="A.ZIP"),
    Case("an archive with a licence", archive(foo__txt=text(), README__md="by us"), file="A.zip"),
    Case("no header, said", text(header=""), options={"columns": ("time", *FIELDS)}),
    Case("Parquet, a named index", frame(pd.Index(STAMPS, name="Date")), file="A.parquet"),
    Case("Parquet, an index without a name", frame(STAMPS), file="A.pq"),
    Case("Parquet, an index of text", frame(list(DAYS)), file="A.PARQUET"),
    Case("Parquet, an index that counts", frame([5, 7], date=STAMPS), file="A.parquet"),
    Case("Parquet, a zone", frame(ts=STAMPS.tz_localize("America/New_York")), file="A.parquet"),
    Case("Parquet, dates as objects", frame(date=[date(2024, 1, 30), date(2024, 1, 31)]), file="A.parquet"),
    Case("Parquet, categories", frame(date=pd.Categorical(list(DAYS))), file="A.parquet"),
    Case("Parquet, bytes", arrow(pa.array([day.encode() for day in DAYS])), file="A.parquet"),
    Case("Parquet, floats of yyyymmdd", arrow([20240130.0, 20240131.0]), file="A.parquet"),
    Case(
        "Parquet, decimals",
        pa.table({"date": list(DAYS)} | {n: [Decimal(str(v)) for v in c] for n, c in NUMBERS.items()}),
        file="A.parquet",
    ),
    *(
        Case(f"{what} in {unit}", content, OF_MINUTES, file)
        for unit, many in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
        for whole in [[1706625000 * many, 1706625060 * many]]
        for what, content, file in (
            ("whole numbers", text(list(map(str, whole))), "A.csv"),
            ("decimal numbers", text([f"{number}.0" for number in whole]), "A.csv"),
            ("numbers in quotes", text([f'"{number}"' for number in whole]), "A.csv"),
            ("floats of Parquet", arrow(list(map(float, whole)), "time"), "A.parquet"),
            ("decimals of Parquet", arrow(list(map(Decimal, whole)), "time"), "A.parquet"),
        )
    ),
    *(
        Case(f"a time like {first}", text([first, first.replace(":30", ":31")]), OF_MINUTES, "A.csv", options)
        for first, options in (
            ("2024-01-30T14:30Z", {}),
            ("2024-01-30T09:30:00-05:00", {}),
            ("2024-01-30T09:30:00-05:00[America/New_York]", {}),
            ("2024-01-30 09:30 [America/New_York]", {}),
            ("2024-01-30 14:30 [UTC]", {}),
            ("1/30/2024 9:30 AM", {"tz": "America/New_York"}),
            ("20240130  14:30:00", {"tz": "UTC"}),
            ("20240130  09:30:00 US/Eastern", {}),
            ("30/01/24 14:30", {"tz": "UTC"}),
        )
    ),
]  # fmt: skip
REFUSED = [
    Case("a delimiter that nobody knows", text(by="~"), "no line is divided into cells"),
    Case("an exponent of a time", text(["1.70663E+12", "1.70663E+12"]), "has an exponent, so that digits may be lost"),
    Case("two volumes", text(header=HEADER + ",Volume", values=[[*row, row[4]] for row in VALUES]), "--ignore-column"),
    Case("no header", text(header=""), "--columns time,open,high,low,close,volume"),
    Case("Parquet by another name", frame(STAMPS), "this is a Parquet file; call it .parquet"),
    Case("true and false", pa.table({**NUMBERS, "date": list(DAYS), "open": [True, False]}), "true and false", "A.pq"),
    Case("a short row", text() + "2024-02-01,1,2\n", "line 4: 3 cells where the header has 6"),
    Case("a row of nothing between others", text() + ",,,,,\n" + text(header=""), "line 4: the time is blank"),
    Case("a word", text() + "2024-02-01,abc,2,1,2,5\n", "line 4: open 'abc' is not a number"),
    Case("nothing but a header", HEADER + "\n", "the file holds no bars"),
    Case("nothing", "\n\n", "the file is empty"),
    Case("two tables in an archive", archive(a__csv=text(), b__csv=text()), "unpack it, one file per symbol", "A.zip"),
]  # fmt: skip


def _put(folder: Path, case: Case, timeframe: Timeframe) -> None:
    content = case.content
    if isinstance(content, pa.Table):
        buffer = io.BytesIO()
        pq.write_table(content, buffer)
        content = buffer.getvalue()
    put(folder, content, case.file, timeframe)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_it_is_read(tmp_path: Path, case: Case) -> None:
    expected = case.expected or OF_DAYS
    timeframe = M1 if expected is OF_MINUTES else D1
    _put(tmp_path, case, timeframe)
    assert rows(FilesProvider(tmp_path, **(case.options or {})), timeframe=timeframe) == expected


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_it_is_refused_with_what_to_do(tmp_path: Path, case: Case) -> None:
    _put(tmp_path, case, D1)
    assert case.expected in refusal(FilesProvider(tmp_path, **(case.options or {})))


class TestShortYears:
    """Two digits of a year are told from days and months as four are, by all rows together."""

    def january(self, form: str, year: int) -> list[str]:
        return [date(year, 1, day).strftime(form) for day in range(2, 32)]

    def read(self, folder: Path, times: Sequence[str]) -> list[object]:
        put(folder, text(times, [VALUES[0]] * len(times)))
        return [row[0] for row in rows(FilesProvider(folder))]

    @pytest.mark.parametrize("year", [1999, 2005, 2024, 2031])
    @pytest.mark.parametrize(
        "form", ["%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d"]
    )
    def test_days_of_a_month_tell_them_apart(self, tmp_path: Path, form: str, year: int) -> None:
        assert self.read(tmp_path, self.january(form, year=year)) == self.january("%Y-%m-%d", year=year)

    @pytest.mark.parametrize("form", ["%d/%m/%y", "%m/%d/%y", "%y/%m/%d"])
    def test_days_of_thirty_years_tell_them_apart(self, tmp_path: Path, form: str) -> None:
        days = pd.date_range("1996-01-02", "2025-12-30", freq="B")
        assert self.read(tmp_path, list(days.strftime(form))) == list(days.strftime("%Y-%m-%d"))

    @pytest.mark.parametrize("form", ["{0}/{1}/24", "{1}.{0}.24", "{0}-{1}-24"])
    def test_what_no_row_tells_apart_is_asked_about(self, tmp_path: Path, form: str) -> None:
        put(tmp_path, text([form.format(day, "03") for day in ("04", "05")]))
        seen = refusal(FilesProvider(tmp_path))
        assert "nor does any other row" in seen
        assert f'--date-format "%d{form[3]}%m{form[3]}%y"' in seen

    @pytest.mark.parametrize("days", [["10/01/10"], ["10/01/10", "10/01/11"], ["01/02/24", "01/03/24"]])
    def test_a_year_that_may_stand_first_or_last_is_recognised_or_asked_about(
        self, tmp_path: Path, days: list[str]
    ) -> None:
        put(tmp_path, text(days, VALUES[: len(days)]))
        if days[-1] == "10/01/11":
            assert [row[0] for row in rows(FilesProvider(tmp_path))] == ["2010-01-10", "2010-01-11"]
            return
        seen = refusal(FilesProvider(tmp_path))
        assert "does not tell its day and its month from its year" in seen
        assert '--date-format "%y/%m/%d"' in seen

    def test_rows_that_contradict_each_other_are_named(self, tmp_path: Path) -> None:
        put(tmp_path, text(["15/01/24", "01/15/24"]))
        assert "line 3: the time 01/15/24" in refusal(FilesProvider(tmp_path))


class TestFileForEachField:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_they_are_bars_of_each_symbol_that_all_have(self, tmp_path: Path, suffix: str) -> None:
        for name, column in NUMBERS.items():
            wide = pd.DataFrame({"AAPL": column, "MSFT": np.array(column) + 1}, index=pd.Index(STAMPS, name="Date"))
            wide = wide[::-1] if name == "low" else wide
            buffer = io.BytesIO()
            (wide.to_csv if suffix == ".csv" else wide.to_parquet)(buffer)
            put(tmp_path, buffer.getvalue(), name.capitalize() + suffix)
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["AAPL", "MSFT"]
        assert rows(provider, "AAPL") == OF_DAYS
        assert rows(provider, "MSFT") == [(row[0], *(value + 1 for value in row[1:])) for row in OF_DAYS]

    def test_days_that_a_field_lacks_are_rows_without_it(self, tmp_path: Path) -> None:
        for name in FIELDS[:4]:
            body = "".join(f"{day},{value}\n" for day, value in zip(DAYS, NUMBERS[name], strict=True))
            put(tmp_path, f"Date,AAPL\n{body if name != 'high' else body.splitlines()[0]}", f"{name.upper()}.csv")
        found = rows(FilesProvider(tmp_path), "AAPL")
        assert found[0] == (*OF_DAYS[0][:5], None)
        assert found[1] == (DAYS[1], OF_DAYS[1][1], None, *OF_DAYS[1][3:5], None)

    def test_a_symbol_called_like_a_field_is_one_where_the_others_are_not_there(self, tmp_path: Path) -> None:
        for name in ("LOW.csv", "OPEN.csv"):
            put(tmp_path, text(), name)
        assert FilesProvider(tmp_path).symbols(D1) == ["LOW", "OPEN"]
        assert rows(FilesProvider(tmp_path), "LOW") == OF_DAYS
