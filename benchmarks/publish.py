"""Publishing: first time, again, revised, and live; against raw COPY and against what one would write by hand.

Not here: where the bars come from (``pipeline``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy
from psycopg import sql
from psycopg2.extras import execute_values

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.world import World, bars, minutes, months, reset, revise, symbols
from chandlery.core.schema import TS
from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column
from chandlery.database.copy import encode
from chandlery.database.dsn import sqlalchemy_url
from chandlery.publishing.publish import PublishReport, publish
from chandlery.tiers.warehouse import Warehouse

_SAMPLE_UPSERT, _SAMPLE_TO_SQL = 40_000, 8_000
_LIVE_ROUNDS, _LIVE_ROWS, _LIVE_LIMIT = 100, 100, 0.005
_NAMES = ("instrument_id", "ts", "open", "high", "low", "close", "volume", "vwap", "trades", "source", "known_at")
_UPSERT = (
    f"INSERT INTO market.bars_1m ({', '.join(_NAMES)}) VALUES %s ON CONFLICT (instrument_id, ts) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES[2:])
)


def run(world: World) -> Iterator[Section]:
    """Yield the results: large batches, then live ones."""
    names, start, end = minutes(world.rows)
    table = bars(names, Timeframe.M1, start, end)
    say(f"{table.num_rows:,} minute bars of {len(names)} symbols")
    with world.warehouse("publish", names) as warehouse:
        yield _batches(warehouse, table, world.repeat)
    live = symbols(_LIVE_ROWS // 2)
    with world.warehouse("live", live) as warehouse:
        yield _live(warehouse, bars(live, Timeframe.M1, *months(1)), world.repeat)


def _batches(warehouse: Warehouse, table: pa.Table, repeat: int) -> Section:
    section = Section(f"publish: {table.num_rows:,} minute bars")
    revised = revise(table, 0.01)
    rewritten: list[int] = []
    with warehouse.connection() as connection:
        publish(connection, warehouse, Timeframe.M1, table)  # makes the partitions and the source
        frame = _frame(connection, table)
        wire = list(encode({name: _numpy(frame[name]) for name in _NAMES}))

        def again() -> float:
            before = _versions(connection)
            taken = stopwatch(lambda: _put(warehouse, connection, table, inserted=0, revised=0))
            rewritten.append(before != _versions(connection))
            return taken

        def alone(work: Callable[[], object]) -> float:
            reset(connection)
            return stopwatch(work)

        changed = int(np.ceil(table.num_rows / 100))
        seconds = take_turns(
            {
                "raw COPY, no key": lambda: _into_heap(connection, wire),
                "raw COPY, same table": lambda: alone(lambda: _raw_copy(connection, "market.bars_1m", wire)),
                "first publish": lambda: alone(lambda: _put(warehouse, connection, table, table.num_rows, 0)),
                "publish again, identical": again,
                "publish again, 1 % revised": lambda: stopwatch(
                    lambda: _put(warehouse, connection, revised, 0, changed)
                ),
                "execute_values upsert": lambda: alone(lambda: _execute_values(warehouse, frame[:_SAMPLE_UPSERT])),
                "DataFrame.to_sql": lambda: alone(lambda: _to_sql(warehouse, frame[:_SAMPLE_TO_SQL])),
            },
            repeat,
        )
        reset(connection)
    if any(rewritten):
        raise AssertionError("publishing identical bars again rewrote rows")
    counts = {
        "execute_values upsert": min(_SAMPLE_UPSERT, len(frame)),
        "DataFrame.to_sql": min(_SAMPLE_TO_SQL, len(frame)),
    }
    of = {
        name: Measure(name, taken, counts.get(name, len(frame)), "rows", _note(counts.get(name)))
        for name, taken in seconds.items()
    }
    section.add(of)
    raw = of["raw COPY, same table"]
    section.compare(of["first publish"], raw, aim=0.8)
    section.compare(of["first publish"], of["execute_values upsert"], aim=12)
    section.compare(of["first publish"], of["DataFrame.to_sql"], aim=60)
    section.compare(of["publish again, identical"], raw, aim=1.0)
    section.compare(of["publish again, 1 % revised"], raw, aim=0.5)
    section.compare(of["first publish"], of["raw COPY, no key"])
    section.facts["rows rewritten by publishing identical bars"] = "none (ctid and xmin of every row compared)"
    return section


def _live(warehouse: Warehouse, table: pa.Table, repeat: int) -> Section:
    """Measure batches of a hundred rows into a table with ten years of partitions."""
    section = Section(f"publish live: {_LIVE_ROWS} rows at a time on an open connection, median of {_LIVE_ROUNDS}")
    with warehouse.connection() as connection:
        now = datetime.now(UTC)
        warehouse.edition.prepare(connection, Timeframe.M1, now - timedelta(days=3650), now)
        _put(warehouse, connection, table, table.num_rows, 0)
        connection.execute("VACUUM ANALYZE market.bars_1m")
        heads = table.filter(pc.equal(table["ts"], pc.max(table["ts"])))
        plain = psycopg2.connect(warehouse.database.dsn)
        plain.autocommit = True
        cases = _Live(warehouse, connection, plain, heads)
        seconds = take_turns(
            {
                "half new, half unchanged": cases.new,
                "all revised": cases.revised,
                "all unchanged": cases.unchanged,
                "execute_values upsert, half new": cases.by_hand,
            },
            repeat,
        )
        plain.close()
    of = {name: Measure(name, taken, _LIVE_ROWS, "rows") for name, taken in seconds.items()}
    section.add(of)
    for name in ("half new, half unchanged", "all revised", "all unchanged"):
        section.limit(of[name], _LIVE_LIMIT)
    section.compare(of["half new, half unchanged"], of["execute_values upsert, half new"], aim=1.0)
    return section


class _Live:
    """A feed that brings the last bar again and a new one, over and over."""

    def __init__(self, warehouse: Warehouse, connection: psycopg.Connection, plain: Any, heads: pa.Table) -> None:  # noqa: ANN401
        self._warehouse = warehouse
        self._connection = connection
        self._plain = plain
        self._heads = heads
        self._minute = 0
        self._version = 0

    def new(self) -> float:
        self._publish(self._pair())
        return self._median(lambda table: self._publish(table, inserted=_LIVE_ROWS // 2))

    def unchanged(self) -> float:
        self._publish(self._pair())
        return self._median(lambda table: self._publish(table, inserted=0), step=0)

    def revised(self) -> float:
        self._publish(self._pair())
        return self._median(lambda table: self._publish(table, inserted=0, revised=_LIVE_ROWS), step=0, restate=True)

    def by_hand(self) -> float:
        with self._connection.cursor() as cursor:
            ids = dict(cursor.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
        return self._median(lambda table: self._upsert(table, ids))

    def _pair(self) -> pa.Table:
        """Return the present minute and the next one of every symbol."""
        tables = [_later(self._heads, self._minute + step, self._version) for step in (0, 1)]
        return pa.concat_tables(tables)

    def _median(self, work: Callable[[pa.Table], None], *, step: int = 1, restate: bool = False) -> float:
        taken = []
        for _ in range(_LIVE_ROUNDS):
            self._minute += step
            self._version += restate
            table = self._pair()
            start = time.perf_counter()
            work(table)
            taken.append(time.perf_counter() - start)
        return float(np.median(taken))

    def _publish(self, table: pa.Table, *, inserted: int | None = None, revised: int = 0) -> None:
        report = publish(self._connection, self._warehouse, Timeframe.M1, table)
        if inserted is not None and (report.inserted, report.revised) != (inserted, revised):
            raise AssertionError(
                f"inserted {report.inserted} and revised {report.revised}, not {inserted} and {revised}"
            )

    def _upsert(self, table: pa.Table, ids: dict[str, int]) -> None:
        now = datetime.now(UTC)
        rows = [(ids[row["symbol"]], *list(row.values())[1:9], 1, now) for row in table.to_pylist()]
        with self._plain.cursor() as cursor:
            execute_values(cursor, _UPSERT, rows)


def _put(
    warehouse: Warehouse, connection: psycopg.Connection, table: pa.Table, inserted: int, revised: int
) -> PublishReport:
    report = publish(connection, warehouse, Timeframe.M1, table)
    if (report.inserted, report.revised) != (inserted, revised):
        raise AssertionError(f"inserted {report.inserted} and revised {report.revised}, not {inserted} and {revised}")
    return report


def _raw_copy(connection: psycopg.Connection, name: str, wire: list[memoryview]) -> None:
    """Send bytes that were made before: nothing can be faster into this table over one connection."""
    columns = sql.SQL(", ").join(map(sql.Identifier, _NAMES))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.SQL(name), columns)  # type: ignore[arg-type]
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in wire:
            copy.write(block)


def _into_heap(connection: psycopg.Connection, wire: list[memoryview]) -> float:
    connection.execute("DROP TABLE IF EXISTS market.heap")
    connection.execute("CREATE TABLE market.heap (LIKE market.bars_1m)")
    taken = stopwatch(lambda: _raw_copy(connection, "market.heap", wire))
    connection.execute("DROP TABLE market.heap")
    return taken


def _execute_values(warehouse: Warehouse, frame: Any) -> None:  # noqa: ANN401 - pandas
    with psycopg2.connect(warehouse.database.dsn) as connection, connection.cursor() as cursor:
        execute_values(cursor, _UPSERT, list(frame[list(_NAMES)].itertuples(index=False, name=None)), page_size=1000)
    connection.close()


def _to_sql(warehouse: Warehouse, frame: Any) -> None:  # noqa: ANN401 - pandas
    engine = sqlalchemy.create_engine(sqlalchemy_url(warehouse.database.dsn))
    frame.to_sql("bars_1m", engine, schema="market", if_exists="append", index=False, method="multi", chunksize=5000)
    engine.dispose()


def _frame(connection: psycopg.Connection, table: pa.Table) -> Any:  # noqa: ANN401 - pandas
    """Return ``table`` as a user would have it at hand: with the ids that the database wants."""
    ids = dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
    frame = table.drop_columns("source").to_pandas()
    frame["instrument_id"] = frame["symbol"].map(ids).astype("int32")
    frame["source"] = np.int16(1)
    frame["known_at"] = datetime.now(UTC)
    return frame[list(_NAMES)].sort_values(["instrument_id", "ts"], ignore_index=True)


def _numpy(series: Any) -> Column:  # noqa: ANN401 - pandas
    values = (
        series.to_numpy()
        if series.dtype.kind != "M"
        else series.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    )
    return Column(values)


def _versions(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Return what changes when any row version is written."""
    return connection.execute(
        "SELECT count(*), sum(hashtextextended(tableoid::text || ctid::text || xmin::text, 0)::numeric)"
        " FROM market.bars_1m"
    ).fetchall()


def _later(heads: pa.Table, by: int, version: int) -> pa.Table:
    ts = heads["ts"].to_numpy().astype("datetime64[us]") + np.timedelta64(by, "m")
    volume = pa.array(heads["volume"].to_numpy() + version)
    table = heads.set_column(1, "ts", pa.array(ts).cast(TS))
    return table.set_column(table.column_names.index("volume"), "volume", volume)


def _note(sample: int | None) -> str:
    return "" if sample is None else f"of {sample:,} rows; the ratio takes its rate for all"
