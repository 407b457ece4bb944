"""The options of ``ingest`` that say how a person's files are written.

Not here: what they mean (``providers.files``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Folder: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of bars_1d/ and bars_1m/, or one file; implies --provider files.")
]
Layout: TypeAlias = Annotated[
    str | None, typer.Option("--mapping", help="Files: a known layout by name, such as kraken-ohlcvt, or a YAML file.")
]
Pattern: TypeAlias = Annotated[str | None, typer.Option(help='Files: how they are named, as in "{symbol}-1m-*".')]
Columns: TypeAlias = Annotated[str | None, typer.Option(help="Files: what each column is: time,open,...,ignore.")]
Zone: TypeAlias = Annotated[str | None, typer.Option(help="Files: IANA zone of times without one.")]
EpochUnit: TypeAlias = Annotated[str | None, typer.Option(help="Files: s, ms, us, ns or excel, of numeric times.")]
DateFormat: TypeAlias = Annotated[str | None, typer.Option(help='Files: how times are written, as in "%d/%m/%Y".')]
Decimal: TypeAlias = Annotated[str | None, typer.Option(help='Files: the decimal separator, "." or ",".')]
Delimiter: TypeAlias = Annotated[str | None, typer.Option(help='Files: what stands between cells, as in ";" or "tab".')]
Encoding: TypeAlias = Annotated[str | None, typer.Option(help="Files: of the text, as in utf-16 or cp1252.")]
Label: TypeAlias = Annotated[str | None, typer.Option(help="Files: whether a bar's time is its start or its end.")]
PriceScale: TypeAlias = Annotated[float | None, typer.Option(help="Files: what prices are multiplied by, as in 1e-9.")]
IgnoreColumn: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Files: a column to drop. May be repeated; * drops all that are unknown.")
]


#: Names of delimiters that a shell makes hard to write.
_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


def file_options(
    *, path: Path | None, mapping: str | None, columns: str | None, delimiter: str | None, **others: object
) -> dict[str, object]:
    """Return the options of the provider ``files`` that were given."""
    options = others | {
        "path": path and str(path.expanduser().absolute()),
        "mapping": mapping and _absolute_file(mapping),
        "delimiter": _DELIMITERS.get((delimiter or "").lower(), delimiter),
        "columns": columns and [column.strip() for column in columns.split(",")],
    }
    return {name: value for name, value in options.items() if value is not None and value != []}


def _absolute_file(mapping: str) -> str:
    """Return a mapping's file as an absolute path, because another process may read it; a name stays as it is."""
    file = Path(mapping).expanduser()
    is_file = file.suffix in {".yaml", ".yml"} or (file.exists() and not file.is_dir())
    return str(file.absolute()) if is_file else mapping
