"""What is measured of each partition's good rows: sessions, jumps of the price, runs without volume.

Each measure comes with what was seen, for a person. Not here: the limits of the rules (``rules``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Int64s
from expectations.evidence import Bools, Floats, floats
from expectations.layout import Layout
from expectations.limits import GateLimits
from expectations.sessions import expected_sessions

#: A close is compared with the median of so many before it.
_NEIGHBOURS = 5
_NAMED = 5
#: Median absolute deviation to standard deviation, for a normal distribution.
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Measures:
    """The evidence for ``rules.batch_rules``.

    Attributes:
        evidence: columns with one value for each partition.
        details: for each rule what was seen, one text for each partition.
    """

    evidence: dict[str, npt.NDArray[Any]]
    details: dict[str, list[str]]


def measure(layout: Layout, bad: Bools, unlisted: Int64s, now: datetime, limits: GateLimits) -> Measures:
    """Measure each partition of ``layout`` (at least one), given which rows are ``bad`` and which ``unlisted``.

    The latter (ascending positions) do not count: they may be another company's, under a ticker that was used again.
    """
    others = layout.count(unlisted)
    rows, rejected = layout.stop - layout.first - others, layout.count(np.flatnonzero(bad)) - others
    shares = rejected / np.maximum(rows, 1)
    good = ~bad
    before = np.concatenate(([0], np.cumsum(good)))  # good rows before each row
    ts, close, volume = layout.ts, floats(layout.table.column("close")), floats(layout.table.column("volume"))
    if not good.all():
        ts, close, volume = ts[good], close[good], volume[good]
    numbers, texts = [], []
    for partition, count, first, stop in zip(
        layout.partitions, rows, before[layout.first], before[layout.stop], strict=True
    ):
        expected = expected_sessions(partition, now)
        missing = expected.days[np.diff(np.searchsorted(ts[first:stop], expected.edges)) == 0]
        jumps = ts[first:stop][price_jumps(close[first:stop], limits)]
        length, begin = longest_run(volume[first:stop] == 0)
        sessions = len(expected.days)
        numbers.append((0 if count else sessions, len(missing), len(jumps), length))
        texts.append(
            (
                f"{count} rows for {sessions} closed sessions",
                f"{sessions - len(missing)} of {sessions} closed sessions have bars"
                + _named("; missing ", missing.astype("datetime64[D]")),
                _named(f"{len(jumps)} jumps: ", jumps.astype("datetime64[us]")),
                f"{length} bars from {_text(ts[first + begin].astype('datetime64[us]'))}" if length else "",
            )
        )
    unserved, missing_sessions, jump_counts, runs = np.array(numbers, dtype=np.int64).T
    counts, session_texts, jump_texts, run_texts = map(list, zip(*texts, strict=True))
    return Measures(
        {
            "sessions_without_any_row": unserved,
            "rejected_share": shares,
            "missing_sessions": missing_sessions,
            "price_jumps": jump_counts,
            "zero_volume_run": runs,
        },
        {
            "not_empty": counts,
            "rejected_share": list(map(partial(_share, limits), rejected, rows)),
            "session_count": session_texts,
            "price_jump": jump_texts,
            "zero_volume_run": run_texts,
        },
    )


def _share(limits: GateLimits, rejected: int, rows: int) -> str:
    share = rejected / max(rows, 1)
    return f"{rejected} of {rows} rows rejected ({share:.2%}), allowed {limits.max_rejected_share:.2%}"


def price_jumps(close: Floats, limits: GateLimits) -> Int64s:
    """Return where the price jumps: the first of each run of closes far from the median of the five before them.

    Args:
        close: finite and above 0, in order of time.
        limits: ``jump_threshold``, ``jump_floor`` and ``jump_ceiling``.
    """
    level = np.log(close)
    moves = np.diff(level)
    # No close is further from the median of its neighbours than the moves between them add up to.
    if not len(moves) or np.abs(moves).max() <= limits.jump_floor / _NEIGHBOURS:
        return np.empty(0, dtype=np.int64)
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(moves - np.median(moves))))
    threshold = float(np.clip(limits.jump_threshold * spread, limits.jump_floor, limits.jump_ceiling))
    moved = np.flatnonzero(np.abs(moves) > threshold / _NEIGHBOURS) + 1
    suspects = np.unique(moved[:, None] + np.arange(_NEIGHBOURS))
    suspects = suspects[suspects < len(level)]
    # The first close stands in for those before the first.
    neighbours = level[np.maximum(suspects[:, None] - np.arange(1, _NEIGHBOURS + 1), 0)]
    far = suspects[np.abs(level[suspects] - np.median(neighbours, axis=1)) > threshold]
    starts: Int64s = far[np.diff(far, prepend=-2) > 1]
    return starts


def longest_run(mask: Bools) -> tuple[int, int]:
    """Return the length and the first position of the longest run of true values; ``(0, 0)`` where there is none."""
    if not mask.any():
        return 0, 0
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    longest = int(lengths.argmax())
    return int(lengths[longest]), int(edges[2 * longest])


def _named(prefix: str, moments: npt.NDArray[np.datetime64]) -> str:
    if not len(moments):
        return ""
    more = f" and {len(moments) - _NAMED} more" if len(moments) > _NAMED else ""
    return prefix + ", ".join(map(_text, moments[:_NAMED])) + more


def _text(moment: np.datetime64) -> str:
    if np.datetime_data(moment.dtype)[0] == "D":
        return str(moment)
    return f"{np.datetime_as_string(moment, unit='s')}Z"
