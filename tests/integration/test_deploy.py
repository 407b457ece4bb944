"""The services of ``deploy/compose.yaml`` without their containers: their commands, in exactly their environment.

What a container would add is put in its place: a folder for each mount, a port of loopback for each service's, and the
test's PostgreSQL by the variables of ``.env`` that are for a server of one's own. Not here: what Compose and Docker do.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg import conninfo

from chandlery.database.dsn import sqlalchemy_url
from tests.compose import DEPLOY, ROOT, load
from tests.editions import url

pytestmark = pytest.mark.slow

UI_TOKEN = "the-token-of-these-tests"
IMAGE_PORTS = {"code": 4000, "webserver": 3000}
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
    """

    services: Mapping[str, Any]
    folders: Mapping[str, Path]
    ports: Mapping[str, int]
    log: Path

    def here(self, text: str) -> str:
        """Return a setting or an argument with this machine's paths and ports."""
        paths = "|".join(map(re.escape, self.folders))
        text = re.sub(rf"^(--\w+=)?({paths})(?=/|$)", lambda found: f"{found[1] or ''}{self.folders[found[2]]}", text)
        for name, port in self.ports.items():
            text = re.sub(rf"(--port=|127\.0\.0\.1:){IMAGE_PORTS[name]}\b", rf"\g<1>{port}", text)
        return text.replace("--host=0.0.0.0", "--host=127.0.0.1")

    def environment(self, name: str) -> dict[str, str]:
        """Return what the container's environment would be: the image's path and what the file says, nothing else."""
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        given = self.services[name]["environment"].items()
        return {"PATH": path, **{key: self.here(value) for key, value in given}}

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
            return psutil.Popen(
                [self.here(word) for word in self.services[name]["command"]],
                cwd=self.folders["/app"],
                env=self.environment(name),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_health(self, name: str, process: psutil.Popen, seconds: float = 180) -> None:
        """Wait until the service's own health check passes."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        deadline = time.monotonic() + seconds
        while (done := self.run(name, test[1:])).returncode != 0:
            assert process.poll() is None, f"{name} ended by itself"
            assert time.monotonic() < deadline, f"{name} is not healthy: {done.stdout}{done.stderr}"
            time.sleep(1)

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the web server, by GraphQL."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            body,
            {"Content-Type": "application/json", "Authorization": f"Bearer {UI_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture
def databases(server: str) -> Iterator[dict[str, str]]:
    """The variables that name a server of one's own: two databases that are not there yet."""
    name = f"deployed_{uuid4().hex}"
    market, dagster = (conninfo.make_conninfo(server, dbname=each) for each in (name, f"{name}_dagster"))
    yield {"CHANDLERY_DATABASE_URL": url(market), "CHANDLERY_DAGSTER_URL": sqlalchemy_url(dagster)}
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        for each in (name, f"{name}_dagster"):
            admin.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


@pytest.fixture
def stack(databases: dict[str, str]) -> Iterator[Stack]:
    root = Path(tempfile.mkdtemp(prefix="chandlery-deploy-"))
    services = load(
        {
            "DATABASE_PASSWORD": "not asked for here",
            "REDIS_PASSWORD": "nor here",
            "CHANDLERY_UI_TOKEN": UI_TOKEN,
            **databases,
        }
    )["services"]
    ports = {name: free_port() for name in IMAGE_PORTS}
    folders = {"/app": root / "app", "/etc/chandlery": ROOT / "config"}
    for mount in ["/tmp", *(text.split(":")[1] for text in services["code"]["volumes"])]:
        folders.setdefault(mount, root / mount.strip("/").replace("/", "-")).mkdir(exist_ok=True)
    # The image's /app, with a workspace that leads to the port of this test.
    (root / "app" / "deploy").mkdir(parents=True)
    workspace = (DEPLOY / "workspace.yaml").read_text()
    workspace = workspace.replace("host: code", "host: 127.0.0.1").replace("port: 4000", f"port: {ports['code']}")
    (root / "app" / "deploy" / "workspace.yaml").write_text(workspace)
    (root / "log").touch()
    yield Stack(services, folders, ports, root / "log")
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
    for _ in range(2):  # every start runs it again
        done = stack.run("init", stack.services["init"]["command"])
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

    # Dagster's own files are where the volume is, and nothing of ours got into the image's folders.
    assert (stack.folders["/var/lib/chandlery"] / "dagster" / "dagster.yaml").is_file()
    assert [path.name for path in stack.folders["/app"].rglob("*") if path.is_file()] == ["workspace.yaml"]


def outcome(stack: Stack, run: str) -> str:
    """Return how a run ended."""
    deadline = time.monotonic() + 180
    while True:
        status = str(stack.ask(STATUS, {"id": run})["runOrError"]["status"])
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            return status
        assert time.monotonic() < deadline, f"the run is still {status}"
        time.sleep(1)
