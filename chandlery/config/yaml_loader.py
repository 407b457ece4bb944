"""Reads the YAML that a configuration needs, in a time that grows with the file and with nothing else.

Not here: what is done with the lines of each value (``yaml_document``).
"""

from __future__ import annotations

import re
from typing import Any

import yaml

#: How deep lists and mappings may be nested; ours need five.
_DEEPEST = 64
#: How many values a file may hold once its aliases are replaced by what they stand for.
_MOST_VALUES = 2_000_000


class Loader(yaml.SafeLoader):
    """Reads plain scalars as YAML 1.2 does, except that a date stays text until a model asks for one.

    Errors are ``yaml.MarkedYAMLError``: they know the line.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[yaml.Node, int] = {}
        self._open: set[str] = set()

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """See ``yaml.composer``: refuse what is nested too deep, refers to itself, or would grow without end."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark, anchor = event.start_mark, event.anchor
        is_alias = isinstance(event, yaml.AliasEvent)
        if is_alias and anchor in self._open:
            raise yaml.composer.ComposerError(None, None, f"*{anchor} refers to what it is a part of", mark)
        if self._depth >= _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"nested more than {_DEEPEST} deep", mark)
        before = self._values
        self._depth += 1
        if anchor and not is_alias:
            self._open.add(anchor)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._open.discard(anchor or "")
        self._depth -= 1
        self._values += self._sizes.get(node, 1) if is_alias and node else 1
        if self._values > _MOST_VALUES:
            raise yaml.composer.ComposerError(None, None, f"aliases make more than {_MOST_VALUES:,} values of it", mark)
        if anchor and node and not is_alias:
            self._sizes[node] = self._values - before
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """See ``yaml.constructor``: let every error know its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError, TypeError, OverflowError, KeyError) as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-+0123456789")),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)
