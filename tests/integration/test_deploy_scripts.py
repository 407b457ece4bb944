"""The scripts of ``deploy``: health checks that end what is ill, certificates, digests, a backup that comes back."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from chandlery import DataAPI
from chandlery.core.schema import BARS
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.ingest.landing import Landing
from chandlery.lake.store import Lake
from chandlery.providers.base import BarReply, BarRequest
from tests.compose import DEPLOY
from tests.debian_server import find_programs, running
from tests.deployed import Deployed, make_certificates
from tests.processes import free_port
from tests.support import Bar, open_warehouse, put, register, utc


def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{find_programs()}:{os.environ['PATH']}" if "BACKUPS" in variables else os.environ["PATH"]
    words = [str(word) for word in command]
    environment = {"PATH": path, **variables}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)


# Health --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose number is in the file ``pid``, and that SIGTERM does not end."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    command = f"trap 'echo > {tmp_path}/asked' TERM; echo > {ready}; while :; do sleep 9; done"
    process = subprocess.Popen(["sh", "-c", command], start_new_session=True)
    ready.read_text()
    (tmp_path / "pid").write_text(f"{process.pid}\nmore\n")
    yield process
    with contextlib.suppress(ProcessLookupError):  # with what it started: all are of its group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check(folder: Path, command: Sequence[str], seconds: int = 5, busy: str = "none") -> int:
    words = ["sh", DEPLOY / "health.sh", folder / "pid", "TERM", "3", seconds, *command]
    return run(*words, HEALTH_COUNTER=str(folder / "counter"), HEALTH_BUSY=busy).returncode


def test_what_stays_unhealthy_is_asked_to_end_and_then_made_to(
    tmp_path: Path, patient: subprocess.Popen[bytes]
) -> None:
    for _ in range(2):  # a success between begins anew
        assert [check(tmp_path, ["false"]) for _ in range(2)] == [1, 1]
        assert check(tmp_path, ["true"]) == 0
    assert [check(tmp_path, ["false"]) for _ in range(3)] == [1, 1, 1]
    assert patient.poll() is None
    assert check(tmp_path, ["false"]) == 1
    assert patient.wait(60) == -9


def test_a_hanging_check_counts_and_a_busy_server_does_not(tmp_path: Path, patient: subprocess.Popen[bytes]) -> None:
    assert [check(tmp_path, ["sh", "-c", "exit 1"], busy="1") for _ in range(5)] == [1] * 5
    assert patient.poll() is None
    assert not (tmp_path / "counter").exists()
    assert check(tmp_path, ["sleep", "60"], seconds=1, busy="1") == 1
    assert (tmp_path / "counter").read_text() == "1\n"


# Certificates --------------------------------------------------------------------------------------------------------


def modulus(folder: Path) -> str:
    return run("openssl", "pkey", "-in", folder / "key" / "server.key", "-pubout").stdout


def is_for(folder: Path, name: str) -> bool:
    ca, certificate = folder / "certificates" / "ca.crt", folder / "key" / "server.crt"
    return run("openssl", "verify", "-CAfile", ca, "-verify_hostname", name, certificate).returncode == 0


def test_certificates_are_made_once_and_renewed_before_they_end(tmp_path: Path) -> None:
    assert "made an authority" in make_certificates(tmp_path, "database", "localhost").stdout
    assert is_for(tmp_path, "database")
    assert is_for(tmp_path, "localhost")
    assert not is_for(tmp_path, "elsewhere")
    files = [tmp_path / "certificates" / "ca.crt", tmp_path / "key" / "server.crt", tmp_path / "key" / "server.key"]
    before = [path.read_bytes() for path in files]
    assert make_certificates(tmp_path, "database", "localhost").stdout == "the certificate of database is good\n"
    assert [path.read_bytes() for path in files] == before

    # One of the same authority that ends tomorrow.
    request, authority = tmp_path / "request.csr", tmp_path / "authority"
    run("openssl", "req", "-new", "-key", files[2], "-subj", "/CN=database", "-out", request)
    signed = ["-CA", authority / "ca.crt", "-CAkey", authority / "ca.key", "-set_serial", "1", "-days", "1"]
    run("openssl", "x509", "-req", "-in", request, *signed, "-out", files[1])
    assert "made a certificate of database" in make_certificates(tmp_path, "database", "localhost").stdout
    assert is_for(tmp_path, "database")
    assert [files[0].read_bytes(), files[2].read_bytes()] == [before[0], before[2]]
    assert "made a certificate of other" in make_certificates(tmp_path, "other").stdout  # it had another name
    assert not (tmp_path / "authority" / "ca.key").stat().st_mode & 0o077
    assert not files[2].stat().st_mode & 0o027


# Digests -------------------------------------------------------------------------------------------------------------

DOCKER = """#!/bin/sh
case "$1 $2" in
"pull --quiet") ;;
"image inspect") name=$(echo "$5" | sed 's/:.*//'); echo "other/image@sha256:{other}"; echo "$name@sha256:{digest}" ;;
*) exit 1 ;;
esac
"""


@pytest.mark.parametrize("digest", ["a" * 64, "12ab", ""])
def test_images_are_pinned_by_what_docker_says_or_not_at_all(tmp_path: Path, digest: str) -> None:
    for name in ("pin-images.sh", "compose.yaml"):
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=database\nREDIS_IMAGE=redis:7\n")
    (tmp_path / "docker").write_text(DOCKER.format(other="b" * 64, digest=digest))
    (tmp_path / "docker").chmod(0o755)
    done = run("env", f"PATH={tmp_path}:{os.environ['PATH']}", "sh", tmp_path / "pin-images.sh")
    lines = (tmp_path / ".env").read_text().splitlines()
    if len(digest) != 64:
        assert done.returncode == 1
        assert "Docker knows no digest of" in done.stderr
        assert lines == ["COMPOSE_PROFILES=database", "REDIS_IMAGE=redis:7"]
        return
    assert done.returncode == 0, done.stderr
    assert sorted(lines) == [
        "COMPOSE_PROFILES=database",
        f"DATABASE_IMAGE=timescale/timescaledb-ha:pg18.4-ts2.29.2@sha256:{digest}",
        f"PYTHON_IMAGE=python:3.13.16-slim-trixie@sha256:{digest}",
        f"REDIS_IMAGE=redis:8.10.2-alpine3.23@sha256:{digest}",
    ]


# Backup and restore --------------------------------------------------------------------------------------------------

HOURS = [utc(f"2024-01-09T{hour:02}:30") for hour in range(15, 20)]
DAY = BarRequest(["AAPL"], Timeframe.D1, utc("2024-01-01"), utc("2025-01-01"))


@pytest.fixture(scope="module")
def server(deployed: Deployed) -> Deployed:
    """A server with tables."""
    deployed.make_roles()
    deployed.migrate()
    return deployed


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's own user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="chandlery-backup-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def read(dsn: str) -> list[object]:
    warehouse = open_warehouse(dsn)
    bars = DataAPI(warehouse).get_ohlc("AAPL", "2024-01-09", "2024-01-10", timeframe="1m", output="arrow")
    warehouse.close()
    return bars["ts"].to_pylist()


def test_a_backup_of_a_running_installation_comes_back(server: Deployed, folder: Path) -> None:
    places = {name: folder / name.lower() for name in ("BACKUPS", "LANDING", "LAKE", "HOME_FOLDER", "CONFIG", "DEPLOY")}
    for place in places.values():
        place.mkdir()
    for name, path in (("LAKE", "bars.parquet"), ("HOME_FOLDER", "dagster.yaml"), ("CONFIG", "universe.yaml")):
        (places[name] / path).write_text(f"of {name}")
    shutil.copytree(server.secrets, places["DEPLOY"] / "secrets")
    (places["DEPLOY"] / ".env").write_text("COMPOSE_PROFILES=database\n")
    warehouse = open_warehouse(server.dsn("pipeline"))
    register(warehouse, {"AAPL": "XNYS"})
    put(warehouse, Timeframe.M1, [Bar("AAPL", ts) for ts in HOURS[:4]])
    landing = Landing(warehouse.database, Lake(str(places["LANDING"])))
    paid = landing.keep(7, "polygon", DAY, BarReply(BARS.empty_table()), utc("2025-01-02"))

    # PostgreSQL runs, and somebody writes without committing.
    variables = {name: str(place) for name, place in places.items()}
    address = f"postgresql://chandlery_backup@{server.address}/?sslmode=verify-full&sslrootcert={server.authority}"
    with psycopg.connect(server.dsn("pipeline")) as writer:
        writer.execute("UPDATE market.instrument SET symbol = 'NEVER'")
        secret = str(server.secrets / "backup_password")
        done = run("sh", DEPLOY / "backup.sh", DATABASE=address, PASSWORD_FILE=secret, **variables)
        writer.rollback()
    assert done.returncode == 0, done.stderr
    (backup,) = places["BACKUPS"].iterdir()
    assert done.stdout.splitlines() == [
        "database",
        "database",
        "landing",
        "lake",
        "home",
        "config",
        f"done: {backup.name}",
    ]
    assert backup.stat().st_mode & 0o077 == 0  # it holds the secrets
    held = run("tar", "--list", "--file", backup / "settings.tar.gz").stdout.split()
    assert {".env", "secrets/ui_token", "secrets/superuser_password"} <= set(held)
    put(warehouse, Timeframe.M1, [Bar("AAPL", HOURS[4])])  # after the backup
    warehouse.close()

    back = {name: folder / f"restored-{name.lower()}" for name in ("LANDING", "LAKE", "HOME_FOLDER")}
    for place in back.values():
        place.mkdir()
    (folder / "volume" / "data").mkdir(parents=True)
    nobody = pwd.getpwnam("nobody")
    variables = {name: str(place) for name, place in back.items()}
    variables |= {"BACKUPS": str(places["BACKUPS"]), "DATA": str(folder / "volume" / "data")}
    variables |= {"DATA_OWNER": f"{nobody.pw_uid}:{nobody.pw_gid}"} if os.geteuid() == 0 else {}
    check_that_a_restore_is_refused(backup, back["LAKE"], variables)
    done = run("sh", DEPLOY / "restore.sh", backup.name, **variables)
    assert done.returncode == 0, done.stderr
    assert (back["LAKE"] / "bars.parquet").read_text() == "of LAKE"
    assert (back["HOME_FOLDER"] / "dagster.yaml").read_text() == "of HOME_FOLDER"

    port, data = free_port(), folder / "volume" / "data"
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(f"port = {port}\nunix_socket_directories = '{data}'\n")
    with running(find_programs(), shutil.which("setpriv") or "", data):
        dsn = conninfo.make_conninfo(server.dsn("pipeline"), port=port)
        assert read(dsn) == HOURS[:4]  # what was there at the backup, and roles and passwords with it
        with Database(dsn) as database:
            found = Landing(database, Lake(str(back["LANDING"]))).unprocessed("polygon", Timeframe.D1)
            assert [answer.path for answer in found] == [paid.path]
            assert (back["LANDING"] / paid.path).is_file()
    assert read(server.dsn("pipeline")) == HOURS


def check_that_a_restore_is_refused(backup: Path, lake: Path, variables: dict[str, str]) -> None:
    """Nothing is brought back over what is there, from a damaged backup, or from one that nobody named."""
    (lake / "bars.parquet").touch()
    done = run("sh", DEPLOY / "restore.sh", backup.name, **variables)
    assert done.returncode == 1
    assert f"error: {lake} is not empty" in done.stderr
    (lake / "bars.parquet").unlink()
    good = (backup / "lake.tar.gz").read_bytes()
    (backup / "lake.tar.gz").write_bytes(good[:-1] + b"x")
    done = run("sh", DEPLOY / "restore.sh", backup.name, **variables)
    assert done.returncode == 1
    assert "lake.tar.gz: FAILED" in done.stdout + done.stderr
    (backup / "lake.tar.gz").write_bytes(good)
    done = run("sh", DEPLOY / "restore.sh", **variables)
    assert done.returncode != 0
    assert f"which backup? {backup.name}" in done.stderr


def test_a_backup_that_fails_leaves_nothing_behind(folder: Path, server: Deployed) -> None:
    places = {name: str(folder) for name in ("LANDING", "LAKE", "HOME_FOLDER", "CONFIG", "DEPLOY")}
    (folder / "backups").mkdir()
    (folder / "wrong").write_text("no password of anybody\n")
    address = f"postgresql://chandlery_backup@{server.address}/?sslmode=verify-full&sslrootcert={server.authority}"
    given = {"DATABASE": address, "PASSWORD_FILE": str(folder / "wrong"), "BACKUPS": str(folder / "backups")}
    done = run("sh", DEPLOY / "backup.sh", **given, **places)
    assert done.returncode != 0
    assert "password authentication failed" in done.stderr
    assert list((folder / "backups").iterdir()) == []
