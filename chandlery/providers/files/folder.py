"""Which files of a folder hold which symbol.

A file is named after its symbol, or by a pattern; several spellings of one symbol are one. Not here: what stands in a
file (``reader``), and which symbols are registered (``ingest.planner``).
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from chandlery.core.symbols import spelling
from chandlery.core.text import plural
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ConfigurationError
from chandlery.providers.files.fields import fields_beside
from chandlery.providers.files.naming import best_pattern, is_unread, part_of, split_name, symbol_by

NOT_READ = "is of a kind that is not read; save it as .csv or .parquet"
#: What a file is to its symbol: all that there is, one of several, or of another timeframe.
_Kind: TypeAlias = Literal["whole", "part", "other"]


@dataclass(frozen=True, slots=True)
class Holding:
    """The files of one symbol.

    Attributes:
        symbol: as the files' names write it; empty where their names say nothing of symbols.
        files: which, sorted.
        problem: why they cannot be read as they are, for a person; empty where they can.
        beside: files of the symbol that are of other timeframes.
        doubled: whether the problem is that each of several files is all that there is of the symbol.
    """

    symbol: str
    files: Sequence[Path]
    problem: str = ""
    beside: Sequence[Path] = ()
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of bars of one timeframe.

    Attributes:
        path: the folder that holds ``bars_1m`` and ``bars_1d``, or, with a pattern, the files themselves; or one file.
        timeframe: of the bars.
        patterns: how the files are named; after their symbol by default.
        plain_names: whether files that no pattern fits are named after their symbol.
        others: how files of other timeframes are named, which are passed over.
    """

    path: Path
    timeframe: Timeframe
    patterns: Sequence[str] = ()
    plain_names: bool = True
    others: Sequence[str] = ()

    @property
    def is_one_file(self) -> bool:
        """Whether it is no folder, but a single file that a person named."""
        return self.path.is_file()

    @property
    def root(self) -> Path:
        """The folder in which the files are.

        Raises:
            ConfigurationError: there is none.
        """
        if self.is_one_file:
            if is_unread(self.path.name):
                raise ConfigurationError(f"{self.path} {NOT_READ}")
            return self.path.parent
        folder = self.path / self.timeframe.table
        if folder.is_dir():
            return folder
        if self.patterns and self.path.is_dir():
            return self.path
        what = "has no such folder" if self.path.is_dir() else "does not exist"
        others = [each for each in INGESTED if each is not self.timeframe and (self.path / each.table).is_dir()]
        advice = "".join(f"; there is {each.table}: give --timeframe {each.value}" for each in others)
        if self.path.is_dir() and any(split_name(entry.name)[1] for entry in self.path.iterdir()):
            advice += '; for files that lie in it directly, give --pattern "{symbol}"'
        raise ConfigurationError(
            f"there is no folder {folder}: {self.path} {what}; expected"
            f" DIR/{self.timeframe.table}/SYMBOL.csv (or .txt, .parquet, .zip, .gz){advice}"
        )

    def holdings(self) -> Mapping[str, Holding]:
        """Return what the folder holds, by the symbols' common spelling; under ``""`` the files that name no symbol.

        What is called like a file and is none, such as a folder or a pipe, is among them: to read it says so.
        """
        if self.is_one_file:
            named = self._named(self.path.name)[0] or split_name(self.path.name)[0] or self.path.stem
            return {spelling(named): Holding(_capital(named), [self.path])}
        root, paths = self.root, self._paths()
        if not any(split_name(path.name)[1] for path in paths):
            self._refuse_kinds([path.name for path in paths])
        by_spelling: dict[str, list[tuple[str, Path, _Kind]]] = {}
        fields = {} if self.patterns else next(filter(None, map(fields_beside, paths)), {})
        for path in paths:
            symbol, kind = self._named(path.relative_to(root).as_posix())
            if path in fields.values():
                symbol = "" if path == fields["open"] else None
            if symbol is not None:
                by_spelling.setdefault(spelling(symbol), []).append((symbol, path, kind))
        return {
            name: self._holding(found)
            for name, found in by_spelling.items()
            if any(kind != "other" for _, _, kind in found)
        }

    def none_of(self, symbol: str) -> str:
        """Return, for a person, that there is no file of ``symbol``, and which of its files are of other widths."""
        named = f" by the pattern {' or '.join(self.patterns)}" if self.patterns else ""
        looked = "" if named else f": looked for {self.root / symbol.replace('/', '-')}"
        text = f"no file for {symbol}{named}{looked} with .csv, .txt, .parquet, .zip or .gz in {self.root}"
        others = self.of_other_widths(symbol)
        return f"{text}; {others}" if others else text

    def of_other_widths(self, symbol: str | None = None) -> str:
        """Return, for a person, which files are of other timeframes, of one symbol or of all; empty where none are."""
        if self.is_one_file:
            return ""
        named = ((path.name, *self._named(path.relative_to(self.root).as_posix())) for path in self._paths())
        names = [
            name
            for name, found, kind in named
            if kind == "other" and (symbol is None or spelling(found or "") == spelling(symbol))
        ]
        if not names:
            return ""
        more = f" and {len(names) - 3} more" if names[3:] else ""
        return (
            f"{', '.join(names[:3])}{more} {plural(len(names), 'is', 'are')} of"
            f" {plural(len(names), 'another width', 'other widths')} than {self.timeframe.value}: only 1m and 1d are"
            " ingested, and all others are made of them"
        )

    def unread(self) -> list[str]:
        """Return the names of files that hold tables and are of kinds that are not read."""
        return [] if self.is_one_file else [path.name for path in self._paths() if is_unread(path.name)]

    def _paths(self) -> list[Path]:
        deep = any("/" in pattern for pattern in self.patterns)
        found = self.root.rglob("*") if deep else self.root.iterdir()
        return sorted(path for path in found if not path.name.startswith("."))

    def _refuse_kinds(self, names: Sequence[str]) -> None:
        """Raise where there are files that hold tables, and all are of kinds that are not read."""
        unread = [name for name in names if is_unread(name)]
        if unread:
            more = f" and {len(unread) - 3} more" if unread[3:] else ""
            raise ConfigurationError(f"{self.root}: {', '.join(unread[:3])}{more} {NOT_READ}")

    def _named(self, path: str) -> tuple[str | None, _Kind]:
        """Return the symbol that a path names, and what the file is to it."""
        stem, suffix = split_name(path)
        if not suffix:
            return None, "whole"
        pattern = best_pattern(path, [*self.patterns, *self.others])
        if pattern is not None:
            # Where no name says of which dates a file is, there can be one only.
            kind: _Kind = "part" if any("*" in each for each in self.patterns) else "whole"
            return symbol_by(pattern, path), kind if pattern in self.patterns else "other"
        if self.patterns and not self.plain_names:
            return None, "whole"
        part = part_of(stem, self.timeframe)
        if part is None:
            return stem, "whole"
        return part.symbol, "other" if self.patterns and part.other else "part"

    def _holding(self, named: Sequence[tuple[str, Path, _Kind]]) -> Holding:
        found = [each for each in named if each[2] != "other"]
        beside = [path for _, path, kind in named if kind == "other"]
        symbol, files = _capital(found[0][0]), [path for _, path, _ in found]
        names = " and ".join(path.name for path in files[:3]) + (f" and {len(files) - 3} more" if files[3:] else "")
        if len(files) > 1 and any(kind == "whole" for *_, kind in found):
            return Holding(symbol, files, f"{files[0].parent} holds {names}; keep one of them", beside, doubled=True)
        parts = [part for file in files if (part := part_of(split_name(file.name)[0], self.timeframe)) is not None]
        if found[0][2] == "part" and not self.patterns and not all(part.certain for part in parts):
            part = next((part for part in parts if not part.other), parts[0])
            return Holding(
                symbol,
                files,
                f"{names}: named like one of several files of {symbol}; if so, give --pattern"
                f' "{part.pattern}", otherwise --pattern "{{symbol}}"',
                beside,
            )
        return Holding(symbol, files, "", beside)


def _capital(symbol: str) -> str:
    return symbol.upper() if symbol == symbol.lower() else symbol


def nature(place: Path) -> str:
    """Return what stands where a file should."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return "a link that leads nowhere"
    natures = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return natures.get(stat.S_IFMT(mode), "a device")
