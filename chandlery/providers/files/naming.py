"""What a file's name says: which symbol it holds, by a pattern or by itself.

Not here: which instruments are registered under which symbol (``ingest.planner``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from chandlery.core.timeframe import Timeframe

TABLES = (".csv", ".txt", ".tsv", ".prn", ".asc")
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")
PARQUET = (".parquet", ".pq")
#: What a file's name may end with, in any case.
SUFFIXES = (*(table + packed for table in TABLES for packed in PACKED), *TABLES, *PARQUET, ".zip")
#: Kinds of files that hold tables, and are not read.
_UNREAD = (
    ".xlsx", ".xls", ".ods", ".json", ".jsonl", ".ndjson", ".feather", ".arrow", ".ipc", ".orc", ".avro", ".h5",
    ".hdf5", ".pkl", ".sqlite", ".dbn",
)  # fmt: skip

_MINUTE = r"(1m|m1|1min|1minute|min1|minute|60s)"
_MINUTES = "1|5|15|30|60|240|720|1440"
_DAY = r"(1d|d1|1day|daily|day|1440)"
_DATE = r"(19|20)\d\d([-_.]?(0[1-9]|1[0-2])([-_.]?([0-2]\d|3[01]))?)?"
#: Names of one of several files of a symbol, as vendors write them: certain where they name timeframe and date.
_CERTAIN = rf"(?P<symbol>.+?)(?P<rest>[-_. ]{{width}})(?P<end>[-_. ]{_DATE}([-_. ]+(to[-_. ])?{_DATE})?)"
_LIKELY = (
    re.compile(rf"(?P<symbol>.+?)(?P<rest>[-_. ]\d*(s|m|min|h|d|w))(?P<end>[-_. ]{_DATE})", re.IGNORECASE),
    re.compile(r"(?P<symbol>.+?)(?P<rest>)(?P<end>[-_. ](19|20)\d\d[-_.]?(0[1-9]|1[0-2])([-_.]?([0-2]\d|3[01]))?)"),
    re.compile(r"(?P<symbol>.*[A-Za-z].*?)(?P<rest>)(?P<end>[-_ ](19|20)\d\d)"),
    re.compile(rf"(?P<symbol>.*[A-Za-z].*?)(?P<rest>[-_ ]({_MINUTES}|{_MINUTE}|{_DAY}))(?P<end>)", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Part:
    """What the name of one of several files of a symbol says.

    Attributes:
        symbol: which.
        pattern: how its files are named.
        certain: whether the name can mean nothing else.
        other: whether it names the width of bars of another timeframe.
    """

    symbol: str
    pattern: str
    certain: bool
    other: bool


def split_name(filename: str) -> tuple[str, str]:
    """Return a file's stem and suffix, as they are written; the suffix is empty where the file is not one of ours."""
    lower = filename.lower()
    suffix = max((suffix for suffix in SUFFIXES if lower.endswith(suffix)), key=len, default="")
    return (filename[: -len(suffix)], filename[-len(suffix) :]) if suffix else (filename, "")


def is_unread(filename: str) -> bool:
    """Whether a file is of a kind that holds tables and is not read: of Excel, JSON and others."""
    return any(filename.lower().endswith((kind, *(kind + packed for packed in PACKED))) for kind in _UNREAD)


def check_pattern(pattern: str) -> str:
    """Return a pattern of file names where it is one.

    Raises:
        ValueError: it has more than one ``{symbol}``, or another name in braces; ``{pair}`` is a symbol of six letters.
    """
    names = re.findall(r"\{(.*?)\}", pattern)
    if any(name not in {"symbol", "pair", ""} for name in names) or names.count("symbol") + names.count("pair") > 1:
        raise ValueError(f"{pattern!r} is not a pattern; write one like {{symbol}}-1m-*.csv, with * for any text")
    if not names and "*" not in pattern:
        raise ValueError(f"{pattern!r} names one file only; write {{symbol}} for the symbol and * for any text")
    return pattern


def symbol_by(pattern: str, path: str) -> str | None:
    """Return the symbol in a file's path below the folder, by a pattern; empty where it names none; None otherwise.

    A pattern without a suffix is for files of any kind.
    """
    stem, given = split_name(path)
    if not given:
        return None
    expression, suffixed = _compiled(pattern)
    match = expression.fullmatch(path if suffixed else stem)
    if match is None:
        return None
    return match["symbol"] if expression.groups else ""


def best_pattern(path: str, patterns: Sequence[str]) -> str | None:
    """Return the pattern that fits a path and says most of it; None where none fits."""
    fitting = [pattern for pattern in patterns if symbol_by(pattern, path) is not None]
    return max(fitting, key=lambda pattern: len(re.sub(r"\{\w*\}|\*", "", pattern)), default=None)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> tuple[re.Pattern[str], bool]:
    """Return the expression of a pattern, and whether it names a suffix."""
    pieces = re.split(r"(\{symbol\}|\{pair\}|\{\}|\*)", pattern)
    found = {"{symbol}": r"(?P<symbol>[^/]+?)", "{pair}": r"(?P<symbol>[a-z]{6})", "{}": "[^/]*", "*": "[^/]*"}
    expression = "".join(found.get(piece, re.escape(piece)) for piece in pieces)
    return re.compile(expression, re.IGNORECASE), bool(split_name(pattern)[1])


def part_of(stem: str, timeframe: Timeframe) -> Part | None:
    """Return what a name says that looks like one of several files of a symbol: ``BTCUSDT-1m-2024-01``."""
    width = _MINUTE if timeframe.is_intraday else _DAY
    certain = re.fullmatch(_CERTAIN.format(width=width), stem, re.IGNORECASE)
    found = certain or next((match for likely in _LIKELY if (match := likely.fullmatch(stem))), None)
    if found is None:
        return None
    end = f"{found['end'][0]}*" if found["end"] else ""
    named = found["rest"].strip("-_. ")
    other = bool(named) and re.fullmatch(width, named, re.IGNORECASE) is None
    return Part(found["symbol"], f"{{symbol}}{found['rest']}{end}", certain is not None, other)
