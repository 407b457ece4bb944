"""``python -m tests.mutation``: break a random sample of lines, one at a time, and see which breaks no test notices.

A run that was interrupted goes on where it was, as long as neither the code nor its tests changed.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import Mutant, find_mutants
from tests.mutation.recording import Record, by_file
from tests.mutation.trial import Copy, Outcome

PROJECT = Path(__file__).parents[2]
ROOMS = ("publishing", "bars", "tiers", "reading", "coverage", "core")
#: They take long, and run the library in other processes, where nobody records lines.
LEFT_OUT = ["--ignore=tests/acceptance", "--ignore=tests/integration/test_deploy.py", "-m", "not slow and not ui"]


def main() -> int:
    """Run the command; return its exit code: 1 if fewer lines were noticed than must be."""
    options = parse_options()
    folder = prepare(PROJECT / ".mutation", fresh=options.fresh)
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as temporary:
        place = Path(temporary)
        place.chmod(0o755)  # started by root, PostgreSQL runs as another user
        if not (folder / "record" / "tests.json").exists():
            record(folder, Copy(folder / "tree", place / "r"), options)
        known = Record.read(folder / "record", folder / "tree")
        sample = choose(known, options.lines, options.seed)
        outcomes = {name: outcome for name, outcome in read_outcomes(folder).items() if name in sample}
        print(f"{len(sample)} lines, {len(outcomes)} of them tried before", flush=True)
        copies = [Copy(folder / "tree", place / str(number)) for number in range(options.workers)]
        todo = [mutant for name, mutant in sample.items() if name not in outcomes]
        try_all(folder, known, copies, todo, outcomes, seconds=options.seconds)
    return report(folder, sample, outcomes, options.at_least)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--lines", type=int, default=200, help="how many lines to break (%(default)s)")
    parser.add_argument("--seed", type=int, default=10, help="of the random sample (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="how many at the same time (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for each line, at most (%(default)s)")
    parser.add_argument("--at-least", type=float, default=85, help="per cent that must be noticed (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("tests", nargs="*", default=["tests"], help="the tests to take into account (all)")
    return parser.parse_args()


def prepare(folder: Path, *, fresh: bool) -> Path:
    """Make the copy of the tree that everything is about, unless it is there already; return ``folder``."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split("\0")
    files = sorted(name for name in names if name and (PROJECT / name).is_file())
    digest = hashlib.sha256()
    for name in files:
        if not name.startswith(("docs/", "tests/mutation/")):
            digest.update(name.encode() + b"\0" + (PROJECT / name).read_bytes())
    mark = folder / "digest"
    if fresh or not mark.exists() or mark.read_text() != digest.hexdigest():
        shutil.rmtree(folder, ignore_errors=True)
    for name in files:
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, folder / "tree" / name)
    mark.write_text(digest.hexdigest())
    return folder


def record(folder: Path, copy: Copy, options: argparse.Namespace) -> None:
    """Run all tests, and write down which lines each of them runs."""
    print("which tests run which lines? (once, as long as nothing changes)", flush=True)
    began = time.monotonic()
    target = folder / "record"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    done = copy.run(
        *(
            "-p",
            "tests.mutation.recording",
            "-n",
            str(options.workers),
            "--dist",
            "loadfile",
            *LEFT_OUT,
            *options.tests,
        ),
        MUTATION_RECORD=str(target),
        MUTATION_SOURCE=":".join(f"chandlery/{room}" for room in ROOMS),
    )
    (folder / "record.log").write_text(done.stdout)
    print("\n".join(done.stdout.splitlines()[-3:]))
    print(f"recorded in {time.monotonic() - began:.0f} s", flush=True)
    if not (target / "tests.json").exists():
        sys.exit(f"pytest did not end well; it said: {folder / 'record.log'}")


def choose(known: Record, lines: int, seed: int) -> dict[str, Mutant]:
    """Return the sample by name: as many lines of the rooms as asked for, each broken in one way of those possible."""
    by_line: defaultdict[tuple[str, int], list[Mutant]] = defaultdict(list)
    for room in ROOMS:
        for folder, suffix in ((f"chandlery/{room}", "py"), (f"sql/queries/{room}", "sql")):
            for path in sorted((known.tree / folder).rglob(f"*.{suffix}")):
                for mutant in find_mutants(known.tree, path.relative_to(known.tree).as_posix()):
                    by_line[mutant.file, mutant.line].append(mutant)
    chance = random.Random(seed)
    chosen = chance.sample(sorted(by_line), min(lines, len(by_line)))
    mutants = [chance.choice(by_line[line]) for line in chosen]
    return {mutant.name: mutant for mutant in mutants}


def try_all(
    folder: Path,
    known: Record,
    copies: Sequence[Copy],
    todo: Sequence[Mutant],
    outcomes: dict[str, Outcome],
    *,
    seconds: float,
) -> None:
    """Try out what is to do, as many at the same time as there are copies; add to ``outcomes`` and to their file."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def try_one(mutant: Mutant) -> tuple[Mutant, Outcome]:
        covering = known.covering(mutant.file, mutant.line)
        if not covering:
            return mutant, Outcome("uncovered", 0, 0, 0, "")
        tests = by_file(known, covering, seconds)
        copy = free.get()
        try:
            return mutant, copy.try_out(mutant, tests, len(covering), sum(known.seconds[test] for test in tests))
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool, (folder / "outcomes.jsonl").open("a") as file:
        try:
            for future in as_completed([pool.submit(try_one, mutant) for mutant in todo]):
                mutant, outcome = future.result()
                outcomes[mutant.name] = outcome
                file.write(json.dumps({"name": mutant.name, **asdict(outcome)}) + "\n")
                file.flush()
                shown = f"{outcome.verdict:9} {outcome.seconds:6.1f} s  {mutant.name}  {outcome.detail[:90]}"
                print(f"{len(outcomes):4} {shown}", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    file = folder / "outcomes.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {line.pop("name"): Outcome(**line) for line in lines}


def report(folder: Path, sample: Mapping[str, Mutant], outcomes: Mapping[str, Outcome], at_least: float) -> int:
    """Write the lines whose break nobody noticed to ``survivors.md``; return the exit code."""
    survivors = {name: outcome for name, outcome in outcomes.items() if outcome.verdict in ("survived", "uncovered")}
    share = 100 * (1 - len(survivors) / max(len(outcomes), 1))
    summary = f"{len(outcomes) - len(survivors)} of {len(outcomes)} broken lines were noticed: {share:.0f} %"
    text = [f"# {summary}\n"]
    for name, outcome in sorted(survivors.items()):
        mutant = sample[name]
        original = (folder / "tree" / mutant.file).read_text()
        changes = difflib.unified_diff(original.splitlines(), mutant.apply(original).splitlines(), n=2, lineterm="")
        text.append(f"## {name}\n\n{outcome.verdict}: {outcome.tried} of {outcome.tests} tests ran\n")
        text.append("```diff\n" + "\n".join(list(changes)[2:]) + "\n```\n")
    (folder / "survivors.md").write_text("\n".join(text))
    print(f"{summary}; the others: {folder / 'survivors.md'}")
    return 0 if share >= at_least else 1


if __name__ == "__main__":
    sys.exit(main())
