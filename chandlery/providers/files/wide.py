"""Frames whose columns belong to several symbols.

There are two header lines, or names such as ``AAPL_open`` and ``('Close', 'AAPL')``.

Not here: files with a column that names the symbol of each row (``reader``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chandlery.core.schema import PRICES
from chandlery.providers.files.columns import ALIASES, DROPPED, plain

_FIELDS = {alias: name for name in (*PRICES, "volume", "vwap", "trades") for alias in ALIASES[name]}
_LONG = {alias: name for alias, name in _FIELDS.items() if len(alias) > 2}
_DROPPED = "adj"


@dataclass(frozen=True, slots=True)
class Panel:
    """Which columns belong to which symbol.

    Attributes:
        parts: by symbol, the position of each canonical column.
        names: what is left for the other columns, by position; those of a symbol are called ``ignored``.
    """

    parts: Mapping[str, Mapping[str, int]]
    names: Sequence[str]


def is_stacked(rows: Sequence[Sequence[str]]) -> bool:
    """Whether header lines name a column together: one of them has the prices."""
    return any(len({_FIELDS.get(plain(cell)) for cell in row} & {"open", "high", "low", "close"}) == 4 for row in rows)


def split(labels: Sequence[Sequence[str]]) -> Panel | None:
    """Return the columns by symbol, from what stands above each; None where they are not of several symbols.

    Args:
        labels: of each column, from top to bottom; or its only name.
    """
    found: dict[str, dict[str, int]] = {}
    names = []
    for place, label in enumerate(labels):
        pair = _stacked(label) if len(label) > 1 else _joined(label[0])
        if pair is None:
            names.append(_other(label))
            continue
        symbol, field = pair
        names.append(DROPPED)
        if field:
            found.setdefault(symbol, {}).setdefault(field, place)
    parts = {symbol: places for symbol, places in found.items() if set(PRICES) <= places.keys()}
    return Panel(parts, names) if parts else None


def _stacked(label: Sequence[str]) -> tuple[str, str] | None:
    """Return symbol and field of the labels above one column; the field is empty where it is to be dropped."""
    cells = [cell for cell in label if cell]
    fields = [cell for cell in cells if plain(cell) in _FIELDS]
    others = [cell for cell in cells if cell not in fields]
    if len(cells) < 2 or len(others) != 1:
        return None
    if len(fields) == 1:
        return others[0], _FIELDS[plain(fields[0])]
    return None


def _joined(name: str) -> tuple[str, str] | None:
    """Return symbol and field of a name that joins both."""
    tuple_form = re.fullmatch(r"\('([^']*)', '([^']*)'\)", name)
    if tuple_form:
        return _stacked([tuple_form[1], tuple_form[2]])
    for cut in re.finditer(r"[_. |:]+", name):
        before, after = name[: cut.start()], name[cut.end() :]
        if plain(after) in _LONG and before and not before.lower().endswith(_DROPPED):
            return before, _LONG[plain(after)]
        if plain(before) in _LONG and after:
            return after, _LONG[plain(before)]
    return None


def _other(label: Sequence[str]) -> str:
    """Return the name of a column that belongs to no symbol: the lowest of its labels, as pandas writes an index."""
    tuple_form = re.fullmatch(r"\('([^']*)', '([^']*)'\)", label[0])
    cells = [tuple_form[1], tuple_form[2]] if tuple_form else list(label)
    return next((cell for cell in reversed(cells) if cell), "")


def is_plausible(panel: Panel) -> bool:
    """Whether the symbols look like some: not ``Bid`` or ``mid``, and each has the same columns."""
    shapes = Counter(tuple(sorted(places)) for places in panel.parts.values())
    return len(shapes) <= 2 and not any(
        re.fullmatch(r"(?i)bid|ask|mid|price|adj|raw", symbol) for symbol in panel.parts
    )
