"""Folders of files as people have them, and what the provider of files makes of them. Not here: what is right of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError
from chandlery.providers.base import BarRequest
from chandlery.providers.files.provider import FilesProvider

D1 = Timeframe.D1
START, END = datetime(1960, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)


def put(folder: Path, content: str | bytes, name: str = "A.csv", timeframe: Timeframe = D1) -> None:
    target = folder / timeframe.table
    target.mkdir(exist_ok=True)
    (target / name).write_bytes(content.encode() if isinstance(content, str) else content)


def rows(provider: FilesProvider, symbol: str = "A", timeframe: Timeframe = D1) -> list[tuple[object, ...]]:
    reply = provider.fetch(BarRequest([symbol], timeframe, START, END))
    for error in reply.failures.values():
        raise error
    shown = "%Y-%m-%d" if timeframe is D1 else "%Y-%m-%dT%H:%M"
    return [
        (row["ts"].strftime(shown), *(row[name] for name in ("open", "high", "low", "close", "volume")))
        for row in reply.bars.to_pylist()
    ]


def refusal(provider: FilesProvider, symbol: str = "A", timeframe: Timeframe = D1) -> str:
    with pytest.raises(ProviderError) as caught:
        rows(provider, symbol, timeframe)
    return str(caught.value)
