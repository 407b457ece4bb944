"""The named queries of ``sql/queries``, as SQL ready to run. Not here: any query's text.

They are written with the variables of psql, so that a person can run each as it stands:
``psql -v bars=market.bars_1d -v instrument_id=7 ... -f sql/queries/reading/nth_last_bar.sql``. ``:'name'`` is a value;
``:name`` is a piece of SQL, such as the name of a table.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

from psycopg import sql

#: A value or a piece of SQL; ``::`` is a cast.
_VARIABLE = re.compile(r"(?<![:\w]):(?:'(?P<value>[a-z_]+)'|(?P<piece>[a-z_]+))")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def query(name: str, **variables: object) -> sql.Composed:
    """Return ``sql/queries/<name>.sql`` with its variables filled in.

    Args:
        name: room and query: ``bars/read_bars``.
        variables: a value becomes a literal; what is SQL already (``psycopg.sql``) is taken as it is. A value that is
            not given becomes a named parameter of the statement, ``%(name)s``.

    Raises:
        TypeError: a piece of SQL is not given, or a variable is not one of the query's.
    """
    template = _template(name)
    unknown = variables.keys() - {variable for _, variable, _ in template}
    if unknown:
        raise TypeError(f"sql/queries/{name}.sql has no variable {', '.join(sorted(unknown))}")
    bound = all(variable in variables for _, variable, is_value in template if is_value)
    parts: list[sql.Composable] = []
    for text, variable, is_value in template:
        # The driver reads a per cent sign as part of a parameter, where there is any.
        parts.append(sql.SQL(text if bound else text.replace("%", "%%")))
        if variable:
            parts.append(_fill(name, variable, variables, is_value=is_value))
    return sql.Composed(parts)


def _fill(name: str, variable: str, variables: dict[str, object], *, is_value: bool) -> sql.Composable:
    given = variables.get(variable)
    if isinstance(given, sql.Composable):
        return given
    if not is_value:
        raise TypeError(f"sql/queries/{name}.sql needs a piece of SQL for {variable}")
    return sql.Literal(given) if variable in variables else sql.Placeholder(variable)


@lru_cache
def _template(name: str) -> list[tuple[str, str, bool]]:
    """Return the query's text in pieces: text, the variable that follows it, and whether that is a value."""
    text = files("sql").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    text = _COMMENT.sub("", text)
    pieces: list[tuple[str, str, bool]] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        value = found["value"]
        pieces.append((text[end : found.start()], value or found["piece"], value is not None))
        end = found.end()
    return [*pieces, (text[end:], "", False)]
