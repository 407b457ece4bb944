"""Where files lie in the lake: by timeframe, then by symbol in Hive's style, named by range and version.

    bars_1m/symbol=BTC%2FUSD/2024-01-01_2024-02-01_v1.parquet
    bars_1d/2024-01-01_2025-01-01_v1.parquet

A file of days holds every symbol. The earlier values of restated bars lie beside, in ``bars_1m_revisions`` and
``bars_1d_revisions``, so that whoever reads ``bars_1m`` without us reads every bar once.
"""

from __future__ import annotations

from datetime import date
from urllib.parse import quote

from chandlery.core.timeframe import Timeframe


def path_of(
    timeframe: Timeframe, symbol: str | None, start: date, until: date, version: int, *, revisions: bool = False
) -> str:
    """Return the path below the lake's root of a file of ``[start, until)``; ``symbol`` None: of every symbol."""
    folder = f"{timeframe.table}_revisions" if revisions else timeframe.table
    place = f"{folder}/symbol={quote(symbol, safe='')}" if symbol is not None else folder
    return f"{place}/{start}_{until}_v{version}.parquet"
