"""What a person at a terminal waits for: whole processes, beside one that only imports numpy and Arrow.

The installation is the demo's, at rest: each command starts the embedded server, and it has stopped before the next.
What the server takes of a processor is not counted as the command's; that the command waits for it is. Not here: any
part of a command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import Measure, Section, say
from benchmarks.world import World
from chandlery.database import embedded

_BASE = "python -c 'import numpy, pyarrow'"
_CLI = (sys.executable, "-m", "chandlery")
#: What is measured, and for how many seconds a person waits at most.
_COMMANDS: Mapping[str, tuple[Sequence[str], float | None]] = {
    _BASE: ((sys.executable, "-c", "import numpy, pyarrow"), None),
    "chandlery --help": ((*_CLI, "--help"), 0.35),
    "chandlery query, three bars": ((*_CLI, "query", "AAPL", "--limit", "3"), 0.7),
    "chandlery status": ((*_CLI, "status"), 0.6),
    "chandlery ingest, nothing to do": ((*_CLI, "ingest", "AAPL"), 3.0),
    "make demo again": ((sys.executable, "-m", "pipelines.demo"), 8.0),
}
_ROOT = Path(__file__).parents[1]


@dataclass
class _Times:
    """Seconds of each round: of the clock, and of a processor."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def run(world: World) -> Iterator[Section]:
    """Yield the result."""
    home = world.folder / "terminal"
    environment = {**os.environ, "CHANDLERY_HOME": str(home), "CHANDLERY_CONFIG": str(_ROOT / "config")}
    say("make demo, the first time")
    _measure(_COMMANDS["make demo again"][0], environment, home)
    times = {name: _Times() for name in _COMMANDS}
    for turn in range(world.repeat + 1):
        for name, (command, _) in _COMMANDS.items():
            wall, cpu = _measure(command, environment, home)
            if turn:  # the first round fills the caches of the system
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
                say(f"round {turn} of {world.repeat}: {name}: {wall:.2f} s, {cpu:.2f} s of a processor")
    waited = Section("terminal: what a person waits for")
    spent = Section("terminal: what it takes of a processor, without the server")
    for section, kind in ((waited, "wall"), (spent, "cpu")):
        measures = {name: Measure(name, getattr(each, kind)) for name, each in times.items()}
        section.add(measures)
        for name, (_, limit) in _COMMANDS.items():
            if limit is not None:
                section.compare(measures[name], measures[_BASE])
                if section is waited:
                    section.limit(measures[name], limit)
        yield section


def _measure(command: Sequence[str], environment: Mapping[str, str], home: Path) -> tuple[float, float]:
    """Run a command and wait until the server has stopped; return its seconds, and those of a processor."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f"{command} ended with {process.returncode}: {said.decode(errors='replace')}")
    if (home / "postgres").exists():
        embedded.leave(home / "postgres", wait=True)
    return wall, used.ru_utime + used.ru_stime
