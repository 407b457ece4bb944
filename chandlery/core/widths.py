"""Any width of bars, stored or not: those that are not are made when they are read.

Not here: how people write one (``spellings``), the stored ones (``timeframe``), and where bars begin (``grid``).
"""

from __future__ import annotations

from dataclasses import dataclass

from chandlery.core.spellings import Unit, read_width, write_width
from chandlery.core.timeframe import Timeframe

_ALLOWED = f"{' '.join(Timeframe)}, or any other width, such as 10m 90m 2h 3d 2w 1q 1y"


@dataclass(frozen=True, slots=True)
class Width:
    """How wide a bar is.

    Attributes:
        count: of the unit, 1 or more.
        unit: minutes, days, weeks or months; hours are 60 minutes, quarters 3 months, years 12.
    """

    count: int
    unit: Unit

    @property
    def name(self) -> str:
        """The one way in which it is written here: ``90m``, ``2h``, ``3d``, ``2w``, ``1mo``, ``1q``, ``1y``."""
        return write_width(self.count, self.unit)

    @property
    def stored(self) -> Timeframe | None:
        """The timeframe of which it is the width; None where no bars so wide are stored."""
        return Timeframe(self.name) if self.name in tuple(Timeframe) else None

    @property
    def is_intraday(self) -> bool:
        """Whether it is counted in minutes."""
        return self.unit == "m"

    @property
    def microseconds(self) -> int:
        """The width, intraday."""
        return self.count * 60_000_000

    @property
    def bases(self) -> tuple[Timeframe, ...]:
        """The stored timeframes that it is a whole number of, widest first."""
        if self.unit == "m":
            minutes = [each for each in Timeframe if each.is_intraday]
            return tuple(each for each in reversed(minutes) if self.microseconds % each.microseconds == 0)
        widest = {"d": Timeframe.D1, "w": Timeframe.W1, "mo": Timeframe.MO1}[self.unit]
        return (widest,) if widest is Timeframe.D1 else (widest, Timeframe.D1)

    def bars_of(self, base: Timeframe) -> int:
        """Return how many bars of ``base`` one bar has at most."""
        if self.unit == "m":
            return self.count * 60_000_000 // base.microseconds
        if base is Timeframe.D1:
            return self.count * {"d": 1, "w": 7, "mo": 31}[self.unit]
        return self.count


def parse_width(text: object, *, name: str = "timeframe") -> Width:
    """Return the width that ``text`` names; see ``read_width``."""
    return Width(*read_width(text, name=name, allowed=_ALLOWED))
