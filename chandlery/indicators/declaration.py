"""What an indicator says of itself, and the list of all that there are.

Not here: how a name with numbers is read (``registry``), and any indicator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from chandlery.core.text import shorten
from chandlery.errors import UsageError

#: What a bar has that indicators are computed from.
INPUTS = ("open", "high", "low", "close", "volume")
#: No window is longer: more bars than a year of minutes has.
LONGEST = 100_000
#: From where on the bars count that a value depends on; see ``Indicator.counted_from``.
CountedFrom: TypeAlias = Literal["warm-up", "session", "beginning"]
#: Takes an array of each input and the parameters; returns an array for each column, or one.
Function: TypeAlias = Callable[..., Any]
AnyFunction = TypeVar("AnyFunction", bound=Function)
Warmup: TypeAlias = Callable[..., int]

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]*[A-Z][A-Z0-9]*)*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that an indicator's name may end with.

    Attributes:
        name: in the list of indicators and in errors.
        default: where the name leaves it out.
        least: the smallest that is allowed.
        most: the largest that is allowed.
        whole: whether it has to be a whole number.
    """

    name: str
    default: float
    least: float = 1
    most: float = LONGEST
    whole: bool = True

    def check(self, value: float, *, given: str) -> float:
        """Return ``value`` if it is allowed.

        Raises:
            UsageError: it is not; ``given`` says of which indicator.
        """
        if self.least <= value <= self.most and (not self.whole or value == int(value)):
            return int(value) if self.whole else float(value)
        kind = "a whole number" if self.whole else "a number"
        raise UsageError(
            f"{given}: {self.name}={value:g} is not allowed; give {kind} from {self.least:g} to {self.most:,g}"
        )


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator: how it is computed, and what has to be known to compute it rightly.

    Attributes:
        name: without parameters, such as ``MACD``.
        about: one line of what it is.
        parameters: in the order in which a name gives them.
        suffixes: what its columns are called after the name with all parameters; ``""`` for the name itself.
        inputs: which columns of a bar it takes.
        warmup: how many bars have to come before a bar so that its value no longer depends on where they begin; takes
            the parameters.
        counted_from: ``warm-up``: a value depends on the bars of its warm-up alone. ``session``: on all bars since the
            session began. ``beginning``: intraday, on all bars since the session began; with bars of a day or wider,
            on all since the first there is.
        compute: the function.
        of_one_bar: what takes its place where each bar is a session of its own, for many bars at once; None if nothing.
        is_builtin: whether it came with this package.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    suffixes: tuple[str, ...]
    inputs: tuple[str, ...]
    warmup: Warmup
    counted_from: CountedFrom
    compute: Function
    of_one_bar: Function | None
    is_builtin: bool


#: All that were declared, by name.
DECLARED: dict[str, Indicator] = {}


def declare(
    name: str,
    *,
    inputs: Sequence[str],
    warmup: Warmup | int = 0,
    parameters: Iterable[Parameter] = (),
    suffixes: Sequence[str] = ("",),
    counted_from: CountedFrom = "warm-up",
    about: str | None = None,
    of_one_bar: Function | None = None,
    is_builtin: bool = True,
) -> Callable[[AnyFunction], AnyFunction]:
    """Return a decorator that adds a function to the list; see ``registry.indicator``."""
    _check(name, inputs, suffixes, counted_from)

    def add(function: AnyFunction) -> AnyFunction:
        text = about or next(iter((function.__doc__ or "").strip().splitlines()), "")
        needed = warmup if callable(warmup) else lambda *_: warmup
        DECLARED[name] = Indicator(
            name,
            text,
            tuple(parameters),
            tuple(suffixes),
            tuple(inputs),
            needed,
            counted_from,
            function,
            of_one_bar,
            is_builtin,
        )
        return function

    return add


def _check(name: str, inputs: Sequence[str], suffixes: Sequence[str], counted_from: str) -> None:
    """Raise ``UsageError`` where a declaration cannot be."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"name={shorten(name)} is not allowed; give capital letters and digits, with _ between words that are not"
            " numbers, such as 'MYMOM'"
        )
    given: list[tuple[str, Sequence[str], bool]] = [("inputs", inputs, not set(inputs) <= set(INPUTS))]
    given.append(("suffixes", suffixes, len(set(suffixes)) < len(suffixes)))
    for what, values, is_wrong in given:
        if isinstance(values, str) or not values or is_wrong:
            allowed = f"a tuple of some of {' '.join(INPUTS)}" if what == "inputs" else "a tuple of distinct texts"
            raise UsageError(f"{what}={shorten(values)} of indicator {name} is not allowed; give {allowed}")
    if counted_from not in ("warm-up", "session", "beginning"):
        raise UsageError(
            f"counted_from={shorten(counted_from)} of indicator {name} is not known;"
            " allowed: 'warm-up' 'session' 'beginning'"
        )
