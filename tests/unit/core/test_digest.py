"""The digests that are stored never change: rows that were digested before are recognised."""

from __future__ import annotations

import pyarrow as pa

from chandlery.core.digest import digest, digest_in_any_order
from tests.support import Bar, table, utc

BARS = [
    Bar("AAA", utc("2024-01-02T14:30")),
    Bar("AAA", utc("2024-01-02T14:31"), vwap=None, trades=None, close=-0.0),
    Bar("BTC/USD", utc("2024-01-02T14:30"), volume=None, source="test:two"),
]
ORDERED = "8355aa6e1f9c6e573fce04fde578b0fd1c3ce954f75cfe9e97587ed0cc66156b"
UNORDERED = "c11238aa89ac808f4185ac522cf199fe4e06156a75e7f399db24444aab78a675"


def test_the_digest_of_a_file_is_the_one_that_was_stored() -> None:
    assert digest(table(BARS)).hex() == ORDERED
    assert digest(table(BARS[::-1])).hex() != ORDERED


def test_the_digest_of_rejected_rows_is_the_one_that_was_stored_in_any_order() -> None:
    assert digest_in_any_order(table(BARS)).hex() == UNORDERED
    assert digest_in_any_order(table(BARS[::-1])).hex() == UNORDERED
    assert digest_in_any_order(table([*BARS, BARS[0]])).hex() != UNORDERED


def test_neither_depends_on_how_arrow_holds_the_rows() -> None:
    whole, pieces = table(BARS), pa.concat_tables([table(BARS[:1]), table(BARS[1:])])
    assert digest(pieces.unify_dictionaries()) == digest(whole)
    assert digest_in_any_order(pieces.unify_dictionaries()) == digest_in_any_order(whole)
