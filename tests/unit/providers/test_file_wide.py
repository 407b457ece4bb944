"""Columns named after a unit, a side, or one symbol or several: what is read, and what is an error that names it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.providers.files.provider import FilesProvider
from chandlery.providers.files.units import is_unit
from tests.file_folders import put, refusal, rows

D1 = Timeframe.D1
FIELDS = ("open", "high", "low", "close")
BAR = ("2024-01-02", 1.0, 2.0, 0.5, 1.5, 10.0)
SIDES = ("bid", "ask", "mid", "offer", "bidask", "last", "trade", "trades", "mark", "index", "spot")


def table(*names: str, folder: Path, file: str = "A.csv") -> FilesProvider:
    """Write one row with the names as its header, the values in their order, and volumes of ten after the prices."""
    values = [1, 2, 0.5, 1.5, *[10] * (len(names) - 4)]
    put(folder, f"date,{','.join(names)}\n2024-01-02,{','.join(map(str, values))}\n", file)
    return FilesProvider(folder)


def each(form: str, *others: str) -> list[str]:
    return [*(form.format(field, cap=field.title()) for field in FIELDS), *others]


class TestUnits:
    @pytest.mark.parametrize(
        "names",
        [
            each("{}_usd", "volume"),
            each("{cap} (USD)", "Volume"),
            each("{cap} USD", "Volume"),
            each("{} [EUR]", "volume"),
            each("{cap} ($)", "Volume"),
            each("{cap}($)", "Volume"),
            each("usd_{}", "volume"),
            each("{cap} (EUR/MWh)", "Volume"),
            each("{cap} EUR", "Volume (shares)"),
            each("{cap} EUR", "Volume [Contracts]"),
            each("{}", "Volume (shares)"),
            each("price_{}", "volume_traded"),
            each("price.{}", "volume.sum"),
            each("bid_{}", "volume"),
            each("mid.{}", "volume"),
            ["mid.o", "mid.h", "mid.l", "mid.c", "volume"],
            ["o_usd", "h_usd", "l_usd", "c_usd", "v"],
            each("adj_{}", "volume"),
            each("stock {}", "volume"),
            each("{}_usd", "volume_usd"),
            each("{}_usd", "volume_btc", "volume_usd"),
            each("A.{cap}", "Volume"),
            each("A_{}", "A_volume"),
        ],
        ids="|".join,
    )
    def test_a_text_beside_all_prices_alike_makes_no_frame_of_symbols(self, tmp_path: Path, names: list[str]) -> None:
        provider = table(*names, folder=tmp_path)
        assert provider.symbols(D1) == ["A"]
        assert rows(provider) == [BAR]
        assert not [note for note in provider.notes("A", D1) if "there is no column of volume" in note]

    def test_trades_and_vwap_without_the_text_belong_to_the_bars_too(self, tmp_path: Path) -> None:
        table(*each("A.{cap}", "Volume", "vwap", "trades"), folder=tmp_path)
        columns = FilesProvider(tmp_path).describe("A", D1).columns
        assert [columns[name] for name in ("A.Open", "Volume", "vwap", "trades")] == [
            "open",
            "volume",
            "vwap",
            "trades",
        ]

    @pytest.mark.parametrize("kind", ["names", "levels"])
    def test_prices_of_a_frame_of_pandas_are_read(self, tmp_path: Path, kind: str) -> None:
        pairs = [*(("price", name) for name in FIELDS), ("volume", "sum")]
        frame = pd.DataFrame([[1, 2, 0.5, 1.5, 10]], index=pd.Index(["2024-01-02"], name="date"))
        frame.columns = pd.MultiIndex.from_tuples(pairs) if kind == "levels" else ["_".join(pair) for pair in pairs]
        put(tmp_path, frame.to_csv())
        if kind == "names":
            assert rows(FilesProvider(tmp_path)) == [BAR]
        else:
            assert '--ignore-column "sum"' in refusal(FilesProvider(tmp_path))

    def test_units_below_the_names_are_no_symbols(self, tmp_path: Path) -> None:
        put(tmp_path, "Date,Open,High,Low,Close,Volume\n,USD,USD,USD,USD,shares\n2024-01-02,1,2,0.5,1.5,10\n")
        assert rows(FilesProvider(tmp_path)) == [BAR]

    def test_parquet_is_read_alike(self, tmp_path: Path) -> None:
        (tmp_path / "bars_1d").mkdir()
        row = dict(zip(("date", *each("{} (USD)", "volume")), BAR, strict=True))
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "bars_1d" / "A.parquet")
        assert rows(FilesProvider(tmp_path)) == [BAR]

    def test_every_usual_currency_and_unit_is_known(self) -> None:
        words = """
            usd eur gbp jpy chf cad aud cny inr usdt usdc $ € £ ¥ us$ gbx dollar euros pence Price px adj adjusted raw
            unadjusted stock daily day shares contracts units EUR/MWh usd/oz USD/bbl bid_usd rate quote value eod
        """
        assert [word for word in words.split() if not is_unit(word)] == []
        symbols = "AAPL msft T SPOT DAY RAW BTC ETH btc EURUSD EUR/USD XAU-USD BTC-USD AAPL_USD BRK.B ^GSPC MSFT_adj"
        assert [word for word in symbols.split() if is_unit(word)] == []

    def test_adjusted_prices_are_said(self, tmp_path: Path) -> None:
        provider = table(*each("adj_{}", "volume"), folder=tmp_path)
        assert "prices are those of an adjusted series" in provider.notes("A", D1)

    @pytest.mark.parametrize("side", SIDES)
    @pytest.mark.parametrize("form", ["{side}_{}", "{side}.{field[0]}"])
    def test_each_side_alone_is_no_symbol_and_is_said(self, tmp_path: Path, side: str, form: str) -> None:
        names = [form.format(field, side=side, field=field) for field in FIELDS]
        provider = table(*names, "volume", folder=tmp_path)
        assert rows(provider) == [BAR]
        assert f"prices are those of {side}" in provider.notes("A", D1)

    @pytest.mark.parametrize("side", SIDES)
    def test_each_side_beside_another_is_asked_about(self, tmp_path: Path, side: str) -> None:
        other = "bid" if side != "bid" else "ask"
        names = [*each(f"{side}_{{}}"), *each(f"{other}_{{}}"), "volume"]
        assert f"say which: for {side}, --columns" in refusal(table(*names, folder=tmp_path))

    def test_prices_in_two_currencies_are_asked_about(self, tmp_path: Path) -> None:
        names = [*each("{} (CNY)"), *each("{} (USD)"), "volume"]
        seen = refusal(table(*names, folder=tmp_path))
        assert "for cny, --columns date,open,high,low,close,ignore,ignore,ignore,ignore,volume" in seen

    @pytest.mark.parametrize(
        ("names", "named"),
        [
            (each("{}_usd", "volume_btc"), "volume_btc"),
            (each("{}_usd", "volume", "volume_usd"), "volume_usd"),
            (each("{}_usd", "volume", "close_eur"), "close_eur"),
            (each("{}_usd", "volume", "sma_close"), "sma_close"),
            (each("{}_usd", "Volume (000s)"), "Volume (000s)"),
            (each("{} (USD)", "{} (USD)".format("open")), "open (USD)"),
            (each("A.{cap}", "A.Volume", "A.Adjusted"), "A.Adjusted"),
            (each("A.{cap}", "A.Volume", "Volume"), "Volume"),
            (each("A.{cap}", "A.Volume", "prev_close"), "prev_close"),
            (each("A.{cap}", "A.Volume", "close"), "close"),
            ([*each("A_{}"), *each("B_{}"), "volume"], "volume"),
            ([*each("A_{}"), *each("B_{}"), "symbol"], "symbol"),
            ([*each("A_{}"), *each("B_{}"), "C_volume"], "C_volume"),
            ([*each("A_{}"), *each("B_{}"), "A_open"], "A_open"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_column_that_is_not_understood_is_named(self, tmp_path: Path, names: list[str], named: str) -> None:
        assert f'--ignore-column "{named}"' in refusal(table(*names, folder=tmp_path))

    def test_what_is_ignored_is_not_missed(self, tmp_path: Path) -> None:
        table(*each("{}_usd", "volume_usd", "sma_close"), folder=tmp_path)
        assert rows(FilesProvider(tmp_path, ignore_columns=["volume_usd", "sma_close"])) == [(*BAR[:5], None)]


class TestOneSymbol:
    AAPL = each("AAPL.{cap}", "AAPL.Volume")

    def test_a_file_called_otherwise_is_refused(self, tmp_path: Path) -> None:
        provider = table(*self.AAPL, folder=tmp_path, file="MSFT.csv")
        assert provider.symbols(D1) == ["MSFT"]
        seen = refusal(provider, "MSFT")
        assert 'its rows are of AAPL, not of MSFT; with --pattern "*" its columns name the symbols' in seen
        assert FilesProvider(tmp_path, pattern="*").symbols(D1) == ["AAPL"]
        assert rows(FilesProvider(tmp_path, pattern="*"), "AAPL") == [BAR]
        columns = ("date", *FIELDS, "volume")
        assert rows(FilesProvider(tmp_path, columns=columns), "MSFT") == [BAR]

    @pytest.mark.parametrize("file", ["AAPL.csv", "aapl.csv", "w.csv"])
    def test_it_is_the_symbol_of_its_columns(self, tmp_path: Path, file: str) -> None:
        provider = table(*self.AAPL, folder=tmp_path, file=file)
        assert [symbol.upper() for symbol in provider.symbols(D1)] == ["AAPL"]
        assert rows(provider, "AAPL") == [BAR]
        assert rows(FilesProvider(tmp_path / "bars_1d" / file), "AAPL") == [BAR]

    def test_a_file_called_like_a_known_symbol_in_small_letters_is_refused(self, tmp_path: Path) -> None:
        table(*self.AAPL, folder=tmp_path, file="msft.csv")
        provider = FilesProvider(tmp_path, calendars={"MSFT": "XNYS"})
        assert provider.symbols(D1) == ["MSFT"]
        assert "its rows are of AAPL, not of MSFT" in refusal(provider, "MSFT")

    def test_a_column_of_symbols_is_taken_alike(self, tmp_path: Path) -> None:
        put(tmp_path, "date,symbol,o,h,l,c,v\n2024-01-02,AAPL,1,2,0.5,1.5,10\n", "w.csv")
        assert FilesProvider(tmp_path).symbols(D1) == ["AAPL"]
        (tmp_path / "bars_1d" / "w.csv").rename(tmp_path / "bars_1d" / "MSFT.csv")
        assert "its rows are of AAPL, not of MSFT" in refusal(FilesProvider(tmp_path), "MSFT")

    @pytest.mark.parametrize("names", [["USD.Open"], ["T.Open"], ["SPOT.Open"], ["BTC-USD.Open"], ["EURUSD_bid_Open"]])
    def test_a_symbol_that_looks_like_a_unit_is_one(self, tmp_path: Path, names: list[str]) -> None:
        names = [names[0].replace("Open", field.title()) for field in FIELDS]
        symbol = names[0].rpartition(".")[0] or "EURUSD"
        provider = table(*names, "Volume", folder=tmp_path, file=f"{symbol}.csv")
        assert rows(provider, symbol) == [BAR]
        if symbol != "USD":
            (tmp_path / "bars_1d" / f"{symbol}.csv").rename(tmp_path / "bars_1d" / "MSFT.csv")
            assert f"its rows are of {symbol}, not of MSFT" in refusal(FilesProvider(tmp_path), "MSFT")

    def test_two_header_lines_of_one_symbol_name_it(self, tmp_path: Path) -> None:
        text = (
            "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n2024-01-02,1.5,2,0.5,1,10\n"
        )
        put(tmp_path, text, "MSFT.csv")
        assert "its rows are of AAPL, not of MSFT" in refusal(FilesProvider(tmp_path), "MSFT")
        put(tmp_path, text, "AAPL.csv")
        assert rows(FilesProvider(tmp_path), "AAPL") == [BAR]

    @pytest.mark.parametrize("form", ["{}_{}", "{}.{}", "{1}_{0}"])
    @pytest.mark.parametrize("lacking", FIELDS)
    def test_a_further_symbol_that_lacks_a_price_is_named_with_it(
        self, tmp_path: Path, form: str, lacking: str
    ) -> None:
        names = [form.format(symbol, name) for symbol in ("QAA", "QBB") for name in (*FIELDS, "volume")]
        missing = form.format("QBB", lacking)
        names.remove(missing)
        seen = refusal(table(*names, folder=tmp_path, file="w.csv"), "QAA")
        assert f"there is no column {missing}" in seen
        assert f'--ignore-column "{form.format("QBB", "volume")}"' in seen

    def test_fields_of_one_symbol_in_files_of_their_own_are_its_own(self, tmp_path: Path) -> None:
        for name, value in zip(FIELDS, BAR[1:], strict=False):
            put(tmp_path, f"Date,AAPL\n2024-01-02,{value}\n", f"{name.title()}.csv")
        provider = FilesProvider(tmp_path)
        assert provider.symbols(D1) == ["AAPL"]
        assert rows(provider, "AAPL") == [(*BAR[:5], None)]
