"""Secrets in files: each variable that may hold a secret has a sibling that names its file; what is read is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import conninfo
from pydantic import SecretStr

from chandlery.app.ui_token import ui_token
from chandlery.config.providers import ProvidersConfig
from chandlery.database.dsn import dagster_dsn, market_dsn, without_password
from chandlery.errors import ConfigurationError
from chandlery.providers.catalog import build_provider, load_providers
from chandlery.redaction.text import hide
from chandlery.settings import Settings, read_secret
from pipelines.storage_address import storage_url

URL = "postgresql://chandlery_pipeline@database:5432/chandlery?sslmode=verify-full"
SECRETS = ("DATABASE_URL", "DATABASE_PASSWORD", "DAGSTER_URL", "DAGSTER_PASSWORD", "REDIS_URL", "REDIS_PASSWORD")
VARIABLES = (*SECRETS, "UI_TOKEN", "HOME", "CONFIG")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(f"CHANDLERY_{name}", raising=False)
        monkeypatch.delenv(f"CHANDLERY_{name}_FILE", raising=False)


def write(path: Path, secret: str) -> str:
    path.write_text(secret)
    return str(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_the_one_line_of_its_file_and_hidden_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    secret = f"of-a-file {len(end)} p@ss/w#rd"
    assert secret in hide(f"it says {secret}!")
    monkeypatch.setenv("CHANDLERY_DATABASE_PASSWORD_FILE", write(tmp_path / "password", secret + end))
    assert read_secret("CHANDLERY_DATABASE_PASSWORD") == secret
    assert secret not in hide(f"it says {secret}!")


def test_the_password_of_each_database_comes_from_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", URL)
    monkeypatch.setenv("CHANDLERY_DATABASE_PASSWORD_FILE", write(tmp_path / "market", "m@rket/pass word'\\"))
    settings = Settings()
    market = conninfo.conninfo_to_dict(market_dsn(settings))
    assert (market["user"], market["password"]) == ("chandlery_pipeline", "m@rket/pass word'\\")
    beside = conninfo.conninfo_to_dict(dagster_dsn(settings))
    assert (beside["dbname"], beside["password"]) == ("chandlery_dagster", market["password"])

    monkeypatch.setenv("CHANDLERY_DAGSTER_URL", "postgresql+psycopg2://chandlery_dagster@elsewhere/records")
    monkeypatch.setenv("CHANDLERY_DAGSTER_PASSWORD_FILE", write(tmp_path / "dagster", "dagster's own\n"))
    own = conninfo.conninfo_to_dict(dagster_dsn(Settings()))
    assert own == {
        "user": "chandlery_dagster",
        "host": "elsewhere",
        "dbname": "records",
        "password": "dagster's own",
    }
    assert market["password"] not in hide(market_dsn(settings))


def test_a_whole_address_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write(tmp_path / "url", "postgresql://me:s3cret-of-url@host/bars\n")
    monkeypatch.setenv("CHANDLERY_DATABASE_URL_FILE", place)
    dsn = market_dsn(Settings())
    assert conninfo.conninfo_to_dict(dsn)["password"] == "s3cret-of-url"
    assert "s3cret-of-url" not in hide(f"{Settings()!r} {dsn}")


def test_dagster_s_storage_has_the_password_which_its_address_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = "postgresql+psycopg2://chandlery_dagster@database:5432/chandlery_dagster?sslmode=verify-full"
    monkeypatch.setenv("CHANDLERY_DAGSTER_URL", given)
    assert storage_url({"postgres_url": given}) == given
    monkeypatch.setenv("CHANDLERY_DAGSTER_PASSWORD_FILE", write(tmp_path / "password", "p@ss/word"))
    assert storage_url({"postgres_url": given}) == given.replace("dagster@", "dagster:p%40ss%2Fword@")
    other = given.replace("dagster@", "dagster:another@")
    assert storage_url({"postgres_url": other}) == other  # it has one already
    assert "p@ss/word" not in without_password(dagster_dsn(Settings()))


def test_a_provider_s_key_and_the_token_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config" / "providers.yaml"
    config.parent.mkdir()
    config.write_text("providers:\n  polygon:\n    kind: polygon\n    key_env: {key: MY_KEY}\n")
    providers: ProvidersConfig = load_providers(config)
    monkeypatch.setenv("MY_KEY_FILE", write(tmp_path / "key", "key-of-a-file-4711\n"))
    build_provider("polygon", providers)
    assert "key-of-a-file-4711" not in hide("it said key-of-a-file-4711")
    monkeypatch.setenv("CHANDLERY_UI_TOKEN_FILE", write(tmp_path / "token", "a-token-of-24-characters\n"))
    assert ui_token(tmp_path / "home") == "a-token-of-24-characters"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "which cannot be read (No such file or directory)"),
        ("", "which has to hold the secret in one line and nothing else"),
        ("\n", "which has to hold the secret in one line and nothing else"),
        ("one\ntwo\n", "which has to hold the secret in one line and nothing else"),
        ("x" * 70_000, "which has to hold the secret in one line and nothing else"),
    ],
)
def test_a_file_that_holds_no_secret_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, reason: str
) -> None:
    place = tmp_path / "password"
    if content is not None:
        place.write_text(content)
    monkeypatch.setenv("CHANDLERY_DATABASE_PASSWORD_FILE", str(place))
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert str(caught.value).startswith(f"CHANDLERY_DATABASE_PASSWORD_FILE names {place}, {reason}")


def test_a_folder_in_its_place_is_said_as_docker_makes_one_for_a_file_that_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANDLERY_UI_TOKEN_FILE", str(tmp_path))
    with pytest.raises(ConfigurationError, match="which cannot be read \\(Is a directory\\)"):
        ui_token(tmp_path / "home")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_is_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"CHANDLERY_{name}", "postgresql://a@b/c")
    monkeypatch.setenv(f"CHANDLERY_{name}_FILE", write(tmp_path / "secret", "postgresql://a@b/d"))
    with pytest.raises(ConfigurationError, match=f"CHANDLERY_{name} and CHANDLERY_{name}_FILE are both set"):
        Settings()


@pytest.mark.parametrize("name", ["DATABASE", "DAGSTER"])
def test_two_passwords_and_a_password_of_nobody_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    read = market_dsn if name == "DATABASE" else dagster_dsn
    base = {"CHANDLERY_DATABASE_URL": URL} if name == "DAGSTER" else {}
    for variable, value in (base | {f"CHANDLERY_{name}_PASSWORD": "first-of-two"}).items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"CHANDLERY_{name}_PASSWORD needs CHANDLERY_{name}_URL"):
        read(Settings())
    monkeypatch.setenv(f"CHANDLERY_{name}_URL", "postgresql://me:second-of-two@host/bars")
    with pytest.raises(ConfigurationError, match=f"CHANDLERY_{name}_URL holds a password, and") as caught:
        read(Settings())
    assert "second-of-two" not in str(caught.value)


def test_the_target_of_a_move_gets_no_password_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_PASSWORD", "of-the-source")
    target = Settings(database_url=SecretStr("postgresql://me:of-the-target@host/bars"))
    assert conninfo.conninfo_to_dict(market_dsn(target))["password"] == "of-the-target"
