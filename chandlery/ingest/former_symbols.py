"""Landed answers under the symbols that their instruments have now; some may have been renamed since they landed.

Not here: which tickers an instrument had (``instruments.aliases``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa

from chandlery.instruments.aliases import current_symbols

if TYPE_CHECKING:
    from chandlery.ingest.landing import LandedAnswer


def with_present_symbols(connection: psycopg.Connection, found: Sequence[LandedAnswer]) -> list[LandedAnswer]:
    """Return answers with the symbols that their instruments have now."""
    present = current_symbols(connection, {symbol for landed in found for symbol in landed.symbols})
    return [replace(each, symbols=[present.get(symbol, symbol) for symbol in each.symbols]) for each in found]


def under_present_symbols(connection: psycopg.Connection, bars: pa.Table, symbols: Sequence[str]) -> pa.Table:
    """Return bars of schema ``BARS`` with present symbols; those among ``symbols`` are known to be such."""
    column = bars["symbol"].combine_chunks()
    names = column.dictionary.to_pylist()
    unknown = set(names) - set(symbols)
    present = current_symbols(connection, unknown) if unknown else {}
    if not present:
        return bars
    given = pa.DictionaryArray.from_arrays(column.indices, pa.array([present.get(name, name) for name in names]))
    named = pa.chunked_array([given.cast(pa.string()).dictionary_encode()])
    return bars.set_column(0, bars.schema.field(0), named)
