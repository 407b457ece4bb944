"""Who keeps calendars from one process to the next, because the library takes most of a second to build one.

Not here: how they are kept (``instruments.kept_calendars``), and how they are built (``calendars``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from chandlery.core.calendars import Calendar

#: Takes a name and what builds the calendar; returns what was kept, or what it builds.
Keeper: TypeAlias = "Callable[[str, Callable[[], Calendar]], Calendar]"


def _nobody(_name: str, build: Callable[[], Calendar]) -> Calendar:
    return build()


_keeper: Keeper = _nobody


def keep_calendars(keeper: Keeper) -> None:
    """Let ``keeper`` keep the calendars that this process gets from now on; the library's, without a person's entries.

    Args:
        keeper: takes the name of a calendar, and what builds it.
    """
    global _keeper  # noqa: PLW0603 - one process has one installation
    _keeper = keeper


def kept_or_built(name: str, build: Callable[[], Calendar]) -> Calendar:
    """Return the calendar called ``name``: as it was kept, or as ``build`` builds it."""
    return _keeper(name, build)
