"""Shows how far a long command is: a bar on a terminal, a line every few seconds in logs and pipes.

Not here: what is counted (``tally``), and what is said at the end (``ingest``, ``move``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from chandlery.cli.tally import TallyListener
from chandlery.core.text import plural
from chandlery.ingest import fetch as fetching
from chandlery.ingest.result import PartitionResult
from chandlery.rollups.refresh import Derived

_SECONDS_BETWEEN_LINES = 2.0
#: What took fewer seconds says nothing of what is to come: results arrive in bursts.
_SHORTEST = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """What changed since the last step. A bar keeps what is None as it was.

    Attributes:
        line: the whole state in one line, where lines are shown; None prints nothing.
        at_once: whether the line is printed however short ago the last one was.
        doing: what is being done, beside a bar.
        total: how many parts there are to do.
        done: how many parts were done since the last step.
        speed: such as ``1,200 rows/s``.
        restart: whether the parts are counted from 0 again.
    """

    line: str | None = None
    at_once: bool = False
    doing: str | None = None
    total: int | None = None
    done: int = 0
    speed: str | None = None
    restart: bool = False


class Display(Protocol):
    """Where the progress of a command is shown."""

    def show(self, step: Step) -> None:
        """Show what changed."""
        ...


class LineDisplay:
    """Prints a line, but not more often than every few seconds.

    Args:
        console: where to print.
        interval: the least number of seconds between two lines.
    """

    def __init__(self, console: Console, *, interval: float = _SECONDS_BETWEEN_LINES) -> None:
        self._console = console
        self._interval = interval
        self._printed_at = time.monotonic()

    def show(self, step: Step) -> None:
        """See ``Display``."""
        now = time.monotonic()
        if step.line is not None and (step.at_once or now - self._printed_at >= self._interval):
            if not step.at_once:
                self._printed_at = now
            self._console.print(step.line, markup=False, highlight=False, soft_wrap=True)


class BarDisplay:
    """Moves a progress bar.

    Args:
        progress: the bars of the terminal.
        task: which of them; it has the fields ``doing`` and ``speed``.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def show(self, step: Step) -> None:
        """See ``Display``."""
        changes: dict[str, Any] = {"total": step.total, "doing": step.doing, "speed": step.speed}
        changes = {name: value for name, value in changes.items() if value is not None}
        if step.restart:
            changes = {"speed": ""} | changes
        self._progress.update(
            self._task,
            advance=None if step.restart else step.done,
            completed=step.done if step.restart else None,
            **changes,
        )


@contextmanager
def open_display(console: Console, doing: str) -> Iterator[Display]:
    """Lend the display that suits the console: a bar on a terminal, lines otherwise.

    Args:
        console: where to show it.
        doing: what is being done until the first call says something else.
    """
    if not console.is_terminal:
        yield LineDisplay(console)
        return
    columns = (
        TextColumn("{task.fields[doing]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarDisplay(progress, progress.add_task("", total=None, doing=doing, speed=""))


class Stopwatch:
    """Measures how many rows a second are processed."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._rows = 0

    def add(self, rows: int) -> None:
        """Count ``rows`` more."""
        self._rows += rows

    @property
    def elapsed(self) -> float:
        """Seconds since it was made; more than 0."""
        return max(time.monotonic() - self._begun, 1e-6)

    @property
    def speed(self) -> str:
        """The mean speed since it was made: ``1,200 rows/s``."""
        return f"{self._rows / self.elapsed:,.0f} rows/s"


class Estimate:
    """Tells how long the rest takes, by how long it took since the first step was done: that one also got ready."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def describe(self, elapsed: float, done: int, left: int) -> str:
        """Return it in words.

        Args:
            elapsed: seconds since the beginning.
            done: how many steps are done.
            left: how many are not.
        """
        if done and self._first is None:
            self._first = elapsed, done
        since, before = self._first or (elapsed, done)
        if done <= before or elapsed - since < _SHORTEST:
            return "no estimate yet"
        return f"about {(elapsed - since) / (done - before) * left:.0f} s left"


class IngestProgress(TallyListener):
    """Counts what a run does, and shows it."""

    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display
        self._watch = Stopwatch()
        self._fetched: fetching.Progress | None = None
        self._estimate = Estimate()

    def planned(self, partitions: int) -> None:
        """See ``orchestrator.Listener``."""
        if not self.tally.planned:  # getting ready is not part of the speed
            self._watch = Stopwatch()
        super().planned(partitions)
        self._display.show(Step(total=self.tally.planned, doing="ingesting"))

    def fetched(self, progress: fetching.Progress) -> None:
        """See ``orchestrator.Listener``."""
        super().fetched(progress)
        self._fetched = fetching.add_up(self.tally.fetched.values())
        self._display.show(Step(self._line(), doing=f"ingesting ({fetching.describe_calls(self._fetched)})"))

    def ingested(self, result: PartitionResult) -> None:
        """See ``orchestrator.Listener``."""
        super().ingested(result)
        self._watch.add(result.inserted + result.revised + result.unchanged + result.quarantined)
        self._display.show(Step(self._line(), done=1, speed=self._watch.speed))

    def derived(self, derived: Derived) -> None:
        """See ``orchestrator.Listener``."""
        super().derived(derived)
        self._display.show(Step(doing=f"rolling up {derived.timeframe.value}"))

    def _line(self) -> str:
        done, planned, elapsed = len(self.tally.outcomes), self.tally.planned, self._watch.elapsed
        # What was complete before took no time: where a provider is asked, its answers tell how long it takes.
        steps, total = (self._fetched.answered, self._fetched.planned) if self._fetched else (done, planned)
        estimate = self._estimate.describe(elapsed, steps, max(0, total - steps))
        calls = f", {fetching.describe_calls(self._fetched)}" if self._fetched else ""
        what = plural(planned, "partition")
        return f"{done}/{planned} {what}, {self._watch.speed}, {elapsed:.0f} s elapsed, {estimate}{calls}"


@contextmanager
def show_progress(console: Console) -> Iterator[TallyListener]:
    """Lend a listener that counts what a run does, and shows how far it is on ``console``."""
    with open_display(console, "starting") as display:
        yield IngestProgress(display)
