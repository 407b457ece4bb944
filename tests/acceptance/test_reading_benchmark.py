"""What ``make bench`` asks of reading, in small and beside those peers that happen to be installed here.

At full size, beside all: ``make bench``, or ``python -m benchmarks --only reading``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
from benchmarks.reading import run
from benchmarks.world import World
print(json.dumps([each.as_json() for each in run(World(1000, 1, quick=True), python=Path(sys.executable))]))
"""


@pytest.mark.slow
def test_every_question_is_answered_alike_by_all_and_no_reader_sees_half_a_publication() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, text=True, capture_output=True, check=False, timeout=600
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    # Where a peer's answer is not ours, or a reader sees half a publication, the program fails by itself.
    sections = json.loads(ended.stdout.splitlines()[-1])
    assert {"Polars", "pandas.read_sql"} <= sections[0]["facts"]["versions"].keys()
    asked = [each["title"].split(": ")[1] for each in sections]
    minutes = "a year of minutes of one symbol"
    assert asked == [
        *(f"{minutes}, to pandas", f"one column of {minutes}, to pandas"),
        *("a year of days of one symbol, to pandas", "a year of days of 5 symbols, to one pandas frame"),
        "the latest bar of 30 symbols, to pandas",
        *(f"minutes to {width} at read time" for width in ("5m", "1h", "1d", "2h", "90m")),
        f"{minutes}, of which one in a hundred was revised, to pandas",
        "the round trip that validates a cached answer",
        "inference frames of 6 timeframes and 12 indicators, warm",
        "the last of 30,290 minutes of 2 symbols beside each of 150,000 rows",
        "16 readers of 3,102 bars of 4 symbols while all of them change",
        "memory of a large read",
    ]
    against = {each["against"] for section in sections for each in section["comparisons"]}
    assert {"Polars", "pandas.read_sql"} <= against
