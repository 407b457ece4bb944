"""What a move tells while it is under way, and in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from chandlery.ops.move.contents import TablePart


class MoveListener(Protocol):
    """Is called as a move goes on."""

    def planned(self, parts: int, rows: int) -> None:
        """Take note of how much there is to move."""
        ...

    def copying(self, part: TablePart) -> None:
        """Take note that a part is being copied."""
        ...

    def copied(self, part: TablePart, rows: int) -> None:
        """Take note that a part was copied, and was the same on both sides."""
        ...

    def kept(self, part: TablePart) -> None:
        """Take note that a part was there from an earlier run, and has not changed in the source."""
        ...

    def verified(self, part: TablePart) -> None:
        """Take note that a part was found to be the same in the end."""
        ...


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What a move did.

    Attributes:
        parts: windows and tables that both sides hold now.
        rows: of these.
        copied_parts: those that this run copied; 0 where everything was there.
        copied_rows: of these.
    """

    parts: int
    rows: int
    copied_parts: int
    copied_rows: int
