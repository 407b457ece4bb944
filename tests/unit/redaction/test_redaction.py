"""No secret of the environment is shown, logged or stored, whoever says it and however it is spelled."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from chandlery.cli.app import app
from chandlery.cli.output import say
from chandlery.config.yaml_document import Document
from chandlery.database.dsn import market_dsn
from chandlery.errors import ChandleryError, ConfigurationError, ProviderTransientError
from chandlery.lake.store import Lake
from chandlery.providers.http.remote import RemoteOptions
from chandlery.redaction.logs import hide_in_logs
from chandlery.redaction.text import hide, hide_within, holds_credentials
from chandlery.settings import Settings
from pipelines.hidden_secrets import without_secrets

PASSWORD = "Gr0ss/Geh@im#42%"
ESCAPED = "Gr0ss%2FGeh%40im%2342%25"
KEY = "AKQ7/xW+31kdZz=="
VARIABLES = {
    "CHANDLERY_DATABASE_URL": f"postgresql://bob:{ESCAPED}@db.example:5432/bars?sslmode=require",
    "ALPACA_SECRET_KEY": KEY,
    "HTTPS_PROXY": "http://proxyuser:Pr0xyPass@proxy.example:3128",
    "PGPASSWORD": "libpq-Pass-9",
    "MY_DSN": "host=db user=bob password='quoted pass 7'",
}
SECRETS = {PASSWORD, ESCAPED, KEY, "Pr0xyPass", "libpq-Pass-9", "quoted pass 7"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def basic(login: str) -> str:
    return base64.b64encode(login.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f'password authentication failed for "{PASSWORD}"',
        f"cannot connect to postgresql://bob:{ESCAPED}@db.example/bars",
        f"cannot connect to postgresql://bob:{PASSWORD}@db.example/bars",
        f"refused: {ESCAPED.lower()}",
        json.dumps({"detail": KEY, "at": PASSWORD}),
        f"?secret=AKQ7%2FxW%2B31kdZz%3D%3D and {KEY!r}",
        f"authorization was {basic(f'bob:{PASSWORD}')} there",
        f"a header of {basic(f'x:{KEY}')}, {basic(f'ab:{KEY}')}, {basic(f'abc:{KEY}')}",
        "ProxyError: http://proxyuser:Pr0xyPass@proxy.example:3128 and Pr0xyPass",
        "fe_sendauth: libpq-Pass-9, quoted pass 7",
        f"cut {PASSWORD[:9]}… and '{KEY[:8]}...{KEY[-6:]}'",
    ],
)
def test_no_secret_of_the_environment_is_shown_however_it_is_spelled(text: str) -> None:
    shown = hide(text)
    assert "***" in shown
    pieces = SECRETS | {PASSWORD[:9], KEY[:8], KEY[-6:], basic(KEY)[:16], basic(f"bob:{PASSWORD}")[4:20]}
    pieces |= {basic(f"{user}:{KEY}")[8:20] for user in ("x", "ab", "abc")}
    assert not [piece for piece in pieces if piece.lower() in shown.lower()]
    assert hide(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIA1:abc@bucket/lake is no lake", "s3://***@bucket/lake is no lake"),
        ("https://ghp_tok@host/x", "https://***@host/x"),
        ("GET https://host/v2?apikey=abc&start=1", "GET https://host/v2?apikey=***&start=1"),
        ("GET /v2?start=1&token=abc HTTP/1.1", "GET /v2?start=1&token=*** HTTP/1.1"),
        ("GET /v2?key=abc", "GET /v2?key=***"),
        ("host=db password=abc user=me", "host=db password=*** user=me"),
        ("host=db password='a b' user=me", "host=db password='***' user=me"),
        ("postgresql://me:a@b/c@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:a/b@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:1/b@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:a:b#c%d@host/db?a=b@c", "postgresql://me:***@host/db?a=b@c"),
        ("Authorization: Bearer abcdefgh", "Authorization: Bearer ***"),
        ("Authorization: Basic dXNlcjpw", "Authorization: Basic ***"),
        ("Proxy-Authorization: Basic dXNlcjpw", "Proxy-Authorization: Basic ***"),
        ("APCA-API-SECRET-KEY: abc, x", "APCA-API-SECRET-KEY: ***, x"),
        ("{'api_key': 'abc', 'n': 1}", "{'api_key': '***', 'n': 1}"),
        ('{"Authorization": "abc def"}', '{"Authorization": "***"}'),
        ("Cookie: a=b; chandlery_ui_3000=abcdefgh", "Cookie: ***"),
        ("Set-Cookie: chandlery_ui_3000=abcdefgh; HttpOnly", "Set-Cookie: ***"),
        ("ALTER ROLE x PASSWORD 'abc'", "ALTER ROLE x PASSWORD '***'"),
        ("user=me pwd=abc", "user=me pwd=***"),
        ("a bearer abc4defg", "a bearer ***"),
    ],
    ids=map(str, count()),  # pytest puts the name of a test into the environment
)
def test_what_stands_where_only_a_secret_stands_is_hidden_whoever_it_is_of(text: str, shown: str) -> None:
    assert hide(text) == shown
    assert hide(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "write postgresql://user:password@host:5432/database",
        "check the user and the password in CHANDLERY_DATABASE_URL",
        "providers.a.options.token: keys do not belong into this file; name an environment variable in key_env",
        "provider 'alpaca' needs the environment variable ALPACA_SECRET_KEY",
        "postgresql://bob@db/bars and http://127.0.0.1:8080/a@b and s3://bucket/prefix",
        "a basic information about tokens: none; the primary key=(id, ts)",
        "token_count=12, secret_count = 5, signature = inspect, passed=3",
        "basic Materials of XLB, Basic SQL/Stat, bearer certificates",
        "in CHANDLERY_DATABASE_URL, its sslmode=require where the server wants TLS",
    ],
    ids=map(str, count()),
)
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert hide(text) == text


def test_a_password_that_is_the_users_name_is_hidden_in_its_place_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", "postgresql://postgres:postgres@db/bars")
    assert hide('role "postgres" may not do that') == 'role "postgres" may not do that'
    assert hide("at postgresql://postgres:postgres@db/bars") == "at postgresql://postgres:***@db/bars"


def test_a_short_secret_within_a_word_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_TOKEN", "candle7")
    assert hide("candle7s of candle7, ?a%3Dcandle7") == "candle7s of ***, ?a%3D***"


def test_the_place_of_a_secret_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_SECRET_FILE", "/run/secrets/vendor-7")
    assert hide("cannot read /run/secrets/vendor-7") == "cannot read /run/secrets/vendor-7"


@pytest.mark.parametrize("word", ["chandlery", "Spring", "2012", "DEFAULT"])
def test_a_word_or_a_number_is_hidden_in_its_place_only(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("PGPASSWORD", word)
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", f"postgresql://me:{word}@db/bars")
    monkeypatch.setenv("OTHER_URL", "postgresql://me:Spring:2012@db/bars")
    assert hide(f"AAPL|{word} of {word}, and 2012") == f"AAPL|{word} of {word}, and 2012"
    assert hide(f"at postgresql://me:{word}@db/bars, password={word}") == "at postgresql://me:***@db/bars, password=***"
    assert hide("refused: Spring:2012") == "refused: ***"


def test_each_part_of_a_password_that_is_not_escaped_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", "postgresql://me:first@second/third:fourth#fifth@host/bars")
    for part in ("first", "second", "third", "fourth", "fifth"):
        assert part not in hide(f'could not translate host name "{part}" to address')


@pytest.mark.parametrize("password", ["first/second", "first?second", "first%second", "fi@rst/second", "1/second"])
def test_a_url_whose_password_is_not_escaped_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(ConfigurationError, match="within the password as %") as caught:
        market_dsn(Settings(database_url=SecretStr(f"postgresql://me:{password}@nowhere.invalid/bars")))
    assert not [part for part in ("first", "second", "rst/") if part in str(caught.value)]


def test_every_error_of_ours_is_without_secrets() -> None:
    assert str(ChandleryError(f"it said {PASSWORD}")) == "it said ***"
    assert str(ProviderTransientError(f"it said {KEY}", provider="alpaca")) == "it said ***"


def test_logs_and_their_tracebacks_are_without_secrets() -> None:
    code = f"""
import logging
from chandlery.redaction.logs import hide_in_logs
hide_in_logs()
hide_in_logs()
logging.basicConfig(level="INFO")
logging.info("connecting with %s", {PASSWORD!r})
try:
    raise OSError("refused: " + {KEY!r})
except OSError:
    logging.exception("it failed, %(how)s", {{"how": "badly"}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.startswith("INFO:root:connecting with ***\nERROR:root:it failed, badly\nTraceback")
    assert "OSError: refused: ***" in done.stderr
    assert not [secret for secret in SECRETS if secret in done.stderr.replace(repr(KEY), "")]


def test_an_error_that_nobody_foresaw_is_printed_without_secrets(tmp_path: Path) -> None:
    class Broken:
        def __call__(self, _: object) -> object:
            raise RuntimeError(f"cannot do {PASSWORD} {KEY}")

    from chandlery.cli.session import Session

    class Failing(Session):
        warehouse = property(Broken())  # type: ignore[assignment]

    result = CliRunner().invoke(app, ["status"], obj=Failing())
    assert result.exit_code == 1
    assert "Traceback" in result.output
    assert "RuntimeError: cannot do *** ***" in result.output
    assert not [secret for secret in SECRETS if secret in result.output]


def test_whatever_a_command_says_is_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a note that holds {PASSWORD}")
    assert capsys.readouterr().out == "a note that holds ***\n"


@pytest.mark.parametrize(
    "part",
    [
        *("token-", "secret", "x-", "some text ... ", "secret='", "Cookie:", "basic ", "pass=", "a://", "password "),
        *("authorization:", "apca-api-", 'password="\\', "signature=", " ", "a"),
    ],
    ids=map(str, count()),
)
def test_no_text_takes_longer_than_its_length(part: str) -> None:
    text = "authorization" + part * (200_000 // len(part))  # hours, if it took the square of it
    assert "authorization" in hide(text)


def test_what_tells_things_apart_is_no_text_and_stays() -> None:
    key = dg.AssetKey(["bars_1d", PASSWORD])
    event = dg.AssetMaterialization(
        key, partition=f"AAPL|{KEY}", description=f"with {PASSWORD}", metadata={"note": f"and {KEY}"}
    )
    shown = without_secrets(event)
    assert (shown.asset_key, shown.partition, shown.description) == (key, f"AAPL|{KEY}", "with ***")
    assert shown.metadata["note"].value == "and ***"


def test_what_json_holds_keeps_its_shape() -> None:
    value = {"a": [KEY, 1, None, {"b": f"x{PASSWORD}"}], "c": 1.5}
    assert hide_within(value) == {"a": ["***", 1, None, {"b": "x***"}], "c": 1.5}


# Where credentials could be configured -------------------------------------------------------------------------------

HOLDERS = [
    "https://user:s3cr3t@host/x",
    "https://s3cr3t@host/x",
    "https://host/x?apikey=s3cr3t",
    "https://host/x?a=b&token=s3cr3t",
    "wss://host/stream?key=s3cr3t",
    "s3://key:s3cr3t@bucket/lake",
    "postgresql://user:s3cr3t@host/bars",
    "postgresql+psycopg2://user:s3/cr3t@host/bars",
    "http://user:s3cr3t@proxy:3128",
]


@pytest.mark.parametrize("url", HOLDERS)
@pytest.mark.parametrize("text", ["a: {{b: '{}'}}", "a: [x, '{}']", "- '{}'", "a: |\n  see {}\n"])
def test_no_configuration_file_holds_credentials(url: str, text: str, tmp_path: Path) -> None:
    assert holds_credentials(url)
    path = tmp_path / "any.yaml"
    path.write_text("# a comment\n" + text.format(url))
    with pytest.raises(ConfigurationError, match=r"any\.yaml:[23]: .*name an environment variable") as caught:
        Document.read(path)
    assert "cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", [url for url in HOLDERS if url.startswith("http")] + ["https://host/?x=1"])
def test_no_address_of_a_provider_holds_credentials_or_a_query(url: str) -> None:
    with pytest.raises(ValueError, match=r"key_env|query") as caught:
        RemoteOptions.model_validate({"url": url})
    assert "cr3t" not in "".join(error["msg"] for error in caught.value.errors())  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", HOLDERS)
def test_no_lake_or_landing_or_endpoint_holds_credentials(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CHANDLERY_LAKE", "CHANDLERY_LANDING"):
        with pytest.raises(ConfigurationError) as caught:
            Lake(url, variable)
        assert "cr3t" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL is not of the form") as caught:
        Lake("s3://bucket/lake")
    assert "cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["api-key", "headers: {Authorization", "a: {b: {secret_key", "auth", "passwd", "apikey"]
)
def test_no_option_of_a_provider_at_any_depth_is_a_key(name: str, tmp_path: Path) -> None:
    from chandlery.config.providers import ProvidersConfig

    path = tmp_path / "providers.yaml"
    path.write_text(f"providers: {{a: {{kind: x, options: {{{name}: s3cr3t{'}' * (name.count('{') + 3)}\n")
    with pytest.raises(ConfigurationError, match="key_env") as caught:
        Document.read(path).validate(ProvidersConfig)
    assert "cr3t" not in str(caught.value)


@pytest.mark.parametrize("option", [["move", "--to"], ["ingest", "AAPL", "-t", "1d", "--path"]])
@pytest.mark.parametrize("url", ["postgresql://me:s3@cr3t@nowhere.invalid/x", "mysql://me:s3cr3t@nowhere.invalid/x"])
def test_no_option_of_a_command_is_repeated_with_its_credentials(
    option: list[str], url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path))
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", "postgresql://me:x@127.0.0.1:1/bars")
    result = CliRunner().invoke(app, [*option, url])
    assert result.exit_code in {1, 2}
    assert "cr3t" not in result.output


@pytest.fixture
def _plain_records() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("_plain_records")
def test_the_log_of_the_web_ui_is_without_secrets(tmp_path: Path) -> None:
    from pipelines.watchdog import _copy

    hide_in_logs()
    log = tmp_path / "ui.log"
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as lines:
        lines.write(f"GET /?token=abcdef0123456789 HTTP/1.1\nconnecting with {PASSWORD}\n")
    _copy(reading, log)
    assert log.read_text().splitlines()[-2:] == ["GET /?token=*** HTTP/1.1", "connecting with ***"]
