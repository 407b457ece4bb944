"""The forms in which people have files: delimiters, encodings, numbers, dates, headers, frames and names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.providers.base import BarRequest
from chandlery.providers.files.provider import FilesProvider
from tests.file_folders import put, refusal, rows

M1, D1 = Timeframe.M1, Timeframe.D1
START, END = datetime(1960, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)

#: Three days in the plainest form, and what every other form of them must give.
PLAIN = [
    "Date,Open,High,Low,Close,Volume",
    "2024-01-02,100.5,1101.25,99.125,100,6041",
    "2024-01-03,100,1102.5,99,100.75,3286",
    "2024-01-15,100.75,1100.875,98.5,99.5,68180",
]
ROWS = [
    ("2024-01-02", 100.5, 1101.25, 99.125, 100.0, 6041.0),
    ("2024-01-03", 100.0, 1102.5, 99.0, 100.75, 3286.0),
    ("2024-01-15", 100.75, 1100.875, 98.5, 99.5, 68180.0),
]


def text(*, delimiter: str = ",", lines: list[str] = PLAIN, end: str = "\n") -> str:
    return end.join(line.replace(",", delimiter) for line in lines) + end


def german(lines: list[str] = PLAIN) -> str:
    head, *rest = lines
    return "\n".join([head.replace(",", ";"), *(line.replace(",", ";").replace(".", ",") for line in rest)]) + "\n"


FORMS = {
    "semicolons": text(delimiter=";"),
    "tabs": text(delimiter="\t"),
    "pipes": text(delimiter="|"),
    "blanks": text(delimiter="  "),
    "sep= of Excel": "sep=;\n" + text(delimiter=";"),
    "carriage returns only": text(end="\r"),
    "windows": text(end="\r\n"),
    "utf-8 with a mark": text().encode("utf-8-sig"),
    "utf-16 with a mark": text().encode("utf-16"),
    "utf-16, big end first": b"\xfe\xff" + text().encode("utf-16-be"),
    "utf-16 without a mark": text().encode("utf-16-le"),
    "utf-32": text().encode("utf-32"),
    "latin-1 in a comment": ("# Kurse f\u00fcr M\u00fcnchen\n" + text()).encode("latin-1"),
    "decimal comma": german(),
    "decimal comma in tabs": german().replace(";", "\t"),
    "decimal comma in quotes": "\n".join(
        [PLAIN[0], *(",".join(f'"{str(c).replace(".", ",")}"' for c in row) for row in ROWS)]
    ),
    "comma and points between thousands": german().replace("1101,25", "1.101,25").replace("68180", "68.180"),
    "commas between thousands": text().replace("1101.25", '"1,101.25"').replace("68180", '"68,180"'),
    "apostrophes between thousands": text(delimiter=";").replace("1101.25", "1'101.25").replace("68180", "68'180"),
    "suffixes": text().replace("68180", "68.18K").replace("6041", "0.006041M"),
    "dollars": "\n".join([PLAIN[0], *(f"{d},${o},${h},${low},${c},{v}" for d, o, h, low, c, v in ROWS)]),
    "groups of India": text().replace("68180", '"0,68,180"'),
    "spaces around cells": text(delimiter=" , "),
    "comments": "# made by hand\n\n# twice\n" + text().replace("2024-01-03", "# between\n2024-01-03") + "# the end\n",
    "slashes as comments": "// made by hand\n" + text(),
    "a title": "Historical prices of A\n\n" + text(),
    "a footer": text() + '"Downloaded from Barchart.com as of 01-16-2024"\n',
    "comma at the end of rows": "\n".join([PLAIN[0], *(f"{line}," for line in PLAIN[1:])]),
    "comma at the end of all lines": "\n".join(f"{line}," for line in PLAIN),
    "comma at the end of the header": "\n".join([f"{PLAIN[0]},", *PLAIN[1:]]),
    "no name for the index": text().replace("Date,", ","),
    "a header without the index, as R writes it": text().replace("Date,", ""),
    "index of pandas": text().replace("Date", "Unnamed: 0"),
    "a count of rows": "\n".join([f",{PLAIN[0]}", *(f"{n},{line}" for n, line in enumerate(PLAIN[1:]))]),
    "a count with gaps": "\n".join([f",{PLAIN[0]}", *(f"{3 * n + 5},{line}" for n, line in enumerate(PLAIN[1:]))]),
    "a named count of rows": "\n".join([f"index,{PLAIN[0]}", *(f"{n},{line}" for n, line in enumerate(PLAIN[1:]))]),
    "angle brackets": text().replace(PLAIN[0], "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"),
    "quotes": "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN),
    "two header lines of yfinance": "\n".join(
        ["Price,Open,High,Low,Close,Volume", "Ticker,A,A,A,A,A", "Date,,,,,", *PLAIN[1:]]
    ),
    "two header lines of older pandas": "\n".join(
        [",Open,High,Low,Close,Volume", ",A,A,A,A,A", "Date,,,,,", *PLAIN[1:]]
    ),
    "last and price": text().replace("Close", "Close/Last"),
    "investing.com": "\n".join(
        [
            '"Date","Price","Open","High","Low","Vol."',
            *(
                f'"{d[5:7]}/{d[8:]}/{d[:4]}","{c}","{o}","{h:,}","{low}","{v / 1000:.3f}K"'
                for d, o, h, low, c, v in ROWS
            ),
        ]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_files_of_every_form_are_read_as_the_plain_one(tmp_path: Path, form: str) -> None:
    put(tmp_path, FORMS[form])
    assert rows(FilesProvider(tmp_path)) == ROWS


DATES = {
    "compact": "%Y%m%d",
    "slashes, year first": "%Y/%m/%d",
    "points, year first": "%Y.%m.%d",
    "day first": "%d/%m/%Y",
    "month first": "%m/%d/%Y",
    "German": "%d.%m.%Y",
    "dashes": "%d-%m-%Y",
    "English": "%b %d, %Y",
    "English, whole": "%B %d, %Y",
    "British": "%d %b %Y",
    "Oracle": "%d-%b-%y",
    "with midnight": "%Y-%m-%d 00:00:00",
    "with midnight in UTC": "%Y-%m-%dT00:00:00Z",
    "day first with midnight": "%d/%m/%Y 00:00",
    "midnight on a dial": "%m/%d/%Y 12:00 AM",
    "Dukascopy": "%d.%m.%Y 00:00:00.000",
}


@pytest.mark.parametrize("form", DATES)
def test_dates_of_every_form_are_recognised(tmp_path: Path, form: str) -> None:
    lines = [PLAIN[0], *(line.replace(line[:10], f'"{day(line[:10], DATES[form])}"') for line in PLAIN[1:])]
    put(tmp_path, "\n".join(lines))
    assert rows(FilesProvider(tmp_path)) == ROWS


def day(iso: str, form: str) -> str:
    return datetime.fromisoformat(iso).strftime(form)


class TestAmbiguity:
    AMBIGUOUS = "date,o,h,l,c,v\n02/01/2024,1,2,0.5,1.5,10\n03/01/2024,1,2,0.5,1.5,10\n"

    def test_days_and_months_that_cannot_be_told_apart_are_asked_about(self, tmp_path: Path) -> None:
        put(tmp_path, self.AMBIGUOUS)
        seen = refusal(FilesProvider(tmp_path))
        assert '--date-format "%d/%m/%Y" or --date-format "%m/%d/%Y"' in seen
        assert "A.csv, line 2" in seen
        assert rows(FilesProvider(tmp_path, date_format="%d/%m/%Y"))[0][0] == "2024-01-02"
        assert rows(FilesProvider(tmp_path, date_format="%m/%d/%Y"))[0][0] == "2024-02-01"

    def test_one_row_tells_them_apart_for_all(self, tmp_path: Path) -> None:
        put(tmp_path, self.AMBIGUOUS + "15/01/2024,1,2,0.5,1.5,10\n")
        assert [row[0] for row in rows(FilesProvider(tmp_path))] == ["2024-01-02", "2024-01-03", "2024-01-15"]

    def test_rows_that_contradict_each_other_are_named(self, tmp_path: Path) -> None:
        put(tmp_path, self.AMBIGUOUS + "15/01/2024,1,2,0.5,1.5,10\n01/15/2024,1,2,0.5,1.5,10\n")
        assert "line 5: the time 01/15/2024" in refusal(FilesProvider(tmp_path))

    def test_a_short_year_is_asked_about(self, tmp_path: Path) -> None:
        put(tmp_path, self.AMBIGUOUS.replace("2024", "24"))
        assert '--date-format "%d/%m/%y"' in refusal(FilesProvider(tmp_path))
        assert rows(FilesProvider(tmp_path, date_format="%d/%m/%y"))[0][0] == "2024-01-02"

    def test_a_comma_of_thousands_or_of_decimals_is_asked_about(self, tmp_path: Path) -> None:
        put(tmp_path, "date;o;h;l;c;v\n2024-01-02;1,234;1,300;1,200;1,250;10\n")
        assert '--decimal "," or --decimal "."' in refusal(FilesProvider(tmp_path))
        assert rows(FilesProvider(tmp_path, decimal=","))[0][1] == 1.234
        assert rows(FilesProvider(tmp_path, decimal="."))[0][1] == 1234.0

    def test_a_cell_that_contradicts_the_decimal_separator_is_named(self, tmp_path: Path) -> None:
        put(tmp_path, "date;o;h;l;c;v\n2024-01-02;1,5;2,5;0,5;1,5;10\n2024-01-03;1.25;2,5;0,5;1,5;10\n")
        assert "--decimal" in refusal(FilesProvider(tmp_path))


class TestHeaderless:
    ROWS = "1704153600,100.0,100.36,99.88,100.19,4.61,7\n1704153660,100.19,102.35,100.09,101.99,1.735,1\n"

    def test_what_each_column_is_must_be_said(self, tmp_path: Path) -> None:
        put(tmp_path, self.ROWS, timeframe=M1)
        seen = refusal(FilesProvider(tmp_path), timeframe=M1)
        assert "--columns time,open,high,low,close,volume,ignore" in seen
        assert "--mapping: kraken-ohlcvt" in seen
        columns = ("time", "open", "high", "low", "close", "volume", "trades")
        assert rows(FilesProvider(tmp_path, columns=columns), timeframe=M1)[0] == (
            "2024-01-02T00:00", 100.0, 100.36, 99.88, 100.19, 4.61,
        )  # fmt: skip
        assert len(rows(FilesProvider(tmp_path, mapping="kraken-ohlcvt"), timeframe=M1)) == 2

    @pytest.mark.parametrize("names", ["timestamp,o,h,l,c,v,-", "Time,Open,High,Low,Close,Vol,count", "ts,o,h,l,c,v,"])
    def test_columns_may_be_named_in_any_way_that_a_header_may(self, tmp_path: Path, names: str) -> None:
        put(tmp_path, self.ROWS, timeframe=M1)
        assert len(rows(FilesProvider(tmp_path, columns=names.split(",")), timeframe=M1)) == 2

    def test_too_few_columns_are_refused(self, tmp_path: Path) -> None:
        put(tmp_path, self.ROWS, timeframe=M1)
        provider = FilesProvider(tmp_path, columns=("time", "open", "high", "low", "close"))
        assert "7 cells in a row, but --columns names 5" in refusal(provider, timeframe=M1)

    def test_date_and_time_may_have_a_column_each(self, tmp_path: Path) -> None:
        put(tmp_path, "20240102;093000;1;2;0.5;1.5;10\n20240102;93100;1;2;0.5;1.5;10\n", timeframe=M1)
        columns = ("date", "time", "open", "high", "low", "close", "volume")
        found = rows(FilesProvider(tmp_path, columns=columns, tz="America/New_York"), timeframe=M1)
        assert [row[0] for row in found] == ["2024-01-02T14:30", "2024-01-02T14:31"]

    def test_columns_replace_a_header(self, tmp_path: Path) -> None:
        put(tmp_path, text().replace(PLAIN[0], "Datum,Er,Ho,Ti,Sc,St"))
        assert "missing: open, high" in refusal(FilesProvider(tmp_path))
        columns = ("date", "open", "high", "low", "close", "volume")
        assert rows(FilesProvider(tmp_path, columns=columns)) == ROWS


class TestTimes:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("2024.01.02 09:30", "2024.01.02 09:31"),
            ("20240102 093000", "20240102 093100"),
            ("20240102093000", "20240102093100"),
            ("202401020930", "202401020931"),
            ("02.01.2024 09:30:00", "15.01.2024 09:31:00"),
            ("1/2/2024 9:30 AM", "1/15/2024 9:31 am"),
            ("Jan 2, 2024 09:30", "Jan 2, 2024 09:31"),
            ("2024-01-02T14:30:00.000000000Z", "2024-01-02T14:31:00.000000000Z"),
            ("2024-01-02 14:30:00 UTC", "2024-01-02 14:31:00 UTC"),
            ("2024/01/02 09:30 -0500", "2024/01/02 09:31 -0500"),
        ],
    )
    def test_minutes_of_every_form_are_recognised(self, tmp_path: Path, first: str, second: str) -> None:
        put(tmp_path, f'ts,o,h,l,c,v\n"{first}",1,2,0.5,1.5,10\n"{second}",1,2,0.5,1.5,10\n', timeframe=M1)
        found = rows(FilesProvider(tmp_path, tz="America/New_York"), timeframe=M1)
        assert [row[0][-5:] for row in found] == ["14:30", "14:31"]
        assert found[0][0].startswith("2024-01-02")

    @pytest.mark.parametrize(("date", "time"), [("2024.01.02", "09:30"), ("20240102", "0930"), ("20240102", "930")])
    def test_date_and_time_in_two_columns_are_one_time(self, tmp_path: Path, date: str, time: str) -> None:
        put(tmp_path, f"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\n{date}\t{time}\t1\t2\t0.5\t1.5\n", timeframe=M1)
        assert "--tz" in refusal(FilesProvider(tmp_path), timeframe=M1)
        assert rows(FilesProvider(tmp_path, tz="America/New_York"), timeframe=M1)[0][0] == "2024-01-02T14:30"

    @pytest.mark.parametrize(
        ("column", "expected"),
        [
            *(
                (name, "2024-01-16T14:30")
                for name in ("time (UTC)", "Gmt time", "datetime[utc]", "Date_UTC", "Time (GMT)")
            ),
            ("Time (America/New_York)", "2024-01-16T19:30"),
        ],
    )
    def test_a_zone_in_the_name_of_the_column_counts(self, tmp_path: Path, column: str, expected: str) -> None:
        put(tmp_path, f"{column},o,h,l,c,v\n2024-01-16 14:30:00,1,2,0.5,1.5,10\n", timeframe=M1)
        provider = FilesProvider(tmp_path)
        assert rows(provider, timeframe=M1)[0][0] == expected
        assert "as the name of their column says" in provider.notes("A", M1)[0]
        assert rows(FilesProvider(tmp_path, tz="Asia/Tokyo"), timeframe=M1)[0][0] == "2024-01-16T05:30"

    @pytest.mark.parametrize("column", ["Time (EST)", "time_et", "Datetime (GMT+2)", "Local time"])
    def test_a_zone_that_may_be_several_is_asked_about(self, tmp_path: Path, column: str) -> None:
        put(tmp_path, f"{column},o,h,l,c,v\n2024-01-16 14:30:00,1,2,0.5,1.5,10\n", timeframe=M1)
        assert "--tz" in refusal(FilesProvider(tmp_path), timeframe=M1)
        assert rows(FilesProvider(tmp_path, tz="UTC"), timeframe=M1)[0][0] == "2024-01-16T14:30"

    @pytest.mark.parametrize("time", ["2024-01-02 24:00", "2024-01-02T24:00:00", "2024.01.02 24:00"])
    def test_the_end_of_a_day_is_the_midnight_that_follows(self, tmp_path: Path, time: str) -> None:
        put(tmp_path, f"ts,o,h,l,c,v\n{time},1,2,0.5,1.5,10\n", timeframe=M1)
        assert rows(FilesProvider(tmp_path, tz="UTC"), timeframe=M1)[0][0] == "2024-01-03T00:00"
        put(tmp_path, f"ts,o,h,l,c,v\n{time},1,2,0.5,1.5,10\n")
        assert "neither a session date" in refusal(FilesProvider(tmp_path))
        assert rows(FilesProvider(tmp_path, label="end"))[0][0] == "2024-01-02"

    def test_times_of_a_bars_end_are_said(self, tmp_path: Path) -> None:
        put(tmp_path, "ts,o,h,l,c,v\n2024-01-02T14:31:00Z,1,2,0.5,1.5,10\n", timeframe=M1)
        assert rows(FilesProvider(tmp_path, label="end"), timeframe=M1)[0][0] == "2024-01-02T14:30"
        put(tmp_path, "ts,o,h,l,c,v\n2024-01-03,1,2,0.5,1.5,10\n")
        assert rows(FilesProvider(tmp_path, label="end"))[0][0] == "2024-01-02"
        put(tmp_path, "ts,o,h,l,c,v\n2024-01-02T23:59:59.999Z,1,2,0.5,1.5,10\n")
        assert rows(FilesProvider(tmp_path, label="end", calendars={"A": "24/7"}))[0][0] == "2024-01-02"

    @pytest.mark.parametrize(
        ("calendar", "stamp"),
        [
            ("XNYS", "1704205800"),  # its open
            ("XNYS", "1704229200"),  # its close
            ("XNYS", "2024-01-02T05:00:00Z"),  # midnight in New York
            ("XNYS", "1704171600000"),
            ("XTKS", "2024-01-04T00:00:00Z"),
            ("CMES", "2024-01-01T23:30:00Z"),  # in the evening before
            ("24/7", "1704153600"),
        ],
    )
    def test_a_day_stamped_as_an_instant_is_of_the_session_in_which_it_lies(
        self, tmp_path: Path, calendar: str, stamp: str
    ) -> None:
        put(tmp_path, f"time,open,high,low,close,Volume\n{stamp},1,2,0.5,1.5,10\n")
        expected = "2024-01-04" if calendar == "XTKS" else "2024-01-02"
        assert rows(FilesProvider(tmp_path, calendars={"A": calendar}))[0][0] == expected

    def test_an_instant_of_no_session_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "time,o,h,l,c,v\n2024-01-02T14:30:00Z,1,2,0.5,1.5,10\n2024-01-03T01:00:00Z,1,2,0.5,1.5,10\n")
        assert "line 3" in refusal(FilesProvider(tmp_path, calendars={"A": "XNYS"}))
        assert "line 2" in refusal(FilesProvider(tmp_path, calendars={"A": "24/7"}))

    def test_minutes_in_a_folder_of_days_are_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "time,o,h,l,c,v\n2024-01-02T14:30:00Z,1,2,0.5,1.5,10\n2024-01-02T14:31:00Z,1,2,0.5,1.5,10\n")
        assert "bars_1m" in refusal(FilesProvider(tmp_path, calendars={"A": "XNYS"}))


class TestVolume:
    def test_no_volume_is_null_and_said(self, tmp_path: Path) -> None:
        put(tmp_path, "\n".join(line.rpartition(",")[0] for line in PLAIN))
        provider = FilesProvider(tmp_path)
        assert [row[-1] for row in rows(provider)] == [None] * 3
        assert "no column of volume" in " ".join(provider.notes("A", D1))


class TestPacked:
    @pytest.mark.parametrize(
        ("name", "pack"),
        [
            ("A.csv.gz", gzip.compress),
            ("A.txt.GZ", gzip.compress),
            ("A.csv.bz2", bz2.compress),
            ("A.csv.xz", lzma.compress),
            ("A.csv.zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
            ("A.csv", gzip.compress),
            ("A.zip", lambda data: zipped({"anything.csv": data, "report.txt": b"gaps"})),
            ("A.csv.zip", lambda data: zipped({"A.csv": data, "__MACOSX/._A.csv": b"x"})),
            ("A.ZIP", lambda data: zipped({"folder/A.txt": data})),
            ("A.TXT", lambda data: data),
            ("A.CSV", lambda data: data),
            ("A.tsv", lambda data: data),
        ],
    )
    def test_packed_files_are_read(self, tmp_path: Path, name: str, pack) -> None:  # type: ignore[no-untyped-def]
        put(tmp_path, pack(text().encode()), name)
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["A"]
        assert rows(provider) == ROWS

    def test_an_archive_of_several_files_is_refused_with_their_names(self, tmp_path: Path) -> None:
        put(tmp_path, zipped({"A.csv": b"x", "B.csv": b"y"}), "A.zip")
        assert "2 files (A.csv, B.csv)" in refusal(FilesProvider(tmp_path))

    def test_a_damaged_archive_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path, zipped({"A.csv": text().encode() * 50})[:-30], "A.zip")
        assert "A.zip" in refusal(FilesProvider(tmp_path))


def zipped(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


class TestParquet:
    FRAME = pd.DataFrame(
        {name: [row[place] for row in ROWS] for place, name in enumerate(("open", "high", "low", "close", "volume"), 1)}
    )
    DATES = pa.array([row[0] for row in ROWS])

    @pytest.mark.parametrize(
        "kind",
        [
            pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.date32(),
            pa.date64(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")), pa.timestamp("ms", tz="UTC"),
        ],
    )  # fmt: skip
    def test_dates_of_every_type_are_read(self, tmp_path: Path, kind: pa.DataType) -> None:
        dates = self.DATES
        if pa.types.is_dictionary(kind):
            dates = dates.dictionary_encode()
        elif pa.types.is_temporal(kind):
            dates = dates.cast(pa.date32()).cast(kind)
        else:
            dates = dates.cast(kind)
        self._put(tmp_path, pa.Table.from_pandas(self.FRAME, preserve_index=False).add_column(0, "Date", dates))
        assert rows(FilesProvider(tmp_path)) == ROWS

    @pytest.mark.parametrize("name", [None, "Date", "index"])
    def test_an_index_of_pandas_is_the_time(self, tmp_path: Path, name: str | None) -> None:
        frame = self.FRAME.set_index(pd.to_datetime(self.DATES.to_pylist()).rename(name))
        self._put(tmp_path, pa.Table.from_pandas(frame))
        assert rows(FilesProvider(tmp_path)) == ROWS

    def test_an_index_that_only_counts_is_dropped(self, tmp_path: Path) -> None:
        frame = self.FRAME.assign(date=self.DATES.to_pylist()).set_index(pd.Index([5, 7, 9]))
        self._put(tmp_path, pa.Table.from_pandas(frame))
        assert rows(FilesProvider(tmp_path)) == ROWS

    def test_prices_as_text_and_as_decimals_are_read(self, tmp_path: Path) -> None:
        table = pa.Table.from_pandas(self.FRAME, preserve_index=False).add_column(0, "Date", self.DATES)
        table = table.set_column(1, "open", table["open"].cast(pa.string()))
        table = table.set_column(2, "high", table["high"].cast(pa.decimal128(12, 4)))
        self._put(tmp_path, table)
        assert rows(FilesProvider(tmp_path)) == ROWS

    def test_a_frame_with_two_levels_of_columns_is_read(self, tmp_path: Path) -> None:
        frame = self.FRAME.set_index(pd.to_datetime(self.DATES.to_pylist()).rename("Date"))
        frame.columns = pd.MultiIndex.from_product([[name.title() for name in frame.columns], ["A"]])
        self._put(tmp_path, pa.Table.from_pandas(frame))
        assert rows(FilesProvider(tmp_path)) == ROWS

    def _put(self, folder: Path, table: pa.Table) -> None:
        (folder / "bars_1d").mkdir()
        pq.write_table(table, folder / "bars_1d" / "A.parquet")


CASES = Path(__file__).parents[4] / "shared" / "cases"
#: By case: symbol, bars, first bar's start and close, options.
SHARED = {
    "04-folder": ("^GSPC", 61, "2024-01-02", 99.6, {}),
    "04-folder-case": ("AAPL", 61, "2024-01-02", 99.2, {}),
    "04-folder-ext": ("UPX", 61, "2024-01-02", 99.2, {}),
    "04-folder-monthly": ("BTCUSDT", 120, "2024-01-01T00:00", 42381.84, {"pattern": "{symbol}-1m-*.csv"}),
    "04-folder-slash": ("BTC/USD", 40, "2024-01-01", 40013.68, {}),
    "07-parquet": ("KLRG", 61, "2024-01-02", 99.6, {}),
    "08-compact-date": ("CMP", 252, "2024-01-02", 100.35, {}),
    "08-daily-instant": ("TVD", 252, "2024-01-02", 100.35, {"calendars": {"TVD": "XNYS"}}),
    "08-date-and-time": ("EURUSD", 252, "2024-01-02", 100.35, {}),
    "08-headerless": ("XBTUSD", 120, "2024-01-02T00:00", 100.19, {"mapping": "kraken-ohlcvt"}),
    "08-no-volume": ("NOVOL", 252, "2024-01-02", 100.35, {}),
    "08-semicolon": ("SEMI", 61, "2024-01-02", 99.2, {}),
    "08-unnamed-index": ("IDY", 61, "2024-01-02", 99.2, {}),
    "08-utf16": ("UTFS", 61, "2024-01-02", 99.2, {}),
    "08-yfinance-multiindex": ("MIX", 252, "2024-01-02", 100.35, {}),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the checkout")
@pytest.mark.parametrize("case", SHARED)
def test_shared_cases_are_read(case: str) -> None:
    symbol, bars, start, close, options = SHARED[case]
    timeframe = M1 if (CASES / case / "bars_1m").is_dir() else D1
    found = rows(FilesProvider(CASES / case, **options), symbol, timeframe)
    assert (len(found), found[0][0], found[0][4]) == (bars, start, close)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the checkout")
def test_shared_case_without_rows_is_an_error() -> None:
    assert "holds no bars" in refusal(FilesProvider(CASES / "09-header-only"), "HEAD")


class TestOneFile:
    def test_a_file_may_be_named_instead_of_a_folder(self, tmp_path: Path) -> None:
        file = tmp_path / "Download (3).csv"
        file.write_text("\n".join(PLAIN))
        reply = FilesProvider(file).fetch(BarRequest(["AAPL"], D1, START, END))
        assert reply.bars["symbol"].to_pylist() == ["AAPL"] * 3
        assert FilesProvider(file).notes("AAPL", D1) == ["read from Download (3).csv"]

    def test_it_is_of_one_symbol_by_its_name_or_by_what_is_asked(self, tmp_path: Path) -> None:
        file = tmp_path / "aapl.csv"
        file.write_text("\n".join(PLAIN))
        assert FilesProvider(file).symbols(D1) == ["AAPL"]
        reply = FilesProvider(file).fetch(BarRequest(["AAPL", "MSFT"], D1, START, END))
        assert "is a file of one symbol, and AAPL has it" in str(reply.failures["MSFT"])

    def test_a_file_of_several_symbols_is_divided(self, tmp_path: Path) -> None:
        file = tmp_path / "all.csv"
        file.write_text("symbol,date,o,h,l,c,v\nX,2024-01-02,1,2,0.5,1.5,10\nY,2024-01-02,2,3,1.5,2.5,10\n")
        assert FilesProvider(file).symbols(D1) == ["X", "Y"]
        reply = FilesProvider(file).fetch(BarRequest(["Y"], D1, START, END))
        assert reply.bars["close"].to_pylist() == [2.5]
