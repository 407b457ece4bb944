"""Layouts of common exporters: files as these write them, read by the layout's name; and mapping files of a person."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError, ProviderError, UsageError
from chandlery.providers.base import BarRequest
from chandlery.providers.files.folder import Folder
from chandlery.providers.files.options import FilesOptions, layout_of
from chandlery.providers.files.presets import PRESETS
from chandlery.providers.files.provider import FilesProvider

M1, D1 = Timeframe.M1, Timeframe.D1
START, END = datetime(1960, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
# ruff: noqa: E501, ISC004 - lines of files are as long as they are

BAR = (1.5, 2.5, 0.5, 2.0, 10.0)


def put(folder: Path, name: str, content: str | bytes, timeframe: Timeframe = M1) -> None:
    target = folder / timeframe.table
    target.mkdir(exist_ok=True)
    (target / name).write_bytes(content.encode() if isinstance(content, str) else content)


def rows(provider: FilesProvider, symbol: str, timeframe: Timeframe = M1) -> list[tuple[object, ...]]:
    reply = provider.fetch(BarRequest([symbol], timeframe, START, END))
    for error in reply.failures.values():
        raise error
    names = ("open", "high", "low", "close", "volume")
    return [(f"{row['ts']:%Y-%m-%d %H:%M}", *(row[name] for name in names)) for row in reply.bars.to_pylist()]


def archive(name: str, text: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        packed.writestr(name, text)
    return sink.getvalue()


BINANCE = "1.5,2.5,0.5,2.0,10.0,{close},2240.4,13,401.8,1669.9,0\n"
#: By preset: file's name, content, timeframe, symbol, first bar's start, options.
FILES = {
    "binance-klines": (
        "BTCUSDT-1m-2024-01.zip",
        archive("BTCUSDT-1m-2024-01.csv", "1704067200000," + BINANCE.format(close=1704067259999)),
        M1, "BTCUSDT", "2024-01-01 00:00",
    ),
    "binance-klines in microseconds": (
        "BTCUSDT-1m-2025-01-01.csv",
        "1735689600000000," + BINANCE.format(close=1735689659999999),
        M1, "BTCUSDT", "2025-01-01 00:00",
    ),
    "binance-klines of futures": (
        "BTCUSDT-1m-2024-01.csv",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
        "1704067200000," + BINANCE.format(close=1704067259999),
        M1, "BTCUSDT", "2024-01-01 00:00",
    ),
    "kraken-ohlcvt": ("XBTUSD_1.csv", "1704153600,1.5,2.5,0.5,2.0,10.0,7\n", M1, "XBTUSD", "2024-01-02 00:00"),
    "kraken-ohlcvt of days": ("XBTUSD_1440.csv", "1704153600,1.5,2.5,0.5,2,10,7\n", D1, "XBTUSD", "2024-01-02 00:00"),
    "yahoo": (
        "AAPL.csv", "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1.5,2.5,0.5,2.0,1.9,10\n",
        D1, "AAPL", "2024-01-02 00:00",
    ),
    "yfinance": (
        "AAPL.csv",
        "Datetime,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"
        "2024-01-02 09:30:00-05:00,1.5,2.5,0.5,2.0,1.9,10,0.0,0.0\n",
        M1, "AAPL", "2024-01-02 14:30",
    ),
    "tiingo": (
        "AAPL.csv",
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n"
        "2024-01-02T00:00:00.000Z,2.0,2.5,0.5,1.5,10,1,1,1,1,20,0.0,1.0\n",
        D1, "AAPL", "2024-01-02 00:00",
    ),
    "stooq": ("aapl_us_d.csv", "Date,Open,High,Low,Close,Volume\n2024-01-02,1.5,2.5,0.5,2,10\n", D1, "AAPL", "2024-01-02 00:00"),
    "stooq's archive": (
        "aapl.us.txt",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\nAAPL.US,D,20240102,000000,1.5,2.5,0.5,2,10,0\n",
        D1, "AAPL", "2024-01-02 00:00",
    ),
    "histdata": (
        "DAT_ASCII_EURUSD_M1_202407.csv", "20240701 000000;1.5;2.5;0.5;2.0;10\n", M1, "EURUSD", "2024-07-01 05:00",
    ),
    "histdata for MetaTrader": (
        "DAT_MT_EURUSD_M1_2024.csv", "2024.07.01,00:00,1.5,2.5,0.5,2.0,10\n", M1, "EURUSD", "2024-07-01 05:00",
    ),
    "metatrader 5": (
        "EURUSD_M1_202401020000_202401312359.csv",
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.02\t09:30:00\t1.5\t2.5\t0.5\t2.0\t10\t0\t3\n",
        M1, "EURUSD", "2024-01-02 07:30",
    ),
    "metatrader 5 of days": (
        "EURUSD_Daily_202401020000_202401310000.csv",
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n2024.01.02\t1.5\t2.5\t0.5\t2.0\t10\t0\t3\n",
        D1, "EURUSD", "2024-01-02 00:00",
    ),
    "metatrader 4": ("EURUSD.csv", "2024.01.02,09:30,1.5,2.5,0.5,2.0,10\n", M1, "EURUSD", "2024-01-02 07:30"),
    "tradingview": (
        "BATS_AAPL, 1D.csv", "time,open,high,low,close,Volume,MA,RSI\n1704205800,1.5,2.5,0.5,2,10,1.1,55\n",
        D1, "AAPL", "2024-01-02 00:00",
    ),
    "tradingview in ISO 8601": (
        "BINANCE_BTCUSDT, 1_0a1b2.csv", "time,open,high,low,close,Volume\n2024-01-02T09:30:00-05:00,1.5,2.5,0.5,2,10\n",
        M1, "BTCUSDT", "2024-01-02 14:30",
    ),
    "databento": (
        "glbx-mdp3-20240102.ohlcv-1m.csv",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
        "1704205800000000000,33,1,5482,1500000000,2500000000,500000000,2000000000,10,ESH4\n"
        "1704205800000000000,33,1,5483,1600000000,2500000000,500000000,2000000000,10,ESM4\n",
        M1, "ESH4", "2024-01-02 14:30",
    ),
    "databento, prices in full": (
        "glbx-mdp3-20240102.ohlcv-1m.csv",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
        "2024-01-02T14:30:00.000000000Z,33,1,5482,1.500000000,2.500000000,0.500000000,2.000000000,10,ESH4\n",
        M1, "ESH4", "2024-01-02 14:30",
    ),
    "polygon-flatfile": (
        "2024-01-02.csv",
        "ticker,volume,open,close,high,low,window_start,transactions\n"
        "AAPL,10,1.5,2.0,2.5,0.5,1704205800000000000,3\nMSFT,10,1.5,2.0,2.5,0.5,1704205800000000000,3\n",
        M1, "AAPL", "2024-01-02 14:30",
    ),
    "polygon-flatfile of days": (
        "2024-01-02.csv",
        "ticker,volume,open,close,high,low,window_start,transactions\nAAPL,10,1.5,2.0,2.5,0.5,1704171600000000000,3\n",
        D1, "AAPL", "2024-01-02 00:00",
    ),
    "alpaca": (
        "bars.csv",
        "symbol,timestamp,open,high,low,close,volume,trade_count,vwap\nAAPL,2024-01-02 05:00:00+00:00,1.5,2.5,0.5,2,10,7.0,1.2\n",
        D1, "AAPL", "2024-01-02 00:00",
    ),
    "alpaca of one symbol": (
        "AAPL.csv",
        "timestamp,open,high,low,close,volume,trade_count,vwap\n2024-01-02 14:30:00+00:00,1.5,2.5,0.5,2,10,7.0,1.2\n",
        M1, "AAPL", "2024-01-02 14:30",
    ),
    "firstrate": (
        "AAPL_full_1min_adjsplitdiv.txt", "2024-01-02 09:30:00,1.5,2.5,0.5,2.0,10\n", M1, "AAPL", "2024-01-02 14:30",
    ),
    "firstrate of days": ("AAPL_full_1day_UNADJUSTED.txt", "2024-01-02,1.5,2.5,0.5,2.0,10\n", D1, "AAPL", "2024-01-02 00:00"),
    "kaggle-btc": (
        "btcusd_1-min_data.csv",
        "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price\n"
        "1325317920,1.5,2.5,0.5,2,10,20,1.7\n1325317980,NaN,NaN,NaN,NaN,NaN,NaN,NaN\n",
        M1, "BTCUSD", "2011-12-31 07:52",
    ),
    "kaggle-btc with decimal times": (
        "btcusd_1-min_data.csv", "Timestamp,Open,High,Low,Close,Volume\n1325412060.0,1.5,2.5,0.5,2,10\n",
        M1, "BTCUSD", "2012-01-01 10:01",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_of_common_exporters_are_read_by_the_name_of_their_layout(tmp_path: Path, case: str) -> None:
    name, content, timeframe, symbol, start = FILES[case]
    put(tmp_path, name, content, timeframe)
    preset = case.split(maxsplit=1)[0].split("'", maxsplit=1)[0].rstrip(",")
    zone = {"tz": "Europe/Athens"} if preset == "metatrader" else {}
    provider = FilesProvider(tmp_path, mapping=preset, calendars={symbol: "XNYS"} if timeframe is D1 else None, **zone)
    assert symbol in provider.symbols(timeframe)
    assert rows(provider, symbol, timeframe) == [(start, *BAR)]


def test_every_preset_has_a_test() -> None:
    assert {case.split()[0].split("'")[0].rstrip(",") for case in FILES} == set(PRESETS)


@pytest.mark.parametrize(
    "case", ["binance-klines of futures", "databento", "yahoo", "yfinance", "stooq's archive", "tiingo"]
)
def test_a_file_of_a_known_exporter_is_recognised_in_the_error(tmp_path: Path, case: str) -> None:
    _, content, timeframe, _, _ = FILES[case]
    put(tmp_path, "A.csv", content, timeframe)
    with pytest.raises(ProviderError, match=f"--mapping {case.split(maxsplit=1)[0].split(chr(39), maxsplit=1)[0]}"):
        rows(FilesProvider(tmp_path), "A", timeframe)


class TestMappingFiles:
    TEXT = """\
columns:
  Datum: date
  Uhrzeit: time
  Er: open
  Ho: high
  Ti: low
  Sc: close
  St: volume
  Kommentar: ignore
tz: Europe/Berlin
date_format: "%d.%m.%Y"
decimal: ","
label: end
pattern: "Kurs_{symbol}_*.txt"
"""

    def test_a_mapping_file_says_everything(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(self.TEXT)
        text = "Datum;Uhrzeit;Er;Ho;Ti;Sc;St;Kommentar\n02.01.2024;09:31;1,5;2,5;0,5;2,0;10;ä\n".encode("latin-1")
        put(tmp_path, "Kurs_SAP_2024.txt", text)
        put(tmp_path, "Liesmich.txt", "nichts")
        provider = FilesProvider(tmp_path, mapping=str(tmp_path / "mine.yaml"))
        assert provider.symbols(M1) == ["SAP"]
        assert rows(provider, "SAP") == [("2024-01-02 08:30", *BAR)]

    def test_what_is_said_beside_it_counts_more(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("tz: Europe/Berlin\nignore_columns: [x]\n")
        put(tmp_path, "A.csv", "ts,o,h,l,c,v,x,y\n2024-01-02 09:30,1.5,2.5,0.5,2,10,0,0\n")
        provider = FilesProvider(tmp_path, mapping=str(tmp_path / "mine.yaml"), tz="UTC", ignore_columns=["y"])
        assert rows(provider, "A")[0][0] == "2024-01-02 09:30"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "columns: {Er: opne}",
                "mine.yaml:1: columns: 'opne' is not a meaning of a column; allowed: one of ts open",
            ),
            ("tz: UTC\ntimezone: UTC", "mine.yaml:2: timezone: is not a setting here; allowed: columns, "),
            ("tz: Mars/X", "mine.yaml:1: tz: 'Mars/X' is not an IANA time zone"),
            ("label: middle", "mine.yaml:1: label: 'middle' is not known; allowed: start, end"),
            ('date_format: "%q"', "mine.yaml:1: date_format: %q in '%q' is not known; allowed: %Y"),
            ("pattern: '{ticker}.csv'", "mine.yaml:1: pattern: '{ticker}.csv' is not a pattern"),
            ("encoding: klingon", "mine.yaml:1: encoding: 'klingon' is not an encoding"),
            ("price_scale: 0", "mine.yaml:1: price_scale: 0 is refused"),
        ],
    )
    def test_a_mistake_is_named_with_file_line_and_key(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "mine.yaml").write_text(text + "\n")
        with pytest.raises(ConfigurationError) as caught:
            FilesProvider(tmp_path, mapping=str(tmp_path / "mine.yaml"))
        assert said in str(caught.value)

    def test_an_unknown_name_is_answered_with_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"'kraken' is neither a file nor .* did you mean 'kraken-ohlcvt'\?"):
            FilesProvider(tmp_path, mapping="kraken")
        with pytest.raises(UsageError, match="there is no such file"):
            FilesProvider(tmp_path, mapping="nowhere.yaml")


class TestDocuments:
    PAGE = Path(__file__).parents[3] / "docs" / "files.md"

    def test_the_page_names_every_layout(self) -> None:
        table = self.PAGE.read_text().partition("| layout |")[2].partition("\n\n")[0]
        assert set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", table)) >= set(PRESETS)

    def test_the_mapping_file_of_the_page_works(self, tmp_path: Path) -> None:
        text = next(
            block for block in re.findall(r"```yaml\n(.*?)```", self.PAGE.read_text(), re.DOTALL) if "label" in block
        )
        (tmp_path / "mine.yaml").write_text(text)
        names = "Datum;Uhrzeit;Eröffnung;Hoch;Tief;Schluss;Stück;Notiz"
        put(tmp_path, "Kurse_SAP_2024.txt", f"{names}\n02.01.2024;09:31;1,5;2,5;0,5;2;10;x\n".encode("cp1252"))
        provider = FilesProvider(tmp_path, mapping=str(tmp_path / "mine.yaml"))
        assert rows(provider, "SAP") == [("2024-01-02 08:30", *BAR)]


class TestSeveralSymbols:
    def test_rows_of_several_symbols_are_told_apart(self, tmp_path: Path) -> None:
        text = "date,symbol,open,high,low,close,volume\n" + "".join(
            f"2024-01-0{day},{symbol},{day},9,0.5,2,10\n" for day in (2, 3) for symbol in ("AAA", "BRK.B")
        )
        put(tmp_path, "all.csv", text, D1)
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["AAA", "BRK.B"]
        assert [row[1] for row in rows(provider, "BRK-B", D1)] == [2.0, 3.0]
        assert provider.span("AAA", D1)[0] == datetime(2024, 1, 2, tzinfo=UTC)

    def test_a_file_that_names_another_symbol_is_asked_about(self, tmp_path: Path) -> None:
        text = "date,ticker,open,high,low,close,volume\n2024-01-02,AAPL,1,2,0.5,1.5,10\n"
        put(tmp_path, "prices.csv", text, D1)
        with pytest.raises(ProviderError, match=r'its rows are of AAPL, not of prices; with --pattern "\*"'):
            rows(FilesProvider(tmp_path), "prices", D1)
        provider = FilesProvider(tmp_path, pattern="*")
        assert provider.symbols(D1) == ["AAPL"]
        assert len(rows(provider, "AAPL", D1)) == 1
        assert len(rows(FilesProvider(tmp_path, ignore_columns=["ticker"]), "prices", D1)) == 1

    @pytest.mark.parametrize("form", ["two header lines", "AAA_open", "open_AAA", "tuples in Parquet"])
    def test_wide_frames_are_read(self, tmp_path: Path, form: str) -> None:
        days = pd.to_datetime(["2024-01-02", "2024-01-03"]).rename("Date")
        pairs = [(name, symbol) for name in ("Open", "High", "Low", "Close", "Volume") for symbol in ("AAA", "BBB")]
        values = {
            "Open": [1.5, 1.6],
            "High": [2.5, 2.5],
            "Low": [0.5, 0.5],
            "Close": [2.0, 2.0],
            "Volume": [10.0, 11.0],
        }
        frame = pd.DataFrame({pair: values[pair[0]] for pair in pairs}, index=days)
        frame.loc[days[1], [pair for pair in pairs if pair[1] == "BBB"]] = float("nan")
        (tmp_path / "bars_1d").mkdir()
        target = tmp_path / "bars_1d" / "all.csv"
        frame.columns = pd.MultiIndex.from_tuples(pairs, names=["Price", "Ticker"])
        if form == "two header lines":
            frame.to_csv(target)
        elif form == "tuples in Parquet":
            pq.write_table(pa.Table.from_pandas(frame), target.with_suffix(".parquet"))
        else:
            order = (lambda f, s: f"{s}_{f.lower()}") if form == "AAA_open" else (lambda f, s: f"{f.lower()}_{s}")
            frame.columns = [order(*pair) for pair in pairs]
            frame.to_csv(target)
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["AAA", "BBB"]
        assert rows(provider, "AAA", D1)[0] == ("2024-01-02 00:00", *BAR)
        assert (len(rows(provider, "AAA", D1)), len(rows(provider, "BBB", D1))) == (2, 1)

    ADJUSTED = (
        "Price,Adj Close,Close,High,Low,Open,Volume\nTicker,C,C,C,C,C,C\nDate,,,,,,\n2024-01-02,1.9,2,2.5,0.5,1.5,10\n"
    )

    def test_a_further_column_below_two_header_lines_is_named(self, tmp_path: Path) -> None:
        put(tmp_path, "C.csv", self.ADJUSTED, D1)  # the ticker is called like a column
        with pytest.raises(ProviderError, match=r'--ignore-column "Adj Close"; files of this kind .* --mapping yahoo'):
            rows(FilesProvider(tmp_path), "C", D1)
        assert rows(FilesProvider(tmp_path, mapping="yfinance"), "C", D1) == [("2024-01-02 00:00", *BAR)]

    def test_one_value_for_each_symbol_makes_no_bars(self, tmp_path: Path) -> None:
        put(tmp_path, "closes.csv", "Date,AAPL,MSFT,GOOG,AMZN\n2024-01-02,1,2,3,4\n", D1)
        with pytest.raises(ProviderError, match="one value for each of several symbols makes no bars"):
            rows(FilesProvider(tmp_path), "closes", D1)


class TestWidths:
    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(300, "5m apart"), (900, "15m apart"), (3600, "1h apart"), (86_400, "a day apart"), (1, "less than a minute")],
    )
    def test_bars_of_another_width_are_named_with_what_to_do(self, tmp_path: Path, seconds: int, said: str) -> None:
        lines = "".join(f"{1_704_067_200 + 1800 + n * seconds},1,2,0.5,1.5,10\n" for n in range(30))
        put(tmp_path, "A.csv", "ts,o,h,l,c,v\n" + lines)
        with pytest.raises(ProviderError, match=said):
            rows(FilesProvider(tmp_path), "A")

    @pytest.mark.parametrize(("frequency", "said"), [("W-FRI", "a week apart"), ("ME", "a month apart")])
    def test_weeks_and_months_are_no_days(self, tmp_path: Path, frequency: str, said: str) -> None:
        days = pd.date_range("2020-01-01", periods=30, freq=frequency)
        put(tmp_path, "A.csv", "ts,o,h,l,c,v\n" + "".join(f"{day:%Y-%m-%d},1,2,0.5,1.5,10\n" for day in days), D1)
        with pytest.raises(ProviderError, match=said):
            rows(FilesProvider(tmp_path), "A", D1)


class TestNames:
    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("{symbol}-1d-*.csv", ["AAA-1d-2023.csv", "AAA-1d-2024.csv"]),
            ("{symbol}_*", ["aaa_2023.csv", "AAA_2024.csv"]),
            ("{symbol}/*.csv", ["AAA/2023.csv", "AAA/2024.csv"]),
            ("*/{symbol}.csv", ["2023/AAA.csv", "2024/AAA.csv"]),
        ],
    )
    def test_several_files_of_a_symbol_are_one_by_a_pattern(
        self, tmp_path: Path, pattern: str, names: list[str]
    ) -> None:
        for year, name in zip((2023, 2024), names, strict=True):
            target = tmp_path / "bars_1d" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"date,o,h,l,c,v\n{year}-01-03,1.5,2.5,0.5,2,10\n")
        provider = FilesProvider(tmp_path, pattern=pattern)
        assert provider.symbols(D1) == ["AAA"]
        assert rows(provider, "AAA", D1) == [("2023-01-03 00:00", *BAR), ("2024-01-03 00:00", *BAR)]

    def test_with_a_pattern_files_may_lie_in_the_folder_itself(self, tmp_path: Path) -> None:
        (tmp_path / "AAA.csv").write_text("date,o,h,l,c,v\n2024-01-03,1.5,2.5,0.5,2,10\n")
        with pytest.raises(ConfigurationError, match=r'give --pattern "\{symbol\}"'):
            FilesProvider(tmp_path).symbols(D1)
        assert FilesProvider(tmp_path, pattern="{symbol}").symbols(D1) == ["AAA"]

    def test_a_folder_of_the_other_timeframe_is_pointed_at(self, tmp_path: Path) -> None:
        put(tmp_path, "AAA.csv", "")
        with pytest.raises(ConfigurationError, match="there is bars_1m: give --timeframe 1m"):
            FilesProvider(tmp_path).symbols(D1)

    @pytest.mark.parametrize(
        "name", ["AAA_2024.csv", "AAA-2024-01.csv", "AAA_1440.csv", "AAA-5m-2024-01.csv", "AAA_1min.csv"]
    )
    def test_a_name_that_may_be_a_part_is_asked_about(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, name, "date,o,h,l,c,v\n2024-01-03,1.5,2.5,0.5,2,10\n", D1)
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["AAA"]
        with pytest.raises(ProviderError, match="named like one of several files of AAA; if so, give --pattern"):
            rows(provider, "AAA", D1)
        stem = name.removesuffix(".csv")
        assert FilesProvider(tmp_path, pattern="{symbol}").symbols(D1) == [stem]

    @pytest.mark.parametrize("name", ["BRK.B", "BTC-USD", "SH_600000", "A2024", "BTC-PERP", "600000.SS"])
    def test_a_symbols_own_name_is_none(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, f"{name}.csv", "date,o,h,l,c,v\n2024-01-03,1.5,2.5,0.5,2,10\n", D1)
        assert len(rows(FilesProvider(tmp_path), name, D1)) == 1


#: By preset: the files of a folder as the vendor delivers it, the symbol, and which of them are its minutes and its days.
ARCHIVES = {
    "kraken-ohlcvt": (
        ["XBTUSD_1.csv", "XBTUSD_5.csv", "XBTUSD_15.csv", "XBTUSD_30.csv", "XBTUSD_60.csv", "XBTUSD_240.csv",
         "XBTUSD_720.csv", "XBTUSD_1440.csv"],
        "XBTUSD", ["XBTUSD_1.csv"], ["XBTUSD_1440.csv"],
    ),
    "tradingview": (
        ["BATS_AAPL, 1.csv", "BATS_AAPL, 1_0a1b2.csv", "BATS_AAPL, 15.csv", "BATS_AAPL, 15_1.csv", "BATS_AAPL, 1D.csv",
         "BATS_AAPL, 1D (1).csv", "BATS_AAPL, 1W.csv", "BATS_AAPL, 1M.csv", "BATS_AAPL, 1S.csv", "BATS_AAPL, 240.csv"],
        "AAPL", ["BATS_AAPL, 1.csv", "BATS_AAPL, 1_0a1b2.csv"], ["BATS_AAPL, 1D (1).csv", "BATS_AAPL, 1D.csv"],
    ),
    "metatrader": (
        ["EURUSD_M1_202401020000_202401312359.csv", "EURUSD_M5_202401020000_202401312355.csv",
         "EURUSD_H1_202401020000_202401312300.csv", "EURUSD_H4.csv", "EURUSD_D1.csv", "EURUSD_Weekly_2023_2024.csv",
         "EURUSD_M15.csv", "EURUSD_MN1_2023_2024.csv"],
        "EURUSD", ["EURUSD_M1_202401020000_202401312359.csv"], ["EURUSD_D1.csv"],
    ),
    "metatrader 4": (
        ["EURUSD1.csv", "EURUSD5.csv", "EURUSD15.csv", "EURUSD60.csv", "EURUSD240.csv", "EURUSD1440.csv",
         "EURUSD10080.csv", "EURUSD43200.csv"],
        "EURUSD", ["EURUSD1.csv"], ["EURUSD1440.csv"],
    ),
    "binance-klines": (
        ["BTCUSDT-1m-2024-01.csv", "BTCUSDT-1m-2024-02.csv", "BTCUSDT-5m-2024-01.csv", "BTCUSDT-1d-2024-01.csv",
         "BTCUSDT-1mo-2024-01.csv", "BTCUSDT-1h-2024-01.csv", "BTCUSDT-1w-2024-01.csv", "BTCUSDT-trades-2024-01.csv"],
        "BTCUSDT", ["BTCUSDT-1m-2024-01.csv", "BTCUSDT-1m-2024-02.csv"], ["BTCUSDT-1d-2024-01.csv"],
    ),
    "firstrate": (
        ["AAPL_full_1min_UNADJUSTED.txt", "AAPL_full_5min_UNADJUSTED.txt", "AAPL_full_1hour_UNADJUSTED.txt",
         "AAPL_full_30min_UNADJUSTED.txt", "AAPL_full_1day_UNADJUSTED.txt"],
        "AAPL", ["AAPL_full_1min_UNADJUSTED.txt"], ["AAPL_full_1day_UNADJUSTED.txt"],
    ),
    "stooq": (
        ["^spx_d.csv", "^spx_w.csv", "^spx_m.csv", "^spx_1.csv"], "^SPX", ["^spx_1.csv"], ["^spx_d.csv"],
    ),
    "histdata": (
        ["DAT_ASCII_EURUSD_M1_202407.csv", "DAT_ASCII_EURUSD_T_202407.csv"],
        "EURUSD", ["DAT_ASCII_EURUSD_M1_202407.csv"], [],
    ),
}  # fmt: skip


class TestArchives:
    @pytest.mark.parametrize("timeframe", [M1, D1])
    @pytest.mark.parametrize("case", ARCHIVES)
    def test_files_of_other_widths_are_none_of_a_timeframe(
        self, tmp_path: Path, case: str, timeframe: Timeframe
    ) -> None:
        files, symbol, minutes, days = ARCHIVES[case]
        for name in files:
            put(tmp_path, name, "", timeframe)
        layout = FilesOptions(mapping=case.split(maxsplit=1)[0])
        held = Folder(
            tmp_path,
            timeframe,
            layout_of(layout).patterns(timeframe),
            others=layout_of(layout).other_patterns(timeframe),
        ).holdings()
        expected = minutes if timeframe is M1 else days
        found = {holding.symbol: [file.name for file in holding.files] for holding in held.values()}
        assert found == ({symbol: expected} if expected else {})
        assert all(not holding.problem for holding in held.values())
        beside = sorted(file.name for holding in held.values() for file in holding.beside)
        assert beside == sorted(set(files) - set(expected)) * bool(expected)

    def test_krakens_archive_is_read_as_it_is_delivered(self, tmp_path: Path) -> None:
        for minutes, count in ((1, 300), (5, 60), (15, 20), (60, 5), (240, 2), (1440, 1)):
            text = "".join(f"{1705363200 + 60 * minutes * n},1.5,2.5,0.5,2,10,4\n" for n in range(count))
            for timeframe in (M1, D1):
                put(tmp_path, f"XBTUSD_{minutes}.csv", text, timeframe)
        provider = FilesProvider(tmp_path, mapping="kraken-ohlcvt")
        assert provider.symbols(M1) == provider.symbols(D1) == ["XBTUSD"]
        assert len(rows(provider, "XBTUSD", M1)) == 300
        assert rows(provider, "XBTUSD", D1) == [("2024-01-16 00:00", *BAR)]
        assert "XBTUSD_1440.csv, XBTUSD_15.csv, XBTUSD_240.csv and 2 more are of other timeframes, and not read" in (
            provider.notes("XBTUSD", M1)
        )

    @pytest.mark.parametrize("preset", ["kraken-ohlcvt", "stooq"])
    def test_a_file_that_is_there_twice_is_asked_about(self, tmp_path: Path, preset: str) -> None:
        names = {"kraken-ohlcvt": ["XBTUSD_1440.csv", "XBTUSD_1440.txt"], "stooq": ["vod.us.txt", "vod_uk_d.csv"]}[
            preset
        ]
        for name in names:
            put(tmp_path, name, "1705363200,1.5,2.5,0.5,2,10,4\n", D1)
        with pytest.raises(ProviderError, match="keep one of them"):
            rows(FilesProvider(tmp_path, mapping=preset), names[0][:3] if preset == "stooq" else "XBTUSD", D1)

    @pytest.mark.parametrize(
        ("preset", "name", "symbol"),
        [
            ("stooq", "eurusd_d.csv", "EURUSD"), ("stooq", "vod.uk.txt", "VOD"), ("stooq", "7203.jp.txt", "7203"),
            ("stooq", "vod_uk_d.csv", "VOD"), ("stooq", "pko_d.csv", "PKO"), ("stooq", "btcpln.txt", "BTCPLN"),
            ("metatrader", "US301440.csv", "US30"), ("metatrader", "US30.csv", "US30"), ("metatrader", "GER40.csv", "GER40"),
        ],
    )  # fmt: skip
    def test_a_symbol_is_what_the_name_says_without_the_width(
        self, tmp_path: Path, preset: str, name: str, symbol: str
    ) -> None:
        put(tmp_path, name, "Date,Open,High,Low,Close,Volume\n2024-01-02,1.5,2.5,0.5,2,10\n", D1)
        assert FilesProvider(tmp_path, mapping=preset).symbols(D1) == [symbol]

    @pytest.mark.parametrize(("timeframe", "advice"), [(M1, "{symbol}-1m-*"), (D1, "{symbol}-1d-*")])
    def test_without_a_layout_files_of_several_widths_are_asked_about(
        self, tmp_path: Path, timeframe: Timeframe, advice: str
    ) -> None:
        for width in ("1m", "1d", "5m"):
            put(tmp_path, f"BTCUSDT-{width}-2024-01.csv", "ts,o,h,l,c,v\n2024-01-02T00:00:00Z,1,2,0.5,1,5\n", timeframe)
        with pytest.raises(ProviderError, match=re.escape(f'--pattern "{advice}"')):
            rows(FilesProvider(tmp_path), "BTCUSDT", timeframe)

    @pytest.mark.parametrize("part", ["AAPL-1d-2024-01.csv", "AAPL-1d-2024.csv"])
    def test_a_whole_file_and_a_part_of_it_are_asked_about(self, tmp_path: Path, part: str) -> None:
        for name in ("AAPL.csv", part):
            put(tmp_path, name, "ts,o,h,l,c,v\n2024-01-02,1,2,0.5,1,5\n", D1)
        with pytest.raises(ProviderError, match="keep one of them"):
            rows(FilesProvider(tmp_path), "AAPL", D1)

    def test_a_price_with_three_decimals_is_no_question_under_a_layout(self, tmp_path: Path) -> None:
        put(tmp_path, "DAT_ASCII_USDJPY_M1_202407.csv", "20240701 000000;160.853;160.861;160.850;160.855;0\n")
        found = rows(FilesProvider(tmp_path, mapping="histdata"), "USDJPY")
        assert found == [("2024-07-01 05:00", 160.853, 160.861, 160.85, 160.855, 0.0)]
