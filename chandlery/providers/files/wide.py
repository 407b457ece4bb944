"""Frames whose columns are named after a symbol, a unit or a side, or belong to several symbols.

There are two header lines, or names such as ``AAPL_open``, ``open_usd`` and ``('Close', 'AAPL')``.

Not here: files with a column that names the symbol of each row (``reader``), and which texts are units (``units``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chandlery.core.schema import PRICES
from chandlery.providers.files.columns import ALIASES, DROPPED, meaning_of, plain
from chandlery.providers.files.units import ADJUSTED, BREAKS, COUNTS, SIDES, is_unit, side_of
from chandlery.providers.files.unreadable import UnreadableError

_FIELDS = {alias: name for name in (*PRICES, "volume", "vwap", "trades") for alias in ALIASES[name]}
_LONG = {alias: name for alias, name in _FIELDS.items() if len(alias) > 2}
_EDGES = "_. |:,/()[]{}-"


@dataclass(frozen=True, slots=True)
class Panel:
    """Which columns belong to which of several symbols.

    Attributes:
        parts: by symbol, the position of each canonical column.
        names: what is left for the other columns, by position; those of a symbol are called ``DROPPED``.
        labels: what the file calls each of its columns.
        side: which of several prices they are, such as ``bid``, where that stands beside their names; else empty.
        lacking: names of columns that would complete a further symbol.
    """

    parts: Mapping[str, Mapping[str, int]]
    names: Sequence[str]
    labels: Sequence[str]
    side: str = ""
    lacking: Sequence[str] = ()

    @property
    def symbols(self) -> list[str]:
        """The symbols, sorted."""
        return sorted(self.parts)


@dataclass(frozen=True, slots=True)
class Single:
    """The columns of one symbol, with one text beside the names of its prices.

    Attributes:
        names: of the columns, by position.
        said: what those with the text mean, by name as ``plain`` writes it.
        symbol: that text, where it is the symbol; empty where it is a unit or a side.
        side: as in ``Panel``.
        lacking: as in ``Panel``.
    """

    names: Sequence[str]
    said: Mapping[str, str]
    symbol: str = ""
    side: str = ""
    lacking: Sequence[str] = ()


def is_stacked(rows: Sequence[Sequence[str]]) -> bool:
    """Whether header lines name a column together: one of them has the prices."""
    return any(len({_FIELDS.get(plain(cell)) for cell in row} & {"open", "high", "low", "close"}) == 4 for row in rows)


def split(labels: Sequence[Sequence[str]]) -> Panel | Single | None:
    """Return what the names of columns say of symbols, units and sides; None where they say nothing of them.

    Args:
        labels: of each column, from top to bottom; or its only name.

    Raises:
        UnreadableError: there are several prices of each kind, of which a bar has one.
    """
    labels = [_levels(label) for label in labels]
    level = _level_of_fields(labels)
    shown = [" ".join(cell for cell in label if cell) for label in labels]
    found: dict[str, dict[str, int]] = {}
    spelled: dict[str, str] = {}
    names = []
    for place, label in enumerate(labels):
        pair = _joined(label[0]) if len(label) == 1 else _stacked(label, level)
        names.append(shown[place] if pair else _other(label, level if place else None))
        if pair is not None:
            text = spelled.setdefault(pair[0].lower() if is_unit(pair[0]) else pair[0], pair[0])
            found.setdefault(text, {}).setdefault(pair[1], place)
    others = {meaning_of(name) for place, name in enumerate(names) if not _holds(found, place)}
    if set(PRICES) <= others:  # there are prices without anything beside them
        said = {} if "volume" in others else _counted(found, names)
        return Single(names, said) if said and max(map(len, labels)) == 1 else None
    whole = {text: places for text, places in found.items() if set(PRICES) <= places.keys()}
    parts, side = _without_sides(whole, shown)
    if len(parts) == 1:
        (part,) = parts.items()
        return _single(part, side, found, names, others)
    places = {place for part in parts.values() for place in part.values()}
    left = [DROPPED if place in places else name for place, name in enumerate(names)]
    return Panel(parts, left, shown, side, _lacking(found, shown)) if parts else None


def _single(
    part: tuple[str, Mapping[str, int]],
    side: str,
    found: Mapping[str, Mapping[str, int]],
    names: Sequence[str],
    others: Collection[str | None],
) -> Single:
    """Return the columns of the only symbol, or of a unit; volumes in two currencies are left to ``columns``."""
    symbol, places = part
    said = {plain(names[place]): name for name, place in places.items()}
    if not symbol and ("volume" in others or any(other.keys() == {"volume"} for other in found.values())):
        said = {name: meaning for name, meaning in said.items() if meaning != "volume"}  # one in money is not the bar's
    if "volume" not in {*others, *said.values()}:
        said |= _counted(found, names)
    return Single(names, said, "" if "symbol" in others else symbol, side, _lacking(found, names))


def _holds(found: Mapping[str, Mapping[str, int]], place: int) -> bool:
    return any(place in places.values() for places in found.values())


def _counted(found: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> dict[str, str]:
    """Return the meaning of the only volume that says what it counts: ``Volume (shares)``; nothing without such."""
    volumes = [places["volume"] for text, places in found.items() if text.lower() in COUNTS and "volume" in places]
    return {plain(names[volumes[0]]): "volume"} if len(volumes) == 1 else {}


def _lacking(found: Mapping[str, Mapping[str, int]], shown: Sequence[str]) -> list[str]:
    """Return how the columns would be called that a symbol lacks which has two prices at least."""
    whole, own = next((text, places) for text, places in found.items() if set(PRICES) <= places.keys())
    return [
        text.join(re.split(re.escape(whole), shown[own[name]], maxsplit=1, flags=re.IGNORECASE))
        for text, places in found.items()
        if 2 <= len(set(PRICES) & places.keys()) < len(PRICES)
        for name in PRICES
        if name not in places
    ]


def _without_sides(
    found: Mapping[str, Mapping[str, int]], labels: Sequence[str]
) -> tuple[Mapping[str, Mapping[str, int]], str]:
    """Return columns by symbol without the unit or side beside it, and the side; no symbol where that stood alone.

    Raises:
        UnreadableError: there are several units or sides, of which a bar has one.
    """
    divided = {name: _divide(name) for name in found}
    sides = sorted({side for _, side in divided.values()})
    if "" in sides or not sides or ("" in (symbols := {symbol for symbol, _ in divided.values()}) and len(symbols) > 1):
        return found, ""
    if len(sides) == 1:
        return {divided[name][0]: places for name, places in found.items()}, side_of(sides[0])
    advice = "; ".join(
        f"for {divided[name][1]}, --columns {','.join(_meanings(places, labels))}" for name, places in found.items()
    )
    raise UnreadableError(
        f"there are several prices of each kind, {' and '.join(sides)}, and a bar has one; say which: {advice}"
        " (of Parquet with columns in a --mapping FILE)"
    )


def _divide(name: str) -> tuple[str, str]:
    """Return the symbol and the unit or side of a name: ``EURUSD_bid``, ``bid``, ``usd``; empty where there is none."""
    if is_unit(name):
        return "", name.lower()
    *_, side = re.split(BREAKS, name)
    return (name[: -len(side)].rstrip(_EDGES), side.lower()) if side.lower() in SIDES and is_unit(side) else (name, "")


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
    return _beside(others[0], field) if field is not None and len(others) == 1 else None


def _joined(name: str) -> tuple[str, str] | None:
    """Return symbol, unit or side, and field of a name that joins both; None for a name of its own."""
    if meaning_of(name) is not None:
        return None
    for cut in re.finditer(BREAKS, name):
        before, after = name[: cut.start()].strip(_EDGES), name[cut.end() :].strip(_EDGES)
        for text, field in ((before, plain(after)), (after, plain(before))):
            if text and field in (_FIELDS if is_unit(text) else _LONG):
                return _beside(text, _FIELDS[field])
    return None


def _beside(text: str, field: str) -> tuple[str, str] | None:
    """Return what stands beside a field, and the field; None where that is of the adjusted prices of a symbol."""
    adjusted = re.split(BREAKS, text.lower())[-1] in ADJUSTED and not is_unit(text)
    return None if adjusted else (text, field)


def _other(label: Sequence[str], level: int | None) -> str:
    """Return the name of a column of no field of a bar: that of its level or, for an index, the lowest."""
    if len(label) > 1 and level is not None and label[level]:
        return label[level]
    return next((cell for cell in reversed(label) if cell), "")
