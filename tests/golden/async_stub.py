"""``asynchronous.pyi``: the calls of ``AsyncDataAPI`` with the types of ``DataAPI``, for type checkers and editors."""

from __future__ import annotations

import ast
import copy
import inspect
import subprocess
import sys
from pathlib import Path

from chandlery.api import asynchronous, reads
from chandlery.api.data import DataAPI

STUB = Path(asynchronous.__file__).with_suffix(".pyi")
_HEAD = "# Made from DataAPI by `python -m tests.golden.update`.\n# ruff: noqa: ANN401 - the type is by ``output``\n"


def stub() -> str:
    """Return what the stub has to be."""
    imports: dict[str, str] = {}
    calls: list[ast.AsyncFunctionDef] = []
    for part in (*sorted(DataAPI.__bases__, key=lambda each: each.__name__), DataAPI):
        tree = ast.parse(Path(inspect.getfile(part)).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports |= {each.asname or each.name: _import(node, each) for each in node.names}
        own = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        own += [
            each.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for each in node.targets
            if isinstance(each, ast.Name)
        ]
        imports |= {name: f"from {part.__module__} import {name}" for name in own}
        (owner,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == part.__name__)
        calls += _calls(owner)
    imports |= {name: f"from {reads.__name__} import {name}" for name in ("Moment", "Output")}
    imports["InThreads"] = "from chandlery.api.in_threads import InThreads"
    body = "\n".join(ast.unparse(call) for call in calls)
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)} | {"InThreads"}
    lines = sorted({line for name, line in imports.items() if name in used})
    text = "\n".join([*lines, "class AsyncDataAPI(InThreads):", *(f"    {line}" for line in body.splitlines())])
    for arguments in (["check", "--select", "I", "--fix-only", "-q"], ["format", "-q"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return _HEAD + text


def _calls(owner: ast.ClassDef) -> list[ast.AsyncFunctionDef]:
    """Return the public methods without their bodies; of one with overloads, these alone."""
    functions = [each for each in owner.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
    overloaded = {each.name for each in functions if _is_overload(each)}
    found = []
    for each in functions:
        if each.name in overloaded and not _is_overload(each):
            continue
        arguments = copy.deepcopy(each.args)
        arguments.defaults = [_default(value) for value in arguments.defaults]
        arguments.kw_defaults = [None if value is None else _default(value) for value in arguments.kw_defaults]
        decorators = [ast.Name("overload")] if _is_overload(each) else []
        body: list[ast.stmt] = [ast.Expr(ast.Constant(...))]
        call = ast.AsyncFunctionDef(each.name, arguments, body, decorators, each.returns)
        found.append(ast.fix_missing_locations(call))
    return found


def _is_overload(function: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in function.decorator_list)


def _default(value: ast.expr) -> ast.expr:
    return value if isinstance(value, ast.Constant) else ast.Constant(...)


def _import(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    name = alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"
    return f"import {name}" if isinstance(node, ast.Import) else f"from {node.module} import {name}"
