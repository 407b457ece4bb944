"""How much room bars take, by tier: whole universes, loaded, archived and, where there is TimescaleDB, compressed.

Takes minutes and tens of gigabytes, and so runs only when it is asked for (``--only sizing``). Not here: speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from benchmarks.harness import Section, say
from benchmarks.tiers import timescale
from benchmarks.world import World, bars, months, symbols
from chandlery.core.timeframe import Timeframe
from chandlery.lake.store import Lake
from chandlery.publishing.publish import publish
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.warehouse import Warehouse

_SEALED = datetime(2040, 1, 1, tzinfo=UTC)
_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True)
class _Universe:
    title: str
    count: int
    timeframe: Timeframe
    months: int
    calendar: str = "XNYS"


_UNIVERSES = (
    _Universe("100 symbols, 10 years of days", 100, Timeframe.D1, 120),
    _Universe("500 symbols, 10 years of days", 500, Timeframe.D1, 120),
    _Universe("100 symbols, a year of minutes", 100, Timeframe.M1, 12),
    _Universe("50 crypto pairs, 2 years of minutes", 50, Timeframe.M1, 24, "24/7"),
)


def run(world: World) -> Iterator[Section]:
    """Yield the room that each universe takes."""
    for universe in _UNIVERSES:
        names = [f"{name}/USD" if universe.calendar == "24/7" else name for name in symbols(universe.count)]
        section = Section(f"room for {universe.title}")
        with world.warehouse("sizing", names, calendar=universe.calendar) as made:
            lake = Lake(world.folder / f"lake_{len(names)}_{universe.timeframe}_{universe.months}")
            warehouse = replace(made, lake=lake)
            rows = _load(warehouse, universe, names)
            section.facts["bars"] = f"{rows:,}"
            section.facts["plain PostgreSQL, with key"] = _shown(_stored(warehouse, universe), rows)
            with warehouse.connection() as connection:
                due = find_due(connection, universe.timeframe, _SEALED)
            lake = sum(done.bytes for done in archive(warehouse, due))
            section.facts["lake"] = _shown(lake, rows)
        if world.timescale is not None:
            with timescale(world.timescale, names, calendar=universe.calendar) as made:
                _load(warehouse, universe, names)
                section.facts["hypertable, with key"] = _shown(_stored(warehouse, universe), rows)
                with warehouse.connection() as connection:
                    list(warehouse.edition.compress(connection, universe.timeframe, _SEALED))
                section.facts["columnstore"] = _shown(_stored(warehouse, universe), rows)
        yield section


def _load(warehouse: Warehouse, universe: _Universe, names: list[str]) -> int:
    start, end = months(universe.months, first=datetime(2022, 1, 1, tzinfo=UTC))
    total = 0
    each = max(1, _AT_ONCE // max(1, universe.months * (43_800 if universe.timeframe is Timeframe.M1 else 22)))
    for first in range(0, len(names), each):
        table = bars(names[first : first + each], universe.timeframe, start, end, calendar=universe.calendar)
        with warehouse.connection() as connection:
            publish(connection, warehouse, universe.timeframe, table)
        total += table.num_rows
        say(f"{universe.title}: {total:,} bars in {warehouse.edition.name}")
    return total


def _stored(warehouse: Warehouse, universe: _Universe) -> int:
    with warehouse.connection() as connection:
        return sum(chunk.bytes for chunk in warehouse.edition.chunks(connection, universe.timeframe))


def _shown(size: int, rows: int) -> str:
    return f"{size / 1e6:,.0f} MB, {size / rows:.1f} bytes a bar"
