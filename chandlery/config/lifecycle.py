"""``lifecycle.yaml``: how long bars stay where: when they are compressed, archived to the lake, and leave the store.

Everything counts in whole days of UTC. The file is optional; without it, or where it leaves something out, ``DEFAULTS``
hold. Not here: doing any of it (``maintenance``), and where the lake is (``settings``).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from chandlery.config.yaml_document import Document, Root, Section, problem_at
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight

Unit: TypeAlias = Literal["d", "w", "mo", "y"]

_NEVER = "never"
_FORM = "write a number with d, w, mo or y, like 7d, 3mo or 2y"
#: An archive is a day old at least before the store may forget what it holds: time to see that it went wrong.
SETTLING = timedelta(days=1)
_LONGEST = date(2100, 1, 1) - date(2000, 1, 1)
_CENTURY = tuple(date(year, month, 1) for year in range(2000, 2101) for month in range(1, 13))

_HOUR_RULES = {"compress_after": "30d", "archive_after": _NEVER, "retain": _NEVER}
_WEEK_RULES = {"compress_after": _NEVER, "archive_after": _NEVER, "retain": _NEVER}
#: What holds where the file says nothing; ``config/lifecycle.yaml`` explains it.
DEFAULTS: Final[Mapping[Timeframe, Mapping[str, str]]] = MappingProxyType(
    {
        Timeframe.M1: {"compress_after": "7d", "archive_after": "3d", "retain": "1y"},
        **dict.fromkeys((Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.H4), _HOUR_RULES),
        Timeframe.D1: {"compress_after": "2y", "archive_after": "30d", "retain": _NEVER},
        **dict.fromkeys((Timeframe.W1, Timeframe.MO1), _WEEK_RULES),
    }
)


@dataclass(frozen=True, slots=True)
class Duration:
    """A number of days, weeks, calendar months or calendar years.

    Attributes:
        count: how many.
        unit: of what: ``d``, ``w``, ``mo`` or ``y``.
    """

    count: int
    unit: Unit

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Return ``text`` (``7d``, ``3mo``, ``2y``) as a duration; raise ``ValueError`` saying what is allowed."""
        match = re.fullmatch(r"([0-9]{1,6})(d|w|mo|y)", text) if isinstance(text, str) else None
        if match is None:
            months = isinstance(text, str) and re.fullmatch(r"[0-9]+m", text)
            raise ValueError(f"{text!r} is not a duration; {f'write {text}o for months' if months else _FORM}")
        count, unit = int(match[1]), match[2]
        if count * {"d": 1, "w": 7, "mo": 31, "y": 366}[unit] > _LONGEST.days:
            raise ValueError(f"{text!r} is longer than a century; write less")
        return cls(count, unit)  # type: ignore[arg-type]  # the pattern allows no other unit

    def after(self, day: date) -> date:
        """Return the day that is so long after ``day``: in months and years the same day of the month, or its last."""
        return self._shift(day, 1)

    def before(self, day: date) -> date:
        """Return the day that is so long before ``day``; see ``after``."""
        return self._shift(day, -1)

    def _shift(self, day: date, sign: int) -> date:
        if self.unit in {"d", "w"}:
            return day + timedelta(days=sign * self.count * (7 if self.unit == "w" else 1))
        months = day.year * 12 + day.month - 1 + sign * self.count * (12 if self.unit == "y" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long bars of one timeframe stay where. None means never.

    Attributes:
        timeframe: of the bars.
        compress_after: how long after their end parts of the store are compressed, where the server can.
        archive_after: how long after its end a window is sealed, which is when it goes to the lake.
        retain: how long after its end a window leaves the store.
    """

    timeframe: Timeframe
    compress_after: Duration | None
    archive_after: Duration | None
    retain: Duration | None

    def compressed_before(self, now: datetime) -> datetime | None:
        """Return the instant before which bars are compressed at ``now``: a midnight, UTC, exclusive."""
        return None if self.compress_after is None else midnight(self.compress_after.before(_day(now)))

    def sealed_before(self, now: datetime) -> datetime | None:
        """Return the end of the last window that is sealed at ``now``: UTC, exclusive.

        A window is sealed when its end and ``archive_after`` have passed.
        """
        return self._last_end(self.archive_after, now)

    def retained_from(self, now: datetime) -> datetime | None:
        """Return the start of the first window that must stay in the store at ``now``: UTC, inclusive.

        A window may leave when its end and ``retain`` have passed.
        """
        return self._last_end(self.retain, now)

    def _last_end(self, duration: Duration | None, now: datetime) -> datetime | None:
        return None if duration is None else self.timeframe.window_of(midnight(duration.before(_day(now)))).start


def _limit(value: object) -> Duration | None:
    if value == _NEVER:
        return None
    if isinstance(value, Duration):
        return value
    try:
        return Duration.parse(value)
    except ValueError as error:
        raise ValueError(f"{error}, or never") from None


def _no_limit(value: object) -> None:
    if value != _NEVER:
        bases = " and ".join(timeframe.value for timeframe in Timeframe if timeframe.is_ingested)
        raise ValueError(
            f"{value!r} is refused: only {bases} are archived and leave the store; write never or leave it out"
        )


def _days(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        duration = Duration.parse(value)
    except ValueError:
        duration = None
    if duration is None or duration.unit not in {"d", "w"}:
        raise ValueError(f"{value!r} is not a number of days or weeks; write one like 1d or 2w")
    return duration.after(date(2000, 1, 1)) - date(2000, 1, 1)


Limit: TypeAlias = Annotated[Duration | None, BeforeValidator(_limit)]
NoLimit: TypeAlias = Annotated[None, BeforeValidator(_no_limit)]
#: Weeks and months are labelled by their first session, which the server does not know.
AggregateTimeframe: TypeAlias = Literal[Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.H4]


class IngestedRules(Section):
    """What the file says of an ingested timeframe; see ``Policy``."""

    compress_after: Limit
    archive_after: Limit
    retain: Limit

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        """Refuse what would drop bars before they are safe, for any window of any year."""
        if self.retain is None:
            return self
        if self.archive_after is None:
            text = f"'{self.retain}' would drop bars that are never archived; write never, or give archive_after"
            raise problem_at(("retain",), text)
        if _least(self.retain, self.archive_after) < SETTLING:
            text = (
                f"'{self.retain}' is too short: it takes archive_after: {self.archive_after} and another day until "
                f"bars are safe in the lake; write more, or never"
            )
            raise problem_at(("retain",), text)
        if self.compress_after is not None and _least(self.retain, self.compress_after) <= timedelta():
            text = f"'{self.compress_after}' is not shorter than retain: {self.retain}; write less, or never"
            raise problem_at(("compress_after",), text)
        return self


class DerivedRules(Section):
    """What the file says of a derived timeframe: only when it is compressed. It stays in the store."""

    compress_after: Limit
    archive_after: NoLimit
    retain: NoLimit


class LakeRules(Section):
    """What the file says of the lake.

    Attributes:
        grace: how long a file stays that a newer version replaced, for those who are reading it.
    """

    grace: Annotated[timedelta, BeforeValidator(_days)] = timedelta(days=1)


class LandingRules(Section):
    """What the file says of the landing zone.

    Attributes:
        keep: how long an answer of a provider stays after it was processed.
    """

    keep: Annotated[timedelta, BeforeValidator(_days)] = timedelta(days=30)


class Lifecycle(Root):
    """What ``lifecycle.yaml`` says.

    Attributes:
        lake: of the lake.
        landing: of the landing zone.
        continuous_aggregates: intraday timeframes that the server aggregates as well, beside the derived tables, in
            the community edition.
    """

    m1: IngestedRules = Field(alias="1m")
    m5: DerivedRules = Field(alias="5m")
    m15: DerivedRules = Field(alias="15m")
    m30: DerivedRules = Field(alias="30m")
    h1: DerivedRules = Field(alias="1h")
    h4: DerivedRules = Field(alias="4h")
    d1: IngestedRules = Field(alias="1d")
    w1: DerivedRules = Field(alias="1w")
    mo1: DerivedRules = Field(alias="1mo")
    lake: LakeRules = LakeRules()
    landing: LandingRules = LandingRules()
    continuous_aggregates: tuple[AggregateTimeframe, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_what_is_absent(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for timeframe, rules in DEFAULTS.items():
            given = filled.get(timeframe.value, {})
            filled[timeframe.value] = {**rules, **given} if isinstance(given, Mapping) else given
        return filled

    @model_validator(mode="after")
    def _names_each_aggregate_once(self) -> Self:
        for index, timeframe in enumerate(self.continuous_aggregates):
            if timeframe in self.continuous_aggregates[:index]:
                raise problem_at(("continuous_aggregates", index), f"'{timeframe}' is given twice")
        return self

    @property
    def grace(self) -> timedelta:
        """How long a file of the lake stays that a newer version replaced."""
        return self.lake.grace

    def policy(self, timeframe: Timeframe) -> Policy:
        """Return how long bars of ``timeframe`` stay where."""
        return self._policies[timeframe]

    @cached_property
    def _policies(self) -> Mapping[Timeframe, Policy]:
        fields = {field.alias: getattr(self, name) for name, field in type(self).model_fields.items() if field.alias}
        rules = {timeframe: fields[timeframe.value] for timeframe in Timeframe}
        return {tf: Policy(tf, given.compress_after, given.archive_after, given.retain) for tf, given in rules.items()}


def load_lifecycle(path: Path) -> Lifecycle:
    """Read ``lifecycle.yaml``; where there is none, return the defaults.

    Raises:
        ConfigurationError: with file, line, key, what was given and what is allowed, for each thing that is wrong.
    """
    return Document.read(path).validate(Lifecycle) if path.exists() else Lifecycle.model_validate({})


def _least(longer: Duration, shorter: Duration) -> timedelta:
    """Return by how much ``longer`` is longer at least, whichever month it is counted from."""
    return min(longer.after(day) - shorter.after(day) for day in _CENTURY)


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
