"""What a frame is asked for, checked, and how many bars it takes to make one.

Not here: reading them (``api``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chandlery.core.arguments import check_choice, check_count, check_texts
from chandlery.core.moments import parse_moment
from chandlery.core.text import shorten
from chandlery.core.widths import Width, parse_width
from chandlery.errors import UsageError
from chandlery.indicators.registry import Chosen, choose
from chandlery.inference.known import KNOWLEDGES
from chandlery.reading.arguments import check_columns

_MOST_MINUTES = 366 * 1440
_MOST_BARS = 10**6
_DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class Request:
    """What frames are asked for.

    Attributes:
        moment: nothing that was not known then is in a frame, but in the part ``after``; UTC.
        is_now: whether no moment was given.
        widths: of the bars, in the order requested.
        limit: how many bars of each width, at most.
        indicators: computed on each width.
        context: how many minutes before ``moment`` the context window has.
        after: how many minutes after ``moment`` there are; 0 for none.
        knowledge: ``auto``, or what is demanded.
        latency: how long after its end a bar is published.
        columns: of the bars.
    """

    moment: datetime
    is_now: bool
    widths: tuple[Width, ...]
    limit: int
    indicators: Sequence[Chosen]
    context: timedelta
    after: timedelta
    knowledge: str
    latency: timedelta
    columns: tuple[str, ...]

    @property
    def needed(self) -> list[str]:
        """The columns that have to be read."""
        inputs = (name for each in self.indicators for name in each.indicator.inputs)
        return list(dict.fromkeys([*self.columns, "close", *inputs, "known_at"]))

    def count(self, width: Width) -> int | None:
        """Return how many bars of ``width`` have to be read; None for all there are."""
        kinds = {each.indicator.counted_from for each in self.indicators}
        if not width.is_intraday and "beginning" in kinds:
            return None
        warmup = max((each.warmup for each in self.indicators), default=0)
        session = _DAY_MINUTES // width.count + 1 if width.is_intraday and kinds - {"warm-up"} else 0
        # Bars that have begun and are not over, or not published yet, are read and left out.
        shown = self.limit + 2
        if width.is_intraday:
            shown += self.latency // timedelta(minutes=width.count)
        if width.name == "1m":
            shown = max(shown, int(self.context.total_seconds() // 60) + shown - self.limit)
        return shown + warmup + session


def parse_request(
    timestamp: object,
    *,
    timeframes: Iterable[str],
    indicators: Iterable[str] = (),
    limit: object = 100,
    context_window_minutes: object = 5,
    context_after_minutes: object = None,
    knowledge: object = "auto",
    latency: Any = timedelta(),  # noqa: ANN401 - whatever a caller gives
    columns: Iterable[str],
) -> Request:
    """Return what is asked for; see ``DataAPI.get_inference_data``.

    Raises:
        UsageError: an argument is wrong; names it, what was given and what is allowed.
    """
    if not isinstance(latency, timedelta) or not timedelta() <= latency <= timedelta(days=7):
        raise UsageError(f"latency={shorten(latency)} is not allowed; give a timedelta from 0 to 7 days")
    names = check_texts(timeframes, name="timeframes", example="1h")
    widths = [parse_width(name, name=f"timeframes[{place}]") for place, name in enumerate(names)]
    for place, width in enumerate(widths):
        if width in widths[:place]:
            raise UsageError(f"timeframes={shorten(names)} has {width.name!r} twice; name each once")
    before = check_count(context_window_minutes, name="context_window_minutes", most=_MOST_MINUTES)
    after = check_count(context_after_minutes, name="context_after_minutes", most=_MOST_MINUTES)
    return Request(
        moment=datetime.now(UTC) if timestamp is None else parse_moment(timestamp, name="timestamp"),
        is_now=timestamp is None,
        widths=tuple(widths),
        limit=check_count(limit, name="limit", most=_MOST_BARS) or _MOST_BARS,
        indicators=choose(wanted) if (wanted := check_texts(indicators, name="indicators", example="SMA_20")) else (),
        context=timedelta(minutes=before or 0),
        after=timedelta(minutes=after or 0),
        knowledge=check_choice(knowledge, KNOWLEDGES, name="knowledge"),
        latency=latency,
        columns=tuple(check_columns(columns, others=())),
    )
