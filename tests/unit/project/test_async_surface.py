"""``AsyncDataAPI`` has every call of ``DataAPI``, with its signature, its text and its types."""

from __future__ import annotations

import inspect

from chandlery import AsyncDataAPI, DataAPI
from tests.golden.async_stub import STUB, stub

CALLS = sorted(name for name in dir(DataAPI) if not name.startswith("_") and name != "close")


def test_no_call_is_missing_and_none_is_added() -> None:
    own = {"close", "forget", "read_stats"}  # the latter is for processes that were forked
    assert {name for name in dir(AsyncDataAPI) if not name.startswith("_")} == {*CALLS, *own}


def test_signatures_and_texts_are_those_of_the_other() -> None:
    for name in CALLS:
        call, other = getattr(AsyncDataAPI, name), getattr(DataAPI, name)
        assert inspect.iscoroutinefunction(call), name
        assert inspect.signature(call) == inspect.signature(other), name
        assert inspect.getdoc(call) == inspect.getdoc(other), name
        assert call.__qualname__ == f"AsyncDataAPI.{name}"


def test_the_stub_is_what_the_calls_say_now() -> None:
    assert STUB.read_text(encoding="utf-8") == stub(), "run `python -m tests.golden.update`"
