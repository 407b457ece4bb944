"""Kinds of files that many people have: of exporters, spreadsheets, weeks, and folders with other things in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError
from chandlery.providers.files.provider import FilesProvider
from tests.file_folders import put, refusal, rows

M1, D1 = Timeframe.M1, Timeframe.D1
TWO = [("2024-01-29", 1.5, 2.5, 0.5, 2.0, 10.0), ("2024-01-30", 2.5, 3.5, 1.5, 3.0, 20.0)]
PRICES = ("1.5,2.5,0.5,2", "2.5,3.5,1.5,3")


def lines(header: str, *times: str, before: str = "", between: str = "") -> str:
    volumes = ("10", "20")
    body = zip(times, PRICES, volumes, strict=True)
    return before + header + "\n" + "".join(f"{time},{between}{price},{volume}\n" for time, price, volume in body)


@pytest.mark.parametrize(
    ("header", "volumes"),
    [
        ("Volume BTC,Volume USDT", ("10,99", "20,98")),
        ("Volume USD,Volume BTC", ("99,10", "98,20")),
        ("Volume ETH,Volume BTC", ("10,99", "20,98")),
        ("Volume (BTC),Volume (EUR)", ("10,99", "20,98")),
    ],
)
def test_of_two_volumes_the_base_currencys_is_the_volume(tmp_path: Path, header: str, volumes: tuple[str, str]) -> None:
    rest = zip(
        ("1706572800000", "1706486400000"), ("2024-01-30", "2024-01-29"), PRICES[::-1], volumes[::-1], strict=True
    )
    body = "".join(f"{unix},{day},BTC/USDT,{price},{volume},7\n" for unix, day, price, volume in rest)
    text = f"https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,{header},tradecount\n{body}"
    put(tmp_path, text, "BTC-USDT.csv")
    assert rows(FilesProvider(tmp_path), "BTC/USDT") == TWO


def test_one_volume_of_a_currency_is_asked_about(tmp_path: Path) -> None:
    put(tmp_path, lines("Date,Open,High,Low,Close,Volume USDT", "2024-01-29", "2024-01-30"))
    assert '--ignore-column "Volume USDT"' in refusal(FilesProvider(tmp_path))


@pytest.mark.parametrize(
    ("times", "timeframe", "options", "starts"),
    [
        (("45320", "45321"), D1, {}, ["2024-01-29", "2024-01-30"]),
        (("45320.0", "45321.0"), D1, {}, ["2024-01-29", "2024-01-30"]),
        (("45320.604166666664", "45320.604861111111"), M1, {"tz": "UTC"}, ["2024-01-29T14:30", "2024-01-29T14:31"]),
        (("45320.395833333336", "45320.396527777775"), M1, {"tz": "America/New_York"},
         ["2024-01-29T14:30", "2024-01-29T14:31"]),
    ],
)  # fmt: skip
def test_days_of_excel_are_read_where_a_word_says_so_and_else_the_error_says_how(
    tmp_path: Path, times: tuple[str, str], timeframe: Timeframe, options: dict[str, Any], starts: list[str]
) -> None:
    put(tmp_path, lines("Date,Open,High,Low,Close,Volume", *times), timeframe=timeframe)
    found = rows(FilesProvider(tmp_path, epoch_unit="excel", **options), timeframe=timeframe)
    assert [row[0] for row in found] == starts
    assert "--epoch-unit excel for the days of Excel" in refusal(
        FilesProvider(tmp_path, **options), timeframe=timeframe
    )


def test_minutes_of_excel_have_no_zone_and_no_epoch_is_taken_for_days(tmp_path: Path) -> None:
    put(tmp_path, lines("Date,Open,High,Low,Close,Volume", "45320.604166666664", "45320.604861111111"), timeframe=M1)
    assert "has no zone; say which with --tz" in refusal(FilesProvider(tmp_path, epoch_unit="excel"), timeframe=M1)
    put(tmp_path, lines("Date,Open,High,Low,Close,Volume", "1706486400", "1706572800"))
    assert rows(FilesProvider(tmp_path)) == TWO
    assert "no day that Excel counts" in refusal(FilesProvider(tmp_path, epoch_unit="excel"))


@pytest.mark.parametrize("times", [("2024-W05-1", "2024-W05-2"), ("2024W051", "2024W052")])
def test_days_of_iso_weeks_are_days(tmp_path: Path, times: tuple[str, str]) -> None:
    put(tmp_path, lines("Date,Open,High,Low,Close,Volume", *times))
    assert rows(FilesProvider(tmp_path)) == TWO


def test_whole_weeks_are_named_as_such(tmp_path: Path) -> None:
    put(tmp_path, lines("Week,Open,High,Low,Close,Volume", "2024-W05", "2024-W06").replace("Week", "Date"))
    assert "'2024-W05' is a week; only 1m and 1d are ingested" in refusal(FilesProvider(tmp_path))


def test_a_workbook_beside_readable_files_is_said_once(tmp_path: Path) -> None:
    for name in ("A.csv", "B.csv", "prices.xlsx"):
        put(tmp_path, lines("Date,Open,High,Low,Close,Volume", "2024-01-29", "2024-01-30"), name)
    provider = FilesProvider(tmp_path)
    said = "prices.xlsx lies beside it, is of a kind that is not read; save it as .csv or .parquet"
    assert [said in provider.notes(symbol, D1) for symbol in ("A", "B", "A")] == [True, False, True]


def test_a_folder_of_other_widths_alone_says_so(tmp_path: Path) -> None:
    for name in ("XBTUSD_60.csv", "XBTUSD_240.csv"):
        put(tmp_path, "1706486400,1,2,0.5,1,5,9\n", name, M1)
    provider = FilesProvider(tmp_path, mapping="kraken-ohlcvt")
    said = "XBTUSD_240.csv, XBTUSD_60.csv are of other widths than 1m: only 1m and 1d are ingested"
    assert said in refusal(provider, "XBTUSD", M1)
    with pytest.raises(ConfigurationError, match=said):
        provider.symbols(M1)
