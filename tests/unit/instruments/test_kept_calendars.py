"""Calendars are kept from one process to the next, and built again where what was kept may not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chandlery.core.calendars import Calendar, get_original
from chandlery.instruments.kept_calendars import KeptCalendars


class Builder:
    """Builds a calendar, and counts how often."""

    def __init__(self, name: str = "XTKS") -> None:
        self.name, self.built = name, 0

    def __call__(self) -> Calendar:
        self.built += 1
        return get_original(self.name)


def test_a_calendar_is_built_once_and_read_alike(tmp_path: Path) -> None:
    build, keep = Builder(), KeptCalendars(tmp_path / "calendars")
    first, second = keep("XTKS", build), keep("XTKS", build)
    assert build.built == 1
    assert (second.name, second.timezone, second.version) == (first.name, first.timezone, first.version)
    for name in ("sessions", "opens", "closes", "break_starts", "break_ends"):
        kept, built = getattr(second, name), getattr(first, name)
        assert kept.dtype == np.int64
        assert np.array_equal(kept, built)


def test_a_name_that_is_no_file_name_is_kept_too_and_each_by_itself(tmp_path: Path) -> None:
    keep, always, tokyo = KeptCalendars(tmp_path / "calendars"), Builder("24/7"), Builder()
    keep("24/7", always), keep("XTKS", tokyo)
    assert keep("24/7", always).name == "24/7"
    assert keep("XTKS", tokyo).name == "XTKS"
    assert (always.built, tokyo.built) == (1, 1)


@pytest.mark.parametrize("damage", ["cut", "other", "other key", "empty"])
def test_a_file_that_does_not_hold_is_written_anew(tmp_path: Path, damage: str) -> None:
    build, keep = Builder(), KeptCalendars(tmp_path / "calendars")
    keep("XTKS", build)
    (file,) = (tmp_path / "calendars").iterdir()
    content = file.read_bytes()
    if damage == "other key":  # of another month, or of another version of the library
        with np.load(file) as read:
            values = {**read, "key": np.array(str(read["key"]) + " of yesterday")}
        np.savez(file, **values)
    else:
        file.write_bytes({"cut": content[:100], "other": b"what is that", "empty": b""}[damage])
    keep("XTKS", build), keep("XTKS", build)
    assert build.built == 2


def test_where_nothing_can_be_written_calendars_are_built(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    build = Builder()
    for folder in (tmp_path / "file", tmp_path / "absent" / "calendars"):
        assert KeptCalendars(folder)("XTKS", build).name == "XTKS"
    assert build.built == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
