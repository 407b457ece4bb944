"""The version of the rules is another wherever they are other, and only there."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from expectations.limits import GateLimits
from expectations.rules import ROW_RULES, rules_version

OTHER = {
    "max_rejected_share": 0.02,
    "max_rejected_rows": 4,
    "jump_threshold": 11.0,
    "jump_floor": 0.36,
    "jump_ceiling": 2.4,
    "zero_volume_run_intraday": 61,
    "zero_volume_run_daily": 6,
}


def test_equal_limits_make_the_same_version() -> None:
    assert rules_version(GateLimits()) == rules_version(GateLimits())


def test_every_limit_makes_another_version() -> None:
    assert set(OTHER) == {field.name for field in fields(GateLimits)}
    versions = {rules_version(replace(GateLimits(), **{name: value})) for name, value in OTHER.items()}
    assert len(versions | {rules_version(GateLimits())}) == len(OTHER) + 1


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        ({"maximum": 1.0}, True),
        ({"severity": "warning"}, True),
        ({"name": "renamed"}, True),
        ({"says": "other"}, False),
    ],
)
def test_another_rule_makes_another_version_but_other_words_do_not(change: dict[str, object], is_other: bool) -> None:
    changed = (replace(ROW_RULES[0], **change), *ROW_RULES[1:])  # type: ignore[arg-type]
    assert (rules_version(GateLimits(), changed) != rules_version(GateLimits())) == is_other
