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
from psycopg import conninfo

from chandlery.app.ui_token import TOKEN_VARIABLE
from chandlery.ops.roles import DAGSTER, MARKET, PASSWORDS
from chandlery.settings import VARIABLES
from tests.compose import DEPLOY, ROOT, find_variables, load, load_raw
from tests.deployed import ROLES as ROLE_NAMES
from tests.deployed import make_secrets, server_options

RAW = load_raw()
SERVICES: dict[str, dict[str, Any]] = load({})["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
JOBS = {"certificates", "roles", "migrate", "backup", "restore"}
#: What waits for the migration, and serves until it is told to stop.
SERVING = OURS.keys() - JOBS
#: The role that each service is in the market's database, and whose password it sees.
ROLES = {"migrate": "owner", "code": "pipeline", "webserver": "reader", "daemon": "daemon"}
SECRETS = {
    "database": {"superuser_password"},
    "roles": {
        f"{name}_password" for name in ("superuser", "owner", "pipeline", "reader", "daemon", "dagster", "backup")
    },
    "webserver": {"reader_password", "dagster_password", "ui_token"},
    "redis": {"redis_password"},
    "backup": {"backup_password"},
    **{name: {f"{ROLES[name]}_password", "dagster_password"} for name in ("migrate", "code", "daemon")},
}
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

    TimescaleDB's tags name PostgreSQL's version, which has two numbers, and their own, which has three. A digest may
    follow the tag.
    """
    match = re.fullmatch(r"[a-z0-9./-]+:(?P<tag>[\w.-]+)(@sha256:[0-9a-f]{64})?", image)
    return match is not None and re.search(r"\d+\.\d+\.\d+", match["tag"]) is not None


def copied() -> list[str]:
    """Return what ``Dockerfile`` takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


class TestImages:
    def test_every_image_is_pinned(self) -> None:
        images = [service["image"] for service in SERVICES.values()]
        images += re.findall(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
        assert len(images) >= 8
        assert [image for image in images if not is_pinned(image)] == []

    @pytest.mark.parametrize(
        "image",
        [
            *("redis", "redis:8", "redis:8.10-alpine", "python:3.13-slim", "x/y:latest", "timescale/x:pg18-ts2.29"),
            *("redis:8.10.2@sha256:12ab", "redis@sha256:" + 64 * "a", "redis:8.10.2@sha512:" + 64 * "a"),
        ],
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
    def test_each_service_sees_the_secrets_that_it_needs_and_no_other(self) -> None:
        seen = {name: set(service["secrets"]) for name, service in SERVICES.items() if "secrets" in service}
        assert seen == SECRETS

    def test_every_secret_is_a_file_that_the_script_makes(self, tmp_path: Path) -> None:
        folder = make_secrets(tmp_path / "deploy")
        made = {path.name: path for path in folder.iterdir() if path.is_file()}
        assert {name: entry["file"] for name, entry in RAW["secrets"].items()} == {
            name: f"secrets/{name}" for name in made
        }
        assert set().union(*SECRETS.values()) == made.keys()
        assert folder.stat().st_mode & 0o777 == 0o700  # nobody else of this machine comes to the files
        assert {path.stat().st_mode & 0o777 for path in made.values()} == {0o444}  # but the containers' users do
        before = {name: path.read_text() for name, path in made.items()}
        assert len(set(before.values())) == len(before)
        assert all(re.fullmatch(r"[0-9a-f]{48}\n", text) for text in before.values())
        make_secrets(tmp_path / "deploy")
        assert {name: path.read_text() for name, path in made.items()} == before

    def test_no_secret_is_in_an_environment_an_image_or_a_command(self) -> None:
        secret = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH|KEY", re.IGNORECASE)
        for name, service in SERVICES.items():
            for key, value in service.get("environment", {}).items():
                assert not secret.search(key) or key.endswith("_FILE"), f"{name}: {key}"
                assert not key.endswith("_FILE") or value.startswith("/run/secrets/"), f"{name}: {key}"
                assert not re.search(r"://[^/\s@]*:[^/\s@]*@", value), f"{name}: {key}"
        assert not secret.search(re.sub(r"#.*", "", DOCKERFILE))

    def test_each_file_that_is_named_is_one_that_the_service_sees(self) -> None:
        for name, service in SERVICES.items():
            named = {
                value.removeprefix("/run/secrets/")
                for value in service.get("environment", {}).values()
                if value.startswith("/run/secrets/")
            }
            assert named <= SECRETS.get(name, set())
        named = {f"CHANDLERY_{role.upper()}_ROLE_PASSWORD" for role in ROLE_NAMES}
        assert named == set(PASSWORDS.values())
        assert {f"{name}_FILE" for name in named} <= SERVICES["roles"]["environment"].keys()

    def test_what_is_filled_in_is_not_committed(self) -> None:
        ignored = set((DEPLOY / ".gitignore").read_text().split())
        assert {".env", "providers.env", "secrets/", "backups/"} <= ignored


class TestVariables:
    def test_every_variable_is_documented_and_every_documented_one_is_used(self) -> None:
        used = find_variables((DEPLOY / "compose.yaml").read_text())
        assert set(used) == set(example()) - {"COMPOSE_PROFILES"}  # which Compose itself reads

    def test_a_variable_means_the_same_wherever_it_stands(self) -> None:
        defaults: dict[str, set[str]] = {}
        for match in re.finditer(r"\$\{(\w+):-([^}]*)\}", (DEPLOY / "compose.yaml").read_text()):
            defaults.setdefault(match[1], set()).add(match[2])
        assert all(len(values) == 1 for values in defaults.values())
        assert {name: {example()[name]} for name in defaults if name.endswith("_IMAGE")} == {
            name: values for name, values in defaults.items() if name.endswith("_IMAGE")
        }
        assert f"ARG PYTHON_IMAGE={example()['PYTHON_IMAGE']}\n" in DOCKERFILE

    def test_nothing_has_to_be_filled_in(self) -> None:
        assert all(forms == {":-"} for forms in find_variables((DEPLOY / "compose.yaml").read_text()).values())

    def test_the_example_s_profiles_exist(self) -> None:
        profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
        assert profiles == {"database", "cache", "backup"}
        assert set(example()["COMPOSE_PROFILES"].split(",")) <= profiles

    def test_the_project_reads_every_variable_that_is_set_for_it(self) -> None:
        known = {variable for variable, _ in VARIABLES.values()} | {TOKEN_VARIABLE} | set(PASSWORDS.values())
        given = {key for service in OURS.values() for key in service.get("environment", {}) if key.startswith("CHAN")}
        assert {key.removesuffix("_FILE") for key in given} <= known
        assert {"CHANDLERY_HOME", "CHANDLERY_CONFIG", "CHANDLERY_DATABASE_URL", "CHANDLERY_LAKE"} <= given

    def test_each_service_is_a_role_of_its_own_and_proves_who_the_server_is(self) -> None:
        for name, role in ROLES.items():
            given = OURS[name]["environment"]
            parts = conninfo.conninfo_to_dict(given["CHANDLERY_DATABASE_URL"])
            assert (parts["user"], parts["dbname"]) == (f"chandlery_{role}", MARKET)
            assert given["CHANDLERY_DATABASE_PASSWORD_FILE"] == f"/run/secrets/{role}_password"
            dagster = conninfo.conninfo_to_dict(given["CHANDLERY_DAGSTER_URL"])
            assert (dagster["user"], dagster["dbname"]) == ("chandlery_dagster", DAGSTER)
        for service in SERVICES.values():
            for value in service.get("environment", {}).values():
                if value.startswith("postgresql://"):
                    parts = conninfo.conninfo_to_dict(value)
                    assert (parts["host"], parts["port"], parts["sslmode"]) == ("database", "5432", "verify-full")
                    assert parts["sslrootcert"] == "/run/certificates/ca.crt"
                    assert "certificates:/run/certificates:ro" in service["volumes"]

    def test_what_a_migration_sets_up_is_what_the_code_location_uses(self) -> None:
        same = ("CHANDLERY_HOME", "CHANDLERY_CONFIG", "CHANDLERY_LAKE", "CHANDLERY_LANDING", "CHANDLERY_DAGSTER_URL")
        assert all(OURS["migrate"]["environment"][key] == OURS["code"]["environment"][key] for key in same)
        assert set(OURS["migrate"]["volumes"]) < set(OURS["code"]["volumes"])

    def test_what_must_outlive_its_container_has_a_volume_that_is_backed_up(self) -> None:
        given = OURS["code"]["environment"]
        mounts = {text.split(":")[1]: text.split(":")[0] for text in OURS["code"]["volumes"]}
        kept = {mounts[given[f"CHANDLERY_{name}"]] for name in ("HOME", "LAKE", "LANDING")}
        assert kept == {"home", "lake", "landing"}
        assert mounts[given["CHANDLERY_CONFIG"]] == "../config"
        made = re.search(r"install --directory [^&]*", DOCKERFILE)
        assert made is not None
        assert {place for place, volume in mounts.items() if volume in kept | {"socket"}} <= set(made[0].split())
        saved = {text.split(":")[0] for text in SERVICES["backup"]["volumes"]}
        assert kept | {"../config", "."} <= saved
        brought = {text.split(":")[0] for text in SERVICES["restore"]["volumes"]}
        assert kept | {"database"} <= brought


class TestServices:
    def test_every_port_is_loopback(self) -> None:
        ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
        assert ports == {"webserver": ["127.0.0.1:3000:3000"]}

    def test_only_who_has_business_outside_gets_there(self) -> None:
        assert RAW["networks"]["inside"]["internal"] is True
        joined = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
        without = {name for name, service in SERVICES.items() if service.get("network_mode") == "none"}
        assert without == {"certificates", "restore"}  # the two that are root and need none
        assert {name for name, networks in joined.items() if "outside" in networks} == {"code"}
        assert {name for name, networks in joined.items() if "ui" in networks} == {"webserver"}
        assert all("inside" in networks for name, networks in joined.items() if name not in without)

    def test_the_code_server_listens_on_no_network(self) -> None:
        (entry,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
        place = entry["grpc_server"]["socket"]
        assert f"--socket={place}" in OURS["code"]["command"]
        assert f"--socket={place}" in OURS["code"]["healthcheck"]["test"]
        assert not any("port" in word for word in OURS["code"]["command"])
        for name in ("webserver", "daemon"):
            assert "--workspace=/app/deploy/workspace.yaml" in OURS[name]["command"]
            assert "socket:/run/chandlery:ro" in OURS[name]["volumes"]

    def test_every_service_is_watched_limited_and_restarted_but_those_that_end(self) -> None:
        for name, service in SERVICES.items():
            assert {"mem_limit", "cpus", "pids_limit", "logging"} <= service.keys()
            assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
            if name in JOBS:
                assert service["restart"] == "no"
                assert "healthcheck" not in service
            else:
                assert service["restart"] == "unless-stopped"
                assert {"interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()

    @pytest.mark.parametrize("name", sorted(SERVICES.keys() - JOBS))
    def test_what_stays_unhealthy_is_ended_so_that_it_is_restarted(self, name: str) -> None:
        check = SERVICES[name]["healthcheck"]
        command = check["test"]
        assert command[:2] == ["CMD", "sh"]
        assert command[2] in {"/app/deploy/health.sh", "/etc/chandlery/health.sh"}
        pid_file, _, limit, seconds = command[3:7]
        interval, timeout, start = (seconds_of(check[key]) for key in ("interval", "timeout", "start_period"))
        # Docker ends a check that takes too long, and then nothing would be counted.
        assert int(seconds) < timeout
        # Not while it may still be starting, and not before Docker itself calls it unhealthy.
        assert int(limit) * interval >= start
        assert int(limit) >= check["retries"]
        assert name == "database" or any(pid_file in word for word in SERVICES[name]["command"])

    def test_no_service_may_do_more_than_it_must(self) -> None:
        for name, service in SERVICES.items():
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["read_only"] is True
            assert "privileged" not in service
            assert not any("docker.sock" in text for text in strings(service))
            assert (service.get("user") == "0:0") is (name in {"certificates", "backup", "restore"})
        added = {name: service["cap_add"] for name, service in SERVICES.items() if "cap_add" in service}
        assert added == {
            "certificates": ["CHOWN"],
            "backup": ["DAC_OVERRIDE"],
            "restore": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
        }

    def test_nothing_serves_before_the_databases_are_set_up(self) -> None:
        done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}
        assert SERVICES["database"]["depends_on"] == {"certificates": done}
        assert OURS["roles"]["depends_on"] == {"certificates": done, "database": {**healthy, "required": False}}
        assert OURS["migrate"]["depends_on"] == {"roles": done}
        assert OURS["code"]["depends_on"] == {"migrate": done}
        for name in ("webserver", "daemon"):
            assert OURS[name]["depends_on"] == {"migrate": done, "code": healthy}
        assert {"code", "webserver", "daemon"} == SERVING

    def test_every_volume_secret_and_config_is_declared_and_used(self) -> None:
        mounts = [text.split(":")[0] for service in SERVICES.values() for text in service.get("volumes", [])]
        assert {mount for mount in mounts if mount[0] not in "./"} == set(RAW["volumes"])
        configs = {entry["source"] for service in SERVICES.values() for entry in service.get("configs", [])}
        assert configs == set(RAW["configs"])
        assert all((DEPLOY / entry["file"]).is_file() for entry in RAW["configs"].values())

    def test_the_key_of_a_server_is_seen_by_that_server_alone(self) -> None:
        seen: dict[str, set[str]] = {}
        for name, service in SERVICES.items():
            for text in service.get("volumes", []):
                seen.setdefault(text.split(":")[0], set()).add(name)
        assert seen["authority"] == {"certificates"}
        assert (seen["database-key"], seen["redis-key"]) == ({"certificates", "database"}, {"certificates", "redis"})

    def test_only_tls_is_spoken(self) -> None:
        options = server_options()
        assert (options["ssl"], options["ssl_min_protocol_version"]) == ("on", "TLSv1.3")
        assert options["hba_file"] == SERVICES["database"]["configs"][0]["target"]
        rules = [line.split() for line in (DEPLOY / "database" / "pg_hba.conf").read_text().splitlines()]
        rules = [rule for rule in rules if rule and not rule[0].startswith("#")]
        assert {(rule[0], rule[-1]) for rule in rules} == {("local", "peer"), ("hostssl", "scram-sha-256")}
        command = SERVICES["redis"]["command"][-1]
        assert "--port 0 --tls-port 6379" in command


def seconds_of(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def compose_command() -> list[str]:
    """Return how Compose 2 or newer is started on this machine; skip where it is not installed. It needs no daemon."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if done.returncode == 0 and not done.stdout.startswith("1."):
                return command
    pytest.skip("neither `docker compose` nor `docker-compose` (version 2 or newer) is installed")


def test_compose_reads_it_as_these_tests_do(tmp_path: Path) -> None:
    command = compose_command()
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns(".env", "providers.env", "backups"))
    make_secrets(tmp_path / "deploy")
    (tmp_path / "deploy" / ".env").write_text("COMPOSE_PROFILES=database,cache,backup\n")
    done = subprocess.run(
        [*command, "--file", "deploy/compose.yaml", "config"],
        cwd=tmp_path,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = yaml.safe_load(done.stdout)["services"]
    assert set(seen) == set(SERVICES)
    for name, service in SERVICES.items():
        # Compose writes $ as $$, so that its output can be read by it again.
        shown = {key: value.replace("$$", "$") for key, value in seen[name].get("environment", {}).items()}
        assert shown == service.get("environment", {})
        assert [text.replace("$$", "$") for text in seen[name].get("command") or []] == service.get("command", [])
