"""The options of kind ``files``, and the layout that comes of them: a preset or a file, and what is said beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from chandlery.config.yaml_document import Document
from chandlery.errors import UsageError
from chandlery.providers.files.layout import Layout, MappingFile
from chandlery.providers.files.presets import PRESETS, preset

_YAML = {".yaml", ".yml"}


class FilesOptions(Layout):
    """The options of kind ``files``: a layout, and where the files are.

    Attributes:
        path: the folder that holds ``bars_1m`` and ``bars_1d``, or one file.
        mapping: the name of a preset, or a YAML file that says how the files are written. What is said beside it counts
            more.
        asked: by canonical symbol, the name that a person asked for: of several files of an instrument it is read that
            is called so.
    """

    path: Path | None = None
    mapping: str | None = None
    asked: Mapping[str, str] = Field(default_factory=dict)


def layout_of(options: FilesOptions) -> Layout:
    """Return how the files are written, by the mapping and by the options themselves.

    Raises:
        UsageError: there is no such preset and no such file.
        ConfigurationError: the mapping file is wrong; with file, line and key.
    """
    own = {name: getattr(options, name) for name in options.model_fields_set & Layout.model_fields.keys()}
    if options.mapping is None:
        return Layout.model_construct(**own)
    base = _mapping(options.mapping)
    both = {name: getattr(base, name) for name in base.model_fields_set} | own
    if "ignore_columns" in own:
        both["ignore_columns"] = (*base.ignore_columns, *options.ignore_columns)
    return Layout.model_construct(**both)


def names_a_pattern(options: FilesOptions) -> bool:
    """Whether a person, and not a preset, said how the files are named."""
    return options.pattern is not None or (options.mapping is not None and options.mapping not in PRESETS)


def _mapping(given: str) -> Layout:
    if given in PRESETS:
        return Layout.model_validate(preset(given))
    path = Path(given).expanduser()
    if path.suffix.lower() in _YAML or (path.exists() and not path.is_dir()):
        if not path.exists():
            raise UsageError(f"mapping={given!r}: there is no such file; the known layouts are {', '.join(PRESETS)}")
        return Document.read(path).validate(MappingFile)
    return Layout.model_validate(preset(given))
