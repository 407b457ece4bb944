"""Prints what the commands say: lines, tables, numbers, and rows in files. Not here: the texts themselves."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from rich.console import Console

from chandlery.cli.grid import Grid
from chandlery.core.text import printable
from chandlery.errors import UsageError
from chandlery.redaction.text import hide

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_A_TIME = 50_000
#: The width of what is no terminal.
_UNBOUNDED = 10_000
_NONE = "\N{EN DASH}"
#: What stands for a sign of ours where a terminal cannot show it.
_PLAIN_SIGNS = str.maketrans({_NONE: "-", "\N{HORIZONTAL ELLIPSIS}": "...", "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-"})
#: Numbers from here on are written with an exponent: as digits, they would fill a line.
_SMALLEST, _LARGEST = 1e-15, 1e21


class Format(StrEnum):
    """How rows are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def out() -> Console:
    """Return the console for results. Where it is no terminal, lines are as long as they need to be."""
    return _console(sys.stdout)


def err() -> Console:
    """Return the console for everything else."""
    return _console(sys.stderr)


def say(text: str = "") -> None:
    """Print a line of a result to standard output, exactly as it is, but for what a terminal would obey."""
    out().print(printable(text), markup=False, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a line that is not part of the result to standard error."""
    err().print(printable(text), markup=False, highlight=False, soft_wrap=True, style="dim")


def say_error(text: str) -> None:
    """Print an error to standard error."""
    console = err()
    console.print("error: ", style="bold red", end="")
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def table(
    *columns: str,
    left: Sequence[str] = (),
    folded: Sequence[str] = (),
    keys: Sequence[str] | None = None,
    title: str | None = None,
) -> Grid:
    """Return an empty table; see ``Grid``."""
    return Grid(columns, left=left, folded=folded, keys=keys, title=title)


def show_table(grid: Grid) -> None:
    """Print a table to standard output; say which of its columns do not fit on the terminal."""
    omitted = grid.print(out())
    if omitted:
        note(f"Too narrow for {', '.join(omitted)}: widen the terminal, or see all with --json.")


def say_json(value: object) -> None:
    """Print a result for programs: times as ISO 8601 in UTC, dates and paths as text."""
    import json  # noqa: PLC0415 - only where it is used

    say(json.dumps(value, indent=2, default=_as_text))


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def number(value: float | None) -> str:
    """Return a number with thousands separated and every digit that means something; a dash for none.

    A fraction has as many digits as it takes to read the same double back, and none more.
    """
    if value is None:
        return _NONE
    if not isinstance(value, float):
        return f"{value:,}"
    if not math.isfinite(value) or not (value == 0 or _SMALLEST <= abs(value) < _LARGEST):
        return repr(value)
    text = f"{Decimal(repr(value)):,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if text != "-0" else "0"


def moment(value: datetime | None, *, day: bool = False) -> str:
    """Return a time in UTC: ``2024-01-31`` for a ``day``, otherwise ``2024-01-31 14:30Z``; a dash for none."""
    if value is None:
        return _NONE
    if day:
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M}" + (f":{value:%S}Z" if value.second else "Z")


def size(number_of_bytes: int) -> str:
    """Return a size for people, in powers of 1024."""
    value, units = float(number_of_bytes), ["B", "KB", "MB", "GB", "TB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if value >= 10 or units[0] == "B" else f"{value:,.1f} {units[0]}"


def choose_format(given: Format | None, output: Path | None) -> Format:
    """Return the format to write: the given format, or that of the output file's suffix, or a table.

    Raises:
        UsageError: the suffix is of no known format, or the format is Parquet and there is no file.
    """
    by_suffix = {".csv": Format.CSV, ".json": Format.JSON, ".parquet": Format.PARQUET, ".txt": Format.TABLE}
    if given is None and output is not None:
        if output.suffix not in by_suffix:
            raise UsageError(
                f"output={str(output)!r} does not tell its format; add --format csv, json, parquet or table"
            )
        return by_suffix[output.suffix]
    chosen = given or Format.TABLE
    if chosen is Format.PARQUET and output is None:
        raise UsageError("format='parquet' needs a file; add --output FILE")
    return chosen


def write_rows(rows: pa.Table, chosen: Format, output: Path | None, *, day: bool) -> None:
    """Write ``rows`` to ``output``, or to standard output.

    Args:
        rows: the rows. Times are aware and in UTC; they are written as ISO 8601 text except in Parquet.
        chosen: the format.
        output: the file to write, which is replaced if it exists; None writes to standard output.
        day: whether a table shows ``ts`` as a date.
    """
    if chosen is Format.TABLE:
        if output is None:
            show_table(_grid(rows, day=day))
            return
        with output.open("w", encoding="utf-8") as file:
            _grid(rows, day=day).print(Console(file=file, width=_UNBOUNDED))
        return
    if output is None:
        sys.stdout.flush()
        _write_binary(rows, chosen, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with output.open("wb") as binary:
        _write_binary(rows, chosen, binary)


def _write_binary(rows: pa.Table, chosen: Format, file: BinaryIO | IO[bytes]) -> None:
    import pyarrow as pa  # noqa: PLC0415

    if chosen is Format.PARQUET:
        import pyarrow.parquet as pq  # noqa: PLC0415 - only where it is used

        pq.write_table(rows, file, compression="zstd")
        return
    if chosen is Format.JSON:
        for block in _json(rows):
            file.write(block.encode())
        return
    import pyarrow.csv as pacsv  # noqa: PLC0415 - only where it is used

    # Arrow's own "needed" quotes every text.
    options = pacsv.WriteOptions(quoting_style="needed" if _needs_quotes(rows) else "none", quoting_header="none")
    plain = pa.schema([(field.name, _plain_type(field.type)) for field in rows.schema])
    with pacsv.CSVWriter(file, plain, write_options=options) as writer:
        for start in range(0, rows.num_rows, _ROWS_AT_A_TIME):
            writer.write_table(_readable(rows.slice(start, _ROWS_AT_A_TIME)).cast(plain))


def _needs_quotes(rows: pa.Table) -> bool:
    """Return whether any text has a character that means something in CSV."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    texts = (rows[field.name] for field in rows.schema if _plain_type(field.type) == pa.string())
    names = (pc.unique(column).cast(pa.string()) for column in texts if not pa.types.is_timestamp(column.type))
    return any(bool(pc.any(pc.match_substring_regex(values, '[",\r\n]')).as_py()) for values in names)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa  # noqa: PLC0415

    return pa.string() if pa.types.is_dictionary(kind) or pa.types.is_timestamp(kind) else kind


def _readable(rows: pa.Table) -> pa.Table:
    """Return ``rows`` with times as ISO 8601 text: ``ts`` to the second, other times to the microsecond."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            unit = "s" if field.name == "ts" else "us"
            text = pc.strftime(rows[field.name].cast(pa.timestamp(unit, tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
            rows = rows.set_column(place, field.name, text)
    return rows


def _json(rows: pa.Table) -> Iterator[str]:
    import json  # noqa: PLC0415

    separator = "[\n"
    for start in range(0, rows.num_rows, _ROWS_AT_A_TIME):
        for row in _readable(rows.slice(start, _ROWS_AT_A_TIME)).to_pylist():
            yield separator + json.dumps(row)
            separator = ",\n"
    yield "\n]\n" if rows.num_rows else "[]\n"


def _grid(rows: pa.Table, *, day: bool) -> Grid:
    texts = {"symbol", "source", "timeframe", "reasons"}
    names = [
        name for name in rows.column_names if name not in {"vwap", "trades"} or rows[name].null_count < rows.num_rows
    ]
    keys = [name for name in names if name in {"symbol", "ts", "close", "reasons"}]
    grid = table(*names, left=[name for name in names if name in texts or name == "ts"], folded=["reasons"], keys=keys)
    for row in rows.select(names).to_pylist():
        grid.add_row(*(_cell(name, row[name], day=day) for name in names))
    return grid


def _cell(name: str, value: Any, *, day: bool) -> str:  # noqa: ANN401 - of any column
    if isinstance(value, datetime):
        return moment(value, day=day and name == "ts")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else number(value)


def _console(stream: IO[str]) -> Console:
    console = Console(file=stream)
    width = None if console.is_terminal else _UNBOUNDED
    return Console(file=cast("IO[str]", _WithoutSecrets(stream)), width=width)


class _WithoutSecrets:
    """A stream on which secrets are stars, and signs that it cannot write are written otherwise."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write ``text`` as it may be shown, and can be."""
        text = hide(text)
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            plain = text.translate(_PLAIN_SIGNS)
            text = plain.encode(self._encoding, "backslashreplace").decode(self._encoding)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of whatever the stream has
        return getattr(self._stream, name)


def columns_of(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield ``name  value`` lines with the values below each other."""
    pairs = list(lines)
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        yield f"{name:<{width}}  {value}"
