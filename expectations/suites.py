"""The rules as Great Expectations suites, and the one place that runs them.

A clean batch costs one run over its rows. The rows are first screened with column minima and maxima, which is several
times cheaper than a verdict per row; only a rule that fails there is then asked which rows broke it. Great
Expectations takes seconds to import, so that happens on first use.
Not here: the rules (``rules``) and their evidence (``evidence``, ``measures``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Int64s
from chandlery.errors import GateError
from expectations.limits import GateLimits
from expectations.rules import ROW_RULES, Rule, batch_rules

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

#: Columns of equal length, int64 or float64 without NaN.
Evidence: TypeAlias = Mapping[str, npt.NDArray[Any]]
#: Puts a rule as expectations.
Statement: TypeAlias = "Callable[[Rule], Iterator[Expectation]]"

_YES_OR_NO = {"result_format": "BOOLEAN_ONLY"}
# Great Expectations cuts its lists of unexpected values at 200, its list of their positions not at all.
_POSITIONS = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


class Suites:
    """The suites of one gate, built once.

    Args:
        limits: the numbers in the rules for partitions.
    """

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._lock = RLock()  # Great Expectations does not say that it is safe to use from several threads
        self._suites: dict[tuple[str, tuple[Rule, ...]], ExpectationSuite] = {}

    def screen_rows(self, evidence: Evidence) -> list[Rule]:
        """Return the rules for rows that some row of ``evidence`` (at least one row) breaks."""
        results = self._run("screen", ROW_RULES, _extremes, evidence, _YES_OR_NO)
        broken = {_rule_of(result) for result in results if not result.success}
        return [rule for rule in ROW_RULES if rule.name in broken]

    def find_rows(self, rules: Sequence[Rule], evidence: Evidence) -> dict[str, Int64s]:
        """Return, for each of ``rules``, the positions of the rows that break it, ascending."""
        needed = {rule.column: evidence[rule.column] for rule in rules}
        return _positions(self._run("rows", tuple(rules), _each_value, needed, _POSITIONS))

    def find_partitions(self, evidence: Evidence, *, intraday: bool) -> dict[str, Int64s]:
        """Return, for each rule about partitions, the positions of those that break it, ascending."""
        rules = batch_rules(self._limits, intraday=intraday)
        return _positions(self._run("partitions", rules, _each_value, evidence, _POSITIONS))

    def _run(
        self,
        name: str,
        rules: tuple[Rule, ...],
        statement: Statement,
        evidence: Evidence,
        result_format: dict[str, Any],
    ) -> Sequence[ExpectationValidationResult]:
        """Validate ``evidence`` with the suite of ``rules``, each put as ``statement`` puts it."""
        with self._lock:
            batches = self._batches  # imports Great Expectations, so it comes before everything that needs it
            import pandas as pd  # noqa: PLC0415 - as heavy as the suites that need it
            from great_expectations import ExpectationSuite  # noqa: PLC0415
            from great_expectations.validator.v1_validator import Validator  # noqa: PLC0415

            suite = self._suites.get((name, rules))
            if suite is None:
                suite = ExpectationSuite(name=name, expectations=[each for rule in rules for each in statement(rule)])
                self._suites[name, rules] = suite
            # What Batch.validate does, without loading the batch twice: loading hashes every column.
            # It keeps the last frame it saw, which after an audit is the small one of the partitions.
            frame = pd.DataFrame(dict(evidence), copy=False)
            validator = Validator(batches, batch_parameters={"dataframe": frame}, result_format=result_format)
            results = validator.validate_expectation_suite(suite).results
        for result in results:
            if _raised(result.exception_info):
                raise GateError(f"rule {_rule_of(result)} could not be checked: {result.exception_info}")
        return results

    @cached_property
    def _batches(self) -> BatchDefinition[Any]:
        with warnings.catch_warnings():
            # Great Expectations imports two modules of the standard library that Python 3.11 deprecated.
            warnings.filterwarnings("ignore", r"module 'sre_(constants|parse)' is deprecated", DeprecationWarning)
            import great_expectations as gx  # noqa: PLC0415 - takes seconds to import
        from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        asset = context.data_sources.add_pandas("evidence").add_dataframe_asset("evidence")
        return asset.add_batch_definition_whole_dataframe("whole")


def _extremes(rule: Rule) -> Iterator[Expectation]:
    """State ``rule`` about the smallest and the largest value of its column."""
    from great_expectations.expectations import (  # noqa: PLC0415
        ExpectColumnMaxToBeBetween,
        ExpectColumnMinToBeBetween,
    )

    if rule.minimum is not None:
        yield ExpectColumnMinToBeBetween(
            column=rule.column,
            min_value=rule.minimum,
            strict_min=rule.above_minimum,
            description=rule.says,
            meta={"rule": rule.name},
        )
    if rule.maximum is not None:
        yield ExpectColumnMaxToBeBetween(
            column=rule.column, max_value=rule.maximum, description=rule.says, meta={"rule": rule.name}
        )


def _each_value(rule: Rule) -> Iterator[Expectation]:
    """State ``rule`` about every value of its column."""
    from great_expectations.expectations import ExpectColumnValuesToBeBetween  # noqa: PLC0415

    yield ExpectColumnValuesToBeBetween(
        column=rule.column,
        min_value=rule.minimum,
        max_value=rule.maximum,
        strict_min=rule.above_minimum,
        description=rule.says,
        meta={"rule": rule.name},
    )


def _positions(results: Sequence[ExpectationValidationResult]) -> dict[str, Int64s]:
    return {
        _rule_of(result): np.sort(np.array(result.result["unexpected_index_list"] or [], dtype=np.int64))
        for result in results
    }


def _rule_of(result: ExpectationValidationResult) -> str:
    config = result.expectation_config
    assert config is not None  # noqa: S101 - every result of a suite has one
    return str(config.meta["rule"])


def _raised(info: Any) -> bool:  # noqa: ANN401 - one record, or one for each metric
    if not isinstance(info, Mapping):
        return False
    return bool(info.get("raised_exception")) or any(_raised(value) for value in info.values())
