"""Numbers that are written for people: ``1,234.56``, ``1.234,56``, ``$1``, ``68.18K``.

Not here: plain numbers, which Arrow reads by itself (``text``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from chandlery.providers.files.unreadable import UnreadableError, refuse

T = TypeVar("T", pa.Array, pa.ChunkedArray)
#: Cells that hold no value.
BLANK = ("", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "N/A", "NA", "<NA>", "-", "--", "#N/A", "n/a")

_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
_SYMBOLS = r"^([+-]?)[$€£¥₿]\s*|\s*[$€£¥₿]$"
_EXPONENTS = {"K": 3, "M": 6, "B": 9, "T": 12}
_END = r"\s*[KMBTkmbt$€£¥₿]?$"
_GAP = r"[' \x{00A0}\x{202F}\x{2019}]"
#: Nothing but digits and what may separate them.
_SIMPLE = r"^[+-]?[\d.,]*$"
#: What only one reading of the separators allows.
_COMMA_IS_DECIMAL = (
    rf",\d{{1,2}}{_END}|,\d{{4,}}{_END}|\.\d{{3}},|{_GAP}\d{{3}},|^\D*0,\d+{_END}|,{_END}|\d\.\d{{3}}\.\d{{3}}"
)
_POINT_IS_DECIMAL = (
    rf",\d{{3}}\.|,\d{{3}},\d{{3}}|{_GAP}\d{{3}}\.|\.\d{{1,2}}{_END}|\.\d{{4,}}{_END}|^\D*0\.\d+{_END}|\d{{4,}}\.\d"
)
#: A point that may stand between thousands as well, and digits where one would then stand and does not.
_DOUBTFUL_POINT = r"^[+-]?[$€£¥₿]?\s*[1-9]\d{0,2}\.\d{3}\s*[$€£¥₿]?$"
_NO_THOUSANDS = r"^[+-]?[$€£¥₿]?\s*\d{4,}\s*[$€£¥₿]?$"
#: Digits in groups, where the separators of groups are not the decimal one.
_GROUPS = {
    ".": r"^[+-]?\d{1,3}([,' \x{00A0}\x{202F}\x{2019}]\d{2,3})*[,' \x{00A0}\x{202F}\x{2019}]\d{3}(\.\d*)?([eE]\d+)?$",
    ",": r"^[+-]?\d{1,3}([.' \x{00A0}\x{202F}\x{2019}]\d{3})+(,\d*)?([eE]\d+)?$",
}
_SEPARATORS = {".": r"[,' \x{00A0}\x{202F}\x{2019}]", ",": r"[.' \x{00A0}\x{202F}\x{2019}]"}


def find_decimal(columns: Mapping[str, pa.ChunkedArray], *, hinted: bool, counts: Collection[str] = ()) -> str:
    """Return the decimal separator of columns of text, all of one file.

    Args:
        columns: by their names in the file.
        hinted: whether the file is written like those whose points stand between thousands, with ``;`` between cells
            or dates like ``31.01.2024``. Without it, ``1.234`` is a decimal: prices have three of them too.
        counts: which columns are volumes and counts, whose points are doubtful in any file.

    Raises:
        UnreadableError: they disagree, or ``1,234`` or ``1.234`` may be either; names the flag that says which.
    """
    comma = point = likely = False
    doubts: list[tuple[str, int, str]] = []
    for name, column in columns.items():
        cells = pc.utf8_trim_whitespace(column.unique())
        comma = comma or _decides(cells, ",", _COMMA_IS_DECIMAL)
        point = point or _decides(cells, ".", _POINT_IS_DECIMAL)
        with_comma = _first_with(cells, ",")
        with_point = _first(cells, _DOUBTFUL_POINT) if hinted or name in counts else -1
        if with_point >= 0 and _any(cells, _NO_THOUSANDS):
            likely, with_point = True, -1
        doubts += [(name, place, cells[place].as_py()) for place in (with_comma, with_point) if place >= 0]
    point |= likely and not comma
    if comma != point or not (comma or doubts):
        return "," if comma else "."
    name, place, seen = doubts[0] if doubts else _conflict(columns)
    sign = "comma" if "," in seen else "point"
    raise UnreadableError(
        f"{name} {seen!r}: its {sign} may be a decimal {sign} or stand between thousands"
        f" ({_readings(seen) if not comma else 'both, in different cells'});"
        ' say with --decimal "," or --decimal "."',
        row=pc.index(columns[name], columns[name].unique()[place]).as_py(),
    )


def may_have_thousands(cells: Iterable[str]) -> bool | None:
    """Whether all points among cells may stand between thousands; None where no cell has one."""
    points = [cell.strip() for cell in cells if "." in cell]
    return all(re.fullmatch(r"\D*[1-9]\d{0,2}(\.\d{3})+\D*", cell) for cell in points) if points else None


def _readings(seen: str) -> str:
    """Return what a number in doubt may be."""
    digits = re.sub(r"[^\d.,+-]", "", seen)
    sign = "," if "," in digits else "."
    other = "." if sign == "," else ","
    return f'{digits.replace(sign, ".")} with --decimal "{sign}", {digits.replace(sign, "")} with --decimal "{other}"'


def _conflict(columns: Mapping[str, pa.ChunkedArray]) -> tuple[str, int, str]:
    """Return the first cell whose separators stand between thousands, where others have decimals."""
    distinct = ((name, column.unique()) for name, column in columns.items())
    found = ((name, _first(cells, _COMMA_IS_DECIMAL), cells) for name, cells in distinct)
    return next((name, place, cells[place].as_py()) for name, place, cells in found if place >= 0)


def read_numbers(name: str, cells: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return the numbers in a column, whatever its type; blank cells are null.

    Raises:
        UnreadableError: a cell is no number; names its row.
    """
    if not pa.types.is_string(cells.type):
        try:
            return cells.cast(pa.float64(), safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnreadableError(f"column {name} cannot be read as numbers: {error}") from None
    return by_value(cells, lambda distinct: _of_text(name, distinct, decimal))


def by_value(cells: pa.ChunkedArray, read: Callable[[pa.Array], pa.Array]) -> pa.ChunkedArray:
    """Return what ``read`` makes of a column, which is given each of its values once, in the order of their first rows.

    Raises:
        UnreadableError: that of ``read``, with the row in the column.
    """
    encoded = cells.combine_chunks().dictionary_encode()
    try:
        values = read(encoded.dictionary)
    except UnreadableError as error:
        if error.row is not None:
            error.row = pc.index(encoded.indices, pa.scalar(error.row, encoded.indices.type)).as_py()
        raise
    return pa.chunked_array([values.take(encoded.indices)])


def _of_text(name: str, shown: pa.Array, decimal: str) -> pa.Array:
    cells = without_blanks(shown)
    separator = "." if decimal == "," else ","
    if pc.all(pc.match_substring_regex(cells, _SIMPLE)).as_py():
        grouped = _grouped(cells, decimal) if _has(cells, separator) else False
        separated = pc.replace_substring(cells, separator, "")
    else:
        cells = pc.replace_substring_regex(cells, "^\\x{2212}|^\\((.*)\\)$", r"-\1")  # a minus, and a bookkeeper's
        cells = pc.replace_substring_regex(cells, _SYMBOLS, r"\1")
        for letter, exponent in _EXPONENTS.items():  # as an exponent, so that the number is rounded once only
            cells = pc.replace_substring_regex(cells, rf"(?i)(\d)\s*{letter}$", rf"\1e{exponent}")
        grouped = _grouped(cells, decimal)
        separated = pc.replace_substring_regex(cells, _SEPARATORS[decimal], "")
    cells = pc.if_else(grouped, separated, cells)
    if decimal == ",":
        point = pc.if_else(grouped, False, pc.match_substring(cells, "."))
        refuse(point, lambda seen: f"{name} {seen!r} is not a number with a decimal comma; see --decimal", shown)
        cells = pc.replace_substring(cells, ",", ".")
    wrong = pc.invert(pc.match_substring_regex(cells, _PLAIN))
    hint = "; see --decimal"
    refuse(wrong, lambda seen: f"{name} {seen!r} is not a number{hint * (str(seen).count('.') > 1)}", shown)
    return cells.cast(pa.float64())


def _grouped(cells: pa.Array, decimal: str) -> pa.Array:
    return pc.match_substring_regex(cells, _GROUPS[decimal])


def without_blanks(cells: T) -> T:
    """Return text without the spaces around it; null where it says that there is no value."""
    cells = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.is_in(cells, value_set=pa.array(BLANK)), None, cells)


def _any(cells: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def _has(cells: pa.Array, text: str) -> bool:
    return bool(pc.any(pc.match_substring(cells, text)).as_py())


def _decides(cells: pa.Array, sign: str, pattern: str) -> bool:
    """Whether a pattern is found, which needs the sign, or two of the other."""
    several = pc.greater(pc.count_substring(cells, "." if sign == "," else ","), 1)
    return _any(cells.filter(pc.or_(pc.match_substring(cells, sign), several)), pattern)


def _first_with(cells: pa.Array, text: str) -> int:
    return int(pc.index(pc.match_substring(cells, text), pa.scalar(value=True)).as_py())


def _first(cells: pa.Array, pattern: str) -> int:
    """Return the place of the first cell that a pattern is found in; -1 where there is none."""
    return int(pc.index(pc.match_substring_regex(cells, pattern), pa.scalar(value=True)).as_py())
