"""A YAML file that remembers its lines, and models whose errors point at them.

Only what a configuration needs of YAML: text, whole and decimal numbers, ``true`` and ``false``, ``null``, lists and
mappings. Everything else is text, so the tickers ``ON`` and ``TRUE`` stay tickers and ``0700`` keeps its zero.
Not here: what any file means (``universe``, ``providers``, ``lifecycle``).
"""

from __future__ import annotations

import os
import re
import reprlib
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from chandlery.config.yaml_loader import Loader
from chandlery.core.text import printable
from chandlery.errors import ConfigurationError
from chandlery.redaction.text import holds_credentials

_MOST_BYTES = 64 << 20
_CREDENTIALS = "holds a password or a key, which do not belong into a file; name an environment variable instead"
#: Where a value stands: keys and list positions from the top, as pydantic reports them.
Location: TypeAlias = tuple[int | str, ...]


class Section(BaseModel):
    """A mapping of a configuration file. It is immutable, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if isinstance(data, Mapping):
            allowed = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in allowed and key not in cls.model_fields:
                    raise problem_at((key,), f"is not a setting here; allowed: {list_choices(allowed, key)}")
        return data


_S = TypeVar("_S", bound=Section)


class Root(Section):
    """The whole of a configuration file. It remembers the file, so that later errors can point there too."""

    _source: Document | None = PrivateAttr(None)

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's signature
        """Keep the document, which ``Document.validate`` hands in as the context."""
        self._source = context if isinstance(context, Document) else None

    @property
    def path(self) -> Path | None:
        """The file it was read from; None where it was made in code."""
        return self._source.path if self._source else None

    def error(self, at: Location, text: str) -> ConfigurationError:
        """Return an error about the value at ``at`` that names file, line and key path as far as they are known."""
        return self._source.error(at, text) if self._source else ConfigurationError(f"{key_path(at)}: {text}")


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the line of each value.

    Attributes:
        path: the file.
        data: its content: mappings, lists, text, numbers, booleans, None.
    """

    path: Path
    data: Any = field(compare=False)
    _root: yaml.Node = field(compare=False, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``path``; raise ``ConfigurationError`` where it is absent, empty, not YAML or repeats a key.

        Neither nesting nor aliases can make that take long.
        """
        text = read_text(path)
        try:
            loader = Loader(text)
        except yaml.reader.ReaderError as error:
            line, character = text.count("\n", 0, error.position) + 1, ord(text[error.position])
            raise ConfigurationError(
                f"{short_path(path)}:{line}: not valid YAML: the control character U+{character:04X}"
            ) from None
        try:
            root = loader.get_single_node()
            if root is None:
                raise ConfigurationError(f"{short_path(path)}: the file is empty")
            document = cls(path, None, root)
            document._refuse_at_sight(root, (), set())
            return cls(path, loader.construct_document(root), root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            problem = error.problem or error.context
            raise ConfigurationError(f"{short_path(path)}:{line}: not valid YAML: {problem}") from None
        finally:
            loader.dispose()

    def validate(self, model: type[_S], data: Any = None, *, at: Location = ()) -> _S:  # noqa: ANN401 - YAML
        """Return the whole file, or its part ``data`` which stands at ``at``, as ``model``.

        Raises:
            ConfigurationError: with one line for each thing that is wrong.
        """
        try:
            return model.model_validate(self.data if data is None else data, context=self)
        except ValidationError as error:
            problems = sorted((self._place(at + loc), text) for loc, text in list_problems(error))
            raise ConfigurationError("\n".join(self._text(*place, text) for place, text in problems)) from None

    def error(self, at: Location, text: str) -> ConfigurationError:
        """Return an error about the value at ``at``: ``config/universe.yaml:14: instruments[2].calendar: text``."""
        return ConfigurationError(self._text(*self._place(at), text))

    def _text(self, line: int, place: str, text: str) -> str:
        return f"{short_path(self.path)}:{line}: {printable(f'{place}: ' if place else '')}{printable(text)}"

    def _place(self, at: Location) -> tuple[int, str]:
        """Return line and key path of the value at ``at``, or of the nearest thing around it."""
        node, line, known = self._root, self._root.start_mark.line, 0
        for part in at:
            child = _child(node, part)
            if child is None:
                break
            key, node = child
            line = node.start_mark.line if isinstance(node, yaml.ScalarNode) else key.start_mark.line
            known += 1
        # A key that is missing has no line of its own, but its name belongs into the path.
        absent = known == len(at) - 1 and isinstance(node, yaml.MappingNode) and at[-1] != "[key]"
        return line + 1, key_path(at if absent else at[:known])

    def _refuse_at_sight(self, node: yaml.Node, at: Location, seen: set[int]) -> None:
        if id(node) in seen:  # an alias (*name) of a node that was looked at already
            return
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode) and holds_credentials(node.value):  # which are not repeated here
            raise ConfigurationError(self._text(node.start_mark.line + 1, key_path(at), _CREDENTIALS))
        if isinstance(node, yaml.MappingNode):
            lines: dict[object, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode):
                    if key.value in lines:
                        text = f"given twice, first on line {lines[key.value]}"
                        raise ConfigurationError(self._text(line, key_path((*at, key.value)), text))
                    lines[key.value] = line
                self._refuse_at_sight(value, (*at, str(key.value)), seen)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._refuse_at_sight(item, (*at, index), seen)


def list_problems(error: ValidationError) -> Iterable[tuple[Location, str]]:
    """Yield the location and a description, in our words, of each thing that pydantic refused."""
    for detail in error.errors(include_url=False):
        yield detail["loc"] + tuple(detail.get("ctx", {}).get("at", ())), _explain(detail)


def problem_at(at: Location, text: str) -> PydanticCustomError:
    """Return an error for a validator to raise about the value at ``at``, a location within what it validates."""
    return PydanticCustomError("configuration", "{text}", {"text": text, "at": at})


def list_choices(allowed: Iterable[str], given: object) -> str:
    """Return the allowed names as a text, and the name that was probably meant: ``1d, 1m; did you mean '1d'?``."""
    names = list(allowed)
    near = get_close_matches(str(given), names, n=1)
    return ", ".join(names) + (f"; did you mean {near[0]!r}?" if near else "")


def key_path(at: Location) -> str:
    """Return ``instruments[2].calendar`` for ``("instruments", 2, "calendar")``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).removeprefix(".")


def read_text(path: Path) -> str:
    """Return a configuration file's text; raise ``ConfigurationError`` where it is no file of UTF-8 text."""
    try:
        # Whoever opens a pipe would wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(f"{short_path(path)}: is not a file, but a pipe, a socket or a device")
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{short_path(path)}: cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{short_path(path)}: has more than {_MOST_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{short_path(path)}:{line}: is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from None


def short_path(path: Path) -> str:
    """Return ``path`` as a person would type it: relative to the working directory if it lies below it."""
    return printable(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _explain(detail: ErrorDetails) -> str:
    context, given = detail.get("ctx", {}), reprlib.repr(detail["input"])
    match detail["type"]:
        case "configuration":
            text = str(context["text"])
        case "value_error":
            text = str(context["error"])
        case "missing":
            text = "is missing"
        case "string_type":
            text = f"{given} is not text; put it in quotes"
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            text = f"{given} is not known; allowed: {list_choices(allowed, detail['input'])}"
        case "model_type" | "dict_type" | "model_attributes_type":
            text = f"{given} is not a mapping of settings"
        case _:
            text = f"{given} is refused: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return text
