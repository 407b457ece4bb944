"""Which indicators there are, one's own among them, and what a name such as ``MACD_12_26_9`` stands for.

Not here: computing (``compute``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from chandlery.core.arguments import check_texts
from chandlery.core.text import shorten
from chandlery.errors import UsageError

# Each of these declares the indicators that it holds.
from chandlery.indicators import averages, direction, momentum, regression, volatility, volume  # noqa: F401
from chandlery.indicators.declaration import DECLARED, AnyFunction, CountedFrom, Indicator, Parameter, Warmup, declare

_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Chosen:
    """An indicator with the values of its parameters.

    Attributes:
        indicator: which.
        values: one for each of its parameters.
    """

    indicator: Indicator
    values: tuple[float, ...]

    @property
    def name(self) -> str:
        """The name with all parameters: ``RSI_14``, also where it was chosen as ``rsi``."""
        return "_".join([self.indicator.name, *(f"{value:.15g}" for value in self.values)])

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        name = self.name
        return [f"{name}{suffix}" for suffix in self.indicator.suffixes]

    @property
    def warmup(self) -> int:
        """How many bars have to come before a bar so that its value does not depend on where they begin.

        Raises:
            UsageError: the function that a user gave for it fails, or does not return such a number.
        """
        try:
            count = self.indicator.warmup(*self.values)
        except Exception as error:
            raise UsageError(f"warmup of indicator {self.name} failed: {type(error).__name__}: {error}") from error
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise UsageError(
                f"warmup of indicator {self.name} is {shorten(count)}; it has to be a whole number, 0 or more"
            )
        return count


def indicator(
    name: str,
    *,
    inputs: Sequence[str],
    warmup: Warmup | int = 0,
    parameters: Iterable[Parameter] = (),
    suffixes: Sequence[str] = ("",),
    counted_from: CountedFrom = "warm-up",
    about: str | None = None,
) -> Callable[[AnyFunction], AnyFunction]:
    """Return a decorator that makes a function an indicator, known by ``name`` in this process.

    The function takes an array of float64 for each input, of one stretch of bars without a hole, and the parameters. It
    returns an array of the same length, with NaN where there is no value; where it has several ``suffixes``, a tuple of
    such arrays. For example::

        @indicator("MYMOM", inputs=("close",), warmup=lambda n: n, parameters=(Parameter("n", 10),))
        def mymom(close, n):
            '''The close less the one of n bars before.'''
            return close - numpy.concatenate((numpy.full(n, numpy.nan), close[:-n]))[: len(close)]

    Args:
        name: in capital letters, without parameters. A name of one's own may be declared again, as in a notebook.
        inputs: of ``open high low close volume``, in the order in which the function takes them.
        warmup: how many bars have to come before a bar so that its value does not depend on where they begin: a number,
            or a function of the parameters.
        parameters: with which the name may end, as in ``MYMOM_10``.
        suffixes: of the columns, after the name with all parameters.
        counted_from: see ``Indicator``.
        about: one line of what it is; that of the function's docstring by default.

    Raises:
        UsageError: an argument is wrong, or the name belongs to one that came with this package.
    """
    if name in DECLARED and DECLARED[name].is_builtin:
        raise UsageError(f"name={name!r} belongs to an indicator that is there already; take another")
    return declare(
        name,
        inputs=inputs,
        warmup=warmup,
        parameters=parameters,
        suffixes=suffixes,
        counted_from=counted_from,
        about=about,
        is_builtin=False,
    )


def list_indicators() -> list[Indicator]:
    """Return all indicators, by name."""
    return [DECLARED[name] for name in sorted(DECLARED)]


def choose(names: Iterable[str]) -> list[Chosen]:
    """Return what each of ``names`` stands for, such as ``SMA_20`` or ``rsi``; each indicator once.

    Raises:
        UsageError: a name is not known, or has parameters that are not allowed.
    """
    texts = check_texts(names, name="indicators", example="SMA_20")
    chosen = {found.name: found for found in (parse(text, given=f"indicators[{n}]") for n, text in enumerate(texts))}
    return list(chosen.values())


def parse(text: str, *, given: str = "indicator") -> Chosen:
    """Return what one name stands for; parameters that it leaves out have their default.

    Args:
        text: the name, in letters of any size, and numbers after it: ``macd_12_26``.
        given: what an error calls it.

    Raises:
        UsageError: see ``choose``.
    """
    words = text.strip().upper().split("_")
    for count in range(len(words), 0, -1):
        found = DECLARED.get("_".join(words[:count]))
        if found is None:
            continue
        numbers = words[count:]
        label = f"{given}={shorten(text)}"
        if not all(map(_NUMBER.fullmatch, numbers)):
            break
        if len(numbers) > len(found.parameters):
            raise UsageError(f"{label} has {len(numbers)} parameters; {found.name} takes {describe_parameters(found)}")
        values = [float(number) for number in numbers]
        values += [parameter.default for parameter in found.parameters[len(values) :]]
        checked = [one.check(value, given=label) for one, value in zip(found.parameters, values, strict=True)]
        return Chosen(found, tuple(checked))
    raise UsageError(f"{given}={shorten(text)} is not known; {_advice(words)}")


def describe_parameters(found: Indicator) -> str:
    """Return the parameters with their defaults: ``n=14 k=3``; ``none`` where there are none."""
    return " ".join(f"{one.name}={one.default:g}" for one in found.parameters) or "none"


def _advice(words: Sequence[str]) -> str:
    """Return what was probably meant by ``words``, and where all names are."""
    name = "_".join(word for word in words if not _NUMBER.fullmatch(word))
    alike = get_close_matches(name, DECLARED, n=3, cutoff=0.5)
    alike += [each for each in sorted(DECLARED) if name and each not in alike and (each in name or name in each)]
    meant = f"did you mean {' '.join(alike[:5])}? " if alike else ""
    return f"{meant}`chandlery indicators` lists all, and parameters follow a name as in MACD_12_26_9"
