"""Writes rows: as a table, CSV, JSON or Parquet, to standard output or into a file. Not here: which rows."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from rich.console import Console

from chandlery.cli.grid import Grid
from chandlery.cli.output import UNBOUNDED, moment, number, show_table, table
from chandlery.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_A_TIME = 50_000


class Format(StrEnum):
    """How rows are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


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
    if output is None and chosen is Format.TABLE:
        show_table(_grid(rows, day=day))
    elif output is None:
        sys.stdout.flush()
        _write_binary(rows, chosen, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with _replaced(output) as file:
            if chosen is Format.TABLE:
                file.write(_page(rows, day=day).encode())
            else:
                _write_binary(rows, chosen, file)


@contextmanager
def _replaced(output: Path) -> Iterator[BinaryIO]:
    """Lend a file whose content takes the place of ``output`` once the block is done; not if it raises.

    Raises:
        UsageError: there can be no such file; says why.
    """
    try:
        place = output.resolve()
        is_ordinary = place.is_file() or not place.exists()
        written = place.with_name(f".{place.name[:200]}.{os.getpid()}") if is_ordinary else place
        file = written.open("wb")
    except OSError as error:
        why = error.strerror if output.name else "it is the present folder"
        raise UsageError(
            f"--output={str(output)!r} cannot be written: {why}; name a file in a folder that exists"
        ) from None
    try:
        with file:
            yield file
        if is_ordinary:
            if place.exists():
                shutil.copymode(place, written)
            written.replace(place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from None
    finally:
        if is_ordinary:
            written.unlink(missing_ok=True)


def _page(rows: pa.Table, *, day: bool) -> str:
    console = Console(file=io.StringIO(), width=UNBOUNDED)
    with console.capture() as page:
        _grid(rows, day=day).print(console)
    return page.get()


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
    from chandlery.core.arrow import to_rows  # noqa: PLC0415 - slow to import

    texts = {"symbol", "source", "timeframe", "reasons", "state", "released"}
    names = [
        name for name in rows.column_names if name not in {"vwap", "trades"} or rows[name].null_count < rows.num_rows
    ]
    keys = [name for name in names if name in {"symbol", "ts", "close", "reasons", "state", "released"}]
    grid = table(*names, left=[name for name in names if name in texts or name == "ts"], folded=["reasons"], keys=keys)
    for row in to_rows(rows.select(names)):
        grid.add_row(*(_cell(name, row[name], day=day) for name in names))
    return grid


def _cell(name: str, value: Any, *, day: bool) -> str:  # noqa: ANN401 - of any column
    if isinstance(value, datetime):
        return moment(value, day=day and name == "ts")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else number(value)
