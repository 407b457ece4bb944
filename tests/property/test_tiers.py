"""Maintenance in any order and as often as one likes changes no answer: against a model that knows of no tiers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.timeframe import Timeframe
from chandlery.coverage.summary import summarize
from chandlery.instruments.registry import list_instruments
from chandlery.lake.store import Lake
from chandlery.reading.revisions import read_revisions
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.sweep import sweep
from chandlery.tiers.verify import find_unknown_files, verify
from chandlery.tiers.warehouse import Warehouse
from tests.property.test_publish import CALENDARS, IN_ONE_DATABASE, Batch, Model, batches, counts, start_afresh
from tests.support import Bar, get, put, register, rows, utc

Step: TypeAlias = tuple[str, Batch | str]

_CUTS = st.sampled_from(["2024-02-01", "2024-08-01", "2025-01-01", "2026-01-01"])
STEPS = st.one_of(
    st.tuples(st.just("publish"), batches()),
    st.tuples(st.sampled_from(["archive", "retain", "compress"]), _CUTS),
    st.tuples(st.just("restore"), st.sampled_from(["2024-01", "2024-02", "2024-07"])),
    st.tuples(st.just("sweep"), st.just("")),
)


@dataclass
class Tiered:
    """A store with a lake, and what is known of it."""

    warehouse: Warehouse
    ids: dict[str, int]
    timeframe: Timeframe
    model: Model = field(default_factory=Model)
    seen: list[tuple[datetime, list[Bar]]] = field(default_factory=list)

    def publish(self, batch: Batch) -> None:
        batch = {(symbol, self.label(ts)): bar._replace(ts=self.label(ts)) for (symbol, ts), bar in batch.items()}
        report = put(self.warehouse, self.timeframe, batch.values())
        assert counts(report) == self.model.apply(batch)
        self.seen.append((report.known_at, self.model.bars()))

    def label(self, ts: datetime) -> datetime:
        """Move a moment to where a bar of this width may be; days are spread over years."""
        if self.timeframe is Timeframe.M1:
            return ts
        return datetime(2021 + ts.minute % 4, ts.month, ts.day, tzinfo=UTC)

    def archive(self, before: str) -> None:
        with self.warehouse.connection() as connection:
            due = find_due(connection, self.timeframe, utc(before))
        list(archive(self.warehouse, due))
        with self.warehouse.connection() as connection:
            assert find_due(connection, self.timeframe, utc(before)) == []

    def retain(self, before: str) -> None:
        first = apply_retention(self.warehouse, self.timeframe, utc(before))
        again = apply_retention(self.warehouse, self.timeframe, utc(before))
        assert again.released == []
        assert again.refused == first.refused

    def compress(self, before: str) -> None:
        with self.warehouse.connection() as connection:
            list(self.warehouse.edition.compress(connection, self.timeframe, utc(before)))

    def restore(self, key: str) -> None:
        restore(
            self.warehouse, self.timeframe, [key if self.timeframe is Timeframe.M1 else key.replace("2024-0", "202")]
        )

    def sweep(self, _: str) -> None:
        sweep(self.warehouse, timedelta(0), now=datetime.now(UTC) + timedelta(days=1))

    def check(self) -> None:
        """Compare every answer with the model's."""
        assert rows(get(self.warehouse, self.timeframe, self.ids)) == self.model.bars()
        for known_at, bars in self.seen:
            assert rows(get(self.warehouse, self.timeframe, self.ids, as_of=known_at)) == bars
        for (symbol, ts), values in self.model.history.items():
            found = read_revisions(self.warehouse, self.ids[symbol], self.timeframe, ts, ts + timedelta(minutes=1))
            assert found["open"].to_pylist() == ([value.open for value in values] if len(values) > 1 else [])
        with self.warehouse.connection() as connection:
            summaries = summarize(connection, list_instruments(connection), [self.timeframe])
        found_counts = {summary.symbol: summary.rows for summary in summaries}
        bars = self.model.bars()
        assert found_counts == {symbol: n for symbol in CALENDARS if (n := sum(bar.symbol == symbol for bar in bars))}
        assert [checked.fault for checked in verify(self.warehouse) if checked.fault] == []
        assert find_unknown_files(self.warehouse) == []


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, CALENDARS)


@IN_ONE_DATABASE
@given(steps=st.lists(STEPS, min_size=2, max_size=9), timeframe=st.sampled_from([Timeframe.M1, Timeframe.D1]))
def test_no_order_of_maintenance_changes_an_answer(
    warehouse: Warehouse, ids: dict[str, int], steps: list[Step], timeframe: Timeframe
) -> None:
    start_afresh(warehouse)
    with warehouse.connection() as connection:
        connection.execute("TRUNCATE ops.lake")  # each example has one of its own
    with tempfile.TemporaryDirectory() as folder:
        warehouse = replace(warehouse, lake=Lake(Path(folder) / "lake"))
        tiered = Tiered(warehouse, ids, timeframe)
        for name, argument in steps:
            act: Callable[[Batch | str], None] = getattr(tiered, name)
            act(argument)
            tiered.check()
