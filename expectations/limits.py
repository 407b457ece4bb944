"""How strict the gate is: every number in its rules that a person may want to change.

Not here: the rules themselves (``rules``), and where an installation's own numbers come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chandlery.errors import UsageError


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Limits of the rules about a whole partition.

    Attributes:
        max_rejected_share: largest share of bad rows, from 0 to 1, with which the good rows are still published.
        max_rejected_rows: so many bad rows never keep the good ones back, whatever their share is.
        jump_threshold: a close that is further from its neighbours than this many robust standard deviations (from
            the median absolute deviation of the log returns) is named.
        jump_floor: moves of the log price up to this are never named, however calm the series; 0.35 is +42 % or -30 %.
        jump_ceiling: moves of the log price beyond this are always named, however wild the series; 2.3 is tenfold.
        zero_volume_run_intraday: so many bars in a row without volume are named, for bars shorter than a day.
        zero_volume_run_daily: the same, for bars of a day and longer.
    """

    max_rejected_share: float = 0.01
    max_rejected_rows: int = 3
    jump_threshold: float = 10.0
    jump_floor: float = 0.35
    jump_ceiling: float = 2.3
    zero_volume_run_intraday: int = 60
    zero_volume_run_daily: int = 5

    def __post_init__(self) -> None:
        """Refuse limits that cannot be meant."""
        if not 0 <= self.max_rejected_share <= 1:
            raise UsageError(f"max_rejected_share={self.max_rejected_share!r} is not a share; allowed: 0 to 1")
        if self.max_rejected_rows < 0:
            raise UsageError(f"max_rejected_rows={self.max_rejected_rows!r} is not allowed; give 0 or more")
        if not (math.isfinite(self.jump_threshold) and self.jump_threshold > 0):
            raise UsageError(f"jump_threshold={self.jump_threshold!r} is not allowed; give a number above 0")
        if not 0 < self.jump_floor <= self.jump_ceiling < math.inf:
            raise UsageError(
                f"jump_floor={self.jump_floor!r} and jump_ceiling={self.jump_ceiling!r} are not allowed together; give "
                "0 < jump_floor <= jump_ceiling"
            )
        for name in ("zero_volume_run_intraday", "zero_volume_run_daily"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)!r} is not allowed; give 1 or more")
