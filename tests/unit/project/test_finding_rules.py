"""One list of the rules that notice something: that of the code which notices, of its callers and of the page."""

from __future__ import annotations

import ast
import re

from chandlery.quality.findings import RULES
from expectations.limits import GateLimits
from expectations.rules import batch_rules
from tests.documents import ROOT


def test_the_rules_are_those_that_the_code_notices() -> None:
    gate = {
        rule.name
        for is_intraday in (False, True)
        for rule in batch_rules(GateLimits(), intraday=is_intraday)
        if rule.severity == "warning"
    }
    assert gate | _constants() == set(RULES)
    assert len(set(RULES)) == len(RULES)


def test_the_page_explains_every_rule_and_no_other() -> None:
    page = (ROOT / "docs" / "findings.md").read_text()
    table = page.split("## What can be noticed?")[1].split("\n\n")[1]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(RULES)


def _constants() -> set[str]:
    """Return the rules that modules of the library name ``RULE``."""
    return {
        str(node.value.value)
        for path in (ROOT / "chandlery").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if [target.id for target in node.targets if isinstance(target, ast.Name)] == ["RULE"]
    }
