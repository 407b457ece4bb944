"""How things are measured: contestants in turn, medians with their spread, and ratios between them.

A machine is never quiet, so contestants take turns (A B A B ...) and are compared round by round; only ratios within
one run mean anything. Not here: what is measured.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Measure:
    """How long one contestant took.

    Attributes:
        name: of the contestant.
        seconds: one for each round.
        count: how many ``unit`` it handled in that time.
        unit: of ``count``.
        note: what a reader has to know.
    """

    name: str
    seconds: Sequence[float]
    count: int = 1
    unit: str = ""
    note: str = ""

    @property
    def rates(self) -> list[float]:
        """Units per second, one for each round."""
        return [self.count / seconds for seconds in self.seconds]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one contestant compares with another, or with a limit.

    Attributes:
        name: what is compared.
        against: with what.
        ratios: one for each round; larger is better.
        aim: the least that is hoped for, if anything is.
    """

    name: str
    against: str
    ratios: Sequence[float]
    aim: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the aim; None where there is none."""
        return None if self.aim is None else median(self.ratios) >= self.aim


@dataclass(slots=True)
class Section:
    """What one benchmark found."""

    title: str
    measures: list[Measure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, measures: Mapping[str, Measure]) -> None:
        """Add measures."""
        self.measures += measures.values()

    def compare(self, one: Measure, other: Measure, *, aim: float | None = None) -> None:
        """Add how many times the rate of ``other`` is that of ``one``, round by round."""
        ratios = [a / b for a, b in zip(one.rates, other.rates, strict=True)]
        self.comparisons.append(Comparison(one.name, other.name, ratios, aim))

    def limit(self, one: Measure, seconds: float) -> None:
        """Add how far ``one`` stays below a limit."""
        ratios = [seconds / taken for taken in one.seconds]
        self.comparisons.append(Comparison(one.name, f"{_time(seconds)} at most", ratios, aim=1.0))

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "title": self.title,
            "measures": [
                {
                    "name": m.name,
                    "seconds": list(m.seconds),
                    "median_seconds": median(m.seconds),
                    "count": m.count,
                    "unit": m.unit,
                    "note": m.note,
                }
                for m in self.measures
            ],
            "comparisons": [
                {
                    "name": c.name,
                    "against": c.against,
                    "ratios": list(c.ratios),
                    "median_ratio": median(c.ratios),
                    "aim": c.aim,
                    "is_met": c.is_met,
                }
                for c in self.comparisons
            ],
            "facts": self.facts,
        }

    def show(self) -> None:
        """Print everything as tables."""
        table = Table(
            "what", "median", "min..max", "rate", "", title=self.title, title_justify="left", title_style="bold"
        )
        for m in self.measures:
            rate = f"{median(m.rates):,.0f} {m.unit}/s" if m.unit else ""
            table.add_row(
                m.name, _time(median(m.seconds)), f"{_time(min(m.seconds))}..{_time(max(m.seconds))}", rate, m.note
            )
        if self.measures:
            console.print(table)
        if self.comparisons:
            table = Table("ratio of rates", "against", "median", "min..max", "aim", "")
            for c in self.comparisons:
                aim = "" if c.aim is None else f">= {c.aim:g}"
                verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[c.is_met]
                span = f"{min(c.ratios):.2f}..{max(c.ratios):.2f}"
                table.add_row(c.name, c.against, f"{median(c.ratios):.2f}", span, aim, verdict)
            console.print(table)
        for name, fact in self.facts.items():
            console.print(f"  {name}: {fact}")


def stopwatch(work: Callable[[], object]) -> float:
    """Return how many seconds ``work`` takes, with the garbage of what came before out of the way."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def take_turns(contestants: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, list[float]]:
    """Let the contestants take turns; each does its own preparing and returns the seconds that count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(repeat):
        for name, run in contestants.items():
            seconds[name].append(run())
            say(f"round {turn + 1} of {repeat}: {name}: {_time(seconds[name][-1])}")
    return seconds


def say(text: str) -> None:
    """Tell what is going on."""
    console.print(f"  [dim]{text}[/]")


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
