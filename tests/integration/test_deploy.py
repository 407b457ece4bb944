"""The services of ``deploy/compose.yaml`` without their containers: their commands, in exactly their environment.

What a container would add is put in its place: a folder for each mount, a port of loopback for the web server's, and a
PostgreSQL with the same rules, certificates and roles. Not here: what Compose and Docker do.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.compose import DEPLOY, ROOT, load
from tests.deployed import Deployed

pytestmark = pytest.mark.slow

IMAGE_PORTS = {"webserver": 3000}
LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  __typename
  ... on RepositoryLocation { repositories { name } }
  ... on PythonError { message }
} } } } }
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@dataclass(frozen=True)
class Stack:
    """The services as Compose would start them, on this machine.

    Attributes:
        services: of ``compose.yaml``, with variables put in.
        folders: stands for each path that the image or a mount provides.
        ports: of the services that listen.
        log: what the services say.
        server: on which they run.
        started: the processes by the service's name.
    """

    services: Mapping[str, Any]
    folders: Mapping[str, Path]
    ports: Mapping[str, int]
    log: Path
    server: Deployed
    started: dict[str, psutil.Popen] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The token of the web UI."""
        return (self.server.secrets / "ui_token").read_text().strip()

    def here(self, text: str) -> str:
        """Return a setting or an argument with this machine's paths and ports."""
        paths = "|".join(map(re.escape, self.folders))
        text = re.sub(
            rf"^(--[\w-]+=)?({paths})(?=/|$)", lambda found: f"{found[1] or ''}{self.folders[found[2]]}", text
        )
        for name, port in self.ports.items():
            text = re.sub(rf"(--port=|127\.0\.0\.1:){IMAGE_PORTS[name]}\b", rf"\g<1>{port}", text)
        return text.replace("--host=0.0.0.0", "--host=127.0.0.1")

    def environment(self, name: str) -> dict[str, str]:
        """Return what the container's environment would be: the image's path and what the file says, nothing else."""
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        given = self.services[name]["environment"].items()
        private = {"HEALTH_COUNTER": f"{self.folders['/tmp']}/{name}-failures"}  # each container has a /tmp of its own
        return {"PATH": path, **private, **{key: self.here(value) for key, value in given}}

    def run(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run ``command`` in the place of a service to its end."""
        return subprocess.run(
            [self.here(word) for word in command],
            cwd=self.folders["/app"],
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, name: str) -> psutil.Popen:
        """Start a service."""
        with self.log.open("ab") as log:
            process = psutil.Popen(
                [self.here(word) for word in self.services[name]["command"]],
                cwd=self.folders["/app"],
                env=self.environment(name),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started[name] = process
        return process

    def await_health(self, name: str, process: psutil.Popen, seconds: float = 180) -> None:
        """Wait until the service's own health check passes."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        deadline = time.monotonic() + seconds
        while (done := self.run(name, test[1:])).returncode != 0:
            assert process.poll() is None, f"{name} ended by itself"
            assert time.monotonic() < deadline, f"{name} is not healthy: {done.stdout}{done.stderr}"
            # Asked each second, a slow start would count as often as in half an hour of Docker's checks.
            (self.folders["/tmp"] / f"{name}-failures").unlink(missing_ok=True)
            time.sleep(1)

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the web server, by GraphQL."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            body,
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture(scope="module")
def stack(deployed: Deployed) -> Iterator[Stack]:
    root = Path(tempfile.mkdtemp(prefix="chandlery-deploy-"))
    services = load({"DATABASE_SERVER": deployed.address, "DATABASE_CA": str(deployed.authority)})["services"]
    ports = {name: free_port() for name in IMAGE_PORTS}
    folders = {"/app": root / "app", "/etc/chandlery": ROOT / "config", "/run/secrets": deployed.secrets}
    for mount in ["/tmp", *(text.split(":")[1] for text in services["code"]["volumes"])]:
        folders.setdefault(mount, root / mount.strip("/").replace("/", "-")).mkdir(exist_ok=True)
    # The image's /app, with a workspace that leads to the socket of this test.
    (root / "app" / "deploy").mkdir(parents=True)
    workspace = (DEPLOY / "workspace.yaml").read_text()
    workspace = workspace.replace("/run/chandlery", str(folders["/run/chandlery"]))
    (root / "app" / "deploy" / "workspace.yaml").write_text(workspace)
    shutil.copy(DEPLOY / "health.sh", root / "app" / "deploy")
    (root / "log").touch()
    yield Stack(services, folders, ports, root / "log", deployed)
    print((root / "log").read_text()[-5000:])  # shown by pytest where something failed
    shutil.rmtree(root, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: psutil.Popen) -> None:
    """Stop a service as Docker does, and see that nothing of it is left."""
    if process.poll() is not None:
        return  # by itself, which was noticed
    family = [process, *process.children(recursive=True)]
    process.terminate()
    _, left = psutil.wait_procs(family, timeout=60)
    for survivor in left:
        survivor.kill()
    assert left == [], "still running a minute after it was told to stop"


def test_the_services_start_in_their_environment_and_carry_out_a_run(stack: Stack) -> None:
    for name in ("roles", "roles", "migrate"):  # every start runs them again; `test_roles` does so with migrations
        done = stack.run(name, stack.services[name]["command"])
        assert done.returncode == 0, done.stdout + done.stderr

    with ExitStack() as running:
        for name in ("code", "webserver", "daemon"):
            process = stack.start(name)
            running.callback(stop, process)
            stack.await_health(name, process)

        (location,) = stack.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        assert location["name"] == "chandlery"
        assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation", location
        (repository,) = location["locationOrLoadError"]["repositories"]

        selector = {
            "repositoryLocationName": "chandlery",
            "repositoryName": repository["name"],
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["instruments"]}],
            "assetCheckSelection": [],
        }
        launched = stack.ask(LAUNCH, {"params": {"selector": selector, "mode": "default", "runConfigData": {}}})
        assert launched["launchRun"]["__typename"] == "LaunchRunSuccess", launched
        assert outcome(stack, launched["launchRun"]["run"]["runId"]) == "SUCCESS"

        check_the_command_line(stack)
        check_that_there_is_one_daemon(stack)
        check_who_is_connected(stack)
        check_that_no_process_was_given_a_secret(stack)

    # Dagster's own files are where the volume is, and nothing of ours got into the image's folders.
    assert (stack.folders["/var/lib/chandlery"] / "dagster" / "dagster.yaml").is_file()
    assert {path.name for path in stack.folders["/app"].rglob("*") if path.is_file()} == {"workspace.yaml", "health.sh"}


def check_the_command_line(stack: Stack) -> None:
    """What a person runs in ``code`` works: bars come in, and are archived, by the pipeline's role."""
    for command in (
        "chandlery ingest AAPL --provider simulated --timeframe 1d --start 2020-01-01 --end 2021-01-01",
        "chandlery archive",
    ):
        done = stack.run("code", command.split())
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def check_that_there_is_one_daemon(stack: Stack) -> None:
    """A second daemon ends and says which one runs, be it of the same home or of another."""
    command = [*stack.services["daemon"]["command"][:3], "--workspace=/app/deploy/workspace.yaml"]
    same = stack.run("daemon", command)
    assert same.returncode == 1
    assert re.search(r"^error: the web UI of this home runs already: the daemon on \S+, process \d+", same.stderr)
    elsewhere = stack.folders["/tmp"] / "another-home"
    other = subprocess.run(
        [stack.here(word) for word in command],
        cwd=stack.folders["/app"],
        env={**stack.environment("daemon"), "CHANDLERY_HOME": str(elsewhere)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert other.returncode == 1
    pid = stack.started["daemon"].pid
    assert f"serves this database already: process {pid} on {socket.gethostname()[:25]}, port 3000" in other.stderr


def check_who_is_connected(stack: Stack) -> None:
    """Each service is the role that it should be, and speaks TLS."""
    sessions = (
        "SELECT DISTINCT usename, datname, coalesce(version, 'no TLS') FROM pg_stat_activity"
        " JOIN pg_stat_ssl USING (pid) WHERE usename LIKE 'chandlery%'"
    )
    with psycopg.connect(stack.server.admin) as admin:
        seen = set(admin.execute(sessions).fetchall())
    assert {("chandlery_daemon", "chandlery", "TLSv1.3"), ("chandlery_dagster", "chandlery_dagster", "TLSv1.3")} <= seen
    assert {version for _, _, version in seen} == {"TLSv1.3"}
    assert "chandlery_owner" not in {role for role, _, _ in seen}


def check_that_no_process_was_given_a_secret(stack: Stack) -> None:
    """No process of the services has a secret in its environment or its command, and none is in what they wrote."""
    secrets = [path.read_text().strip() for path in stack.server.secrets.iterdir() if path.is_file()]
    family = [each for process in stack.started.values() for each in (process, *process.children(recursive=True))]
    assert len(family) >= 6
    for process in family:
        try:
            said = [*process.environ().values(), *process.cmdline()]
        except psutil.NoSuchProcess:
            continue
        assert not any(secret in text for secret in secrets for text in said), process
    written = [path for name in ("/var/lib/chandlery", "/tmp") for path in stack.folders[name].rglob("*")]
    for path in (stack.log, *written):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path


def outcome(stack: Stack, run: str) -> str:
    """Return how a run ended."""
    deadline = time.monotonic() + 180
    while True:
        status = str(stack.ask(STATUS, {"id": run})["runOrError"]["status"])
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            return status
        assert time.monotonic() < deadline, f"the run is still {status}"
        time.sleep(1)
