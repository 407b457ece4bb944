"""Migrations that were committed stay as they are: databases have them."""

from __future__ import annotations

import re

from chandlery.database.migrate import REVISION
from tests.golden.migrations import present_checksums, read_checksums


def test_no_migration_was_edited_after_it_was_committed() -> None:
    known, present = read_checksums(), present_checksums()
    changed = sorted(name for name in known if present.get(name) != known[name])
    assert not changed, f"{changed} differ from what databases have; write a new migration instead"
    assert present.keys() == known.keys(), "add the new migration with: python -m tests.golden.update"


def test_each_migration_has_its_way_back_and_the_last_one_is_what_the_code_needs() -> None:
    names = read_checksums()
    steps = {match[1] for name in names if (match := re.match(r"(\d{4})_\w+\.up\.sql", name))}
    assert sorted(steps) == [f"{number:04}" for number in range(1, int(REVISION) + 1)]
    for step in steps:
        for pattern in (rf"{step}_\w+\.down\.sql", rf"versions/{step}_\w+\.py"):
            assert sum(bool(re.fullmatch(pattern, name)) for name in names) == 1, (step, pattern)
