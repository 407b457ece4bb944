"""The tree of errors is the one its docstring draws."""

from __future__ import annotations

import inspect
import re

import pytest

from chandlery import errors
from chandlery.errors import ChandleryError, ProviderError, ProviderRateLimitError, UsageError


def drawn() -> dict[str, str | None]:
    """Return parent by class, as the module's docstring draws it."""
    tree: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"((?:│   |    )*(?:[├└]── )?)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            tree[found[2]] = path[-2] if depth else None
    return tree


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in classes}
    assert len(real) > 10
    assert drawn() == real | {"ChandleryError": None}


def test_every_error_is_a_chandlery_error_and_says_what_it_is() -> None:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(kind, ChandleryError)
        assert kind.__doc__


def test_a_wrong_argument_is_also_a_value_error() -> None:
    assert issubclass(UsageError, ValueError)


def test_an_error_of_a_provider_says_whose_and_about_what() -> None:
    error = ProviderRateLimitError("asked too often", provider="simulated", symbol="AAA", retry_after=1.5)
    assert (str(error), error.provider, error.symbol, error.retry_after) == ("asked too often", "simulated", "AAA", 1.5)
    with pytest.raises(TypeError):
        ProviderError("without a provider")  # type: ignore[call-arg]
