"""Numbers that are written for people: ``1,234.56``, ``1.234,56``, ``$1``, ``68.18K``.

Not here: plain numbers, which Arrow reads by itself (``text``).
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from chandlery.providers.files.unreadable import UnreadableError, refuse

#: Cells that hold no value.
BLANK = ("", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "N/A", "NA", "<NA>", "-", "--", "#N/A", "n/a")

_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
_SYMBOLS = r"^([+-]?)[$€£¥₿]\s*|\s*[$€£¥₿]$"
_EXPONENTS = {"K": 3, "M": 6, "B": 9, "T": 12}
_END = r"\s*[KMBTkmbt$€£¥₿]?$"
#: What only one reading of the separators allows.
_COMMA_IS_DECIMAL = rf",\d{{1,2}}{_END}|,\d{{4,}}{_END}|\.\d{{3}},|^\D*0,\d+{_END}|,{_END}"
_POINT_IS_DECIMAL = r",\d{3}\.|,\d{3},\d{3}"
_POINT_MAY_BE_DECIMAL = rf"\.\d{{1,2}}{_END}|\.\d{{4,}}{_END}|^\D*0\.\d+{_END}"
#: Digits in groups, where the separators of groups are not the decimal one.
_GROUPS = {
    ".": r"^[+-]?\d{1,3}([,' \x{00A0}\x{202F}\x{2019}]\d{2,3})*[,' \x{00A0}\x{202F}\x{2019}]\d{3}(\.\d*)?([eE]\d+)?$",
    ",": r"^[+-]?\d{1,3}([.' \x{00A0}\x{202F}\x{2019}]\d{3})+(,\d*)?([eE]\d+)?$",
}
_SEPARATORS = {".": r"[,' \x{00A0}\x{202F}\x{2019}]", ",": r"[.' \x{00A0}\x{202F}\x{2019}]"}


def find_decimal(columns: Mapping[str, pa.ChunkedArray]) -> str:
    """Return the decimal separator of columns of text, all of one file.

    Raises:
        UnreadableError: they disagree, or ``1,234`` may be either; names the flag that says which.
    """
    comma = point = False
    doubtful: tuple[str, str] | None = None
    for name, cells in columns.items():
        with_comma = cells.filter(pc.fill_null(pc.match_substring(cells, ","), False))
        if len(with_comma):
            doubtful = doubtful or (name, with_comma[0].as_py())
            comma |= _any(with_comma, _COMMA_IS_DECIMAL)
            point |= _any(with_comma, _POINT_IS_DECIMAL)
        point |= _any(cells, _POINT_MAY_BE_DECIMAL)
    if doubtful is None or (point and not comma):
        return "."
    if comma and not point:
        return ","
    name, seen = doubtful
    reads = "one or the other" if not comma else "both, in different cells"
    raise UnreadableError(
        f"{name} {seen!r}: its comma may be a decimal comma or stand between thousands ({reads});"
        ' say with --decimal "," or --decimal "."'
    )


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
    shown = cells
    cells = pc.utf8_trim_whitespace(cells)
    cells = pc.if_else(pc.is_in(cells, value_set=pa.array(BLANK)), None, cells)
    cells = pc.replace_substring_regex(cells, "^\\x{2212}|^\\((.*)\\)$", r"-\1")  # a minus sign, and a bookkeeper's
    cells = pc.replace_substring_regex(cells, _SYMBOLS, r"\1")
    for letter, exponent in _EXPONENTS.items():  # as an exponent, so that the number is rounded once only
        cells = pc.replace_substring_regex(cells, rf"(?i)(\d)\s*{letter}$", rf"\1e{exponent}")
    grouped = pc.match_substring_regex(cells, _GROUPS[decimal])
    cells = pc.if_else(grouped, pc.replace_substring_regex(cells, _SEPARATORS[decimal], ""), cells)
    if decimal == ",":
        point = pc.if_else(grouped, False, pc.match_substring(cells, "."))
        refuse(point, lambda seen: f"{name} {seen!r} is not a number with a decimal comma; see --decimal", shown)
        cells = pc.replace_substring(cells, ",", ".")
    wrong = pc.invert(pc.match_substring_regex(cells, _PLAIN))
    refuse(wrong, lambda seen: f"{name} {seen!r} is not a number", shown)
    return cells.cast(pa.float64())


def _any(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())
