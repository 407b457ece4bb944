"""The named queries of ``sql/queries``, as SQL ready to run. Not here: any query's text.

They are written with the variables of psql, so that a person can run each as it stands:
``psql -v bars=market.bars_1d -v range_ids={7} ... -f sql/queries/reading/tail_starts.sql``. ``:'name'`` is a value;
``:name`` is a piece of SQL, such as the name of a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TypeAlias

from psycopg import sql
from psycopg.abc import AdaptContext

from chandlery.core.own_packages import SQL

#: A value or a piece of SQL; as in psql, ``::`` is a cast, and nothing in a quoted text or in a comment is a variable.
_VARIABLE = re.compile(
    r"""(?<!:):(?:'(?P<value>[a-z_][a-z0-9_]*)'|(?P<piece>[a-z_][a-z0-9_]*))|'(?:[^']|'')*'|"[^"]*"|--[^\n]*"""
)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)

#: A parsed query: text, the variable that follows it ("" after the last), and whether that is a value.
Template: TypeAlias = Sequence[tuple[str, str, bool]]


def query(name: str, /, **variables: object) -> sql.Composed:
    """Return ``sql/queries/<name>.sql`` with its variables filled in.

    Args:
        name: room and query: ``bars/read_bars``.
        variables: a value becomes a literal; what is SQL already (``psycopg.sql``) is taken as it is. A value that is
            not given becomes a named parameter of the statement, ``%(name)s``.

    Raises:
        TypeError: a piece of SQL is not given, or a variable is not one of the query's.
    """
    return _fill_in(name, variables) if variables else _without_variables(name)


@cache
def _without_variables(name: str) -> sql.Composed:
    """Return a query of which every value is a parameter, as one text: hot paths ask for it again and again."""
    return sql.Composed([sql.SQL(_fill_in(name, {}).as_string())])


def _fill_in(name: str, variables: Mapping[str, object]) -> sql.Composed:
    return fill(_read(name), variables, f"sql/queries/{name}.sql")


def fill(template: Template, variables: Mapping[str, object], origin: str) -> sql.Composed:
    """Return a parsed query with its variables filled in; see ``query``.

    Args:
        template: from ``parse``.
        variables: by name.
        origin: where the text stands, for errors.

    Raises:
        TypeError: a piece of SQL is not given, or a variable is not one of the query's.
    """
    unknown = variables.keys() - {variable for _, variable, _ in template}
    if unknown:
        raise TypeError(f"{origin} has no variable {', '.join(sorted(unknown))}")
    # The driver reads a per cent sign as part of a parameter, where there is any.
    has_parameters = any(is_value and variable not in variables for _, variable, is_value in template)
    parts: list[sql.Composable] = []
    for text, variable, is_value in template:
        parts.append(sql.SQL(text.replace("%", "%%") if has_parameters else text))
        if not variable:
            continue
        given = variables.get(variable)
        if isinstance(given, sql.Composable):
            parts.append(given)
        elif not is_value:
            raise TypeError(f"{origin} needs a piece of SQL for {variable}")
        elif variable not in variables:
            parts.append(sql.Placeholder(variable))
        else:
            parts.append(_Escaped(given) if has_parameters else sql.Literal(given))
    return sql.Composed(parts)


def parse(text: str) -> Template:
    """Return a query's text in pieces: text, the variable that follows it, and whether that is a value."""
    text = _COMMENT.sub("", text)
    pieces: list[tuple[str, str, bool]] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        name = match["value"] or match["piece"]
        if name is None:
            continue
        pieces.append((text[end : match.start()], name, match["value"] is not None))
        end = match.end()
    return [*pieces, (text[end:], "", False)]


@lru_cache
def _read(name: str) -> Template:
    return parse((SQL / "queries" / f"{name}.sql").read_text(encoding="utf-8"))


class _Escaped(sql.Literal):
    """A literal within a statement that has parameters."""

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """Return the literal, its per cent signs doubled."""
        return super().as_bytes(context).replace(b"%", b"%%")
