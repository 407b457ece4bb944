"""Calendars in files of the installation, so that not every command builds them anew.

A file holds for the version of the library, for our own rules, and for the month in which it was written, because a
calendar ends about a year after it was built. Whatever is wrong with a file, the calendar is built as if there were
none. Not here: a person's entries (``core.calendar_changes``), which no file holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from chandlery.core import calendars, market_hours
from chandlery.core.calendars import Calendar

_TEXTS = ("name", "timezone", "version")
_ARRAYS = ("sessions", "opens", "closes", "break_starts", "break_ends")


@dataclass(frozen=True, slots=True)
class KeptCalendars:
    """Keeps calendars; see ``core.calendar_keeping.keep_calendars``.

    Attributes:
        folder: where, made when the first one is kept; where the folder around it is absent, nothing is.
    """

    folder: Path

    def __call__(self, name: str, build: Callable[[], Calendar]) -> Calendar:
        """Return the calendar as it was kept, or as ``build`` builds it; that one is kept from then on."""
        place = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
        key = f"{name} {_rules()} {datetime.now(UTC):%Y-%m}"
        with suppress(Exception):  # nothing is kept, or the file is damaged
            return _read(place, key)
        calendar = build()
        with suppress(OSError):  # it cannot be written: others build it as well
            _write(place, key, calendar)
        return calendar


def _read(place: Path, key: str) -> Calendar:
    with place.open("rb") as content, np.load(content, allow_pickle=False) as file:
        if str(file["key"]) != key:
            raise ValueError(key)
        values: dict[str, Any] = {name: str(file[name]) for name in _TEXTS}
        values |= {name: file[name].astype(np.int64) for name in _ARRAYS}
    return Calendar(**values)


def _write(place: Path, key: str, calendar: Calendar) -> None:
    """Write a file whole or not at all."""
    place.parent.mkdir(mode=0o700, exist_ok=True)
    new = place.with_name(f".{place.name}.{uuid4().hex}")
    contents: dict[str, Any] = {name: getattr(calendar, name) for name in (*_TEXTS, *_ARRAYS)}
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            np.savez(file, key=np.array(key), **contents)
        new.replace(place)
    finally:
        new.unlink(missing_ok=True)


@cache
def _rules() -> str:
    """Return what tells the rules of the library and ours from others."""
    ours = b"".join(Path(str(module.__file__)).read_bytes() for module in (calendars, market_hours))
    return f"{version('exchange_calendars')} {hashlib.sha256(ours).hexdigest()[:16]}"
