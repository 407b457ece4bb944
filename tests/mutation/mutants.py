"""Lines broken on purpose: by cosmic-ray's operators, by leaving out a call, and by changing a word of SQL."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator

#: Mistakes that a person could make. Cosmic-ray's other replacements break a line so that any test notices (``+`` by
#: ``<<``), or change nothing (``==`` by ``is``).
SWAPS = {
    "ComparisonOperator": [
        *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
        *("Is_IsNot", "IsNot_Is"),
    ],
    "BinaryOperator": [
        *("Add_Sub", "Sub_Add", "Mul_Div", "Mul_FloorDiv", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv"),
        *("BitAnd_BitOr", "BitOr_BitAnd"),
    ],
    "UnaryOperator": ["USub_UAdd", "Delete_USub", "Delete_Not", "Delete_Invert"],
}
OPERATORS = [
    *(f"core/Replace{kind}_{swap}" for kind, swaps in SWAPS.items() for swap in swaps),
    *("core/AddNot", "core/NumberReplacer", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue"),
    *("core/ReplaceAndWithOr", "core/ReplaceOrWithAnd", "core/ReplaceBreakWithContinue"),
    *("core/ReplaceContinueWithBreak", "core/ZeroIterationForLoop"),
]

#: In SQL, a whole word or a sign, and what stands in its place.
SQL = {
    "AND": "OR", "OR": "AND", "NOT ": "",
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "<>": "=", " + ": " - ", " - ": " + ",
    "least": "greatest", "greatest": "least", "min": "max", "max": "min", "true": "false", "false": "true",
    " FOR UPDATE": "", "IS NULL": "IS NOT NULL", "IS NOT NULL": "IS NULL", "DESC": "ASC", "LEFT JOIN": "JOIN",
    "lower": "upper", "upper": "lower", "UNION ALL": "UNION", "DISTINCT ": "", "&&": "@>", "<@": "&&", " 1": " 2",
}  # fmt: skip
_SIGN = r"(?<![<>=!@&-]){}(?![<>=@&])"
_WORD = re.compile(
    "|".join(
        rf"\b{re.escape(word)}\b" if word.strip().isalnum() and word == word.strip() else _SIGN.format(re.escape(word))
        for word in sorted(SQL, key=len, reverse=True)
    )
)
_IS_SQL = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WHERE|JOIN|FOR UPDATE)\b")
#: Arguments with which ``zip`` and dataclasses make sure that there is no mistake of ours.
GUARDS = {"strict", "frozen", "slots", "kw_only"}
#: In which an operator of two operands stands.
_SUMS = {"arith_expr", "term", "expr", "and_expr", "shift_expr", "xor_expr"}


@dataclass(frozen=True)
class Mutant:
    """One broken line.

    Attributes:
        file: relative to the tree.
        line: its number, from 1.
        operator: what was done to it.
        occurrence: which of the places in the file where that can be done.
    """

    file: str
    line: int
    operator: str
    occurrence: int

    @property
    def name(self) -> str:
        """What tells it from all others of the same tree."""
        return f"{self.file}:{self.line} {self.operator} {self.occurrence}"

    def apply(self, text: str) -> str:
        """Return the file's text with the line broken."""
        if self.operator == "sql":
            start, end, replacement = list(_sql_places(text, is_python=self.file.endswith(".py")))[self.occurrence]
            return text[:start] + replacement + text[end:]
        return str(mutate_code(text, _operator(self.operator), self.occurrence))


class OmitCall(Operator):
    """Leaves out a statement that is a call, because of its effect."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:  # noqa: ANN401 - of an untyped library
        """See ``Operator``."""
        if node.type == "atom_expr" and node.parent is not None and node.parent.type == "simple_stmt":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ANN401
        """See ``Operator``."""
        nothing = get_ast("...").get_first_leaf()
        nothing.prefix = node.get_first_leaf().prefix
        return nothing

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """See ``Operator``."""
        return (Example("f(x)\n", "...\n"), Example("if a:\n    f.g(x)\n", "if a:\n    ...\n"))


def find_mutants(tree: Path, file: str) -> Iterator[Mutant]:
    """Yield every mutant of a Python module or of a file of SQL."""
    text = (tree / file).read_text()
    is_python = file.endswith(".py")
    for number, (start, _, _) in enumerate(_sql_places(text, is_python=is_python)):
        yield Mutant(file, text.count("\n", 0, start) + 1, "sql", number)
    if not is_python:
        return
    module = get_ast(text)
    ignored = list(_ignored(ast.parse(text)))
    for name in [*OPERATORS, "omit call"]:
        operator = _operator(name)
        positions = ((node, start) for node in ast_nodes(module) for start, _ in operator.mutation_positions(node))
        for number, (node, start) in enumerate(positions):
            is_star = "BinaryOperator" in name and node.parent.type not in _SUMS  # of ``*args``, or alone
            if not is_star and not any(first <= start < last for first, last in ignored):
                yield Mutant(file, start[0], name, number)


def _operator(name: str) -> Operator:
    if name == "omit call":
        return OmitCall()
    operator: Operator = get_operator(name)()
    return operator


def _ignored(module: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield what changes no answer when it is broken: annotations, and arguments by which code only guards itself."""
    for node in ast.walk(module):
        ignored = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            ignored.append(node.value)
        if isinstance(node, ast.keyword) and node.arg in GUARDS:
            ignored.append(node.value)
        for each in ignored:
            if isinstance(each, ast.expr):
                yield (each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0)


def _sql_places(text: str, *, is_python: bool) -> Iterator[tuple[int, int, str]]:
    """Yield where a word of SQL can be changed: start, end, and what to put there."""
    for start, end in _strings_of_sql(text) if is_python else _without_comments(text):
        for match in _WORD.finditer(text, start, end):
            yield match.start(), match.end(), SQL[match[0]]


def _without_comments(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    for line in text.splitlines(keepends=True):
        code = line.partition("--")[0]
        yield position, position + len(code)
        position += len(line)


def _strings_of_sql(text: str) -> Iterator[tuple[int, int]]:
    for node in ast_nodes(get_ast(text)):
        is_docstring = node.parent is not None and node.parent.type == "simple_stmt"
        if node.type == "string" and not is_docstring and _IS_SQL.search(node.value):
            yield _offset(text, node.start_pos), _offset(text, node.end_pos)


def _offset(text: str, position: tuple[int, int]) -> int:
    line, column = position
    return sum(len(each) for each in text.splitlines(keepends=True)[: line - 1]) + column
