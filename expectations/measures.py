"""What is measured of each partition's good rows: sessions, jumps of the price, runs without volume.

Each measure comes with what was seen, for a person. Not here: the limits of the rules (``rules``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Int64s
from chandlery.core.text import counted
from chandlery.core.windows import DAY_US
from chandlery.ingest.gate import Span
from expectations.layout import Bools, Floats, Layout, floats
from expectations.limits import GateLimits
from expectations.sessions import Expected, expected_sessions

#: A close is compared with the median of so many before it.
_NEIGHBOURS = 5
_NAMED = 5
#: Median absolute deviation to standard deviation, for a normal distribution.
_MAD_TO_SIGMA = 1.4826
#: The column of evidence of each rule about partitions.
_COLUMNS = {
    "rejected_share": "rejected_share",
    "identical_copies": "identical_copies",
    "extra_sessions": "extra_sessions",
    "session_count": "missing_sessions",
    "price_jump": "price_jumps",
    "zero_volume_run": "zero_volume_run",
}
_CALENDAR = "; they wait in quarantine: if the provider is right, enter the days in calendars.yaml"


@dataclass(frozen=True, slots=True, eq=False)
class Flaws:
    """What is wrong with the rows of a batch.

    Attributes:
        bad: for each row, whether it breaks any rule.
        unlisted: positions, ascending, of those that came from when the instrument was not listed. They do not count:
            they may be another company's, under a ticker that was used again.
        extra: positions, ascending, of bars of a day without a session that break no other rule. They do not count
            either: the calendar may be wrong.
        left_out: positions, ascending, of those that a person left out of a release. Nor do they.
    """

    bad: Bools
    unlisted: Int64s
    extra: Int64s
    left_out: Int64s


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a partition by one rule: how many, in words, and at which times."""

    value: float
    detail: str
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Measures:
    """What ``rules.batch_rules`` are about: by the rule's name, what was seen of each partition."""

    seen: Mapping[str, Sequence[Seen]]

    @property
    def evidence(self) -> dict[str, npt.NDArray[Any]]:
        """Columns with one value for each partition, by the rule's column."""
        return {_COLUMNS[rule]: np.array([each.value for each in seen]) for rule, seen in self.seen.items()}


def measure(layout: Layout, flaws: Flaws, copies: Sequence[Int64s], now: datetime, limits: GateLimits) -> Measures:
    """Measure each partition of ``layout`` (at least one), given what is wrong with its rows.

    Args:
        layout: the batch without identical copies.
        flaws: of its rows.
        copies: for each partition the ts of the copies that were dropped, µs.
        now: the present, UTC.
        limits: the numbers in the rules.
    """
    aside = layout.count(flaws.unlisted) + layout.count(flaws.extra) + layout.count(flaws.left_out)
    rows, rejected = layout.stop - layout.first - aside, layout.count(np.flatnonzero(flaws.bad)) - aside
    good = ~flaws.bad
    before = np.concatenate(([0], np.cumsum(good)))  # good rows before each row
    ts, close, volume = layout.ts, floats(layout.table.column("close")), floats(layout.table.column("volume"))
    if not good.all():
        ts, close, volume = ts[good], close[good], volume[good]
    extra = layout.ts[flaws.extra]
    extra_ends = np.searchsorted(flaws.extra, layout.stop)
    extra_starts = np.searchsorted(flaws.extra, layout.first)
    seen: dict[str, list[Seen]] = {rule: [] for rule in _COLUMNS}
    for place, partition in enumerate(layout.partitions):
        own = slice(int(before[layout.first[place]]), int(before[layout.stop[place]]))
        width = partition.timeframe.microseconds
        seen["rejected_share"].append(_share(limits, int(rejected[place]), int(rows[place])))
        seen["identical_copies"].append(
            _moments("identical copy of a row", "identical copies of a row", copies[place], width)
        )
        seen["extra_sessions"].append(_extra(extra[extra_starts[place] : extra_ends[place]], partition.calendar))
        seen["session_count"].append(_sessions(ts[own], expected_sessions(partition, now)))
        seen["price_jump"].append(_moments("jump", "jumps", ts[own][price_jumps(close[own], limits)], width))
        seen["zero_volume_run"].append(_run(ts[own], volume[own] == 0, width))
    return Measures(seen)


def _share(limits: GateLimits, rejected: int, rows: int) -> Seen:
    share = rejected / max(rows, 1)
    return Seen(
        0.0 if rejected <= limits.max_rejected_rows else share,
        f"{rejected} of {counted(rows, 'row')} rejected ({share:.2%}), allowed {limits.max_rejected_share:.2%}"
        f" or {limits.max_rejected_rows}",
    )


def _moments(one: str, several: str, ts: Int64s, width: int) -> Seen:
    """Return that a bar is ``one``, or that bars are ``several``, given their starts."""
    spans = [(start, start + width) for start in ts.tolist()]
    return Seen(len(ts), _named(f"{counted(len(ts), one, several)}: ", ts.astype("datetime64[us]")), spans)


def _extra(ts: Int64s, calendar: str) -> Seen:
    days = np.unique(ts).astype("datetime64[us]").astype("datetime64[D]")
    detail = _named(f"bars of {counted(len(days), 'day')} without a session of {calendar}: ", days)
    spans = [(start, start + DAY_US) for start in np.unique(ts).tolist()]
    return Seen(len(days), f"{detail}{_CALENDAR}" if detail else "", spans)


def _sessions(ts: Int64s, expected: Expected) -> Seen:
    absent = np.diff(np.searchsorted(ts, expected.edges)) == 0
    missing = expected.days[absent]
    total = len(expected.days)
    detail = f"{total - len(missing)} of {total} closed sessions have bars"
    detail += _named("; missing ", missing.astype("datetime64[D]"))
    spans = list(zip(expected.starts[absent].tolist(), expected.ends[absent].tolist(), strict=True))
    return Seen(len(missing), detail, spans)


def _run(ts: Int64s, is_zero: Bools, width: int) -> Seen:
    length, begin = longest_run(is_zero)
    if not length:
        return Seen(0, "")
    detail = f"{counted(length, 'bar')} from {_text(ts[begin].astype('datetime64[us]'))}"
    return Seen(length, detail, [(int(ts[begin]), int(ts[begin + length - 1]) + width)])


def price_jumps(close: Floats, limits: GateLimits) -> Int64s:
    """Return where the price jumps: the first of each run of closes far from the median of the five before them.

    Args:
        close: finite, in order of time.
        limits: ``jump_threshold``, ``jump_floor`` and ``jump_ceiling``.
    """
    level = _levels(close)
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


def _levels(close: Floats) -> Floats:
    """Return the logarithm of each close; where any is 0 or below, each as a multiple of a usual one."""
    if len(close) and close.min() > 0:
        return np.log(close)
    usual = float(np.median(np.abs(close))) if len(close) else 1.0
    return close / (usual or 1.0)


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
