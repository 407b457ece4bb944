"""How far a command is: as a bar on a terminal, as lines elsewhere. The clock is never waited for."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from rich.console import Console
from rich.progress import Progress

from chandlery.cli.progress import BarDisplay, Display, Estimate, IngestProgress, LineDisplay, Step, open_display
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest import fetch
from chandlery.ingest.result import PartitionResult
from chandlery.publishing.publish import PublishReport
from chandlery.rollups.refresh import Derived
from tests.support import Traded


class Recorder:
    """A display that remembers its steps."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def show(self, step: Step) -> None:
        self.steps.append(step)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def lines(output: io.StringIO, *, interval: float) -> LineDisplay:
    return LineDisplay(Console(file=output, width=200), interval=interval)


def result(key: str, *, inserted: int) -> PartitionResult:
    window = Timeframe.M1.window_of(date.fromisoformat(f"{key}-01"))
    partition = Partition.of(Traded("AAA", "24/7"), Timeframe.M1, window)
    return PartitionResult(partition, "published", inserted=inserted)


def test_every_step_with_a_line_is_printed_where_no_time_must_pass(output: io.StringIO) -> None:
    display = lines(output, interval=0)
    display.show(Step("[1/2] a"))
    display.show(Step(doing="not for lines", done=1))
    display.show(Step("[2/2] b"))
    assert output.getvalue() == "[1/2] a\n[2/2] b\n"


def test_lines_that_come_too_soon_are_left_out_but_for_those_that_must_be_seen(output: io.StringIO) -> None:
    display = lines(output, interval=3600)
    display.show(Step("9 rows in 2 parts", at_once=True))
    display.show(Step("1/2 copied"))
    assert output.getvalue() == "9 rows in 2 parts\n"


def test_a_bar_moves_and_keeps_what_a_step_does_not_name(output: io.StringIO) -> None:
    progress = Progress(console=Console(file=output))
    task = progress.add_task("", total=None, doing="starting", speed="")
    display = BarDisplay(progress, task)

    def state() -> tuple[object, ...]:
        (bar,) = progress.tasks
        return bar.completed, bar.total, bar.fields["doing"], bar.fields["speed"]

    display.show(Step("not for bars", total=3, doing="copying"))
    assert state() == (0, 3, "copying", "")
    display.show(Step(done=2, speed="7 rows/s"))
    assert state() == (2, 3, "copying", "7 rows/s")
    display.show(Step(doing="compared", done=1, restart=True))
    assert state() == (1, 3, "compared", "")


@pytest.mark.parametrize(("terminal", "kind"), [(True, BarDisplay), (False, LineDisplay)])
def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines(output: io.StringIO, terminal: bool, kind: type[Display]) -> None:
    with open_display(Console(file=output, force_terminal=terminal), "starting") as display:
        assert isinstance(display, kind)


def test_a_run_is_counted_and_shown() -> None:
    report = PublishReport(4, 1, 0, datetime(2024, 3, 1, tzinfo=UTC), pa.table({}), {})
    display = Recorder()
    listener = IngestProgress(display)
    listener.planned(2)
    listener.planned(1)
    listener.ingested(result("2024-01", inserted=5))
    listener.fetched(fetch.Progress("files", answered=1, planned=2, rows=5, calls=3))
    listener.ingested(result("2024-02", inserted=2))
    listener.derived(Derived(Timeframe.H1, 1, report, {}))

    planned, more, first, fetched, second, derived = display.steps
    assert (planned, more) == (Step(total=2, doing="ingesting"), Step(total=3, doing="ingesting"))
    n = r"[\d,]+"
    assert re.fullmatch(rf"1/3 partitions, {n} rows/s, {n} s elapsed, no estimate yet", first.line or "")
    assert (first.done, second.done, fetched.done) == (1, 1, 0)
    assert fetched.doing is not None
    assert fetched.doing.startswith("ingesting (1/2 requests answered, 3 calls made")
    assert re.fullmatch(
        rf"2/3 partitions, {n} rows/s, {n} s elapsed, no estimate yet, 1/2 requests.*", second.line or ""
    )
    assert derived == Step(doing="rolling up 1h")
    assert str(listener.tally.total()) == "inserted=7 revised=0 unchanged=0 quarantined=0 warnings=0"
    assert (listener.tally.calls, dict(listener.tally.rolled_up)) == (3, {Timeframe.H1: 5})


def test_the_first_step_promises_nothing_because_it_also_got_ready() -> None:
    estimate = Estimate()
    said = [
        estimate.describe(*step) for step in [(9.0, 0, 14), (13.0, 1, 13), (13.1, 5, 9), (15.0, 5, 9), (17.0, 9, 5)]
    ]
    assert said == ["no estimate yet"] * 3 + ["about 4 s left", "about 2 s left"]
