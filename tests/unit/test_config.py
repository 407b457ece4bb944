"""The configuration files: what they mean, and that each mistake is answered with file, line, key and a way out."""

from __future__ import annotations

import string
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.calendars import calendar_names
from chandlery.config import (
    AliasConfig,
    InstrumentConfig,
    Universe,
    check_calendars,
    default_asset_class,
    guess_instrument,
    load_providers,
    load_universe,
    validate_symbol,
)
from chandlery.errors import ChandleryError, ConfigurationError, ProviderAuthError, UsageError
from chandlery.providers.config import ProviderConfig, ProvidersConfig
from chandlery.providers.registry import build_provider
from chandlery.timeframe import Timeframe

CONFIG = Path(__file__).parent.parent.parent / "config"
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


def refusal_of_providers(folder: Path, text: str) -> str:
    path = write(folder, "providers.yaml", text)
    with pytest.raises(ConfigurationError) as caught:
        load_providers(path)
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
            write(tmp_path, "universe.yaml", "instruments:\n  - {symbol: ETH/BTC, provider: p}\n  - {symbol: X, provider: p, asset_class: fx}")
        )
        assert universe.instruments == (
            InstrumentConfig(symbol="ETH/BTC", asset_class="crypto", calendar="24/7", provider="p"),
            InstrumentConfig(symbol="X", asset_class="fx", calendar="24/5", provider="p"),
        )
        assert universe.history.first_day(Timeframe.H1) == date(2010, 1, 1)
        assert universe.history.first_day(Timeframe.MO1) == date(1990, 1, 1)
        assert universe.gate.max_rejected_share == 0.01

    def test_tickers_that_yaml_takes_for_something_else_stay_text(self, tmp_path: Path) -> None:
        path = write(tmp_path, "universe.yaml", "presets: {odd: [ON, NO, TRUE, NULL, 0700, 1e3x, 2024-01-31, 1:30, .5]}")
        assert load_universe(path).preset("odd") == ("ON", "NO", "TRUE", "NULL", "0700", "1e3x", "2024-01-31", "1:30", ".5")

    def test_a_preset_in_a_file_of_its_own_is_read_beside_the_universe(self, tmp_path: Path) -> None:
        write(tmp_path, "mine.txt", "# mine\nAAPL\n\nBRK.B  # class B\n")
        assert load_universe(write(tmp_path, "universe.yaml", "presets: {mine: {file: mine.txt}}")).preset("mine") == ("AAPL", "BRK.B")

    def test_an_unknown_preset_is_answered_with_those_there_are(self) -> None:
        with pytest.raises(UsageError, match=r"preset 'dwo30' is not known; there are: demo, dow30; did you mean 'dow30'\?"):
            Universe(presets={"demo": ("A",), "dow30": ("B",)}).preset("dwo30")

    def test_reading_the_same_file_twice_gives_the_same(self) -> None:
        assert load_universe(CONFIG / "universe.yaml") == load_universe(CONFIG / "universe.yaml")

    def test_a_universe_is_immutable(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load_universe(CONFIG / "universe.yaml").gate.max_rejected_share = 1.0  # type: ignore[misc]

    def test_a_ticker_may_pass_from_one_instrument_to_another(self, tmp_path: Path) -> None:
        text = """
            instruments:
              - {symbol: META, provider: p, listed: 2012-05-18, aliases: [{ticker: FB, from: 2012-05-18, until: 2022-06-09}]}
              - {symbol: METV, provider: p, listed: 2021-06-30, aliases: [{ticker: META, from: 2021-06-30, until: 2022-01-31}]}
              - {symbol: FB, provider: p, listed: 2022-06-09}
        """
        assert len(load_universe(write(tmp_path, "universe.yaml", text)).instruments) == 3


HEAD = "instruments:\n  - symbol: AAPL\n    provider: p\n"

MISTAKES = [
    ("", "universe.yaml: the file is empty"),
    ("[1, 2]", "universe.yaml:1: [1, 2] is not a mapping of settings"),
    ("gate:\n\tshare: 1", "universe.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
    ("gate: {}\nhistory: {}\ngate: {}", "universe.yaml:3: gate: given twice, first on line 1"),
    (HEAD + "    provider: q\n", "universe.yaml:4: instruments[0].provider: given twice, first on line 3"),
    ("instrument: []", "universe.yaml:1: instrument: is not a setting here; allowed: history, gate, instruments, presets; did you mean 'instruments'?"),
    (HEAD + "    calender: XNYS", "universe.yaml:4: instruments[0].calender: is not a setting here; allowed: symbol, asset_class, calendar, provider, name, listed, delisted, aliases; did you mean 'calendar'?"),
    (HEAD + "    asset_class: equities", "universe.yaml:4: instruments[0].asset_class: 'equities' is not known; allowed: equity, etf, crypto, fx, future, index; did you mean 'equity'?"),
    (HEAD + "  - provider: p", "universe.yaml:4: instruments[1].symbol: is missing"),
    (HEAD + "  - symbol: IBM", "universe.yaml:4: instruments[1].provider: is missing; name one of providers.yaml"),
    (HEAD + "  - symbol: IBM\n    provider:", "universe.yaml:5: instruments[1].provider: is missing; name one of providers.yaml"),
    (HEAD + "  - symbol: 7203\n    provider: p", "universe.yaml:4: instruments[1].symbol: 7203 is not text; put it in quotes"),
    (HEAD + "  - provider: p\n    symbol: A|B", "universe.yaml:5: instruments[1].symbol: symbol 'A|B' has '|' at position 2; allowed are A-Z a-z 0-9 . - _ / :"),
    (HEAD + "  - symbol: AAPL\n    provider: p", "universe.yaml:4: instruments[1].symbol: 'AAPL' is given twice"),
    (HEAD + "    listed: 31.1.2024", "universe.yaml:4: instruments[0].listed: '31.1.2024' is not a date; write 2024-01-31"),
    (HEAD + "    listed: 1980", "universe.yaml:4: instruments[0].listed: 1980 is not a date; write 2024-01-31"),
    (HEAD + "    listed: 2024-01-31\n    delisted: 2024-01-31", "universe.yaml:5: instruments[0].delisted: 2024-01-31 is not after listed: 2024-01-31; it is the first day without trading"),
    (HEAD + "    aliases:\n      - {ticker: B, from: 2024-01-02,\n         until: 2024-01-01}", "universe.yaml:6: instruments[0].aliases[0].until: 2024-01-01 is not after from: 2024-01-02; until is the first day it no longer applies"),
    (HEAD + "    aliases:\n      - {ticker: B, until: 2020-01-02}\n      - {ticker: B, from: 2020-01-01}", "universe.yaml:6: instruments[0].aliases[1]: 'B' means AAPL already, from 0001-01-01 until 2020-01-02"),
    (HEAD + "  - symbol: B\n    provider: p\n    aliases:\n      - ticker: AAPL", "universe.yaml:7: instruments[1].aliases[0]: 'AAPL' means AAPL already, from 0001-01-01 until 9999-12-31"),
    ("history: {1m: 2010-01-15}", "universe.yaml:1: history.1m: 2010-01-15 is not the first day of a month; write 2010-01-01"),
    ("history: {1d: 2010-02-01}", "universe.yaml:1: history.1d: 2010-02-01 is not the first day of a year; write 2010-01-01"),
    ("history: {1d: 1970-01-01}", "universe.yaml:1: history.1d: 1970-01-01 is too early; no calendar is known before 1980-01-01"),
    ("history: {5m: 2010-01-01}", "universe.yaml:1: history.5m: is not a setting here; allowed: 1m, 1d; did you mean '1m'?"),
    ("gate: {max_rejected_share: 2}", "universe.yaml:1: gate.max_rejected_share: 2 is refused: input should be less than or equal to 1"),
    ("gate: {max_rejected_share: '0.5'}", "universe.yaml:1: gate.max_rejected_share: '0.5' is refused: input should be a valid number"),
    ("presets:\n  good: [A]\n  bad:\n    - A\n    - B C", "universe.yaml:5: presets.bad[1]: symbol 'B C' has ' ' at position 2; allowed are A-Z a-z 0-9 . - _ / :"),
    ("presets:\n  bad: [A, B, A]", "universe.yaml:2: presets.bad[2]: 'A' is given twice"),
    ("presets:\n  bad: {fiel: x}", "universe.yaml:2: presets.bad: a preset is a list of symbols, or {file: presets/name.txt} with one symbol per line"),
    ("presets:\n  bad: {file: absent.txt}", "absent.txt: cannot be read: No such file or directory"),
    ("presets:\n  bad: {file: universe.yaml}", "universe.yaml:2: symbol 'bad: {file: universe.yaml}' has ' ' at position 5; allowed are A-Z a-z 0-9 . - _ / :"),
]  # fmt: skip


class TestMistakes:
    @pytest.mark.parametrize(("text", "refusal"), MISTAKES)
    def test_a_mistake_is_answered_with_file_line_key_and_a_way_out(self, tmp_path: Path, text: str, refusal: str) -> None:
        if refusal.startswith("universe.yaml:2: symbol"):  # the preset's own file is wrong, and that is the one to name
            text = text.replace("presets:\n", "# of names\npresets:\n", 1).replace("presets:", "presets:")
            refusal = refusal.replace("universe.yaml:2: symbol 'bad: {file: universe.yaml}'", "universe.yaml:3: symbol 'bad: {file: universe.yaml}'")
        assert refusal_of_universe(tmp_path, text) == refusal
