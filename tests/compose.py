"""``deploy/compose.yaml`` as Compose reads it: with the variables of an ``.env`` put in.

Not here: what should be in it (``unit/test_deploy``), and whether that runs (``integration/test_deploy``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"

#: ``$$``, ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``: all the forms that the file uses.
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<form>:[-?])(?P<rest>[^}]*))?\})")


def load(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with the variables put in; raise ``ValueError`` with its message where one has to be given."""
    result: dict[str, Any] = _interpolate(load_raw(), environment)
    return result


def load_raw() -> dict[str, Any]:
    """Return the file as it is written."""
    result: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return result


def find_variables(text: str) -> dict[str, set[str]]:
    """Return the variables in ``text``, each with the forms (``:-``, ``:?``, none) in which it occurs."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer(text):
        if match["name"]:
            found.setdefault(match["name"], set()).add(match["form"] or "")
    return found


def _interpolate(value: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - whatever YAML holds
    if isinstance(value, dict):
        return {key: _interpolate(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        given = environment.get(match["name"], "")
        if match["form"] == ":?" and not given:
            raise ValueError(f"{match['name']}: {match['rest']}")
        return given or (match["rest"] if match["form"] == ":-" else "")

    return _VARIABLE.sub(replace, value)
