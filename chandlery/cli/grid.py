"""A table that fits the terminal: text is folded, and columns are left out before a value is cut.

Not here: what stands in the tables (each command), and how values are written (``output``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from chandlery.core.text import printable

#: Text that is folded keeps at least so many characters in a line.
_NARROWEST_TEXT = 24
#: Wide enough for every table.
_UNBOUNDED = 100_000


class Grid(Table):
    """A table in which no value is cut and a terminal obeys nothing that stands in a cell.

    Args:
        columns: their names. They are aligned to the right, as numbers are.
        left: those that are aligned to the left, as texts are.
        folded: those whose text may take several lines.
        keys: those that are never left out; by default the first one.
        title: stands above it.
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        left: Sequence[str] = (),
        folded: Sequence[str] = (),
        keys: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        super().__init__(
            box=SIMPLE_HEAD, header_style="bold", title=title, title_justify="left", title_style="bold", pad_edge=False
        )
        self._keys = columns[:1] if keys is None else keys
        for name in columns:
            self.add_column(
                name,
                justify="left" if name in left or name in folded else "right",
                no_wrap=name not in folded,
                overflow="fold",
                min_width=_NARROWEST_TEXT if name in folded else None,
            )

    def add_row(self, *cells: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        """Add a row; see ``rich.table.Table``."""
        super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options)

    def print(self, console: Console) -> list[str]:
        """Print it, without the last columns where the console is too narrow for all.

        Returns:
            The columns that were left out. A table of the keys alone that does not fit is printed all the same; the
            terminal folds its lines.
        """
        omitted: list[str] = []
        while self._least_width(console) > console.width:
            optional = [column for column in self.columns if column.header not in self._keys]
            if not optional:
                break
            omitted.insert(0, str(optional[-1].header))
            self.columns.remove(optional[-1])
        console.width = max(self._least_width(console), console.width)
        console.print(self, crop=False)
        return omitted

    def _least_width(self, console: Console) -> int:
        """Return how wide it is where text is folded as narrow as it may be, and nothing else is cut."""
        options = console.options.update(max_width=_UNBOUNDED)
        # The least width of a text is that of its longest word: of one that is not folded, all of it has to be there.
        measured = ((column, self._measure_column(console, options, column)) for column in self.columns)
        widths = (width.maximum if column.no_wrap else width.minimum for column, width in measured)
        return sum(widths) + self._extra_width
