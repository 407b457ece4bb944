"""Named queries: what is a variable of psql in a query's text, and what becomes of it."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from chandlery.database.named_queries import fill, parse, query

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
#: SQL in which nothing is a variable: casts, texts and names in quotes, comments at the end of a line.
PLAIN = st.lists(
    st.sampled_from(
        ["a % b", "x::int4[]", "':name'", "':''name'''", '":name"', "'it''s'", "x -- it's :name\n", "(", ")"]
    )
    | st.text(string.ascii_letters + " \n%=,.0123456789", max_size=5),
    max_size=4,
).map(" ".join)
VALUES = st.integers(-9, 9) | st.text(string.printable, max_size=5).filter(lambda text: "\x00" not in text)


def as_sent(statement: sql.Composed, values: dict[str, object] | None = None) -> str:
    """Return the statement as the driver sends it, with ``$1`` for its first parameter."""
    text = statement.as_string()
    if values is None:
        return text
    parsed = PostgresQuery(Transformer())
    parsed.convert(text.encode(), values)
    return parsed.query.decode()


def filled(text: str, **variables: object) -> sql.Composed:
    return fill(parse(text), variables, "a query")


@given(st.lists(st.tuples(PLAIN, NAMES, st.booleans()), max_size=4), PLAIN)
def test_each_variable_is_found_and_nothing_else(parts: list[tuple[str, str, bool]], end: str) -> None:
    text = "".join(f"{plain} :'{name}' " if is_value else f"{plain} :{name} " for plain, name, is_value in parts) + end
    assert [piece[1:] for piece in parse(text)] == [*((name, is_value) for _, name, is_value in parts), ("", False)]


@given(st.lists(st.tuples(PLAIN, NAMES), max_size=4), PLAIN, st.data())
def test_a_value_stands_in_the_statement_or_is_its_parameter(
    parts: list[tuple[str, str]], end: str, data: st.DataObject
) -> None:
    text = "".join(f"{plain} :'{name}' " for plain, name in parts) + end
    names = sorted({name for _, name in parts})
    given_values = {name: data.draw(VALUES) for name in names if data.draw(st.booleans(), label=name)}
    open_values: dict[str, object] = {name: 0 for name in names if name not in given_values}
    sent = as_sent(filled(text, **given_values), open_values or None)
    numbers: dict[str, str] = {}  # of the parameters, in the order in which they appear
    expected = ""
    for plain, name in parts:
        if name in given_values:
            expected += f"{plain} {sql.Literal(given_values[name]).as_string()} "
        else:
            expected += f"{plain} {numbers.setdefault(name, f'${len(numbers) + 1}')} "
    assert sent == expected + end


def test_a_piece_of_sql_is_taken_as_it_is() -> None:
    statement = filled("SELECT :columns FROM :bars", columns=sql.SQL("a, b"), bars=sql.Identifier("market", "bars_1m"))
    assert as_sent(statement) == 'SELECT a, b FROM "market"."bars_1m"'


def test_what_is_sql_already_may_stand_for_a_value() -> None:
    assert as_sent(filled("SELECT :'when'", when=sql.SQL("now()"))) == "SELECT now()"


def test_a_null_is_a_value_and_not_a_parameter() -> None:
    assert as_sent(filled("SELECT :'only'::text[]", only=None)) == "SELECT NULL::text[]"


def test_lines_of_comment_stay_at_home_whatever_they_say() -> None:
    text = "-- It's for :nobody, 100 % sure.\n  -- :'really'\nSELECT 1 -- here: 5 %\n"
    assert as_sent(filled(text)) == "SELECT 1 -- here: 5 %\n"


def test_a_piece_of_sql_that_is_not_given_is_an_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"^a query needs a piece of SQL for bars$"):
        filled("SELECT * FROM :bars")


def test_what_could_be_a_value_is_no_piece_of_sql() -> None:
    with pytest.raises(TypeError, match="needs a piece of SQL for bars"):
        filled("SELECT * FROM :bars", bars="market.bars_1m; DROP TABLE market.bars_1m")


def test_a_variable_that_the_query_does_not_have_is_an_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"^a query has no variable limit, offset$"):
        filled("SELECT :'first'", first=1, offset=2, limit=3)


def test_an_error_names_the_file() -> None:
    with pytest.raises(TypeError, match=r"^sql/queries/bars/read_bars\.sql has no variable nothing$"):
        query("bars/read_bars", nothing=1)


def test_a_query_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"bars/nothing\.sql"):
        query("bars/nothing")
