"""What tests of the store share: tables of bars written by hand, registered instruments, and a look at every table.

Not here: fixtures (``conftest``).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.bars.merge import DEFAULT_LIMITS, MergeLimits
from chandlery.bars.read import BarRange
from chandlery.core.calendars import get_calendar
from chandlery.core.schema import conform, with_symbols
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.database.connections import Database
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.lake.store import Lake
from chandlery.publishing.publish import PublishReport, publish
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse

#: A folder that nobody makes: the lake of tests that need none.
NO_LAKE = Path(tempfile.gettempdir()) / f"chandlery-no-lake-{uuid4().hex}"


def open_warehouse(dsn: str, lake: str | Path = NO_LAKE) -> Warehouse:
    """Return the warehouse of a database; by default with an empty lake."""
    return Warehouse(Database(dsn), Lake(lake))


class Bar(NamedTuple):
    """One bar, as a test writes it."""

    symbol: str
    ts: datetime
    open: float | None = 10.0
    high: float | None = 12.0
    low: float | None = 9.0
    close: float | None = 11.0
    volume: float | None = 100.0
    vwap: float | None = 10.5
    trades: int | None = 7
    source: str = "test:one"


class Traded(NamedTuple):
    """What a partition has to know of an instrument, for tests without a database."""

    symbol: str
    calendar: str = "XNYS"
    listed: date | None = None
    delisted: date | None = None
    instrument_id: int = 1
    asset_class: str = "equity"


def utc(text: str) -> datetime:
    """Return ISO 8601 ``text`` as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(bars: Iterable[Bar]) -> pa.Table:
    """Return ``bars`` as a table of schema ``BARS``, in the order given."""
    columns = list(zip(*bars, strict=True)) or [()] * len(Bar._fields)
    types = {"ts": pa.timestamp("us", tz="UTC"), "symbol": pa.string(), "source": pa.string(), "trades": pa.int32()}
    arrays = [pa.array(c, types.get(n, pa.float64())) for n, c in zip(Bar._fields, columns, strict=True)]
    return conform(pa.table(arrays, names=list(Bar._fields)))


def rows(found: pa.Table) -> list[Bar]:
    """Return a table as ``Bar``; the inverse of ``table``."""
    return [Bar(**row) for row in found.select(list(Bar._fields)).to_pylist()]


def register(warehouse: Warehouse, symbols: Mapping[str, str]) -> dict[str, int]:
    """Register symbols with their calendars, without any sessions, and return their ids."""
    with warehouse.connection() as connection:
        for symbol, calendar in symbols.items():
            connection.execute(
                "INSERT INTO market.instrument (symbol, asset_class, calendar, provider, timeframes)"
                " VALUES (%s, 'equity', %s, 'simulated', '{1m,1d}')",
                (symbol, calendar),
            )
        return {symbol: instrument.instrument_id for symbol, instrument in load_instruments(connection).items()}


def instruments_of(warehouse: Warehouse) -> dict[str, Instrument]:
    """Return the registered instruments by symbol."""
    with warehouse.connection() as connection:
        return load_instruments(connection)


def put(
    warehouse: Warehouse,
    timeframe: Timeframe,
    bars: Iterable[Bar] | pa.Table,
    *,
    now: datetime | None = None,
    limits: MergeLimits = DEFAULT_LIMITS,
) -> PublishReport:
    """Publish ``bars`` in a transaction of their own."""
    batch = bars if isinstance(bars, pa.Table) else table(bars)
    with warehouse.connection() as connection:
        return publish(connection, warehouse, timeframe, batch, now=now, limits=limits)


def get(
    warehouse: Warehouse, timeframe: Timeframe, ids: Mapping[str, int], *, as_of: datetime | None = None
) -> pa.Table:
    """Return every bar of these instruments, with ``known_at``."""
    bars = read_bars(warehouse, timeframe, [BarRange(number, *EVER) for number in ids.values()], as_of=as_of)
    return with_symbols(bars, {number: symbol for symbol, number in ids.items()})


def every_row(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the whole content of the database, but for its sessions and its revision, by table, as text."""
    names = connection.execute(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace"
        " WHERE nspname IN ('market', 'ops') AND relkind IN ('r', 'p') AND NOT relispartition"
        " AND relname NOT IN ('session', 'schema_version')"
    ).fetchall()
    content = {}
    for (name,) in names:
        found = connection.execute(f"SELECT t::text FROM {name} AS t ORDER BY 1").fetchall()  # type: ignore[arg-type]
        content[name] = [row[0] for row in found]
    return content


def forget_bars(connection: psycopg.Connection) -> None:
    """Empty every table that a publication writes. Deletes, because TRUNCATE is slow for little data."""
    tables = ["bars_revision", *(timeframe.table for timeframe in Timeframe)]
    ours = ["coverage", "publication", "rollup_pending", "bar_window", "manifest", "lake"]
    for name in [*(f"market.{t}" for t in tables), *(f"ops.{t}" for t in ours)]:
        connection.execute(f"DELETE FROM {name}")  # type: ignore[arg-type]


def wait_until(happened: Callable[[], object], what: str, seconds: float = 600) -> None:
    """Wait until something is true, however busy the machine is; fail, naming it, if it has not come after ``seconds``.

    For what happens elsewhere and tells nobody. Never to show that something does *not* happen.
    """
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.01)


def wait_until_alone(connection: psycopg.Connection) -> None:
    """Wait until the server has noticed that every other client of this database is gone."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    wait_until(lambda: connection.execute(others).fetchone() == (0,), "the other clients are gone")


def wait_until_blocked(dsn: str, count: int = 1, *, statement: str = "") -> list[int]:
    """Wait until ``count`` connections to a database wait for a lock that another connection holds.

    Args:
        dsn: connection string of the database.
        count: how many, at least.
        statement: a part of the statement that they wait with; by default any counts.

    Returns:
        Their process ids.
    """
    blocked: list[int] = []

    def are_blocked() -> bool:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND position(%s IN query) > 0"
            " AND cardinality(pg_blocking_pids(pid)) > 0",
            (statement,),
        ).fetchall()
        blocked[:] = [pid for (pid,) in rows]
        return len(blocked) >= count

    with psycopg.connect(dsn, autocommit=True) as connection:
        wait_until(are_blocked, f"{count} connections wait for a lock")
    return blocked


def recount_coverage(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return what ``ops.coverage`` should say, counted from the bars session by session."""
    found = connection.execute(
        "SELECT instrument_id, calendar, array_agg(ts ORDER BY ts) FROM market.bars_1m JOIN market.instrument"
        " USING (instrument_id) GROUP BY instrument_id, calendar"
    ).fetchall()
    result: list[tuple[object, ...]] = []
    for instrument_id, name, moments in found:
        calendar = get_calendar(name)
        micros = np.array([m.replace(tzinfo=None) for m in moments], "datetime64[us]").astype(np.int64)
        nearest = _nearest(calendar.opens, calendar.closes, micros)
        for at in np.unique(nearest):
            mine = micros[nearest == at]
            inside = int(((mine >= calendar.opens[at]) & (mine < calendar.closes[at])).sum())
            day = np.datetime64(int(calendar.sessions[at]), "D").item()
            result.append((instrument_id, day, inside, len(mine) - inside, _moment(mine[0]), _moment(mine[-1])))
    return sorted(result)


def coverage(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return what ``ops.coverage`` says, in the form of ``recount_coverage``."""
    return connection.execute(
        "SELECT instrument_id, session, present, outside, first_ts, last_ts FROM ops.coverage"
        " WHERE timeframe = '1m' ORDER BY 1, 2"
    ).fetchall()


def _nearest(opens: Sequence[int], closes: Sequence[int], moments: np.ndarray) -> np.ndarray:
    """Return the session that each instant is nearest to: by distance, the earlier one of two at the same distance."""
    first = np.searchsorted(closes, moments[0]) - 2
    last = np.searchsorted(opens, moments[-1]) + 2
    near = slice(max(first, 0), last)
    away = np.maximum(np.asarray(opens)[near, None] - moments, moments - np.asarray(closes)[near, None])
    # A close is exclusive: the instant of it is as near to its session as can be, but outside.
    return np.argmin(np.maximum(away, -1), axis=0) + near.start


def _moment(micros: np.int64) -> datetime:
    return datetime.fromtimestamp(0, UTC) + np.timedelta64(int(micros), "us").item()
