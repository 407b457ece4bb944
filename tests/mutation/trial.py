"""Runs the tests of a mutant in a copy of the tree, and says whether any of them noticed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.mutation.mutants import Mutant

#: A mutant that takes so many times as long as its tests did is in a loop without an end, or in a deadlock.
PATIENCE = 5
#: Seconds that a run of pytest may take for itself: starting, importing everything, a server of PostgreSQL.
START = 60


#: Beside every checkout may be a folder of market data, which some tests need.
SHARED = Path(__file__).parents[3] / "shared"


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant.

    Attributes:
        verdict: ``noticed``, ``timeout`` (which counts as noticed) or ``survived``; ``uncovered`` where no test ran.
        seconds: how long it took.
        tests: how many tests cover the line.
        tried: how many of them were to run.
        detail: the test that noticed, or what pytest said last.
    """

    verdict: str
    seconds: float
    tests: int
    tried: int
    detail: str


class Copy:
    """A copy of the tree in which one line at a time is broken."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        shutil.copytree(tree, self.project)
        (folder / "tmp").mkdir()
        (folder / "shared").symlink_to(SHARED)

    def environment(self) -> dict[str, str]:
        """Return the environment of a run, which finds the copy instead of the installed project."""
        return os.environ | {
            "PYTHONPATH": str(self.project),
            "PYTHONDONTWRITEBYTECODE": "1",  # a file that is changed twice within a second would be taken from there
            "TMPDIR": str(self.folder / "tmp"),
        }

    def run(self, *options: str, seconds: float | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in the copy.

        Raises:
            subprocess.TimeoutExpired: it took longer than ``seconds``; by then, all that it had started is gone.
        """
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *options]
        with subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environment() | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            finally:
                self._stop_servers()
        return subprocess.CompletedProcess(command, process.returncode, output)

    def try_out(self, mutant: Mutant, tests: Sequence[str], covering: int, expected: float) -> Outcome:
        """Break the line, run ``tests`` until one fails, and mend the line.

        Args:
            mutant: the line.
            tests: their names, in order.
            covering: how many there would be.
            expected: how many seconds ``tests`` take when nothing is broken.
        """
        file = self.project / mutant.file
        text = file.read_text()
        began = time.monotonic()
        file.write_text(mutant.apply(text))
        arguments = self.folder / "tests"
        arguments.write_text("\n".join(tests))
        try:
            done = self.run("-x", "--no-header", "--tb=no", f"@{arguments}", seconds=START + PATIENCE * expected)
        except subprocess.TimeoutExpired:
            verdict, detail = "timeout", ""
        else:
            if "not found: " in done.stdout:
                raise RuntimeError(f"pytest did not find the tests of {mutant.name}:\n{done.stdout}")
            verdict = "noticed" if done.returncode else "survived"
            said = done.stdout.splitlines()
            failed = [line for line in said if line.startswith(("FAILED", "ERROR"))]
            detail = (failed or said or [""])[-1]
        finally:
            file.write_text(text)
        return Outcome(verdict, round(time.monotonic() - began, 1), covering, len(tests), detail[:300])

    def _stop_servers(self) -> None:
        """Stop the servers of PostgreSQL that a run left behind; they are no children of it any more."""
        for file in (self.folder / "tmp").glob("*/data/postmaster.pid"):
            with suppress(psutil.NoSuchProcess):
                server = psutil.Process(int(file.read_text().split()[0]))
                if str(file.parent) in server.cmdline():
                    server.send_signal(signal.SIGQUIT)
                    server.wait()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
