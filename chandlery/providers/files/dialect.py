"""How a text file is written: compression, encoding, delimiter, comments, and which of its lines are headers.

All of it is recognised from the bytes and the first lines, unless a layout says otherwise. Not here: what its columns
and cells mean (``columns``, ``numbers``, ``times``).
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from chandlery.providers.files.dates import looks_like_time
from chandlery.providers.files.naming import TABLES
from chandlery.providers.files.numbers import BLANK
from chandlery.providers.files.unreadable import UnreadableError

_SAMPLE = 1 << 16
_HEAD = 1 << 13
_LINES = 60
_DELIMITERS = ("\t", ";", "|", ",")
_MARKS_OF_COMMENTS = ((b"#", b"#"), (b"/", b"//"))
#: Lines that are no rows: comments, and the dividends and splits between the rows of Yahoo's page.
_ASIDE = re.compile(r"#|//|.*\d\s+(Dividends?|Stock Splits?)\s*\"?\s*$")
_EVENTS = ((b"D", b" Dividend"), (b"S", b" Stock Split"))
_EVENT = re.compile(rb"(?m)^.*\d[ \t]+(Dividends?|Stock Splits?)[ \t]*\"?[ \t]*\r?$\n?")
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"))
_NUMBER = re.compile(
    r"\s*[+-]?[$€£¥₿]?\s*[+-]?\d[\d.,' \u00a0\u202f\u2019]*([eE][+-]?\d+)?\s*[KMBTkmbt%$€£¥₿]?\s*|[+-]?\.\d+"
)
_VALUE = re.compile(rf"(?i)[+-]?(inf|infinity|nan)|{'|'.join(map(re.escape, BLANK))}")
_SPACES = re.compile(rb"[ \t]+")
_MAGIC = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_BY_SUFFIX = {".gz": "gzip", ".zip": "zip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


@dataclass(frozen=True, slots=True)
class TextFile:
    r"""A text file, and how it is written.

    Attributes:
        text: all of it, in UTF-8, with ``\\n`` or ``\\r\\n`` at the end of a line.
        encoding: that it had.
        delimiter: between cells.
        headers: the cells of its header lines, none where it has none.
        begin: position in ``text`` of the first row.
        first_line: number of that line, from 1.
        width: number of cells of a row.
        first: the cells of the first row; none where there is no row.
        sample: the cells of the first rows.
    """

    text: bytes
    encoding: str
    delimiter: str
    headers: Sequence[Sequence[str]]
    begin: int
    first_line: int
    width: int
    sample: Sequence[Sequence[str]]

    @property
    def first(self) -> Sequence[str]:
        """The cells of the first row; none where there is no row."""
        return self.sample[0] if self.sample else ()

    @property
    def body(self) -> pa.Buffer:
        """The rows alone, without the comments among and after them; not copied where there are none."""
        text, begin = self.text, self.begin
        # A search for one byte is many times as fast as one for two.
        if any(text.find(sign, begin) >= 0 and _has_line(text, mark, begin) for sign, mark in _MARKS_OF_COMMENTS):
            text, begin = re.sub(rb"(?m)^(#|//).*\r?\n?", b"", text[begin:]), 0
        if any(text.find(sign, begin) >= 0 and text.find(word, begin) >= 0 for sign, word in _EVENTS):
            text, begin = _EVENT.sub(b"", text[begin:]), 0
        return pa.py_buffer(text)[begin : _end_of_rows(text, begin, self.delimiter, self.first, self.width)]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is neither blank nor a comment, with its line number."""
        lines = self.text[self.begin :].decode("utf-8", "replace").splitlines(keepends=True)
        kept = ("\n" if _ASIDE.match(line) else line for line in lines)
        reader = csv.reader(kept, delimiter=self.delimiter)
        for row in reader:
            if row:
                yield self.first_line + reader.line_num - 1, row


def open_text(file: Path, *, encoding: str | None = None, delimiter: str | None = None, head: bool = False) -> TextFile:
    """Read a text file, plain or compressed, and recognise how it is written.

    Raises:
        UnreadableError: it is packed in a way that cannot be read, or holds nothing.
        OSError: the file, or what it is compressed with, is damaged; also ``EOFError``, ``zipfile.BadZipFile`` and
            others of the compressions.
    """
    text, encoding = _decode(_unpack(file, _HEAD if head else -1), encoding)
    if b"\x1a" in text[-_HEAD:]:  # Ctrl-Z, with which programs for DOS end a file
        text = text.rstrip(b"\x1a\r\n") + b"\n"
    if not text[:_SAMPLE].strip() and not text.strip():
        raise UnreadableError("the file is empty: it holds no bars")
    if b"\n" not in text[:_SAMPLE] and b"\r" in text[:_SAMPLE]:
        text = text.replace(b"\r", b"\n")
    lines = _first_lines(text)
    delimiter = delimiter or _said_delimiter(lines) or _find_delimiter([line for _, _, line in lines])
    text = _without_blank_end(text, delimiter.encode())
    if delimiter == " ":
        text, delimiter = b"\n".join(_SPACES.sub(b",", line.strip()) for line in text.split(b"\n")), ","
        lines = _first_lines(text)
    rows = [(number, end, _cells(line, delimiter)) for number, end, line in lines if not _is_sep_line(line)]
    data = next((place for place, (_, _, cells) in enumerate(rows) if _is_row(cells)), len(rows))
    sample = [cells for _, _, cells in rows[data:]]
    width = _width(sample) if sample else 0
    if len(sample) > 1 and _is_footer(sample[-1], sample[0], width):
        sample.pop()
    headers = [cells for _, _, cells in rows[:data] if len(cells) > max(1, width - 3)]
    if data < len(rows):
        above = rows[data - 1] if data else None  # comments may stand between it and the first row
        first_line, begin = (above[0] + 1, above[1]) if above else (rows[0][0], _start_of(text, rows[0][0]))
    else:
        first_line, begin = (rows[-1][0] + 1, len(text)) if rows else (1, len(text))
    return TextFile(text, encoding, delimiter, headers, begin, first_line, width, sample)


def _without_blank_end(text: bytes, delimiter: bytes) -> bytes:
    """Return text without lines at its end in which nothing stands but blanks and delimiters."""
    end, blank = len(text), b' \t\r\n"' + delimiter
    while end:
        begin = text.rfind(b"\n", 0, end - 1) + 1
        if text[begin:end].strip(blank):
            break
        end = begin
    return text if end == len(text) else text[:end]


def _unpack(file: Path, size: int) -> bytes:
    """Return a file's content, or its first ``size`` bytes, decompressed by what it begins with."""
    with file.open("rb") as raw:
        start = raw.read(8)
        raw.seek(0)
        kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
        named = _BY_SUFFIX.get(file.suffix.lower())
        if named is not None and kind != named:
            raise OSError(f"it does not begin like {named}")
        match kind:
            case None:
                return raw.read(size)
            case "zip":
                return _unzip(raw, size)
            case "bz2":
                return bz2.open(raw).read(size)
            case "xz":
                return lzma.open(raw).read(size)
            case "gzip":
                return gzip.open(raw).read(size)
            case _:
                stream = pa.CompressedInputStream(pa.PythonFile(raw), kind)
                unpacked: bytes = stream.read(None if size < 0 else size)
                return unpacked


def _unzip(raw: BinaryIO, size: int) -> bytes:
    """Return the only file of bars in an archive; a report in text may lie beside it."""
    with zipfile.ZipFile(raw) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir() and "__MACOSX" not in info.filename]
        named = (".csv", TABLES)  # a report or a licence in text may lie beside it
        tables = next((found for end in named if (found := [n for n in names if n.lower().endswith(end)])), names)
        if len(tables) != 1:
            held = ", ".join(sorted(tables)[:5]) or "nothing"
            raise UnreadableError(f"the archive holds {len(tables)} files ({held}); unpack it, one file per symbol")
        try:
            with archive.open(tables[0]) as packed:
                return packed.read(size)
        except (RuntimeError, NotImplementedError) as error:  # a password, another method
            raise UnreadableError(f"the archive cannot be read: {error}") from None


def _decode(content: bytes, encoding: str | None) -> tuple[bytes, str]:
    """Return the text in UTF-8 without its mark, and the encoding that it had."""
    found = encoding or next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if found is None and content.startswith(b"\xfe\xff"):
        found = "utf-16"
    start = content[:_SAMPLE]
    if found is None and b"\0" in start:
        if b"\0" in start[:1:2] + start[1::2] and b"\0" not in start[::2]:
            found = "utf-16-le"
        elif b"\0" in start[::2] and b"\0" not in start[1::2]:
            found = "utf-16-be"
        else:
            is_parquet = content.startswith(b"PAR1")
            raise UnreadableError("this is a Parquet file; call it .parquet" if is_parquet else "this is not text")
    if found is None:
        try:
            start[: start.rfind(b"\n") + 1 or None].decode("utf-8")
        except UnicodeDecodeError:
            found = "cp1252"
        else:
            return content, "utf-8"
    if found == "utf-8" and content.startswith(_MARKS[0][0]):
        return content[3:], "utf-8"
    try:
        return content.decode(found, "replace" if found == "cp1252" else "strict").lstrip("\ufeff").encode(), found
    except UnicodeDecodeError as error:
        raise UnreadableError(f"this is not text in {found}: {error.reason} at byte {error.start}") from None


def _first_lines(text: bytes) -> list[tuple[int, int, str]]:
    """Return the first lines that are neither blank nor comments: number, position of their end, text."""
    found: list[tuple[int, int, str]] = []
    begin = number = 0
    while begin < len(text) and len(found) < _LINES:
        end = text.find(b"\n", begin)
        end = len(text) if end < 0 else end + 1
        number += 1
        line = text[begin:end].decode("utf-8", "replace").rstrip("\r\n")
        if line.strip() and not _ASIDE.match(line):
            found.append((number, end, line))
        begin = end
    return found


def _start_of(text: bytes, line: int) -> int:
    """Return the position at which a line begins."""
    position = 0
    for _ in range(line - 1):
        position = text.find(b"\n", position) + 1
    return position


def _is_sep_line(line: str) -> bool:
    return re.fullmatch(r'"?sep=.?"?', line.strip(), re.IGNORECASE) is not None


def _said_delimiter(lines: Sequence[tuple[int, int, str]]) -> str | None:
    """Return what Excel's line ``sep=;`` says, where there is one."""
    found = lines and re.fullmatch(r'"?sep=(.)"?', lines[0][2].strip(), re.IGNORECASE)
    return found[1] if found else None


def _find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that divides most of the lines into the same number of cells, five or more."""
    best, most = ",", 0.0
    for delimiter in _DELIMITERS:
        counts = [len(_cells(line, delimiter)) for line in lines]
        usual = max(set(counts), key=counts.count, default=1)
        share = counts.count(usual) / max(1, len(counts))
        if usual >= 5 and share > most:
            best, most = delimiter, share
    if most == 0 and sum(len(line.split()) >= 5 for line in lines) * 2 > len(lines):
        return " "
    return best


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _is_row(cells: Sequence[str]) -> bool:
    """Whether a line holds values: three numbers, or a time and whatever else, or no word."""
    numbers = sum(_NUMBER.fullmatch(cell) is not None for cell in cells)
    if numbers >= 3:
        return True
    values = (_VALUE.fullmatch(cell.strip()) or _NUMBER.fullmatch(cell) for cell in cells)
    named = any(not value and re.search(r"[^\W\d]", cell) for value, cell in zip(values, cells, strict=True))
    return len(cells) >= 4 and (not named or any(looks_like_time(cell) for cell in cells))


def _width(rows: Sequence[Sequence[str]]) -> int:
    counts = [len(row) for row in rows]
    return max(counts, key=lambda count: (counts.count(count), count))


def _has_line(text: bytes, mark: bytes, begin: int) -> bool:
    """Whether any line from ``begin`` on begins with ``mark``."""
    return text.startswith(mark, begin) or text.find(b"\n" + mark, begin) >= 0


def _end_of_rows(text: bytes, begin: int, delimiter: str, first: Sequence[str], width: int) -> int:
    """Return where the rows end: before a last line of prose, such as where a file was downloaded, or of sums."""
    end = text[max(begin, len(text) - _SAMPLE) :].rstrip()
    last = end[end.rfind(b"\n") + 1 :]
    if b"\n" not in end or not re.match(rb'\s*"?[A-Za-z\xc2]', last):
        return len(text)
    cells = _cells(last.decode("utf-8", "replace"), delimiter)
    return text.rindex(last) if len(cells) == 1 or _is_footer(cells, first, width) else len(text)


def _is_footer(cells: Sequence[str], first: Sequence[str], width: int) -> bool:
    """Whether a line below rows that begin with no letter is prose or sums, ``Total,,,,,10``, and no damaged row."""
    if not cells or not first or re.match(r"\s*[^\W\d_]", first[0]) or not re.match(r"\s*[^\W\d_]", cells[0]):
        return False
    return len(cells) != width or 2 * sum(not cell.strip() for cell in cells) >= width
