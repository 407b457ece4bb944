"""What is acceptable: every rule of the gate, stated once as bounds on a column of evidence.

A rule holds where ``minimum <= value <= maximum``. The evidence of a row is measured in ``evidence``, that of a
partition in ``measures``; ``suites`` states the rules to Great Expectations, which decides.
Not here: how anything is measured, and what follows from a broken rule (``gate``).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from chandlery.ingest.gate import Severity
from expectations.limits import GateLimits

_LARGEST = sys.float_info.max
#: To be counted up by whoever changes how a column is measured (``evidence``, ``measures``), though no bound on it.
_MEASURED = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """Bounds on a column of evidence.

    Attributes:
        name: in snake case; also the reason given for a rejected row.
        says: the rule in words.
        column: the column of evidence.
        minimum: smallest acceptable value, or None.
        maximum: largest acceptable value, or None.
        above_minimum: whether ``minimum`` itself is unacceptable.
        severity: whether a broken rule rejects.
    """

    name: str
    says: str
    column: str
    minimum: float | None = None
    maximum: float | None = None
    above_minimum: bool = False
    severity: Severity = "critical"


#: The rules for each row, in the order in which checks and reasons are listed. A comparison is made between values
#: that are there: a null price breaks ``prices_not_null`` and a NaN breaks ``prices_finite``, and neither is compared.
ROW_RULES = (
    Rule("prices_not_null", "open, high, low and close are there", "null_prices", maximum=0),
    Rule("prices_finite", "no price is NaN or infinite", "unbounded_prices", maximum=0),
    Rule(
        "prices_positive",
        "every price is above 0, where the asset class has no others",
        "lowest_price",
        minimum=0,
        above_minimum=True,
    ),
    Rule("low_is_lowest", "low <= min(open, close), but for rounding", "low_above_body", maximum=0),
    Rule("high_is_highest", "max(open, close) <= high, but for rounding", "body_above_high", maximum=0),
    Rule("volume_not_negative", "volume, where given, is 0 or more", "volume", minimum=0),
    Rule("volume_finite", "volume is not NaN or infinite", "volume", minimum=-_LARGEST, maximum=_LARGEST),
    Rule("vwap_valid", "vwap, where given, is finite and 0 or more", "vwap", minimum=0, maximum=_LARGEST),
    Rule("trades_not_negative", "trades, where given, is 0 or more", "trades", minimum=0),
    Rule("on_grid", "the bar starts on its timeframe's UTC grid", "us_off_grid", maximum=0),
    Rule("inside_window", "the bar starts in the requested range", "us_outside_window", maximum=0),
    Rule("unique_key", "no row of other values has its symbol and ts", "key_clash", maximum=0),
    Rule("not_in_future", "the bar does not start after now", "us_after_now", maximum=0),
    Rule("on_session", "a bar of a day is labelled with a session of its calendar", "off_session", maximum=0),
    Rule("while_listed", "the instrument was listed at the time", "us_unlisted", maximum=0),
)


def batch_rules(limits: GateLimits, *, intraday: bool) -> tuple[Rule, ...]:
    """Return the rules for each partition, in order: of bars shorter than a day (``intraday``), or of the others."""
    run = limits.zero_volume_run_intraday if intraday else limits.zero_volume_run_daily
    return (
        Rule("rejected_share", "few rows are bad", "rejected_share", maximum=limits.max_rejected_share),
        Rule("identical_copies", "no row comes twice", "identical_copies", maximum=0, severity="warning"),
        Rule("extra_sessions", "no bar of a day without a session", "extra_sessions", maximum=0, severity="warning"),
        Rule("session_count", "every closed session has a bar", "missing_sessions", maximum=0, severity="warning"),
        Rule("price_jump", "no close far from those before it", "price_jumps", maximum=0, severity="warning"),
        Rule(
            "zero_volume_run",
            f"fewer than {run} bars in a row without volume",
            "zero_volume_run",
            maximum=run - 1,
            severity="warning",
        ),
    )


def rules_version(limits: GateLimits, row_rules: Sequence[Rule] = ROW_RULES) -> str:
    """Return the version of all rules together: another wherever a rule, a limit or a way of measuring is another."""
    rules = (*row_rules, *batch_rules(limits, intraday=True), *batch_rules(limits, intraday=False))
    bounds = [(each.name, each.column, each.minimum, each.maximum, each.above_minimum, each.severity) for each in rules]
    stated = f"{_MEASURED} {limits} {bounds}"
    return f"{_MEASURED}-{hashlib.sha256(stated.encode()).hexdigest()[:12]}"
