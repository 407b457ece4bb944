"""Rolling a month up, in full and for one changed day; against plain SQL, and its arithmetic against Polars.

With ``CHANDLERY_TEST_TIMESCALE_URL``, also against TimescaleDB's continuous aggregates of the same widths.
Not here: who notices that days are stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

import numpy as np
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.tiers import timescale
from benchmarks.world import BARS_PER_MONTH, World, bars, months, reset, revise, symbols
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.publishing.publish import publish
from chandlery.rollups.aggregate import BaseBars
from chandlery.rollups.continuous import note_days, refresh_aggregates, sync_aggregates
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse

_MONTH = months(1)
_CHANGED = datetime(2023, 1, 18, tzinfo=UTC)
_WIDTHS = derived_from(Timeframe.M1)
_ROWS_ALONE = "restates the derived bars of the day and keeps them as revisions: reads, computes and compares nothing"
_KEEP: LiteralString = """
    INSERT INTO market.bars_revision (timeframe, instrument_id, ts, open, high, low, close, volume, vwap, trades,
                                      source, known_at, superseded_at)
    SELECT {name}, instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at, %(known_at)s
    FROM {bars} WHERE ts >= %(start)s AND ts < %(end)s
"""
_RESTATE: LiteralString = """
    UPDATE {bars} SET volume = volume + 1, known_at = %(known_at)s WHERE ts >= %(start)s AND ts < %(end)s
"""
_SQL = sql.SQL(Path(__file__).with_name("rollup.sql").read_text(encoding="utf-8"))  # type: ignore[arg-type]


def run(world: World) -> Iterator[Section]:
    """Yield the results: through the store, then the arithmetic alone."""
    names = symbols(min(max(world.rows // BARS_PER_MONTH, 2), 60) * 100 // 60)
    table = bars(names, Timeframe.M1, *_MONTH)
    say(f"{table.num_rows:,} minute bars of {len(names)} symbols")
    with world.warehouse("rollup", names) as warehouse:
        yield _store(warehouse, table, world.repeat)
    if world.timescale is not None:
        with timescale(world.timescale, names) as warehouse:
            if warehouse.edition.keeps_aggregates:
                yield _aggregates(warehouse, table, world.repeat)
    yield _arithmetic(table, names, world.repeat)


def _store(warehouse: Warehouse, table: pa.Table, repeat: int) -> Section:
    section = Section(f"roll-up: a month of minutes ({table.num_rows:,} bars) into {' '.join(_WIDTHS)}")
    changed = table.filter(pc.equal(pc.floor_temporal(table["ts"], unit="day"), pa.scalar(_CHANGED, table["ts"].type)))
    with warehouse.connection() as connection:
        stocks = list_instruments(connection)
        store = _Store(warehouse, connection, stocks)
        store.publish(table)
        store.catch_up()  # makes the partitions

        def full() -> float:
            reset(connection)
            store.publish(table)
            return stopwatch(store.catch_up)

        def one_day() -> float:
            store.version += 1
            publish(connection, warehouse, Timeframe.M1, revise(changed, 0.2, by=store.version))
            return stopwatch(store.catch_up)

        ours = store.digest()
        by_hand = {
            "full, SQL": lambda: store.empty_derived() or stopwatch(lambda: store.upsert(*_MONTH)),
            "one day, SQL": lambda: stopwatch(lambda: store.upsert(_CHANGED, _CHANGED + timedelta(days=1))),
            "one day, rows alone": lambda: stopwatch(store.restate_day),
        }
        by_hand["full, SQL"]()
        if store.digest() != ours:
            raise AssertionError("the SQL alternative computes other bars")
        seconds = take_turns({"full, catch_up": full, "one day, catch_up": one_day, **by_hand}, repeat)
    counts = {name: changed.num_rows if name.startswith("one day") else table.num_rows for name in seconds}
    of = {name: Measure(name, taken, counts[name], "minutes") for name, taken in seconds.items()}
    section.add(of)
    section.compare(of["full, catch_up"], of["full, SQL"], aim=1.0)
    section.compare(of["one day, catch_up"], of["one day, SQL"], aim=0.91)
    section.compare(of["one day, catch_up"], of["one day, rows alone"])
    section.facts["the SQL"] = "upserts in place: keeps no revisions, skips nothing, and is told which day changed"
    section.facts["the rows alone"] = _ROWS_ALONE
    return section


def _aggregates(warehouse: Warehouse, table: pa.Table, repeat: int) -> Section:
    """Compare the roll-up with the refresh of continuous aggregates, on the same server; each without the other."""
    section = Section(f"TimescaleDB: {table.num_rows:,} minute bars into {' '.join(_WIDTHS)}, or continuous aggregates")
    changed = table.filter(pc.equal(pc.floor_temporal(table["ts"], unit="day"), pa.scalar(_CHANGED, table["ts"].type)))
    with warehouse.connection() as connection:
        store = _Store(warehouse, connection, list_instruments(connection))
        store.publish(table)
        store.catch_up()  # makes the chunks

        days = np.full(len(store.ids), np.datetime64(_CHANGED.date(), "D"))

        def roll_up_full() -> float:
            sync_aggregates(connection, warehouse.edition, ())
            reset(connection)
            store.publish(table)
            return stopwatch(store.catch_up)

        def refresh_full() -> float:
            sync_aggregates(connection, warehouse.edition, ())
            sync_aggregates(connection, warehouse.edition, _WIDTHS)
            return stopwatch(lambda: refresh_aggregates(warehouse.database))

        def change() -> None:
            store.version += 1
            publish(connection, warehouse, Timeframe.M1, revise(changed, 0.2, by=store.version))

        def roll_up_day() -> float:
            change()
            return stopwatch(store.catch_up)

        def refresh_day() -> float:
            change()
            note_days(connection, warehouse.edition, store.ids, days)
            taken = stopwatch(lambda: refresh_aggregates(warehouse.database))
            store.catch_up()
            return taken

        seconds = take_turns(
            {
                "full, catch_up": roll_up_full,
                "one day, catch_up": roll_up_day,
                "full, refresh": refresh_full,
                "one day, refresh": refresh_day,
                "one day, rows alone": lambda: stopwatch(store.restate_day),
            },
            repeat,
        )
    counts = {name: changed.num_rows if name.startswith("one day") else table.num_rows for name in seconds}
    of = {name: Measure(name, taken, counts[name], "minutes") for name, taken in seconds.items()}
    section.add(of)
    section.compare(of["full, catch_up"], of["full, refresh"])
    section.compare(of["one day, catch_up"], of["one day, refresh"], aim=1.0)
    section.compare(of["one day, catch_up"], of["one day, rows alone"])
    section.facts["the aggregates"] = "keep no revisions; a full refresh makes their chunks as well"
    section.facts["the rows alone"] = _ROWS_ALONE
    return section


class _Store:
    """The bars of the benchmark, and both ways to derive them."""

    def __init__(self, warehouse: Warehouse, connection: psycopg.Connection, stocks: list[Instrument]) -> None:
        self._warehouse = warehouse
        self._connection = connection
        self._stocks = stocks
        self.ids = np.array([stock.instrument_id for stock in stocks], np.int64)
        self.version = 0
        self._days = bars([stock.symbol for stock in stocks], Timeframe.D1, *_MONTH)

    def publish(self, table: pa.Table) -> None:
        """Publish minutes, and the provider's days of the month: where there are none, days are made of the minutes."""
        publish(self._connection, self._warehouse, Timeframe.D1, self._days)
        publish(self._connection, self._warehouse, Timeframe.M1, table)

    def catch_up(self) -> None:
        if not list(catch_up(self._warehouse, Timeframe.M1, self._stocks, *_MONTH)):
            raise AssertionError("nothing was stale")

    def upsert(self, start: datetime, end: datetime) -> None:
        """Derive each width from the one before, in plain SQL."""
        with self._connection.transaction():
            for base, derived in zip((Timeframe.M1, *_WIDTHS), _WIDTHS, strict=False):
                statement = _SQL.format(
                    derived=sql.Identifier("market", derived.table),
                    base=sql.Identifier("market", base.table),
                    width=sql.Literal(timedelta(microseconds=derived.microseconds)),
                    start=sql.Literal(start),
                    end=sql.Literal(end),
                )
                self._connection.execute(statement)

    def restate_day(self) -> None:
        """Write what a roll-up of the changed day cannot do without: the bars anew, and their earlier values."""
        values = {"start": _CHANGED, "end": _CHANGED + timedelta(days=1), "known_at": datetime.now(UTC)}
        with self._connection.transaction():
            for derived in _WIDTHS:
                for statement in (_KEEP, _RESTATE):
                    bars = sql.Identifier("market", derived.table)
                    self._connection.execute(sql.SQL(statement).format(bars=bars, name=derived.value), values)

    def empty_derived(self) -> None:
        self._connection.execute(f"TRUNCATE {', '.join(f'market.{width.table}' for width in _WIDTHS)}")  # type: ignore[arg-type]
        self._connection.execute("CHECKPOINT")

    def digest(self) -> list[tuple[object, ...]]:
        """Return what both ways must agree on; sums only to what a double keeps in any order."""
        parts = [
            f"SELECT {width.rank}, count(*), sum(open::numeric), sum(high::numeric), sum(low::numeric),"
            " sum(close::numeric), sum(volume::numeric), sum(trades), round(sum(vwap::numeric), 2)"
            f" FROM market.{width.table}"
            for width in _WIDTHS
        ]
        return self._connection.execute(" UNION ALL ".join(parts) + " ORDER BY 1").fetchall()  # type: ignore[arg-type]


def _arithmetic(table: pa.Table, names: list[str], repeat: int) -> Section:
    calendars = dict.fromkeys(names, "XNYS")
    frame = pl.from_arrow(table)
    seconds = take_turns(
        {
            "roll_up": lambda: stopwatch(lambda: _roll_up(table, calendars)),
            "Polars": lambda: stopwatch(lambda: [_polars(frame, width) for width in _WIDTHS]),  # type: ignore[arg-type]
        },
        repeat,
    )
    of = {name: Measure(name, taken, table.num_rows, "minutes") for name, taken in seconds.items()}
    section = Section(f"roll-up, arithmetic alone: {table.num_rows:,} minute bars into {' '.join(_WIDTHS)}")
    section.add(of)
    section.compare(of["roll_up"], of["Polars"])
    section.facts["roll_up"] = "sums are correctly rounded, whatever the order; those of Polars are not"
    return section


def _roll_up(table: pa.Table, calendars: dict[str, str]) -> list[pa.Table]:
    base = BaseBars(table)
    return [base.roll_up(width, calendars) for width in _WIDTHS]


def _polars(frame: pl.DataFrame, width: Timeframe) -> pl.DataFrame:
    weight = pl.col("volume").sum()
    return frame.group_by("symbol", pl.col("ts").dt.truncate(width.value), maintain_order=True).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        weight,
        ((pl.col("vwap") * pl.col("volume")).sum() / weight).alias("vwap"),
        pl.col("trades").sum(),
        pl.col("source").first(),
    )
