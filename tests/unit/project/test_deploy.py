"""``deploy/``: nothing unpinned, nothing open, no secret, nothing undocumented; and Compose itself accepts it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from chandlery.app.ui_token import TOKEN_VARIABLE
from chandlery.settings import VARIABLES
from pipelines.instance import URL_VARIABLE
from tests.compose import DEPLOY, ROOT, find_variables, load, load_raw

FILLED = {
    "DATABASE_PASSWORD": "p:a@s/s$ #1",
    "REDIS_PASSWORD": "another",
    "CHANDLERY_UI_TOKEN": "a-token-of-24-characters",
}
RAW = load_raw()
SERVICES: dict[str, dict[str, Any]] = load(FILLED)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ONE_SHOT = "init"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def example() -> dict[str, str]:
    """Return the assignments of ``.env.example``, those that are commented out included."""
    found = re.findall(r"^#?([A-Z_]+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    return dict(found)


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def is_pinned(image: str) -> bool:
    """Whether the tag names a version to the last digit; a moving tag like ``8``, ``3.13-slim`` or ``latest`` does not.

    TimescaleDB's tags name PostgreSQL's version, which has two numbers, and their own, which has three.
    """
    name, _, tag = image.rpartition(":")
    return bool(name) and re.search(r"\d+\.\d+\.\d+", tag) is not None


def copied() -> list[str]:
    """Return what ``Dockerfile`` takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


class TestImages:
    def test_every_image_is_pinned(self) -> None:
        images = [service["image"] for service in SERVICES.values()]
        images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
        assert len(images) >= 6
        assert [image for image in images if not is_pinned(image)] == []

    @pytest.mark.parametrize(
        "image", ["redis", "redis:8", "redis:8.10-alpine", "python:3.13-slim", "x/y:latest", "timescale/x:pg18-ts2.29"]
    )
    def test_a_moving_tag_would_be_noticed(self, image: str) -> None:
        assert not is_pinned(image)

    def test_our_image_bears_the_project_s_version(self) -> None:
        assert {service["image"] for service in OURS.values()} == {f"chandlery:{PROJECT['project']['version']}"}
        assert f"--tag chandlery:{PROJECT['project']['version']} " in DOCKERFILE

    def test_our_image_has_every_package_and_what_installing_it_needs(self) -> None:
        packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
        named = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
        assert packages | named | {"pyproject.toml", "setup.py", "requirements.lock", "config"} <= set(copied())
        assert [source for source in copied() if not (ROOT / source).exists()] == []

    def test_the_build_sees_what_is_copied_and_nothing_else(self) -> None:
        lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        assert rules[0] == "*"
        allowed = [rule[1:] for rule in rules if rule.startswith("!")]
        assert sorted(allowed) == sorted(copied())
        assert not any(fnmatch("deploy/.env", pattern) for pattern in allowed)

    def test_only_what_the_lock_names_is_installed_and_nobody_is_root(self) -> None:
        installs = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if "pip install" in line]
        assert len(installs) == 2
        assert "--require-hashes --only-binary :all: --requirement requirements.lock" in installs[0]
        assert "--no-deps --no-build-isolation" in installs[1]
        stages = DOCKERFILE.split("\nFROM ")
        (user,) = re.findall(r"^USER (\d+):(\d+)$", stages[-1], re.MULTILINE)
        assert "0" not in user


class TestSecrets:
    @pytest.mark.parametrize("name", sorted(FILLED))
    def test_nothing_starts_without_a_password(self, name: str) -> None:
        for given in ({}, {name: ""}):
            with pytest.raises(ValueError, match=f"^{name}: write it into deploy/.env"):
                load({other: FILLED[other] for other in FILLED if other != name} | given)

    def test_every_secret_comes_from_the_environment(self) -> None:
        secret = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH|KEY", re.IGNORECASE)
        found = [
            value
            for service in RAW["services"].values()
            for key, value in service.get("environment", {}).items()
            if secret.search(key)
        ]
        assert len(found) >= 6
        assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", value) for value in found)

    def test_a_password_stands_in_its_variable_and_nowhere_else(self) -> None:
        holders = {
            (name, key)
            for name, service in SERVICES.items()
            for key, value in service["environment"].items()
            if any(password in value for password in FILLED.values())
        }
        assert holders == {
            ("database", "POSTGRES_PASSWORD"),
            ("redis", "REDISCLI_AUTH"),
            *((name, "PGPASSWORD") for name in OURS),
            ("webserver", TOKEN_VARIABLE),
        }
        rest = [{**service, "environment": {}} for service in SERVICES.values()]
        assert not any(password in text for text in strings(rest) for password in FILLED.values())

    def test_the_example_holds_no_password(self) -> None:
        values = example()
        assert [values[name] for name in FILLED] == [""] * len(FILLED)
        assert not re.search(r"://[^/\s@]*:[^/\s@]*@", (DEPLOY / ".env.example").read_text())

    def test_filled_in_files_are_not_committed(self) -> None:
        assert {".env", "providers.env"} <= set((DEPLOY / ".gitignore").read_text().split())


class TestVariables:
    def test_every_variable_is_documented_and_every_documented_one_is_used(self) -> None:
        used = find_variables((DEPLOY / "compose.yaml").read_text())
        assert set(used) == set(example()) - {"COMPOSE_PROFILES"}  # which Compose itself reads

    def test_a_variable_means_the_same_wherever_it_stands(self) -> None:
        assert all(len(forms) == 1 for forms in find_variables((DEPLOY / "compose.yaml").read_text()).values())

    def test_the_example_s_profiles_exist(self) -> None:
        profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
        assert profiles == {"database", "cache"}
        assert set(example()["COMPOSE_PROFILES"].split(",")) <= profiles

    def test_the_project_reads_every_variable_that_is_set_for_it(self) -> None:
        known = {variable for variable, _ in VARIABLES.values()} | {URL_VARIABLE, TOKEN_VARIABLE}
        given = {key for service in OURS.values() for key in service["environment"] if key.startswith("CHANDLERY_")}
        assert given <= known
        assert {"CHANDLERY_HOME", "CHANDLERY_CONFIG", "CHANDLERY_DATABASE_URL", "CHANDLERY_LAKE"} <= given

    def test_what_init_sets_up_is_what_the_code_location_uses(self) -> None:
        assert OURS["init"]["environment"] == OURS["code"]["environment"]
        assert OURS["init"]["volumes"] == OURS["code"]["volumes"]

    def test_dagster_s_database_stands_beside_the_market_s(self) -> None:
        given = OURS["code"]["environment"]
        market = given["CHANDLERY_DATABASE_URL"].partition("://")[2]
        assert given[URL_VARIABLE] == f"postgresql+psycopg2://{market}_dagster"
        warehouse = SERVICES["database"]["environment"]
        assert market == f"{warehouse['POSTGRES_USER']}@database:5432/{warehouse['POSTGRES_DB']}"
        assert given["DAGSTER_HOME"] == f"{given['CHANDLERY_HOME']}/dagster"

    def test_bars_and_dagster_s_files_outlive_their_containers(self) -> None:
        given = OURS["code"]["environment"]
        mounts = dict(text.split(":")[1::-1] for text in OURS["code"]["volumes"])
        assert (mounts[given["CHANDLERY_HOME"]], mounts[given["CHANDLERY_LAKE"]]) == ("home", "lake")
        assert mounts[given["CHANDLERY_CONFIG"]] == "../config"
        made = re.search(r"install --directory [^&]*", DOCKERFILE)
        assert made is not None
        assert {given["CHANDLERY_HOME"], given["CHANDLERY_LAKE"]} <= set(made[0].split())


class TestServices:
    def test_every_port_is_loopback(self) -> None:
        ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
        assert ports == {"webserver": ["127.0.0.1:3000:3000"]}
        assert all("network_mode" not in service for service in SERVICES.values())

    def test_only_who_has_business_outside_gets_there(self) -> None:
        assert RAW["networks"]["inside"]["internal"] is True
        assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"code", "webserver"}
        assert all("inside" in service["networks"] for service in SERVICES.values())

    def test_every_service_is_watched_and_restarted_but_the_one_that_ends(self) -> None:
        for name, service in SERVICES.items():
            if name == ONE_SHOT:
                assert service["restart"] == "no"
                assert "healthcheck" not in service
            else:
                assert service["restart"] == "unless-stopped"
                assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
                assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])
                assert "mem_limit" in service

    def test_no_service_may_do_more_than_it_must(self) -> None:
        for name, service in SERVICES.items():
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert "privileged" not in service
            assert not any("docker.sock" in text for text in strings(service))
            # The database's image prepares itself at its first start.
            assert service.get("read_only", False) is (name != "database")

    def test_dagster_starts_after_the_databases_are_set_up(self) -> None:
        done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}
        assert OURS["init"]["depends_on"] == {"database": {**healthy, "required": False}}
        assert OURS["code"]["depends_on"] == {"init": done}
        for name in ("webserver", "daemon"):
            assert OURS[name]["depends_on"] == {"init": done, "code": healthy}

    def test_the_workspace_leads_to_the_code_location(self) -> None:
        (entry,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
        server = entry["grpc_server"]
        assert server["host"] == "code"
        assert f"--port={server['port']}" in OURS["code"]["command"]
        assert f"--port={server['port']}" in OURS["code"]["healthcheck"]["test"]
        for name in ("webserver", "daemon"):
            assert "--workspace=/app/deploy/workspace.yaml" in OURS[name]["command"]

    def test_every_volume_is_declared_and_used(self) -> None:
        mounts = [text.split(":")[0] for service in SERVICES.values() for text in service.get("volumes", [])]
        assert {mount for mount in mounts if not mount.startswith(".")} == set(RAW["volumes"])


def compose_command() -> list[str]:
    """Return how Compose 2 or newer is started on this machine; skip where it is not installed. It needs no daemon."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if done.returncode == 0 and not done.stdout.startswith("1."):
                return command
    pytest.skip("neither `docker compose` nor `docker-compose` (version 2 or newer) is installed")


@pytest.mark.parametrize("filled", [True, False], ids=["filled in", "as it comes"])
def test_compose_reads_it_as_these_tests_do(tmp_path: Path, filled: bool) -> None:
    command = compose_command()
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns(".env", "providers.env"))
    values = {**FILLED, "COMPOSE_PROFILES": "database,cache"} if filled else {"COMPOSE_PROFILES": "database"}
    (tmp_path / "deploy" / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    done = subprocess.run(
        [*command, "--file", "deploy/compose.yaml", "config"],
        cwd=tmp_path,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if not filled:
        assert done.returncode != 0
        assert "required variable DATABASE_PASSWORD is missing a value: write it into deploy/.env" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    seen = yaml.safe_load(done.stdout)["services"]
    assert set(seen) == set(SERVICES)
    for name, service in SERVICES.items():
        # Compose writes $ as $$, so that its output can be read by it again.
        shown = {key: value.replace("$$", "$") for key, value in seen[name]["environment"].items()}
        assert shown == service["environment"]
        assert [text.replace("$$", "$") for text in seen[name]["command"]] == service["command"]
