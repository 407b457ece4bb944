"""``python -m benchmarks``: measures, prints the ratios, and saves them under ``benchmarks/results/``.

Not here: any measurement.
"""

from __future__ import annotations

import importlib
import json
import platform
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.harness import Section, console
from benchmarks.world import World

_NAMES = (
    "terminal",
    "publish",
    "pipeline",
    "read",
    "reading",
    "rollup",
    "indicators",
    "tiers",
    "orchestration",
    "parts",
    "suspects",
    "soak",
)
#: Run only when they are asked for.
_LONG = ("sizing",)
_RESULTS = Path(__file__).parent / "results"


def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {' '.join((*_NAMES, *_LONG))}; may be repeated.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1000, help="About how many minute bars the larger benchmarks use.")
    ] = 500_000,
    repeat: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Make what has a size of its own small.")] = False,
) -> None:
    """Measure on a PostgreSQL of its own and on invented bars. Only ratios within one run mean anything."""
    unknown = sorted(set(only or ()) - {*_NAMES, *_LONG})
    if unknown:
        raise typer.BadParameter(
            f"{' '.join(unknown)} is not known; allowed: {' '.join((*_NAMES, *_LONG))}", param_hint="--only"
        )
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the server is stopped and removed
    world = World(rows, repeat, quick=quick)
    found: dict[str, list[Section]] = {}
    begun = time.monotonic()
    for name in (*_NAMES, *_LONG):
        if name not in (only or _NAMES):
            continue
        console.rule(f"{name} ({time.monotonic() - begun:.0f} s)")
        found[name] = []
        for section in importlib.import_module(f"benchmarks.{name}").run(world):
            found[name].append(section)
            section.show()
    path = _save(found, rows, repeat, time.monotonic() - begun)
    console.rule("summary")
    for section in (section for sections in found.values() for section in sections):
        missed = [comparison for comparison in section.comparisons if comparison.is_met is False]
        aims = [comparison for comparison in section.comparisons if comparison.aim is not None]
        if aims:
            console.print(f"{section.title}: {len(aims) - len(missed)} of {len(aims)} aims met")
    console.print(f"{time.monotonic() - begun:.0f} s; the figures are in {path}")


def _save(found: dict[str, list[Section]], rows: int, repeat: int, seconds: float) -> Path:
    _RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = _RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    content = {
        "measured_at": now.isoformat(),
        "seconds": round(seconds, 1),
        "rows": rows,
        "repeat": repeat,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "results": {name: [section.as_json() for section in sections] for name, sections in found.items()},
    }
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")
    return path


if __name__ == "__main__":
    typer.run(main)
