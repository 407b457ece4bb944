"""Files as people have them, through the command line: what comes in, under which symbol, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.test_cli import GOOD, Run, after_init, line_of, ready, write_days  # noqa: F401 - fixtures


def put(folder: Path, name: str, text: str, table: str = "bars_1d") -> Path:
    target = folder / table
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_text(text)
    return folder


DAYS = "\n".join(["date,open,high,low,close,volume", *GOOD]) + "\n"


class TestOneFileIsOneInstrument:
    def test_another_case_or_separator_is_found_and_said(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        for name in ("QQQX.csv", "BRK.B.csv", "BTC-EUR.csv"):
            put(tmp_path, name, DAYS)
        assert ready("ingest", "QQQX", "BRK.B", "BTC/EUR", "--path", str(tmp_path)).exit_code == 0
        other = tmp_path / "other"
        for name in ("qqqx.csv", "BRK-B.csv", "btc-eur.csv"):
            put(other, name, DAYS)
        result = ready("ingest", "--path", str(other))
        assert result.exit_code == 0
        for symbol in ("QQQX", "BRK.B", "BTC/EUR"):
            assert line_of(result, symbol).split()[1:4] == ["inserted=0", "revised=0", "unchanged=3"]
        assert "registered" not in result.stderr
        assert "read from qqqx.csv" in result.stderr

    def test_another_spelling_on_the_command_line_is_the_same_instrument(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        put(tmp_path, "BTC-EUR.csv", DAYS)
        assert "registered BTC-EUR" in ready("ingest", "--path", str(tmp_path)).stderr
        result = ready("ingest", "BTC/EUR", "--path", str(tmp_path))
        assert "BTC/EUR is another spelling of BTC-EUR" in result.stderr
        assert line_of(result, "BTC-EUR").split()[1:4] == ["inserted=0", "revised=0", "unchanged=3"]

    def test_two_spellings_in_one_request_are_one(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        put(tmp_path, "new-b.csv", DAYS)
        result = ready("ingest", "NEW.B", "NEW-B", "--path", str(tmp_path))
        assert result.exit_code == 0
        assert line_of(result, "total").split()[1] == "inserted=3"
        assert "NEW-B is another spelling of NEW.B" in result.stderr

    def test_two_files_of_one_symbol_are_asked_about(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        put(tmp_path, "aaa.csv", DAYS)
        put(tmp_path, "AAA.txt", DAYS)
        put(tmp_path, "BBB.csv", DAYS)
        result = ready("ingest", "--path", str(tmp_path))
        assert result.exit_code == 1
        assert "AAA.txt and aaa.csv; keep one of them" in result.stderr
        assert line_of(result, "BBB").split()[1] == "inserted=3"

    def test_columns_that_name_a_symbol_are_of_it_alone(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        text = DAYS.replace("open,high,low,close,volume", "QAA.Open,QAA.High,QAA.Low,QAA.Close,QAA.Volume")
        put(tmp_path, "QZZ.csv", text)
        result = ready("ingest", "--path", str(tmp_path))
        assert result.exit_code != 0
        assert "its rows are of QAA, not of QZZ" in result.stderr
        assert "registered" not in result.stderr
        (tmp_path / "bars_1d" / "QZZ.csv").rename(tmp_path / "bars_1d" / "w.csv")
        result = ready("ingest", "--path", str(tmp_path / "bars_1d" / "w.csv"))
        assert line_of(result, "QAA").split()[1] == "inserted=3"
        (tmp_path / "bars_1d" / "w.csv").write_text(text.replace("QAA", "QBB"))
        (tmp_path / "bars_1d" / "w.csv").rename(tmp_path / "bars_1d" / "qaa.csv")
        result = ready("ingest", "--path", str(tmp_path))
        assert "its rows are of QBB, not of QAA" in result.stderr
        assert "registered" not in result.stderr

    def test_monthly_files_are_one_symbol(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        for month in ("01", "02"):
            rows = "".join(f"2024-{month}-0{day},10,12,9,11,100\n" for day in (5, 6, 7, 8))
            put(tmp_path, f"BTCUSDT-1d-2024-{month}.csv", "date,o,h,l,c,v\n" + rows)
            put(tmp_path, f"ETHUSDT_2024_{month}.csv", "date,o,h,l,c,v\n" + rows)
        result = ready("ingest", "--path", str(tmp_path), "--calendar", "24/7")
        assert line_of(result, "BTCUSDT").split()[1] == "inserted=8"
        assert "BTCUSDT: read from BTCUSDT-1d-2024-01.csv and 1 more" in result.stderr
        assert '--pattern "{symbol}_*"' in result.stderr
        assert (result.exit_code, "registered ETHUSDT" in result.stderr) == (1, False)
        again = ready("ingest", "--path", str(tmp_path), "--calendar", "24/7", "--pattern", "{symbol}_*")
        assert line_of(again, "ETHUSDT").split()[1] == "inserted=8"


class TestWhatFailsAlone:
    def test_an_index_is_a_symbol_beside_others(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        for name in ("^NDX.csv", "ESX=F.csv", "GBPUSD=X.csv", "GOOD.csv"):
            put(tmp_path, name, DAYS)
        put(tmp_path, "BAD.csv", "nothing of use\n")
        result = ready("ingest", "--path", str(tmp_path))
        assert result.exit_code == 1
        assert line_of(result, "total").split()[1] == "inserted=12"
        assert "registered ^NDX: index, calendar XNYS" in result.stderr
        assert "registered ESX=F: future, calendar CMES" in result.stderr
        assert "BAD: failed:" in result.stderr
        assert "registered BAD" not in result.stderr
        for symbol in ("^NDX", "ESX=F"):
            assert ready("query", symbol, "--format", "csv").stdout.count("\n") == 4
        assert ready("archive").exit_code == 0
        assert ready("query", "ESX=F", "--format", "csv").stdout.count("\n") == 4

    @pytest.mark.parametrize("text", ["Date,Open,High,Low,Close,Volume\n", "", "\n\n"])
    def test_a_file_without_bars_is_one_error_and_registers_nothing(
        self,
        ready: Run,  # noqa: F811
        tmp_path: Path,
        text: str,
    ) -> None:
        put(tmp_path, "HEAD.csv", text)
        for arguments in (["HEAD"], []):
            result = ready("ingest", *arguments, "--path", str(tmp_path))
            assert result.exit_code == 1
            assert result.stderr.count("holds no bars") == 1
            assert "registered" not in result.stderr
        assert "not known" in ready("query", "HEAD").stderr

    def test_a_known_symbol_whose_file_became_empty_loses_nothing(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        path = write_days(tmp_path, "AAA", GOOD)
        assert ready("ingest", "AAA", "--path", str(path)).exit_code == 0
        states = ready("coverage", "AAA").stdout
        put(tmp_path, "AAA.csv", "date,o,h,l,c,v\n")
        result = ready("ingest", "AAA", "--path", str(path))
        assert (result.exit_code, result.stderr.count("holds no bars")) == (1, 1)
        assert ready("coverage", "AAA").stdout == states

    def test_no_volume_is_null_and_said(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        put(tmp_path, "NOV.csv", "\n".join(line.rpartition(",")[0] for line in DAYS.splitlines()))
        result = ready("ingest", "--path", str(tmp_path))
        assert result.exit_code == 0
        assert "NOV: there is no column of volume: the bars have none (NULL)" in result.stderr
        assert json.loads(ready("query", "NOV", "--format", "json").stdout)[0]["volume"] is None


class TestDryRun:
    GERMAN = "Datum;Open;High;Low;Close;Volume\n15.01.2024;10,5;12;9;11;1.000\n16.01.2024;11;13;10;12;1.000\n"

    def test_it_says_how_files_are_understood_and_writes_nothing(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        put(
            tmp_path,
            "GER.csv",
            "Datum;Open;High;Low;Close;Volume\n15.01.2024;10,5;12;9;11;1.000\n16.01.2024;11;13;10;12;1.000\n",
        )
        put(tmp_path, "BAD.csv", "date,o,h,l,c\n2024-01-02,10,9,12,11\n2024-01-03,11,13,10,12\n")
        put(tmp_path, "NONE.csv", "date,o,h,l,c\n")
        mapping = tmp_path / "mine.yaml"
        mapping.write_text("columns: {Datum: date}\n")
        before = ready("status").stdout
        result = ready("ingest", "--path", str(tmp_path), "--mapping", str(mapping), "--dry-run")
        assert result.exit_code == 1
        for said in (
            "symbol    GER (new, would be registered): equity",
            "calendar  XNYS",
            f"files     {tmp_path / 'bars_1d' / 'GER.csv'}",
            "form      text, utf-8, cells divided by ';', decimal comma",
            "columns   Datum is ts, Open is open, High is high, Low is low, Close is close, Volume is volume",
            "times     '15.01.2024' is 2024-01-15T00:00Z",
            "zone      none given",
            "first     2024-01-15T00:00Z  open 10.5  high 12  low 9  close 11  volume 1,000  vwap NULL  trades NULL",
            "last      2024-01-16T00:00Z  open 11",
            "low_is_lowest",
            "no call to a provider",
        ):
            assert said in result.stdout
        assert "BAD: there is no column of volume" in result.stderr
        assert "NONE: failed:" in result.stderr
        assert ready("status").stdout == before
        assert "not known" in ready("query", "GER").stderr
        assert ready("quarantine", "list", "--json").stdout in {"", "[]\n"}

    def test_a_registered_symbol_and_its_zone_are_said(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        put(tmp_path, "AAPL.csv", "date,time,o,h,l,c,v\n2024-01-02,09:30,10,12,9,11,1\n", "bars_1m")
        result = ready("ingest", "-t", "1m", "--path", str(tmp_path), "--tz", "America/New_York", "--dry-run")
        assert result.exit_code in {0, 3}
        assert "symbol    AAPL (registered): equity" in result.stdout
        assert "zone      America/New_York" in result.stdout
        assert "times     '2024-01-02 09:30' is 2024-01-02T14:30Z" in result.stdout


def test_a_layout_given_as_a_list_of_symbols_is_pointed_at(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    result = ready("ingest", "--preset", "kraken-ohlcvt", "--path", str(tmp_path))
    assert result.exit_code == 2
    assert "write --mapping kraken-ohlcvt" in result.stderr


CASES = Path(__file__).parents[3] / "shared" / "cases"
#: By case: symbol, options, bars. How the others are read is a unit test.
LOADED = {
    "04-folder": ("^GSPC", [], 61),
    "08-daily-instant": ("TVD", [], 252),
    "08-headerless": ("XBTUSD", ["-t", "1m", "--calendar", "24/7", "--mapping", "kraken-ohlcvt"], 120),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the checkout")
def test_shared_cases_are_loaded(ready: Run) -> None:  # noqa: F811
    for case, (symbol, options, bars) in LOADED.items():
        result = ready("ingest", "--path", str(CASES / case), *options)
        assert result.exit_code == 0, (case, result.stderr)
        assert line_of(result, symbol).split()[1] == f"inserted={bars}", case
