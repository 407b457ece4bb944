"""How a person's files are written: what an option, a mapping file or a preset says about them.

Not here: presets themselves (``presets``), and what is recognised without being said (``dialect``, ``times``).
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from chandlery.config.yaml_document import Root, Section
from chandlery.core.timeframe import Timeframe
from chandlery.providers.files.columns import MEANINGS, meaning_of, plain
from chandlery.providers.files.dates import check_format
from chandlery.providers.files.epochs import EpochUnit
from chandlery.providers.files.naming import check_pattern

_MEANINGS = f"one of {' '.join(MEANINGS)}, or ignore"


_Patterns: TypeAlias = str | tuple[str, ...]


class Layout(Section):
    """How files are written. What is not said is recognised, or asked for where it cannot be.

    Attributes:
        columns: the meaning of each column from left to right, for files without a header line or instead of theirs; or
            the meaning by the name that a file gives it. A meaning is a key of ``columns.ALIASES`` or ``ignore``.
        headerless: the meaning of each column of a file that has no header line; others have their own names.
        ignore_columns: columns to drop, in any case; ``*`` stands for all that are not known.
        tz: IANA zone of times that carry none.
        epoch_unit: what times that are numbers count since 1970-01-01 UTC; ``excel`` for the days of Excel.
        date_format: how times are written, as ``strptime`` has it: ``%d/%m/%Y``.
        decimal: the decimal separator.
        delimiter: what stands between two cells.
        encoding: of the text, as Python names it.
        label: whether a bar's time is its start or its end.
        price_scale: what prices are multiplied by; ``1e-9`` for fixed-point prices.
        fixed_point: what prices are multiplied by where all of them are whole and large, as in files that may have
            either form.
        pattern: how files are named, with ``{symbol}`` for the symbol and ``*`` for any text; one or several, by
            timeframe where they differ; those of ``other`` are of timeframes that are not read, and passed over.
        blank_rows: whether a row without any price is kept, for the gate to reject, or is no bar.
    """

    columns: tuple[str, ...] | dict[str, str] = ()
    headerless: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    tz: str | None = None
    epoch_unit: EpochUnit | None = None
    date_format: str | None = None
    decimal: Literal[".", ","] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    label: Literal["start", "end"] = "start"
    price_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    fixed_point: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    pattern: _Patterns | dict[Literal["1m", "1d", "other"], _Patterns] | None = None
    blank_rows: Literal["keep", "skip"] = "keep"

    @field_validator("columns", "headerless")
    @classmethod
    def _meanings_exist(cls, value: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        given = value.values() if isinstance(value, Mapping) else value
        meanings: list[str] = []
        for text in given:
            meaning = meaning_of(text)
            if meaning is None:
                raise ValueError(f"{text!r} is not a meaning of a column; allowed: {_MEANINGS}")
            meanings.append(meaning)
        if isinstance(value, Mapping):
            return {plain(name): meaning for name, meaning in zip(value, meanings, strict=True)}
        return tuple(meanings)

    @field_validator("tz")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        try:
            return None if value is None else ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not an IANA time zone; write one like UTC or America/New_York") from None

    @field_validator("date_format")
    @classmethod
    def _format_is_known(cls, value: str | None) -> str | None:
        return None if value is None else check_format(value)

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str | None) -> str | None:
        try:
            return None if value is None else codecs.lookup(value).name
        except LookupError:
            raise ValueError(f"{value!r} is not an encoding; write one like utf-8, utf-16 or cp1252") from None

    @field_validator("pattern")
    @classmethod
    def _patterns_are_such(
        cls, value: _Patterns | dict[Literal["1m", "1d", "other"], _Patterns] | None
    ) -> _Patterns | dict[Literal["1m", "1d", "other"], _Patterns] | None:
        for patterns in value.values() if isinstance(value, dict) else [() if value is None else value]:
            for pattern in [patterns] if isinstance(patterns, str) else patterns:
                check_pattern(pattern)
        return value

    def patterns(self, timeframe: Timeframe) -> tuple[str, ...]:
        """Return the patterns of the files of ``timeframe``."""
        value = self.pattern
        return _listed(value.get(_key(timeframe)) if isinstance(value, dict) else value)

    def other_patterns(self, timeframe: Timeframe) -> tuple[str, ...]:
        """Return the patterns of files that are of other timeframes."""
        value = self.pattern if isinstance(self.pattern, dict) else {}
        return tuple(pattern for key, found in value.items() if key != _key(timeframe) for pattern in _listed(found))


def _key(timeframe: Timeframe) -> Literal["1m", "1d"]:
    return "1m" if timeframe.is_intraday else "1d"


def _listed(patterns: _Patterns | None) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns or ()


class MappingFile(Layout, Root):
    """A file that says how files are written: ``--mapping FILE``."""
