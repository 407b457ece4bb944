"""Wrong arguments of the command line: each ends with 2 and says in a sentence which it is; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.integration.test_cli import GOOD, Run, after_init, ready, write_days  # noqa: F401 - fixtures

HUGE = "9" * 40
NOT_TIMES = ("", "now", "2024-13-01", "03.06.2024", "1717372800", "nan", "10000-01-01", "\x00", "\ud800")
NOT_SYMBOLS = ("NOPE", "", "A" * 50, "A|B", "\x00", "\u00c9")
WITH_WIDTH = (
    ["query", "AAA"],
    ["revisions", "AAA"],
    ["coverage"],
    ["why", "AAA", "2024-01-02"],
    ["archive"],
    ["prune"],
    ["restore", "2024"],
    ["replay", "--provider", "files"],
)


def wrong_arguments(folder: str) -> Iterator[list[str]]:
    """Yield command lines of which one argument is wrong."""
    ingest = ["ingest", "AAA", "--path", folder]
    for option, value in product(("--start", "--end"), NOT_TIMES):
        for command in (["query", "AAA"], ["chart", "AAA"], ["revisions", "AAA"], ["coverage", "AAA"], ingest):
            yield [*command, option, value]
    for value in NOT_TIMES:
        yield ["query", "AAA", "--as-of", value]
        yield ["chart", "AAA", "--as-of", value]
        yield ["why", "AAA", "2024-01-02", "--as-of", value]
        yield ["why", "AAA", value]
        yield ["coverage", "--day", value]
        yield ["replay", "--provider", "files", "--since", value]
        yield ["halts", "remove", "AAA", value]
        yield ["halts", "add", "AAA", value, "2024-06-03T14:46:00Z", "--reason", "x"]
    for command, value in product(WITH_WIDTH, ("", "2m", "1x", "dy", HUGE)):
        yield [*command, "-t", value]
    named = (
        ["query"],
        ["chart"],
        ["revisions"],
        ["archive"],
        ["coverage"],
        ["quarantine", "list", "--symbol"],
        ["halts", "list"],
    )
    for command, value in product((*named, ["restore", "2024", "-t", "1d", "-s"]), NOT_SYMBOLS):
        yield [*command, value]
    for option, values in {
        "query AAA --limit": ("0", "-1", "1.5", "x", "", "nan"),
        "quarantine show": (HUGE, "-1", "0", "x", "", "1.5"),
        "restore 2024 -t 1d --keep": (HUGE, "-1", "x", ""),
        "restore -t 1d": ("", "2024-13", "x", "9999999999", "0000", "2024-01-01"),
        "query AAA -f": ("", "xml", "JSON "),
        "quarantine show 1 -f": ("", "xml"),
        "coverage --state": ("nope", "", "closed"),
        "coverage --picture": ("x", "", folder, f"{folder}/no/such/x.png", "/dev/full"),
        "ingest NEW --provider sample --calendar": ("XXXX", "", "xnys"),
        "ingest NEW --provider sample --asset-class": ("bond", ""),
        "why AAA 2024-01-02T10:00 --tz": ("Mars/X", "", "\x00"),
        "ingest --path": ("/no/such", "", f"{folder}/f.csv", "/dev/null"),
        "ingest --symbols-file": ("/no/such", "", folder),
        "ingest --preset": ("nope", ""),
        "ingest AAA --provider": ("nope", ""),
        "replay --provider": ("nope", ""),
        "halts import": ("/no/such", "", folder, "/dev/null"),
        "ui --port": ("0", "65536", "x", HUGE, "-1", ""),
        "move --to": ("", "x", "mysql://a/b", "postgresql://"),
    }.items():
        for value in values:
            yield [*option.split(), value]
    for option, values in {
        "--max-rejected-share": ("nan", "-0.1", "1.1", "inf", "x", ""),
        "--tz": ("Mars/X", "", "\x00"),
        "--epoch-unit": ("", "min", "S"),
    }.items():
        for value in values:
            yield [*ingest, option, value]
    for value in (HUGE, "-1", "0", "x", ""):
        yield ["quarantine", "release", value, "--reason", "x"]
    for command, value in product(
        (["query", "AAA"], ["revisions", "AAA"], ["query", "AAA", "-f", "csv"], ["query", "AAA", "-f", "parquet"]),
        (folder, f"{folder}/no/such/x.csv", "", "/proc/x.csv", f"{folder}/{'a' * 300}.csv"),
    ):
        yield [*command, "-o", value]
    yield ["query", "AAA", "-o", f"{folder}/x.exe"]
    yield ["halts", "add", "AAA", "2024-06-03T14:46:00Z", "2024-06-03T14:41:00Z", "--reason", "x"]
    yield ["halts", "add", "AAA", "2024-06-03T14:41:00Z", "2024-06-03T14:46:00Z", "--reason", ""]
    yield from (["nope"], ["query"], ["quarantine", "release", "1"], ["query", "AAA", "--nope"], ["query", "AAA", "b"])
    yield from (["status", "--json="], ["query", "AAA", "--limit="], ["", "AAA"])


@pytest.mark.slow
def test_every_wrong_argument_ends_with_2_and_is_named(ready: Run, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    ready("ingest", "AAA", "--path", str(write_days(tmp_path, "AAA", GOOD)))
    before = ready("status", "--json").stdout
    files = sorted(tmp_path.iterdir())
    faults, count = [], 0
    for arguments in wrong_arguments(str(tmp_path)):
        count += 1
        shown = [argument[:40] for argument in arguments]
        try:
            result = ready(*arguments)
        except Exception as error:  # noqa: BLE001 - what must not come
            faults.append(f"{shown} raised {error!r:.200}")
            continue
        if result.exit_code != 2 or not result.stderr or result.stdout or "Traceback" in result.stderr:
            faults.append(f"{shown} ended with {result.exit_code}: {result.stdout[:80]!r} {result.stderr[-200:]!r}")
    assert not faults, f"{len(faults)} of {count}:\n" + "\n".join(faults)
    assert count >= 300
    assert ready("status", "--json").stdout == before
    assert sorted(tmp_path.iterdir()) == files


def test_an_output_file_is_replaced_whole_or_not_at_all(ready: Run, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    ready("ingest", "AAA", "--path", str(write_days(tmp_path, "AAA", GOOD)))
    file, link = tmp_path / "bars.csv", tmp_path / "link.csv"
    file.write_text("what was there before")
    file.chmod(0o640)
    link.symlink_to(file)
    assert ready("query", "AAA", "-o", str(link)).exit_code == 0
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text().count("\n") == 4
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["bars.csv", "link.csv"]
    full = ready("query", "AAA", "-f", "csv", "-o", "/dev/full")
    assert full.exit_code == 1
    assert "/dev/full: No space left on device" in full.stderr
    assert ready("query", "AAA", "-f", "csv", "-o", "/dev/null").exit_code == 0
