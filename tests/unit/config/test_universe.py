"""The configuration files: what they mean, and that each mistake is answered with file, line, key and a way out."""

from __future__ import annotations

import re
import string
from contextlib import suppress
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.config.providers import read_providers
from chandlery.config.universe import (
    AliasConfig,
    InstrumentConfig,
    Universe,
    check_calendars,
    default_asset_class,
    guess_instrument,
    load_universe,
    validate_symbol,
)
from chandlery.core.calendars import calendar_names
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ChandleryError, ConfigurationError, UsageError

CONFIG = Path(__file__).parents[3] / "config"
ALLOWED = string.ascii_letters + string.digits + ".-_/:"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def refusal_of_universe(folder: Path, text: str) -> str:
    path = write(folder, "universe.yaml", text)
    with pytest.raises(ConfigurationError) as caught:
        load_universe(path)
    return str(caught.value).replace(f"{folder}/", "")


class TestTheShippedFiles:
    def test_the_demo_preset_names_only_configured_instruments(self) -> None:
        universe = load_universe(CONFIG / "universe.yaml")
        assert set(universe.preset("demo")) == {instrument.symbol for instrument in universe.instruments}
        assert set(universe.preset("demo-daily")) | set(universe.preset("demo-minute")) == set(universe.preset("demo"))

    def test_every_calendar_exists_also_the_guessed_ones(self) -> None:
        universe = load_universe(CONFIG / "universe.yaml")
        check_calendars(universe)
        every = [symbol for symbols in universe.presets.values() for symbol in symbols]
        foreign = ["VOD.L", "7203.T", "VOLV-B.ST", "SAP.DE", "MC.PA", "RY.TO", "0700.HK", "BHP.AX", "EUR/USD"]
        assert {guess_instrument(symbol).calendar for symbol in [*every, *foreign]} <= set(calendar_names())

    def test_the_lists_are_as_long_as_their_indexes(self) -> None:
        universe = load_universe(CONFIG / "universe.yaml")
        assert len(universe.preset("dow30")) == 30
        assert len(universe.preset("sp500")) == 503  # 500 companies, three of them with two share classes
        assert {"ON", "BRK.B", "BF.B", "GOOG", "GOOGL"} <= set(universe.preset("sp500"))
        assert set(universe.preset("dow30")) <= set(universe.preset("sp500"))

    def test_facebook_was_fb_until_the_day_it_became_meta(self) -> None:
        meta = load_universe(CONFIG / "universe.yaml").instrument("META")
        fb = AliasConfig(ticker="FB", valid_from=date(2012, 5, 18), valid_until=date(2022, 6, 9))
        assert meta.aliases == (fb,)

    def test_invented_instruments_say_so(self) -> None:
        universe = load_universe(CONFIG / "universe.yaml")
        simulated = [instrument for instrument in universe.instruments if instrument.provider == "simulated"]
        assert len(simulated) == 2
        assert all("SIM" in instrument.symbol and "invented" in instrument.name for instrument in simulated)


class TestReading:
    def test_what_is_absent_is_guessed_or_defaulted(self, tmp_path: Path) -> None:
        universe = load_universe(
            write(
                tmp_path,
                "universe.yaml",
                "instruments:\n  - {symbol: ETH/BTC, provider: p}\n  - {symbol: X, provider: p, asset_class: fx}",
            )
        )
        assert universe.instruments == (
            InstrumentConfig(symbol="ETH/BTC", asset_class="crypto", calendar="24/7", provider="p"),
            InstrumentConfig(symbol="X", asset_class="fx", calendar="24/5", provider="p"),
        )
        assert universe.history.first_day(Timeframe.H1) == date(2010, 1, 1)
        assert universe.history.first_day(Timeframe.MO1) == date(1990, 1, 1)
        assert universe.gate.max_rejected_share == 0.01

    def test_tickers_that_yaml_takes_for_something_else_stay_text(self, tmp_path: Path) -> None:
        path = write(
            tmp_path, "universe.yaml", "presets: {odd: [ON, NO, TRUE, NULL, 0700, 1e3x, 2024-01-31, 1:30, .5]}"
        )
        assert load_universe(path).preset("odd") == (
            "ON",
            "NO",
            "TRUE",
            "NULL",
            "0700",
            "1e3x",
            "2024-01-31",
            "1:30",
            ".5",
        )

    def test_a_preset_in_a_file_of_its_own_is_read_beside_the_universe(self, tmp_path: Path) -> None:
        write(tmp_path, "mine.txt", "# mine\nAAPL\n\nBRK.B  # class B\n")
        assert load_universe(write(tmp_path, "universe.yaml", "presets: {mine: {file: mine.txt}}")).preset("mine") == (
            "AAPL",
            "BRK.B",
        )

    def test_an_unknown_preset_is_answered_with_those_there_are(self) -> None:
        with pytest.raises(
            UsageError, match=r"preset 'dwo30' is not known; there are: demo, dow30; did you mean 'dow30'\?"
        ):
            Universe(presets={"demo": ("A",), "dow30": ("B",)}).preset("dwo30")

    def test_reading_the_same_file_twice_gives_the_same(self) -> None:
        assert load_universe(CONFIG / "universe.yaml") == load_universe(CONFIG / "universe.yaml")

    def test_a_universe_is_immutable(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load_universe(CONFIG / "universe.yaml").gate.max_rejected_share = 1.0  # type: ignore[misc]

    def test_a_ticker_may_pass_from_one_instrument_to_another(self, tmp_path: Path) -> None:
        text = """
            instruments:
              - symbol: META
                provider: p
                aliases: [{ticker: FB, from: 2012-05-18, until: 2022-06-09}]
              - symbol: METV
                provider: p
                aliases: [{ticker: META, from: 2021-06-30, until: 2022-01-31}]
              - symbol: FB
                provider: p
                listed: 2022-06-09
        """
        assert len(load_universe(write(tmp_path, "universe.yaml", text)).instruments) == 3


HEAD = "instruments:\n  - symbol: AAPL\n    provider: p\n"

MISTAKES = [
    ("", "universe.yaml: the file is empty"),
    ("[1, 2]", "universe.yaml:1: [1, 2] is not a mapping of settings"),
    ("gate:\n\tshare: 1", "universe.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
    ("gate: {}\nhistory: {}\ngate: {}", "universe.yaml:3: gate: given twice, first on line 1"),
    (HEAD + "    provider: q\n", "universe.yaml:4: instruments[0].provider: given twice, first on line 3"),
    (
        "instrument: []",
        (
            "universe.yaml:1: instrument: is not a setting here; allowed: history, gate, instruments, "
            "presets; did you mean 'instruments'?"
        ),
    ),
    (
        HEAD + "    calender: XNYS",
        (
            "universe.yaml:4: instruments[0].calender: is not a setting here; allowed: symbol, asset_class, "
            "calendar, provider, name, timeframes, listed, delisted, aliases; did you mean 'calendar'?"
        ),
    ),
    (
        HEAD + "    timeframes: [1d, 5m]",
        "universe.yaml:4: instruments[0].timeframes[1]: '5m' is not known; allowed: 1m, 1d",
    ),
    (
        HEAD + "    asset_class: equities",
        (
            "universe.yaml:4: instruments[0].asset_class: 'equities' is not known; allowed: equity, etf, "
            "crypto, fx, future, index, power, spread; did you mean 'equity'?"
        ),
    ),
    (HEAD + "  - provider: p", "universe.yaml:4: instruments[1].symbol: is missing"),
    (HEAD + "  - symbol: IBM", "universe.yaml:4: instruments[1].provider: is missing; name one of providers.yaml"),
    (
        HEAD + "  - symbol: IBM\n    provider:",
        "universe.yaml:5: instruments[1].provider: is missing; name one of providers.yaml",
    ),
    (
        HEAD + "  - symbol: 7203\n    provider: p",
        "universe.yaml:4: instruments[1].symbol: 7203 is not text; put it in quotes",
    ),
    (
        HEAD + "  - provider: p\n    symbol: A|B",
        (
            "universe.yaml:5: instruments[1].symbol: symbol 'A|B' has '|' at position 2; allowed are A-Z a-z "
            "0-9 . - _ / :, and ^ = at the start or end"
        ),
    ),
    (HEAD + "  - symbol: AAPL\n    provider: p", "universe.yaml:4: instruments[1].symbol: 'AAPL' is given twice"),
    (
        HEAD + "    listed: 31.1.2024",
        "universe.yaml:4: instruments[0].listed: '31.1.2024' is not a date; write 2024-01-31",
    ),
    (HEAD + "    listed: 1980", "universe.yaml:4: instruments[0].listed: 1980 is not a date; write 2024-01-31"),
    (
        HEAD + "    listed: 2024-01-31\n    delisted: 2024-01-31",
        (
            "universe.yaml:5: instruments[0].delisted: 2024-01-31 is not after listed: 2024-01-31; it is the "
            "first day without trading"
        ),
    ),
    (
        HEAD + "    aliases:\n      - {ticker: B, from: 2024-01-02,\n         until: 2024-01-01}",
        (
            "universe.yaml:6: instruments[0].aliases[0].until: 2024-01-01 is not after from: 2024-01-02; it "
            "is the first day without this ticker"
        ),
    ),
    (
        HEAD + "    aliases:\n      - {ticker: B, until: 2020-01-02}\n      - {ticker: B, from: 2020-01-01}",
        ("universe.yaml:6: instruments[0].aliases[1]: 'B' means AAPL already, from 0001-01-01 until 2020-01-02"),
    ),
    (
        HEAD + "  - symbol: B\n    provider: p\n    aliases:\n      - ticker: AAPL",
        ("universe.yaml:7: instruments[1].aliases[0]: 'AAPL' means AAPL already, from 0001-01-01 until 9999-12-31"),
    ),
    (
        "history: {1m: 2010-01-15}",
        "universe.yaml:1: history.1m: 2010-01-15 is not the first day of a month; write 2010-01-01",
    ),
    (
        "history: {1d: 2010-02-01}",
        "universe.yaml:1: history.1d: 2010-02-01 is not the first day of a year; write 2010-01-01",
    ),
    (
        "history: {1d: 1970-01-01}",
        "universe.yaml:1: history.1d: 1970-01-01 is before 1980-01-01, the first day that calendars know",
    ),
    ("history: {5m: 2010-01-01}", "universe.yaml:1: history.5m: is not a setting here; allowed: 1m, 1d"),
    (
        "gate: {max_rejected_share: 2}",
        "universe.yaml:1: gate.max_rejected_share: 2 is refused: input should be less than or equal to 1",
    ),
    (
        "gate: {max_rejected_share: '0.5'}",
        "universe.yaml:1: gate.max_rejected_share: '0.5' is refused: input should be a valid number",
    ),
    (
        "presets:\n  good: [A]\n  bad:\n    - A\n    - B C",
        (
            "universe.yaml:5: presets.bad[1]: symbol 'B C' has ' ' at position 2; allowed are A-Z a-z 0-9 . - _ / :, "
            "and ^ = at the start or end"
        ),
    ),
    ("presets:\n  bad: [A, B, A]", "universe.yaml:2: presets.bad[2]: 'A' is given twice"),
    (
        "presets:\n  bad: {fiel: x}",
        (
            "universe.yaml:2: presets.bad: a preset is a list of symbols, or {file: presets/name.txt} with "
            "one symbol per line"
        ),
    ),
    ("presets:\n  bad: {file: absent.txt}", "absent.txt: cannot be read: No such file or directory"),
]


class TestMistakes:
    @pytest.mark.parametrize(("text", "refusal"), MISTAKES, ids=[refusal for _, refusal in MISTAKES])
    def test_a_mistake_is_answered_with_file_line_key_and_a_way_out(
        self, tmp_path: Path, text: str, refusal: str
    ) -> None:
        assert refusal_of_universe(tmp_path, text) == refusal

    def test_every_mistake_of_a_file_is_named_at_once(self, tmp_path: Path) -> None:
        refusal = refusal_of_universe(tmp_path, HEAD + "    calender: X\n  - provider: p\ngate: {share: 1}\n")
        assert [line.split(": ")[:2] for line in refusal.splitlines()] == [
            ["universe.yaml:4", "instruments[0].calender"],
            ["universe.yaml:5", "instruments[1].symbol"],
            ["universe.yaml:6", "gate.share"],
        ]

    def test_a_wrong_line_in_a_preset_s_own_file_is_named_by_that_file(self, tmp_path: Path) -> None:
        write(tmp_path, "mine.txt", "# mine\nAAPL\nBRK^B\n")
        refusal = refusal_of_universe(tmp_path, "presets: {mine: {file: mine.txt}}")
        assert (
            refusal == "mine.txt:3: symbol 'BRK^B' has '^' at position 4; allowed are A-Z a-z 0-9 . - _ / :, "
            "and ^ = at the start or end"
        )

    def test_a_provider_that_is_not_configured_is_named_with_those_that_are(self, tmp_path: Path) -> None:
        write(tmp_path, "providers.yaml", "providers: {sample: {kind: sample}}")
        refusal = refusal_of_universe(tmp_path, HEAD + "  - symbol: B\n    provider: sampel\n")
        assert refusal == ("universe.yaml:3: instruments[0].provider: 'p' is not in providers.yaml; there are: sample")

    def test_a_calendar_that_does_not_exist_is_found_when_asked_for(self, tmp_path: Path) -> None:
        universe = load_universe(write(tmp_path, "universe.yaml", HEAD + "    calendar: NYSE\n"))
        with pytest.raises(ConfigurationError) as caught:
            check_calendars(universe)
        text = str(caught.value).replace(f"{tmp_path}/", "")
        assert text.startswith("universe.yaml:4: instruments[0].calendar: 'NYSE' is not a calendar; allowed: 24/5, ")
        assert text.endswith("; did you mean 'XNYS'?")

    def test_a_calendar_that_cannot_be_built_is_found_when_asked_for(self, tmp_path: Path) -> None:
        universe = load_universe(write(tmp_path, "universe.yaml", HEAD + "    calendar: XTAE\n"))
        with pytest.raises(ConfigurationError, match=r"universe.yaml:4: .*calendar 'XTAE' cannot be built"):
            check_calendars(universe)

    def test_a_file_below_the_working_directory_is_named_from_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "config").mkdir()
        path = write(tmp_path, "config/universe.yaml", "gate: 1")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match=r"^config/universe.yaml:1: gate: 1 is not a mapping of settings$"):
            load_universe(path)

    def test_an_absent_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"universe.yaml: cannot be read: No such file"):
            load_universe(tmp_path / "universe.yaml")

    def test_a_file_that_is_not_utf8_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "universe.yaml").write_bytes("presets: {ö: [A]}".encode("latin-1"))
        with pytest.raises(ConfigurationError, match="is not UTF-8 text: invalid start byte at byte 10"):
            load_universe(tmp_path / "universe.yaml")

    @given(st.text(alphabet="abc019 :-[]{},#&*!|>'\"%@`\n\t~?", max_size=40))
    def test_no_text_at_all_gets_through_but_as_our_own_error(
        self, tmp_path_factory: pytest.TempPathFactory, text: str
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any.yaml"
        path.write_text(text, encoding="utf-8")
        for load in (load_universe, read_providers):
            with suppress(ChandleryError):
                load(path)


ALLOWED_TEXT = "allowed are A-Z a-z 0-9 . - _ / :, and ^ = at the start or end"


class TestSymbols:
    @pytest.mark.parametrize(
        ("symbol", "asset_class", "calendar"),
        [
            ("^GSPC", "index", "XNYS"),
            ("ES=F", "future", "CMES"),
            ("EURUSD=X", "fx", "24/5"),
            ("JPY=", "equity", "XNYS"),
        ],
    )
    def test_indices_futures_and_currencies_are_symbols_as_vendors_write_them(
        self, symbol: str, asset_class: str, calendar: str
    ) -> None:
        guess = guess_instrument(validate_symbol(symbol))
        assert (guess.asset_class, guess.calendar) == (asset_class, calendar)

    @given(st.text(alphabet=ALLOWED, min_size=1, max_size=32).filter(lambda text: any(map(str.isalnum, text))))
    def test_every_text_of_allowed_characters_is_a_symbol_and_has_a_guess_or_an_error(self, text: str) -> None:
        assert validate_symbol(text) == text
        try:
            guess = guess_instrument(text)
        except UsageError as error:
            assert "is not known; say by which calendar it trades" in str(error)  # noqa: PT017 - either is right
            guess = guess_instrument(text, calendar="XNYS")
        assert (guess.symbol, guess.asset_class) == (text, default_asset_class(text))

    @pytest.mark.parametrize(
        "symbol",
        ["VOD.QQ", "AAPL.US", "BTC/FOO", "BTC-FOO", "MY-STRATEGY", "^ABCDEF", "X.12", "LSE:VOD", "I:XYZ", "600519"],
    )
    def test_what_nobody_knows_is_said_to_be_unknown(self, symbol: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"symbol '{re.escape(symbol)}': .* is not known; say by which calendar"):
            guess_instrument(symbol)
        assert guess_instrument(symbol, calendar="XLON").calendar == "XLON"
        text = f"instruments:\n  - {{symbol: {symbol!r}, provider: p}}\n"
        with pytest.raises(ConfigurationError, match=r"instruments\[0\].calendar: is missing: .* is not known"):
            load_universe(write(tmp_path, "universe.yaml", text))

    @given(st.text(max_size=40))
    def test_a_text_is_a_symbol_exactly_if_its_characters_and_length_are_allowed(self, text: str) -> None:
        core = re.sub(r"=[A-Za-z0-9]{0,2}$", "", text.removeprefix("^"))
        fits = 1 <= len(text) <= 32 and set(core) <= set(ALLOWED) and not set(core) <= set(".-_/:")
        if fits:
            assert validate_symbol(text) == text
        else:
            with pytest.raises(UsageError, match="symbol "):
                validate_symbol(text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("AAPL|2024-01", f"symbol 'AAPL|2024-01' has '|' at position 5; {ALLOWED_TEXT}"),
            ("", "symbol '' has 0 characters; allowed are 1 to 32"),
            ("A" * 33, f"symbol '{'A' * 33}' has 33 characters; allowed are 1 to 32"),
            ("..", "symbol '..' has no letter or digit; write one like AAPL, BRK.B or BTC/USD"),
            ("Å", f"symbol 'Å' has 'Å' at position 1; {ALLOWED_TEXT}"),
            ("A^B", f"symbol 'A^B' has '^' at position 2; {ALLOWED_TEXT}"),
            ("ES=FUT", f"symbol 'ES=FUT' has '=' at position 3; {ALLOWED_TEXT}"),
            ("^", "symbol '^' has no letter or digit; write one like AAPL, BRK.B or BTC/USD"),
            ("=F", "symbol '=F' has no letter or digit; write one like AAPL, BRK.B or BTC/USD"),
        ],
    )
    def test_a_symbol_is_refused_with_the_reason(self, text: str, message: str) -> None:
        with pytest.raises(UsageError) as caught:
            validate_symbol(text)
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("symbol", "asset_class", "calendar"),
        [
            ("AAPL", "equity", "XNYS"),
            ("BRK.B", "equity", "XNYS"),
            ("BRK-B", "equity", "XNYS"),
            ("BTC/USD", "crypto", "24/7"),
            ("xrp-eth", "crypto", "24/7"),
            ("BTC-PERP", "crypto", "24/7"),
            ("BTC-USDT", "crypto", "24/7"),
            ("EUR/USD", "fx", "24/5"),
            ("EUR-USD", "fx", "24/5"),
            ("BTC-EUR", "crypto", "24/7"),
            ("BTCUSDT", "crypto", "24/7"),
            ("ETH_USDC", "crypto", "24/7"),
            ("BTCEUR", "crypto", "24/7"),
            ("SIM/USD", "crypto", "24/7"),
            ("EURUSD", "fx", "24/5"),
            ("USD_JPY", "fx", "24/5"),
            ("EUR-PLN", "fx", "24/5"),
            *(
                (pair, "crypto", "24/7")
                for pair in ("ETHBTC", "DOGEXBT", "ADAETH", "MATICUSD", "OPUSD", "WIFEUR", "TONUSD")
            ),
            *(
                (pair, "crypto", "24/7")
                for pair in ("BTCUSD.P", "BTC-USDT-SWAP", "ETH-USD-PERP", "BINANCE:SOLUSDT", "X:BTCUSD")
            ),
            ("C:EURUSD", "fx", "24/5"),
            ("OANDA:EUR_USD", "fx", "24/5"),
            ("NASDAQ:AAPL", "equity", "XNYS"),
            ("I:NDX", "index", "XNYS"),
            ("ESZ4", "future", "CMES"),
            ("CLK20", "future", "CMES"),
            ("6EH2025", "future", "CMES"),
            ("ABCZ24.CBT", "future", "CMES"),
            ("CCZ24.NYB", "future", "IEPA"),
            ("SYM1", "equity", "XNYS"),
            ("BAC-PL", "equity", "XNYS"),
            ("BF.B", "equity", "XNYS"),
            ("ENI.MI", "equity", "XMIL"),
            ("RELIANCE.NS", "equity", "XBOM"),
            ("600519.SS", "equity", "XSHG"),
            ("2330.TW", "equity", "XTAI"),
            ("005930.KS", "equity", "XKRX"),
            ("NESN.SW", "equity", "XSWX"),
            ("PETR4.SA", "equity", "BVMF"),
            ("^N225", "index", "XTKS"),
            ("^FTSE", "index", "XLON"),
            ("VOD.L", "equity", "XLON"),
            ("7203.T", "equity", "XTKS"),
            ("VOLV-B.ST", "equity", "XSTO"),
            ("SAP.DE", "equity", "XETR"),
            ("MC.PA", "equity", "XPAR"),
            ("RY.TO", "equity", "XTSE"),
            ("0700.HK", "equity", "XHKG"),
            ("BHP.AX", "equity", "XASX"),
        ],
    )
    def test_a_symbol_s_spelling_says_what_it_most_likely_is(
        self, symbol: str, asset_class: str, calendar: str
    ) -> None:
        guess = guess_instrument(symbol)
        assert (guess.asset_class, guess.calendar, guess.provider) == (asset_class, calendar, None)
