"""Frames whose columns belong to several symbols.

There are two header lines, or names such as ``AAPL_open`` and ``('Close', 'AAPL')``.

Not here: files with a column that names the symbol of each row (``reader``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chandlery.core.schema import PRICES
from chandlery.providers.files.columns import ALIASES, DROPPED, meaning_of, plain
from chandlery.providers.files.unreadable import UnreadableError

_FIELDS = {alias: name for name in (*PRICES, "volume", "vwap", "trades") for alias in ALIASES[name]}
_LONG = {alias: name for alias, name in _FIELDS.items() if len(alias) > 2}
_DROPPED = "adj"
#: What stands before the prices of one instrument where there are several of each, and is no symbol.
_SIDES = frozenset({"bid", "ask", "mid", "offer", "bidask", "last", "trade", "trades", "mark", "index", "spot"})


@dataclass(frozen=True, slots=True)
class Panel:
    """Which columns belong to which symbol.

    Attributes:
        parts: by symbol, the position of each canonical column.
        names: what is left for the other columns, by position; those of a symbol are called ``DROPPED``.
        labels: what the file calls each of its columns.
        side: which of several prices they are, such as ``bid``, where that stands before their names; else empty.
    """

    parts: Mapping[str, Mapping[str, int]]
    names: Sequence[str]
    labels: Sequence[str]
    side: str = ""

    @property
    def symbols(self) -> list[str]:
        """The symbols, sorted; none where the file does not name any."""
        return sorted(symbol for symbol in self.parts if symbol)


def is_stacked(rows: Sequence[Sequence[str]]) -> bool:
    """Whether header lines name a column together: one of them has the prices."""
    return any(len({_FIELDS.get(plain(cell)) for cell in row} & {"open", "high", "low", "close"}) == 4 for row in rows)


def split(labels: Sequence[Sequence[str]]) -> Panel | None:
    """Return the columns by symbol, from what stands above each; None where they are not of several symbols.

    Args:
        labels: of each column, from top to bottom; or its only name.
    """
    labels = [_levels(label) for label in labels]
    level = _level_of_fields(labels)
    found: dict[str, dict[str, int]] = {}
    names = []
    for place, label in enumerate(labels):
        pair = _joined(label[0]) if len(label) == 1 else _stacked(label, level)
        if pair is None:
            names.append(_other(label, level if place else None))
            continue
        names.append(DROPPED)
        found.setdefault(pair[0], {}).setdefault(pair[1], place)
    if len({_FIELDS.get(plain(name)) for name in names} & set(PRICES)) == len(PRICES):
        return None  # there are prices without anything before them
    shown = [" ".join(cell for cell in label if cell) for label in labels]
    whole = {symbol: places for symbol, places in found.items() if set(PRICES) <= places.keys()}
    parts, side = _without_sides(whole, shown)
    return Panel(parts, names, shown, side) if parts else None


def _without_sides(
    found: Mapping[str, Mapping[str, int]], labels: Sequence[str]
) -> tuple[Mapping[str, Mapping[str, int]], str]:
    """Return columns by symbol where ``bid`` or another side stood in its place or at its end, and the side.

    Raises:
        UnreadableError: there are several sides, of which a bar has one.
    """
    divided = {name: _divide(name) for name in found}
    sides = sorted({side for _, side in divided.values()})
    if "" in sides or not sides:
        return found, ""
    if len(sides) == 1:
        return {divided[name][0]: places for name, places in found.items()}, sides[0]
    advice = "; ".join(
        f"for {divided[name][1]}, --columns {','.join(_meanings(places, labels))}" for name, places in found.items()
    )
    raise UnreadableError(
        f"there are several prices of each kind, {' and '.join(sides)}, and a bar has one; say which: {advice}"
        " (of Parquet with columns in a --mapping FILE)"
    )


def _divide(name: str) -> tuple[str, str]:
    """Return the symbol and the side of a name: ``EURUSD_bid``, ``bid``; empty where there is none."""
    *_, side = re.split(r"[_. |:]+", name)
    return (name[: -len(side)].rstrip("_. |:"), side.lower()) if side.lower() in _SIDES else (name, "")


def _meanings(places: Mapping[str, int], labels: Sequence[str]) -> list[str]:
    """Return the meaning of each column where those in ``places`` are the bar's, as ``--columns`` has it."""
    own = {place: name for name, place in places.items()}
    other = [meaning_of(label) or "ignore" for label in labels]
    return [own.get(place, "time" if meaning == "ts" else meaning) for place, meaning in enumerate(other)]


def _levels(label: Sequence[str]) -> Sequence[str]:
    """Return the levels of a column's label; pandas writes several into one name of Parquet: ``('Close', 'AAPL')``."""
    pair = re.fullmatch(r"\('([^']*)', '([^']*)'\)", label[0])
    return (pair[1], pair[2]) if pair else label


def _level_of_fields(labels: Sequence[Sequence[str]]) -> int | None:
    """Return the level on which the names of prices stand."""
    for level in range(max(map(len, labels), default=0)):
        fields = {_FIELDS.get(plain(label[level])) for label in labels if len(label) > max(level, 1)}
        if set(PRICES) <= fields:
            return level
    return None


def _stacked(label: Sequence[str], level: int | None) -> tuple[str, str] | None:
    """Return symbol and field of the labels above one column; None where there is none of the fields of a bar."""
    if level is None or level >= len(label):
        return None
    field = _FIELDS.get(plain(label[level]))
    others = [cell for place, cell in enumerate(label) if place != level and cell]
    return (others[0], field) if field is not None and len(others) == 1 else None


def _joined(name: str) -> tuple[str, str] | None:
    """Return symbol and field of a name that joins both."""
    for cut in re.finditer(r"[_. |:]+", name):
        before, after = name[: cut.start()], name[cut.end() :]
        if plain(after) in (_FIELDS if before.lower() in _SIDES else _LONG) and before:
            return None if before.lower().endswith(_DROPPED) else (before, _FIELDS[plain(after)])
        if plain(before) in (_FIELDS if after.lower() in _SIDES else _LONG) and after:
            return None if after.lower() == _DROPPED else (after, _FIELDS[plain(before)])
    return None


def _other(label: Sequence[str], level: int | None) -> str:
    """Return the name of a column of no field of a bar: that of its level or, for an index, the lowest."""
    if len(label) > 1 and level is not None and label[level]:
        return label[level]
    return next((cell for cell in reversed(label) if cell), "")
