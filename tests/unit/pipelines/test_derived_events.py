"""What deriving changed is recorded as soon as no later step can change it, once for each partition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import pytest

from assets.rollups import derived_events
from assets.versions import DATA_VERSION
from chandlery.bars.merge import Changes
from chandlery.core.timeframe import Timeframe
from chandlery.errors import LakeError
from chandlery.publishing.publish import PublishReport
from chandlery.rollups.refresh import Derived

START = datetime(2024, 6, 3, tzinfo=UTC)


def step(timeframe: Timeframe, names: dict[int, str], *changed: tuple[int, str, bool], minute: int) -> Derived:
    """Return a step that changed bars: whose, when, and whether they were revised; published at that minute."""
    ids, times, revised = zip(*changed, strict=True)
    changes = Changes(np.array(ids, np.int32), np.array(times, "datetime64[us]"), np.array(revised))
    known_at = START + timedelta(minutes=minute)
    report = PublishReport(len(ids) - sum(revised), sum(revised), 0, known_at, changes, {})
    return Derived(timeframe, len(ids), report, names)


def shown(event: dg.AssetMaterialization) -> tuple[object, ...]:
    counts = [event.metadata[name].value for name in ("inserted", "revised")]
    known_at = datetime.fromisoformat((event.tags or {})[DATA_VERSION])
    return event.asset_key.to_user_string(), event.partition, *counts, known_at.minute


A_FIRST = step(
    Timeframe.M5, {1: "A"}, (1, "2024-01-02", False), (1, "2024-01-03", True), (1, "2024-02-01", False), minute=1
)
A_SECOND = step(Timeframe.M5, {1: "A"}, (1, "2024-01-20", False), minute=2)
A_DAYS = step(Timeframe.D1, {1: "A"}, (1, "2024-01-02", False), minute=2)
B_AND_C = step(Timeframe.M5, {2: "B", 3: "C"}, (2, "2024-01-02", False), (3, "2024-01-02", True), minute=3)
D = step(Timeframe.M5, {4: "D"}, (4, "2024-01-02", False), minute=4)
STEPS = [A_FIRST, A_SECOND, A_DAYS, B_AND_C, D]


def test_a_partition_that_several_steps_changed_is_recorded_once_with_its_last_change() -> None:
    assert [shown(event) for event in derived_events(STEPS)] == [
        ("bars_5m", "A|2024-01", 2, 1, 2),
        ("bars_5m", "A|2024-02", 1, 0, 1),
        ("bars_1d", "A|2024", 1, 0, 2),
        ("bars_5m", "B|2024-01", 1, 0, 3),
        ("bars_5m", "C|2024-01", 0, 1, 3),
        ("bars_5m", "D|2024-01", 1, 0, 4),
    ]


def test_it_is_recorded_while_others_are_derived() -> None:
    taken = 0

    def steps() -> Iterator[Derived]:
        nonlocal taken
        for each in STEPS:
            taken += 1
            yield each

    assert [(event.partition, taken) for event in derived_events(steps())] == [
        ("A|2024-01", 4),
        ("A|2024-02", 4),
        ("A|2024", 4),
        ("B|2024-01", 5),
        ("C|2024-01", 5),
        ("D|2024-01", 5),
    ]


def test_what_changed_is_recorded_although_others_could_not_be_derived() -> None:
    def steps() -> Iterator[Derived]:
        yield from STEPS[:2]
        raise LakeError("B: its file is damaged")

    events = derived_events(steps())
    assert [next(events).partition for _ in range(2)] == ["A|2024-01", "A|2024-02"]
    with pytest.raises(LakeError, match="B: its file is damaged"):
        next(events)
