"""Providers as ``providers.yaml`` and installed packages describe them, and what is made of that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

from chandlery.config.providers import ProviderConfig, ProvidersConfig, read_providers
from chandlery.config.universe import load_universe
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError, ProviderAuthError
from chandlery.providers.base import BarRequest, Provider, ProviderKind, source_name
from chandlery.providers.catalog import (
    GROUP,
    build_provider,
    find_kind,
    is_static,
    load_providers,
    provider_kinds,
    remote_limits,
)

CONFIG = Path(__file__).parents[3] / "config"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    path = write(folder, "providers.yaml", text)
    with pytest.raises(ConfigurationError) as caught:
        load_providers(path)
    return str(caught.value).replace(f"{folder}/", "")


def bars(folder: Path) -> None:
    (folder / "bars_1d").mkdir(parents=True)
    (folder / "bars_1d" / "X.csv").write_text("date,open,high,low,close,volume\n2024-01-02,1,2,1,1.5,100\n")


def closes(provider: Provider) -> list[float]:
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    values: list[float] = provider.fetch(BarRequest(["X"], Timeframe.D1, start, end)).bars["close"].to_pylist()
    return values


def install(folder: Path, name: str, code: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package as far as Python can see: a module, and metadata with an entry point."""
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")
    (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)


KEY, SECRET = "PKABCDEFGHIJKLMNOPQR", "c29tZXRoaW5n/c2VjcmV0+="

PROVIDER_MISTAKES = [
    (
        "providers:\n  a: {kind: alpaca, key_env: {key: ACME_KEY}}",
        "providers.yaml:2: providers.a.key_env: names key; kind alpaca takes key secret",
    ),
    (
        "providers:\n  a: {kind: sample}\n  b:c: {kind: sample}",
        "providers.yaml:3: providers.b:c: is not a name; allowed: lower-case letters, digits, and - and _ within",
    ),
    (
        "providers:\n  ../a: {kind: sample}",
        "providers.yaml:2: providers.../a: is not a name; allowed: lower-case letters, digits, and - and _ within",
    ),
    ("sample: {kind: sample}", "providers.yaml:1: sample: is not a setting here; allowed: providers"),
    (
        "providers:\n  a: {kind: sampel}",
        (
            "providers.yaml:2: providers.a.kind: 'sampel' is not known; allowed: alpaca, coinbase, files, ib, polygon,"
            " sample, simulated, yahoo; did you mean 'sample'?"
        ),
    ),
    (
        "providers:\n  a:\n    kind: sample\n    options: {seed: 7}",
        "providers.yaml:4: providers.a.options.seed: is not a setting here; allowed: ",
    ),
    (
        "providers:\n  a:\n    kind: files\n    options:\n      timezone: UTC",
        (
            "providers.yaml:5: providers.a.options.timezone: is not a setting here; allowed: columns, headerless, "
            "ignore_columns, tz, epoch_unit, date_format, decimal, delimiter, encoding, label, price_scale, "
            "fixed_point, pattern, blank_rows, path, mapping, asked"
        ),
    ),
    (
        "providers:\n  a: {kind: files, options: {tz: Mars/Base}}",
        (
            "providers.yaml:2: providers.a.options.tz: 'Mars/Base' is not an IANA time zone; write one like "
            "UTC or America/New_York"
        ),
    ),
    (
        "providers:\n  a: {kind: files, options: {epoch_unit: sec}}",
        "providers.yaml:2: providers.a.options.epoch_unit: 'sec' is not known; allowed: s, ms, us, ns, excel",
    ),
    (
        "providers:\n  a: {kind: simulated, options: {seed: seven}}",
        "providers.yaml:2: providers.a.options.seed: 'seven' is refused: input should be a valid integer",
    ),
    (
        f"providers:\n  a: {{kind: sample, options: {{api_key: {KEY}}}}}",
        (
            "providers.yaml:2: providers.a.options.api_key: keys do not belong into this file; name an "
            "environment variable in key_env"
        ),
    ),
    (
        f"providers:\n  a:\n    kind: sample\n    key_env:\n      key: {KEY}",
        (
            "providers.yaml:5: providers.a.key_env.key: is not the name of an environment variable; write "
            "one like ALPACA_API_KEY, never the key itself"
        ),
    ),
    (
        f"providers:\n  a:\n    kind: sample\n    key_env: {KEY}",
        (
            "providers.yaml:4: providers.a.key_env: is not a mapping of a key's name to the environment "
            "variable that holds it"
        ),
    ),
]


class TestProviders:
    @pytest.mark.parametrize(
        ("text", "expected"), PROVIDER_MISTAKES, ids=[expected for _, expected in PROVIDER_MISTAKES]
    )
    def test_a_mistake_is_answered_with_line_and_key_and_never_repeats_a_key(
        self, tmp_path: Path, text: str, expected: str
    ) -> None:
        answer = refusal(tmp_path, text)
        assert answer == expected
        assert KEY not in answer

    @pytest.mark.parametrize("name", ["sample", "simulated"])
    def test_the_shipped_providers_can_be_made(self, name: str) -> None:
        universe = load_universe(CONFIG / "universe.yaml")
        calendars = {instrument.symbol: instrument.calendar for instrument in universe.instruments}
        provider = build_provider(name, load_providers(CONFIG / "providers.yaml"), calendars=calendars)
        assert provider.name == name
        served = [instrument.symbol for instrument in universe.instruments if instrument.provider == name]
        reply = provider.fetch(
            BarRequest(served, Timeframe.D1, datetime(2012, 6, 1, tzinfo=UTC), datetime(2012, 7, 1, tzinfo=UTC))
        )
        assert not reply.failures
        assert set(reply.bars["symbol"].to_pylist()) == set(served)

    def test_a_folder_in_the_file_counts_from_the_project(self, tmp_path: Path) -> None:
        (tmp_path / "config").mkdir()
        bars(tmp_path / "data")
        config = load_providers(
            write(tmp_path, "config/providers.yaml", "providers: {mine: {kind: files, options: {path: data}}}")
        )
        assert closes(build_provider("mine", config)) == [1.5]

    def test_options_of_the_caller_override_the_file_s(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "config").mkdir()
        bars(tmp_path / "here" / "other")
        config = load_providers(
            write(tmp_path, "config/providers.yaml", "providers: {mine: {kind: files, options: {path: data}}}")
        )
        monkeypatch.chdir(tmp_path / "here")
        assert closes(build_provider("mine", config, options={"path": "other"})) == [1.5]

    def test_a_folder_is_asked_for_where_none_is_given(self) -> None:
        with pytest.raises(ConfigurationError, match="provider 'files' has no folder; give --path DIR"):
            build_provider("files", load_providers(CONFIG / "providers.yaml"))

    def test_an_unknown_option_of_the_caller_is_named(self) -> None:
        config = load_providers(CONFIG / "providers.yaml")
        message = r"options of provider 'simulated': sead: is not a setting here; allowed: seed; did you mean 'seed'\?"
        with pytest.raises(ConfigurationError, match=message):
            build_provider("simulated", config, options={"sead": 1})

    def test_an_unknown_provider_is_answered_with_those_there_are(self) -> None:
        message = (
            r"provider 'filez' is not configured; there are: sample, simulated, files, alpaca, polygon, yahoo, ib,"
            r" coinbase; did you mean 'files'\?"
        )
        with pytest.raises(ConfigurationError, match=message):
            build_provider("filez", load_providers(CONFIG / "providers.yaml"))

    @pytest.mark.parametrize("option", ["url", "host", "port", "feed", "client_id", "allow_adjusted"])
    def test_no_run_decides_where_a_key_is_sent(self, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
        config = load_providers(CONFIG / "providers.yaml")
        for name, provider in config.providers.items():
            for variable in provider.key_env.values():
                monkeypatch.setenv(variable, KEY)
            kind = find_kind(provider.kind)
            if option in kind.options.model_fields:
                with pytest.raises(ConfigurationError, match=f"{option} can be set in providers.yaml only"):
                    build_provider(name, config, options={option: "http://127.0.0.1:1"})

    def test_a_kind_with_keys_or_a_network_leaves_nothing_to_a_run(self) -> None:
        for provider in load_providers(CONFIG / "providers.yaml").providers.values():
            kind = find_kind(provider.kind)
            assert not kind.run_options or (not kind.keys and not kind.limits.remote)

    @pytest.mark.parametrize(
        "url",
        [
            "https://",
            "https:///x",
            "https://x y",
            "https://x:99999",
            "https://x:0",
            "https://x:port",
            "https://x\\ty",
            "",
        ],
    )
    def test_what_is_no_address_is_refused(self, tmp_path: Path, url: str) -> None:
        text = f'providers: {{yahoo: {{kind: yahoo, options: {{url: "{url}"}}}}}}'
        with pytest.raises(ConfigurationError, match=r"providers\.yaml:1: providers\.yahoo\.options\.url: "):
            load_providers(write(tmp_path, "providers.yaml", text))

    @pytest.mark.parametrize("url", ["https://user:pass@host", "https://user@host/x", "http://@host", "http://[::1"])
    def test_an_address_that_holds_credentials_is_refused_and_not_repeated(self, tmp_path: Path, url: str) -> None:
        text = f"providers: {{yahoo: {{kind: yahoo, options: {{url: '{url}'}}}}}}"
        with pytest.raises(ConfigurationError, match=r"providers\.yaml") as caught:
            load_providers(write(tmp_path, "providers.yaml", text))
        assert "pass" not in str(caught.value).replace("password", "")


ACME = """
from typing import Annotated, Any

from pydantic import Field

from chandlery.config.yaml_document import Section
from chandlery.providers.base import ProviderKind, ProviderLimits
from chandlery.providers.http.caller import RetryPolicy


class Options(Section):
    feed: str
    depth: Annotated[int, Field(ge=1)] = 1


class Made:
    timeframes = frozenset()
    limits = ProviderLimits(remote=True, workers=3)

    def __init__(self, setup):
        self.setup, self.name, self.caller = setup, setup.name, setup.caller
        self.source = setup.source(setup.options.feed)


KIND = ProviderKind(
    name="acme",
    factory=Made,
    options=Options,
    run_options=frozenset({"depth"}),
    keys=("id", "secret"),
    limits=Made.limits,
    retry=RetryPolicy(first_pause=5.0),
)
NO_KIND = Made
"""


class TestProvidersOfOtherPackages:
    """A package that adds the kind ``acme``."""

    @pytest.fixture
    def installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        install(tmp_path, "chandlery_acme", ACME, "acme = chandlery_acme:KIND", monkeypatch)
        options, keys = "{feed: slow, depth: 1}", "{id: ACME_KEY_ID, secret: ACME_SECRET}"
        text = f"providers: {{a: {{kind: acme, options: {options}, key_env: {keys}}}}}"
        return write(tmp_path, "providers.yaml", text)

    def test_it_is_made_with_options_keys_and_calendars(self, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ACME_KEY_ID", KEY)
        monkeypatch.setenv("ACME_SECRET", SECRET)
        made = build_provider("a", load_providers(installed), options={"depth": 2}, calendars={"X": "XNYS"})
        setup = made.setup  # type: ignore[attr-defined]
        assert (setup.caller.provider, setup.caller.timeout, setup.caller.made) == ("a", 30, 0)
        assert setup.caller.retry.first_pause == 5.0
        assert (setup.kind, setup.name, setup.calendars) == ("acme", "a", {"X": "XNYS"})
        assert (setup.options.feed, setup.options.depth) == ("slow", 2)
        assert setup.keys["id"].get_secret_value() == KEY
        assert KEY not in repr(setup)
        assert SECRET not in repr(setup)
        assert made.source == "acme:a:slow"  # type: ignore[attr-defined]

    def test_a_run_may_choose_only_what_the_kind_leaves_to_it(
        self, installed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACME_KEY_ID", KEY)
        monkeypatch.setenv("ACME_SECRET", SECRET)
        message = r"options of provider 'a': feed can be set in providers.yaml only; a run may choose: depth"
        with pytest.raises(ConfigurationError, match=message):
            build_provider("a", load_providers(installed), options={"depth": 2, "feed": "fast"})

    def test_its_limits_are_known_before_it_is_made(self, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ACME_KEY_ID", raising=False)
        config = load_providers(installed)
        assert remote_limits(config)["a"].workers == 3
        assert not is_static(config.provider("a"))

    def test_a_mistake_in_its_options_is_answered_with_line_and_key(self, installed: Path) -> None:
        text = """
            providers:
              a:
                kind: acme
                options:
                  feed: slow
                  depth: 0
                key_env: {id: ACME_KEY_ID, secret: ACME_SECRET}
        """
        assert refusal(installed.parent, text).startswith("providers.yaml:6: providers.a.options.depth: 0 is refused: ")

    def test_a_key_that_is_not_set_is_named_by_its_variable(
        self, installed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ACME_KEY_ID", raising=False)
        with pytest.raises(ProviderAuthError, match="provider 'a' needs the environment variable ACME_KEY_ID"):
            build_provider("a", load_providers(installed))

    def test_what_its_vendor_says_is_repeated_without_any_of_its_keys(
        self, installed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACME_KEY_ID", KEY)
        monkeypatch.setenv("ACME_SECRET", SECRET)
        caller = build_provider("a", load_providers(installed)).caller  # type: ignore[attr-defined]

        def fail() -> None:
            raise ProviderAuthError(f"no access for id={KEY} secret={SECRET}", provider="a")

        with pytest.raises(ProviderAuthError, match=r"^a: X 1d: no access for id=\*\*\* secret=\*\*\*$"):
            caller.call(fail, explain=lambda _: None, about="X 1d")

    @pytest.mark.parametrize("key", [f"{KEY} ", f"{KEY}\n", f"{KEY}\u00e9"])
    def test_a_key_that_cannot_be_one_is_refused_without_being_shown(
        self, installed: Path, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ACME_KEY_ID", key)
        monkeypatch.setenv("ACME_SECRET", SECRET)
        with pytest.raises(ProviderAuthError, match="the environment variable ACME_KEY_ID of provider 'a'") as caught:
            build_provider("a", load_providers(installed))
        assert KEY not in f"{caught.value!r}"

    def test_a_kind_that_is_not_installed_is_named(self) -> None:
        config = ProvidersConfig(providers={"a": ProviderConfig(kind="acme")})
        message = (
            "kind 'acme' of provider 'a' is not installed; there are: alpaca, coinbase, files, ib, polygon, sample"
        )
        with pytest.raises(ConfigurationError, match=message):
            build_provider("a", config)

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("acme = chandlery_broken:KIND", "kind 'acme' cannot be loaded from chandlery_broken:KIND: "),
            ("acme = chandlery_acme:ABSENT", "kind 'acme' cannot be loaded from chandlery_acme:ABSENT: "),
            ("acme = chandlery_acme:NO_KIND", "chandlery_acme:NO_KIND is not the ProviderKind called 'acme'"),
            ("other = chandlery_acme:KIND", "chandlery_acme:KIND is not the ProviderKind called 'other'"),
            (
                "sample = chandlery_acme:KIND",
                "kind 'sample' is added more than once, by chandlery.providers.sample:KIND and chandlery_acme:KIND;",
            ),
        ],
    )
    def test_an_entry_point_that_names_no_such_kind_is_refused(
        self, entry: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path, "chandlery_acme", ACME, entry, monkeypatch)
        with pytest.raises(ConfigurationError, match=message):
            find_kind(entry.partition(" ")[0])


class TestKindsThatCannotBeLoaded:
    @pytest.fixture
    def config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProvidersConfig:
        code = "raise RuntimeError('it wants another machine')"
        install(tmp_path, "chandlery_odd", code, "acme = chandlery_odd:KIND", monkeypatch)
        text = "providers: {a: {kind: acme, options: {whatever: 1}, key_env: {id: ACME_KEY_ID}}, b: {kind: coinbase}}"
        return load_providers(write(tmp_path, "providers.yaml", text))

    def test_the_other_providers_can_be_used(self, config: ProvidersConfig) -> None:
        assert build_provider("b", config).name == "b"
        assert set(remote_limits(config)) == {"b"}
        assert not is_static(config.provider("a"))

    def test_they_are_named_when_they_are_made(self, config: ProvidersConfig) -> None:
        with pytest.raises(ConfigurationError, match=r"kind 'acme' of provider 'a' cannot be loaded.*another machine"):
            build_provider("a", config)


def test_a_factory_that_breaks_is_named_and_tells_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from chandlery.providers.base import ProviderKind

def make(setup):
    raise OSError(f"no route with {setup.keys['id'].get_secret_value()}")

KIND = ProviderKind(name="acme", factory=make, keys=("id",))
"""
    install(tmp_path, "chandlery_leaky", code, "acme = chandlery_leaky:KIND", monkeypatch)
    monkeypatch.setenv("ACME_KEY_ID", KEY)
    text = "providers: {a: {kind: acme, key_env: {id: ACME_KEY_ID}}}"
    config = load_providers(write(tmp_path, "providers.yaml", text))
    with pytest.raises(ConfigurationError, match=r"^provider 'a' cannot be made: OSError: no route with \*\*\*$"):
        build_provider("a", config)


class TestKinds:
    def test_ours_are_registered_like_those_of_any_package(self) -> None:
        ours = {entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("chandlery.providers.")}
        assert sorted(ours) == ["alpaca", "coinbase", "files", "ib", "polygon", "sample", "simulated", "yahoo"]
        assert ours <= set(provider_kinds())
        assert all(isinstance(find_kind(name), ProviderKind) for name in ours)

    def test_a_kind_says_whether_it_is_called_and_whether_newer_bars_may_come(self) -> None:
        kinds = {name: find_kind(name) for name in provider_kinds()}
        assert {name for name, kind in kinds.items() if kind.static} == {"files", "sample", "simulated"}
        # Without a range, the last weeks of these are loaded, whatever the provider is called.
        assert {name for name, kind in kinds.items() if kind.limits.endless} == {"simulated"}
        remote = {"alpaca", "coinbase", "ib", "polygon", "yahoo"}
        assert {name for name, kind in kinds.items() if kind.limits.remote} == remote
        assert all(kinds[name].calls_per_minute for name in remote)

    def test_the_form_of_the_file_is_read_without_any_kind(self, tmp_path: Path) -> None:
        path = write(tmp_path, "providers.yaml", "providers: {a: {kind: nobody-has-this}}")
        assert read_providers(path).provider("a").kind == "nobody-has-this"

    @pytest.mark.parametrize(
        ("parts", "source"),
        [
            (("files", "files"), "files"),
            (("files", "backup"), "files:backup"),
            (("alpaca", "alpaca", "sip"), "alpaca:sip"),
            (("alpaca", "desk", "sip"), "alpaca:desk:sip"),
        ],
    )
    def test_a_source_is_kind_then_name_then_feed(self, parts: Sequence[str], source: str) -> None:
        assert source_name(*parts) == source
