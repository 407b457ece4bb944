"""Reading through ``DataAPI`` against what one would write by hand.

Not here: how the bars got there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import adbc_driver_postgresql.dbapi
import pandas as pd
import sqlalchemy

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.world import World, bars, months, revise, symbols
from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.database.dsn import sqlalchemy_url
from chandlery.publishing.publish import publish
from chandlery.tiers.warehouse import Warehouse

_YEAR = months(12)
_COLUMNS = "ts, open, high, low, close, volume, vwap, trades"
_AFTER = f"ts >= '{_YEAR[0]:%Y-%m-%d}' AND ts < '{_YEAR[1]:%Y-%m-%d}'"
_API_COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "trades")


def run(world: World) -> Iterator[Section]:
    """Yield the results: minutes of one symbol, then days of many."""
    names = symbols(100)
    with world.warehouse("read", names) as warehouse:
        before = _load(warehouse, names)
        api = DataAPI(warehouse)
        with warehouse.connection() as connection:
            ids = dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
        one = f"SELECT {_COLUMNS} FROM market.bars_1m WHERE instrument_id = {ids[names[0]]} AND {_AFTER} ORDER BY ts"
        minutes = _Readers(warehouse, one)
        yield minutes.compare(
            "read: one symbol's year of minutes",
            lambda output, as_of, columns: api.get_ohlc(
                names[0], *_YEAR, "1m", columns=columns, output=output, as_of=as_of
            ),
            before,
            world.repeat,
        )
        many = f"SELECT instrument_id, {_COLUMNS} FROM market.bars_1d WHERE {_AFTER} ORDER BY instrument_id, ts"
        days = _Readers(warehouse, many)
        yield days.compare(
            "read: a year of days of 100 symbols",
            lambda output, as_of, columns: api.get_multi_symbol(
                names, *_YEAR, "1d", columns=columns, output=output, as_of=as_of
            ),
            before,
            world.repeat,
        )
        for readers in (minutes, days):
            readers.close()


def _load(warehouse: Warehouse, names: list[str]) -> datetime:
    """Publish minutes of ten symbols and days of all, revise one bar in a hundred; return the time between."""
    with warehouse.connection() as connection:
        tables = {
            Timeframe.M1: bars(names[:10], Timeframe.M1, *_YEAR),
            Timeframe.D1: bars(names, Timeframe.D1, *_YEAR),
        }
        for timeframe, table in tables.items():
            say(f"loading {table.num_rows:,} bars of {timeframe.value}")
            publish(connection, warehouse, timeframe, table, now=datetime(2024, 1, 1, tzinfo=UTC))
        for timeframe, table in tables.items():
            publish(connection, warehouse, timeframe, revise(table, 0.01), now=datetime(2024, 6, 1, tzinfo=UTC))
        connection.execute("VACUUM ANALYZE")
    return datetime(2024, 3, 1, tzinfo=UTC)


class _Readers:
    """Ways to run one query."""

    def __init__(self, warehouse: Warehouse, statement: str) -> None:
        self._statement = statement
        self._engine = sqlalchemy.create_engine(sqlalchemy_url(warehouse.database.dsn))
        self._adbc = adbc_driver_postgresql.dbapi.connect(warehouse.database.dsn)

    def compare(
        self,
        title: str,
        read: Callable[[str, datetime | None, Sequence[str]], Any],
        before: datetime,
        repeat: int,
    ) -> Section:
        """Return how ``read``, given an output, an ``as_of`` and columns, compares with doing it by hand."""
        rows = len(self._read_sql())
        ways: dict[str, Callable[[], Any]] = {
            "DataAPI to Arrow": lambda: read("arrow", None, _API_COLUMNS),
            "DataAPI to Arrow, close alone": lambda: read("arrow", None, ["close"]),
            "DataAPI to pandas": lambda: read("pandas", None, _API_COLUMNS),
            "DataAPI to Arrow, as_of": lambda: read("arrow", before, _API_COLUMNS),
            "ADBC by hand": self._fetch,
            "pandas.read_sql": self._read_sql,
        }
        for name, way in ways.items():
            if len(way()) != rows:
                raise AssertionError(f"{name} returned {len(way())} rows, not {rows}")
        # Short reads are repeated more often: their medians cost little.
        seconds = take_turns({name: lambda way=way: stopwatch(way) for name, way in ways.items()}, 2 * repeat)  # type: ignore[misc]
        of = {name: Measure(name, taken, rows, "rows") for name, taken in seconds.items()}
        section = Section(f"{title}, {rows:,} rows")
        section.add(of)
        section.compare(of["DataAPI to pandas"], of["pandas.read_sql"])
        section.compare(of["DataAPI to Arrow"], of["ADBC by hand"])
        section.compare(of["DataAPI to Arrow, close alone"], of["DataAPI to Arrow"])
        section.compare(of["DataAPI to Arrow, as_of"], of["DataAPI to Arrow"])
        return section

    def close(self) -> None:
        self._engine.dispose()
        self._adbc.close()

    def _read_sql(self) -> pd.DataFrame:
        return pd.read_sql(self._statement, self._engine)

    def _fetch(self) -> Any:  # noqa: ANN401 - ADBC is not typed
        with self._adbc.cursor() as cursor:
            cursor.execute(self._statement)
            table = cursor.fetch_arrow_table()
        self._adbc.commit()
        return table
